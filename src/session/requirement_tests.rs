use proptest::prelude::*;

use super::*;

fn ask(text: &str) -> Result<Asks, String> {
    asks(text.as_bytes(), false, Backslash::Escapes).map_err(|mistake| mistake.to_string())
}

fn hinted(text: &str) -> Option<String> {
    let asks = ask(text).unwrap();
    assert_eq!(asks.variable, None);
    asks.hint.map(|hint| hint.to_string())
}

/// None: not set; an empty text: cleared.
fn set_to(text: &str) -> Option<String> {
    let asks = ask(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(asks.hint, None);
    asks.variable.map(|setting| match setting {
        Setting::Cleared => String::new(),
        Setting::To(requirement) => requirement.to_string(),
    })
}

const TWO: &str = "LOCAL durable AND ANY 2 (*) received";

#[test]
fn hints() {
    for text in [
        "/* ackline: require=ANY 2 (*) received */ INSERT INTO t VALUES (1)",
        "\n /*ackline:require = any 2 (*) received*/commit",
        "/* by orders.py */ /* Ackline: Require=LOCAL durable AND ANY 2 (*) received */ COMMIT",
    ] {
        assert_eq!(hinted(text).as_deref(), Some(TWO), "{text}");
    }
    assert_eq!(
        hinted("/* ackline: require=ANY 1 (a) applied *//* ackline: require=ALL received */ x")
            .as_deref(),
        Some("LOCAL durable AND ANY 1 (a) applied AND LOCAL durable AND ALL received")
    );
    for text in [
        "INSERT INTO t VALUES ('/* ackline: require=ALL applied */')",
        "SELECT 1 /* ackline: require=ALL applied */",
        "/* by ackline: require=x */ SELECT 1",
        "/*! ackline: require=x */",
        "/* ackline */",
        "/*",
        "/",
        "",
    ] {
        assert_eq!(hinted(text), None, "{text}");
    }
    for (text, says) in [
        (
            "/* ackline: require=ANY 2 */ x",
            "the hint require=ANY 2 is wrong: column 6",
        ),
        ("/* ackline: require=", "is wrong: column 1"),
        (
            "/* ackline: requires=ALL applied */",
            "the hint 'requires=ALL applied' is not known",
        ),
        ("/* ackline: */", "the hint '' is not known"),
        ("/* ackline: require='ALL applied' */", "is wrong"),
    ] {
        let error = ask(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    let long = format!("/* ackline: require={} */", "ALL applied AND ".repeat(100));
    assert!(ask(&long).unwrap_err().contains("1024"));
}

#[test]
fn the_variable() {
    for text in [
        "SET @ackline_require = 'ANY 2 (*) received'",
        "set @Ackline_Require:='any 2 (*) received';",
        "SET @`ackline_require` = \"ANY 2 (*) received\" -- more",
        "SET NAMES utf8, @a = f(1, 2), @ackline_require = 'ANY 2 (*) received', @b = @ackline_require",
        "SET @ackline_require = 'ALL applied', @ackline_require = 'ANY 2 (*) received'",
    ] {
        assert_eq!(set_to(text).as_deref(), Some(TWO), "{text}");
    }
    for text in [
        "SET @ackline_require = NULL",
        "SET @ackline_require = ''",
        "SET @ackline_require = ' '",
    ] {
        assert_eq!(set_to(text).as_deref(), Some(""), "{text}");
    }
    for text in [
        "SELECT @ackline_require",
        "SELECT * FROM t WHERE a = @ackline_require AND @ackline_require = 'x'",
        "INSERT INTO t VALUES (@ackline_require, 'SET @ackline_require = 1')",
        "SET @ackline_require_x = 5, @ackline_require.x = 6, @a = @ackline_require",
        "SET @@ackline_require = 5",
        "SELECT 1; SELECT @ackline_require INTO OUTFILE 'x'",
        "SELECT 'SET @ackline_require = 5' INTO @a",
    ] {
        assert_eq!(set_to(text), None, "{text}");
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    for text in [
        "SET @ackline_require = @x",
        "SET @ackline_require = CONCAT('ALL', ' applied')",
        "SET @ackline_require = 'ALL' ' applied'",
        "SET @ackline_require = _utf8'ALL applied'",
        "SET @ackline_require = 5",
        "SET @ackline_require = (SELECT 'ALL applied')",
        "SET @ackline_require = DEFAULT",
        "SET @a = (@ackline_require := 'ALL applied')",
        "SET @ackline_require = 'ALL applied', @a = (@ackline_require := '')",
        "SET @ackline_require = 'ALL applied'; INSERT INTO t VALUES (1)",
        "SELECT 1; SET @ackline_require = ''",
        "/*!50000 SET @ackline_require = 'ALL applied' */",
        "SET /*!99999 @a = 1, */ @ackline_require = 'ALL applied'",
        "SELECT @ackline_require := 'ALL applied'",
        "SELECT 'ALL applied' INTO @a, @ackline_require",
        "LOAD DATA INFILE 'x' INTO TABLE t (@ackline_require)",
        "CALL p(@ackline_require)",
        "PREPARE s FROM \"SET @ackline_require = ''\"",
        "EXECUTE IMMEDIATE 'SET @ackline_require = \\'\\''",
        "GET DIAGNOSTICS @ackline_require = ROW_COUNT",
        "CREATE PROCEDURE p() SET @ackline_require = ''",
        "BEGIN NOT ATOMIC SET @ackline_require = ''; END",
    ] {
        let error = ask(text).expect_err(text);
        assert!(error.contains("write a literal"), "{text}: {error}");
    }
    let error = ask("SET @ackline_require = 'ANY x (*) received'").unwrap_err();
    assert!(
        error.starts_with(
            "Variable 'ackline_require' can't be set to the value of 'ANY x (*) received': column 5"
        ),
        "{error}"
    );
    let prepared = asks(b"SET @ackline_require = ''", true, Backslash::Escapes);
    assert!(matches!(prepared, Err(Mistake::NotLiteral)));
}

fn requirement(text: &str) -> Arc<Requirement> {
    Arc::new(Requirement::parse(text).unwrap())
}

fn ends(own: &mut Own, in_transaction: Option<bool>, committed: bool) -> Option<String> {
    own.statement_ended(Ended {
        in_transaction,
        committed,
    });
    own.in_force().map(|requirement| requirement.to_string())
}

#[test]
fn a_hint_holds_for_its_statement_or_its_transaction() {
    let mut own = Own::default();
    let (one, two) = (
        requirement("ANY 1 (*) received"),
        requirement("ALL applied"),
    );
    // Without a transaction.
    own.statement_begins(Some(one.clone()));
    assert_eq!(own.in_force(), Some(one.clone()));
    assert_eq!(ends(&mut own, Some(false), true), None);
    // Within one, up to its end.
    own.statement_begins(None);
    assert_eq!(ends(&mut own, Some(true), false), None);
    own.statement_begins(Some(one.clone()));
    assert_eq!(
        ends(&mut own, Some(true), false).as_deref(),
        Some("ANY 1 (*) received")
    );
    own.statement_begins(Some(two.clone()));
    // An error says nothing of the transaction.
    let both = "ANY 1 (*) received AND ALL applied";
    assert_eq!(ends(&mut own, None, false).as_deref(), Some(both));
    own.statement_begins(Some(two.clone()));
    assert_eq!(ends(&mut own, Some(true), false).as_deref(), Some(both));
    own.statement_begins(None);
    assert!(own.is_any());
    assert_eq!(ends(&mut own, Some(false), true), None);
    assert!(!own.is_any());
    // At a BEGIN that commits what was open: for the new one only.
    own.statement_begins(Some(one));
    ends(&mut own, Some(true), false);
    own.statement_begins(Some(two));
    assert_eq!(
        ends(&mut own, Some(true), true).as_deref(),
        Some("ALL applied")
    );
    own.reset();
    assert!(!own.is_any());
}

#[test]
fn the_variable_holds_until_it_is_cleared() {
    let mut own = Own::default();
    own.set(Setting::To(requirement("ALL applied")));
    own.statement_begins(None);
    assert_eq!(
        ends(&mut own, Some(false), true).as_deref(),
        Some("ALL applied")
    );
    own.statement_begins(Some(requirement("MAJORITY received")));
    let both = own.in_force().unwrap().to_string();
    assert_eq!(both, "ALL applied AND MAJORITY received");
    ends(&mut own, Some(false), false);
    own.set(Setting::Cleared);
    assert!(!own.is_any());
}

#[test]
fn a_transaction_takes_so_many_hints() {
    let mut own = Own::default();
    let hint = |n: usize| requirement(&format!("ANY {} (*) received", n + 1));
    for n in 0..HINTS {
        assert!(own.has_room_for(&hint(n)));
        own.statement_begins(Some(hint(n)));
        ends(&mut own, Some(true), false);
    }
    assert!(own.has_room_for(&hint(0)));
    assert!(!own.has_room_for(&hint(HINTS)));
}

proptest! {
    #[test]
    fn no_text_panics(
        text in "(/\\*|\\*/| |ackline:|require|=|ANY 1|\\(|\\)|SET|@|ackline_require|:=|'|;|INTO|,){0,20}",
    ) {
        let _ = ask(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = asks(&bytes, false, Backslash::IsPlain);
    }
}

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ids::Level::{Applied, Durable, Received};

fn parse(text: &str) -> Requirement {
    Requirement::parse(text).unwrap()
}

#[test]
fn what_is_printed_is_read_back() {
    for text in [
        "LOCAL received",
        "LOCAL durable",
        "ANY 1 (*) received",
        "ANY 2 (db2, db3, zone:west) durable",
        "FIRST 1 (db-2, db_3.example) applied",
        "ALL applied",
        "ALL (zone:east) received",
        "MAJORITY received",
        "LOCAL durable AND ANY 1 (*) received",
        "ALL applied OR LOCAL durable AND MAJORITY durable",
        "(ALL applied OR LOCAL durable) AND MAJORITY durable",
        "ANY 1 (all, any, local, and) received",
    ] {
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn writing_is_free_where_the_meaning_is_clear() {
    for (text, same) in [
        ("  local   Durable ", "LOCAL durable"),
        ("any 1(*)received", "ANY 1 (*) received"),
        ("ALL (*) applied", "ALL applied"),
        ("((MAJORITY received))", "MAJORITY received"),
        (
            "ALL applied and (LOCAL durable and MAJORITY received)",
            "ALL applied AND LOCAL durable AND MAJORITY received",
        ),
        (
            "LOCAL durable AND ALL applied OR MAJORITY received",
            "(LOCAL durable AND ALL applied) OR MAJORITY received",
        ),
        ("ANY 1 (Zone:west) received", "ANY 1 (zone:west) received"),
    ] {
        assert_eq!(parse(text), parse(same));
    }
}

#[test]
fn mistakes_are_shown_with_column_and_advice() {
    for (text, column, part) in [
        (
            "",
            1,
            "the text ends where one must write LOCAL durable, ANY 1",
        ),
        (
            "SOME 1 (*) received",
            1,
            "'SOME' stands where one must write LOCAL durable",
        ),
        ("LOCAL", 6, "write received or durable"),
        ("LOCAL applied", 7, "our own store applies nothing"),
        ("ANY (*) received", 5, "how many, as in ANY 1 (*) received"),
        (
            "ANY two (*) received",
            5,
            "'two' stands where one must write how many",
        ),
        (
            "FIRST 0 (*) received",
            7,
            "FIRST 0 asks for nobody: write FIRST 1",
        ),
        ("ANY 1 received", 7, "whom, as in ANY 1 (*) received"),
        ("ANY 1 () received", 8, "a server's name, zone:NAME or *"),
        ("ANY 1 (a b) received", 10, "write ',' or ')'"),
        ("ANY 1 (a, a) received", 11, "'a' is listed twice"),
        ("ANY 1 (rack:3) received", 8, "'rack:3' is no server"),
        ("ANY 1 (zone:) received", 8, "'zone:' is no server"),
        (
            "ANY 3 (a, b) received",
            5,
            "3 of 2 listed servers can never confirm: write at most 2",
        ),
        (
            "ANY 1 (*)",
            10,
            "the text ends where one must write a level: received, durable or applied",
        ),
        ("ALL sometimes", 5, "a level"),
        ("MAJORITY", 9, "a level"),
        ("(ALL applied", 13, "AND, OR or ')'"),
        ("ALL applied)", 12, "this ')' closes nothing"),
        ("ALL applied ALL applied", 13, "AND, OR or the end"),
        ("ALL applied AND", 16, "the text ends"),
        ("ALL applied && LOCAL durable", 13, "write AND"),
        ("ANY 1 ('a') received", 8, "names without quotes"),
        ("ANY 1 (größe, größe) received", 15, "listed twice"),
    ] {
        let error = Requirement::parse(text).unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
    let deep = "(".repeat(1000) + "ALL applied" + &")".repeat(1000);
    let error = Requirement::parse(&deep).unwrap_err();
    assert!(error.message.contains("too many nested"), "{error}");
}

fn keys(keys: &[(&str, &str)]) -> SyncPatch {
    let text: String = keys
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    toml::from_str(&text).unwrap()
}

#[test]
fn modes_mean_what_the_table_says() {
    for (written, require, effective) in [
        (
            keys(&[]),
            "LOCAL durable AND ANY 1 (*) received",
            "LOCAL durable AND ANY 1 (*) received",
        ),
        (
            keys(&[
                ("mode", "'semi-sync'"),
                ("acks", "2"),
                ("level", "'durable'"),
            ]),
            "LOCAL durable AND ANY 2 (*) durable",
            "LOCAL durable AND ANY 2 (*) durable",
        ),
        (
            keys(&[("mode", "'async'"), ("acks", "2")]),
            "LOCAL received",
            "LOCAL received",
        ),
        (
            keys(&[("mode", "'quorum'")]),
            "MAJORITY received",
            "LOCAL durable AND MAJORITY received",
        ),
        (
            keys(&[("mode", "'quorum'"), ("level", "'applied'")]),
            "MAJORITY applied",
            "LOCAL durable AND MAJORITY applied",
        ),
        (
            keys(&[("mode", "'sync'")]),
            "ALL applied",
            "LOCAL durable AND ALL applied",
        ),
        (
            keys(&[("require", "'LOCAL received'")]),
            "LOCAL received",
            "LOCAL durable AND LOCAL received",
        ),
        (
            keys(&[("require", "'ALL applied OR LOCAL durable'")]),
            "ALL applied OR LOCAL durable",
            "LOCAL durable AND (ALL applied OR LOCAL durable)",
        ),
    ] {
        let sync = Sync::from_keys(&written).unwrap();
        assert_eq!(sync.require.to_string(), require);
        assert_eq!(sync.effective().to_string(), effective);
    }
}

#[test]
fn a_patch_asks_for_a_mode_or_a_requirement_and_leaves_the_rest() {
    let file = keys(&[("mode", "'semi-sync'"), ("acks", "2"), ("timeout", "'5s'")]);
    let patched = file.patched(&keys(&[("require", "'ALL applied'")]));
    assert_eq!(
        patched,
        keys(&[("require", "'ALL applied'"), ("timeout", "'5s'")])
    );
    let back = patched.patched(&keys(&[("mode", "'quorum'"), ("timeout", "'1s'")]));
    assert_eq!(back, keys(&[("mode", "'quorum'"), ("timeout", "'1s'")]));
    assert!(serde_json::from_str::<SyncPatch>(r#"{"moode": "sync"}"#).is_err());
    assert_eq!(
        serde_json::from_str::<SyncPatch>(r#"{"acks": 2}"#).unwrap(),
        keys(&[("acks", "2")])
    );
}

fn any_who() -> impl Strategy<Value = Who> {
    prop_oneof![
        Just(Who::Everyone),
        "[a-z][a-z0-9_.-]{0,6}".prop_map(|name| Who::Name(ServerName::new(&name))),
        "[a-z]{1,4}".prop_map(|zone| Who::Zone(zone.as_str().into())),
    ]
}

pub(in crate::ack) fn any_requirement() -> impl Strategy<Value = Requirement> {
    any_requirement_of(any_who().boxed())
}

pub(in crate::ack) fn any_requirement_of(
    who: BoxedStrategy<Who>,
) -> impl Strategy<Value = Requirement> {
    let level = || prop_oneof![Just(Received), Just(Durable), Just(Applied)];
    let among = || {
        vec(who.clone(), 1..4).prop_map(|mut among| {
            let mut seen = Vec::new();
            among.retain(|who| {
                let new = !seen.contains(who);
                seen.push(who.clone());
                new
            });
            among
        })
    };
    let count = |count: usize, among: &Vec<Who>| {
        NonZeroUsize::new(count.min(among.len())).unwrap_or(NonZeroUsize::MIN)
    };
    let leaf = prop_oneof![
        Just(Requirement::LOCAL_RECEIVED),
        Just(Requirement::LOCAL_DURABLE),
        (1..4usize, among(), level()).prop_map(move |(k, among, level)| Requirement::Any {
            count: count(k, &among),
            among,
            level,
        }),
        (1..4usize, among(), level()).prop_map(move |(k, among, level)| Requirement::First {
            count: count(k, &among),
            among,
            level,
        }),
        (among(), level()).prop_map(|(among, level)| Requirement::All { among, level }),
        level().prop_map(Requirement::Majority),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Requirement::and),
            vec(inner, 2..4).prop_map(Requirement::or),
        ]
    })
}

proptest! {
    #[test]
    fn every_requirement_survives_being_printed(requirement in any_requirement()) {
        prop_assert_eq!(Requirement::parse(&requirement.to_string()), Ok(requirement));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[A-Za-z0-9 (),*:.'&é]{0,40}") {
        let _ = Requirement::parse(&text);
    }
}

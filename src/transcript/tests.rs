//! Events as servers wrote them, and as nobody would.

use proptest::prelude::*;

use super::*;
use crate::event::{Step, TransactionTracker, golden};

/// What is written of the transactions in these events.
fn written(events: &[Vec<u8>]) -> String {
    let (mut tracker, mut transcriber) = (TransactionTracker::new(), Transcriber::new(60));
    let (mut lines, mut out) = (Lines::default(), Vec::new());
    for event in events {
        let (Ok(header), Ok(step)) = (Header::parse(event), tracker.feed(event)) else {
            break;
        };
        if matches!(step, Step::InGroup | Step::GroupEnd) {
            transcriber.event(&mut lines, &header, event);
        }
        if step == Step::GroupEnd {
            transcriber.end();
            std::mem::take(&mut lines).write(&mut out).unwrap();
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn statements_and_rows_are_written() {
    for (version, files, known) in [
        (
            golden::MARIADB,
            &golden::FILES[..],
            [
                "    g: CREATE TEMPORARY TABLE tt (a INT)\n",
                "    DELETE FROM t WHERE id=1\n    g.t deleted: 1 row(s)\n      - (1, 'zzzz",
                "      - (1, 'plain statement', NULL, NULL, NULL)\n      + (1, 'zzzz",
            ],
        ),
        (
            golden::MYSQL,
            &golden::MYSQL_FILES,
            [
                "    g: INSERT INTO small (words) VALUES ('a statement')\n",
                "    g.small updated: 1 row(s)\n      - (1, 'a statement')\n      + (1, 'changed')\n",
                "      + (11, 'tagged and compressed')\n",
            ],
        ),
    ] {
        let events = files.iter().map(|file| golden::events_of(version, file));
        let text: String = events.map(|events| written(&events)).collect();
        for lines in known {
            assert!(
                text.contains(lines),
                "{version}: '{lines}' is not in {text}"
            );
        }
    }
}

#[test]
fn of_a_large_transaction_a_part_is_held() {
    let mut lines = Lines::default();
    for number in 0..MOST_LINES as u64 + 7 {
        lines.add(Line::Packed { bytes: number });
    }
    assert_eq!((lines.lines.len(), lines.left_out), (MOST_LINES, 7));
    let mut lines = Lines::default();
    for _ in 0..5 {
        lines.add(statement(None, None, &vec![b'x'; LONGEST], LONGEST));
    }
    assert_eq!((lines.lines.len(), lines.left_out), (4, 1));
    let mut out = Vec::new();
    lines.write(&mut out).unwrap();
    assert!(out.ends_with("    … and 1 more\n".as_bytes()));
}

#[test]
fn statements_are_cut_and_passwords_are_not_shown() {
    let shown = |text: &str| match statement(Some(b"d"), Some(7), text.as_bytes(), 10) {
        Line::Statement { text, .. } => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("SELECT 1"), "SELECT 1");
    assert_eq!(shown("SELECT 1234567"), "SELECT 123… (14 bytes)");
    assert_eq!(shown("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    for secret in [
        "CREATE USER u IDENTIFIED BY 'x'",
        "SET PASSWORD = 'x'",
        "ALTER USER u identified WITH m AS 'x'",
    ] {
        assert!(shown(secret).starts_with("(not shown"), "{secret}");
    }
}

proptest! {
    #[test]
    fn no_change_of_a_byte_makes_it_panic(events in golden::changed("mixed.000002")) {
        written(&events);
    }
}

//! Events as servers wrote them, and as nobody would.

use proptest::prelude::*;

use super::*;
use crate::event::golden;

/// What is printed of these events.
fn dumped(events: &[Vec<u8>], json: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut dump = Dump {
        dir: dir.path(),
        range: Range::new(None, None),
        json,
        tracker: TransactionTracker::new(),
        transcriber: Transcriber::new(60),
        open: None,
        origins: (0, Origins::default()),
        out: Vec::new(),
    };
    for bytes in events {
        let Some(event) = Skimmed::without_checksum(bytes) else {
            break;
        };
        if dump.event(&event).is_err() {
            break;
        }
    }
    String::from_utf8(dump.out).unwrap()
}

#[test]
fn what_servers_wrote_is_shown() {
    for (version, files) in [
        (golden::MARIADB, &golden::FILES[..]),
        (golden::MARIADB_11, &golden::MARIADB_11_TYPES),
        (golden::MYSQL, &golden::MYSQL_FILES[..]),
    ] {
        let mut seen = String::new();
        for file in files {
            let events = golden::events_of(version, file);
            seen.push_str(&dumped(&events, false));
            for line in dumped(&events, true).lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
        for change in [" inserted: ", " updated: ", "      - (", "      + ("] {
            assert!(seen.contains(change), "{version}: {seen}");
        }
        assert!(seen.contains(": CREATE TABLE"), "{version}: {seen}");
        assert!(!seen.contains("without a name"), "{version}: {seen}");
        let controls = seen.chars().any(|c| c.is_control() && c != '\n');
        assert!(!controls, "{version}");
    }
}

proptest! {
    #[test]
    fn no_change_of_a_byte_makes_it_panic(events in golden::changed("mixed.000002")) {
        dumped(&events, true);
    }
}

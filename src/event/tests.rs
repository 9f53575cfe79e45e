use proptest::prelude::*;

use super::format_description::FormatDescription;
use super::golden::{FILES, events};
use super::gtid_event::{AlterPhase, GtidEvent, GtidFlags};
use super::heartbeat::Heartbeat;
use super::heartbeat_v2::HeartbeatV2;
use super::query::{Ending, Query, Statement};
use super::rotate::Rotate;
use super::*;
use crate::gtid::mariadb::BinlogState;
use crate::ids::ServerId;

fn kind(event: &[u8]) -> EventType {
    Header::parse(event).unwrap().kind
}

fn gtids(file: &str) -> Vec<GtidEvent> {
    let of_gtids = events(file)
        .into_iter()
        .filter(|event| kind(event) == EventType::GTID);
    of_gtids
        .map(|event| GtidEvent::parse(&event).unwrap())
        .collect()
}

#[test]
fn every_golden_file_is_known() {
    for (version, files, types) in [
        (golden::MARIADB, &FILES[..], &golden::TYPES[..]),
        (golden::MARIADB_11, &[], &golden::MARIADB_11_TYPES),
        (golden::MYSQL, &golden::MYSQL_FILES, &golden::MYSQL_TYPES),
    ] {
        for file in std::fs::read_dir(golden::folder(version)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let known = files.contains(&name.as_str()) || types.contains(&name.as_str());
            assert!(known || name == golden::EXPECTED, "{version}/{name}");
        }
    }
}

#[test]
fn every_event_type_is_in_a_golden_file() {
    use EventType as T;
    // All that these servers write into a binlog.
    let both = [
        T::QUERY,
        T::STOP,
        T::ROTATE,
        T::INTVAR,
        T::RAND,
        T::USER_VAR,
        T::FORMAT_DESCRIPTION,
        T::XID,
        T::BEGIN_LOAD_QUERY,
        T::EXECUTE_LOAD_QUERY,
        T::TABLE_MAP,
        T::XA_PREPARE,
    ];
    let mariadb = [
        T::WRITE_ROWS_V1,
        T::UPDATE_ROWS_V1,
        T::DELETE_ROWS_V1,
        T::ANNOTATE_ROWS,
        T::BINLOG_CHECKPOINT,
        T::GTID,
        T::GTID_LIST,
        T::QUERY_COMPRESSED,
        T::WRITE_ROWS_COMPRESSED_V1,
        T::UPDATE_ROWS_COMPRESSED_V1,
        T::DELETE_ROWS_COMPRESSED_V1,
    ];
    let mysql = [
        T::ROWS_QUERY,
        T::WRITE_ROWS,
        T::UPDATE_ROWS,
        T::DELETE_ROWS,
        T::MYSQL_GTID,
        T::ANONYMOUS_GTID,
        T::PREVIOUS_GTIDS,
        T::PARTIAL_UPDATE_ROWS,
        T::TRANSACTION_PAYLOAD,
        T::MYSQL_TAGGED_GTID,
    ];
    for (version, own) in [
        (golden::MARIADB, &mariadb[..]),
        (golden::MARIADB_11, &mariadb),
        (golden::MYSQL, &mysql),
    ] {
        let seen: std::collections::BTreeSet<u8> = golden::all_events(version)
            .iter()
            .map(|event| kind(event).0)
            .collect();
        let known: std::collections::BTreeSet<u8> =
            both.iter().chain(own).map(|kind| kind.0).collect();
        assert_eq!(seen, known, "{version}");
    }
}

#[test]
fn sealing_a_golden_event_again_yields_its_bytes() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/mariadb-10.11/mixed.000002"
    );
    let mut file = MAGIC.to_vec();
    for (index, mut event) in events("mixed.000002").into_iter().enumerate() {
        if index == 0 {
            event.truncate(event.len() - CHECKSUM_LENGTH);
        }
        let end = (file.len() + event.len() + CHECKSUM_LENGTH) as u32;
        seal(&mut event, end).unwrap();
        verify_checksum(&event).unwrap();
        file.extend_from_slice(&event);
    }
    assert!(file == std::fs::read(path).unwrap());
}

#[test]
fn a_changed_byte_is_noticed() {
    let mut event = events("mixed.000002").swap_remove(9);
    seal(&mut event, 1).unwrap();
    for at in 0..event.len() {
        let mut changed = event.clone();
        changed[at] ^= 0x10;
        assert!(verify_checksum(&changed).is_err(), "{at}");
    }
    assert!(verify_checksum(&event[..event.len() - 1]).is_err());
}

#[test]
fn format_descriptions() {
    let first = FormatDescription::parse(&events("first-start.000001")[0]).unwrap();
    assert!(first.server_version().starts_with("10.11.19-MariaDB"));
    assert_ne!(first.created(), 0);
    assert_eq!(first.algorithm(), Algorithm::Crc32);
    let in_use = FormatDescription::parse(&events("in-use.000004")[0]).unwrap();
    assert_eq!(in_use.header().unwrap().flags, Flags::IN_USE);
    assert_eq!(in_use.created(), 0);
    let off = FormatDescription::parse(&events("no-checksum.000005")[0]).unwrap();
    assert_eq!(off.algorithm(), Algorithm::Off);
    assert!(off.describes_like(&first));

    for source in [first, in_use, off] {
        let own = source.write().unwrap();
        let own = FormatDescription::parse(&own).unwrap();
        assert_eq!(own.created(), 0);
        assert_eq!(own.algorithm(), Algorithm::Crc32);
        let header = own.header().unwrap();
        assert_eq!((header.flags, header.next_position), (0, 256));
        assert!(own.describes_like(&source));
    }
}

#[test]
fn rotates() {
    let golden = events("mixed.000002").pop().unwrap();
    let rotate = Rotate::parse(&golden).unwrap();
    assert_eq!((rotate.position, rotate.file), (4, &b"golden.000003"[..]));
    let header = Header::parse(&golden).unwrap();
    let mut own = rotate.end_of_file(header.server_id, header.timestamp);
    seal(&mut own, header.next_position).unwrap();
    assert_eq!(own[..own.len() - 4], golden[..]);
    let artificial = rotate.artificial(ServerId(1));
    assert!(Header::parse(&artificial).unwrap().is_artificial());
}

#[test]
fn gtid_events() {
    let gtids = gtids("mixed.000002");
    let flags = |seq: u64| {
        let found = gtids
            .iter()
            .find(|event| event.gtid.seq == seq && event.gtid.domain == 0);
        found.unwrap().flags.0
    };
    // FACTS.md 5: DDL, transaction, MyISAM, CTAS in row format, XA PREPARE, XA COMMIT.
    for (seq, expected) in [
        (1, 0x29),
        (5, 0x0c),
        (8, 0x00),
        (12, 0x28),
        (14, 0x4c),
        (15, 0x8d),
    ] {
        assert_eq!(
            flags(seq) & !GtidFlags::WAITED,
            expected | flags(seq) & 0x08,
            "{seq}"
        );
    }
    assert!(gtids.iter().any(|event| event.gtid.to_string() == "3-7-1"));
    assert!(gtids.iter().any(|event| event.gtid.to_string() == "0-9-27"));
    assert_eq!(gtids[gtids.len() - 2].alter, Some(AlterPhase::Start));
    assert_eq!(gtids[gtids.len() - 1].alter, Some(AlterPhase::Commit(30)));
    assert!(
        gtids[..gtids.len() - 2]
            .iter()
            .all(|event| event.alter.is_none())
    );
}

#[test]
fn gtid_lists() {
    for (file, expected) in [
        ("mixed.000002", ""),
        ("compressed.000003", "0-9-27,0-7-31,3-7-1"),
        ("stopped.000006", "0-9-27,0-7-36,3-7-1,5-7-2"),
    ] {
        let golden = events(file).swap_remove(1);
        let state = BinlogState::from_list(&gtid_list::parse(&golden).unwrap());
        assert_eq!(state.to_string(), expected);
        let header = Header::parse(&golden).unwrap();
        let own = gtid_list::write(&state, header.server_id, header.timestamp);
        assert_eq!(own[19..].len(), golden[19..].len());
    }
}

#[test]
fn queries() {
    let all: Vec<Vec<u8>> = FILES.iter().flat_map(|file| events(file)).collect();
    let texts: Vec<String> = all
        .iter()
        .filter(|event| kind(event) == EventType::QUERY)
        .map(|event| match Query::parse(event).unwrap().statement {
            Statement::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Statement::Compressed(_) => unreachable!(),
        })
        .collect();
    assert!(texts.iter().any(|text| text == "TRUNCATE TABLE small"));
    assert!(texts.iter().any(|text| text == "CREATE DATABASE g"));
    let endings: Vec<Ending> = all
        .iter()
        .filter_map(|event| Query::parse(event).ok()?.ending())
        .collect();
    assert_eq!(
        endings.len(),
        texts.iter().filter(|text| *text == "COMMIT").count()
            + texts.iter().filter(|text| *text == "ROLLBACK").count()
    );
    assert!(endings.contains(&Ending::Commit));
    let compressed = all
        .iter()
        .find(|event| kind(event) == EventType::QUERY_COMPRESSED)
        .unwrap();
    let query = Query::parse(compressed).unwrap();
    assert_eq!(query.database, b"g");
    assert!(matches!(query.statement, Statement::Compressed(_)));
    assert_eq!(query.ending(), None);
}

#[test]
fn heartbeats_and_stops() {
    for position in [77, u64::from(u32::MAX), 1 << 32, (1 << 32) + 77] {
        let heartbeat = Heartbeat {
            file: b"binlog.000001",
            position,
        };
        let mut event = heartbeat.write(ServerId(9));
        assert_eq!(Heartbeat::parse(&event).unwrap(), heartbeat);
        seal(&mut event, heartbeat.end_log_pos()).unwrap();
        verify_checksum(&event).unwrap();
    }
    let golden = events("stopped.000006").pop().unwrap();
    let header = Header::parse(&golden).unwrap();
    let mut own = stop::write(header.server_id, header.timestamp);
    seal(&mut own, header.next_position).unwrap();
    assert_eq!(own[..19], golden[..]);
}

/// (GTID, kind of the last event) of every transaction of a file.
fn transactions(file: &str) -> Vec<(String, EventType)> {
    let mut tracker = TransactionTracker::new();
    let mut found = Vec::new();
    let mut open = None;
    for event in events(file) {
        match tracker.feed(&event).unwrap() {
            Step::GroupStart(gtid) => {
                assert!(open.replace(gtid.gtid.to_string()).is_none());
            }
            Step::InGroup => assert!(open.is_some()),
            Step::GroupEnd => found.push((open.take().unwrap(), kind(&event))),
            Step::Outside => assert!(open.is_none()),
        }
        assert_eq!(tracker.is_inside(), open.is_some());
    }
    assert!(open.is_none());
    found
}

#[test]
fn transaction_boundaries_of_every_kind() {
    let found = transactions("mixed.000002");
    assert_eq!(found.len(), 32);
    let end = |gtid: &str| found.iter().find(|(name, _)| name == gtid).unwrap().1;
    for (gtid, kind) in [
        ("0-7-1", EventType::QUERY), // DDL
        ("0-7-5", EventType::XID),   // INTVAR and QUERY
        ("0-7-7", EventType::XID),   // savepoint, rows
        ("0-7-8", EventType::QUERY), // MyISAM, COMMIT
        ("0-7-12", EventType::XID),  // CTAS
        ("0-7-14", EventType::XA_PREPARE),
        ("0-7-15", EventType::QUERY), // XA COMMIT
        ("0-7-18", EventType::XID),   // XA COMMIT ONE PHASE
        ("0-7-19", EventType::XID),   // LOAD DATA
        ("0-7-21", EventType::QUERY), // a temporary table
        ("0-7-30", EventType::QUERY), // START ALTER
        ("0-7-31", EventType::QUERY), // COMMIT ALTER
        ("3-7-1", EventType::XID),
        ("0-9-27", EventType::XID),
    ] {
        assert_eq!(end(gtid), kind, "{gtid}");
    }
    assert_eq!(transactions("compressed.000003").len(), 5);
    assert_eq!(transactions("no-checksum.000005").len(), 1);
}

#[test]
fn a_stream_that_makes_no_sense_is_refused() {
    let events = events("mixed.000002");
    let gtid = events
        .iter()
        .find(|event| kind(event) == EventType::GTID)
        .unwrap();
    let xid = events
        .iter()
        .find(|event| kind(event) == EventType::XID)
        .unwrap();
    let mut tracker = TransactionTracker::new();
    assert_eq!(
        tracker.feed(xid),
        Err(Error::OutsideTransaction(EventType::XID))
    );
    tracker.feed(gtid).unwrap();
    assert!(matches!(tracker.feed(gtid), Err(Error::Nested(_))));
    let mut tracker = TransactionTracker::new();
    tracker.feed(gtid).unwrap();
    let mut incident = xid.clone();
    incident[4] = EventType::INCIDENT.0;
    let mut tracker = TransactionTracker::new();
    assert_eq!(tracker.feed(&incident), Ok(Step::Outside));
}

#[test]
fn a_digest_is_of_the_content_and_not_of_the_place() {
    let event = events("mixed.000002").swap_remove(9);
    let digest = |events: &[&[u8]]| {
        let mut digester = digest::Digester::new();
        for event in events {
            digester.event(event);
        }
        digester.finish()
    };
    let mut elsewhere = event.clone();
    elsewhere[9..17].fill(7);
    assert!(digest(&[&event]).is_of_the_same(&digest(&[&elsewhere])));
    let Ok(query) = Query::parse(&event) else {
        panic!("no statement")
    };
    let text = event.len() - query.statement.text(1 << 20).unwrap().len();
    for at in text - 1 - query.database.len()..event.len() {
        let mut other = event.clone();
        other[at] ^= 1;
        assert!(
            !digest(&[&event]).is_of_the_same(&digest(&[&other])),
            "{at}"
        );
    }
    assert!(!digest(&[&event]).is_of_the_same(&digest(&[&event, &event])));
}

pub(super) fn parse_as_everything(event: &[u8]) {
    let _ = Header::parse(event);
    let _ = verify_checksum(event);
    let _ = checksum::strip(event, Algorithm::Off);
    let _ = FormatDescription::parse(event).map(|description| description.write());
    let _ = Rotate::parse(event);
    let _ = GtidEvent::parse(event);
    let _ = gtid_list::parse(event);
    let _ = Query::parse(event).map(|query| query.ending());
    let _ = Heartbeat::parse(event);
    let _ = HeartbeatV2::parse(event);
    let _ = mysql_gtid::GtidEvent::parse(event);
    let _ = previous_gtids::parse(event);
    let _ = TransactionTracker::new().feed(event);
    let _ = mysql_transaction::TransactionTracker::default().feed(event);
    digest::Digester::new().event(event);
}

#[test]
fn no_truncated_event_makes_a_parser_panic() {
    for event in FILES.iter().flat_map(|file| events(file)) {
        for length in 0..=event.len() {
            parse_as_everything(&event[..length]);
            if length >= HEADER_LENGTH {
                // As if the length in the header agreed with the cut.
                let mut shorter = event[..length].to_vec();
                shorter[9..13].copy_from_slice(&(length as u32).to_le_bytes());
                parse_as_everything(&shorter);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_mutated_event_makes_a_parser_panic(
        file in 0..FILES.len(), pick in any::<prop::sample::Index>(),
        kind in prop::option::of(any::<u8>()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let events = events(FILES[file]);
        let mut event = pick.get(&events).clone();
        for (at, byte) in changes {
            let at = at.index(event.len());
            event[at] = byte;
        }
        if let Some(kind) = kind { event[4] = kind; }
        parse_as_everything(&event);
        let length = (event.len() as u32).to_le_bytes();
        event[9..13].copy_from_slice(&length);
        parse_as_everything(&event);
    }
}

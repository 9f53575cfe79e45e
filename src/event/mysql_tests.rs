use proptest::prelude::*;

use super::format_description::FormatDescription;
use super::golden::{MYSQL, MYSQL_FILES, events_of};
use super::heartbeat_v2::HeartbeatV2;
use super::mysql_gtid::GtidEvent;
use super::mysql_transaction::TransactionTracker;
use super::tests::parse_as_everything;
use super::*;
use crate::ids::ServerId;

/// The server's uuid in the golden files.
const UUID: &str = "2a56098f-e70c-11f1-8d22-02fc00000001";
const OTHER: &str = "aaaaaaaa-bbbb-cccc-dddd-ffffffffffff";

fn events(file: &str) -> Vec<Vec<u8>> {
    events_of(MYSQL, file)
}

fn kind(event: &[u8]) -> EventType {
    Header::parse(event).unwrap().kind
}

fn find(file: &str, wanted: EventType) -> Vec<u8> {
    let mut events = events(file).into_iter();
    events.find(|event| kind(event) == wanted).unwrap()
}

/// (GTID event, kind of the first event behind it, kind of the last, their bytes with checksums).
fn transactions(file: &str) -> Vec<(GtidEvent, EventType, EventType, u64)> {
    let mut tracker = TransactionTracker::default();
    let mut found = Vec::new();
    let mut open: Option<(GtidEvent, Option<EventType>, u64)> = None;
    for event in events(file) {
        let step = tracker.feed(&event).unwrap();
        let bytes = (event.len() + CHECKSUM_LENGTH) as u64;
        match &mut open {
            Some((_, first, length)) => {
                first.get_or_insert(kind(&event));
                *length += bytes;
            }
            None if !matches!(step, Step::GroupStart(_)) => assert_eq!(step, Step::Outside),
            None => {}
        }
        match step {
            Step::GroupStart(start) => assert!(open.replace((start, None, bytes)).is_none()),
            Step::GroupEnd => {
                let (start, first, length) = open.take().unwrap();
                found.push((start, first.unwrap(), kind(&event), length));
            }
            Step::InGroup => assert!(open.is_some()),
            Step::Outside => assert!(open.is_none()),
        }
        assert_eq!(tracker.is_inside(), open.is_some());
    }
    assert!(open.is_none());
    found
}

#[test]
fn transaction_boundaries_of_every_kind() {
    let found = transactions("plain.000001");
    let expected = [
        (EventType::QUERY, EventType::QUERY), // CREATE DATABASE
        (EventType::QUERY, EventType::QUERY), // CREATE TABLE
        (EventType::QUERY, EventType::QUERY), // CREATE TABLE … ENGINE=MyISAM
        (EventType::QUERY, EventType::XID),   // INTVAR and a statement
        (EventType::QUERY, EventType::XID),   // a row
        (EventType::QUERY, EventType::XID),   // SAVEPOINT, ROLLBACK TO
        (EventType::QUERY, EventType::QUERY), // MyISAM: COMMIT
        (EventType::QUERY, EventType::XID),   // LOAD DATA as a statement
        (EventType::QUERY, EventType::XID),   // CREATE TABLE … SELECT
        (EventType::QUERY, EventType::QUERY), // TRUNCATE
        (EventType::QUERY, EventType::XA_PREPARE),
        (EventType::QUERY, EventType::QUERY),      // XA COMMIT
        (EventType::QUERY, EventType::XA_PREPARE), // XA COMMIT … ONE PHASE
        (EventType::QUERY, EventType::XA_PREPARE),
        (EventType::QUERY, EventType::QUERY), // XA ROLLBACK
    ];
    assert_eq!(found.len(), expected.len());
    for (index, (transaction, expected)) in found.iter().zip(expected).enumerate() {
        let (start, first, last, length) = transaction;
        assert_eq!((*first, *last), expected, "{}", index + 1);
        assert_eq!(start.gtid.to_string(), format!("{UUID}:{}", index + 1));
        assert_eq!(start.sequence_number, index as u64 + 1);
        assert!(start.last_committed < start.sequence_number);
        // So nothing that the server counts to a transaction was taken for another one's.
        assert_eq!(start.transaction_length, Some(*length), "{}", index + 1);
    }
}

#[test]
fn tagged_and_compressed_transactions() {
    let found = transactions("tagged.000002");
    let expected = [
        (format!("{UUID}:golden:1"), EventType::XID),
        (format!("{UUID}:backup_1:1"), EventType::QUERY),
        (format!("{OTHER}:far:9223372036854775806"), EventType::XID),
        // An empty one.
        (format!("{OTHER}:70000"), EventType::QUERY),
        (format!("{UUID}:16"), EventType::TRANSACTION_PAYLOAD),
        (format!("{UUID}:golden:2"), EventType::TRANSACTION_PAYLOAD),
    ];
    assert_eq!(found.len(), expected.len());
    for (index, ((start, _, last, length), expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!((start.gtid.to_string(), *last), expected);
        assert_eq!(start.sequence_number, index as u64 + 1);
        assert_eq!(start.transaction_length, Some(*length), "{}", start.gtid);
    }
}

#[test]
fn previous_gtids_are_written_as_the_server_does() {
    for (file, expected) in [
        ("plain.000001", String::new()),
        ("tagged.000002", format!("{UUID}:1-15")),
        (
            "stopped.000003",
            format!("{UUID}:1-16:backup_1:1:golden:1-2,{OTHER}:70000:far:9223372036854775806"),
        ),
    ] {
        let golden = find(file, EventType::PREVIOUS_GTIDS);
        let set = previous_gtids::parse(&golden).unwrap();
        assert_eq!(set.to_string(), expected);
        let header = Header::parse(&golden).unwrap();
        let mut own = previous_gtids::write(&set, header.server_id, header.timestamp);
        seal(&mut own, header.next_position).unwrap();
        assert_eq!(own[..own.len() - CHECKSUM_LENGTH], golden[..]);
    }
    // Every transaction of a file is in the next one's.
    let set = previous_gtids::parse(&find("stopped.000003", EventType::PREVIOUS_GTIDS)).unwrap();
    let all = ["plain.000001", "tagged.000002"].map(transactions).concat();
    assert_eq!(set.len(), all.len() as u64);
    for (start, ..) in all {
        assert!(set.contains(&start.gtid.into()));
    }
}

#[test]
fn format_descriptions() {
    for file in MYSQL_FILES {
        let golden = FormatDescription::parse(&events(file)[0]).unwrap();
        assert_eq!(golden.server_version(), "9.7.4-2");
        assert_eq!(golden.algorithm(), Algorithm::Crc32);
        assert_eq!(golden.created() != 0, file == "plain.000001", "{file}");
        let own = FormatDescription::parse(&golden.write().unwrap()).unwrap();
        assert!(own.describes_like(&golden));
        assert_eq!(own.created(), 0);
    }
}

#[test]
fn the_heartbeat_that_a_server_sent() {
    let golden = b"\0\0\0\0\x29\x01\0\0\0\x29\0\0\0\xc6\x04\0\0\0\0\
        \x01\x0abin.000001\x02\x03\xfc\xc6\x04\0\xef\xb1\x99\x99";
    verify_checksum(golden).unwrap();
    let event = &golden[..golden.len() - CHECKSUM_LENGTH];
    let heartbeat = HeartbeatV2::parse(event).unwrap();
    let expected = HeartbeatV2 {
        file: b"bin.000001",
        position: 1222,
    };
    assert_eq!(heartbeat, expected);
    let mut own = heartbeat.write(ServerId(1));
    seal(&mut own, 1222).unwrap();
    assert_eq!(own, golden);
    for position in [
        0,
        250,
        251,
        0xffff,
        0x1_0000,
        0xff_ffff,
        0x100_0000,
        u64::MAX,
    ] {
        let heartbeat = HeartbeatV2 {
            file: b"",
            position,
        };
        let event = heartbeat.write(ServerId(1));
        assert_eq!(HeartbeatV2::parse(&event), Ok(heartbeat));
    }
}

#[test]
fn a_stream_that_makes_no_sense_is_refused() {
    let gtid = find("plain.000001", EventType::MYSQL_GTID);
    let tagged = find("tagged.000002", EventType::MYSQL_TAGGED_GTID);
    let xid = find("plain.000001", EventType::XID);
    let map = find("plain.000001", EventType::TABLE_MAP);
    let of_kind = |kind: EventType| {
        let mut event = gtid.clone();
        event[4] = kind.0;
        event
    };
    let mut tracker = TransactionTracker::default();
    assert_eq!(
        tracker.feed(&xid),
        Err(Error::OutsideTransaction(EventType::XID))
    );
    assert_eq!(
        tracker.feed(&of_kind(EventType::ANONYMOUS_GTID)),
        Err(Error::Anonymous)
    );
    tracker.feed(&gtid).unwrap();
    assert!(matches!(tracker.feed(&tagged), Err(Error::Nested(_))));
    assert!(matches!(tracker.feed(&map), Err(Error::Malformed(_))));
    let mut tracker = TransactionTracker::default();
    assert!(matches!(tracker.feed(&tagged), Ok(Step::GroupStart(_))));
}

#[test]
fn a_newer_servers_ignorable_events_are_passed_over() {
    let mut event = find("plain.000001", EventType::XID);
    event[4] = 99;
    let mut tracker = TransactionTracker::default();
    assert!(tracker.feed(&event).is_err());
    event[17] = Flags::IGNORABLE as u8;
    assert_eq!(tracker.feed(&event), Ok(Step::Outside));
    tracker
        .feed(&find("plain.000001", EventType::MYSQL_GTID))
        .unwrap();
    assert_eq!(tracker.feed(&event), Ok(Step::InGroup));
}

#[test]
fn a_gtids_digest_is_of_the_gtid_alone() {
    let digest = |event: &[u8]| {
        let mut digester = digest::Digester::new();
        digester.event(event);
        digester.finish()
    };
    for (file, kind, number_at) in [
        ("plain.000001", EventType::MYSQL_GTID, HEADER_LENGTH + 17),
        (
            "tagged.000002",
            EventType::MYSQL_TAGGED_GTID,
            HEADER_LENGTH + 30,
        ),
    ] {
        let event = find(file, kind);
        let gtid = GtidEvent::parse(&event).unwrap().gtid;
        let mut elsewhere = event.clone();
        // A byte of the length of the transaction, of the versions behind it.
        *elsewhere.last_mut().unwrap() ^= 0x10;
        assert_eq!(digest(&event), digest(&elsewhere));
        let mut other = event.clone();
        other[number_at] ^= 0x08;
        assert_ne!(GtidEvent::parse(&other).unwrap().gtid, gtid);
        assert_ne!(digest(&event), digest(&other));
    }
}

#[test]
fn no_truncated_event_makes_a_parser_panic() {
    for event in MYSQL_FILES.iter().flat_map(|file| events(file)) {
        for length in 0..=event.len() {
            parse_as_everything(&event[..length]);
        }
    }
}

proptest! {
    #[test]
    fn no_mutated_event_makes_a_parser_panic(
        file in 0..MYSQL_FILES.len(), pick in any::<prop::sample::Index>(),
        kind in prop::option::of(prop::sample::select(vec![33u8, 35, 40, 41, 42])),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let events = events(MYSQL_FILES[file]);
        let mut event = pick.get(&events).clone();
        for (at, byte) in changes {
            let at = at.index(event.len());
            event[at] = byte;
        }
        if let Some(kind) = kind { event[4] = kind; }
        parse_as_everything(&event);
    }
}

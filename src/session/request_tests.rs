use proptest::prelude::*;

use super::*;
use crate::protocol::packet::{self, MAX_PAYLOAD};
use crate::session::large::LargeText;
use crate::sql::hazard::SessionVariable;

fn bytes(payloads: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in payloads {
        packet::write(&mut out, &mut 0, payload);
    }
    out
}

const PLAIN: Reading = Reading {
    backslash: Backslash::Escapes,
    attributes: false,
};

fn front(unread: &[u8], prepared: &mut Prepared) -> Front {
    super::front(unread, prepared, PLAIN)
}

fn request(payload: &[u8]) -> Request {
    match front(&bytes(&[payload]), &mut Prepared::default()) {
        Front::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_query() {
    let request = request(b"\x03select 1");
    assert_eq!(request.case.kind, Kind::Read);
    assert_eq!(request.verdict, Verdict::Relay);
    assert_eq!(
        (request.silent, request.here, request.missing),
        (0, 13, None)
    );
}

#[test]
fn commands_without_an_answer_go_along() {
    let all = bytes(&[b"\x19\x01\0\0\0", b"\x18\x01\0\0\0\0\0xyz", b"\x0e"]);
    let mut prepared = Prepared::default();
    let Front::Request(request) = front(&all, &mut prepared) else {
        panic!()
    };
    assert_eq!(request.case.command, Command::PING);
    assert_eq!(request.silent, all.len() - 5);
    assert_eq!(
        front(&all[..all.len() - 2], &mut prepared),
        Front::Silent(all.len() - 5)
    );
    assert_eq!(front(&all[..3], &mut prepared), Front::NeedMore);
    assert_eq!(front(&bytes(&[b"\x01"]), &mut prepared), Front::Quit(5));
}

#[test]
fn replication_is_refused() {
    for command in [0x12, 0x13, 0x15, 0x1e] {
        assert!(matches!(request(&[command, 0, 0]).verdict, Verdict::Refuse(e) if e.code == 1235));
    }
}

#[test]
fn kills() {
    assert_eq!(
        request(b"\x0c\x07\0\0\0").verdict,
        Verdict::Kill(vec![KillTarget::Connection(7)])
    );
    assert_eq!(
        request(b"\x03KILL QUERY 7").verdict,
        Verdict::Kill(vec![KillTarget::Connection(7)])
    );
    assert!(matches!(request(b"\x16KILL ?").verdict, Verdict::Refuse(e) if e.code == 1295));
}

#[test]
fn tracking_is_watched_also_when_prepared() {
    assert!(
        request(b"\x03SET session_track_system_variables=''")
            .case
            .touches_tracking
    );
    let case = request(b"\x16SET @@session_track_gtids=?").case;
    assert!(case.touches_tracking);
    let mut prepared = Prepared::default();
    prepared.note(3, case);
    prepared.note(4, request(b"\x16select ?").case);
    let mut run = |statement: u8| {
        let all = bytes(&[&[0x17, statement, 0, 0, 0, 0]]);
        match front(&all, &mut prepared) {
            Front::Request(request) => request.case,
            other => panic!("{other:?}"),
        }
    };
    assert!(run(3).touches_tracking);
    assert!(!run(4).touches_tracking);
    front(&bytes(&[b"\x19\x03\0\0\0"]), &mut prepared);
    assert!(prepared.by_number.is_empty());
}

#[test]
fn hazards() {
    let hazard = |payload: &[u8]| request(payload).hazard;
    assert_eq!(hazard(b"\x03RESET MASTER"), Some(Hazard::ResetBinlog));
    assert_eq!(hazard(b"\x16RESET MASTER"), Some(Hazard::ResetBinlog));
    assert_eq!(
        hazard(b"\x03SELECT 1; PURGE BINARY LOGS TO 'a'"),
        Some(Hazard::Purge)
    );
    assert_eq!(
        hazard(b"\x03SELECT 1 /*!; RESET MASTER */"),
        Some(Hazard::ResetBinlog)
    );
    assert_eq!(hazard(b"\x07\x80"), Some(Hazard::ResetBinlog));
    assert_eq!(hazard(b"\x07\x40"), Some(Hazard::ResetReplica));
    for harmless in [
        b"\x03SELECT 'RESET MASTER'; SELECT 1".as_slice(),
        b"\x07\x01",
        b"\x07",
        b"\x03",
        b"\x02RESET MASTER",
    ] {
        assert_eq!(hazard(harmless), None, "{harmless:?}");
    }
}

#[test]
fn a_large_text_is_looked_at_as_it_passes() {
    let mut payload = b"\x03INSERT INTO t VALUES ('; RESET MASTER; ".to_vec();
    payload.resize(MAX_PAYLOAD - 10, b'x');
    // A header stands in the middle of it.
    payload.extend_from_slice(b"'); SET sql_log_bin = 0; SET session_track_gtids = 0");
    let all = bytes(&[&payload]);
    for first in [READ_AHEAD, all.len() - 60, all.len() - 1] {
        let Front::Request(request) = front(&all[..first], &mut Prepared::default()) else {
            panic!()
        };
        assert_eq!(request.hazard, None);
        let mut text = LargeText::begin(&all[..request.here], request.text_at, Backslash::Escapes);
        let mut missing = request.missing;
        let mut at = request.here;
        while let Some(still) = missing {
            let end = (at + 100_003).min(all.len());
            let (used, next) = text.pass(still, &all[at..end]);
            at += used;
            missing = next;
        }
        assert_eq!(
            text.hazard(),
            Some(&Hazard::Session(SessionVariable::SqlLogBin))
        );
        assert!(text.touches_tracking());
    }
    // Only its end makes it one.
    payload.truncate(READ_AHEAD);
    payload.extend_from_slice(b"'; SET gtid_seq_no = 05");
    let all = bytes(&[&payload]);
    let Front::Request(request) = front(&all[..READ_AHEAD], &mut Prepared::default()) else {
        panic!()
    };
    let mut text = LargeText::begin(&all[..request.here], request.text_at, Backslash::Escapes);
    let (used, missing) = text.pass(request.missing.unwrap(), &all[request.here..]);
    assert_eq!((request.here + used, missing), (all.len(), None));
    assert!(text.hazard().is_some());
}

#[test]
fn a_large_command_is_sent_in_parts() {
    let mut payload = b"\x03insert into t values('".to_vec();
    payload.resize(MAX_PAYLOAD + 100, b'x');
    let all = bytes(&[&payload, b"\x0e"]);
    // Less than we read ahead: wait for more.
    assert_eq!(
        front(&all[..1000], &mut Prepared::default()),
        Front::NeedMore
    );
    for first in [
        READ_AHEAD,
        READ_AHEAD + 1,
        HEADER + MAX_PAYLOAD + 2,
        all.len(),
    ] {
        let Front::Request(request) = front(&all[..first], &mut Prepared::default()) else {
            panic!()
        };
        let mut at = request.here;
        let mut missing = request.missing;
        // As the relay does it: new bytes are added to what was not used.
        let mut seen = first;
        while let Some(still) = missing {
            let (used, next) = still.pass(&all[at..seen]);
            at += used;
            missing = next;
            seen = (seen + 70_000).min(all.len());
        }
        assert_eq!(at, all.len() - 5, "first {first}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = front(&bytes, &mut Prepared::default());
    }

    #[test]
    fn no_command_panics(payload in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = front(&bytes(&[&payload]), &mut Prepared::default());
    }
}

/// A hazard behind query attributes: whole, in parts, and behind attributes that cannot be read.
#[test]
fn statements_behind_attributes() {
    let reading = Reading {
        attributes: true,
        ..PLAIN
    };
    let one = b"\x03\x01\x01\x00\x01\xfe\x00\x01n\x05value";
    let hazard = b"SET sql_log_bin = 0";
    let mut prepared = Prepared::default();
    for before in [&b"\x03\x00\x01"[..], one] {
        let all = bytes(&[&[before, hazard].concat()]);
        let Front::Request(request) = super::front(&all, &mut prepared, reading) else {
            panic!("no request");
        };
        assert_eq!(request.text_at, before.len());
        assert!(request.hazard.is_some());
        assert_eq!(request.verdict, Verdict::Relay);

        let large = [before, b"SELECT '", &[b'x'; 2 * READ_AHEAD], b"'; ", hazard].concat();
        let all = bytes(&[&large]);
        let front = super::front(&all[..READ_AHEAD], &mut prepared, reading);
        let Front::Request(request) = front else {
            panic!("no request");
        };
        let mut text = LargeText::begin(&all[..request.here], request.text_at, Backslash::Escapes);
        text.pass(request.missing.unwrap(), &all[request.here..]);
        assert!(text.hazard().is_some());
    }
    let broken = [&one[..4], b"\x00", hazard].concat();
    let all = bytes(&[&broken]);
    let Front::Request(request) = super::front(&all, &mut prepared, reading) else {
        panic!("no request");
    };
    assert!(matches!(request.verdict, Verdict::Refuse(error) if error.code == 1835));
}

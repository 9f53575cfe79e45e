use proptest::prelude::*;

use super::*;

const NEW: Capabilities = Capabilities(
    Capabilities::DEPRECATE_EOF.0 | Capabilities::SESSION_TRACK.0 | Capabilities::PROTOCOL_41.0,
);
const OLD: Capabilities = Capabilities(Capabilities::PROTOCOL_41.0);
const OK: &[u8] = b"\x00\x00\x00\x02\x00\x00\x00";
const OK_MORE: &[u8] = b"\x00\x00\x00\x0a\x00\x00\x00";
const END: &[u8] = b"\xfe\x00\x00\x02\x00\x00\x00";
const END_MORE: &[u8] = b"\xfe\x00\x00\x0a\x00\x00\x00";
const EOF: &[u8] = b"\xfe\x00\x00\x02\x00";
const EOF_CURSOR: &[u8] = b"\xfe\x00\x00\x42\x00";
const ERR: &[u8] = b"\xff\x28\x04#42000no";
const PROGRESS: &[u8] = b"\xff\xff\xff\x01\x01\x02\x00\x00\x00\x00";
const COLUMN: &[u8] = b"\x03def...";
const ROW: &[u8] = b"\x01a";

/// Feeds the packets and writes what each was in one letter; `.` where the answer was done.
fn script(command: Command, capabilities: Capabilities, packets: &[&[u8]]) -> String {
    let mut response = Response::new(command, capabilities);
    let mut out = String::new();
    for payload in packets {
        assert!(!response.is_done(), "done early: {out}");
        let given = if response.needs_whole(payload[0], payload.len()) {
            *payload
        } else {
            &payload[..1]
        };
        out.push(match response.packet(given, payload.len()).unwrap() {
            Packet::ResultHeader { .. } => 'H',
            Packet::Column(ColumnPlace::Middle) => 'c',
            Packet::Column(ColumnPlace::LastOfResult) => 'C',
            Packet::Column(ColumnPlace::LastOfPrepared) => 'P',
            Packet::ColumnsEof(_) => 'e',
            Packet::Row => 'r',
            Packet::Ok(_) => 'O',
            Packet::Eof(_) => 'E',
            Packet::Err { .. } => 'X',
            Packet::Progress => '%',
            Packet::LocalInfile => 'L',
            Packet::Prepared { .. } => 'S',
            Packet::Text => 't',
            Packet::Auth => 'A',
        });
    }
    if response.is_done() {
        out.push('.');
    }
    out
}

#[test]
fn text_results() {
    let q = Command::QUERY;
    assert_eq!(script(q, NEW, &[OK]), "O.");
    assert_eq!(script(q, NEW, &[ERR]), "X.");
    assert_eq!(
        script(q, NEW, &[b"\x02", COLUMN, COLUMN, ROW, ROW, END]),
        "HcCrrO."
    );
    assert_eq!(script(q, NEW, &[b"\x01", COLUMN, END]), "HCO.");
    assert_eq!(script(q, NEW, &[b"\x01", COLUMN, ROW, ERR]), "HCrX.");
    assert_eq!(
        script(q, OLD, &[b"\x02", COLUMN, COLUMN, EOF, ROW, EOF]),
        "HcCerE."
    );
}

#[test]
fn several_results() {
    assert_eq!(
        script(
            Command::QUERY,
            NEW,
            &[
                b"\x01", COLUMN, ROW, END_MORE, OK_MORE, b"\x01", COLUMN, END_MORE, OK
            ]
        ),
        "HCrOOHCOO."
    );
    assert_eq!(
        script(Command::QUERY, NEW, &[b"\x01", COLUMN, ROW, END_MORE, ERR]),
        "HCrOX."
    );
}

#[test]
fn progress_reports_are_part_of_nothing() {
    assert_eq!(
        script(Command::QUERY, NEW, &[PROGRESS, PROGRESS, OK]),
        "%%O."
    );
    assert_eq!(
        script(Command::QUERY, NEW, &[b"\x01", COLUMN, PROGRESS, ROW, END]),
        "HC%rO."
    );
}

#[test]
fn local_infile() {
    assert_eq!(
        script(Command::QUERY, NEW, &[b"\xfb/tmp/x", OK_MORE, OK]),
        "LOO."
    );
}

#[test]
fn a_huge_row_is_no_end() {
    let mut response = Response::new(Command::QUERY, NEW);
    response.packet(b"\x01", 1).unwrap();
    response.packet(COLUMN, COLUMN.len()).unwrap();
    assert!(!response.needs_whole(0xFE, MAX_PAYLOAD));
    assert_eq!(response.packet(b"\xfe", MAX_PAYLOAD), Ok(Packet::Row));
    assert!(response.needs_whole(0xFE, 7));
}

#[test]
fn prepared_statements() {
    let p = Command::STMT_PREPARE;
    assert_eq!(script(p, NEW, &[b"\0\x01\0\0\0\0\0\0\0\0\0\0"]), "S.");
    let both = b"\0\x01\0\0\0\x02\0\x01\0\0\0\0";
    assert_eq!(script(p, NEW, &[both, COLUMN, COLUMN, COLUMN]), "SPcP.");
    assert_eq!(
        script(p, OLD, &[both, COLUMN, EOF, COLUMN, COLUMN, EOF]),
        "SPecPe."
    );
    assert_eq!(script(p, NEW, &[ERR]), "X.");
    assert_eq!(script(Command::STMT_FETCH, NEW, &[b"\0\0a", END]), "rO.");
    assert_eq!(script(Command::STMT_FETCH, NEW, &[ERR]), "X.");
    // A cursor: no rows until they are fetched.
    assert_eq!(
        script(Command::STMT_EXECUTE, OLD, &[b"\x01", COLUMN, EOF_CURSOR]),
        "HCe."
    );
}

#[test]
fn metadata_cache() {
    let caching = NEW.with(Capabilities::CACHE_METADATA);
    assert_eq!(
        script(Command::STMT_EXECUTE, caching, &[b"\x02\0", b"\0\0a", END]),
        "HrO."
    );
    assert_eq!(
        script(
            Command::STMT_EXECUTE,
            caching,
            &[b"\x01\x01", COLUMN, b"\0\0a", END]
        ),
        "HCrO."
    );
}

/// Measured on MySQL 9.7.
#[test]
fn metadata_on_demand() {
    let new = NEW.with(Capabilities::OPTIONAL_METADATA);
    let old = OLD.with(Capabilities::OPTIONAL_METADATA);
    let q = Command::QUERY;
    assert_eq!(script(q, new, &[b"\x01\x01", COLUMN, ROW, END]), "HCrO.");
    assert_eq!(script(q, new, &[b"\x02\0", ROW, ROW, END]), "HrrO.");
    assert_eq!(
        script(q, new, &[b"\x01\0", ROW, END_MORE, b"\x02\0", END]),
        "HrOHO."
    );
    assert_eq!(script(q, old, &[b"\x01\0", EOF, ROW, EOF]), "HerE.");
    assert_eq!(
        script(Command::STMT_EXECUTE, old, &[b"\x01\0", EOF_CURSOR]),
        "He."
    );
    assert_eq!(script(Command::FIELD_LIST, new, &[END]), "O.");

    let p = Command::STMT_PREPARE;
    let without = b"\0\x01\0\0\0\x02\0\x01\0\0\0\0\0";
    let with = b"\0\x01\0\0\0\x02\0\x01\0\0\0\0\x01";
    let parameter_only = b"\0\x01\0\0\0\0\0\x01\0\0\0\0\0";
    assert_eq!(script(p, new, &[without]), "S.");
    assert_eq!(script(p, new, &[with, COLUMN, COLUMN, COLUMN]), "SPcP.");
    assert_eq!(script(p, old, &[without, EOF, EOF]), "See.");
    assert_eq!(script(p, old, &[parameter_only, EOF]), "Se.");
    let mut cut = Response::new(p, new);
    assert!(cut.packet(&without[..12], 12).is_err());
}

#[test]
fn the_other_forms() {
    assert_eq!(script(Command::PING, NEW, &[OK]), "O.");
    assert_eq!(script(Command::SET_OPTION, NEW, &[END]), "O.");
    assert_eq!(script(Command::SET_OPTION, OLD, &[EOF]), "E.");
    assert_eq!(script(Command::STATISTICS, NEW, &[b"Uptime: 1"]), "t.");
    assert_eq!(
        script(Command::FIELD_LIST, NEW, &[COLUMN, COLUMN, END]),
        "ccO."
    );
    assert_eq!(script(Command::FIELD_LIST, NEW, &[ERR]), "X.");
    assert_eq!(
        script(
            Command::CHANGE_USER,
            NEW,
            &[b"\xfemysql_native_password\0...", OK]
        ),
        "AO."
    );
    assert!(Response::new(Command::STMT_CLOSE, NEW).is_done());
    assert!(Response::new(Command::QUIT, NEW).is_done());
}

#[test]
fn a_packet_after_the_end_is_an_error() {
    let mut response = Response::new(Command::PING, NEW);
    response.packet(OK, OK.len()).unwrap();
    assert!(response.packet(OK, OK.len()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(
        command in any::<u8>(),
        capabilities in prop::sample::select(vec![
            OLD,
            OLD.with(Capabilities::OPTIONAL_METADATA),
            NEW.with(Capabilities::OPTIONAL_METADATA),
            NEW.with(Capabilities::CACHE_METADATA),
        ]),
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..24),
    ) {
        let mut response = Response::new(Command(command), capabilities);
        for payload in &packets {
            if response.is_done() || response.packet(payload, payload.len()).is_err() {
                break;
            }
        }
    }

    #[test]
    fn parsers_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use crate::protocol::{auth, binlog_dump, handshake_response, register_slave, semi_sync};
        use crate::protocol::{session_state, ErrPacket, Handshake, HandshakeResponse};
        let _ = Handshake::parse(&bytes);
        let _ = HandshakeResponse::parse(&bytes);
        let _ = handshake_response::patch_capabilities(&mut bytes.clone(), NEW);
        let _ = OkPacket::parse(&bytes, NEW);
        let _ = OkPacket::parse(&bytes, OLD);
        let _ = ErrPacket::parse(&bytes);
        let _ = session_state::gtid(&bytes);
        let _ = session_state::without(&bytes, |_| true, &mut Vec::new());
        let _ = auth::AuthSwitch::parse(&bytes);
        let _ = binlog_dump::BinlogDump::parse(&bytes);
        let _ = register_slave::RegisterSlave::parse(&bytes);
        let _ = semi_sync::Ack::parse(&bytes);
        let _ = semi_sync::EventPacket::parse(&bytes, true);
    }
}

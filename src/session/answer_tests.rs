use proptest::prelude::*;

use super::*;

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const BACKEND: Capabilities = Capabilities(
    Capabilities::PROTOCOL_41.0 | Capabilities::SESSION_TRACK.0 | Capabilities::DEPRECATE_EOF.0,
);
const COLUMN: &[u8] = b"\x03def";
const END: &[u8] = b"\xfe\x00\x00\x02\x00\x00\x00";
const OK_GTID: &[u8] = b"\x00\x01\x00\x02\x40\x00\x00\x00\x12\x00\x10\x09last_gtid\x050-1-7";
const OK_BARE: &[u8] = b"\x00\x01\x00\x02\x00\x00\x00";

fn packets(payloads: &[&[u8]]) -> Vec<u8> {
    let (mut out, mut sequence) = (Vec::new(), 1);
    for payload in payloads {
        packet::write(&mut out, &mut sequence, payload);
    }
    out
}

struct Run {
    shown: Vec<u8>,
    ends: Vec<String>,
    done: bool,
}

/// Feeds `bytes` in parts of `size`; every end is waited for once.
fn run(command: Command, client: Capabilities, bytes: &[u8], size: usize) -> Run {
    // Metadata is on demand at the source where the client can demand it.
    let backend = BACKEND | (client & Capabilities::OPTIONAL_METADATA);
    let mut answer = Answer::new(
        command,
        backend,
        client,
        Shows::default(),
        status::AUTOCOMMIT,
    );
    answer.set_asks_cursor(command == Command::STMT_EXECUTE);
    let mut passage = Passage::default();
    let mut input: Vec<u8> = Vec::new();
    let mut run = Run {
        shown: Vec::new(),
        ends: Vec::new(),
        done: false,
    };
    for part in bytes.chunks(size) {
        input.extend_from_slice(part);
        loop {
            let ends = &mut run.ends;
            let step = answer
                .advance(&mut input, &mut passage, &mut |end| {
                    ends.push(match end {
                        End::Ok { gtid } => {
                            format!("ok {}", String::from_utf8_lossy(gtid.unwrap_or(b"-")))
                        }
                        End::Err { code, first } => format!("err {code} {first}"),
                    });
                    Some(())
                })
                .unwrap();
            passage.gather(&input);
            run.shown.append(&mut passage.front);
            input.drain(..passage.verbatim.end);
            passage.verbatim = 0..0;
            match step {
                Step::Wait(()) => {}
                Step::Done => {
                    run.done = true;
                    break;
                }
                _ => break,
            }
        }
    }
    assert!(input.is_empty(), "{} bytes were not passed", input.len());
    run
}

/// Whatever the parts it comes in, the client sees the same.
fn check(command: Command, client: Capabilities, sent: &[&[u8]], shown: &[&[u8]]) -> Vec<String> {
    let bytes = packets(sent);
    let mut ends = Vec::new();
    for size in [1, 3, 7, bytes.len()] {
        let run = run(command, client, &bytes, size);
        assert!(run.done);
        assert_eq!(run.shown, packets(shown), "in parts of {size}");
        ends = run.ends;
    }
    ends
}

#[test]
fn a_client_that_knows_everything_sees_it_without_the_gtid() {
    let modern = BACKEND;
    let result: &[&[u8]] = &[b"\x01", COLUMN, b"\x01a", END];
    assert_eq!(check(Command::QUERY, modern, result, result), ["ok -"]);
    assert_eq!(
        check(Command::QUERY, modern, &[OK_GTID], &[OK_BARE]),
        ["ok 0-1-7"]
    );
}

#[test]
fn other_session_state_stays() {
    let sent =
        b"\x00\x01\x00\x02\x40\x00\x00\x00\x1a\x01\x05\x04shop\x00\x10\x09last_gtid\x050-1-7"
            .as_slice();
    // Lengths: 7 + 18 = 25.
    let mut sent = sent.to_vec();
    sent[8] = 25;
    let shown = b"\x00\x01\x00\x02\x40\x00\x00\x00\x07\x01\x05\x04shop";
    check(Command::QUERY, BACKEND, &[&sent], &[shown]);
    check(Command::QUERY, OLD, &[&sent], &[OK_BARE]);
}

#[test]
fn an_old_client_gets_its_eof_packets() {
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    assert_eq!(
        check(
            Command::QUERY,
            OLD,
            &[b"\x02", COLUMN, COLUMN, b"\x01a", b"\x01b", END],
            &[b"\x02", COLUMN, COLUMN, eof, b"\x01a", b"\x01b", eof],
        ),
        ["ok -"]
    );
    check(
        Command::QUERY,
        OLD,
        &[b"\x01", COLUMN, END],
        &[b"\x01", COLUMN, eof, eof],
    );
    check(
        Command::QUERY,
        OLD,
        &[b"\x01", COLUMN, b"\xff\x28\x04#42000no"],
        &[b"\x01", COLUMN, eof, b"\xff\x28\x04#42000no"],
    );
    check(Command::SET_OPTION, OLD, &[END], &[eof]);
    check(Command::FIELD_LIST, OLD, &[COLUMN, END], &[COLUMN, eof]);
    check(Command::STMT_FETCH, OLD, &[b"\0\0a", END], &[b"\0\0a", eof]);
}

#[test]
fn several_results_for_an_old_client() {
    let end_more: &[u8] = b"\xfe\x00\x00\x0a\x00\x00\x00";
    let eof_more: &[u8] = b"\xfe\0\0\x0a\0";
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    let ends = check(
        Command::QUERY,
        OLD,
        &[
            b"\x01", COLUMN, b"\x01a", end_more, b"\x01", COLUMN, b"\x01b", end_more, OK_GTID,
        ],
        &[
            b"\x01", COLUMN, eof, b"\x01a", eof_more, b"\x01", COLUMN, eof, b"\x01b", eof_more,
            OK_BARE,
        ],
    );
    assert_eq!(ends, ["ok -", "ok -", "ok 0-1-7"]);
}

#[test]
fn prepared_for_an_old_client() {
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    let head: &[u8] = b"\0\x01\0\0\0\x02\0\x01\0\0\0\0";
    check(
        Command::STMT_PREPARE,
        OLD,
        &[head, COLUMN, COLUMN, COLUMN],
        &[head, COLUMN, eof, COLUMN, COLUMN, eof],
    );
    let none: &[u8] = b"\0\x01\0\0\0\0\0\0\0\0\0\0";
    check(Command::STMT_PREPARE, OLD, &[none], &[none]);
    // Clients ask for warnings by the number in the last packet.
    let warns: &[u8] = b"\0\x01\0\0\0\x01\0\x01\0\0\x03\0";
    let eof: &[u8] = b"\xfe\x03\0\x02\0";
    check(
        Command::STMT_PREPARE,
        OLD,
        &[warns, COLUMN, COLUMN],
        &[warns, COLUMN, eof, COLUMN, eof],
    );
}

#[test]
fn an_old_client_gets_its_eof_packets_without_definitions() {
    let client = OLD.with(Capabilities::OPTIONAL_METADATA);
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    check(
        Command::QUERY,
        client,
        &[b"\x02\0", b"\x01a", END],
        &[b"\x02\0", eof, b"\x01a", eof],
    );
    check(
        Command::QUERY,
        client,
        &[b"\x01\0", END],
        &[b"\x01\0", eof, eof],
    );
    check(
        Command::STMT_EXECUTE,
        client,
        &[b"\x01\0", b"\xfe\x00\x00\x42\x00\x00\x00"],
        &[b"\x01\0", b"\xfe\0\0\x42\0"],
    );
    for (columns, parameters) in [(2, 1), (2, 0), (0, 1), (0, 0)] {
        let head = [0, 1, 0, 0, 0, columns, 0, parameters, 0, 0, 0, 0, 0];
        let lists = usize::from(columns > 0) + usize::from(parameters > 0);
        let shown = [&[&head[..]][..], &vec![eof; lists]].concat();
        check(Command::STMT_PREPARE, client, &[&head], &shown);
    }
}

#[test]
fn a_cursor_has_one_end() {
    check(
        Command::STMT_EXECUTE,
        OLD,
        &[b"\x01", COLUMN, b"\xfe\x00\x00\x42\x00\x00\x00"],
        &[b"\x01", COLUMN, b"\xfe\0\0\x42\0"],
    );
}

/// MariaDB, `FOR r IN (SELECT …) DO SELECT … LIMIT 0; SELECT …; END FOR`.
#[test]
fn results_within_a_loop_over_a_cursor_are_none() {
    let within: &[u8] = b"\xfe\x00\x00\x6a\x00\x00\x00";
    let (columns, end): (&[u8], &[u8]) = (b"\xfe\0\0\x02\0", b"\xfe\0\0\x6a\0");
    let later: &[u8] = b"\xfe\0\0\x22\0";
    check(
        Command::STMT_EXECUTE,
        OLD,
        &[
            b"\x01", COLUMN, within, b"\x01", COLUMN, b"\0\0a", within, OK_BARE,
        ],
        &[
            b"\x01", COLUMN, later, end, b"\x01", COLUMN, later, b"\0\0a", end, OK_BARE,
        ],
    );
    // Nobody asked for one.
    check(
        Command::QUERY,
        OLD,
        &[b"\x01", COLUMN, b"\xfe\x00\x00\x42\x00\x00\x00"],
        &[b"\x01", COLUMN, columns, b"\xfe\0\0\x42\0"],
    );
}

#[test]
fn out_parameters_are_announced() {
    let bytes = packets(&[b"\x01", COLUMN, b"\0\0a", b"\xfe\0\0\x0a\x10\0\0", OK_GTID]);
    let run = run(Command::STMT_EXECUTE, OLD, &bytes, bytes.len());
    let eof: &[u8] = b"\xfe\0\0\x0a\x10";
    assert_eq!(
        run.shown,
        packets(&[b"\x01", COLUMN, eof, b"\0\0a", eof, OK_BARE])
    );
}

#[test]
fn sixteen_megabytes_and_more() {
    let row = vec![0xfe; MAX_PAYLOAD + 10];
    let eof: &[u8] = b"\xfe\0\0\x02\0";
    let bytes = packets(&[b"\x01", COLUMN, &row, END]);
    for size in [65_536, bytes.len()] {
        let run = run(Command::QUERY, OLD, &bytes, size);
        assert!(run.shown == packets(&[b"\x01", COLUMN, eof, &row, eof]));
    }
}

#[test]
fn an_error_tells_whether_it_was_the_first() {
    let err: &[u8] = b"\xff\x28\x04#42000no";
    assert_eq!(
        check(Command::QUERY, OLD, &[err], &[err]),
        ["err 1064 true"]
    );
    let progress: &[u8] = b"\xff\xff\xff\x01\x01\x02\x00\x00\x00\x00";
    check(
        Command::QUERY,
        OLD,
        &[progress, OK_GTID],
        &[progress, OK_BARE],
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(
        command in any::<u8>(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
        old in any::<bool>(),
        optional in any::<bool>(),
        size in 1usize..64,
    ) {
        let refs: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let bytes = packets(&refs);
        let client = if old { OLD } else { BACKEND };
        let metadata = if optional { Capabilities::OPTIONAL_METADATA } else { Capabilities::NONE };
        let (backend, client) = (BACKEND | metadata, client | metadata);
        let mut answer = Answer::new(Command(command), backend, client, Shows::default(), status::AUTOCOMMIT);
        let mut passage = Passage::default();
        let mut input = Vec::new();
        'all: for part in bytes.chunks(size) {
            input.extend_from_slice(part);
            for _ in 0..100 {
                match answer.advance(&mut input, &mut passage, &mut |_| Some(())) {
                    Ok(Step::NeedMore) => break,
                    Ok(Step::Done) | Err(_) => break 'all,
                    Ok(_) => {}
                }
            }
        }
    }
}

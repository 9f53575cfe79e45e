//! The same script once directly at a real server and once through a session, compared packet by
//! packet: numbers and payloads, for several sets of client capabilities. What may differ is named in
//! [`script::Compare`]; everything else that differs is a bug of ours.

pub mod client;
pub mod frames;
pub mod script;

use std::time::Duration;

use crate::support::mysql;
use crate::support::session::{Proxy, Server};
use ackline::ids::Flavor;
use ackline::protocol::Capabilities as C;
use client::Client;
use frames::Frames;
use script::{CLEAN, Compare, Step, endings, query, script, shapes, tracked};

const SILENCE: Duration = Duration::from_millis(30);
const LONG_SILENCE: Duration = Duration::from_millis(300);

fn base() -> C {
    [
        C::CLIENT_MYSQL,
        C::LONG_FLAG,
        C::PROTOCOL_41,
        C::TRANSACTIONS,
        C::SECURE_CONNECTION,
        C::PLUGIN_AUTH,
        C::LOCAL_FILES,
        C::MULTI_RESULTS,
        C::PS_MULTI_RESULTS,
    ]
    .into_iter()
    .fold(C::NONE, C::with)
}

/// What drivers ask for, from the oldest to MariaDB's own.
fn variants(flavor: Flavor) -> Vec<(&'static str, C)> {
    let multi = base().with(C::MULTI_STATEMENTS);
    let mariadb = multi
        .without(C::CLIENT_MYSQL)
        .with(C::BULK_OPERATIONS)
        .with(C::EXTENDED_METADATA)
        .with(C::CACHE_METADATA)
        .with(C::BULK_UNIT_RESULTS);
    let mut variants = vec![
        ("an old client", base()),
        ("multi statements", multi),
        ("deprecate eof", multi.with(C::DEPRECATE_EOF)),
        ("session track", multi.with(C::SESSION_TRACK)),
        (
            "a new MySQL client",
            multi.with(C::DEPRECATE_EOF).with(C::SESSION_TRACK),
        ),
        ("found rows", multi.with(C::FOUND_ROWS).with(C::INTERACTIVE)),
        ("MariaDB's extensions", mariadb),
        (
            "MariaDB's extensions, deprecate eof",
            mariadb.with(C::DEPRECATE_EOF).with(C::SESSION_TRACK),
        ),
    ];
    variants.push(("zlib", multi.with(C::COMPRESS)));
    if flavor == Flavor::MySql {
        variants.push((
            "query attributes",
            multi.with(C::QUERY_ATTRIBUTES).with(C::SESSION_TRACK),
        ));
        let optional = multi.with(C::OPTIONAL_METADATA);
        variants.push(("metadata on demand", optional));
        variants.push((
            "metadata on demand, deprecate eof",
            optional.with(C::DEPRECATE_EOF).with(C::SESSION_TRACK),
        ));
        variants.push(("zstd", multi.with(C::ZSTD).with(C::DEPRECATE_EOF)));
        variants.retain(|(name, _)| !name.starts_with("MariaDB"));
    }
    variants
}

type Answer = Vec<(u8, Vec<u8>)>;

fn run(port: u16, capabilities: C, steps: &[Step], silence: Duration) -> Vec<Answer> {
    let mut client = Client::login(port, capabilities, silence);
    client.run(&query("USE shop"));
    for statement in CLEAN {
        client.run(&query(statement));
    }
    let mut client = Client::login(port, capabilities, silence);
    // Whoever is thrown out in the middle is so where it should not be: say where, not that a pipe is broken.
    let answers = steps.iter().map(|step| {
        let answer = client.run(step);
        let closed = answer.last().is_some_and(|(_, last)| last == b"closed");
        assert!(!closed, "port {port}, {}: {}", step.name, shown(&answer));
        answer
    });
    answers.collect()
}

/// Each on a connection of its own.
fn run_endings(port: u16, capabilities: C, silence: Duration) -> Vec<Answer> {
    let run = |ending| Client::login(port, capabilities, silence).run(ending);
    endings().iter().map(run).collect()
}

/// Payloads of megabytes are told by their ends.
fn shown(answer: &Answer) -> String {
    let packets = answer.iter().map(|(sequence, payload)| {
        let head = &payload[..payload.len().min(120)];
        format!(
            "  {sequence:3} {:8} bytes  {}",
            payload.len(),
            head.escape_ascii()
        )
    });
    packets.collect::<Vec<_>>().join("\n")
}

#[test]
fn proxied_is_as_direct() {
    compare(Flavor::MariaDb, || Server::start(&[]));
}

#[test]
fn proxied_is_as_direct_on_mysql() {
    if let Some(programs) = mysql::programs("proxied_is_as_direct_on_mysql") {
        compare(Flavor::MySql, move || Server::start_mysql(&programs));
    }
}

/// Four servers share the work: most of the time is spent on waiting whether more comes.
fn compare(flavor: Flavor, start: impl Fn() -> Server + Clone + Send + 'static) {
    let variants = variants(flavor);
    let only = std::env::var("ACKLINE_DIFFERENTIAL").ok();
    let variants: Vec<_> = (variants.into_iter())
        .filter(|(name, _)| {
            only.as_ref()
                .is_none_or(|only| name.contains(only.as_str()))
        })
        .collect();
    let shares = variants.chunks(variants.len().div_ceil(4));
    let workers: Vec<_> = shares
        .map(|share| {
            let (share, start) = (share.to_vec(), start.clone());
            std::thread::spawn(move || {
                let server = start();
                let proxy = Proxy::start(&server);
                let compare = |(variant, capabilities): &(&str, C)| {
                    let once = |silence| {
                        let ports = [server.port, proxy.port];
                        differences(flavor, variant, *capabilities, ports, silence)
                    };
                    // A busy machine may be silent in the middle of an answer.
                    match once(SILENCE) {
                        some if some.is_empty() => some,
                        _ => once(LONG_SILENCE),
                    }
                };
                share.iter().flat_map(compare).collect::<Vec<_>>()
            })
        })
        .collect();
    let different: Vec<String> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    assert!(
        different.is_empty(),
        "{} differences\n{}",
        different.len(),
        different.join("\n")
    );
}

fn differences(
    flavor: Flavor,
    variant: &str,
    capabilities: C,
    [server, proxy]: [u16; 2],
    silence: Duration,
) -> Vec<String> {
    let mut steps = script(flavor);
    let compressed = Frames::of(capabilities).is_some();
    if compressed {
        // Servers themselves lose count of frames there.
        steps.retain(|step| !step.name.starts_with("pipelined"));
    }
    let (shapes, endings) = (shapes(flavor), endings());
    let run_all = |port| {
        let mut answers = run(port, capabilities, &steps, silence);
        answers.extend(run(port, capabilities, &shapes, silence));
        answers.extend(run_endings(port, capabilities, silence));
        answers
    };
    let (mut direct, mut proxied) = (run_all(server), run_all(proxy));
    if compressed {
        // Servers set packets' numbers back to the frames' with every flush; clients look at the frames'.
        let packets = direct.iter_mut().chain(&mut proxied).flatten();
        packets.for_each(|(sequence, _)| *sequence = 0);
    }
    let mut different = Vec::new();
    let steps = steps.iter().chain(&shapes).chain(&endings);
    for ((step, direct), proxied) in steps.zip(&direct).zip(&proxied) {
        let (expected, found) = match step.compare {
            Compare::All => (settled(direct), settled(proxied)),
            Compare::Kind => (kinds(direct), kinds(proxied)),
            Compare::AnyOrder => (sorted(direct), sorted(proxied)),
            Compare::Shape => (shape(direct), shape(proxied)),
        };
        assert!(
            !expected.is_empty() || step.silent,
            "{}: no answer",
            step.name
        );
        if expected != found {
            different.push(format!(
                "{variant}: {}\n direct\n{}\n proxied\n{}",
                step.name,
                shown(direct),
                shown(proxied)
            ));
        }
    }
    different
}

/// A server may track by default what we track behind the client's back; that is the client's then.
#[test]
fn what_the_server_tracks_by_default_is_told() {
    let session = base().with(C::SESSION_TRACK);
    let compare = |server: Server, what: &str| {
        let proxy = Proxy::start(&server);
        for capabilities in [base(), session, session.with(C::DEPRECATE_EOF)] {
            // What becomes of an empty list, or of one of all, MariaDB does not tell: we ask.
            let steps = tracked(!what.ends_with(['=', '*']));
            let [direct, proxied] =
                [server.port, proxy.port].map(|port| run(port, capabilities, &steps, SILENCE));
            for ((step, direct), proxied) in steps.iter().zip(&direct).zip(&proxied) {
                let (expected, found) = match step.compare {
                    Compare::Shape => (shape(direct), shape(proxied)),
                    Compare::Kind => (kinds(direct), kinds(proxied)),
                    _ => (settled(direct), settled(proxied)),
                };
                let says = format!("{}\n{}", shown(direct), shown(proxied));
                assert_eq!(expected, found, "{what}: {}\n{says}", step.name);
            }
        }
    };
    for list in [
        "autocommit",
        "",
        "autocommit,last_gtid",
        "sql_auto_is_null,server_id",
        "*",
    ] {
        let option = format!("--session-track-system-variables={list}");
        compare(Server::start(&[&option]), &format!("MariaDB {option}"));
    }
    if let Some(programs) = mysql::programs("what_the_server_tracks_by_default_is_told on MySQL") {
        for option in [
            "--session-track-gtids=OFF",
            "--session-track-gtids=OWN_GTID",
        ] {
            // (Of `*` MySQL also tells the number of each statement, after rows in the old spelling with the next.)
            let lists = [
                "--session-track-system-variables=",
                "--session-track-system-variables=time_zone",
            ];
            for list in lists {
                let server = Server::start_mysql_with(&programs, &[option, list]);
                compare(server, &format!("MySQL {option} {list}"));
            }
        }
    }
}

/// The answer to a statement that another session ends, and what that one is told.
fn killed(port: u16, kill: impl Fn(&Client, &mut Client) -> String) -> [Answer; 2] {
    let capabilities = base().with(C::DEPRECATE_EOF);
    let mut victim = Client::login(port, capabilities, 4 * SILENCE);
    let mut other = Client::login(port, capabilities, 4 * SILENCE);
    victim.begin("SELECT SLEEP(60) FROM shop.one");
    std::thread::sleep(4 * SILENCE);
    let statement = kill(&victim, &mut other);
    let told = other.run(&query(&statement));
    [victim.end(), told]
}

/// The number that the server gave the statement that a connection runs.
fn query_id(victim: &Client, other: &mut Client) -> String {
    let find = "SELECT QUERY_ID FROM information_schema.PROCESSLIST WHERE ID = ";
    let rows = other.run(&query(&format!("{find}{}", victim.id)));
    let row = &rows[rows.len() - 2].1;
    String::from_utf8(row[1..].to_vec()).unwrap()
}

#[test]
fn kills_by_connection_and_by_query() {
    let compare = |server: Server, by_query_id: bool| {
        let proxy = Proxy::start(&server);
        let mut root = Client::login(server.port, base(), 4 * SILENCE);
        root.run(&query("CREATE TABLE shop.one SELECT 1"));
        let both = |kill: &dyn Fn(&Client, &mut Client) -> String| {
            let direct = killed(server.port, kill);
            assert_eq!(direct, killed(proxy.port, kill));
            direct
        };
        let [ended, told] = both(&|victim, _| format!("KILL QUERY {}", victim.id));
        let last = ended.last().unwrap();
        assert!(last.1.starts_with(b"\xff\x25\x05"), "no 1317: {last:?}");
        assert_eq!(told[0].1[0], 0);
        let [ended, _] = both(&|victim, _| format!("KILL {}", victim.id));
        assert_eq!(ended.last().unwrap().1, b"closed");
        if by_query_id {
            let kill = |victim: &Client, other: &mut Client| {
                format!("KILL QUERY ID {}", query_id(victim, other))
            };
            let [ended, told] = both(&kill);
            let last = ended.last().unwrap();
            assert!(last.1.starts_with(b"\xff\x25\x05"), "no 1317: {last:?}");
            assert_eq!(told[0].1[0], 0);
        }
    };
    compare(Server::start(&[]), true);
    if let Some(programs) = mysql::programs("kills_by_connection_and_by_query on MySQL") {
        compare(Server::start_mysql(&programs), false);
    }
}

/// MariaDB tells clients that ask for it how far a long statement is, in packets between which others
/// count on.
#[test]
fn progress_reports_pass() {
    let server = Server::start(&["--progress-report-time=1"]);
    let proxy = Proxy::start(&server);
    let mariadb = base().without(C::CLIENT_MYSQL);
    for (port, table) in [(server.port, "direct"), (proxy.port, "proxied")] {
        let mut client = Client::login(port, mariadb.with(C::PROGRESS), LONG_SILENCE);
        client.run(&query("USE shop"));
        let made = client.run(&query(&format!(
            "CREATE TABLE shop.{table} AS SELECT seq, REPEAT(seq, 20) t FROM seq_1_to_200000"
        )));
        assert_eq!(made[0].1[0], 0, "{:?}", String::from_utf8_lossy(&made[0].1));
        client.begin(&format!(
            "ALTER TABLE shop.{table} ADD KEY (t), ADD KEY (seq, t), ALGORITHM = COPY"
        ));
        let mut answer = client.end();
        while answer.last().unwrap().1.starts_with(b"\xff\xff\xff") {
            answer.extend(client.end());
        }
        let (ok, reports) = answer.split_last().unwrap();
        assert!(!reports.is_empty(), "{table}: it was too fast");
        for (number, (sequence, payload)) in reports.iter().enumerate() {
            assert_eq!(usize::from(*sequence), number + 1, "{table}");
            assert!(payload.starts_with(b"\xff\xff\xff"), "{table} {payload:?}");
        }
        assert_eq!(usize::from(ok.0), reports.len() + 1, "{table}");
    }
}

/// Without what nobody can know yet in an EOF that others follow: the source tells us of indexes that
/// were not used and of further results with the last row, and we have to write the EOF before the first. Nor
/// does a client need to know of an open cursor that is not its own (MariaDB, within a loop over one).
fn settled(answer: &Answer) -> Answer {
    const LATER: u16 = 0x0008 | 0x0010 | 0x0020 | 0x0040 | 0x0080 | 0x0800;
    let mut answer = answer.clone();
    let last = answer.len().saturating_sub(1);
    for (_, payload) in &mut answer[..last] {
        if let [0xFE, _, _, low, high] = &mut payload[..] {
            let status = u16::from_le_bytes([*low, *high]) & !LATER;
            [*low, *high] = status.to_le_bytes();
        }
    }
    answer
}

/// How many packets of which length, however many digits a GTID has by then.
fn shape(answer: &Answer) -> Answer {
    let empty = |(sequence, payload): &(u8, Vec<u8>)| {
        let others = payload.iter().filter(|byte| !byte.is_ascii_digit());
        (*sequence, vec![0; others.count()])
    };
    answer.iter().map(empty).collect()
}

/// The same bytes, wherever they stand in their packet.
fn sorted(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    answer.iter_mut().for_each(|(_, payload)| payload.sort());
    answer
}

/// The first byte of the first packet.
fn kinds(answer: &Answer) -> Answer {
    let first = answer.first().map(|(sequence, payload)| {
        let first = payload.first().copied().into_iter().collect();
        (*sequence, first)
    });
    first.into_iter().collect()
}

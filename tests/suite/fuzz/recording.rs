//! Sessions as they are: what a client sent to the proxy, and what a real server answered to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ackline::ids::Flavor;
use ackline::protocol::Capabilities as C;

use crate::differential::client::Client;
use crate::differential::script::{Act, CLEAN, Step, query, script};
use crate::support::mysql;
use crate::support::session::{Proxy, Server};

/// Steps of one session.
const STEPS: usize = 6;
const LARGEST: usize = 64 << 10;
const SILENCE: Duration = Duration::from_millis(30);

pub struct Session {
    /// Piece by piece, an answer between two.
    pub client: Vec<Vec<u8>>,
    pub source: Vec<Vec<u8>>,
}

/// Of MariaDB, and of MySQL where it is installed.
pub fn record() -> Vec<Session> {
    let mut sessions = of(
        Flavor::MariaDb,
        &Server::start(&[]),
        &[
            C::CLIENT_MYSQL,
            C::DEPRECATE_EOF.with(C::SESSION_TRACK),
            C::BULK_OPERATIONS
                .with(C::EXTENDED_METADATA)
                .with(C::CACHE_METADATA),
            C::CLIENT_MYSQL.with(C::COMPRESS),
        ],
    );
    if let Some(programs) = mysql::programs("MySQL's sessions in the fuzzer") {
        let server = Server::start_mysql(&programs);
        let new = C::CLIENT_MYSQL.with(C::DEPRECATE_EOF);
        let capabilities = [
            new.with(C::SESSION_TRACK).with(C::QUERY_ATTRIBUTES),
            new.with(C::ZSTD),
            new.with(C::OPTIONAL_METADATA),
        ];
        sessions.extend(of(Flavor::MySql, &server, &capabilities));
    }
    sessions
}

fn of(flavor: Flavor, server: &Server, capabilities: &[C]) -> Vec<Session> {
    let at_source = Tap::start(server.port);
    let proxy = Proxy::start_at(at_source.port);
    let at_client = Tap::start(proxy.port);
    let mut sessions = Vec::new();
    for more in capabilities {
        let capabilities = [
            C::PROTOCOL_41,
            C::LOCAL_FILES,
            C::TRANSACTIONS,
            C::SECURE_CONNECTION,
            C::PLUGIN_AUTH,
            C::MULTI_STATEMENTS,
            C::MULTI_RESULTS,
            C::PS_MULTI_RESULTS,
        ]
        .into_iter()
        .fold(*more, C::with);
        let steps: Vec<Step> = script(flavor).into_iter().filter(is_small).collect();
        let mut clean = Client::login(proxy.port, capabilities, SILENCE);
        clean.run(&query("USE shop"));
        CLEAN
            .iter()
            .for_each(|statement| drop(clean.run(&query(statement))));
        // The server forgets passwords: the first login brings it.
        clean.run(&query("FLUSH PRIVILEGES"));
        drop(clean);
        at_source.take();
        for steps in steps.chunks(STEPS) {
            let mut client = Client::login(at_client.port, capabilities, SILENCE);
            client.run(&query("USE shop"));
            for step in steps {
                let answer = client.run(step);
                let closed = answer.last().is_some_and(|(_, last)| last == b"closed");
                assert!(!closed, "{}: the session ends", step.name);
            }
            drop(client);
            sessions.push(Session {
                client: pieces(&at_client.take(), Side::Client),
                source: pieces(&at_source.take(), Side::Server),
            });
        }
    }
    sessions
}

fn is_small(step: &Step) -> bool {
    let size = match &step.act {
        Act::Send(commands) => commands.iter().map(Vec::len).sum(),
        _ => 0,
    };
    size < LARGEST && !step.name.starts_with("SELECT REPEAT")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

type Log = Arc<Mutex<Vec<(Side, Vec<u8>)>>>;

/// What one side sent, cut where the other side spoke.
fn pieces(log: &[(Side, Vec<u8>)], wanted: Side) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut before = None;
    for (side, bytes) in log {
        if *side == wanted {
            match pieces.last_mut() {
                Some(piece) if before == Some(wanted) => piece.extend(bytes),
                _ => pieces.push(bytes.clone()),
            }
        }
        before = Some(*side);
    }
    pieces
}

/// Passes one connection after the other on, and writes along.
struct Tap {
    port: u16,
    log: Log,
}

impl Tap {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Log::default();
        let written = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let near = stream.unwrap();
                let far = TcpStream::connect(("127.0.0.1", to)).unwrap();
                for (side, from, to) in [
                    (
                        Side::Client,
                        near.try_clone().unwrap(),
                        far.try_clone().unwrap(),
                    ),
                    (Side::Server, far, near),
                ] {
                    let log = written.clone();
                    std::thread::spawn(move || pass(side, from, to, &log));
                }
            }
        });
        Self { port, log }
    }

    fn take(&self) -> Vec<(Side, Vec<u8>)> {
        // What is under way arrives.
        std::thread::sleep(SILENCE);
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn pass(side: Side, mut from: TcpStream, mut to: TcpStream, log: &Log) {
    let _ = to.set_nodelay(true);
    let mut chunk = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        log.lock().unwrap().push((side, chunk[..count].to_vec()));
        if to.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

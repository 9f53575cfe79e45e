//! From the OK of a commit until it is applied at a replica, for `deploy/bench.sh` (workload `applied`).
//!
//!     applied_bench ROUNDS ROWS FLAVOR NAME=SOURCE,REPLICA …
//!
//! SOURCE and REPLICA are URLs (`mysql://user:password@host:port/database`). One client inserts rows, one after
//! the other with a pause, each in a transaction of its own; the ways take turns. Before each row, a second connection
//! waits at the replica for the GTID that the row is going to have, so the moment at which it is applied is when
//! that wait returns, less half a round trip (the shortest of the round). A row that was applied before its OK counts as 0.
//!
//! One line of JSON for each round of a way.

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::runtime::{Builder, Runtime};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Long enough that the wait is there before the row, and the replica is idle again.
const PAUSE: Duration = Duration::from_millis(5);
const GIVE_UP: Duration = Duration::from_secs(30);
/// Waits that are met already, to know what a round trip takes.
const ROUND_TRIPS: usize = 50;
const WARM_UP: usize = 20;

#[derive(Clone, Copy)]
enum Flavor {
    MariaDb,
    MySql,
}

impl Flavor {
    fn position(self) -> &'static str {
        match self {
            Self::MariaDb => "SELECT @@global.gtid_binlog_pos",
            Self::MySql => "SELECT @@global.gtid_executed",
        }
    }

    /// 0 once it is applied.
    fn wait(self, gtid: &str) -> String {
        match self {
            Self::MariaDb => format!("SELECT MASTER_GTID_WAIT('{gtid}', 20)"),
            Self::MySql => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{gtid}', 20)"),
        }
    }
}

/// The one connection of a thread.
struct Client {
    runtime: Runtime,
    connection: Conn,
}

impl Client {
    fn new(url: &str) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Over TCP, as the ways that are compared.
        let opts = OptsBuilder::from_opts(Opts::from_url(url)?).prefer_socket(false);
        let connection = runtime.block_on(Conn::new(opts))?;
        Ok(Self {
            runtime,
            connection,
        })
    }

    fn run(&mut self, statement: &str) -> Outcome<()> {
        Ok(self
            .runtime
            .block_on(self.connection.query_drop(statement))?)
    }

    fn text(&mut self, query: &str) -> Outcome<String> {
        let value: Option<String> = self.runtime.block_on(self.connection.query_first(query))?;
        Ok(value.unwrap_or_default())
    }
}

/// The connection that waits at a replica.
struct Watch {
    waits: mpsc::Sender<String>,
    met: mpsc::Receiver<Outcome<Instant>>,
}

impl Watch {
    fn new(url: &str) -> Outcome<Self> {
        let mut client = Client::new(url)?;
        let (waits, receive) = mpsc::channel::<String>();
        let (send, met) = mpsc::channel();
        thread::spawn(move || {
            for wait in receive {
                let answer = client.text(&wait);
                let now = Instant::now();
                let answer = answer.and_then(|answer| match answer.as_str() {
                    "0" => Ok(now),
                    other => Err(format!("{wait}: {other}").into()),
                });
                if send.send(answer).is_err() {
                    return;
                }
            }
        });
        Ok(Self { waits, met })
    }

    fn begin(&self, wait: String) -> Outcome<()> {
        Ok(self.waits.send(wait)?)
    }

    fn end(&self) -> Outcome<Instant> {
        self.met.recv_timeout(GIVE_UP)?
    }
}

/// Of the only writer, so its transactions are numbered one by one.
struct Gtids {
    before_number: String,
    number: u64,
}

impl Gtids {
    /// That of the row just inserted, from what was executed before it and after.
    fn read(client: &mut Client, flavor: Flavor, before: &str) -> Outcome<Self> {
        let after = client.text(flavor.position())?;
        let (gtid, separator) = match flavor {
            // One of a domain; there is one domain.
            Flavor::MariaDb => (after, '-'),
            Flavor::MySql => {
                let new = format!("SELECT GTID_SUBTRACT('{after}', '{before}')").replace('\n', "");
                (client.text(&new)?, ':')
            }
        };
        let unknown = || format!("not one GTID: '{gtid}'");
        let at = gtid.rfind(separator).ok_or_else(unknown)? + 1;
        let (before_number, number) = gtid.split_at(at);
        Ok(Self {
            before_number: before_number.to_owned(),
            number: number.parse().map_err(|_| unknown())?,
        })
    }

    fn last(&self) -> String {
        format!("{}{}", self.before_number, self.number)
    }

    fn next(&mut self) -> String {
        self.number += 1;
        self.last()
    }
}

struct Way {
    name: String,
    source: Client,
    watch: Watch,
}

impl Way {
    fn new(argument: &str) -> Outcome<Self> {
        let (name, urls) = argument.split_once('=').ok_or("NAME=SOURCE,REPLICA")?;
        let (source, replica) = urls.split_once(',').ok_or("NAME=SOURCE,REPLICA")?;
        let mut source = Client::new(source)?;
        source.run("DROP TABLE IF EXISTS applied")?;
        source.run(
            "CREATE TABLE applied (id INT AUTO_INCREMENT PRIMARY KEY, k INT, c CHAR(120)) ENGINE=InnoDB",
        )?;
        Ok(Self {
            name: name.to_owned(),
            source,
            watch: Watch::new(replica)?,
        })
    }

    fn round(&mut self, rows: usize, flavor: Flavor) -> Outcome<Round> {
        let insert = format!(
            "INSERT INTO applied (k, c) VALUES (1, '{}')",
            "x".repeat(119)
        );
        let before = self.source.text(flavor.position())?;
        self.source.run(&insert)?;
        let mut gtids = Gtids::read(&mut self.source, flavor, &before)?;
        let mut round_trip = GIVE_UP;
        for at in 0..=ROUND_TRIPS {
            let begun = Instant::now();
            self.watch.begin(flavor.wait(&gtids.last()))?;
            let met = self.watch.end()?;
            // The first has waited for the row.
            if at > 0 {
                round_trip = round_trip.min(met - begun);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let mut round = Round {
            round_trip,
            ..Round::default()
        };
        for row in 0..WARM_UP + rows {
            self.watch.begin(flavor.wait(&gtids.next()))?;
            thread::sleep(PAUSE);
            let begun = Instant::now();
            self.source.run(&insert)?;
            let answered = Instant::now();
            let applied = self.watch.end()? - round.round_trip / 2;
            if row < WARM_UP {
                continue;
            }
            if applied <= answered {
                round.before_ok += 1;
            }
            round
                .ok_to_applied
                .push(applied.saturating_duration_since(answered));
            round.sent_to_ok.push(answered - begun);
            round.sent_to_applied.push(applied - begun);
        }
        Ok(round)
    }
}

#[derive(Default)]
struct Round {
    round_trip: Duration,
    before_ok: usize,
    ok_to_applied: Vec<Duration>,
    sent_to_ok: Vec<Duration>,
    sent_to_applied: Vec<Duration>,
}

/// Median and 95th percentile, in µs.
fn middle(mut times: Vec<Duration>) -> [u128; 2] {
    times.sort();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(0, Duration::as_micros)
    };
    [at(50), at(95)]
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, rows, flavor, ways @ ..] = arguments.as_slice() else {
        return Err("see the head of deploy/bench/applied.rs".into());
    };
    let (rounds, rows): (usize, usize) = (rounds.parse()?, rows.parse()?);
    let flavor = match flavor.as_str() {
        "mariadb" => Flavor::MariaDb,
        "mysql" => Flavor::MySql,
        other => return Err(format!("no flavor: {other}").into()),
    };
    let ways: Outcome<Vec<Way>> = ways.iter().map(|way| Way::new(way)).collect();
    let mut ways = ways?;
    for round in 0..rounds {
        // Another one begins each round.
        for at in 0..ways.len() {
            let index = (round + at) % ways.len();
            let way = &mut ways[index];
            let measured = way.round(rows, flavor)?;
            let line = serde_json::json!({
                "round": round + 1,
                "way": way.name,
                "rows": rows,
                "round_trip_us": measured.round_trip.as_micros(),
                "before_ok": measured.before_ok,
                "ok_to_applied_us": middle(measured.ok_to_applied),
                "sent_to_ok_us": middle(measured.sent_to_ok),
                "sent_to_applied_us": middle(measured.sent_to_applied),
            });
            println!("{line}");
        }
    }
    Ok(())
}

//! Questions to the source beside the dump: one administration connection, asked by one task.
//!
//! Questions of many sessions at once are answered by one query that *started after* the youngest of
//! them was asked; that order is what makes the answers proofs. Only statements that do not hang on a
//! source with waiting commits are used (SHOW MASTER STATUS would).

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{Account, Admin, Row};
use crate::protocol::semi_sync::Names;
use crate::shutdown::Shutdown;

const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(200);
const QUEUE: usize = 1024;
/// Measured on MariaDB: the first of a queue waits for the ack, those behind it are in "Commit", and a
/// KILL that hits one of those takes effect when its turn comes. MySQL goes on waiting after a KILL, but
/// its client would be told of a lost connection and not of the commit.
const WAITING_IN_MARIADB: &str = "'Waiting for semi-sync ACK from slave','Waiting for prior transaction to commit',\
     'Commit','Commit implicit'";
const WAITING_IN_MYSQL: [&str; 4] = [
    "Waiting for semi-sync ACK from replica",
    "Waiting for semi-sync ACK from slave",
    "waiting for handler commit",
    "Waiting for dependent transaction to commit",
];

/// Whom a KILL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Victim {
    Connection(u64),
    Query(u64),
    User(String),
    /// It cannot be told from the statement: anyone.
    Anyone,
}

impl Victim {
    fn is_in_mysql(&self, process: &Row) -> bool {
        match self {
            Self::Connection(id) => process.text("Id") == Some(id.to_string().as_str()),
            Self::Anyone => true,
            // MySQL has no KILL by query id.
            Self::Query(_) => false,
            Self::User(user) => process.text("User") == Some(user.as_str()),
        }
    }
}

/// The semi-sync counters by which commits that slipped past the gate are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits that returned without an ack since the source started.
    pub no_tx: u64,
    pub clients: u64,
    pub active: bool,
    /// Of the console's connections, the one that was asked on: over another one another server may have answered, or
    /// the same one, started again.
    pub connection: u64,
}

enum Question {
    Counters(oneshot::Sender<Counters>),
    Position(oneshot::Sender<Position>),
    WaitsForAck(Victim, oneshot::Sender<bool>),
}

#[derive(Clone)]
pub struct Console {
    questions: mpsc::Sender<Question>,
    account: watch::Sender<Account>,
}

impl Console {
    pub fn start(account: Account, shutdown: &Shutdown) -> Self {
        let (sender, questions) = mpsc::channel(QUEUE);
        let (account, asked) = watch::channel(account);
        let task = Task {
            account: asked,
            admin: None,
            connections: 0,
            questions,
            shutdown: shutdown.clone(),
        };
        shutdown.spawn(task.run());
        Self {
            questions: sender,
            account,
        }
    }

    /// What was asked before and is not answered yet is answered by this server.
    pub fn follow(&self, account: Account) {
        self.account.send_replace(account);
    }

    pub async fn counters(&self) -> Counters {
        self.ask(Question::Counters).await
    }

    /// Everything that anybody may have seen of the source: `@@gtid_binlog_pos`, which has what is not
    /// acknowledged as well, or MySQL's `@@gtid_executed`, which has not.
    pub async fn position(&self) -> Position {
        self.ask(Question::Position).await
    }

    /// Whether the victim is in its commit: a KILL would make the commit visible un-acknowledged.
    pub async fn waits_for_ack(&self, victim: Victim) -> bool {
        self.ask(|reply| Question::WaitsForAck(victim, reply)).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> T {
        let (reply, answer) = oneshot::channel();
        if self.questions.send(question(reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        // The process ends. No answer is no proof, so who asked waits until it is cut.
        std::future::pending().await
    }
}

struct Task {
    account: watch::Receiver<Account>,
    admin: Option<Admin>,
    /// How many there were.
    connections: u64,
    questions: mpsc::Receiver<Question>,
    shutdown: Shutdown,
}

impl Task {
    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                // Cancel-safe: recv_many loses nothing.
                got = self.questions.recv_many(&mut batch, QUEUE) => if got == 0 { return },
                () = self.shutdown.cancelled() => return,
            }
            while !batch.is_empty() {
                let mut account = self.account.clone();
                let answered = tokio::select! {
                    answered = self.answer(&mut batch) => answered,
                    // Another server is the source: the old one may be frozen. Cancel-safe: what is not
                    // answered is still in the batch.
                    _ = account.changed() => {
                        self.admin = None;
                        self.account = account;
                        continue;
                    }
                };
                if let Err(error) = answered {
                    // An unanswerable question is not answered "all is well": it waits until the
                    // source can be asked again.
                    tracing::debug!(%error, "the source cannot be asked");
                    self.admin = None;
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        _ = account.changed() => {}
                        () = self.shutdown.cancelled() => return,
                    }
                }
                // Those who asked and left need no answer.
                batch.retain(|question| !question.is_abandoned());
            }
        }
    }

    async fn answer(&mut self, batch: &mut Vec<Question>) -> Result<(), net::Error> {
        let admin = match &mut self.admin {
            Some(admin) => admin,
            none => {
                let account = self.account.borrow_and_update().clone();
                let admin = Admin::connect(&account, TIMEOUT).await?;
                self.connections += 1;
                none.insert(admin)
            }
        };
        let (mut counters, mut position) = (None, None);
        while let Some(question) = batch.last() {
            match question {
                Question::Counters(_) if counters.is_none() => {
                    let connection = self.connections;
                    counters = Some(Counters {
                        connection,
                        ..read_counters(admin).await?
                    })
                }
                Question::Position(_) if position.is_none() => {
                    position = Some(read_position(admin).await?)
                }
                Question::WaitsForAck(victim, _) => {
                    let waits = read_waits(admin, victim).await?;
                    if let Some(Question::WaitsForAck(_, reply)) = batch.pop() {
                        let _ = reply.send(waits);
                    }
                    continue;
                }
                _ => {}
            }
            match (batch.pop(), counters, &position) {
                (Some(Question::Counters(reply)), Some(counters), _) => drop(reply.send(counters)),
                (Some(Question::Position(reply)), _, Some(position)) => {
                    drop(reply.send(position.clone()))
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Question {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Counters(reply) => reply.is_closed(),
            Self::Position(reply) => reply.is_closed(),
            Self::WaitsForAck(_, reply) => reply.is_closed(),
        }
    }
}

pub async fn read_counters(admin: &mut Admin) -> Result<Counters, net::Error> {
    let mut counters = Counters::default();
    let names = Names::of(admin.flavor());
    let rows = admin
        .query(&format!(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('{}','{}','{}')",
            names.no_tx, names.clients, names.active
        ))
        .await?;
    for row in rows {
        let value = row.text("Value").unwrap_or_default();
        let name = row.text("Variable_name").unwrap_or_default();
        if name.eq_ignore_ascii_case(names.no_tx) {
            counters.no_tx = value.parse().unwrap_or_default();
        } else if name.eq_ignore_ascii_case(names.clients) {
            counters.clients = value.parse().unwrap_or_default();
        } else if name.eq_ignore_ascii_case(names.active) {
            counters.active = value.eq_ignore_ascii_case("ON");
        }
    }
    Ok(counters)
}

pub async fn read_position(admin: &mut Admin) -> Result<Position, net::Error> {
    let variable = match admin.flavor() {
        Flavor::MariaDb => "gtid_binlog_pos",
        Flavor::MySql => "gtid_executed",
    };
    let text = admin.value(&format!("SELECT @@global.{variable}")).await?;
    let text = text.unwrap_or_default();
    Position::parse(admin.flavor(), &text)
        .map_err(|_| net::Error::Io(std::io::Error::other(format!("{variable} is '{text}'"))))
}

async fn read_waits(admin: &mut Admin, victim: &Victim) -> Result<bool, net::Error> {
    if admin.flavor() == Flavor::MySql {
        return Ok(admin.processes().await?.iter().any(|row| {
            let state = row.text("State").unwrap_or_default();
            WAITING_IN_MYSQL.contains(&state) && victim.is_in_mysql(row)
        }));
    }
    let whom = match victim {
        Victim::Connection(id) => format!("ID = {id}"),
        Victim::Anyone => "TRUE".to_owned(),
        Victim::Query(id) => format!("QUERY_ID = {id}"),
        // Hexadecimal, so that no quoting mode can make more of it.
        Victim::User(user) => {
            let hex: String = user.bytes().map(|b| format!("{b:02x}")).collect();
            format!("USER = CONVERT(0x{hex} USING utf8mb4)")
        }
    };
    let rows = admin
        .query(&format!("SELECT COUNT(*) AS waiting FROM information_schema.PROCESSLIST WHERE {whom} AND STATE IN ({WAITING_IN_MARIADB})"))
        .await?;
    Ok(rows
        .first()
        .is_some_and(|row| row.text("waiting") != Some("0")))
}

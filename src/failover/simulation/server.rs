//! A server: its binlog, what a restart takes from it, and what it makes of a statement.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::fmt;

use crate::gtid::mysql::Uuid;
use crate::gtid::{Gtid, GtidSet, State, mariadb, mysql};
use crate::ids::{Flavor, ServerName};

pub const NAMES: [&str; 3] = ["db1", "db2", "db3"];

pub fn name(server: usize) -> ServerName {
    ServerName::new(NAMES[server])
}

pub fn index(name: &ServerName) -> usize {
    let found = NAMES.iter().position(|own| *own == name.as_str());
    found.expect("a server of the simulation")
}

pub fn uuid(id: u32) -> Uuid {
    Uuid([id as u8; 16])
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// The server id of who wrote it.
    pub writer: u32,
    pub number: u64,
    /// No two transactions have the same, whatever their GTIDs.
    pub content: u32,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}#{}", self.writer, self.number, self.content)
    }
}

impl Transaction {
    pub fn gtid(&self, flavor: Flavor) -> Gtid {
        match flavor {
            Flavor::MariaDb => mariadb::Gtid::new(0, self.writer, self.number).into(),
            Flavor::MySql => mysql::Gtid {
                uuid: uuid(self.writer),
                tag: None,
                number: self.number,
            }
            .into(),
        }
    }
}

pub fn set_of(transactions: &[Transaction], flavor: Flavor) -> GtidSet {
    let gtids = transactions.iter().map(|own| own.gtid(flavor));
    gtids.collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Up,
    /// It does nothing, and goes on later where it was.
    Frozen,
    /// Only we and the replicas cannot reach it.
    CutOff,
    Down,
}

#[derive(Clone, Copy, Debug)]
pub enum Statement {
    /// Off only: on is [`Statement::MakeReadOnly`].
    OpenForWriting,
    /// A commit that waits blocks it.
    MakeReadOnly,
    Gate(bool),
    Events(bool),
    StopReceiving,
    StopReplication,
    StartReplication,
    Forget,
    /// CHANGE MASTER TO and START SLAVE.
    Follow,
}

#[derive(Debug)]
pub struct Server {
    pub id: u32,
    pub life: Life,
    pub binlog: Vec<Transaction>,
    /// Commits that wait for an acknowledgement, by content.
    pub waiting: BTreeSet<u32>,
    pub relay: VecDeque<Transaction>,
    pub read_only: bool,
    /// Semi-sync source, gate 1.
    pub gate: bool,
    pub events: bool,
    pub receives: bool,
    pub applies: bool,
    /// It knows whom to replicate from.
    pub follows: bool,
    /// No number is used twice, though a power cut took what had it: proofs are by GTID.
    numbered: u64,
    /// Its binlog, when it was asked last.
    pub told: Vec<Transaction>,
}

impl Server {
    pub fn new(id: u32, events: bool) -> Self {
        Self {
            id,
            life: Life::Up,
            binlog: Vec::new(),
            waiting: BTreeSet::new(),
            relay: VecDeque::new(),
            read_only: true,
            gate: false,
            events,
            receives: true,
            applies: true,
            follows: true,
            numbered: 0,
            told: Vec::new(),
        }
    }

    /// As it boots: read-only, semi-sync source off, its replication threads started.
    pub fn boot(&mut self, events: bool) {
        self.life = Life::Up;
        self.waiting.clear();
        self.relay.clear();
        (self.read_only, self.gate) = (true, false);
        (self.receives, self.applies) = (self.follows, self.follows);
        self.events = events;
    }

    pub fn execute(&mut self, statement: Statement) -> Result<(), String> {
        match statement {
            Statement::OpenForWriting => self.read_only = false,
            Statement::MakeReadOnly if !self.waiting.is_empty() && !self.read_only => {
                return Err("a commit waits".into());
            }
            Statement::MakeReadOnly => self.read_only = true,
            Statement::Gate(on) => {
                self.gate = on;
                if !on {
                    // They return, and the sessions' own gate holds them.
                    self.waiting.clear();
                }
            }
            Statement::Events(on) => self.events = on,
            Statement::StopReceiving => self.receives = false,
            Statement::StopReplication => (self.receives, self.applies) = (false, false),
            Statement::StartReplication if !self.follows => {
                return Err("it follows nobody".into());
            }
            Statement::StartReplication | Statement::Follow => {
                self.relay.clear();
                (self.receives, self.applies, self.follows) = (true, true, true);
            }
            Statement::Forget => {
                self.relay.clear();
                (self.receives, self.applies, self.follows) = (false, false, false);
            }
        }
        Ok(())
    }

    pub fn replicates(&self) -> bool {
        self.receives || self.applies
    }

    /// A new transaction of its own.
    pub fn write(&mut self, content: u32, flavor: Flavor) {
        let last = match flavor {
            // Numbers are shared by the servers of a domain.
            Flavor::MariaDb => self.binlog.last(),
            Flavor::MySql => self.binlog.iter().rfind(|own| own.writer == self.id),
        };
        let last = last.map_or(0, |last| last.number);
        let number = last.max(self.numbered) + 1;
        self.numbered = number;
        self.binlog.push(Transaction {
            writer: self.id,
            number,
            content,
        });
        if self.gate {
            self.waiting.insert(content);
        }
    }

    pub fn state(&self, flavor: Flavor) -> State {
        let mut state = State::empty(flavor);
        for transaction in &self.binlog {
            state.update(&transaction.gtid(flavor));
        }
        state
    }

    /// How much of `store`, from its beginning on, it has applied; received, with `relay`.
    pub fn holds(&self, store: &[Transaction], relay: bool) -> usize {
        let mut held = 0;
        for own in &self.binlog {
            if store.get(held) == Some(own) {
                held += 1;
            }
        }
        if relay {
            for own in &self.relay {
                if store.get(held) == Some(own) {
                    held += 1;
                }
            }
        }
        held
    }

    pub fn has(&self, transaction: &Transaction) -> bool {
        self.binlog.contains(transaction)
    }

    /// What it is sent next; none where it has everything. One at a position that is not ours is held.
    pub fn asks_for(&self, store: &[Transaction], flavor: Flavor) -> Option<Transaction> {
        let next = match (flavor, self.relay.back().or(self.binlog.last())) {
            (Flavor::MySql, _) => self.holds(store, true),
            (Flavor::MariaDb, None) => 0,
            (Flavor::MariaDb, Some(last)) => store.iter().position(|ours| ours == last)? + 1,
        };
        store.get(next).copied()
    }

    /// As MASTER_GTID_WAIT (MySQL: WAIT_FOR_EXECUTED_GTID_SET) sees it.
    pub fn has_applied(&self, store: &[Transaction], flavor: Flavor) -> bool {
        match flavor {
            Flavor::MariaDb => store.last().is_none_or(|last| self.has(last)),
            Flavor::MySql => self.holds(store, false) == store.len(),
        }
    }
}

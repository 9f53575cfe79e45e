//! Three servers, clients that write wherever it is possible, and everything that goes wrong by itself.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Bug;
use super::proxy::Proxy;
use super::server::{Life, Server, Statement, Transaction, name, set_of};
use crate::failover::facts::{Said, Walked};
use crate::ids::{Flavor, ServerId};

pub struct World {
    pub random: ChaCha8Rng,
    pub bug: Option<Bug>,
    pub flavor: Flavor,
    /// No more bad luck from here on.
    pub calm: bool,
    pub servers: [Server; 3],
    /// What a server gets late, after whoever sent it has given up.
    pub late: Vec<(usize, Statement)>,
    pub proxy: Proxy,
    /// Everything that was ever released, in order.
    pub ledger: Vec<Transaction>,
    /// Everything that returned because of an acknowledgement of ours.
    pub answered: Vec<Transaction>,
    pub violation: Option<String>,
    pub counted: Counted,
    /// Whether the event schedulers are on in the configuration files.
    events: bool,
    /// What moves did, for whoever looks for the cause of a violation.
    pub notes: Vec<String>,
    /// Somebody writes at replicas by hand, and lets them skip transactions.
    errant: bool,
    next_content: u32,
}

/// A schedule in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub answered: u64,
    pub done: u64,
    pub taken_back: u64,
    pub unopened: u64,
    pub refused: u64,
    pub killed: u64,
    pub killed_while_moving: u64,
    pub resumed: u64,
    pub crashed: u64,
    pub provisioned: u64,
    /// A move was begun while another one was left in the middle.
    pub overwritten: u64,
    pub adopted: u64,
    pub proofs_refused: u64,
}

impl Counted {
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.done += other.done;
        self.taken_back += other.taken_back;
        self.unopened += other.unopened;
        self.refused += other.refused;
        self.killed += other.killed;
        self.killed_while_moving += other.killed_while_moving;
        self.resumed += other.resumed;
        self.crashed += other.crashed;
        self.provisioned += other.provisioned;
        self.overwritten += other.overwritten;
        self.adopted += other.adopted;
        self.proofs_refused += other.proofs_refused;
    }
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let flavor = match random.random_bool(0.5) {
            true => Flavor::MariaDb,
            false => Flavor::MySql,
        };
        let events = random.random_bool(0.5);
        let errant = random.random_ratio(1, 4);
        let mut servers = [1, 2, 3].map(|id| Server::new(id, events));
        let source = &mut servers[0];
        (source.receives, source.applies, source.follows) = (false, false, false);
        let proxy = Proxy::new(&mut random);
        Self {
            random,
            bug,
            flavor,
            calm: false,
            servers,
            late: Vec::new(),
            proxy,
            ledger: Vec::new(),
            answered: Vec::new(),
            violation: None,
            counted: Counted::default(),
            events,
            notes: Vec::new(),
            errant,
            next_content: 1,
        }
    }

    /// Bad luck.
    pub fn one_in(&mut self, many: u32) -> bool {
        !self.calm && self.random.random_ratio(1, many)
    }

    pub fn note(&mut self, what: String) {
        self.notes.push(what);
    }

    /// The first one counts.
    pub fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Something happens.
    pub fn turn(&mut self) {
        let server = self.random.random_range(0..self.servers.len());
        match self.random.random_range(0..100) {
            0..12 => self.write(server),
            12..30 => self.receive(server),
            30..50 => self.apply(server),
            50..62 => self.confirm(server),
            62..68 => self.sync(),
            68..90 => self.capture(),
            90..93 => self.arrive_late(),
            93..94 if self.one_in(6) => self.fail(server, Life::Frozen),
            94..95 if self.one_in(6) => self.fail(server, Life::CutOff),
            95..96 if self.one_in(6) => self.crash(server),
            96..99 => self.come_back(server),
            _ => self.capture_old_epoch(),
        }
        self.release();
        self.check();
    }

    /// Whoever can.
    fn write(&mut self, server: usize) {
        if self.calm {
            return;
        }
        let by_hand = self.errant && self.random.random_ratio(1, 25);
        let content = self.next_content;
        let one = &mut self.servers[server];
        if matches!(one.life, Life::Frozen | Life::Down) {
            return;
        }
        // The event scheduler does not ask for `read_only`.
        let by_event = one.events && !one.replicates() && self.random.random_ratio(1, 4);
        if !one.read_only || by_event || by_hand {
            self.next_content += 1;
            one.write(content, self.flavor);
        }
    }

    fn receive(&mut self, server: usize) {
        let one = &mut self.servers[server];
        let reaches = one.life == Life::Up && one.receives && self.proxy.up;
        if !reaches {
            self.proxy.hang_up(server);
            return;
        }
        if !self.proxy.dumps[server] {
            self.proxy.dumps[server] = true;
            return;
        }
        for _ in 0..2 {
            if let Some(next) = one.asks_for(&self.proxy.store, self.flavor) {
                one.relay.push_back(next);
            }
        }
    }

    fn apply(&mut self, server: usize) {
        // `sql_slave_skip_counter`: its position goes on, and does not tell that something is missing.
        let skips = self.errant && self.flavor == Flavor::MariaDb && self.one_in(20);
        let one = &mut self.servers[server];
        // With gate 1 up it would wait for an acknowledgement of its own.
        let lives = !matches!(one.life, Life::Frozen | Life::Down);
        if !lives || !one.applies || one.gate {
            return;
        }
        if skips {
            one.relay.pop_front();
        }
        let count = self.random.random_range(1..=2).min(one.relay.len());
        one.binlog.extend(one.relay.drain(..count));
    }

    fn fail(&mut self, server: usize, life: Life) {
        if self.servers[server].life == Life::Up {
            self.servers[server].life = life;
            self.counted.crashed += 1;
        }
    }

    fn crash(&mut self, server: usize) {
        if self.servers[server].life == Life::Down {
            return;
        }
        self.counted.crashed += 1;
        if self.one_in(2) {
            self.cut_power(server);
        }
        self.note(format!("{} crashes", name(server)));
        let one = &mut self.servers[server];
        one.life = Life::Down;
        one.relay.clear();
        one.waiting.clear();
        self.late.retain(|(to, _)| *to != server);
        self.proxy.hang_up(server);
        self.proxy.lose(server);
        if self.one_in(2) {
            self.come_back(server);
        }
    }

    /// The end of a binlog that was not fsynced. What others have of it already is in our store, fsynced: that
    /// both are lost at once is a fault too many.
    fn cut_power(&mut self, server: usize) {
        let store = &self.proxy.store;
        let others = |own: &Transaction| {
            let received = |one: &Server| one.has(own) || one.relay.contains(own);
            let mut rest = self.servers.iter().enumerate();
            store.contains(own) || rest.any(|(at, one)| at != server && received(one))
        };
        let synced = &store[..self.proxy.synced];
        let binlog = &self.servers[server].binlog;
        let stays = binlog
            .iter()
            .rposition(|own| others(own) && !synced.contains(own));
        let stays = stays
            .map_or(0, |at| at + 1)
            .max(binlog.len().saturating_sub(3));
        let length = self.random.random_range(stays..=binlog.len());
        self.servers[server].binlog.truncate(length);
    }

    pub fn come_back(&mut self, server: usize) {
        let events = self.events;
        let one = &mut self.servers[server];
        match one.life {
            Life::Down => one.boot(events),
            _ => one.life = Life::Up,
        }
    }

    fn arrive_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.late.len());
        if self.servers[self.late[at].0].life == Life::Up {
            let (server, statement) = self.late.swap_remove(at);
            let _ = self.servers[server].execute(statement);
        }
    }

    /// A statement, and what becomes of it on the way.
    pub fn ask(&mut self, server: usize, statement: Statement) -> Result<(), String> {
        self.reach(server)?;
        if self.one_in(50) {
            match self.random.random_range(0..3) {
                0 => {}
                1 => drop(self.servers[server].execute(statement)),
                // It gives up by itself at the server.
                _ if matches!(statement, Statement::MakeReadOnly) => {}
                _ => self.late.push((server, statement)),
            }
            return Err("the connection was lost".into());
        }
        self.servers[server].execute(statement)
    }

    pub fn reach(&mut self, server: usize) -> Result<(), String> {
        let life = self.servers[server].life;
        match life {
            Life::Up if self.one_in(80) => Err("the answer was lost".into()),
            Life::Up => Ok(()),
            life => Err(format!("it is {life:?}")),
        }
    }

    /// What it says of itself, and what was read in its binlog.
    pub fn look(&mut self, server: usize) -> Result<Said, String> {
        self.reach(server)?;
        let one = &mut self.servers[server];
        one.told = one.binlog.clone();
        let (flavor, store) = (self.flavor, &self.proxy.store);
        let one = &self.servers[server];
        let stored = set_of(store, flavor);
        let own = set_of(&one.binlog, flavor);
        let beyond = own.difference(&stored);
        let end = store.last().map(|last| last.gtid(flavor));
        let walked = Walked {
            has: own.difference(&beyond),
            beyond,
            base: String::new(),
            end: end.filter(|end| !own.contains(end)),
            unproven: Default::default(),
        };
        let is_source = self.proxy.present.0 == server;
        let mut objections = Vec::new();
        if !is_source && !one.read_only {
            objections.push("it is not read_only".to_owned());
        }
        Ok(Said {
            state: one.state(flavor),
            server_id: ServerId(one.id),
            uuid: (flavor == Flavor::MySql).then(|| super::server::uuid(one.id).to_string()),
            follows_us: self.proxy.dumps[server],
            source_address: one.follows.then(|| ("ackline".to_owned(), 3308)),
            objections,
            waiting: one.waiting.len() as u64,
            events: one.events,
            walked: (!is_source).then_some(Ok(walked)),
        })
    }

    /// `ackline rejoin`: as it is, where it has nothing of its own; else as a new server.
    pub fn rejoin(&mut self, server: usize) {
        let proxy = &self.proxy;
        let one = &mut self.servers[server];
        let busy = !proxy.up || proxy.moving || proxy.durable.source == server;
        if busy || one.life != Life::Up {
            return;
        }
        let replicates = one.receives && one.applies && one.read_only && !one.gate;
        if replicates && proxy.store.starts_with(&one.binlog) {
            return;
        }
        let store = &proxy.store[..proxy.synced];
        if !store.starts_with(&one.binlog) {
            one.id += 10;
            one.binlog = store.to_vec();
        }
        one.follows = true;
        one.boot(self.events);
        self.proxy.hang_up(server);
        self.proxy.lose(server);
        self.counted.provisioned += 1;
        self.note(format!("{} rejoins", name(server)));
    }

    /// The source that is kept beside the store has all of ours.
    pub fn is_servable(&self) -> bool {
        let source = &self.servers[self.proxy.durable.source];
        self.proxy.store.iter().all(|ours| source.has(ours))
    }

    /// The commit point is passed. What happened to the server since it was proven is the attach's to find.
    pub fn committed(&mut self, server: usize) {
        let one = &self.servers[server];
        let lacks = self.ledger.iter().find(|own| !one.told.contains(own));
        let mut written = one.told.iter().filter(|own| own.writer == one.id);
        let extra = written.find(|own| !self.proxy.store.contains(own));
        let name = name(server);
        if let Some(lacks) = lacks {
            self.violated(format!("{name} becomes the source without {lacks:?}"));
        } else if let Some(extra) = extra {
            self.violated(format!(
                "{name} becomes the source with {extra:?} of its own"
            ));
        }
    }

    fn check(&mut self) {
        let proxy = &self.proxy;
        let common = self.ledger.len().min(proxy.store.len());
        if proxy.store[..common] != self.ledger[..common] || proxy.store.len() < self.ledger.len() {
            return self.violated("what was released is not in our binlog any more".into());
        }
        // Promise 5.
        if let Some(link) = &proxy.link
            && link.open
        {
            let lacks = self
                .ledger
                .iter()
                .find(|own| !self.servers[link.server].has(own));
            if let Some(lacks) = lacks {
                let what = format!("{} serves without {lacks:?}", name(link.server));
                return self.violated(what);
            }
            if (link.server, link.epoch) != proxy.present {
                self.violated(format!("{} is served in an old epoch", name(link.server)));
            }
        }
    }
}

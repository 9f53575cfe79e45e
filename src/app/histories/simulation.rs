//! Random schedules of servers that restart, jump, are swapped, rolled back and drop their own transactions,
//! with late acknowledgements and walks in between, against what the machines really hold: checked at each
//! step. The parts that decide are the real ones ([`Engine`], [`History`], [`holes`]).
//!
//! Each planted [`Bug`] is one that the program once had, and must be found.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ack::engine::{Engine, Event, Restored};
use crate::ack::policy::Requirement;
use crate::ack::{Sync, Voter, Word};
use crate::capture::history::{Base, History};
use crate::capture::walk::{Before, Walked, holes};
use crate::gtid::mariadb::{self, BinlogState};
use crate::gtid::{Gtid, GtidSet, Position};
use crate::ids::{Level, Machine, ServerId, ServerName, StorePosition, Voice};

const NAMES: [&str; 2] = ["db2", "db3"];
/// The present source's server id; those of before are the machines' own.
const SOURCE: u32 = 99;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// What a name confirmed stays when it leads to another machine.
    VoteByName,
    /// An acknowledgement counts whichever dump it came over.
    AckWithoutTicket,
    /// A position stands for everything that is smaller.
    PositionAsSet,
    /// The walk takes what lies between two GTIDs for seen.
    WalkByGtid,
    /// A server is sent what it drops.
    OwnTransactions,
}

const BUGS: [Bug; 5] = [
    Bug::VoteByName,
    Bug::AckWithoutTicket,
    Bug::PositionAsSet,
    Bug::WalkByGtid,
    Bug::OwnTransactions,
];

struct Server {
    id: u32,
    accepts_own: bool,
    /// Executed and logged, in this order.
    binlog: Vec<u64>,
    /// Received, or dropped, and not executed yet.
    relay: VecDeque<(u64, bool)>,
    /// Its `gtid_slave_pos`.
    position: Option<(u32, u64)>,
    dump: Option<Dump>,
    /// One that ended without our noticing.
    half_open: Option<Voice>,
    /// What it held at some moment since its last dump began, and what it had executed.
    held: BTreeSet<u64>,
    executed: BTreeSet<u64>,
}

#[derive(Clone)]
struct Dump {
    voice: Voice,
    sent: u64,
    /// Acknowledgements on their way.
    acks: VecDeque<u64>,
}

struct World {
    random: ChaCha8Rng,
    bug: Option<Bug>,
    engine: Engine,
    need: Need,
    now: Duration,
    servers: Vec<Server>,
    /// Which server each name's address leads to.
    at: [usize; 2],
    /// Who wrote each transaction, from number 1 on.
    log: Vec<u32>,
    released: u64,
    next_voice: u64,
    /// Dumps that are gone, with what they acknowledged on the way.
    late: Vec<(usize, Dump)>,
}

#[derive(Clone, Copy)]
struct Need {
    servers: usize,
    level: Level,
}

fn place(number: u64) -> StorePosition {
    StorePosition::new(1, 4 + number * 10)
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (text, need) = [
            ("ANY 1 (*) received", (1, Level::Received)),
            ("ANY 2 (*) received", (2, Level::Received)),
            ("ALL applied", (2, Level::Applied)),
        ][random.random_range(0..3)];
        let voters = NAMES.map(|name| Voter {
            name: ServerName::new(name),
            zone: None,
            is_source: false,
        });
        let sync = Sync::custom(Requirement::parse(text).unwrap());
        let mut engine = Engine::new(sync, voters.to_vec(), Restored::default());
        engine.marks(place(0), place(0), Duration::ZERO);
        let servers = [10, 11].map(|id| Server {
            id,
            accepts_own: random.random_bool(0.5),
            binlog: Vec::new(),
            relay: VecDeque::new(),
            position: None,
            dump: None,
            half_open: None,
            held: BTreeSet::new(),
            executed: BTreeSet::new(),
        });
        let mut world = Self {
            random,
            bug,
            engine,
            need: Need {
                servers: need.0,
                level: need.1,
            },
            now: Duration::ZERO,
            servers: servers.into(),
            at: [0, 1],
            log: Vec::new(),
            released: 0,
            next_voice: 1,
            late: Vec::new(),
        };
        for seat in 0..NAMES.len() {
            world.identify(seat);
            world.connect(world.at[seat]);
        }
        world
    }

    fn name(seat: usize) -> ServerName {
        ServerName::new(NAMES[seat])
    }

    fn seat_of(&self, server: usize) -> usize {
        usize::from(self.at[0] != server)
    }

    /// A server's address is its own; with the names swapped, so are the addresses.
    fn machine(&self, server: usize) -> Machine {
        Machine {
            address: format!("10.0.0.{server}:3306"),
            server_id: ServerId(self.servers[server].id),
            uuid: None,
        }
    }

    fn identify(&mut self, seat: usize) {
        let machine = self.machine(self.at[seat]);
        self.engine
            .identified(&Self::name(seat), &machine, self.now);
    }

    fn gtid(&self, number: u64) -> Gtid {
        let server = self.log[number as usize - 1];
        mariadb::Gtid::new(0, server, number).into()
    }

    fn ours(&self) -> GtidSet {
        let numbers = 1..=self.log.len() as u64;
        numbers.map(|number| self.gtid(number)).collect()
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += Duration::from_millis(10);
        let server = self.random.random_range(0..self.servers.len());
        match self.random.random_range(0..100) {
            0..17 => self.capture(),
            17..20 => self.late_ack(),
            20..42 => (0..3).for_each(|_| self.deliver(server)),
            42..54 => self.acknowledge(server),
            54..64 => self.ack_arrives(server),
            64..76 => (0..3).for_each(|_| self.apply(server)),
            76..82 => self.walk(server),
            82..88 => self.answer(server),
            88..93 => self.connect_again(server),
            93..95 => self.restart(server),
            95..96 => self.jump(server),
            96..97 => self.swap(),
            97..98 => self.roll_back(server),
            _ => self.change_acceptance(server),
        }
        self.check()
    }

    fn capture(&mut self) {
        // Once the servers were sources themselves.
        let early = self.log.len() < 8 && self.random.random_bool(0.4);
        let writer = match early {
            true => self.servers[self.random.random_range(0..2)].id,
            false => SOURCE,
        };
        self.log.push(writer);
        let number = self.log.len() as u64;
        let gtid = self.gtid(number);
        self.engine.captured(place(number), gtid, self.now);
        self.engine.marks(place(number), place(number), self.now);
    }

    /// Mostly where it has no connection.
    fn connect_again(&mut self, server: usize) {
        if self.servers[server].dump.is_none() || self.random.random_bool(0.2) {
            self.connect(server);
        }
    }

    fn connect(&mut self, server: usize) {
        self.leave(server, true);
        let position = self.servers[server].position;
        // One that has more than we have, or another one under that number, is held or refused.
        let from = match position {
            None => 0,
            Some((writer, number)) if self.log.get(number as usize - 1) == Some(&writer) => number,
            Some(_) => return,
        };
        let voice = Voice(self.next_voice);
        self.next_voice += 1;
        let one = &mut self.servers[server];
        one.relay.clear();
        one.held = one.binlog.iter().copied().collect();
        one.executed = one.held.clone();
        one.dump = Some(Dump {
            voice,
            sent: from,
            acks: VecDeque::new(),
        });
        let name = Self::name(self.seat_of(server));
        assert!(self.engine.reconnected(&name, voice, place(from), self.now));
    }

    /// Its dump ends; whether we notice at once or only when it answers or comes again.
    fn leave(&mut self, server: usize, noticed: bool) {
        if let Some(dump) = self.servers[server].dump.take() {
            self.servers[server].half_open = Some(dump.voice);
            self.late.push((server, dump));
        }
        if noticed {
            self.notice(server);
        }
    }

    /// A server that answers has reset what is sent to it over a connection of before.
    fn notice(&mut self, server: usize) {
        let name = Self::name(self.seat_of(server));
        if let Some(voice) = self.servers[server].half_open.take() {
            self.engine.disconnected(&name, voice, self.now);
        }
    }

    fn deliver(&mut self, server: usize) {
        let count = self.log.len() as u64;
        let Some(next) = self.servers[server].dump.as_ref().map(|dump| dump.sent + 1) else {
            return;
        };
        if next > count {
            return;
        }
        let own = self.log[next as usize - 1] == self.servers[server].id;
        let dropped = own && !self.servers[server].accepts_own;
        if dropped && self.bug != Some(Bug::OwnTransactions) {
            return self.leave(server, true);
        }
        let one = &mut self.servers[server];
        one.relay.push_back((next, dropped));
        if !dropped {
            one.held.insert(next);
        }
        if let Some(dump) = &mut one.dump {
            dump.sent = next;
        }
    }

    fn acknowledge(&mut self, server: usize) {
        if let Some(dump) = &mut self.servers[server].dump {
            dump.acks.push_back(dump.sent);
        }
    }

    fn ack_arrives(&mut self, server: usize) {
        let name = Self::name(self.seat_of(server));
        if let Some(dump) = &mut self.servers[server].dump
            && let Some(upto) = dump.acks.pop_front()
        {
            let word = Word::Dump(dump.voice);
            self.engine
                .confirm(&name, word, Level::Received, place(upto), self.now);
        }
    }

    /// Over a connection that was replaced.
    fn late_ack(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.late.len());
        let (server, mut dump) = self.late.swap_remove(index);
        let Some(upto) = dump.acks.pop_front() else {
            return;
        };
        let name = Self::name(self.seat_of(server));
        let now = self.servers[server].dump.as_ref().map(|dump| dump.voice);
        let voice = match (self.bug, now) {
            (Some(Bug::AckWithoutTicket), Some(now)) => now,
            _ => dump.voice,
        };
        let word = Word::Dump(voice);
        self.engine
            .confirm(&name, word, Level::Received, place(upto), self.now);
    }

    fn apply(&mut self, server: usize) {
        let one = &mut self.servers[server];
        if let Some((number, dropped)) = one.relay.pop_front() {
            if !dropped {
                one.binlog.push(number);
                one.executed.insert(number);
            }
            one.position = Some((self.log[number as usize - 1], number));
        }
    }

    fn walk(&mut self, server: usize) {
        let one = &self.servers[server];
        let Some(voice) = one.dump.as_ref().map(|dump| dump.voice) else {
            return;
        };
        let position: mariadb::Position = one
            .position
            .iter()
            .map(|(writer, number)| mariadb::Gtid::new(0, *writer, *number))
            .collect();
        let mut history = History::begin(
            Base::List(BinlogState::new()),
            Position::MariaDb(mariadb::Position::new()),
        );
        for number in &one.binlog {
            history.saw(&self.gtid(*number), false);
        }
        if self.bug == Some(Bug::WalkByGtid)
            && let (Some(first), Some((_, last))) = (one.binlog.first(), one.position)
        {
            let last = last.min(self.log.len() as u64);
            (*first..=last).for_each(|number| history.saw(&self.gtid(number), false));
        }
        let walked = Walked {
            history,
            position: Position::MariaDb(position),
            before: Before::Other,
        };
        let ours = self.ours();
        let has = walked.history.has(&ours, |_| false);
        let proven = holes(&walked, &ours, &has).is_empty();
        if proven || self.bug == Some(Bug::PositionAsSet) {
            let name = Self::name(self.seat_of(server));
            self.engine.verified(&name, voice, self.now);
        }
    }

    /// What it says at its address of what it has applied.
    fn answer(&mut self, server: usize) {
        self.notice(server);
        let seat = self.seat_of(server);
        let (name, machine) = (Self::name(seat), self.machine(server));
        let stands = match self.servers[server].position {
            None => Some(0),
            Some((writer, number)) => {
                let exact = self.log.get(number as usize - 1) == Some(&writer);
                exact.then_some(number)
            }
        };
        let upto = match (self.bug, self.servers[server].position) {
            (Some(Bug::PositionAsSet), Some((_, number))) => {
                Some(number.min(self.log.len() as u64))
            }
            _ => stands,
        };
        match upto {
            None => self.engine.fallen(&name, &machine, place(0), self.now),
            Some(upto) => {
                let word = Word::Answer(&machine);
                self.engine
                    .confirm(&name, word, Level::Applied, place(upto), self.now);
            }
        }
    }

    fn restart(&mut self, server: usize) {
        let noticed = self.random.random_bool(0.5);
        self.leave(server, noticed);
        self.servers[server].relay.clear();
    }

    /// By hand: to a GTID of ours, or to one that nobody wrote. Its replication is stopped before. One that
    /// has logged nothing yet cannot be told from a copy that was restored at that position.
    fn jump(&mut self, server: usize) {
        if self.servers[server].binlog.is_empty() {
            return;
        }
        self.leave(server, true);
        let count = self.log.len() as u64;
        let to = match self.random.random_bool(0.7) && count > 0 {
            true => {
                let number = self.random.random_range(1..=count);
                (self.log[number as usize - 1], number)
            }
            false => (77, 1_000_000),
        };
        let one = &mut self.servers[server];
        one.relay.clear();
        one.position = Some(to);
    }

    /// The two names' addresses, in the saved file.
    fn swap(&mut self) {
        if self.bug == Some(Bug::VoteByName) {
            self.at.swap(0, 1);
            return;
        }
        // As the dumps do that find themselves under another name.
        for server in 0..2 {
            if let Some(voice) = self.servers[server].dump.as_ref().map(|dump| dump.voice) {
                let name = Self::name(self.seat_of(server));
                self.engine.disconnected(&name, voice, self.now);
            }
        }
        self.at.swap(0, 1);
        for seat in 0..2 {
            self.identify(seat);
            self.leave(self.at[seat], false);
        }
    }

    /// An older copy of its data directory.
    fn roll_back(&mut self, server: usize) {
        self.leave(server, true);
        let one = &mut self.servers[server];
        let length = one.binlog.len();
        one.binlog.truncate(self.random.random_range(0..=length));
        one.relay.clear();
        let last = one.binlog.last();
        one.position = last.map(|number| (self.log[*number as usize - 1], *number));
        // It is down until it comes again, so nothing is asked of it meanwhile.
        self.connect(server);
    }

    /// Which takes a restart of its replication threads.
    fn change_acceptance(&mut self, server: usize) {
        self.leave(server, true);
        self.servers[server].accepts_own = self.random.random_bool(0.7);
        self.connect(server);
    }

    /// Each transaction that came out is held by as many machines as the policy asks for.
    fn check(&mut self) -> Result<(), String> {
        for event in self.engine.take_events() {
            let Event::Released { gtid, .. } = event else {
                continue;
            };
            let number = gtid.number();
            self.released += 1;
            let holds = |server: &&Server| match self.need.level {
                Level::Applied => server.executed.contains(&number),
                _ => server.held.contains(&number),
            };
            let holders = self.servers.iter().filter(holds).count();
            if holders < self.need.servers {
                return Err(format!(
                    "{gtid} returned with {holders} of {} machines",
                    self.need.servers
                ));
            }
        }
        Ok(())
    }
}

/// How many transactions were released.
fn run(seed: u64, bug: Option<Bug>) -> Result<u64, String> {
    let mut world = World::new(seed, bug);
    for step in 0..400 {
        world
            .step()
            .map_err(|error| format!("seed {seed}, step {step}: {error}"))?;
    }
    Ok(world.released)
}

#[test]
fn what_is_released_is_held_by_machines() {
    let seeds = std::env::var("ACKLINE_SEEDS");
    let seeds = seeds.map_or(5_000, |text| text.parse().expect("a number"));
    let mut released = 0;
    for seed in 0..seeds {
        released += run(seed, None).unwrap_or_else(|error| panic!("{error}"));
    }
    // A schedule in which nothing happens proves nothing.
    assert!(released > seeds * 4, "{released}");
}

#[test]
fn each_planted_bug_is_found_soon() {
    for bug in BUGS {
        let found = (0..500).find_map(|seed| run(seed, Some(bug)).err());
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?}");
    }
}

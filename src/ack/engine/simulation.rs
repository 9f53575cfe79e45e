//! Random schedules of everything that can happen to the engine, against a model that knows nothing
//! of positions: it keeps, for each transaction, who said what of it.
//!
//! Checked after each step: exactly those transactions are released for which the policy in force
//! holds (promises 1 and 4), and exactly those are listed as degraded for which what was asked does
//! not hold (promise 7).

use std::collections::HashSet;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::ack::policy::Who;
use crate::ids::ServerId;

const NAMES: [&str; 5] = ["db1", "db2", "db3", "db4", "db5"];
const POLICIES: [&str; 9] = [
    "ANY 1 (*) received",
    "ANY 2 (*) durable",
    "FIRST 1 (db3, db2, *) received",
    "FIRST 2 (*) applied",
    "ALL received",
    "ALL (db2, db4) durable OR ANY 1 (zone:x) applied",
    "MAJORITY received",
    "MAJORITY durable AND ANY 1 (zone:y) received",
    "LOCAL durable",
];
const LEVELS: [Level; 3] = [Level::Received, Level::Durable, Level::Applied];

#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Pending,
    Released,
}

#[derive(Clone, Debug)]
struct Transaction {
    end: StorePosition,
    number: u64,
    since: Duration,
    written: bool,
    synced: bool,
    fate: Fate,
    /// Who (index into `NAMES`) said what of it (`LEVELS`).
    said: [[bool; 3]; 5],
    /// The same, while they are not verified.
    heard: [[bool; 3]; 5],
    /// What is owed to it, if it is degraded.
    owed: Option<Requirement>,
}

#[derive(Clone, Debug)]
struct Seat {
    who: usize,
    source: bool,
    connected: bool,
    eligible: bool,
    /// Which machine answers at its address, and which of its dumps is listened to.
    machine: Option<u32>,
    voice: Option<Voice>,
    verified: bool,
}

struct World {
    random: ChaCha8Rng,
    engine: Engine,
    sync: Sync,
    now: Duration,
    seats: Vec<Seat>,
    log: Vec<Transaction>,
    /// Numbers that have to come again before new ones.
    again: Vec<u64>,
    next: u64,
    next_voice: u64,
    file: u32,
    offset: u64,
    written: StorePosition,
    synced: StorePosition,
    high: StorePosition,
    /// Sessions that ask for more.
    asking: Vec<(Ticket, u64, Requirement)>,
    met: u32,
    released_once: HashSet<u64>,
}

fn machine_of(number: u32) -> Machine {
    Machine {
        address: format!("10.0.0.{number}:3306"),
        server_id: ServerId(number),
        uuid: None,
    }
}

fn zone(who: usize) -> &'static str {
    ["x", "y"][who % 2]
}

fn has(transaction: &Transaction, seat: &Seat, level: Level) -> bool {
    let [received, durable, applied] = transaction.said[seat.who];
    seat.eligible
        && match level {
            Level::Received => received || durable || applied,
            Level::Durable => durable,
            Level::Applied => applied,
        }
}

fn is_meant(seat: &Seat, who: &Who) -> bool {
    !seat.source
        && match who {
            Who::Everyone => true,
            Who::Zone(own) => &**own == zone(seat.who),
            Who::Name(name) => name.as_str() == NAMES[seat.who],
        }
}

/// Whether `requirement` holds for this one transaction. `anyone`: FIRST does not look at who is
/// connected.
fn holds(requirement: &Requirement, of: &Transaction, seats: &[Seat], anyone: bool) -> bool {
    let meant = |among: &[Who]| -> Vec<&Seat> {
        let all = seats.iter();
        all.filter(|seat| among.iter().any(|who| is_meant(seat, who)))
            .collect()
    };
    match requirement {
        Requirement::Local(Level::Received) => of.written,
        Requirement::Local(_) => of.synced,
        Requirement::First {
            count,
            among,
            level,
        } if !anyone => {
            let mut order: Vec<&Seat> = Vec::new();
            for who in among {
                for seat in seats.iter().filter(|seat| is_meant(seat, who)) {
                    let new = order.iter().all(|other| other.who != seat.who);
                    if new && seat.connected && seat.eligible {
                        order.push(seat);
                    }
                }
            }
            order.truncate(count.get());
            order.len() == count.get() && order.iter().all(|seat| has(of, seat, *level))
        }
        Requirement::Any {
            count,
            among,
            level,
        }
        | Requirement::First {
            count,
            among,
            level,
        } => {
            let meant = meant(among);
            meant.iter().filter(|seat| has(of, seat, *level)).count() >= count.get()
        }
        Requirement::All { among, level } => {
            let meant = meant(among);
            !meant.is_empty() && meant.iter().all(|seat| has(of, seat, *level))
        }
        Requirement::Majority(level) => {
            let have = seats.iter().filter(|seat| match seat.source {
                true => of.written,
                false => has(of, seat, *level),
            });
            have.count() * 2 > seats.len()
        }
        Requirement::And(parts) => parts.iter().all(|part| holds(part, of, seats, anyone)),
        Requirement::Or(parts) => parts.iter().any(|part| holds(part, of, seats, anyone)),
    }
}

fn voters(seats: &[Seat]) -> Vec<Voter> {
    let voters = seats.iter().map(|seat| Voter {
        name: ServerName::new(NAMES[seat.who]),
        zone: Some(zone(seat.who).into()),
        is_source: seat.source,
    });
    voters.collect()
}

fn gtid(number: u64) -> Gtid {
    format!("0-1-{number}").parse().unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let seats: Vec<Seat> = (0..random.random_range(2..=4))
            .map(|who| Seat {
                who,
                source: who == 0,
                connected: true,
                eligible: true,
                machine: Some(0),
                voice: Some(Voice(1)),
                verified: true,
            })
            .collect();
        let sync = some_sync(&mut random);
        let mut engine = Engine::new(sync.clone(), voters(&seats), Restored::default());
        let start = StorePosition::new(1, 4);
        engine.marks(start, start, Duration::ZERO);
        for seat in &seats {
            let name = ServerName::new(NAMES[seat.who]);
            engine.identified(&name, &machine_of(0), Duration::ZERO);
            assert!(engine.reconnected(&name, Voice(1), StorePosition::ZERO, Duration::ZERO));
            engine.verified(&name, Voice(1), Duration::ZERO);
        }
        Self {
            random,
            engine,
            sync,
            now: Duration::ZERO,
            seats,
            log: Vec::new(),
            again: Vec::new(),
            next: 1,
            next_voice: 10,
            file: 1,
            offset: 4,
            written: start,
            synced: start,
            high: start,
            asking: Vec::new(),
            met: 0,
            released_once: HashSet::new(),
        }
    }

    fn step(&mut self) {
        let lowered = self.engine.lowered_since().is_some();
        let mut ticked = false;
        match self.random.random_range(0..100) {
            0..20 => self.capture(),
            20..35 => self.flush(),
            35..50 => self.fsync(),
            50..75 => self.confirm(),
            75..76 | 78..79 => self.reconnect(),
            76..78 => self.verify(),
            79..80 => self.disconnect(),
            80..81 => self.identify(),
            81..82 => self.fall(),
            82..83 => self.judge(),
            83..85 => self.change_policy(),
            85..86 => self.change_roster(),
            86..88 => self.rotate(),
            88..89 => self.fail(),
            89..92 => self.ask(),
            92..93 => self.leave(),
            _ => {
                ticked = true;
                self.now += Duration::from_millis(self.random.random_range(1..60));
                self.engine.tick(self.now);
            }
        }
        self.check(lowered, ticked);
    }

    fn capture(&mut self) {
        let number = match self.again.is_empty() {
            false => self.again.remove(0),
            true => {
                self.next += 1;
                self.next - 1
            }
        };
        self.offset += self.random.random_range(1..20);
        let end = StorePosition::new(self.file, self.offset);
        self.high = end;
        self.log.push(Transaction {
            end,
            number,
            since: self.now,
            written: false,
            synced: false,
            fate: Fate::Pending,
            said: Default::default(),
            heard: Default::default(),
            owed: None,
        });
        self.engine.captured(end, gtid(number), self.now);
    }

    fn flush(&mut self) {
        self.written = self.high;
        self.tell_marks();
    }

    fn fsync(&mut self) {
        let ends = self.log.iter().map(|transaction| transaction.end);
        let ends: Vec<StorePosition> = ends
            .filter(|end| (self.synced..=self.written).contains(end))
            .collect();
        if let Some(end) = ends.choose(&mut self.random) {
            self.synced = *end;
            self.tell_marks();
        }
    }

    fn tell_marks(&mut self) {
        for transaction in &mut self.log {
            transaction.written = transaction.end <= self.written;
            transaction.synced = transaction.end <= self.synced;
        }
        self.engine.marks(self.written, self.synced, self.now);
    }

    fn rotate(&mut self) {
        self.flush();
        self.new_file();
    }

    fn new_file(&mut self) {
        self.file += 1;
        self.offset = 4;
        self.high = StorePosition::new(self.file, self.offset);
        (self.written, self.synced) = (self.high, self.high);
        self.tell_marks();
    }

    /// A failed fsync, in the order in which the store and capture tell of it.
    fn fail(&mut self) {
        let end = self.synced;
        let dead: Vec<u64> = self
            .log
            .iter()
            .filter(|transaction| transaction.end > end)
            .map(|transaction| transaction.number)
            .collect();
        self.again.splice(0..0, dead);
        self.log.retain(|transaction| transaction.end <= end);
        self.written = end;
        self.tell_marks();
        // Capture does not know yet.
        if self.random.random_bool(0.5) {
            self.capture();
            let late = self.log.pop().unwrap();
            let place = self.again.partition_point(|number| *number < late.number);
            self.again.insert(place, late.number);
        }
        self.new_file();
        if self.random.random_bool(0.5) {
            self.engine.cut(self.written, self.now);
        }
    }

    fn some_position(&mut self) -> StorePosition {
        let ends: Vec<StorePosition> = self.log.iter().rev().take(8).map(|t| t.end).collect();
        match ends.choose(&mut self.random) {
            Some(end) if self.random.random_bool(0.95) => *end,
            _ => StorePosition::new(self.high.file, self.high.offset + 1000),
        }
    }

    fn confirm(&mut self) {
        let (who, level) = (
            self.random.random_range(0..NAMES.len()),
            self.random.random_range(0..3),
        );
        let position = self.some_position();
        // Now and then another machine, or an older dump, speaks in its name.
        let honest = self.random.random_bool(0.9);
        let seat = self.seats.iter().find(|seat| seat.who == who);
        let verified = seat.is_some_and(|seat| seat.verified);
        let (machine, voice) = seat.map_or((None, None), |seat| (seat.machine, seat.voice));
        let answering = machine_of(machine.unwrap_or_default() + u32::from(!honest));
        let (word, heard) = match LEVELS[level] {
            Level::Applied => (Word::Answer(&answering), machine.is_some()),
            _ => {
                let Voice(own) = voice.unwrap_or(Voice(0));
                let older = if honest { own } else { own.saturating_sub(1) };
                (Word::Dump(Voice(older)), voice.is_some_and(|own| own.0 > 0))
            }
        };
        self.engine.confirm(
            &ServerName::new(NAMES[who]),
            word,
            LEVELS[level],
            position,
            self.now,
        );
        if position <= self.high && honest && heard {
            for transaction in &mut self.log {
                let words = match verified {
                    true => &mut transaction.said,
                    false => &mut transaction.heard,
                };
                words[who][level] |= transaction.end <= position;
            }
        }
    }

    fn verify(&mut self) {
        let index = self.random.random_range(0..self.seats.len());
        let older = u64::from(self.random.random_bool(0.2));
        let seat = &mut self.seats[index];
        let who = seat.who;
        let voice = Voice(seat.voice.map_or(0, |voice| voice.0.saturating_sub(older)));
        if seat.voice == Some(voice) {
            seat.verified = true;
            for transaction in &mut self.log {
                let heard = std::mem::take(&mut transaction.heard[who]);
                for (said, heard) in transaction.said[who].iter_mut().zip(heard) {
                    *said |= heard;
                }
            }
        }
        let name = ServerName::new(NAMES[who]);
        self.engine.verified(&name, voice, self.now);
    }

    fn reconnect(&mut self) {
        let who = self.random.random_range(0..NAMES.len());
        let position = self.some_position();
        // A dump may come late: a newer one was accepted meanwhile.
        let late = self.random.random_range(0..3);
        let voice = Voice(self.next_voice.saturating_sub(late));
        self.next_voice += 1;
        let before = self.held();
        let mut expected = true;
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.who == who) {
            expected = seat.voice <= Some(voice);
            if expected {
                (seat.voice, seat.connected, seat.verified) = (Some(voice), true, false);
                for transaction in &mut self.log {
                    let asked = transaction.end <= position;
                    let [received, durable, applied] =
                        transaction.said[who].map(|said| said && asked);
                    transaction.heard[who] = [asked, durable, applied];
                    transaction.said[who] = match transaction.fate {
                        Fate::Released => [received, durable, applied],
                        // It lets nothing more out until it is verified.
                        Fate::Pending => Default::default(),
                    };
                }
            }
        }
        self.note_unconfirmed(&before, &self.seats.clone());
        let came = self
            .engine
            .reconnected(&ServerName::new(NAMES[who]), voice, position, self.now);
        assert_eq!(came, expected);
    }

    /// Of a dump that is listened to, or of one that is not any more.
    fn disconnect(&mut self) {
        let index = self.random.random_range(0..self.seats.len());
        let newer = u64::from(self.random.random_bool(0.3));
        let seat = &mut self.seats[index];
        let voice = Voice(seat.voice.map_or(0, |voice| voice.0) + newer);
        if seat.voice == Some(voice) {
            (seat.voice, seat.connected, seat.verified) = (None, false, false);
            for transaction in &mut self.log {
                transaction.heard[seat.who] = Default::default();
            }
        }
        let name = ServerName::new(NAMES[seat.who]);
        self.engine.disconnected(&name, voice, self.now);
    }

    /// Another machine behind the name, or the same.
    fn identify(&mut self) {
        let index = self.random.random_range(0..self.seats.len());
        let machine = self.random.random_range(0..2);
        let before = self.held();
        let seat = &mut self.seats[index];
        let who = seat.who;
        if seat.machine != Some(machine) {
            (seat.machine, seat.voice, seat.connected) = (Some(machine), None, false);
            seat.verified = false;
            for transaction in &mut self.log {
                transaction.said[who] = Default::default();
                transaction.heard[who] = Default::default();
            }
        }
        self.note_unconfirmed(&before, &self.seats.clone());
        let name = ServerName::new(NAMES[who]);
        self.engine
            .identified(&name, &machine_of(machine), self.now);
    }

    /// A machine has less than it said.
    fn fall(&mut self) {
        let index = self.random.random_range(0..self.seats.len());
        let machine = self.random.random_range(0..2);
        let position = self.some_position();
        let before = self.held();
        let seat = &self.seats[index];
        let who = seat.who;
        if seat.machine == Some(machine) {
            for transaction in &mut self.log {
                let kept = transaction.end <= position;
                for words in [&mut transaction.said, &mut transaction.heard] {
                    words[who] = words[who].map(|said| said && kept);
                }
            }
        }
        self.note_unconfirmed(&before, &self.seats.clone());
        let name = ServerName::new(NAMES[who]);
        let machine = machine_of(machine);
        self.engine.fallen(&name, &machine, position, self.now);
    }

    /// For which transactions the policy holds, whoever is connected.
    fn held(&self) -> Vec<bool> {
        let requirement = self.sync.effective();
        let log = self.log.iter();
        log.map(|transaction| holds(&requirement, transaction, &self.seats, true))
            .collect()
    }

    fn note_unconfirmed(&mut self, before: &[bool], seats: &[Seat]) {
        let requirement = self.sync.effective();
        for (transaction, before) in self.log.iter_mut().zip(before) {
            let lost = *before && !holds(&requirement, transaction, seats, true);
            if lost && transaction.fate == Fate::Released && transaction.owed.is_none() {
                transaction.owed = Some(requirement.whoever_is_connected());
            }
        }
    }

    fn judge(&mut self) {
        let index = self.random.random_range(0..self.seats.len());
        let seat = &mut self.seats[index];
        seat.eligible = !seat.eligible;
        let (name, yes) = (ServerName::new(NAMES[seat.who]), seat.eligible);
        self.engine.eligible(&name, yes, self.now);
    }

    /// For one of the last that were released, also if it has been taken back since.
    fn ask(&mut self) {
        let log = self.log.iter().rev();
        let released = log.filter(|transaction| transaction.fate == Fate::Released);
        let mut numbers: Vec<u64> = released.take(5).map(|t| t.number).collect();
        numbers.extend(
            self.again
                .iter()
                .filter(|number| self.released_once.contains(number)),
        );
        let Some(number) = numbers.choose(&mut self.random).copied() else {
            return;
        };
        let text = POLICIES.choose(&mut self.random).unwrap();
        let requirement = Requirement::parse(text).unwrap();
        let ticket = self.engine.ask(&gtid(number), &requirement, self.now);
        self.asking.push((ticket, number, requirement));
    }

    fn leave(&mut self) {
        if let Some((ticket, ..)) = self.asking.pop() {
            self.engine.leave(ticket);
        }
    }

    fn change_policy(&mut self) {
        self.sync = some_sync(&mut self.random);
        self.engine.set_sync(self.sync.clone(), self.now);
    }

    fn change_roster(&mut self) {
        let source = self.random.random_range(0..NAMES.len());
        let mut seats: Vec<Seat> = Vec::new();
        let mut staying: Vec<Seat> = Vec::new();
        for who in 0..NAMES.len() {
            if who != source && self.random.random_bool(0.4) {
                continue;
            }
            let old = self.seats.iter().find(|seat| seat.who == who);
            match old.filter(|seat| seat.source == (who == source)) {
                Some(old) => {
                    seats.push(old.clone());
                    staying.push(old.clone());
                }
                None => seats.push(Seat {
                    who,
                    source: who == source,
                    connected: false,
                    eligible: true,
                    machine: None,
                    voice: None,
                    verified: false,
                }),
            }
        }
        let before = self.held();
        self.note_unconfirmed(&before, &staying);
        for who in 0..NAMES.len() {
            if staying.iter().all(|seat| seat.who != who) {
                for transaction in &mut self.log {
                    transaction.said[who] = Default::default();
                    transaction.heard[who] = Default::default();
                }
            }
        }
        self.seats = seats;
        self.engine.set_voters(voters(&self.seats), self.now);
    }

    fn check(&mut self, was_lowered: bool, ticked: bool) {
        let lowered = self.engine.lowered_since().is_some();
        let asked = self.sync.effective();
        let in_force = self.engine.in_force().clone();
        assert!(in_force == asked || lowered);

        // Lowered only by waiting too long, with the voters missing and not our disk.
        if lowered && !was_lowered {
            assert!(ticked && self.sync.on_timeout == OnTimeout::Degrade);
            assert!(self.sync.mode != Mode::Async);
        }

        // Promises 1 and 4: what came out is what the policy in force lets out, in order.
        let mut expected = Vec::new();
        for transaction in self.log.iter_mut() {
            if transaction.fate == Fate::Released {
                continue;
            }
            if !(transaction.written && holds(&in_force, transaction, &self.seats, false)) {
                break;
            }
            let degraded = !holds(&asked, transaction, &self.seats, false);
            assert!(!degraded || lowered);
            assert!(self.sync.mode == Mode::Async || transaction.synced);
            if degraded {
                let late = self.now.saturating_sub(transaction.since) >= self.sync.timeout;
                assert!(was_lowered || late || !expected.is_empty());
                transaction.owed = Some(asked.clone());
            }
            transaction.fate = Fate::Released;
            self.released_once.insert(transaction.number);
            expected.push((transaction.number, degraded));
        }
        let events = self.engine.take_events();
        let met = |ticket: Ticket| {
            let is =
                |event: &Event| matches!(event, Event::Met { ticket: own, .. } if *own == ticket);
            events.iter().any(is)
        };
        // Exactly those sessions go on for whose transaction their own requirement holds.
        for (ticket, number, requirement) in std::mem::take(&mut self.asking) {
            let found = self.log.iter().find(|t| t.number == number);
            let holds = found.is_some_and(|transaction| {
                transaction.fate == Fate::Released
                    && holds(&requirement, transaction, &self.seats, false)
            });
            assert_eq!(met(ticket), holds, "{number} {requirement}");
            if holds {
                self.met += 1;
            } else {
                self.asking.push((ticket, number, requirement));
            }
        }
        assert_eq!(self.engine.asking(), self.asking.len());
        let released: Vec<(u64, bool)> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Released { gtid, degraded, .. } => Some((gtid.number(), degraded)),
                _ => None,
            })
            .collect();
        assert_eq!(released, expected);

        // Promise 7: the list is exact.
        for transaction in &mut self.log {
            let owed = transaction.owed.take();
            transaction.owed = owed.filter(|owed| !holds(owed, transaction, &self.seats, false));
        }
        let owing = self
            .log
            .iter()
            .filter(|transaction| transaction.owed.is_some());
        let owing: Vec<u64> = owing.map(|transaction| transaction.number).collect();
        let listed = self.engine.degraded();
        let listed: Vec<u64> = listed.iter().map(|commit| commit.gtid.number()).collect();
        assert_eq!(listed, owing);

        // Raised as soon as the voters have everything.
        let mut written = self.log.iter().filter(|transaction| transaction.written);
        let all_held = written.all(|transaction| holds(&asked, transaction, &self.seats, false));
        if lowered && all_held && self.log.iter().any(|transaction| transaction.written) {
            panic!("still lowered");
        }

        // Promise 3: no permit beyond what is stored and released.
        let permit = self.engine.acknowledgeable().unwrap();
        assert!(permit <= self.engine.released() && permit <= self.written);
        assert!(self.sync.mode == Mode::Async || permit <= self.synced);

        // Whoever waits, waits for somebody.
        if let Some((gtid, _, missing)) = self.engine.oldest() {
            let transaction = self.log.iter().find(|t| t.number == gtid.number());
            if !holds(&asked, transaction.unwrap(), &self.seats, false) {
                assert!(!missing.words.is_empty());
            }
        }
    }
}

fn some_sync(random: &mut ChaCha8Rng) -> Sync {
    let sync = match random.random_range(0..6) {
        0 => Sync::mode_only(Mode::Async),
        1 => Sync::mode_only(Mode::Quorum),
        2 => Sync::mode_only(Mode::Sync),
        _ => {
            let text = POLICIES.choose(random).unwrap();
            Sync::custom(Requirement::parse(text).unwrap())
        }
    };
    let on_timeout = match random.random_bool(0.5) {
        true => OnTimeout::Degrade,
        false => OnTimeout::Block,
    };
    sync.with_timeout(
        Duration::from_millis(random.random_range(20..300)),
        on_timeout,
    )
}

#[test]
fn random_schedules_keep_the_promises() {
    let (mut released, mut degraded, mut lowered, mut met) = (0, 0, 0, 0);
    let seeds = std::env::var("ACKLINE_SEEDS");
    let seeds = seeds.map_or(5_000, |text| text.parse().expect("a number"));
    for seed in 0..seeds {
        let mut world = World::new(seed);
        let mut highest = StorePosition::ZERO;
        for step in 0..150 {
            let run = std::panic::AssertUnwindSafe(|| world.step());
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, step {step}");
                std::panic::resume_unwind(panic);
            }
            assert!(world.engine.released() >= highest, "released went back");
            highest = world.engine.released();
            lowered += u32::from(world.engine.lowered_since().is_some());
            degraded += world.engine.degraded_count();
        }
        met += world.met;
        released += world
            .log
            .iter()
            .filter(|t| t.fate == Fate::Released)
            .count();
    }
    // A schedule in which nothing happens proves nothing.
    assert!(released > 20_000, "{released}");
    assert!(met > 2_000, "{met}");
    assert!(degraded > 10_000 && lowered > 5_000, "{degraded} {lowered}");
}

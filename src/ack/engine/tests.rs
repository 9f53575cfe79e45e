use super::*;
use crate::ack::policy::SyncPatch;
use crate::ids::ServerId;

fn at(offset: u64) -> StorePosition {
    StorePosition::new(1, offset)
}

fn gtid(seq: u64) -> Gtid {
    format!("0-1-{seq}").parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn name(text: &str) -> ServerName {
    ServerName::new(text)
}

fn voters(names: &[&str]) -> Vec<Voter> {
    let voters = names.iter().enumerate().map(|(index, own)| Voter {
        name: name(own),
        zone: None,
        is_source: index == 0,
    });
    voters.collect()
}

fn mode(mode: &str) -> Sync {
    let keys = SyncPatch {
        mode: Some(mode.to_owned()),
        ..SyncPatch::default()
    };
    Sync::from_keys(&keys).unwrap()
}

fn require(text: &str) -> Sync {
    Sync::custom(Requirement::parse(text).unwrap())
}

const VOICE: Voice = Voice(5);

fn machine(of: &str) -> Machine {
    Machine {
        address: format!("{of}:3306"),
        server_id: ServerId(7),
        uuid: None,
    }
}

/// An engine whose transaction `n` ends at `10 * n` and has the GTID `0-1-n`.
struct Bench {
    engine: Engine,
    now: Duration,
}

impl Bench {
    fn new(sync: Sync) -> Self {
        let mut engine = Engine::new(sync, voters(&["db1", "db2", "db3"]), Restored::default());
        for own in ["db2", "db3"] {
            engine.identified(&name(own), &machine(own), ms(0));
            assert!(engine.reconnected(&name(own), VOICE, at(0), ms(0)));
            engine.verified(&name(own), VOICE, ms(0));
        }
        engine.marks(at(0), at(0), ms(0));
        Self { engine, now: ms(0) }
    }

    fn capture(&mut self, n: u64) {
        self.engine.captured(at(10 * n), gtid(n), self.now);
    }

    fn written(&mut self, n: u64) {
        let synced = self.engine.votes.synced;
        self.engine.marks(at(10 * n), synced, self.now);
    }

    fn synced(&mut self, n: u64) {
        let written = self.engine.votes.written.max(at(10 * n));
        self.engine.marks(written, at(10 * n), self.now);
    }

    /// Captured, written and fsynced.
    fn store(&mut self, n: u64) {
        self.capture(n);
        self.synced(n);
    }

    fn confirm(&mut self, voter: &str, level: Level, n: u64) {
        self.say(voter, level, at(10 * n));
    }

    fn say(&mut self, voter: &str, level: Level, position: StorePosition) {
        let machine = machine(voter);
        let word = match level {
            Level::Applied => Word::Answer(&machine),
            _ => Word::Dump(VOICE),
        };
        self.engine
            .confirm(&name(voter), word, level, position, self.now);
    }

    /// With a dump of the same voice.
    fn reconnect(&mut self, voter: &str, n: u64) {
        self.engine
            .identified(&name(voter), &machine(voter), self.now);
        let came = self
            .engine
            .reconnected(&name(voter), VOICE, at(10 * n), self.now);
        assert!(came);
        self.engine.verified(&name(voter), VOICE, self.now);
    }

    fn disconnect(&mut self, voter: &str) {
        self.engine.disconnected(&name(voter), VOICE, self.now);
    }

    fn tick(&mut self, to: u64) {
        self.now = ms(to);
        self.engine.tick(self.now);
    }

    fn released(&self) -> u64 {
        self.engine.released().offset / 10
    }

    fn degraded(&self) -> Vec<String> {
        let list = self.engine.degraded();
        list.iter().map(|commit| commit.gtid.to_string()).collect()
    }

    /// Of the events since the last call, those that are not about a release.
    fn news(&mut self) -> Vec<Event> {
        let mut events = self.engine.take_events();
        events.retain(|event| !matches!(event, Event::Released { .. }));
        events
    }
}

#[test]
fn semi_sync_waits_for_a_replica_and_for_our_own_fsync() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.capture(1);
    bench.written(1);
    bench.confirm("db2", Level::Received, 1);
    assert_eq!(bench.released(), 0, "not fsynced");
    bench.synced(1);
    assert_eq!(bench.released(), 1);
    bench.store(2);
    assert_eq!(bench.released(), 1, "no replica has it");
    bench.confirm("db3", Level::Received, 2);
    assert_eq!(bench.released(), 2, "any one");
    let released = bench.engine.take_events();
    assert_eq!(
        released,
        [1, 2].map(|n| Event::Released {
            gtid: Arc::new(gtid(n)),
            waited: Duration::ZERO,
            degraded: false
        })
    );
}

#[test]
fn async_waits_for_nobody_and_quorum_and_sync_for_theirs() {
    let mut bench = Bench::new(mode("async"));
    bench.capture(1);
    bench.written(1);
    assert_eq!(bench.released(), 1);
    assert_eq!(bench.engine.acknowledgeable(), Some(at(10)));

    let mut bench = Bench::new(mode("quorum"));
    bench.store(1);
    assert_eq!(bench.released(), 0);
    bench.confirm("db3", Level::Received, 1);
    assert_eq!(bench.released(), 1, "source and db3 of three");

    let mut bench = Bench::new(mode("sync"));
    assert!(bench.engine.applied_wanted());
    bench.store(1);
    bench.confirm("db2", Level::Applied, 1);
    bench.confirm("db3", Level::Received, 1);
    assert_eq!(bench.released(), 0);
    bench.confirm("db3", Level::Applied, 1);
    assert_eq!(bench.released(), 1);
}

#[test]
fn a_weaker_policy_releases_at_once_and_a_stronger_one_takes_nothing_back() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.capture(2);
    bench.written(2);
    bench.engine.set_sync(mode("async"), bench.now);
    assert_eq!(bench.released(), 2);
    bench.engine.set_sync(mode("sync"), bench.now);
    assert_eq!(bench.released(), 2);
    let permit = bench.engine.acknowledgeable();
    assert_eq!(
        permit,
        Some(at(10)),
        "the second is not fsynced, and now that matters"
    );
    bench.store(3);
    assert_eq!(bench.released(), 2, "the new policy holds for what is new");
    assert!(bench.degraded().is_empty(), "less was asked for then");
}

#[test]
fn block_warns_once_per_episode_and_waits_on() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.tick(9_999);
    assert_eq!(bench.news(), []);
    bench.tick(10_000);
    let news = bench.news();
    assert!(
        matches!(&news[..], [Event::Overdue { waits_for, .. }] if waits_for.words == "1 of db2, db3 to confirm received"),
        "{news:?}"
    );
    bench.tick(30_000);
    assert_eq!(bench.news(), [], "once");
    assert!(bench.engine.is_overdue());
    assert_eq!(bench.released(), 0);
    bench.confirm("db2", Level::Received, 1);
    bench.tick(30_010);
    assert!(!bench.engine.is_overdue());
    bench.store(2);
    bench.tick(40_010);
    assert!(
        matches!(bench.news()[..], [Event::Overdue { .. }]),
        "another episode"
    );
}

fn degrading() -> Bench {
    Bench::new(mode("semi-sync").with_timeout(ms(1_000), OnTimeout::Degrade))
}

#[test]
fn degrade_lowers_once_lists_every_commit_and_raises_again() {
    let mut bench = degrading();
    bench.store(1);
    bench.tick(1_000);
    assert!(matches!(bench.news()[..], [Event::Lowered { .. }]));
    assert_eq!(bench.released(), 1);
    assert_eq!(bench.engine.in_force(), &Requirement::LOCAL_DURABLE);
    bench.tick(1_010);
    bench.capture(2);
    bench.written(2);
    assert_eq!(bench.released(), 1, "our own fsync is still needed");
    bench.synced(2);
    assert_eq!(bench.released(), 2, "without waiting for the timeout again");
    assert_eq!(bench.degraded(), ["0-1-1", "0-1-2"]);

    bench.confirm("db2", Level::Received, 1);
    assert_eq!(bench.degraded(), ["0-1-2"], "the first has caught up");
    assert!(
        bench.engine.lowered_since().is_none(),
        "db2 has all that was written at the last look"
    );
    bench.store(3);
    assert_eq!(bench.released(), 2, "the policy is in force again");
    bench.confirm("db2", Level::Received, 3);
    assert_eq!((bench.released(), bench.degraded().len()), (3, 0));
    let news = bench.news();
    assert_eq!(
        news.iter().filter(|event| **event == Event::Raised).count(),
        1
    );
    let caught_up = |event: &&Event| matches!(event, Event::CaughtUp { count: 1 });
    assert_eq!(news.iter().filter(caught_up).count(), 2);
}

#[test]
fn under_load_the_policy_is_raised_though_the_voters_never_have_everything() {
    let mut bench = degrading();
    bench.store(1);
    bench.tick(1_000);
    // A commit each 10 ms; db2 comes back and stays three behind.
    for n in 2..40 {
        bench.tick(1_000 + 10 * n);
        bench.store(n);
        if n > 20 {
            bench.confirm("db2", Level::Received, n - 3);
        }
    }
    assert!(bench.engine.lowered_since().is_none());
    assert!(bench.degraded().is_empty());
}

#[test]
fn lowering_does_not_help_where_our_own_disk_is_slow() {
    let mut bench = degrading();
    bench.capture(1);
    bench.written(1);
    bench.tick(5_000);
    assert!(bench.engine.lowered_since().is_none());
    let news = bench.news();
    assert!(
        matches!(&news[..], [Event::Overdue { waits_for, .. }] if waits_for.local),
        "{news:?}"
    );
}

#[test]
fn a_change_to_async_does_not_settle_what_is_owed() {
    let mut bench = degrading();
    bench.store(1);
    bench.tick(1_000);
    bench.engine.set_sync(mode("async"), bench.now);
    bench.store(2);
    assert_eq!(bench.degraded(), ["0-1-1"]);
    bench.confirm("db3", Level::Received, 2);
    assert!(bench.degraded().is_empty());
}

#[test]
fn a_vote_that_is_taken_back_makes_released_commits_degraded() {
    let mut bench = Bench::new(mode("semi-sync"));
    for n in 1..=4 {
        bench.store(n);
        bench.confirm("db2", Level::Received, n);
    }
    bench.confirm("db3", Level::Received, 2);
    assert_eq!(bench.released(), 4);
    bench.disconnect("db2");
    assert!(
        bench.degraded().is_empty(),
        "what db2 said stays true while it is away"
    );
    bench.reconnect("db2", 1);
    assert_eq!(
        bench.degraded(),
        ["0-1-3", "0-1-4"],
        "db3 has the first two"
    );
    assert_eq!(bench.released(), 4, "never back");
    assert!(matches!(&bench.news()[..], [Event::Unconfirmed { gtids }] if gtids.len() == 2));
    bench.confirm("db2", Level::Received, 3);
    assert_eq!(bench.degraded(), ["0-1-4"]);
    bench.confirm("db3", Level::Received, 4);
    assert!(bench.degraded().is_empty());
}

#[test]
fn first_moves_on_to_the_next_and_that_takes_no_vote_back() {
    let mut bench = Bench::new(require("FIRST 1 (db2, db3) received"));
    bench.store(1);
    bench.confirm("db3", Level::Received, 1);
    assert_eq!(bench.released(), 0, "db2 comes first");
    bench.disconnect("db2");
    assert_eq!(bench.released(), 1);
    bench.reconnect("db2", 0);
    assert!(bench.degraded().is_empty(), "db3 still has it");
    bench.reconnect("db3", 0);
    assert_eq!(bench.degraded(), ["0-1-1"]);
}

#[test]
fn reconnecting_is_a_statement_too() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.reconnect("db2", 1);
    assert_eq!(
        bench.released(),
        1,
        "who asks for what follows has what is before"
    );
}

#[test]
fn nobody_confirms_for_another_or_beyond_the_end() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.confirm("db2", Level::Received, 2);
    bench.confirm("db9", Level::Received, 1);
    bench.confirm("db1", Level::Received, 1);
    assert_eq!(bench.engine.ignored(), 3);
    assert_eq!(
        bench.released(),
        0,
        "and the source's own word does not count"
    );
    bench.store(2);
    assert_eq!(bench.released(), 0, "what was ignored stays ignored");
}

#[test]
fn an_answer_that_overtakes_the_marks_counts_once_they_arrive() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.capture(1);
    bench.confirm("db2", Level::Received, 1);
    assert_eq!(bench.released(), 0);
    bench.synced(1);
    assert_eq!(bench.released(), 1);
}

#[test]
fn the_roster_decides_who_votes() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.confirm("db2", Level::Received, 1);
    bench
        .engine
        .set_voters(voters(&["db1", "db3", "db4"]), bench.now);
    assert_eq!(bench.degraded(), ["0-1-1"], "its only voter is gone");
    bench.store(2);
    bench.confirm("db2", Level::Received, 2);
    assert_eq!(bench.released(), 1);
    bench.reconnect("db4", 0);
    bench.confirm("db4", Level::Received, 2);
    assert_eq!((bench.released(), bench.degraded().len()), (2, 0));
    // A new voter takes nothing from anybody.
    bench.engine.set_sync(require("ALL received"), bench.now);
    bench.confirm("db3", Level::Received, 2);
    bench
        .engine
        .set_voters(voters(&["db1", "db3", "db4", "db5"]), bench.now);
    assert!(bench.degraded().is_empty());
    // db4 becomes the source: as such it votes in majorities only.
    bench.engine.set_sync(mode("semi-sync"), bench.now);
    bench
        .engine
        .set_voters(voters(&["db4", "db3", "db5"]), bench.now);
    bench.store(3);
    bench.confirm("db4", Level::Received, 3);
    assert_eq!(bench.released(), 2);
}

/// Two names swap their addresses in the configuration: what a machine confirmed stays with it.
#[test]
fn a_vote_belongs_to_the_machine_and_not_to_its_name() {
    let mut bench = Bench::new(require("ANY 2 (db2, db3) received"));
    bench.store(1);
    bench.confirm("db2", Level::Received, 1);
    let now = bench.now;
    bench.engine.identified(&name("db3"), &machine("db2"), now);
    bench.engine.identified(&name("db2"), &machine("db3"), now);
    assert!(
        bench
            .engine
            .reconnected(&name("db3"), Voice(6), at(10), now)
    );
    bench.engine.verified(&name("db3"), Voice(6), now);
    assert_eq!(bench.released(), 0, "one machine has it");
    let word = Word::Answer(&machine("db2"));
    let db2 = name("db2");
    bench
        .engine
        .confirm(&db2, word, Level::Applied, at(10), now);
    assert_eq!(bench.released(), 0, "the old machine speaks for the name");
    let word = Word::Answer(&machine("db3"));
    bench
        .engine
        .confirm(&db2, word, Level::Applied, at(10), now);
    assert_eq!(bench.released(), 0, "its binlog was not walked");
    assert!(bench.engine.reconnected(&db2, Voice(7), at(10), now));
    bench.engine.verified(&db2, Voice(7), now);
    assert_eq!(bench.released(), 1);
}

#[test]
fn another_machine_takes_the_votes_of_the_name_back() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.confirm("db2", Level::Received, 1);
    assert_eq!(bench.released(), 1);
    let now = bench.now;
    bench.engine.identified(&name("db2"), &machine("new"), now);
    assert_eq!(bench.degraded(), ["0-1-1"]);
    assert!(
        bench
            .engine
            .reconnected(&name("db2"), Voice(6), at(10), now)
    );
    assert_eq!(bench.degraded(), ["0-1-1"]);
    bench.engine.verified(&name("db2"), Voice(6), now);
    assert!(bench.degraded().is_empty());
}

/// An ack on connection 1 is late, the relay log is thrown away, connection 2 asks from before it.
#[test]
fn a_late_ack_of_a_replaced_dump_says_nothing() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.store(2);
    let now = bench.now;
    assert!(
        bench
            .engine
            .reconnected(&name("db2"), Voice(6), at(10), now)
    );
    bench.engine.verified(&name("db2"), Voice(6), now);
    assert_eq!(bench.released(), 1);
    bench.confirm("db2", Level::Received, 2);
    assert_eq!(bench.released(), 1, "that was the voice of before");
    let late = bench.engine.reconnected(&name("db2"), VOICE, at(20), now);
    assert!(!late, "a dump that was accepted before comes too late");
    bench.engine.verified(&name("db2"), VOICE, now);
    assert_eq!(bench.released(), 1);
    bench.engine.disconnected(&name("db2"), VOICE, now);
    let word = Word::Dump(Voice(6));
    let db2 = name("db2");
    bench
        .engine
        .confirm(&db2, word, Level::Received, at(20), now);
    assert_eq!(bench.released(), 2);
}

/// A jump: asked from a place, or said to be there, without having what is before it.
#[test]
fn nothing_counts_before_the_binlog_was_walked() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.store(2);
    let now = bench.now;
    let db2 = name("db2");
    assert!(bench.engine.reconnected(&db2, Voice(6), at(10), now));
    let machine = machine("db2");
    let words = [Word::Dump(Voice(6)), Word::Answer(&machine)];
    for (word, level) in words.into_iter().zip([Level::Received, Level::Applied]) {
        bench.engine.confirm(&db2, word, level, at(20), now);
    }
    assert_eq!(bench.released(), 0);
    // The next dump begins with nothing heard.
    assert!(bench.engine.reconnected(&db2, Voice(7), at(10), now));
    bench.engine.verified(&db2, Voice(6), now);
    assert_eq!(bench.released(), 0);
    bench.engine.verified(&db2, Voice(7), now);
    assert_eq!(bench.released(), 1);
}

#[test]
fn who_has_fallen_has_what_it_says_now() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.store(2);
    bench.confirm("db2", Level::Received, 2);
    assert_eq!(bench.released(), 2);
    let now = bench.now;
    bench
        .engine
        .fallen(&name("db2"), &machine("other"), at(0), now);
    assert!(bench.degraded().is_empty(), "another machine");
    bench
        .engine
        .fallen(&name("db2"), &machine("db2"), at(10), now);
    assert_eq!(bench.degraded(), ["0-1-2"]);
}

#[test]
fn who_may_not_vote_now_keeps_its_seat() {
    let mut bench = Bench::new(mode("quorum"));
    bench.engine.eligible(&name("db2"), false, bench.now);
    bench.store(1);
    bench.confirm("db2", Level::Received, 1);
    assert_eq!(bench.released(), 0);
    bench.engine.eligible(&name("db2"), true, bench.now);
    assert_eq!(bench.released(), 1);
}

#[test]
fn what_a_failed_fsync_takes_back_comes_again_in_a_new_file() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.store(1);
    bench.confirm("db2", Level::Received, 1);
    for n in 2..=4 {
        bench.capture(n);
    }
    bench.written(3);
    bench.confirm("db2", Level::Received, 3);
    // The fsync fails: the store's marks fall back. One that was in capture's hands comes late.
    bench.engine.marks(at(10), at(10), bench.now);
    bench.engine.captured(at(50), gtid(5), bench.now);
    assert_eq!(bench.engine.waiting(), 1);
    let new = |offset| StorePosition::new(2, offset);
    bench.engine.marks(new(4), new(4), bench.now);
    bench.engine.cut(new(4), bench.now);
    assert_eq!(bench.engine.waiting(), 0);
    assert_eq!(bench.released(), 1);
    assert_eq!(
        bench.news(),
        [Event::TakenBack { count: 3 }, Event::TakenBack { count: 1 }]
    );
    // A late answer for the old file is worth nothing.
    bench.confirm("db2", Level::Received, 4);
    for n in 2..=5 {
        bench.engine.captured(new(10 * n), gtid(n), bench.now);
    }
    bench.engine.marks(new(50), new(50), bench.now);
    assert!(bench.engine.released() < new(20));
    assert_eq!(bench.engine.waiting(), 4);
    bench.say("db2", Level::Received, new(50));
    assert_eq!(bench.engine.released(), new(50));
}

#[test]
fn a_cut_by_itself_takes_voters_and_pending_back() {
    let mut bench = Bench::new(mode("semi-sync"));
    bench.capture(1);
    bench.capture(2);
    bench.written(2);
    bench.confirm("db2", Level::Durable, 2);
    bench.engine.cut(at(10), bench.now);
    assert_eq!(bench.engine.waiting(), 1);
    assert_eq!(
        bench.engine.votes().voters[1].confirmed.durable,
        Some(at(10))
    );
    assert_eq!(bench.engine.votes().written, at(10));
}

#[test]
fn after_a_restart_a_degraded_commit_waits_for_what_it_fell_short_of() {
    let of = |n, owed: &str| DegradedCommit {
        gtid: gtid(n),
        at: ms(n),
        owed: Some(Requirement::parse(owed).unwrap()),
    };
    let restored = Restored {
        released: at(30),
        degraded: vec![
            of(1, "ALL received"),
            of(2, "ANY 1 (*) received"),
            of(3, "ALL received"),
        ],
    };
    // A weaker policy by now.
    let engine = Engine::new(
        mode("semi-sync"),
        voters(&["db1", "db2", "db3"]),
        restored.clone(),
    );
    let mut bench = Bench { engine, now: ms(0) };
    bench.engine.marks(at(30), at(30), bench.now);
    assert_eq!(bench.engine.degraded(), restored.degraded);
    bench.reconnect("db2", 3);
    assert_eq!(bench.degraded(), [gtid(1).to_string(), gtid(3).to_string()]);
    bench.reconnect("db3", 3);
    assert_eq!(bench.engine.degraded_count(), 0);
}

#[test]
fn after_a_restart_what_the_store_holds_has_yet_to_be_released() {
    let restored = Restored {
        released: at(10),
        degraded: vec![DegradedCommit {
            gtid: gtid(1),
            at: ms(5),
            owed: None,
        }],
    };
    let engine = Engine::new(mode("semi-sync"), voters(&["db1", "db2"]), restored.clone());
    let mut bench = Bench { engine, now: ms(0) };
    assert_eq!(
        bench.engine.acknowledgeable(),
        None,
        "the store has not spoken"
    );
    bench.engine.marks(at(30), at(30), bench.now);
    bench.capture(2);
    bench.capture(3);
    assert_eq!(bench.released(), 1);
    assert_eq!(
        (bench.degraded().len(), bench.engine.degraded_count()),
        (1, 1)
    );
    bench.reconnect("db2", 2);
    assert_eq!((bench.released(), bench.engine.degraded_count()), (2, 0));

    // In async the marks alone release; what is told afterwards is released at once.
    let engine = Engine::new(mode("async"), voters(&["db1", "db2"]), restored.clone());
    let mut bench = Bench { engine, now: ms(0) };
    bench.engine.marks(at(30), at(30), bench.now);
    bench.capture(2);
    bench.capture(3);
    assert_eq!(
        (bench.engine.waiting(), bench.engine.take_events().len()),
        (0, 2)
    );
    assert_eq!(bench.degraded(), ["0-1-1"], "async proves nothing");

    // A power cut took released transactions; those at their places have to earn it.
    let engine = Engine::new(mode("semi-sync"), voters(&["db1", "db2"]), restored);
    let mut bench = Bench { engine, now: ms(0) };
    bench.engine.marks(at(4), at(4), bench.now);
    bench.store(1);
    assert_eq!(bench.engine.released(), at(4));
    assert_eq!(bench.engine.acknowledgeable(), Some(at(4)));
}

#[test]
fn the_list_is_bounded_and_the_count_is_not() {
    let mut bench = degrading();
    bench.store(1);
    bench.tick(1_000);
    let extra = 5;
    for n in 2..=(crate::ack::LISTED as u64 + extra) {
        bench.store(n);
    }
    assert_eq!(bench.degraded().len(), crate::ack::LISTED);
    assert_eq!(
        bench.engine.degraded_count(),
        crate::ack::LISTED as u64 + extra
    );
    assert_eq!(bench.degraded()[0], "0-1-6");
    bench.confirm("db2", Level::Received, 4);
    assert_eq!(
        bench.engine.degraded_count(),
        crate::ack::LISTED as u64 + extra
    );
    bench.confirm("db2", Level::Received, 6);
    assert_eq!(bench.engine.degraded_count(), crate::ack::LISTED as u64 - 1);
}

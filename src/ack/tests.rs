use super::engine::*;
use super::policy::*;
use super::quorum::{self, Voter};
use crate::gtid::{Gtid, mariadb};
use crate::ids::{Level, ServerName, StorePosition};
use rand::{Rng, SeedableRng};
use std::time::Duration;

fn at(n: u64) -> StorePosition {
    StorePosition::new(1, n)
}

fn gtid(n: u64) -> Gtid {
    Gtid::MariaDb(mariadb::Gtid::new(0, 1, n))
}

fn name(n: &str) -> ServerName {
    ServerName::new(n)
}

fn voters() -> Vec<Voter> {
    let voter = |n: &str, is_source| Voter {
        name: name(n),
        zone: None,
        is_source,
    };
    vec![voter("s", true), voter("a", false), voter("b", false)]
}

fn sync(require: &str, on_timeout: OnTimeout) -> Sync {
    Sync {
        mode: Mode::Custom,
        require: require.parse().unwrap(),
        timeout: Duration::from_secs(10),
        on_timeout,
        ..Sync::default()
    }
}

const SEMI_SYNC: &str = "LOCAL durable AND ANY 1 (*) received";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// An engine with transactions that end at 10, 20, … written and synced.
fn engine(require: &str, on_timeout: OnTimeout, transactions: u64) -> Engine {
    let mut engine = Engine::new(
        sync(require, on_timeout),
        voters(),
        StorePosition::ZERO,
        Vec::new(),
    );
    for n in 1..=transactions {
        engine.captured(at(n * 10), gtid(n), seconds(0));
    }
    engine.marks(at(transactions * 10), at(transactions * 10), seconds(0));
    engine
}

#[test]
fn a_commit_returns_when_one_replica_and_our_own_disk_have_it() {
    let mut engine = Engine::new(
        sync(SEMI_SYNC, OnTimeout::Block),
        voters(),
        StorePosition::ZERO,
        Vec::new(),
    );
    engine.captured(at(10), gtid(1), seconds(0));
    assert_eq!(
        engine.marks(at(10), StorePosition::ZERO, seconds(0)),
        Outcome::default()
    );
    assert_eq!(
        engine.confirm(&name("a"), Level::Received, at(10), seconds(0)),
        Outcome::default(),
        "not on our own disk"
    );
    assert_eq!(engine.marks(at(10), at(10), seconds(0)).released, [gtid(1)]);
    assert_eq!(engine.released(), at(10));
}

#[test]
fn a_word_about_what_was_not_written_counts_for_nothing() {
    let mut engine = engine(SEMI_SYNC, OnTimeout::Block, 1);
    assert_eq!(
        engine.confirm(&name("a"), Level::Received, at(999), seconds(0)),
        Outcome::default()
    );
    assert_eq!(engine.released(), StorePosition::ZERO);
}

#[test]
fn block_warns_once_and_waits() {
    let mut engine = engine(SEMI_SYNC, OnTimeout::Block, 1);
    assert_eq!(engine.tick(seconds(9)).notices, []);
    assert_eq!(
        engine.tick(seconds(10)).notices,
        [Notice::TimedOut { oldest: gtid(1) }]
    );
    assert_eq!(engine.tick(seconds(3600)), Outcome::default());
    assert_eq!(engine.waits_for(), [name("a"), name("b")]);
    assert_eq!(
        engine
            .confirm(&name("b"), Level::Received, at(10), seconds(3601))
            .released,
        [gtid(1)]
    );
}

#[test]
fn degrade_lowers_the_policy_lists_what_returned_and_comes_back() {
    let mut engine = engine(SEMI_SYNC, OnTimeout::Degrade, 2);
    let outcome = engine.tick(seconds(10));
    assert_eq!(
        outcome.notices,
        [Notice::DegradedBegins { oldest: gtid(1) }]
    );
    assert_eq!(outcome.released, [gtid(1), gtid(2)]);
    assert!(engine.is_degraded());
    // Later commits do not wait for the timeout again.
    engine.captured(at(30), gtid(3), seconds(11));
    assert_eq!(
        engine.marks(at(30), at(30), seconds(11)).released,
        [gtid(3)]
    );
    assert_eq!(engine.degraded_total(), 3);
    // A replica is back, but has not caught up.
    assert_eq!(
        engine
            .confirm(&name("a"), Level::Received, at(20), seconds(12))
            .notices,
        []
    );
    assert_eq!(
        engine
            .degraded()
            .map(|d| d.gtid.clone())
            .collect::<Vec<_>>(),
        [gtid(3)]
    );
    let outcome = engine.confirm(&name("a"), Level::Received, at(30), seconds(13));
    assert_eq!(outcome.notices, [Notice::DegradedEnds]);
    assert_eq!(engine.degraded().count(), 0);
    assert!(!engine.is_degraded());
}

#[test]
fn our_own_fsync_is_not_degraded_away() {
    let mut engine = Engine::new(
        sync(SEMI_SYNC, OnTimeout::Degrade),
        voters(),
        StorePosition::ZERO,
        Vec::new(),
    );
    engine.captured(at(10), gtid(1), seconds(0));
    engine.marks(at(10), StorePosition::ZERO, seconds(0));
    engine.tick(seconds(100));
    assert_eq!(engine.released(), StorePosition::ZERO);
}

#[test]
fn weaker_releases_at_once_and_released_never_goes_back() {
    let mut engine = engine("ALL applied", OnTimeout::Block, 3);
    engine.confirm(&name("a"), Level::Received, at(30), seconds(0));
    assert_eq!(engine.released(), StorePosition::ZERO);
    assert_eq!(
        engine
            .set_sync(sync(SEMI_SYNC, OnTimeout::Block), seconds(1))
            .released
            .len(),
        3
    );
    engine.set_sync(sync("ALL applied", OnTimeout::Block), seconds(2));
    engine.reconnected(&name("a"), at(10), seconds(2));
    assert_eq!(engine.released(), at(30));
}

#[test]
fn a_cut_takes_back_what_was_not_synced() {
    let mut engine = Engine::new(
        sync(SEMI_SYNC, OnTimeout::Block),
        voters(),
        StorePosition::ZERO,
        Vec::new(),
    );
    engine.captured(at(10), gtid(1), seconds(0));
    engine.captured(at(20), gtid(2), seconds(0));
    engine.marks(at(20), at(10), seconds(0));
    engine.confirm(&name("a"), Level::Received, at(20), seconds(0));
    assert_eq!(engine.released(), at(10));
    engine.cut(at(10));
    // It comes again in the next file, and has to be confirmed again.
    let again = StorePosition::new(2, 300);
    engine.captured(again, gtid(2), seconds(1));
    assert_eq!(engine.marks(again, again, seconds(1)).released, []);
    assert_eq!(
        engine
            .confirm(&name("a"), Level::Received, again, seconds(1))
            .released,
        [gtid(2)]
    );
}

/// Thousands of random histories against what the promises say in their own words.
#[test]
fn seeded_histories_keep_the_promises() {
    let policies = [
        "LOCAL received",
        "LOCAL durable",
        SEMI_SYNC,
        "MAJORITY received",
        "ALL applied",
        "FIRST 1 (a, b) received",
        "ALL received OR ANY 1 (b) durable",
    ];
    for seed in 0..2_000u64 {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let on_timeout = if random.random_bool(0.3) {
            OnTimeout::Degrade
        } else {
            OnTimeout::Block
        };
        let mut engine = Engine::new(
            sync(policies[random.random_range(0..policies.len())], on_timeout),
            voters(),
            StorePosition::ZERO,
            Vec::new(),
        );
        let (mut captured, mut written, mut synced, mut now) = (0u64, 0u64, 0u64, 0u64);
        let mut answered = 0u64;
        for _ in 0..200 {
            now += random.random_range(0..3);
            let before = engine.released();
            let who = name(["a", "b"][random.random_range(0..2)]);
            let outcome = match random.random_range(0..9) {
                0 | 1 => {
                    captured += 1;
                    engine.captured(at(captured * 10), gtid(captured), seconds(now));
                    Outcome::default()
                }
                2 => {
                    written = captured;
                    engine.marks(at(written * 10), at(synced * 10), seconds(now))
                }
                3 => {
                    synced = written;
                    engine.marks(at(written * 10), at(synced * 10), seconds(now))
                }
                4 | 5 => {
                    let level = [Level::Received, Level::Durable, Level::Applied]
                        [random.random_range(0..3)];
                    engine.confirm(
                        &who,
                        level,
                        at(random.random_range(0..=captured + 1) * 10),
                        seconds(now),
                    )
                }
                6 => engine.reconnected(
                    &who,
                    at(random.random_range(0..=written) * 10),
                    seconds(now),
                ),
                7 => engine.set_sync(
                    sync(policies[random.random_range(0..policies.len())], on_timeout),
                    seconds(now),
                ),
                _ => engine.tick(seconds(now)),
            };
            for released in &outcome.released {
                answered += 1;
                assert_eq!(
                    *released,
                    gtid(answered),
                    "seed {seed}: each once, in order"
                );
            }
            let released = engine.released();
            assert!(released >= before, "seed {seed}: released went back");
            assert!(
                released <= at(written * 10),
                "seed {seed}: released what is not written"
            );
            if released > before {
                if engine.sync().require.wants_synced() || engine.is_degraded() {
                    assert!(
                        released <= at(synced * 10),
                        "seed {seed}: released what is not synced"
                    );
                }
                let holds =
                    quorum::satisfied(&engine.sync().require, engine.votes()).unwrap_or_default();
                let lowered = on_timeout == OnTimeout::Degrade;
                assert!(
                    released <= holds || lowered,
                    "seed {seed}: released {released}, the policy holds to {holds}"
                );
                // Promise 7: whatever went beyond the policy is on the list.
                let listed = engine
                    .degraded()
                    .filter(|commit| commit.end > holds)
                    .count() as u64;
                let beyond = (before.offset.max(holds.offset)..released.offset)
                    .step_by(10)
                    .count() as u64;
                assert!(
                    listed >= beyond,
                    "seed {seed}: {beyond} returned beyond the policy, {listed} are listed"
                );
            }
        }
    }
}

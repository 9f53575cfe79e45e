use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::ids::{Flavor, ServerId};

fn position(text: &str) -> Position {
    Position::parse(Flavor::MariaDb, text).unwrap()
}

fn at(offset: u64) -> StorePosition {
    StorePosition::new(1, offset)
}

fn gtid(text: &str) -> Gtid {
    text.parse().unwrap()
}

fn acks() -> Acks {
    let voters = ["db1", "db2"].map(|name| Voter {
        name: ServerName::new(name),
        zone: None,
        is_source: name == "db1",
    });
    let set = "0-1-1..4".parse().unwrap();
    let durable = Durable {
        released: at(40),
        released_set: set,
        degraded: Vec::new(),
    };
    let acks = Acks::new(Sync::default(), voters.into(), durable, Epoch(3));
    acks.marks(at(40), at(40));
    acks.identified(&ServerName::new("db2"), &machine());
    assert!(acks.reconnected(&ServerName::new("db2"), Voice(0), at(40)));
    acks.verified(&ServerName::new("db2"), Voice(0));
    acks
}

fn machine() -> Machine {
    Machine {
        address: "db2:3306".into(),
        server_id: ServerId(2),
        uuid: None,
    }
}

fn store(acks: &Acks, n: u64) {
    acks.captured(at(10 * n), gtid(&format!("0-1-{n}")));
    acks.marks(at(10 * n), at(10 * n));
}

fn confirm(acks: &Acks, n: u64) {
    let word = Word::Dump(Voice(0));
    acks.confirm(&ServerName::new("db2"), word, Level::Received, at(10 * n));
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(future).poll(&mut context) == Poll::Ready(())
}

#[tokio::test]
async fn a_commit_waits_until_its_gtid_is_released() {
    let acks = acks();
    acks.wait_released(&gtid("0-1-4")).await;
    store(&acks, 5);
    let waiting = tokio::spawn(acks.wait_released(&gtid("0-1-5")));
    let other = tokio::spawn(acks.wait_position(&position("0-1-6")));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(acks.snapshot().parked, 2);
    confirm(&acks, 5);
    waiting.await.unwrap();
    assert!(!other.is_finished());
    store(&acks, 6);
    confirm(&acks, 6);
    other.await.unwrap();
    assert_eq!(acks.snapshot().parked, 0);
    assert!(acks.is_released(&gtid("0-1-6")));
}

#[tokio::test]
async fn a_session_waits_for_what_it_asks_itself() {
    let acks = acks();
    store(&acks, 5);
    let asked = Arc::new(Requirement::parse("ANY 1 (db2) applied").unwrap());
    let waiting = tokio::spawn(acks.wait_met(&gtid("0-1-5"), asked.clone()));
    let everything = tokio::spawn(acks.wait_position_met(&position("0-1-5"), asked.clone()));
    let mut leaving = Box::pin(acks.wait_met(&gtid("0-1-5"), asked));
    tokio::task::yield_now().await;
    assert!(!*acks.applied_wanted().borrow());
    // The policy first.
    confirm(&acks, 5);
    acks.wait_released(&gtid("0-1-5")).await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && !everything.is_finished());
    assert!(!is_ready(&mut leaving));
    let snapshot = acks.snapshot();
    assert_eq!(snapshot.asking, 3);
    let (_, missing) = snapshot.oldest_asking.unwrap();
    assert_eq!(missing.words, "db2 to confirm applied");
    // Somebody has to ask the replicas.
    assert!(*acks.applied_wanted().borrow());
    drop(leaving);
    assert_eq!(acks.snapshot().asking, 2);
    let (name, machine) = (ServerName::new("db2"), machine());
    acks.confirm(&name, Word::Answer(&machine), Level::Applied, at(50));
    waiting.await.unwrap();
    everything.await.unwrap();
    assert_eq!(acks.snapshot().asking, 0);
    assert!(!*acks.applied_wanted().borrow());
    // Who asks when it holds already does not wait.
    let asked = Arc::new(Requirement::parse("ALL received").unwrap());
    assert!(is_ready(acks.wait_met(&gtid("0-1-5"), asked)));
    // What no voter can give is told.
    let unknown = Requirement::parse("ANY 1 (db9) received").unwrap();
    assert!(acks.validate(&unknown).is_err());
}

#[tokio::test]
async fn what_came_after_the_position_is_not_waited_for() {
    let acks = acks();
    store(&acks, 5);
    confirm(&acks, 5);
    store(&acks, 6);
    confirm(&acks, 6);
    let asked = Arc::new(Requirement::parse("ANY 1 (db2) applied").unwrap());
    let mut waiting = Box::pin(acks.wait_position_met(&position("0-1-5"), asked.clone()));
    assert!(!is_ready(&mut waiting));
    let (name, machine) = (ServerName::new("db2"), machine());
    acks.confirm(&name, Word::Answer(&machine), Level::Applied, at(50));
    waiting.await;
    // Released before our start: as if it were the last that was.
    assert!(!is_ready(acks.wait_position_met(
        &position("0-1-1"),
        Arc::new(Requirement::parse("ANY 1 (db3) applied").unwrap())
    )));
    assert!(is_ready(acks.wait_position_met(&position(""), asked)));
}

#[tokio::test]
async fn a_dropped_waiter_leaves_nothing_behind() {
    let acks = acks();
    for _ in 0..3 {
        let mut waiting = Box::pin(acks.wait_released(&gtid("0-1-9")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(acks.snapshot().parked, 1);
        drop(waiting);
        assert_eq!(acks.snapshot().parked, 0);
    }
    // Never polled, never parked.
    drop(acks.wait_released(&gtid("0-1-9")));
    assert_eq!(acks.snapshot().parked, 0);
}

#[test]
fn a_position_is_reached_when_each_domain_is() {
    let acks = acks();
    let wait = |text: &str| is_ready(acks.wait_position(&position(text)));
    assert!(wait("") && wait("0-1-4"));
    assert!(!wait("0-1-4,7-2-9"));
    acks.assume_released(&"7-2-1..9".parse().unwrap());
    assert!(wait("0-1-4,7-2-9"));
    assert!(
        !wait("0-2-4"),
        "another server's transaction is another one"
    );
}

#[test]
fn permits_follow_what_is_released_and_synced_in_this_epoch() {
    let fresh = Acks::new(Sync::default(), Vec::new(), Durable::default(), Epoch(3));
    assert_eq!(*fresh.permits().borrow(), None, "the store has not spoken");

    let acks = acks();
    let mut permits = acks.permits();
    let seen = |permits: &mut watch::Receiver<Option<AckPermit>>| {
        let permit = permits.borrow_and_update().unwrap();
        (permit.epoch(), permit.position())
    };
    assert_eq!(seen(&mut permits), (Epoch(3), at(40)));
    store(&acks, 5);
    assert!(!permits.has_changed().unwrap());
    confirm(&acks, 5);
    assert!(permits.has_changed().unwrap());
    assert_eq!(seen(&mut permits), (Epoch(3), at(50)));
    assert_eq!(*acks.released().borrow(), at(50));
    acks.set_epoch(Epoch(4));
    assert_eq!(seen(&mut permits), (Epoch(4), at(50)));
}

#[test]
fn nothing_goes_out_while_the_source_is_kept_still() {
    let acks = acks();
    let permit = || acks.permits().borrow().unwrap().position();
    let still = acks.still(Duration::from_secs(60)).unwrap();
    assert!(acks.still(Duration::ZERO).is_none(), "one at a time");
    store(&acks, 5);
    confirm(&acks, 5);
    assert_eq!((*acks.released().borrow(), permit()), (at(50), at(40)));
    assert!(still.stands());
    assert!(!still.released().contains(&gtid("0-1-5")));
    drop(still);
    assert_eq!(permit(), at(50));

    // It ends by itself, whoever holds it.
    let still = acks.still(Duration::ZERO).unwrap();
    store(&acks, 6);
    confirm(&acks, 6);
    assert_eq!(permit(), at(50));
    acks.tick();
    assert_eq!(permit(), at(60));
    assert!(!still.stands());
    let next = acks.still(Duration::from_secs(60)).unwrap();
    drop(still);
    assert!(next.stands());
}

#[test]
fn a_stalled_commit_is_noticed_and_named() {
    let acks = acks();
    store(&acks, 5);
    acks.tick();
    assert!(!acks.stalled());
    std::thread::sleep(Duration::from_millis(25));
    acks.tick();
    assert!(acks.stalled());
    let snapshot = acks.snapshot();
    assert_eq!(snapshot.waits_for, [ServerName::new("db2")]);
    let sentence = snapshot.sentence.unwrap();
    assert!(
        sentence.starts_with("1 commit waits, the oldest (0-1-5) for "),
        "{sentence}"
    );
    assert!(
        sentence.ends_with(", for db2 to confirm received."),
        "{sentence}"
    );
    confirm(&acks, 5);
    assert!(!acks.stalled());
    assert_eq!(acks.snapshot().sentence, None);
    assert!(!*acks.applied_wanted().borrow());
    acks.set_sync(Sync::mode_only(policy::Mode::Sync));
    assert!(*acks.applied_wanted().borrow());
}

#[test]
fn a_restart_forgets_nothing() {
    let keys = SyncPatch {
        timeout: Some("1ms".into()),
        on_timeout: Some("degrade".into()),
        ..SyncPatch::default()
    };
    let acks = acks();
    acks.set_sync(Sync::from_keys(&keys).unwrap());
    store(&acks, 5);
    std::thread::sleep(Duration::from_millis(5));
    acks.tick();
    store(&acks, 6);
    let durable = acks.durable();
    assert_eq!(durable.released, at(60));
    assert_eq!(durable.released_set.to_string(), "0-1-1..6");
    assert_eq!(
        (durable.degraded.len(), acks.snapshot().degraded_count),
        (2, 2)
    );
    assert!(acks.snapshot().degraded);
    assert_eq!(acks.snapshot().in_force, "LOCAL durable");

    let voters = vec![Voter {
        name: ServerName::new("db2"),
        zone: None,
        is_source: false,
    }];
    let again = Acks::new(Sync::default(), voters, durable.clone(), Epoch(3));
    again.marks(at(60), at(60));
    assert_eq!(again.durable(), durable);
    assert!(is_ready(again.wait_released(&gtid("0-1-6"))));
    assert!(again.reconnected(&ServerName::new("db2"), Voice(0), at(60)));
    assert!(!again.durable().degraded.is_empty());
    again.verified(&ServerName::new("db2"), Voice(0));
    assert!(again.durable().degraded.is_empty());
    assert_eq!(again.snapshot().degraded_total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_forgotten_under_load() {
    let acks = acks();
    let last = 2_000;
    let waiters: Vec<_> = (5..=last)
        .map(|n| {
            let acks = acks.clone();
            tokio::spawn(async move { acks.wait_released(&gtid(&format!("0-1-{n}"))).await })
        })
        .collect();
    let driver = acks.clone();
    let thread = std::thread::spawn(move || {
        for n in 5..=last {
            store(&driver, n);
            confirm(&driver, n);
        }
    });
    for waiter in waiters {
        waiter.await.unwrap();
    }
    thread.join().unwrap();
    assert_eq!(acks.snapshot().parked, 0);
    assert_eq!(acks.snapshot().waiting, 0);
}

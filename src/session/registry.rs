//! Who is connected, for `status`, metrics and the drain, and how many may be.
//!
//! A session writes its own row with atomics; the table's lock is taken only when one comes or goes,
//! and by whoever looks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::hold::Hold;
use crate::ids::Epoch;
use crate::sql::KillTarget;
use crate::store::origins::Origin;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Activity {
    /// Connecting to the source, or in the login's dialogue.
    Login = 0,
    Idle = 1,
    /// A command is at the source.
    Running = 2,
    /// Its commit waits for acknowledgements here.
    Waiting = 3,
    /// A hold keeps its command back.
    Held = 4,
    /// The source has answered, maybe not all, and it is not shown yet: what was asked may go on there.
    Withheld = 5,
}

impl Activity {
    pub const ALL: [Self; 6] = [
        Self::Login,
        Self::Idle,
        Self::Running,
        Self::Waiting,
        Self::Held,
        Self::Withheld,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Withheld => "withheld",
        }
    }

    fn from_byte(byte: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|activity| *activity as u8 == byte)
            .unwrap_or(Self::Idle)
    }
}

/// What a session keeps at the source between its commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Keeps {
    #[default]
    Nothing = 0,
    /// A transaction, XA's until it is prepared as well.
    Transaction = 1,
    /// GET_LOCK, LOCK TABLES or HANDLER.
    Locks = 2,
}

impl Keeps {
    const ALL: [Self; 3] = [Self::Nothing, Self::Transaction, Self::Locks];
}

/// A session's row.
#[derive(Debug)]
pub struct Entry {
    id: u64,
    peer: Mutex<String>,
    started: Instant,
    /// The source's number of its connection; 0 before the greeting.
    connection: AtomicU32,
    user: Mutex<String>,
    /// Of its connection attributes.
    program: Mutex<Option<Box<str>>>,
    /// Its login could be repeated elsewhere.
    learned: AtomicBool,
    activity: AtomicU8,
    keeps: AtomicU8,
    /// Of its connection to the source; 0 before it has one.
    epoch: AtomicU64,
    /// Milliseconds after `started`.
    since: AtomicU64,
    draining: AtomicBool,
    drain: Notify,
    left_behind: AtomicBool,
    leave: Notify,
}

/// A session as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Ours, counted from 1.
    pub id: u64,
    /// The source's number, as the client's CONNECTION_ID() says it.
    pub connection: u32,
    pub user: String,
    pub peer: String,
    /// Its login has taught us enough to repeat it on another server.
    pub learned: bool,
    pub activity: Activity,
    pub keeps: Keeps,
    /// How long it has been doing that.
    pub since: Duration,
    pub age: Duration,
}

impl Entry {
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn set_connection(&self, id: u32) {
        self.connection.store(id, Ordering::Relaxed);
    }

    pub fn connection(&self) -> u32 {
        self.connection.load(Ordering::Relaxed)
    }

    /// The client's own address, where another has passed it on.
    pub fn set_peer(&self, peer: String) {
        *self.peer.lock() = peer;
    }

    pub fn set_user(&self, user: &[u8]) {
        *self.user.lock() = String::from_utf8_lossy(user).into_owned();
    }

    pub fn user(&self) -> String {
        self.user.lock().clone()
    }

    pub fn set_program(&self, program: Option<Box<str>>) {
        *self.program.lock() = program;
    }

    /// For the transactions that it commits.
    pub fn origin(&self) -> Arc<Origin> {
        Arc::new(Origin {
            user: self.user(),
            client: self.peer.lock().clone(),
            connection: self.connection(),
            program: self.program.lock().as_deref().map(str::to_owned),
        })
    }

    pub fn set_learned(&self, learned: bool) {
        self.learned.store(learned, Ordering::Relaxed);
    }

    /// In one order with the [`Hold`].
    pub fn set_activity(&self, activity: Activity) {
        let now = self.started.elapsed().as_millis() as u64;
        self.since.store(now, Ordering::Relaxed);
        self.activity.store(activity as u8, Ordering::SeqCst);
    }

    pub fn activity(&self) -> Activity {
        Activity::from_byte(self.activity.load(Ordering::SeqCst))
    }

    /// To be told before it is idle again.
    pub fn set_keeps(&self, keeps: Keeps) {
        self.keeps.store(keeps as u8, Ordering::Relaxed);
    }

    pub fn keeps(&self) -> Keeps {
        let keeps = usize::from(self.keeps.load(Ordering::Relaxed));
        Keeps::ALL.get(keeps).copied().unwrap_or_default()
    }

    pub fn set_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::SeqCst);
    }

    /// It runs something at the source, or keeps something there.
    fn is_in_the_way(&self) -> bool {
        match self.activity() {
            Activity::Running | Activity::Waiting | Activity::Withheld => true,
            Activity::Idle | Activity::Held => self.keeps() != Keeps::Nothing,
            // It is held before its first command.
            Activity::Login => false,
        }
    }

    /// Its server is no longer the source: it shall end, whatever it does. Waits for that. Cancel-safe.
    pub async fn left_behind(&self) {
        loop {
            let notified = self.leave.notified();
            if self.is_left_behind() {
                return;
            }
            notified.await;
        }
    }

    pub fn is_left_behind(&self) -> bool {
        self.left_behind.load(Ordering::SeqCst)
    }

    fn leave_behind(&self) {
        self.left_behind.store(true, Ordering::SeqCst);
        self.leave.notify_one();
    }

    /// The session shall end at its next command boundary.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Waits for that. Cancel-safe.
    pub async fn drained(&self) {
        loop {
            let notified = self.drain.notified();
            if self.is_draining() {
                return;
            }
            notified.await;
        }
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.drain.notify_one();
    }

    fn info(&self) -> SessionInfo {
        let age = self.started.elapsed();
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        SessionInfo {
            id: self.id,
            connection: self.connection(),
            user: self.user.lock().clone(),
            peer: self.peer.lock().clone(),
            learned: self.learned.load(Ordering::Relaxed),
            activity: self.activity(),
            keeps: self.keeps(),
            since: age.saturating_sub(since),
            age,
        }
    }
}

/// As many are there as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} sessions, and no more may be")]
pub struct Full {
    pub limit: usize,
}

/// All sessions.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    table: Arc<Mutex<Table>>,
    hold: Hold,
}

/// So many sentences are kept.
const MOST_CAUGHT: usize = 5;

#[derive(Debug, Default)]
struct Table {
    last: u64,
    draining: bool,
    limit: Option<usize>,
    refused: u64,
    /// Sessions that were ended for what the source told of them, newest last.
    caught: VecDeque<String>,
    entries: HashMap<u64, Arc<Entry>>,
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of new transactions.
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// While a [`Hold`] is on: those that it waits for, the oldest first.
    pub fn in_the_way(&self) -> Vec<SessionInfo> {
        let table = self.table.lock();
        let entries = table.entries.values();
        let mut list: Vec<_> = entries
            .filter(|entry| entry.is_in_the_way())
            .map(|entry| entry.info())
            .collect();
        list.sort_by_key(|info| info.id);
        list
    }

    /// Ends those of an older epoch: their server is no longer the source.
    pub fn leave_behind(&self, present: Epoch) {
        let is_left = |entry: &Entry| match entry.epoch.load(Ordering::SeqCst) {
            0 => false,
            epoch => epoch < present.0,
        };
        let table = self.table.lock();
        let entries = table.entries.values();
        entries
            .filter(|entry| is_left(entry))
            .for_each(|entry| entry.leave_behind());
    }

    /// Ends this one, by our own number.
    pub fn expel(&self, id: u64) {
        if let Some(entry) = self.table.lock().entries.get(&id) {
            entry.leave_behind();
        }
    }

    /// Those that are there stay. None: as many as come.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.table.lock().limit = limit;
    }

    pub fn limit(&self) -> Option<usize> {
        self.table.lock().limit
    }

    /// How many were not let in.
    pub fn refused(&self) -> u64 {
        self.table.lock().refused
    }

    /// A session had set this variable; for `status`.
    pub fn note_caught(&self, variable: &str, user: &str, connection: u32, moment: &str) {
        let mut table = self.table.lock();
        if table.caught.len() >= MOST_CAUGHT {
            table.caught.pop_front();
        }
        table.caught.push_back(format!(
            "user '{user}' had set {variable} by a statement that does not show it (connection {connection}, ended; \
             our binlog was at {moment}): what it wrote meanwhile may be on no replica"
        ));
    }

    pub fn caught(&self) -> Vec<String> {
        self.table.lock().caught.iter().cloned().collect()
    }

    /// A new row; it goes when the returned guard is dropped.
    pub fn enter(&self, peer: String) -> Result<Entered, Full> {
        let mut table = self.table.lock();
        let count = table.entries.len();
        if let Some(limit) = table.limit.filter(|limit| count >= *limit) {
            table.refused += 1;
            return Err(Full { limit });
        }
        table.last += 1;
        let entry = Arc::new(Entry {
            id: table.last,
            peer: Mutex::new(peer),
            started: Instant::now(),
            connection: AtomicU32::new(0),
            user: Mutex::new(String::new()),
            program: Mutex::default(),
            learned: AtomicBool::new(false),
            activity: AtomicU8::new(Activity::Login as u8),
            keeps: AtomicU8::new(Keeps::Nothing as u8),
            epoch: AtomicU64::new(0),
            since: AtomicU64::new(0),
            draining: AtomicBool::new(table.draining),
            drain: Notify::new(),
            left_behind: AtomicBool::new(false),
            leave: Notify::new(),
        });
        table.entries.insert(entry.id, entry.clone());
        Ok(Entered {
            entry,
            registry: self.clone(),
        })
    }

    pub fn len(&self) -> usize {
        self.table.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions do what, in the order of [`Activity::ALL`].
    pub fn count_by_activity(&self) -> [(Activity, usize); 6] {
        let mut counts = Activity::ALL.map(|activity| (activity, 0));
        for entry in self.table.lock().entries.values() {
            if let Some((_, count)) = counts.get_mut(entry.activity() as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Of how many the login could be repeated on another server.
    pub fn count_learned(&self) -> usize {
        let entries = &self.table.lock().entries;
        let learned = |entry: &&Arc<Entry>| entry.learned.load(Ordering::Relaxed);
        entries.values().filter(learned).count()
    }

    /// All sessions, the oldest first.
    pub fn list(&self) -> Vec<SessionInfo> {
        // Rows are cloned out of the lock first: a long list must not keep new sessions waiting.
        let entries: Vec<_> = self.table.lock().entries.values().cloned().collect();
        let mut list: Vec<_> = entries.iter().map(|entry| entry.info()).collect();
        list.sort_by_key(|info| info.id);
        list
    }

    /// Whether a session that this KILL would hit waits here for acknowledgements. (A query's number is
    /// the source's, where that query is over.)
    pub fn waits(&self, target: &KillTarget) -> bool {
        let is_meant = |entry: &Entry| match target {
            KillTarget::Connection(id) => u64::from(entry.connection()) == *id,
            KillTarget::User(name) => *entry.user.lock() == *name,
            KillTarget::QueryId(_) => false,
            KillTarget::Unknown => true,
        };
        let table = self.table.lock();
        let mut waiting = table.entries.values();
        waiting.any(|entry| entry.activity() == Activity::Waiting && is_meant(entry))
    }

    /// Tells every session, and those to come, to end at the next command boundary.
    pub fn drain(&self) {
        let mut table = self.table.lock();
        table.draining = true;
        for entry in table.entries.values() {
            entry.drain();
        }
    }
}

/// Keeps a session's row in the registry.
#[derive(Debug)]
pub struct Entered {
    entry: Arc<Entry>,
    registry: Registry,
}

impl Entered {
    /// The row beyond the guard.
    pub fn entry(&self) -> Arc<Entry> {
        self.entry.clone()
    }
}

impl std::ops::Deref for Entered {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.registry.table.lock().entries.remove(&self.entry.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_come_and_go_and_are_drained() {
        let registry = Registry::new();
        let first = registry.enter("127.0.0.1:1".into()).unwrap();
        first.set_user(b"app");
        first.set_connection(17);
        first.set_activity(Activity::Waiting);
        let list = registry.list();
        assert_eq!(
            (list[0].user.as_str(), list[0].connection, list[0].activity),
            ("app", 17, Activity::Waiting)
        );
        assert_eq!(registry.count_by_activity()[3], (Activity::Waiting, 1));
        for (target, waits) in [
            (KillTarget::Connection(17), true),
            (KillTarget::Connection(18), false),
            (KillTarget::User("app".into()), true),
            (KillTarget::User("other".into()), false),
            (KillTarget::Unknown, true),
        ] {
            assert_eq!(registry.waits(&target), waits, "{target:?}");
        }
        registry.drain();
        first.drained().await;
        let late = registry.enter("127.0.0.1:2".into()).unwrap();
        late.drained().await;
        drop((first, late));
        assert!(registry.is_empty());
    }

    #[tokio::test]
    async fn who_is_in_the_way_of_a_move_and_who_is_left_behind() {
        let registry = Registry::new();
        let session = registry.enter("127.0.0.1:1".into()).unwrap();
        let in_the_way = || registry.in_the_way().len();
        assert_eq!(in_the_way(), 0);
        for (activity, keeps, counts) in [
            (Activity::Running, Keeps::Nothing, 1),
            (Activity::Waiting, Keeps::Nothing, 1),
            (Activity::Idle, Keeps::Nothing, 0),
            (Activity::Idle, Keeps::Transaction, 1),
            (Activity::Held, Keeps::Locks, 1),
            (Activity::Held, Keeps::Nothing, 0),
            (Activity::Withheld, Keeps::Nothing, 1),
        ] {
            session.set_keeps(keeps);
            session.set_activity(activity);
            assert_eq!(in_the_way(), counts, "{activity:?} {keeps:?}");
        }
        let is_left = || tokio::time::timeout(Duration::from_millis(10), session.left_behind());
        // It has no server yet.
        registry.leave_behind(Epoch(9));
        assert!(is_left().await.is_err());
        session.set_epoch(Epoch(3));
        registry.leave_behind(Epoch(3));
        assert!(is_left().await.is_err());
        registry.leave_behind(Epoch(4));
        assert!(is_left().await.is_ok());
        let other = registry.enter("127.0.0.1:2".into()).unwrap();
        registry.expel(other.id());
        other.left_behind().await;
    }

    #[test]
    fn no_more_than_the_limit_and_one_that_leaves_makes_room() {
        let registry = Registry::new();
        let enter = || registry.enter("127.0.0.1:1".into());
        let (first, _second) = (enter().unwrap(), enter().unwrap());
        registry.set_limit(Some(2));
        assert_eq!(enter().unwrap_err(), Full { limit: 2 });
        drop(first);
        let _third = enter().unwrap();
        // A lower limit sends nobody away.
        registry.set_limit(Some(1));
        assert_eq!((registry.len(), registry.refused()), (2, 1));
        assert_eq!(enter().unwrap_err(), Full { limit: 1 });
        registry.set_limit(None);
        enter().unwrap();
        assert_eq!(registry.refused(), 2);
    }
}

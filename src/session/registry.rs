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
    /// A hold keeps its command or its answer back.
    Held = 4,
}

impl Activity {
    pub const ALL: [Self; 5] = [
        Self::Login,
        Self::Idle,
        Self::Running,
        Self::Waiting,
        Self::Held,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Held => "held",
        }
    }

    fn from_byte(byte: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|activity| *activity as u8 == byte)
            .unwrap_or(Self::Idle)
    }
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
    /// Milliseconds after `started`.
    since: AtomicU64,
    draining: AtomicBool,
    drain: Notify,
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

    pub fn set_activity(&self, activity: Activity) {
        let now = self.started.elapsed().as_millis() as u64;
        self.since.store(now, Ordering::Relaxed);
        self.activity.store(activity as u8, Ordering::Relaxed);
    }

    pub fn activity(&self) -> Activity {
        Activity::from_byte(self.activity.load(Ordering::Relaxed))
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
pub struct Registry(Arc<Mutex<Table>>);

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

    /// Those that are there stay. None: as many as come.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.0.lock().limit = limit;
    }

    pub fn limit(&self) -> Option<usize> {
        self.0.lock().limit
    }

    /// How many were not let in.
    pub fn refused(&self) -> u64 {
        self.0.lock().refused
    }

    /// A session had set this variable; for `status`.
    pub fn note_caught(&self, variable: &str, user: &str, connection: u32, moment: &str) {
        let mut table = self.0.lock();
        if table.caught.len() >= MOST_CAUGHT {
            table.caught.pop_front();
        }
        table.caught.push_back(format!(
            "user '{user}' had set {variable} by a statement that does not show it (connection {connection}, ended; \
             our binlog was at {moment}): what it wrote meanwhile may be on no replica"
        ));
    }

    pub fn caught(&self) -> Vec<String> {
        self.0.lock().caught.iter().cloned().collect()
    }

    /// A new row; it goes when the returned guard is dropped.
    pub fn enter(&self, peer: String) -> Result<Entered, Full> {
        let mut table = self.0.lock();
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
            since: AtomicU64::new(0),
            draining: AtomicBool::new(table.draining),
            drain: Notify::new(),
        });
        table.entries.insert(entry.id, entry.clone());
        Ok(Entered {
            entry,
            registry: self.clone(),
        })
    }

    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions do what, in the order of [`Activity::ALL`].
    pub fn count_by_activity(&self) -> [(Activity, usize); 5] {
        let mut counts = Activity::ALL.map(|activity| (activity, 0));
        for entry in self.0.lock().entries.values() {
            if let Some((_, count)) = counts.get_mut(entry.activity() as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Of how many the login could be repeated on another server.
    pub fn count_learned(&self) -> usize {
        let entries = &self.0.lock().entries;
        let learned = |entry: &&Arc<Entry>| entry.learned.load(Ordering::Relaxed);
        entries.values().filter(learned).count()
    }

    /// All sessions, the oldest first.
    pub fn list(&self) -> Vec<SessionInfo> {
        // Rows are cloned out of the lock first: a long list must not keep new sessions waiting.
        let entries: Vec<_> = self.0.lock().entries.values().cloned().collect();
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
        let table = self.0.lock();
        let mut waiting = table.entries.values();
        waiting.any(|entry| entry.activity() == Activity::Waiting && is_meant(entry))
    }

    /// Tells every session, and those to come, to end at the next command boundary.
    pub fn drain(&self) {
        let mut table = self.0.lock();
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

impl std::ops::Deref for Entered {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.registry.0.lock().entries.remove(&self.entry.id);
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

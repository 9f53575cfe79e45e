//! When a commit passed each stage of its way, for whoever asks (`ackline trace`). Off, a stamp costs one load.
//!
//! ```text
//! relayed ─► captured ─► written ─┬─► synced ───────────┬─► released ─► acknowledged ─► answered ─► shown
//!                                 └─► sent ─► received ─┘
//! ```
//!
//! Between `captured` and `acknowledged` a stage is a position of our binlog that moves on for all commits up to it,
//! so only the moves are noted. A session knows its commit by GTID, which `captured` ties to a position.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::ids::StorePosition;

/// A position of our binlog moved on: everything up to it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In the file, and in the kernel's cache.
    Written,
    Synced,
    /// To the first replica to which it was sent.
    Sent,
    /// That replica's acknowledgement, or another's.
    Received,
    Released,
    /// To the source.
    Acknowledged,
}

/// What a session saw of its commit.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Its command was written to the source.
    pub relayed: Instant,
    /// The source's OK was read.
    pub answered: Instant,
    /// The OK was written to the client.
    pub shown: Instant,
}

/// The steps of one commit, in their order.
pub const STEPS: [&str; 9] = [
    "relayed to captured",
    "captured to written",
    "written to synced",
    "written to sent",
    "sent to received",
    "synced and received to released",
    "released to acknowledged",
    "acknowledged to answered",
    "answered to shown",
];

/// One commit, in the order of [`STEPS`], and from its command to its OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    pub steps: [Duration; STEPS.len()],
    pub whole: Duration,
}

/// So many entries of each kind are kept; what comes later is not.
const MOST: usize = 1 << 20;

static ON: AtomicBool = AtomicBool::new(false);
static NOTES: Mutex<Option<Notes>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Notes {
    captured: Vec<(u64, Instant, StorePosition)>,
    moves: Vec<(Stage, Instant, StorePosition)>,
    sessions: Vec<(u64, Session)>,
}

/// Stamps are kept while this lives.
#[derive(Debug)]
pub struct Recording(());

/// None where somebody else records.
pub fn record() -> Option<Recording> {
    let mut notes = NOTES.lock();
    if notes.is_some() {
        return None;
    }
    *notes = Some(Notes::default());
    ON.store(true, Ordering::Relaxed);
    Some(Recording(()))
}

impl Recording {
    /// What was seen whole.
    pub fn end(self) -> Vec<Commit> {
        let notes = NOTES.lock().take();
        notes.map(|notes| notes.commits()).unwrap_or_default()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        ON.store(false, Ordering::Relaxed);
        NOTES.lock().take();
    }
}

pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// A transaction came whole from the source, and will end at this position.
pub fn captured(gtid: &impl Hash, position: StorePosition) {
    if is_on() {
        note(|notes| push(&mut notes.captured, (key(gtid), Instant::now(), position)));
    }
}

pub fn passed(stage: Stage, position: StorePosition) {
    if is_on() {
        note(|notes| push(&mut notes.moves, (stage, Instant::now(), position)));
    }
}

pub fn session(gtid: &impl Hash, session: Session) {
    note(|notes| push(&mut notes.sessions, (key(gtid), session)));
}

fn note(add: impl FnOnce(&mut Notes)) {
    if let Some(notes) = &mut *NOTES.lock() {
        add(notes);
    }
}

fn push<T>(list: &mut Vec<T>, entry: T) {
    if list.len() < MOST {
        list.push(entry);
    }
}

fn key(gtid: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(gtid)
}

impl Notes {
    fn commits(&self) -> Vec<Commit> {
        let captured: HashMap<u64, (Instant, StorePosition)> = self
            .captured
            .iter()
            .map(|(key, at, position)| (*key, (*at, *position)))
            .collect();
        let written = self.moved(Stage::Written);
        let synced = self.moved(Stage::Synced);
        let sent = self.moved(Stage::Sent);
        let received = self.moved(Stage::Received);
        let released = self.moved(Stage::Released);
        let acknowledged = self.moved(Stage::Acknowledged);
        let commits = self.sessions.iter().filter_map(|(key, session)| {
            let (captured, position) = *captured.get(key)?;
            let [written, synced, sent, received, released, acknowledged] = [
                &written,
                &synced,
                &sent,
                &received,
                &released,
                &acknowledged,
            ]
            .map(|moves| moves.reached(position));
            let (written, synced, sent) = (written?, synced?, sent?);
            let (received, released, acknowledged) = (received?, released?, acknowledged?);
            let Session {
                relayed,
                answered,
                shown,
            } = *session;
            let steps = [
                (relayed, captured),
                (captured, written),
                (written, synced),
                (written, sent),
                (sent, received),
                (synced.max(received), released),
                (released, acknowledged),
                (acknowledged, answered),
                (answered, shown),
            ];
            Some(Commit {
                steps: steps.map(|(from, to)| to.saturating_duration_since(from)),
                whole: shown.saturating_duration_since(relayed),
            })
        });
        commits.collect()
    }

    /// The moves of one stage, each further than those before it.
    fn moved(&self, stage: Stage) -> Moves {
        let mut moves: Vec<(StorePosition, Instant)> = Vec::new();
        for (_, at, position) in self.moves.iter().filter(|(of, ..)| *of == stage) {
            if moves.last().is_none_or(|(last, _)| last < position) {
                moves.push((*position, *at));
            }
        }
        Moves(moves)
    }
}

struct Moves(Vec<(StorePosition, Instant)>);

impl Moves {
    fn reached(&self, position: StorePosition) -> Option<Instant> {
        let first = self.0.partition_point(|(moved, _)| *moved < position);
        self.0.get(first).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_put_together_from_positions_and_its_gtid() {
        let began = Instant::now();
        let at = |millis: u64| began + Duration::from_millis(millis);
        let position = |offset| StorePosition::new(1, offset);
        let notes = Notes {
            captured: vec![
                (key(&"a"), at(1), position(100)),
                (key(&"b"), at(2), position(200)),
            ],
            moves: vec![
                (Stage::Written, at(3), position(200)),
                (Stage::Sent, at(4), position(200)),
                // Another replica, later.
                (Stage::Sent, at(5), position(200)),
                (Stage::Synced, at(6), position(100)),
                (Stage::Received, at(10), position(200)),
                (Stage::Synced, at(15), position(200)),
                (Stage::Released, at(11), position(100)),
                (Stage::Released, at(16), position(200)),
                (Stage::Acknowledged, at(18), position(200)),
            ],
            sessions: ["b", "a", "unknown"]
                .map(|gtid| {
                    let session = Session {
                        relayed: at(0),
                        answered: at(20),
                        shown: at(21),
                    };
                    (key(&gtid), session)
                })
                .into(),
        };
        let commits = notes.commits();
        let millis = |commit: &Commit| commit.steps.map(|step| step.as_millis());
        assert_eq!(commits.len(), 2);
        assert_eq!(millis(&commits[0]), [2, 1, 12, 1, 6, 1, 2, 2, 1]);
        assert_eq!(millis(&commits[1]), [1, 2, 3, 1, 6, 1, 7, 2, 1]);
        assert_eq!(commits[0].whole, Duration::from_millis(21));
    }
}

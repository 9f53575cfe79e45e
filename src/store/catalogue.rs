//! What the store knows without reading: its files, the executed set, the newest transactions.

use std::collections::VecDeque;

use super::scan::FoundTransaction;
use super::watermark::Marks;
use crate::gtid::{Gtid, GtidSet, Position, State};
use crate::ids::StorePosition;

/// Transactions whose positions are kept in memory.
const RECENT: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) gtid: Gtid,
    pub(super) start: StorePosition,
    pub(super) end: StorePosition,
}

impl Transaction {
    pub(super) fn new(file: u32, found: FoundTransaction) -> Self {
        Self {
            gtid: found.gtid,
            start: StorePosition::new(file, found.start),
            end: StorePosition::new(file, found.end),
        }
    }
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is being written; `written` tells how far it may be read.
    Open,
    /// All of it is synced and nothing will be added.
    Closed(u64),
    /// A sync failed: all behind this was never durable and is void.
    Cut(u64),
}

#[derive(Clone, Debug)]
pub(super) struct FileEntry {
    pub(super) number: u32,
    /// Where the first transaction begins.
    pub(super) head_end: u64,
    /// Unix time in seconds.
    pub(super) created: u32,
    /// Before the first transaction.
    pub(super) start: State,
    pub(super) end: End,
}

impl FileEntry {
    /// How far this file may be read when `written` is that far.
    pub(super) fn readable(&self, written: StorePosition) -> u64 {
        match self.end {
            End::Closed(end) | End::Cut(end) => end,
            End::Open if written.file == self.number => written.offset,
            End::Open => self.head_end,
        }
    }
}

/// The newest transaction, and where a dump starts that has it as its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTransaction {
    pub position_before: Position,
    pub gtid: Gtid,
    pub start: StorePosition,
    pub end: StorePosition,
}

/// What a binlog holds, which also remembers what came last.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) state: State,
    pub(super) last: Option<LastTransaction>,
}

impl Progress {
    pub(super) fn advance(&mut self, transactions: impl DoubleEndedIterator<Item = Transaction>) {
        let mut held: Option<Transaction> = None;
        for transaction in transactions {
            if let Some(before) = held.replace(transaction) {
                self.state.update(&before.gtid);
            }
        }
        if let Some(last) = held {
            // Only the very last one's position before it is ever asked for.
            self.last = Some(LastTransaction {
                position_before: self.state.position(),
                gtid: last.gtid.clone(),
                start: last.start,
                end: last.end,
            });
            self.state.update(&last.gtid);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) files: Vec<FileEntry>,
    /// Everything written, and what the first file's GTID list claims.
    pub(super) executed: GtidSet,
    pub(super) written: Progress,
    pub(super) synced: Progress,
    /// Written and not synced, oldest first.
    unsynced: VecDeque<Transaction>,
    /// The newest ones, oldest first.
    pub(super) recent: VecDeque<Transaction>,
    pub(super) generation: u64,
}

impl Catalogue {
    pub(super) fn file(&self, number: u32) -> Option<&FileEntry> {
        let first = self.files.first()?.number;
        self.files.get(number.checked_sub(first)? as usize)
    }

    pub(super) fn last_file(&self) -> Option<&FileEntry> {
        self.files.last()
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.files.iter().map(|file| file.number).collect()
    }

    pub(super) fn remember(&mut self, transaction: Transaction) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(transaction);
    }

    pub(super) fn add_written(&mut self, transactions: &[Transaction]) {
        self.written.advance(transactions.iter().cloned());
        for transaction in transactions {
            self.executed.insert(&transaction.gtid);
            self.unsynced.push_back(transaction.clone());
            self.remember(transaction.clone());
        }
    }

    pub(super) fn add_synced(&mut self, synced: StorePosition) {
        let count = self.unsynced.partition_point(|held| held.end <= synced);
        self.synced.advance(self.unsynced.drain(..count));
    }

    /// The file being written is cut at `synced`: what lay behind it was never there.
    pub(super) fn take_back(&mut self, synced: StorePosition) {
        for transaction in self.unsynced.drain(..) {
            self.executed.remove(&transaction.gtid);
        }
        let kept = self.recent.partition_point(|recent| recent.end <= synced);
        self.recent.truncate(kept);
        self.written = self.synced.clone();
        if let Some(file) = self.files.last_mut() {
            file.end = End::Cut(synced.offset);
        }
        self.generation += 1;
    }

    pub(super) fn close_last(&mut self, end: u64) {
        if let Some(file) = self.files.last_mut() {
            file.end = End::Closed(end);
        }
    }

    pub(super) fn marks(&self, written: StorePosition, synced: StorePosition) -> Marks {
        Marks {
            written,
            synced,
            generation: self.generation,
        }
    }
}

//! Where a replay ends: a place in our binlog, found in its files.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::anyhow;

use crate::event::{EventType, Start};
use crate::gtid::{Gtid, GtidSet, State};
use crate::ids::ServerId;
use crate::store::inspect::Inspected;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    To(Gtid),
    Before(Gtid),
    /// Unix time in seconds.
    Time(u32),
}

/// What our binlog holds up to there.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Before our first transaction: what a server has to bring along.
    pub base: State,
    /// Behind the last one that is replayed.
    pub state: State,
    /// The transactions in between.
    pub transactions: GtidSet,
    /// Who wrote them.
    pub servers: BTreeSet<ServerId>,
    pub last: Option<Gtid>,
    /// When the last one was begun, and the one behind it.
    pub at: Option<u32>,
    pub next: Option<u32>,
}

impl Stop {
    fn at_beginning(base: State) -> Self {
        Self {
            state: base.clone(),
            base,
            transactions: GtidSet::new(),
            servers: BTreeSet::new(),
            last: None,
            at: None,
            next: None,
        }
    }

    /// Readers without a vote get nothing else.
    pub fn must_be_released(&self, released: &GtidSet) -> anyhow::Result<()> {
        let missing = self.transactions.difference(released);
        if missing.is_empty() {
            return Ok(());
        }
        Err(anyhow!(
            "{missing} is not released yet: see ackline status for whom it waits"
        ))
    }
}

/// Reads from the beginning, each file as far as it counts.
pub(super) fn find(dir: &Path, limit: &Limit) -> anyhow::Result<Stop> {
    let inspected = Inspected::of(dir)?;
    let oldest = inspected.files.first();
    let oldest = oldest.ok_or_else(|| anyhow!("the binlog in {} is empty", dir.display()))?;
    let mut stop = Stop::at_beginning(inspected.state_before(oldest.number)?);
    let mut found = false;
    let mut walk = inspected.walk(oldest.number).written();
    while let Some(event) = walk.next_event()? {
        let (EventType::GTID | EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID) =
            event.header.kind
        else {
            continue;
        };
        let gtid = Start::parse(event.body())?.gtid;
        let over = match limit {
            Limit::To(_) => found,
            Limit::Before(first) => gtid == *first,
            Limit::Time(time) => event.header.timestamp >= *time,
        };
        if over {
            found = true;
            stop.next = Some(event.header.timestamp);
            break;
        }
        found |= matches!(limit, Limit::To(last) if gtid == *last);
        stop.state.update(&gtid);
        stop.transactions.insert(&gtid);
        stop.servers.insert(event.header.server_id);
        stop.at = Some(event.header.timestamp);
        stop.last = Some(gtid);
    }
    match limit {
        Limit::To(gtid) | Limit::Before(gtid) if !found => Err(anyhow!(
            "our binlog does not have {gtid}; it has {}",
            stop.transactions
        )),
        _ => Ok(stop),
    }
}

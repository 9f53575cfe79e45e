//! An attached source, to the attach's end: what it sends is appended, written and acknowledged.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::attach::{self, Refusal};
use super::console::{self, Counters};
use super::end::{End, broken};
use super::feed::{Action, Feed};
use super::guard::Attempt;
use super::link::{Link, end_of_dump};
use super::{Capture, DISK_RETRY, FAR, Followed, STEP, State, walk};
use crate::event::incident::Incident;
use crate::event::{self, EventType, Header};
use crate::gtid::{Gtid, Position};
use crate::net;
use crate::net::admin::Admin;
use crate::stages::{self, Stage};
use crate::store::state::DurableState;
use crate::store::{self, Marks};

/// So often it is told how far it is.
const TOLD: Duration = Duration::from_secs(1);
const COUNTED: Duration = Duration::from_millis(10);
/// Buffered events are written at the latest after this much; a transaction may be larger.
const FLUSH_AT: usize = 1 << 20;

impl Capture {
    pub(super) async fn follow(
        &mut self,
        link: &mut Link,
        admin: &mut Admin,
        attempt: &mut Attempt,
        followed: &Followed,
    ) -> Result<Infallible, End> {
        // With an expected transaction the source is proven by its coming again; an empty store has
        // nothing to compare.
        if link.feed.is_comparing() {
            let mut seen = link.feed.events();
            let mut deadline = Instant::now() + STEP;
            while link.feed.is_comparing() {
                tokio::select! {
                    ready = tokio::time::timeout_at(deadline, link.reader.ready()) => {
                        ready.map_err(|_| End::Lost("the dump does not start with what our binlog ends with".into()))??;
                    }
                    () = self.shutdown.cancelled() => return Err(End::Shutdown),
                }
                self.take(link)?;
                // Heartbeats alone are no progress.
                if link.feed.events() > seen {
                    seen = link.feed.events();
                    deadline = Instant::now() + STEP;
                } else if Instant::now() >= deadline {
                    return Err(End::Lost(
                        "the dump does not start with what our binlog ends with".into(),
                    ));
                }
            }
            self.flush(link).await?;
        }
        let counters = tokio::select! {
            counters = tokio::time::timeout(STEP, self.baseline()) => counters.map_err(|_| {
                End::Lost("the source does not count us as its semi-sync replica".into())
            })??,
            () = self.shutdown.cancelled() => return Err(End::Shutdown),
        };
        // Read after our dump is attached: whatever is newer waits for our ack.
        let until = console::read_position(admin)
            .await
            .map_err(|error| End::Lost(error.to_string()))?;
        attempt.baseline(counters);
        self.state.send_replace(State::CatchingUp {
            until: until.clone(),
        });

        let acks = self.acks.clone();
        let opening = async {
            acks.wait_position(&until).await;
            attach::open_for_writing(admin).await
        };
        tokio::pin!(opening);
        let mut open = false;
        let mut disk = tokio::time::interval(DISK_RETRY);
        // While much is coming nothing below is looked at for many seconds; what counts is when it was heard last.
        let silence = self.config.heartbeat * 3 / 2;
        let mut heard = Instant::now();
        loop {
            link.acknowledge().await?;
            // Every arm is cancel-safe: `fill` keeps what it read, the others are watches and timers.
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(End::Shutdown),
                // A failed fsync shows at the next flush; with nothing to write it has to be asked for.
                _ = disk.tick() => self.flush(link).await?,
                suspected = attempt.suspected() => return Err(suspected.into()),
                Ok(()) = link.permits.changed() => {}
                filled = link.reader.ready() => {
                    filled?;
                    heard = Instant::now();
                    self.take(link)?;
                    self.flush(link).await?;
                }
                opened = &mut opening, if !open => {
                    opened?;
                    open = true;
                    tracing::info!(source = %followed.name, "the source takes writes");
                    self.taken_over = None;
                    self.state.send_replace(State::Attached);
                    attempt.open()?;
                }
                () = tokio::time::sleep_until(heard + silence) => {
                    return Err(End::Lost("the source sends neither events nor heartbeats".into()));
                }
            }
        }
    }

    /// Until little is missing of what the source had when it was asked, or no more of it comes: the attach that follows
    /// tells. Sessions are held meanwhile, and nothing is acknowledged.
    pub(super) async fn take_over(&mut self, link: &mut Link, until: &Position) -> Result<(), End> {
        let silence = self.config.heartbeat * 3 / 2;
        let mut told = Instant::now();
        let (mut heard, mut progress) = (Instant::now(), Instant::now());
        loop {
            let end = self.store.end();
            let missing = end.lacks(until);
            // In the source's binlog all of that comes before whatever is newer.
            if missing < FAR || until.lacks(&end) > 0 || progress.elapsed() > STEP {
                return Ok(());
            }
            if told.elapsed() > TOLD {
                told = Instant::now();
                self.state.send_replace(State::TakingOver { missing });
            }
            let seen = link.feed.events();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(End::Shutdown),
                filled = link.reader.ready() => filled?,
                () = tokio::time::sleep_until(heard + silence) => {
                    return Err(End::Lost("the source sends neither events nor heartbeats".into()));
                }
            }
            heard = Instant::now();
            self.take(link)?;
            self.flush(link).await?;
            // Heartbeats alone are none.
            if link.feed.events() > seen {
                progress = Instant::now();
            }
        }
    }

    /// By the console, which looks at the counters from then on. A source counts its replica a moment after the
    /// dump has begun.
    async fn baseline(&self) -> Result<Counters, End> {
        loop {
            if let Some(counters) = attach::baseline(self.console.counters().await)? {
                return Ok(counters);
            }
            tokio::time::sleep(COUNTED).await;
        }
    }

    /// Everything that has arrived whole.
    fn take(&mut self, link: &mut Link) -> Result<(), End> {
        let mut bytes = 0;
        let mut transactions = 0;
        let writer = Arc::clone(&self.writer);
        let mut writer = writer.lock();
        while let Some(packet) = link.reader.try_next()? {
            let payload = packet.payload;
            bytes += payload.len();
            if let Some(end) = end_of_dump(payload) {
                return Err(end);
            }
            match link.feed.packet(payload).map_err(broken)? {
                Action::Nothing => {}
                Action::Higher { by } => link.ledger.raise(link.feed.file(), by),
                Action::Format(event) => writer.source_format(event)?,
                Action::Incident(event) => {
                    writer.incident(event)?;
                    link.incident |= self.tell_of_incident(event, &link.feed)?;
                }
                Action::Append(event) => {
                    writer.append(event)?;
                    link.incident |= self.tell_of_incident(event, &link.feed)?;
                    note(&mut link.transaction, &link.feed, payload)?;
                }
                Action::Commit {
                    event,
                    gtid,
                    position,
                    ack_wanted,
                } => {
                    self.grows(&gtid)?;
                    writer.append(event)?;
                    link.incident |= self.tell_of_incident(event, &link.feed)?;
                    if std::mem::take(&mut link.incident) {
                        // Before anybody is sent it.
                        let keep = |state: &mut DurableState| state.incidents.insert(&gtid);
                        self.store.change_durable(keep)?;
                    }
                    let ours = writer.commit(gtid.clone())?;
                    note(&mut link.transaction, &link.feed, payload)?;
                    if let (Some(point), _) = link.transaction.end(&gtid) {
                        *self.anchor.lock() = Some((link.epoch, point));
                    }
                    stages::captured(&gtid, ours);
                    self.acks.captured(ours, gtid);
                    transactions += 1;
                    if ack_wanted {
                        link.ledger.wanted(ours, position);
                    }
                }
                Action::Verified {
                    position,
                    ack_wanted,
                } => {
                    // Not `written`: that may be the head of a next file, which nothing releases.
                    if ack_wanted && let Some(last) = self.store.before_last() {
                        link.ledger.wanted(last.end, position);
                    }
                }
            }
            if bytes > FLUSH_AT {
                break;
            }
        }
        self.counted.transactions.increment(transactions);
        self.counted.bytes.increment(bytes as u64);
        Ok(())
    }

    /// What the source could not log is in nobody's binlog. MariaDB says so between transactions, MySQL in one that
    /// has nothing else in it. Whether it is one.
    fn tell_of_incident(&self, event: &[u8], feed: &Feed) -> Result<bool, End> {
        let broken = |error: event::Error| broken(error.into());
        if Header::parse(event).map_err(broken)?.kind != EventType::INCIDENT {
            return Ok(false);
        }
        let incident = Incident::parse(event).map_err(broken)?;
        let message = String::from_utf8_lossy(incident.message);
        let problem = format!(
            "the source could not log what it changed (INCIDENT at {} of its binlog: {message}): its replicas lack it and stop there (error 1590, MySQL: 13119); set them up anew, or compare their tables",
            feed.begin()
        );
        tracing::error!("{problem}");
        counter!("ackline_source_incidents_total").increment(1);
        *self.incident.lock() = Some(problem);
        Ok(true)
    }

    /// A GTID stands for one transaction, for ever: within a domain numbers only grow.
    fn grows(&mut self, gtid: &Gtid) -> Result<(), Refusal> {
        let Gtid::MariaDb(new) = gtid else {
            return Ok(());
        };
        match self.newest.get(&new.domain) {
            Some(last) if last.seq >= new.seq => Err(Refusal::DoesNotGrow {
                gtid: gtid.clone(),
                last: (*last).into(),
            }),
            _ => {
                self.newest.insert(new.domain, *new);
                Ok(())
            }
        }
    }

    /// Writes what is buffered; a full disk is waited out here, so the source feels it and nobody else.
    async fn flush(&mut self, link: &mut Link) -> Result<(), End> {
        let mut stalled = false;
        loop {
            match self.write(link).await? {
                Ok(marks) => {
                    stages::passed(Stage::Written, marks.written);
                    if stalled {
                        tracing::info!("our binlog can be written again");
                        self.state.send_replace(State::Connecting {
                            reason: "the disk had no room".into(),
                        });
                        // A new attach settles what the sessions may see.
                        return Err(End::Lost(
                            "attaching again after the disk had no room".into(),
                        ));
                    }
                    return Ok(());
                }
                Err(error @ store::Error::DiskFull { .. }) => {
                    if !std::mem::replace(&mut stalled, true) {
                        tracing::error!(%error, "our binlog cannot be written; commits wait");
                        self.state.send_replace(State::Stalled {
                            reason: error.to_string(),
                        });
                    }
                    link.acknowledge().await?;
                    tokio::select! {
                        () = tokio::time::sleep(DISK_RETRY) => {}
                        () = self.shutdown.cancelled() => return Err(End::Shutdown),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A rotation's fsyncs run on a thread of their own: whoever shares ours goes on sending and acknowledging what was
    /// written before.
    async fn write(&mut self, link: &mut Link) -> Result<Result<Marks, store::Error>, End> {
        {
            let mut writer = self.writer.lock();
            let written = writer.write();
            if written.is_err() || !writer.is_full() {
                return Ok(written);
            }
        }
        let writer = Arc::clone(&self.writer);
        let mut rotation = tokio::task::spawn_blocking(move || writer.lock().flush());
        loop {
            // Both arms are cancel-safe: the thread ends its work, and whoever writes next waits for the lock.
            tokio::select! {
                rotated = &mut rotation => {
                    return rotated.map_err(|error| End::Lost(error.to_string()));
                }
                Ok(()) = link.permits.changed() => link.acknowledge().await?,
            }
        }
    }
}

/// One more event of the running transaction.
fn note(transaction: &mut walk::Running, feed: &Feed, payload: &[u8]) -> Result<(), End> {
    let event = feed.event(payload).map_err(net::Error::from)?;
    transaction.note(event, feed.begin());
    Ok(())
}

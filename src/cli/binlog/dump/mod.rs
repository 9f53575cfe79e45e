//! `ackline binlog dump`: transactions as people read them; a proxy may run or not.

mod range;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::{ConfigPath, folder, stopped};
use crate::cli::Failure;
use crate::event::{Step, TransactionTracker};
use crate::gtid::Gtid;
use crate::ids::StorePosition;
use crate::sql::shortened::printable;
use crate::store::inspect::Inspected;
use crate::store::origins::{Acknowledged, Origin, Origins};
use crate::store::{self, Skimmed};
use crate::transcript::{LONGEST, Lines, Transcriber};
use crate::units::show_utc;

use range::{Bound, Range, Verdict};

/// Of a statement, without `--full`.
const SHOWN: usize = 2000;

#[derive(Debug, Args)]
pub(in crate::cli) struct Asked {
    /// The first one: a GTID, a file, a place in it (binlog.000007:4711) or a time in UTC.
    #[arg(long, value_name = "WHERE")]
    from: Option<Bound>,
    /// The last one, in the same words.
    #[arg(long, value_name = "WHERE")]
    to: Option<Bound>,
    /// Statements at their whole length.
    #[arg(long)]
    full: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigPath,
}

#[derive(Debug, Serialize)]
struct Transaction {
    gtid: String,
    /// By the source's clock.
    time: String,
    /// Where it begins.
    position: String,
    /// Null where the session did not go through us.
    origin: Option<Origin>,
    /// Which voters had it, how surely and since when.
    acknowledged: Vec<Since>,
    #[serde(flatten)]
    lines: Lines,
}

#[derive(Debug, Serialize)]
struct Since {
    server: String,
    level: String,
    time: String,
}

impl From<Acknowledged> for Since {
    fn from(word: Acknowledged) -> Self {
        let seconds = u32::try_from(word.at / 1000).unwrap_or(u32::MAX);
        let time = show_utc(seconds);
        Self {
            server: printable(word.voter.as_bytes()),
            level: word.level.to_string(),
            time: format!("{}.{:03}Z", time.trim_end_matches('Z'), word.at % 1000),
        }
    }
}

impl Asked {
    pub(super) fn run(self) -> Result<(), Failure> {
        let dir = folder(&self.config.config)?;
        let inspected = Inspected::of(&dir)?;
        let Some(oldest) = inspected.files.first().map(|file| file.number) else {
            return Ok(());
        };
        let first = match &self.from {
            None | Some(Bound::Time(_)) => oldest,
            Some(Bound::File(file) | Bound::Place(StorePosition { file, .. })) => {
                if inspected.file(*file).is_none() {
                    let file = store::file_name(*file);
                    return Err(anyhow!("{file} is not in the binlog").into());
                }
                *file
            }
            Some(Bound::Gtid(gtid)) => match inspected.may_hold(gtid)? {
                Some(file) => file,
                None => return Err(lacks(gtid).into()),
            },
        };
        let from = self.from.clone();
        let mut dump = Dump {
            dir: &dir,
            range: Range::new(self.from, self.to),
            json: self.json,
            tracker: TransactionTracker::new(),
            transcriber: Transcriber::new(if self.full { LONGEST } else { SHOWN }),
            open: None,
            origins: (0, Origins::default()),
            out: BufWriter::new(io::stdout().lock()),
        };
        let mut walk = inspected.walk(first).whole();
        loop {
            let event = match walk.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    stopped(dump.out.flush())?;
                    return Err(error.into());
                }
            };
            if !dump.event(&event)? {
                stopped(dump.out.flush())?;
                return Ok(());
            }
        }
        stopped(dump.out.flush())?;
        match from {
            Some(Bound::Gtid(gtid)) if !dump.range.has_begun() => Err(lacks(&gtid).into()),
            _ => Ok(()),
        }
    }
}

fn lacks(gtid: &Gtid) -> anyhow::Error {
    anyhow!("{gtid} is not in the binlog (any more)")
}

struct Dump<'a, W: Write> {
    dir: &'a Path,
    range: Range,
    json: bool,
    tracker: TransactionTracker,
    transcriber: Transcriber,
    /// None while what runs is not to be shown.
    open: Option<(Gtid, Transaction)>,
    origins: (u32, Origins),
    out: W,
}

impl<W: Write> Dump<'_, W> {
    /// Whether there is more to show.
    fn event(&mut self, event: &Skimmed<'_>) -> Result<bool, Failure> {
        match self.tracker.feed(event.body())? {
            Step::Outside => {}
            Step::GroupStart(start) => {
                let time = event.header.timestamp;
                match self.range.judge(&start.gtid, event.start, time) {
                    Verdict::Before => self.open = None,
                    Verdict::Within => self.open = Some(self.begin(start.gtid, event)),
                    Verdict::Behind => return Ok(false),
                }
            }
            Step::InGroup => self.inside(event),
            Step::GroupEnd => {
                self.inside(event);
                self.transcriber.end();
                if let Some((gtid, mut transaction)) = self.open.take() {
                    let acknowledged = self.origins.1.acknowledged(event.end);
                    transaction.acknowledged = acknowledged.into_iter().map(Since::from).collect();
                    if stopped(self.write(&transaction))? {
                        return Ok(false);
                    }
                    return Ok(!self.range.ends_with(&gtid));
                }
            }
        }
        Ok(true)
    }

    fn begin(&mut self, gtid: Gtid, event: &Skimmed<'_>) -> (Gtid, Transaction) {
        let number = event.start.file;
        if self.origins.0 != number {
            // They are an extra: without them there is still something to say.
            self.origins = (number, Origins::of(self.dir, number).unwrap_or_default());
        }
        let transaction = Transaction {
            gtid: gtid.to_string(),
            time: show_utc(event.header.timestamp),
            position: event.start.to_string(),
            origin: self.origins.1.get(&gtid).cloned(),
            acknowledged: Vec::new(),
            lines: Lines::default(),
        };
        (gtid, transaction)
    }

    fn inside(&mut self, event: &Skimmed<'_>) {
        if let Some((_, transaction)) = &mut self.open {
            let lines = &mut transaction.lines;
            self.transcriber.event(lines, &event.header, event.body());
        }
    }

    fn write(&mut self, transaction: &Transaction) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, transaction)?;
            return writeln!(self.out);
        }
        let from = match &transaction.origin {
            Some(origin) => format!(
                "  {} from {} connection {} {}",
                origin.user,
                origin.client,
                origin.connection,
                origin.program.as_deref().unwrap_or_default()
            ),
            None => String::new(),
        };
        let (gtid, time) = (&transaction.gtid, &transaction.time);
        let head = format!("{gtid}  {time}  {}{from}", transaction.position);
        writeln!(self.out, "{}", printable(head.trim_end().as_bytes()))?;
        for since in &transaction.acknowledged {
            let Since {
                level,
                server,
                time,
            } = since;
            writeln!(self.out, "    {level} by {server} {time}")?;
        }
        transaction.lines.write(&mut self.out)
    }
}

#[cfg(test)]
mod tests;

//! `ackline binlog dump`: transactions as people read them; a proxy may run or not.

mod range;
mod rows;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::{ConfigPath, folder, stopped};
use crate::cli::Failure;
use crate::event::execute_load_query::ExecuteLoadQuery;
use crate::event::query::Query;
use crate::event::transaction_payload::TransactionPayload;
use crate::event::{EventType, HEADER_LENGTH, Header, Step, TransactionTracker};
use crate::gtid::Gtid;
use crate::ids::StorePosition;
use crate::sql::shortened::{printable, speaks_of_password};
use crate::store::inspect::Inspected;
use crate::store::origins::{Acknowledged, Origin, Origins};
use crate::store::skim::LONGEST;
use crate::store::{self, Skimmed};
use crate::units::show_utc;

use range::{Bound, Range, Verdict};
use rows::{Change, Tables};

/// Of a statement, without `--full`.
const SHOWN: usize = 2000;
/// Of one transaction.
const MOST_LINES: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

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
    lines: Vec<Line>,
    /// So many more lines are not shown.
    left_out: u64,
    #[serde(skip)]
    bytes: usize,
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

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Statement {
        database: Option<String>,
        /// The source's number of the session.
        connection: Option<u32>,
        text: String,
    },
    Rows(Change),
    /// A compressed transaction that cannot be unpacked.
    Packed {
        bytes: u64,
    },
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
            longest: if self.full { LONGEST } else { SHOWN },
            json: self.json,
            tracker: TransactionTracker::new(),
            tables: Tables::default(),
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
    longest: usize,
    json: bool,
    tracker: TransactionTracker,
    tables: Tables,
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
                self.tables.forget();
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
            lines: Vec::new(),
            left_out: 0,
            bytes: 0,
        };
        (gtid, transaction)
    }

    fn inside(&mut self, event: &Skimmed<'_>) {
        let Some((_, transaction)) = &mut self.open else {
            return;
        };
        let (kind, body) = (event.header.kind, event.body());
        let bytes = u64::from(event.header.length);
        if kind != EventType::TRANSACTION_PAYLOAD {
            self.tables
                .show(transaction, kind, body, bytes, self.longest);
            return;
        }
        // One that is too long, or broken, is shown as what it is.
        let payload = TransactionPayload::parse(body).and_then(|packed| packed.unpack(MOST_BYTES));
        let Ok(payload) = payload else {
            transaction.add(Line::Packed { bytes });
            return;
        };
        for event in payload.events().map_while(Result::ok) {
            let Ok(header) = Header::parse(event) else {
                return;
            };
            let bytes = u64::from(header.length);
            self.tables
                .show(transaction, header.kind, event, bytes, self.longest);
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
        for line in &transaction.lines {
            match line {
                Line::Statement {
                    database: Some(database),
                    text,
                    ..
                } => writeln!(self.out, "    {database}: {text}")?,
                Line::Statement { text, .. } => writeln!(self.out, "    {text}")?,
                Line::Rows(change) => write_rows(&mut self.out, change)?,
                Line::Packed { bytes } => {
                    writeln!(self.out, "    {bytes} bytes, packed by the source")?;
                }
            }
        }
        if transaction.left_out > 0 {
            writeln!(self.out, "    … and {} more", transaction.left_out)?;
        }
        Ok(())
    }
}

impl Tables {
    fn show(
        &mut self,
        transaction: &mut Transaction,
        kind: EventType,
        body: &[u8],
        bytes: u64,
        longest: usize,
    ) {
        if kind == EventType::TABLE_MAP {
            self.map(body);
            return;
        }
        let line = match kind {
            EventType::QUERY | EventType::QUERY_COMPRESSED => query(body, longest),
            EventType::EXECUTE_LOAD_QUERY => load(body, longest),
            EventType::ANNOTATE_ROWS => {
                let text = body.get(HEADER_LENGTH..);
                text.map(|text| statement(None, None, text, longest))
            }
            // A length, which is too short for most, stands before the text.
            EventType::ROWS_QUERY => {
                let text = body.get(HEADER_LENGTH + 1..);
                text.map(|text| statement(None, None, text, longest))
            }
            _ => self.change(kind, body, bytes, longest).map(Line::Rows),
        };
        if let Some(line) = line {
            transaction.add(line);
        }
    }
}

impl Transaction {
    fn add(&mut self, line: Line) {
        let bytes = match &line {
            Line::Statement { text, .. } => text.len(),
            Line::Rows(change) => change.weight(),
            Line::Packed { .. } => 0,
        };
        if self.lines.len() >= MOST_LINES || self.bytes + bytes > MOST_BYTES {
            self.left_out += 1;
        } else {
            self.bytes += bytes;
            self.lines.push(line);
        }
    }
}

fn write_rows(out: &mut impl Write, change: &Change) -> io::Result<()> {
    let (table, verb) = (&change.table, change.change);
    let Some(rows) = change.rows else {
        return writeln!(
            out,
            "    {table} {verb}: {} bytes that are not shown",
            change.bytes
        );
    };
    writeln!(out, "    {table} {verb}: {rows} row(s)")?;
    for images in &change.images {
        for (sign, image) in [('-', &images.before), ('+', &images.after)] {
            if let Some(image) = image {
                writeln!(out, "      {sign} {image}")?;
            }
        }
    }
    match rows - change.images.len() as u64 {
        0 => Ok(()),
        more => writeln!(out, "      … and {more} more"),
    }
}

/// None for what only frames a transaction.
fn query(body: &[u8], longest: usize) -> Option<Line> {
    let query = Query::parse(body).ok()?;
    let text = query.statement.text(LONGEST).ok()?;
    if matches!(&*text, b"BEGIN" | b"COMMIT") {
        return None;
    }
    Some(statement(
        Some(query.database),
        Some(query.thread_id),
        &text,
        longest,
    ))
}

fn load(body: &[u8], longest: usize) -> Option<Line> {
    let query = ExecuteLoadQuery::parse(body).ok()?;
    Some(statement(
        Some(query.database),
        Some(query.thread_id),
        query.statement,
        longest,
    ))
}

fn statement(
    database: Option<&[u8]>,
    connection: Option<u32>,
    text: &[u8],
    longest: usize,
) -> Line {
    let text = match speaks_of_password(text) {
        true => "(not shown: it may hold a password)".to_owned(),
        false if text.len() > longest => {
            format!("{}… ({} bytes)", printable(&text[..longest]), text.len())
        }
        false => printable(text),
    };
    let database = database.filter(|name| !name.is_empty());
    Line::Statement {
        database: database.map(printable),
        connection,
        text,
    }
}

#[cfg(test)]
mod tests;

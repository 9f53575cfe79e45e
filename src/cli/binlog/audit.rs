//! `ackline binlog audit [--json]`: unsafe statements, from the files; a proxy may run or not.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::{folder, stopped};
use crate::capture::audit::{Auditor, Finding, Judged};
use crate::cli::Failure;
use crate::sql::unsafe_statement::Unsafe;
use crate::store::inspect::Inspected;
use crate::store::origins::{Origin, Origins};
use crate::store::{self, file_name};
use crate::units::show_utc;

const BY_TEXT: &str = "judged by their text alone: reasons that take the schema (AUTO_INCREMENT, unique keys, \
    triggers, views, functions) are judged by the running proxy only; see its log and metrics";

/// 0 where nothing unsafe was found.
pub(super) fn run(config: &Path, json: bool) -> Result<(), Failure> {
    let dir = folder(config)?;
    let inspected = Inspected::of(&dir)?;
    let newest = inspected.end().file;
    let mut walk = inspected.walk(0).written();
    let mut auditor = Auditor::default();
    let mut origins = Beside {
        dir: &dir,
        of: (0, Origins::default()),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut statements, mut found) = (0_u64, 0_u64);
    loop {
        let event = match walk.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => break,
            // The newest file may have been in the middle of a write when its proxy was killed.
            Err(store::Error::Corrupt { file, at, .. }) if file == file_name(newest) => {
                eprintln!("ackline: {file} is read up to {at}: what follows is not whole yet");
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let position = event.start;
        let judged = auditor
            .event(&event)
            .with_context(|| format!("at {position}"))?;
        match judged {
            None => continue,
            // Nothing is left open without a schema.
            Some(Judged::Safe | Judged::Open(_)) => {}
            Some(Judged::Unsafe(finding)) => {
                found += 1;
                if stopped(write(&mut out, &finding, origins.of(&finding), json))? {
                    break;
                }
            }
        }
        statements += 1;
    }
    stopped(out.flush())?;
    match found {
        0 => {
            if !json {
                println!("{statements} statements in statement format, none of them unsafe");
                println!("{BY_TEXT}");
            }
            Ok(())
        }
        found => {
            if !json {
                println!("{BY_TEXT}");
            }
            Err(anyhow!("{found} of {statements} statements in statement format are unsafe").into())
        }
    }
}

/// The origins beside the file that was asked for last.
struct Beside<'a> {
    dir: &'a Path,
    of: (u32, Origins),
}

impl Beside<'_> {
    fn of(&mut self, finding: &Finding) -> Option<&Origin> {
        let number = finding.position.file;
        if self.of.0 != number {
            // They are an extra: without them there is still something to say.
            self.of = (number, Origins::of(self.dir, number).unwrap_or_default());
        }
        self.of.1.get(&finding.gtid)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    gtid: String,
    time: String,
    position: String,
    connection: u32,
    database: &'a str,
    /// Null where the session did not go through us.
    origin: Option<&'a Origin>,
    reasons: Vec<&'static str>,
    culprit: Option<&'a str>,
    statement: &'a str,
}

fn write(
    out: &mut impl Write,
    finding: &Finding,
    origin: Option<&Origin>,
    json: bool,
) -> io::Result<()> {
    let line = Line {
        gtid: finding.gtid.to_string(),
        time: show_utc(finding.at),
        position: finding.position.to_string(),
        connection: finding.thread_id,
        database: &finding.database,
        origin,
        reasons: finding.reasons.iter().map(Unsafe::name).collect(),
        culprit: finding.culprit.as_deref(),
        statement: &finding.statement,
    };
    if json {
        serde_json::to_writer(&mut *out, &line)?;
        return writeln!(out);
    }
    let from = match origin {
        Some(Origin {
            user,
            client,
            program,
            ..
        }) => format!(
            "  {user} from {client} {}",
            program.as_deref().unwrap_or_default()
        ),
        None => String::new(),
    };
    let culprit = match line.culprit {
        Some(culprit) => format!(" ({culprit})"),
        None => String::new(),
    };
    writeln!(
        out,
        "{}  {}  {}  connection {}{}\n    {}{culprit}\n    {}",
        line.gtid,
        line.time,
        line.position,
        line.connection,
        from.trim_end(),
        line.reasons.join(", "),
        line.statement
    )
}

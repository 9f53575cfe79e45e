//! `ackline binlog list [--json]`: the files, from the folder; a proxy may run or not.

use std::path::Path;

use serde::Serialize;

use super::folder;
use crate::cli::Failure;
use crate::cli::table::aligned;
use crate::store::inspect::{Ending, Inspected, Summary};
use crate::store::{self};
use crate::units::show_utc;

#[derive(Serialize)]
struct Row {
    file: String,
    bytes: u64,
    transactions: u64,
    first_gtid: Option<String>,
    last_gtid: Option<String>,
    first_time: Option<String>,
    last_time: Option<String>,
    /// `sealed`, `active` or `damaged`.
    state: &'static str,
    /// Where it is damaged, and how.
    damage: Option<String>,
}

impl From<Summary> for Row {
    fn from(summary: Summary) -> Self {
        let (state, damage) = match summary.ending {
            Ending::Sealed => ("sealed", None),
            Ending::Active => ("active", None),
            Ending::Damaged { at, reason } => ("damaged", Some(format!("at {at}: {reason}"))),
        };
        Self {
            file: summary.name,
            bytes: summary.bytes,
            transactions: summary.transactions,
            first_gtid: summary.first.map(|gtid| gtid.to_string()),
            last_gtid: summary.last.map(|gtid| gtid.to_string()),
            first_time: summary.times.map(|(first, _)| show_utc(first)),
            last_time: summary.times.map(|(_, last)| show_utc(last)),
            state,
            damage,
        }
    }
}

pub(super) fn run(config: &Path, json: bool) -> Result<(), Failure> {
    let dir = folder(config)?;
    let inspected = Inspected::of(&dir)?;
    let mut rows = Vec::with_capacity(inspected.files.len());
    for file in &inspected.files {
        match inspected.summary(file) {
            Ok(summary) => rows.push(Row::from(summary)),
            // Purged since the index was read.
            Err(store::Error::Missing { .. }) if inspected.in_use => {}
            Err(error) => return Err(error.into()),
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table(&rows));
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let head = [
        "file",
        "bytes",
        "transactions",
        "first",
        "last",
        "from",
        "to",
        "state",
    ];
    let mut cells = vec![head.map(str::to_owned)];
    for row in rows {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        cells.push([
            row.file.clone(),
            row.bytes.to_string(),
            row.transactions.to_string(),
            or_dash(&row.first_gtid),
            or_dash(&row.last_gtid),
            or_dash(&row.first_time),
            or_dash(&row.last_time),
            row.state.to_owned(),
        ]);
    }
    let mut text = aligned(&cells);
    for (row, damage) in rows
        .iter()
        .filter_map(|row| Some((row, row.damage.as_ref()?)))
    {
        text.push_str(&format!("{} {damage}\n", row.file));
    }
    text
}

//! `ackline verify [NAME…] [--tables db.table,…] [--repair print|apply]`: a line for each table and replica, one for each
//! row that differs, and what it comes to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::Failure;
use super::client::Client;
use super::doctor;
use crate::admin::status::Status;
use crate::admin::verify::{Report, table};
use crate::app::verifying::{self, NotBegun, Present};
use crate::sql::shortened::printable;
use crate::tables::Name;
use crate::units::{parse_duration, show_utc};
use crate::verify::{
    By, ChunkDifference, ColumnDifference, Finding, LastWrite, Looks, Narrowed, News, Outcome,
    RowDifference, Serves, What, Wish,
};

/// Of a table's ranges that differ, so many are named.
const SHOWN: usize = 5;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The replicas; all of them without a name.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The tables; all of them but the servers' own without this.
    #[arg(long, value_name = "DB.TABLE", value_delimiter = ',', value_parser = table)]
    tables: Vec<Name>,
    /// How long a replica may take to apply what it is asked about.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    wait: Duration,
    /// No range is begun while a replica is farther behind.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    max_lag: Duration,
    /// What is done about rows that differ, at the replica only: `print` says what `apply` would do.
    #[arg(long, value_name = "HOW")]
    repair: Option<Repair>,
    /// One document at the end.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Repair {
    Print,
    Apply,
}

/// 0 where all was compared, and is equal.
pub(super) async fn run(path: &Path, args: Args) -> Result<(), Failure> {
    // Without a proxy nothing comes to the replicas.
    let status = status_of(path).await?;
    let doctor::Present { config, attached } = doctor::silently_present(path).await?;
    let wish = Wish {
        replicas: args.names.iter().map(|name| config.meant(name)).collect(),
        tables: args.tables,
        wait: args.wait,
        max_lag: args.max_lag,
    };
    let present = Present {
        config: &config,
        status: &status,
        attached,
    };
    let looks = looks(path.to_owned(), &wish);
    let mend = (args.repair == Some(Repair::Apply)).then(|| serves(path.to_owned(), &status));
    let order = verifying::Order {
        wish,
        looks,
        narrow: true,
        mend,
    };
    let run = verifying::prepare(&present, order).await;
    let mut run = run.map_err(|error| match error {
        NotBegun::NoReplica(_) | NotBegun::NoReplicas => Failure::Usage(anyhow!(error)),
        error => anyhow!(error).into(),
    })?;
    let mut report = Report::new(run.name());
    let compared = run.compare(|news| {
        let News::Found(finding) = news else {
            return;
        };
        if !args.json {
            print!("{}", said(&finding, args.repair));
        }
        report.add(&finding);
    });
    let compared = compared.await;
    let total = report.total.said();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    compared.with_context(|| config.source().name.to_string())?;
    if !report.total.is_well() {
        return Err(anyhow!(total).into());
    }
    if !args.json {
        println!("{total}");
    }
    Ok(())
}

async fn status_of(config: &Path) -> Result<Status, Failure> {
    Client::new(config)?.get("/api/v1/status").await
}

/// How the servers fare. A proxy that cannot be asked says nothing against it.
fn looks(config: PathBuf, wish: &Wish) -> Looks {
    let (replicas, max_lag) = (wish.replicas.clone(), wish.max_lag);
    Box::new(move || {
        let (config, replicas) = (config.clone(), replicas.clone());
        Box::pin(async move {
            let status = status_of(&config).await.unwrap_or_default();
            status.look(&replicas, max_lag)
        })
    })
}

/// As it is now.
fn serves(config: PathBuf, status: &Status) -> Serves {
    let before = (status.source.name.clone(), status.epoch);
    Box::new(move || {
        let (config, before) = (config.clone(), before.clone());
        let asks = async move {
            let status = status_of(&config).await?;
            let now = (status.source.name, status.epoch);
            let is_attached = status.source.state == "attached";
            Ok::<_, Failure>(now == before && is_attached && status.moving.is_none())
        };
        Box::pin(async { asks.await.unwrap_or(false) })
    })
}

fn said(finding: &Finding, repair: Option<Repair>) -> String {
    let replica = &finding.replica;
    let mut text = match &finding.outcome {
        Outcome::Equal { chunks, rows } => {
            format!("equal on {replica} ({chunks} chunks, {rows} rows)")
        }
        Outcome::Different(chunks) => {
            let named: Vec<String> = chunks.iter().take(SHOWN).map(of_chunk).collect();
            let more = match chunks.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!("; and {more} more chunks"),
            };
            format!("DIFFERENT on {replica}: {}{more}", named.join("; "))
        }
        Outcome::Definition(reasons) => {
            format!("DEFINITION DIFFERS on {replica}: {}", reasons.join("; "))
        }
        Outcome::NotCompared(why) => format!("NOT COMPARED on {replica}: {why}"),
    };
    if let Some(engine) = &finding.engine {
        text.push_str(&format!(" [{engine}]"));
    }
    let mut lines = vec![format!("{}: {text}", finding.table)];
    if let Some(narrowed) = &finding.narrowed {
        lines.extend(rows_said(narrowed, repair));
    }
    let line = |line: String| format!("{}\n", printable(line.as_bytes()));
    lines.into_iter().map(line).collect()
}

/// Each row that is named on a line of its own.
fn rows_said(narrowed: &Narrowed, repair: Option<Repair>) -> Vec<String> {
    let mut lines: Vec<String> = narrowed
        .rows
        .iter()
        .map(|row| of_row(row, repair))
        .collect();
    let more = narrowed.met.saturating_sub(narrowed.rows.len() as u64);
    if more > 0 {
        lines.push(format!("    and {more} more rows"));
    }
    if let Some(statement) = &narrowed.statement {
        lines.push(format!(
            "    the last statement that names the table: {}",
            of_write(statement)
        ));
    }
    let reasons = narrowed.reasons.iter();
    lines.extend(reasons.map(|why| format!("    not to the end: {why}")));
    if narrowed.mended > 0 {
        lines.push(format!(
            "    {} rows were mended, and the table compared again",
            narrowed.mended
        ));
    }
    lines
}

fn of_row(row: &RowDifference, repair: Option<Repair>) -> String {
    let what = match &row.what {
        What::NotThere => "it is not there".to_owned(),
        What::OnlyThere => "it is there only".to_owned(),
        What::Other(columns) if columns.is_empty() => "it differed".to_owned(),
        What::Other(columns) => {
            let column = |of: &ColumnDifference| {
                format!(
                    "{} is {} there, {} at the source",
                    of.column, of.there, of.source
                )
            };
            columns.iter().map(column).collect::<Vec<_>>().join("; ")
        }
    };
    let would = match (&row.what, repair) {
        (_, None | Some(Repair::Apply)) => "",
        (What::NotThere, Some(Repair::Print)) => " (apply would insert it)",
        (What::OnlyThere, Some(Repair::Print)) => " (apply would delete it)",
        (What::Other(_), Some(Repair::Print)) => " (apply would write it anew)",
    };
    let written = row.written.as_ref().map(of_write);
    let written = written.map_or(String::new(), |by| format!("; last {by}"));
    format!("    {}: {what}{written}{would}", row.key)
}

/// The transaction, by what it can be found, and what it did.
fn of_write(write: &LastWrite) -> String {
    let found = format!("{} ({}, {})", write.gtid, show_utc(write.seconds), write.at);
    match &write.by {
        By::Rows(operation) => format!("{} by {found}", operation.word()),
        By::Statement(text) => format!("{found}: {text}"),
    }
}

fn of_chunk(of: &ChunkDifference) -> String {
    let ChunkDifference {
        chunk,
        range,
        rows,
        source_rows,
        ..
    } = of;
    let what = match rows == source_rows {
        true => format!("{rows} rows on both, with other content"),
        false => format!("{rows} rows there, {source_rows} at the source"),
    };
    format!("chunk {chunk} ({range}): {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::verify::tests::finding;
    use crate::event::rows::Operation;
    use crate::ids::StorePosition;

    #[test]
    fn a_line_for_each_row() {
        let write = |by| LastWrite {
            gtid: "0-1-5".parse().unwrap(),
            at: StorePosition::new(3, 1234),
            seconds: 0,
            by,
        };
        let row = |key: &str, what| RowDifference {
            key: key.into(),
            what,
            ..RowDifference::default()
        };
        let other = What::Other(vec![ColumnDifference {
            column: "v".into(),
            there: "NULL".into(),
            source: "''".into(),
        }]);
        let rows = vec![
            row("id = 5", What::NotThere),
            RowDifference {
                written: Some(write(By::Rows(Operation::Delete))),
                ..row("id = 6", What::OnlyThere)
            },
            row("id = 7", other),
        ];
        let narrowed = Narrowed {
            rows,
            met: 4,
            mended: 0,
            statement: Some(Box::new(write(By::Statement("UPDATE t SET v = ''".into())))),
            reasons: vec!["it lags".into()],
        };
        let finding = Finding {
            narrowed: Some(narrowed),
            ..finding(Outcome::NotCompared("x".into()))
        };
        let told = said(&finding, Some(Repair::Print));
        let told: Vec<&str> = told.lines().skip(1).collect();
        assert_eq!(
            told,
            [
                "    id = 5: it is not there (apply would insert it)",
                "    id = 6: it is there only; last deleted by 0-1-5 (1970-01-01T00:00:00Z, binlog.000003:1234) (apply would delete it)",
                "    id = 7: v is NULL there, '' at the source (apply would write it anew)",
                "    and 1 more rows",
                "    the last statement that names the table: 0-1-5 (1970-01-01T00:00:00Z, binlog.000003:1234): UPDATE t SET v = ''",
                "    not to the end: it lags",
            ]
        );
    }

    #[test]
    fn a_line_for_each() {
        let chunk = ChunkDifference {
            chunk: 2,
            range: "1000 <= id < 2000".into(),
            within: crate::tables::Range::default(),
            rows: 999,
            source_rows: 1000,
        };
        let same = ChunkDifference {
            rows: 1000,
            ..chunk.clone()
        };
        for (outcome, line) in [
            (
                Outcome::Equal {
                    chunks: 3,
                    rows: 12345,
                },
                "shop.orders: equal on replica1 (3 chunks, 12345 rows)\n",
            ),
            (
                Outcome::Different(vec![chunk]),
                "shop.orders: DIFFERENT on replica1: chunk 2 (1000 <= id < 2000): 999 rows there, 1000 at the source\n",
            ),
            (
                Outcome::Different(vec![same; 7]),
                "1000 rows on both, with other content; and 2 more chunks\n",
            ),
            (
                Outcome::NotCompared("it is away".into()),
                "shop.orders: NOT COMPARED on replica1: it is away\n",
            ),
        ] {
            let said = said(&finding(outcome), None);
            assert!(said.ends_with(line), "{said}");
        }
    }
}

//! `ackline verify [NAME…] [--tables db.table,…] [--repair print|apply]`: a line for each table and replica, one for each
//! row that differs, and what it comes to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::Failure;
use super::client::Client;
use super::doctor;
use crate::admin::status::Status;
use crate::app;
use crate::config::Config;
use crate::ids::ServerName;
use crate::migrations;
use crate::net::admin::Admin;
use crate::sql::shortened::printable;
use crate::tables::Name;
use crate::topology::Role;
use crate::units::parse_duration;
use crate::verify::{
    ChunkDifference, ColumnDifference, Finding, Narrowed, Outcome, Request, RowDifference, Run,
    Server, Serves, What,
};

/// For each question, and for each commit with its acknowledgements.
const ANSWERS: Duration = Duration::from_secs(60);
const REACHED_WITHIN: Duration = Duration::from_secs(5);
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

fn table(text: &str) -> Result<Name, String> {
    match text.split_once('.') {
        Some((database, table)) if !database.is_empty() && !table.is_empty() => Ok(Name {
            database: database.to_owned(),
            table: table.to_owned(),
        }),
        _ => Err("write the database and the table: shop.orders".to_owned()),
    }
}

/// 0 where all was compared, and is equal.
pub(super) async fn run(path: &Path, args: Args) -> Result<(), Failure> {
    // Without a proxy nothing comes to the replicas.
    let status: Status = Client::new(path)?.get("/api/v1/status").await?;
    let present = doctor::silently_present(path).await?;
    let config = present.config;
    let source = app::server_config(config.source());
    if !present.attached {
        let name = &source.name;
        return Err(anyhow!("the proxy is not attached to {name}: see ackline status").into());
    }
    let replicas = replicas(&config, &args.names, &status)?;
    let mut admin = Admin::connect(&source.account, REACHED_WITHIN)
        .await
        .with_context(|| format!("{} does not answer", source.name))?;
    let missing = migrations::missing(&mut admin).await;
    if !missing.with_context(|| source.name.to_string())?.is_empty() {
        return Err(anyhow!("the schema ackline is not there yet: run ackline migrate").into());
    }
    admin.close().await;
    // Its questions may take longer.
    let admin = Admin::connect(&source.account, ANSWERS).await?;
    let request = Request {
        dir: config.binlog.dir.clone(),
        source: source.account.clone(),
        replicas,
        tables: args.tables,
        wait: args.wait,
        mend: (args.repair == Some(Repair::Apply)).then(|| serves(path.to_owned(), &status)),
    };
    let of_source = || source.name.to_string();
    let mut run = Run::begin(admin, request).await.with_context(of_source)?;
    let mut report = Report::new(run.name());
    let compared = run.compare(|finding| {
        if !args.json {
            print!("{}", said(&finding, args.repair));
        }
        report.add(&finding);
    });
    let compared = compared.await.with_context(of_source);
    let total = report.total.said();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    compared?;
    if !report.total.is_well() {
        return Err(anyhow!(total).into());
    }
    if !args.json {
        println!("{total}");
    }
    Ok(())
}

/// As it is now.
fn serves(config: PathBuf, status: &Status) -> Serves {
    let before = (status.source.name.clone(), status.epoch);
    Box::new(move || {
        let (config, before) = (config.clone(), before.clone());
        let asks = async move {
            let status: Status = Client::new(&config)?.get("/api/v1/status").await?;
            let now = (status.source.name, status.epoch);
            let is_attached = status.source.state == "attached";
            Ok::<_, Failure>(now == before && is_attached && status.moving.is_none())
        };
        Box::pin(async { asks.await.unwrap_or(false) })
    })
}

/// All of them, and which are meant.
fn replicas(config: &Config, names: &[String], status: &Status) -> Result<Vec<Server>, Failure> {
    let servers: Vec<_> = config.servers.iter().map(app::server_config).collect();
    let replicas = servers.iter().filter(|server| server.role == Role::Replica);
    let meant: Vec<ServerName> = names.iter().map(|name| config.meant(name)).collect();
    for name in &meant {
        if !replicas.clone().any(|replica| replica.name == *name) {
            return Err(Failure::Usage(anyhow!(
                "{name} is no replica of the configuration"
            )));
        }
    }
    let replicas: Vec<_> = replicas
        .map(|replica| Server {
            name: replica.name.clone(),
            account: replica.account.clone(),
            wanted: meant.is_empty() || meant.contains(&replica.name),
            stray: stray(status, &replica.name),
        })
        .collect();
    match replicas.is_empty() {
        true => Err(Failure::Usage(anyhow!("there is no replica"))),
        false => Ok(replicas),
    }
}

/// Whom we do not send our binlog to, that one follows nobody, or somebody else.
fn stray(status: &Status, name: &ServerName) -> Option<String> {
    let rows = &status.replicas;
    let row = rows.iter().find(|row| row.name == name.as_str());
    let state = row.map_or("unknown to it", |row| &row.state);
    let follows = ["streaming", "held"].contains(&state);
    (!follows).then(|| format!("it does not follow the proxy ({state})"))
}

#[derive(Debug, Serialize)]
struct Report {
    /// As ackline.checksums names it.
    run: String,
    tables: Vec<Row>,
    total: Total,
}

#[derive(Debug, Default, Serialize)]
struct Total {
    equal: u64,
    different: u64,
    not_compared: u64,
}

#[derive(Debug, Default, Serialize)]
struct Row {
    database: String,
    table: String,
    replica: String,
    /// `equal`, `different`, `definition` or `not-compared`.
    result: &'static str,
    engine: Option<String>,
    chunks: Option<u64>,
    rows: Option<u64>,
    /// What is not alike in the definitions, or why it was not compared.
    reasons: Vec<String>,
    differences: Vec<Difference>,
    /// Of the rows that differ, or did before they were mended.
    narrowed: Option<Rows>,
}

#[derive(Debug, Serialize)]
struct Rows {
    /// The first of them.
    named: Vec<Named>,
    met: u64,
    mended: u64,
    /// Why rows were not looked at, or not mended.
    reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Named {
    key: String,
    /// `missing`, `extra` or `other`, at the replica.
    what: &'static str,
    columns: Vec<Values>,
}

#[derive(Debug, Serialize)]
struct Values {
    column: String,
    replica: String,
    source: String,
}

#[derive(Debug, Serialize)]
struct Difference {
    chunk: u64,
    range: String,
    rows: u64,
    source_rows: u64,
}

impl Report {
    fn new(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            tables: Vec::new(),
            total: Total::default(),
        }
    }

    fn add(&mut self, finding: &Finding) {
        let mut row = Row {
            database: finding.table.database.clone(),
            table: finding.table.table.clone(),
            replica: finding.replica.to_string(),
            engine: finding.engine.clone(),
            narrowed: finding.narrowed.as_ref().map(Rows::of),
            ..Row::default()
        };
        let total = &mut self.total;
        match &finding.outcome {
            Outcome::Equal { chunks, rows } => {
                total.equal += 1;
                row.result = "equal";
                (row.chunks, row.rows) = (Some(*chunks), Some(*rows));
            }
            Outcome::Different(chunks) => {
                total.different += 1;
                row.result = "different";
                row.differences = chunks.iter().map(difference).collect();
            }
            Outcome::Definition(reasons) => {
                total.different += 1;
                row.result = "definition";
                row.reasons.clone_from(reasons);
            }
            Outcome::NotCompared(why) => {
                total.not_compared += 1;
                row.result = "not-compared";
                row.reasons = vec![why.clone()];
            }
        }
        self.tables.push(row);
    }
}

impl Rows {
    fn of(narrowed: &Narrowed) -> Self {
        let values = |column: &ColumnDifference| Values {
            column: column.column.clone(),
            replica: column.there.clone(),
            source: column.source.clone(),
        };
        let named = |row: &RowDifference| {
            let (what, columns) = match &row.what {
                What::NotThere => ("missing", &[][..]),
                What::OnlyThere => ("extra", &[][..]),
                What::Other(columns) => ("other", &columns[..]),
            };
            Named {
                key: row.key.clone(),
                what,
                columns: columns.iter().map(values).collect(),
            }
        };
        Self {
            named: narrowed.rows.iter().map(named).collect(),
            met: narrowed.met,
            mended: narrowed.mended,
            reasons: narrowed.reasons.clone(),
        }
    }
}

fn difference(of: &ChunkDifference) -> Difference {
    Difference {
        chunk: of.chunk,
        range: of.range.clone(),
        rows: of.rows,
        source_rows: of.source_rows,
    }
}

impl Total {
    /// Where there was nothing at all, nothing differs.
    fn is_well(&self) -> bool {
        self.different == 0 && self.not_compared == 0
    }

    fn said(&self) -> String {
        let Self {
            equal,
            different,
            not_compared,
        } = self;
        let tables = equal + different + not_compared;
        format!(
            "{tables} tables (counted on each replica): {equal} equal, {different} different, {not_compared} not compared"
        )
    }
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
    format!("    {}: {what}{would}", row.key)
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

    fn finding(outcome: Outcome) -> Finding {
        Finding {
            table: table("shop.orders").unwrap(),
            replica: ServerName::new("replica1"),
            engine: None,
            outcome,
            narrowed: None,
        }
    }

    #[test]
    fn a_line_for_each_row() {
        let row = |key: &str, what| RowDifference {
            key: key.into(),
            what,
        };
        let other = What::Other(vec![ColumnDifference {
            column: "v".into(),
            there: "NULL".into(),
            source: "''".into(),
        }]);
        let rows = vec![
            row("id = 5", What::NotThere),
            row("id = 6", What::OnlyThere),
            row("id = 7", other),
        ];
        let narrowed = Narrowed {
            rows,
            met: 4,
            mended: 0,
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
                "    id = 6: it is there only (apply would delete it)",
                "    id = 7: v is NULL there, '' at the source (apply would write it anew)",
                "    and 1 more rows",
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

    #[test]
    fn all_is_well_only_where_all_is_equal() {
        let mut report = Report::new("r");
        report.add(&finding(Outcome::Equal { chunks: 1, rows: 0 }));
        assert!(report.total.is_well());
        report.add(&finding(Outcome::NotCompared("why".into())));
        assert!(!report.total.is_well());
        assert_eq!(
            report.total.said(),
            "2 tables (counted on each replica): 1 equal, 0 different, 1 not compared"
        );
    }

    #[test]
    fn tables_are_named_with_their_database() {
        assert!(table("orders").is_err());
        assert_eq!(table("a.b.c").unwrap().table, "b.c");
    }
}

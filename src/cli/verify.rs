//! `ackline verify [NAME…] [--tables db.table,…]`: a line for each table and replica, and what it comes to.

use std::path::Path;
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
use crate::verify::{ChunkDifference, Finding, Outcome, Request, Run, Server};

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
    /// One document at the end.
    #[arg(long)]
    json: bool,
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
        replicas,
        tables: args.tables,
        wait: args.wait,
    };
    let of_source = || source.name.to_string();
    let mut run = Run::begin(admin, request).await.with_context(of_source)?;
    let mut report = Report::new(run.name());
    let compared = run.compare(|finding| {
        if !args.json {
            print!("{}", said(&finding));
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

fn said(finding: &Finding) -> String {
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
    let line = format!("{}: {text}", finding.table);
    format!("{}\n", printable(line.as_bytes()))
}

fn of_chunk(of: &ChunkDifference) -> String {
    let ChunkDifference {
        chunk,
        range,
        rows,
        source_rows,
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
        }
    }

    #[test]
    fn a_line_for_each() {
        let chunk = ChunkDifference {
            chunk: 2,
            range: "1000 <= id < 2000".into(),
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
            let said = said(&finding(outcome));
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

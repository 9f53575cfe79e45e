//! `POST /api/v1/verify`: what is asked. How far it is, and what came of it, is a [`Row`] of the status document;
//! `ackline verify --json` prints a [`Report`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::ids::ServerName;
use crate::tables::Name;
use crate::units::{parse_duration, show_utc};
use crate::verify::{
    By, ChunkDifference, ColumnDifference, Finding, LastWrite, Narrowed, Outcome, RowDifference,
    WAIT, What, Wish,
};

/// So many tables are named in the status document.
const NAMED: usize = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// By name or address; all of them without this.
    #[serde(default)]
    pub replicas: Vec<String>,
    /// As `"shop.orders"`; all of them without this.
    #[serde(default)]
    pub tables: Vec<String>,
    /// As `"60s"`.
    #[serde(default)]
    pub wait: Option<String>,
    /// As `"10s"`; `[verify] max_lag` without this.
    #[serde(default)]
    pub max_lag: Option<String>,
}

impl Request {
    /// `meant`: the server that a text names.
    pub fn wish(
        &self,
        meant: impl Fn(&str) -> ServerName,
        max_lag: Duration,
    ) -> Result<Wish, String> {
        let time = |text: &Option<String>| text.as_deref().map(parse_duration).transpose();
        Ok(Wish {
            replicas: self.replicas.iter().map(|name| meant(name)).collect(),
            tables: self
                .tables
                .iter()
                .map(|text| table(text))
                .collect::<Result<_, _>>()?,
            wait: time(&self.wait)?.unwrap_or(WAIT),
            max_lag: time(&self.max_lag)?.unwrap_or(max_lag),
        })
    }
}

/// A table as people write it. A dot within its own name is one.
pub fn table(text: &str) -> Result<Name, String> {
    match text.split_once('.') {
        Some((database, table)) if !database.is_empty() && !table.is_empty() => Ok(Name {
            database: database.to_owned(),
            table: table.to_owned(),
        }),
        _ => Err(format!(
            "'{text}' is no table: write the database and the table, as in shop.orders"
        )),
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub begun: bool,
}

/// The proxy's own comparisons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparisons {
    /// Null while none is under way.
    pub running: Option<Row>,
    /// The last one that ended, whatever it compared and however it ended.
    pub last: Option<Row>,
    /// The last one of everything that came to its end.
    pub whole: Option<Row>,
    /// A later one of everything that did not.
    #[serde(default)]
    pub failed: Option<Row>,
    /// Why one that is due does not begin.
    pub waits_for: Option<String>,
}

impl Comparisons {
    /// What somebody should look at.
    pub fn problems(&self) -> Vec<String> {
        let rows = self.whole.iter().chain(&self.failed).chain(&self.last);
        let mut problems: Vec<String> = rows.filter_map(Row::problem).collect();
        problems.dedup();
        problems
    }

    /// For people, a line each; without the problems.
    pub fn sentences(&self) -> Vec<String> {
        let of_some = |row: &&Row| !row.everything && row.state == State::Failed;
        let ended = self.whole.iter().chain(self.last.iter().filter(of_some));
        let mut sentences: Vec<String> = ended.filter_map(Row::sentence).collect();
        sentences.extend(self.running.as_ref().and_then(Row::sentence));
        let waits = self.waits_for.iter();
        sentences.extend(waits.map(|why| format!("verify is due, and waits: {why}")));
        sentences
    }
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub state: State,
    /// It compares all tables on all replicas.
    #[serde(default)]
    pub everything: bool,
    /// So long it took, or takes.
    pub seconds: u64,
    /// Unix time of its end; null while it runs.
    pub ended_seconds: Option<u64>,
    /// Where it is, while it runs.
    pub table: Option<String>,
    /// How many of `expected_tables` were begun.
    pub tables: u64,
    pub expected_tables: u64,
    /// Tables, counted on each replica.
    #[serde(flatten)]
    pub total: Total,
    /// The first of them, as `shop.orders on replica1`. What differs, `ackline verify` shows.
    pub differing: Vec<String>,
    /// The first of them, with the reason.
    pub left_out: Vec<String>,
    /// Why it failed; null where it did not.
    pub reason: Option<String>,
}

impl Row {
    pub fn add(&mut self, finding: &Finding) {
        let of = format!("{} on {}", finding.table, finding.replica);
        let (list, text) = match self.total.add(&finding.outcome) {
            Judgement::Equal => return,
            Judgement::Different | Judgement::Definition => (&mut self.differing, of),
            Judgement::NotCompared => {
                let why = match &finding.outcome {
                    Outcome::NotCompared(why) => why.as_str(),
                    _ => "",
                };
                (&mut self.left_out, format!("{of}: {why}"))
            }
        };
        if list.len() < NAMED {
            list.push(text);
        }
    }

    /// What somebody should look at.
    pub fn problem(&self) -> Option<String> {
        match self.state {
            State::Running => None,
            // Who asked for some tables asks what came of it.
            State::Failed if !self.everything => None,
            State::Failed => Some(self.failure()),
            State::Done if self.total.different > 0 => Some(format!(
                "verify found differences ({}): {}; ackline verify --tables shows the rows, --repair apply mends them, and this is said until the proxy has compared {} (POST /api/v1/verify)",
                self.when(),
                self.differing.join(", "),
                match self.everything {
                    true => "everything again",
                    false => "again",
                }
            )),
            State::Done => None,
        }
    }

    /// One line, where there is no problem.
    pub fn sentence(&self) -> Option<String> {
        let total = self.total.said();
        match self.state {
            State::Running => Some(format!(
                "verify compares {}, table {} of {}; so far {total}",
                self.table.as_deref().unwrap_or("nothing yet"),
                self.tables,
                self.expected_tables
            )),
            State::Done if self.total.different == 0 => {
                let left_out = match self.left_out.first() {
                    None => String::new(),
                    Some(first) => format!("; not compared: {first}"),
                };
                Some(format!("verify, {}: {total}{left_out}", self.when()))
            }
            State::Failed if !self.everything => Some(self.failure()),
            State::Done | State::Failed => None,
        }
    }

    fn failure(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        format!("verify failed ({}): {reason}", self.when())
    }

    fn when(&self) -> String {
        show_utc(self.ended_seconds.unwrap_or_default())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    pub equal: u64,
    pub different: u64,
    pub not_compared: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    Equal,
    Different,
    Definition,
    NotCompared,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) -> Judgement {
        let (count, judgement) = match outcome {
            Outcome::Equal { .. } => (&mut self.equal, Judgement::Equal),
            Outcome::Different(_) => (&mut self.different, Judgement::Different),
            Outcome::Definition(_) => (&mut self.different, Judgement::Definition),
            Outcome::NotCompared(_) => (&mut self.not_compared, Judgement::NotCompared),
        };
        *count += 1;
        judgement
    }

    /// Where there was nothing at all, nothing differs.
    pub fn is_well(&self) -> bool {
        self.different == 0 && self.not_compared == 0
    }

    pub fn said(&self) -> String {
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

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// As ackline.checksums names it.
    run: String,
    tables: Vec<Table>,
    pub total: Total,
}

#[derive(Debug, Serialize)]
struct Table {
    database: String,
    table: String,
    replica: String,
    result: Judgement,
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
    /// The last one that names the table, if later than what wrote one of the rows.
    statement: Option<Write>,
    /// Why rows were not looked at, or not mended.
    reasons: Vec<String>,
}

/// A transaction in our binlog.
#[derive(Debug, Serialize)]
struct Write {
    gtid: String,
    /// As `binlog.000001:1234`.
    at: String,
    /// Unix time, by the source's clock.
    seconds: u32,
    /// `inserted`, `updated` or `deleted`; null of a statement.
    change: Option<&'static str>,
    /// Its beginning.
    statement: Option<String>,
}

#[derive(Debug, Serialize)]
struct Named {
    key: String,
    /// `missing`, `extra` or `other`, at the replica.
    what: &'static str,
    columns: Vec<Values>,
    /// By a row event; null where our binlog has none.
    written: Option<Write>,
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
    pub fn new(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            tables: Vec::new(),
            total: Total::default(),
        }
    }

    pub fn add(&mut self, finding: &Finding) {
        let mut table = Table {
            database: finding.table.database.clone(),
            table: finding.table.table.clone(),
            replica: finding.replica.to_string(),
            result: self.total.add(&finding.outcome),
            engine: finding.engine.clone(),
            chunks: None,
            rows: None,
            reasons: Vec::new(),
            differences: Vec::new(),
            narrowed: finding.narrowed.as_ref().map(Rows::of),
        };
        match &finding.outcome {
            Outcome::Equal { chunks, rows } => {
                (table.chunks, table.rows) = (Some(*chunks), Some(*rows));
            }
            Outcome::Different(chunks) => {
                table.differences = chunks.iter().map(difference).collect();
            }
            Outcome::Definition(reasons) => table.reasons.clone_from(reasons),
            Outcome::NotCompared(why) => table.reasons = vec![why.clone()],
        }
        self.tables.push(table);
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
                written: row.written.as_ref().map(Write::of),
            }
        };
        Self {
            named: narrowed.rows.iter().map(named).collect(),
            met: narrowed.met,
            mended: narrowed.mended,
            statement: narrowed.statement.as_deref().map(Write::of),
            reasons: narrowed.reasons.clone(),
        }
    }
}

impl Write {
    fn of(write: &LastWrite) -> Self {
        let (change, statement) = match &write.by {
            By::Rows(operation) => (Some(operation.word()), None),
            By::Statement(text) => (None, Some(text.clone())),
        };
        Self {
            gtid: write.gtid.to_string(),
            at: write.at.to_string(),
            seconds: write.seconds,
            change,
            statement,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn finding(outcome: Outcome) -> Finding {
        Finding {
            table: table("shop.orders").unwrap(),
            replica: ServerName::new("replica1"),
            engine: None,
            outcome,
            narrowed: None,
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
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["tables"][1]["result"], "not-compared");
    }

    #[test]
    fn the_row_names_the_first_tables_and_no_values() {
        let mut row = Row {
            state: State::Done,
            ended_seconds: Some(0),
            ..Row::default()
        };
        row.add(&finding(Outcome::Equal { chunks: 1, rows: 5 }));
        row.add(&finding(Outcome::NotCompared("it is away".into())));
        assert!(row.problem().is_none());
        let sentence = row.sentence().unwrap();
        assert!(sentence.contains("not compared: shop.orders on replica1: it is away"));
        for _ in 0..30 {
            row.add(&finding(Outcome::Different(Vec::new())));
        }
        assert_eq!((row.total.different, row.differing.len()), (30, NAMED));
        assert!(row.sentence().is_none());
        assert!(row.problem().unwrap().contains("shop.orders on replica1"));
    }

    #[test]
    fn a_failure_of_what_somebody_asked_for_is_no_standing_problem() {
        let of = |everything| {
            let row = Row {
                state: State::Failed,
                everything,
                reason: Some("app.ordres: there is no such table".into()),
                ended_seconds: Some(0),
                ..Row::default()
            };
            Comparisons {
                failed: everything.then(|| row.clone()),
                last: Some(row),
                ..Comparisons::default()
            }
        };
        let (some, all) = (of(false), of(true));
        assert_eq!((some.problems().len(), some.sentences().len()), (0, 1));
        assert!(some.sentences()[0].contains("app.ordres"));
        assert_eq!((all.problems().len(), all.sentences().len()), (1, 0));
    }

    #[test]
    fn tables_are_named_with_their_database() {
        assert!(table("orders").is_err());
        assert_eq!(table("a.b.c").unwrap().table, "b.c");
    }
}

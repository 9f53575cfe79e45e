//! In which form a transaction of ours was logged.

use super::statement::TABLE;
use crate::event::query::Query;
use crate::event::{self, EventType};
use crate::store::skim::LONGEST;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One statement and nothing else.
    Statement(Vec<u8>),
    /// It speaks of our table, and has row events or anything else that is more than one statement: a replica might take
    /// over what the source computed.
    Changed,
    Foreign,
}

/// By what a transaction of ours is known.
#[derive(Clone, Debug)]
struct Ours {
    statements: Vec<Vec<u8>>,
    /// As a table map names it: each name with its length in front and a NUL behind.
    mapped: Vec<u8>,
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            statements: ["DELETE FROM", "INSERT INTO", "UPDATE"]
                .map(|verb| format!("{verb} {TABLE} ").into_bytes())
                .to_vec(),
            mapped: b"\x07ackline\0\x09checksums\0".to_vec(),
        }
    }
}

/// Takes the events of one transaction after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    ours: Ours,
    statement: Option<Vec<u8>>,
    /// More than its statement.
    more: bool,
    mapped: bool,
}

impl Reading {
    /// The transaction's next event, without its checksum; of row events the beginning is enough.
    pub fn event(&mut self, kind: EventType, body: &[u8]) -> Result<(), event::Error> {
        match kind {
            EventType::GTID
            | EventType::MYSQL_GTID
            | EventType::MYSQL_TAGGED_GTID
            | EventType::XID => {}
            EventType::QUERY | EventType::QUERY_COMPRESSED => {
                let text = Query::parse(body)?.statement.text(LONGEST)?;
                if matches!(&*text, b"BEGIN" | b"COMMIT") {
                    return Ok(());
                }
                let mut begins = self.ours.statements.iter();
                match begins.any(|begin| text.starts_with(begin)) && self.statement.is_none() {
                    true => self.statement = Some(text.into_owned()),
                    false => self.more = true,
                }
            }
            EventType::TABLE_MAP => {
                self.more = true;
                self.mapped |= memchr::memmem::find(body, &self.ours.mapped).is_some();
            }
            _ => self.more = true,
        }
        Ok(())
    }

    /// The transaction ended.
    pub fn end(&mut self) -> Form {
        let (statement, more) = (self.statement.take(), std::mem::take(&mut self.more));
        match (statement, more, std::mem::take(&mut self.mapped)) {
            (Some(text), false, false) => Form::Statement(text),
            (None, _, false) => Form::Foreign,
            _ => Form::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Header, Step, TransactionTracker, golden};

    /// The forms of all transactions of a real server's binlog, as if they were about our table.
    fn forms(version: &str, file: &str, statements: &[&str], mapped: &[u8]) -> Vec<Form> {
        let mut reading = Reading {
            ours: Ours {
                statements: statements
                    .iter()
                    .map(|text| text.as_bytes().to_vec())
                    .collect(),
                mapped: mapped.to_vec(),
            },
            ..Reading::default()
        };
        let mut tracker = TransactionTracker::new();
        let mut forms = Vec::new();
        for event in golden::events_of(version, file) {
            let step = tracker.feed(&event).unwrap();
            if matches!(step, Step::Outside) {
                continue;
            }
            let kind = Header::parse(&event).unwrap().kind;
            reading.event(kind, &event).unwrap();
            if matches!(step, Step::GroupEnd) {
                forms.push(reading.end());
            }
        }
        forms
    }

    /// Of each table map in the file: the two names as they stand in it.
    fn mapped(version: &str, file: &str) -> Vec<u8> {
        let events = golden::events_of(version, file);
        let map = events
            .iter()
            .find(|event| Header::parse(event).unwrap().kind == EventType::TABLE_MAP)
            .unwrap();
        // A header of 19 bytes, a table id of 6 and flags of 2.
        let names = &map[27..];
        let database = usize::from(names[0]) + 2;
        let table = usize::from(names[database]) + 2;
        names[..database + table].to_vec()
    }

    #[test]
    fn statements_are_told_from_rows() {
        for (version, file) in [
            (golden::MARIADB, "mixed.000002"),
            (golden::MYSQL, "plain.000001"),
        ] {
            let table = mapped(version, file);
            let forms = forms(version, file, &["INSERT", "UPDATE", "DELETE"], &table);
            let count =
                |wanted: fn(&Form) -> bool| forms.iter().filter(|form| wanted(form)).count();
            let rows = count(|form| *form == Form::Changed);
            let statements = count(|form| matches!(form, Form::Statement(_)));
            assert!(rows > 0, "{version}: {forms:?}");
            assert!(
                statements > 0 || version == golden::MYSQL,
                "{version}: {forms:?}"
            );
        }
    }

    /// What is nobody's of ours is not looked at any further.
    #[test]
    fn others_are_foreign() {
        for file in golden::FILES {
            let forms = forms(
                golden::MARIADB,
                file,
                &["INSERT INTO ackline.checksums "],
                b"\x07ackline\0",
            );
            assert!(forms.iter().all(|form| *form == Form::Foreign), "{file}");
        }
    }
}

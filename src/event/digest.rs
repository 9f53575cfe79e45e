//! A transaction's content, apart from who logged it and where.
//!
//! A replica writes what it applied in words of its own: statement variables, thread and times, the engine's
//! transaction number, compression, the cut of rows into events. What is left is hashed in five parts, since
//! not all of them can be compared between any two servers.

use std::borrow::Cow;
use std::collections::HashMap;

use sha1::{Digest as _, Sha1};

use super::execute_load_query::ExecuteLoadQuery;
use super::group::Start;
use super::query::Query;
use super::rows::{Operation, RowsEvent};
use super::table_map::TableMap;
use super::transaction_payload::TransactionPayload;
use super::unpack::LARGEST;
use super::{EventType, HEADER_LENGTH, Header};

type Hash = [u8; 20];

/// Of one transaction in one binlog. See [`TransactionDigest::is_of_the_same`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionDigest {
    gtid: Hash,
    form: Form,
    /// Statements, and which tables rows of which number were written, changed or deleted in.
    outline: Hash,
    /// Which columns the row images have.
    columns: Hash,
    images: Hash,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Form {
    statements: bool,
    rows: bool,
}

impl TransactionDigest {
    /// Whether both are of one transaction, by everything that can be compared.
    ///
    /// - A server of another `binlog_format` logs rows where the other logs the statement: then only the
    ///   GTID can be compared.
    /// - With another `binlog_row_image` the images have other columns: then tables, operations and the
    ///   number of rows are.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        self.gtid == other.gtid
            && (self.form != other.form
                || (self.outline == other.outline
                    && (self.columns != other.columns || self.images == other.images)))
    }
}

/// Takes a transaction's events in order. What it remembers are the tables of one statement.
#[derive(Clone, Debug, Default)]
pub struct Digester {
    gtid: Sha1,
    form: Form,
    outline: Sha1,
    columns: Sha1,
    images: Sha1,
    tables: HashMap<u64, Vec<u8>>,
    /// Rows of one table in one operation, over as many events as they take.
    run: Option<Run>,
    savepoints: Vec<Savepoint>,
}

/// The content up to there. A replica leaves out what was rolled back.
#[derive(Clone, Debug)]
struct Savepoint {
    name: Vec<u8>,
    form: Form,
    outline: Sha1,
    columns: Sha1,
    images: Sha1,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    database: Vec<u8>,
    table: Vec<u8>,
    operation: Operation,
    rows: u64,
}

/// More tables than a statement can have (61 in a join, and those that triggers write).
const MOST_TABLES: usize = 4096;
/// Beyond that, a ROLLBACK TO is compared as a statement.
const MOST_SAVEPOINTS: usize = 1000;

impl Digester {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the transaction's next event, without checksum.
    pub fn event(&mut self, event: &[u8]) {
        // What cannot be taken apart counts as it is.
        if self.known(event).is_none() {
            let (header, body) = event.split_at(event.len().min(HEADER_LENGTH));
            self.end_run();
            self.form.statements = true;
            put(&mut self.outline, &[header.get(4).copied().unwrap_or(0)]);
            put(&mut self.outline, body);
        }
    }

    fn known(&mut self, event: &[u8]) -> Option<()> {
        let kind = Header::parse(event).ok()?.kind;
        match kind {
            EventType::GTID | EventType::MYSQL_GTID | EventType::MYSQL_TAGGED_GTID => {
                let start = Start::parse(event).ok()?;
                put(&mut self.gtid, start.gtid.to_string().as_bytes());
            }
            // Beside rows only, and only where the server is told to keep it.
            EventType::ANNOTATE_ROWS | EventType::ROWS_QUERY => {}
            EventType::QUERY | EventType::QUERY_COMPRESSED => {
                let query = Query::parse(event).ok()?;
                let text = query.statement.text(LARGEST).ok()?;
                match &text[..] {
                    b"BEGIN" => {}
                    // Of a transaction without a transactional engine; a replica may say XID instead.
                    b"COMMIT" => self.end(),
                    // In whatever database the applier was.
                    text if text.starts_with(b"XA ") => self.statement(b"", text),
                    text => {
                        if let Some(name) = text.strip_prefix(b"ROLLBACK TO ") {
                            self.roll_back_to(name);
                        } else {
                            self.statement(query.database, &as_applied(text));
                            if let Some(name) = text.strip_prefix(b"SAVEPOINT ") {
                                self.savepoint(name);
                            }
                        }
                    }
                }
            }
            EventType::XID => self.end(),
            EventType::TABLE_MAP => {
                let map = TableMap::parse(event).ok()?;
                if self.tables.len() >= MOST_TABLES {
                    self.tables.clear();
                }
                self.tables.insert(map.table_id, event.to_vec());
            }
            EventType::TRANSACTION_PAYLOAD => {
                let payload = TransactionPayload::parse(event).ok()?;
                let payload = payload.unpack(LARGEST).ok()?;
                // All or nothing: what is half taken would be taken twice.
                let events: Result<Vec<&[u8]>, _> = payload.events().collect();
                for inner in events.ok()? {
                    self.event(inner);
                }
            }
            EventType::EXECUTE_LOAD_QUERY => {
                let load = ExecuteLoadQuery::parse(event).ok()?;
                let mut text = load.statement.to_vec();
                // Each server gives the file a name of its own.
                text.drain(load.file_name()?);
                self.statement(load.database, &text);
            }
            EventType::BEGIN_LOAD_QUERY | EventType::APPEND_BLOCK => {
                // The number of the file; its blocks are as large as each server likes.
                let data = event.get(HEADER_LENGTH + 4..)?;
                self.images.update(data);
            }
            kind if RowsEvent::is(kind) => self.rows(event)?,
            _ => return None,
        }
        Some(())
    }

    fn end(&mut self) {
        self.end_run();
        put(&mut self.outline, b"COMMIT");
    }

    fn statement(&mut self, database: &[u8], text: &[u8]) {
        self.end_run();
        self.form.statements = true;
        put(&mut self.outline, database);
        put(&mut self.outline, text);
    }

    fn savepoint(&mut self, name: &[u8]) {
        self.savepoints.retain(|savepoint| savepoint.name != name);
        if self.savepoints.len() < MOST_SAVEPOINTS {
            self.savepoints.push(Savepoint {
                name: name.to_vec(),
                form: self.form,
                outline: self.outline.clone(),
                columns: self.columns.clone(),
                images: self.images.clone(),
            });
        }
    }

    fn roll_back_to(&mut self, name: &[u8]) {
        let at = self
            .savepoints
            .iter()
            .position(|savepoint| savepoint.name == name);
        let Some(at) = at else {
            return self.statement(b"", &[b"ROLLBACK TO ", name].concat());
        };
        // It stays, those behind it do not.
        self.savepoints.truncate(at + 1);
        let there = self.savepoints[at].clone();
        self.run = None;
        self.form = there.form;
        self.outline = there.outline;
        self.columns = there.columns;
        self.images = there.images;
    }

    fn rows(&mut self, event: &[u8]) -> Option<()> {
        let rows = RowsEvent::parse(event).ok()?;
        let map = self.tables.get(&rows.table_id)?.clone();
        let map = TableMap::parse(&map).ok()?;
        let number = rows.iter(&map).ok()?.filter(Result::is_ok).count() as u64;
        let mut next = Run {
            database: map.database.to_vec(),
            table: map.table.to_vec(),
            operation: rows.operation,
            rows: 0,
        };
        if let Some(run) = &mut self.run {
            next.rows = run.rows;
            if *run != next {
                self.end_run();
                next.rows = 0;
            }
        }
        if next.rows == 0 {
            for column in map.columns() {
                put(
                    &mut self.columns,
                    format!("{:?}", column.logged()).as_bytes(),
                );
            }
            put(
                &mut self.columns,
                &[u8::from(rows.kind == EventType::PARTIAL_UPDATE_ROWS)],
            );
            rows.present()
                .iter()
                .for_each(|bits| put(&mut self.columns, bits));
        }
        next.rows += number;
        self.run = Some(next);
        self.form.rows = true;
        self.images.update(rows.image_bytes());
        Some(())
    }

    fn end_run(&mut self) {
        if let Some(run) = self.run.take() {
            put(&mut self.outline, &run.database);
            put(&mut self.outline, &run.table);
            put(&mut self.outline, &[run.operation as u8]);
            put(&mut self.outline, &run.rows.to_le_bytes());
        }
    }

    pub fn finish(mut self) -> TransactionDigest {
        self.end_run();
        TransactionDigest {
            gtid: self.gtid.finalize().into(),
            form: self.form,
            outline: self.outline.finalize().into(),
            columns: self.columns.finalize().into(),
            images: self.images.finalize().into(),
        }
    }
}

/// With its length in front, no two lists make the same bytes.
fn put(hash: &mut Sha1, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// A MariaDB replica words a DROP TABLE anew: with IF EXISTS, and one of temporary tables a table at a time with
/// its database. Those are nobody's data; so what is left of their names is that there were some.
fn as_applied(text: &[u8]) -> Cow<'_, [u8]> {
    const COMMENT: &[u8] = b" /* generated by server */";
    const TEMPORARY: [&[u8]; 2] = [
        b"DROP TEMPORARY TABLE ",
        b"DROP /*!40005 TEMPORARY */ TABLE ",
    ];
    const PLAIN: &[u8] = b"DROP TABLE ";
    let text = text.strip_suffix(COMMENT).unwrap_or(text);
    if TEMPORARY.iter().any(|begin| text.starts_with(begin)) {
        return Cow::Borrowed(TEMPORARY[0]);
    }
    match text.strip_prefix(PLAIN) {
        Some(names) => {
            let names = names.strip_prefix(b"IF EXISTS ").unwrap_or(names);
            Cow::Owned([PLAIN, names].concat())
        }
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventType, position: u32, body: &[u8]) -> Vec<u8> {
        let mut event = vec![1, 0, 0, 0, kind.0, 1, 0, 0, 0];
        event.extend_from_slice(&((HEADER_LENGTH + body.len()) as u32).to_le_bytes());
        event.extend_from_slice(&position.to_le_bytes());
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(body);
        event
    }

    fn digest(events: &[Vec<u8>]) -> TransactionDigest {
        let mut digester = Digester::new();
        events.iter().for_each(|e| digester.event(e));
        digester.finish()
    }

    #[test]
    fn place_does_not_matter_and_content_does() {
        let query = |position, thread: u8, text: &str| {
            let mut body = vec![thread, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, b't', 0];
            body.extend_from_slice(text.as_bytes());
            event(EventType::QUERY, position, &body)
        };
        let xid = |position, number| event(EventType::XID, position, &[number; 8]);
        let ours = digest(&[query(100, 7, "INSERT 1"), xid(130, 1)]);
        let same = |other: &[Vec<u8>]| ours.is_of_the_same(&digest(other));
        assert!(same(&[query(900, 8, "INSERT 1"), xid(930, 9)]));
        assert!(same(&[query(900, 8, "INSERT 1"), query(930, 8, "COMMIT")]));
        assert!(!same(&[query(100, 7, "INSERT 2"), xid(130, 1)]));
        assert!(!same(&[query(100, 7, "INSERT 1")]));
    }
}

//! Which transaction last wrote a row, by our binlog: for people, who want to know since when a replica differs, and
//! whose change it lacks.
//!
//! Row events name their rows. A statement does not, so of a table the last one that names it is told beside them: it
//! may have written any of its rows since.

use std::collections::HashMap;
use std::path::Path;

use super::statement::TABLE;
use crate::event::query::Query;
use crate::event::rows::{Operation, RowsEvent};
use crate::event::table_map::{Signedness, TableMap};
use crate::event::transaction_payload::TransactionPayload;
use crate::event::{self, EventType, Header, Step, TransactionTracker};
use crate::gtid::Gtid;
use crate::ids::StorePosition;
use crate::store::inspect::Inspected;
use crate::store::skim::LONGEST;
use crate::store::{self, FIRST_EVENT, Skim};
use crate::tables::{Bound, Definition, Name, Ordered};
use crate::transcript;

/// Of our binlog's newest files as many are read as fit in this, and one at least.
const READ: u64 = 1 << 30;
/// Of packed rows, as much is unpacked.
const UNPACKED: usize = 64 << 20;
/// As much is shown of a statement.
const SHOWN: usize = 200;

/// A transaction in our binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    pub gtid: Gtid,
    pub at: StorePosition,
    /// Unix time, by the source's clock.
    pub seconds: u32,
    pub by: By,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    Rows(Operation),
    /// Its beginning.
    Statement(String),
}

/// Rows that are looked for.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub table: Name,
    pub definition: Definition,
    pub key: Ordered,
    pub rows: Vec<Bound>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Of each row that was sought.
    pub rows: Vec<Option<LastWrite>>,
    /// The last statement that names the table.
    pub statement: Option<LastWrite>,
}

/// From the newest file back. Blocks on the disk.
pub(super) fn search(dir: &Path, sought: &Sought) -> Result<Found, store::Error> {
    let inspected = Inspected::of(dir)?;
    let mut found = Found::nothing_of(sought);
    let mut read = 0;
    for file in inspected.files.iter().rev() {
        if read > 0 && read + file.end > READ || found.rows.iter().all(Option::is_some) {
            break;
        }
        read += file.end;
        let mut skim = Skim::new(dir, StorePosition::new(file.number, FIRST_EVENT)).whole();
        let limit = StorePosition::new(file.number, file.end);
        let mut hunt = Hunt::new(sought);
        while let Some(event) = skim.next(limit)? {
            // What is broken is nobody's write that could be named.
            if hunt
                .event(&event.header, event.body(), event.start)
                .is_err()
            {
                break;
            }
        }
        found.learns_of_older(hunt.found);
    }
    Ok(found)
}

impl Found {
    fn nothing_of(sought: &Sought) -> Self {
        Self {
            rows: vec![None; sought.rows.len()],
            statement: None,
        }
    }

    /// Takes from an older file what is not known yet.
    fn learns_of_older(&mut self, older: Self) {
        for (newer, older) in self.rows.iter_mut().zip(older.rows) {
            *newer = newer.take().or(older);
        }
        self.statement = self.statement.take().or(older.statement);
    }
}

/// Through one file.
struct Hunt<'a> {
    sought: &'a Sought,
    tracker: TransactionTracker,
    /// The transaction: its GTID, where it begins, and when it was.
    running: Option<(Gtid, StorePosition, u32)>,
    /// The running transaction's, of our table.
    maps: HashMap<u64, Vec<u8>>,
    found: Found,
}

impl<'a> Hunt<'a> {
    fn new(sought: &'a Sought) -> Self {
        Self {
            sought,
            tracker: TransactionTracker::new(),
            running: None,
            maps: HashMap::new(),
            found: Found::nothing_of(sought),
        }
    }

    fn event(
        &mut self,
        header: &Header,
        body: &[u8],
        at: StorePosition,
    ) -> Result<(), event::Error> {
        match self.tracker.feed(body)? {
            Step::Outside => return Ok(()),
            Step::GroupStart(start) => {
                self.maps.clear();
                self.running = Some((start.gtid, at, header.timestamp));
            }
            Step::InGroup | Step::GroupEnd => {}
        }
        if header.kind != EventType::TRANSACTION_PAYLOAD {
            self.plain(header, body);
            return Ok(());
        }
        // One that is too long is shown by nobody.
        let payload = TransactionPayload::parse(body).and_then(|packed| packed.unpack(UNPACKED));
        let Ok(payload) = payload else {
            return Ok(());
        };
        for event in payload.events() {
            let event = event?;
            self.plain(&Header::parse(event)?, event);
        }
        Ok(())
    }

    /// What cannot be read names nothing.
    fn plain(&mut self, header: &Header, body: &[u8]) {
        match header.kind {
            EventType::TABLE_MAP => self.map(body),
            EventType::QUERY | EventType::QUERY_COMPRESSED => self.statement(body),
            kind if RowsEvent::is(kind) => {
                let _ = self.rows(body);
            }
            _ => {}
        }
    }

    fn write(&self, by: By) -> Option<LastWrite> {
        let (gtid, at, seconds) = self.running.clone()?;
        Some(LastWrite {
            gtid,
            at,
            seconds,
            by,
        })
    }

    fn map(&mut self, body: &[u8]) {
        let Ok(map) = TableMap::parse(body) else {
            return;
        };
        let Name { database, table } = &self.sought.table;
        if map.database == database.as_bytes() && map.table == table.as_bytes() {
            self.maps.insert(map.table_id, body.to_vec());
        }
    }

    fn rows(&mut self, body: &[u8]) -> Result<(), event::Error> {
        let rows = RowsEvent::parse_within(body, UNPACKED)?;
        let Some(map) = self.maps.get(&rows.table_id) else {
            return Ok(());
        };
        let mut map = TableMap::parse(map)?;
        let Some(key) = self.sought.places(&map) else {
            return Ok(());
        };
        for (place, unsigned) in &key {
            map.declare(
                *place,
                match unsigned {
                    true => Signedness::Unsigned,
                    false => Signedness::Signed,
                },
            );
        }
        let mut written = Vec::new();
        for image in rows.images(&map)? {
            let image = image?;
            let mut values = Vec::new();
            for (place, _) in &key {
                // The image after an update may lack its key: then it has the one before.
                let Some(value) = image.value(*place)? else {
                    break;
                };
                values.push((value, &map.columns()[*place]));
            }
            if values.len() == key.len() {
                let sought = self.sought.rows.iter().enumerate();
                let met = sought.filter(|(_, row)| self.sought.key.has(row, &values));
                written.extend(met.map(|(index, _)| index));
            }
        }
        for index in written {
            self.found.rows[index] = self.write(By::Rows(rows.operation));
        }
        Ok(())
    }

    fn statement(&mut self, body: &[u8]) {
        let Ok(query) = Query::parse(body) else {
            return;
        };
        let Ok(text) = query.statement.text(LONGEST) else {
            return;
        };
        let Name { database, table } = &self.sought.table;
        let names = |name: &str| names(&text, name);
        // Our own comparisons name it as well.
        let is_ours = memchr::memmem::find(&text, TABLE.as_bytes()).is_some();
        if is_ours || !names(table) || query.database != database.as_bytes() && !names(database) {
            return;
        }
        self.found.statement = self.write(By::Statement(transcript::shown(&text, SHOWN)));
    }
}

impl Sought {
    /// Where the key's columns stand in a row of that time, and whether they are unsigned, which the table map may not
    /// tell. None where that is not known.
    fn places(&self, map: &TableMap<'_>) -> Option<Vec<(usize, bool)>> {
        let all = &self.definition.columns;
        let names: Vec<&[u8]> = match map.names().ok()? {
            Some(names) => names.collect::<Result<_, _>>().ok()?,
            None if map.columns().len() == all.len() => {
                all.iter().map(|column| column.name.as_bytes()).collect()
            }
            // It has other columns since.
            None => return None,
        };
        let place = |name: &str| {
            let place = names.iter().position(|other| *other == name.as_bytes())?;
            let column = self.definition.column(name)?;
            Some((place, column.column_type.contains("unsigned")))
        };
        self.key.columns().map(place).collect()
    }
}

/// Whether a text has a name as a word of its own, in either case.
fn names(text: &[u8], name: &str) -> bool {
    let name = name.as_bytes();
    let Some(first) = name.first() else {
        return false;
    };
    let is_part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(byte))
    };
    let (small, large) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    memchr::memchr2_iter(small, large, text).any(|at| {
        let word = text.get(at..at + name.len());
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        word.is_some_and(|word| word.eq_ignore_ascii_case(name))
            && !is_part(before)
            && !is_part(text.get(at + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_of_its_own() {
        for (text, named) in [
            ("UPDATE busy SET n = 1", true),
            ("update shop.`BUSY` set n = 1", true),
            ("DELETE FROM busy", true),
            ("busy", true),
            ("UPDATE busybody SET n = 1", false),
            ("UPDATE not_busy SET n = 1", false),
            ("bus", false),
            ("", false),
        ] {
            assert_eq!(names(text.as_bytes(), "busy"), named, "{text}");
        }
        assert!(!names(b"UPDATE t", ""));
    }

    #[test]
    fn what_is_newer_stays() {
        let write = |seconds| LastWrite {
            gtid: "0-1-5".parse().unwrap(),
            at: StorePosition::new(1, 4),
            seconds,
            by: By::Rows(Operation::Write),
        };
        let mut found = Found {
            rows: vec![Some(write(9)), None, None],
            statement: None,
        };
        found.learns_of_older(Found {
            rows: vec![Some(write(1)), Some(write(2)), None],
            statement: Some(write(3)),
        });
        assert_eq!(found.rows, [Some(write(9)), Some(write(2)), None]);
        assert_eq!(found.statement, Some(write(3)));
    }
}

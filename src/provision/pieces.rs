//! Which rows are copied next: tables in ranges of their keys, the largest table first.

use std::time::Duration;

use tokio::sync::Mutex;

use super::object::Table;
use super::target::Marked;
use super::there::{self, Part, There};
use crate::net;
use crate::net::admin::Admin;
use crate::tables::{Bound, Name, Ordered, Range, Travel};

/// What a range is to hold.
const BYTES: u64 = 8 << 20;
/// An estimate may be wrong by orders of magnitude.
const FEWEST: u64 = 50;
const MOST: u64 = 200_000;

/// In an old snapshot all that was written since is passed over.
const SEARCHES: Duration = Duration::from_secs(1800);

/// One range of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Counted from 1.
    pub number: u64,
    pub table: Name,
    pub range: Range,
    pub select: String,
    pub load: String,
    /// It begins the table anew: no transaction takes back what it has loaded.
    pub empties: bool,
    /// No other piece of its table comes behind it.
    pub is_last: bool,
}

impl Piece {
    pub fn marked(&self) -> Marked {
        Marked {
            piece: self.number,
            table: self.table.clone(),
            lower: self.range.from.as_ref().map(there::written),
            upper: self.range.to.as_ref().map(there::written),
        }
    }
}

#[derive(Debug)]
struct Planned {
    name: Name,
    travel: Travel,
    key: Option<Ordered>,
    rows: u64,
    from: Option<Bound>,
}

impl Planned {
    fn piece(&self, number: u64, range: &Range, empties: bool) -> Piece {
        let table = self.name.quoted();
        let condition = match &self.key {
            Some(key) => format!(" WHERE {}", key.condition(range)),
            None => String::new(),
        };
        Piece {
            number,
            select: format!("SELECT {} FROM {table}{condition}", self.travel.select),
            load: self.travel.load(&table),
            table: self.name.clone(),
            range: range.clone(),
            empties,
            is_last: range.to.is_none(),
        }
    }
}

#[derive(Debug)]
struct State {
    /// The next one last.
    tables: Vec<Planned>,
    /// Of the last one.
    number: u64,
    /// So many are in.
    count: u64,
}

/// Shared by those who copy.
#[derive(Debug)]
pub struct Pieces(Mutex<State>);

impl Pieces {
    /// Of these tables, behind what is there already.
    pub fn of<'a>(tables: impl Iterator<Item = &'a Table>, there: &There) -> Self {
        let is_open = |table: &&Table| there.tables.get(&table.name) != Some(&Part::Whole);
        let mut tables: Vec<&Table> = tables.filter(is_open).collect();
        tables.sort_by_key(|table| table.bytes);
        let planned = |table: &&Table| {
            let row_bytes = (table.bytes / table.row_count.max(1)).max(1);
            Planned {
                name: table.name.clone(),
                travel: table.travel.clone(),
                key: Ordered::of(&table.definition),
                rows: (BYTES / row_bytes).clamp(FEWEST, MOST),
                from: match there.tables.get(&table.name) {
                    Some(Part::UpTo(bound)) => Some(bound.clone()),
                    Some(Part::Whole) | None => None,
                },
            }
        };
        Self(Mutex::new(State {
            tables: tables.iter().map(planned).collect(),
            number: there.last,
            count: there.pieces,
        }))
    }

    /// The next one; where it ends is asked of `donor`. An error is told with the table.
    pub async fn next(&self, donor: &mut Admin) -> Result<Option<Piece>, (Name, net::Error)> {
        let mut state = self.0.lock().await;
        let number = state.number + 1;
        let Some(table) = state.tables.last_mut() else {
            return Ok(None);
        };
        let to = match &table.key {
            None => None,
            Some(key) => {
                let rest = Range {
                    from: table.from.clone(),
                    to: None,
                };
                let question = key.question(&table.name.quoted(), &rest, table.rows);
                let answer = donor.query_within(&question, SEARCHES).await;
                let answer = answer.map_err(|error| (table.name.clone(), error))?;
                answer.first().and_then(|row| key.bound(|at| row.at(at)))
            }
        };
        let range = Range {
            from: table.from.take(),
            to: to.clone(),
        };
        let piece = table.piece(number, &range, false);
        table.from = to;
        if piece.is_last {
            state.tables.pop();
        }
        state.number = number;
        state.count += 1;
        Ok(Some(piece))
    }

    /// So many are to be there, when all that were handed out are.
    pub async fn count(&self) -> u64 {
        self.0.lock().await.count
    }

    /// A table in one piece, which no snapshot holds.
    pub fn whole(table: &Table) -> Piece {
        let planned = Planned {
            name: table.name.clone(),
            travel: table.travel.clone(),
            key: None,
            rows: 0,
            from: None,
        };
        planned.piece(0, &Range::default(), true)
    }
}

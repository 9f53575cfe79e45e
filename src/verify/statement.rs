//! The statements that are logged. They are recognized in our binlog by their whole text, which the run's name makes
//! unique.

use crate::net::admin::literal;
use crate::tables::{Bound, Name, Range};

/// Of all statements of ours that write results.
pub(super) const TABLE: &str = "ackline.checksums";

const COLUMNS: &str = "db_name, table_name, chunk, lower_boundary, upper_boundary, this_cnt, this_crc, master_cnt, \
     master_crc, run, checked_at";

/// Where one range's result is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub run: &'a str,
    pub table: &'a Name,
    /// Counted from 1; 0 is the table's beginning.
    pub chunk: u64,
}

impl Place<'_> {
    fn key(&self) -> String {
        let Name { database, table } = self.table;
        format!("{}, {}, {}", literal(database), literal(table), self.chunk)
    }

    fn row(&self) -> String {
        format!(
            "{} AND chunk = {} AND run = {}",
            self.table.is_in("db_name", "table_name"),
            self.chunk,
            literal(self.run)
        )
    }

    /// What was found of the table before: as a statement, it takes away what only a replica has as well, so that no row
    /// of ours meets another one there.
    pub fn forget_all(&self) -> String {
        let rows = self.table.is_in("db_name", "table_name");
        format!("DELETE FROM {TABLE} WHERE {rows} /* {} */", self.run)
    }

    pub fn forget(&self) -> String {
        format!("DELETE FROM {TABLE} WHERE {}", self.row())
    }

    /// A row without a result: whoever has it has all that came before.
    pub fn begin(&self) -> String {
        let run = literal(self.run);
        format!(
            "INSERT INTO {TABLE} ({COLUMNS}) VALUES ({}, NULL, NULL, 0, '', 0, '', {run}, UTC_TIMESTAMP(6))",
            self.key()
        )
    }

    /// Changes that row, each time in other words: whoever has come so far has all that came before.
    pub fn passes(&self, time: u64) -> String {
        format!(
            "UPDATE {TABLE} SET lower_boundary = {} WHERE {}",
            literal(&Self::time(time)),
            self.row()
        )
    }

    /// What it then has.
    pub fn time(time: u64) -> String {
        format!("passed {time}")
    }

    /// Asks for that.
    pub fn passed(&self) -> String {
        format!("SELECT lower_boundary FROM {TABLE} WHERE {}", self.row())
    }

    /// Computes it, on each server from its own rows. No REPLACE … SELECT: servers warn of each one in their logs.
    pub fn compute(&self, range: &Range, sum: &str, condition: &str) -> String {
        let bound = |bound: &Option<Bound>| {
            bound
                .as_ref()
                .map_or_else(|| "NULL".to_owned(), |bound| literal(&bound.text()))
        };
        format!(
            "INSERT INTO {TABLE} ({COLUMNS}) SELECT {}, {}, {}, COUNT(*), {sum}, NULL, NULL, {}, UTC_TIMESTAMP(6) \
             FROM {} WHERE {condition}",
            self.key(),
            bound(&range.from),
            bound(&range.to),
            literal(self.run),
            self.table.quoted()
        )
    }

    pub fn result(&self) -> String {
        format!(
            "SELECT this_cnt, this_crc FROM {TABLE} WHERE {}",
            self.row()
        )
    }

    /// Tells every replica what the source has.
    pub fn tell(&self, count: u64, sum: &str) -> String {
        format!(
            "UPDATE {TABLE} SET master_cnt = {count}, master_crc = {} WHERE {}",
            literal(sum),
            self.row()
        )
    }
}

/// All results of a run about a table, at a replica.
pub(super) fn results(run: &str, table: &Name) -> String {
    format!(
        "SELECT chunk, this_cnt, this_crc, master_cnt, master_crc FROM {TABLE} WHERE {} AND chunk > 0 AND run = {}",
        table.is_in("db_name", "table_name"),
        literal(run)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let table = Name {
            database: "it's".into(),
            table: "a`b".into(),
        };
        let place = Place {
            run: "r",
            table: &table,
            chunk: 1,
        };
        let text = place.compute(&Range::default(), "SUM(1)", "1");
        assert!(
            text.contains("SELECT 'it''s', 'a`b', 1, NULL, NULL, COUNT(*)"),
            "{text}"
        );
        assert!(text.ends_with("FROM `it's`.`a``b` WHERE 1"), "{text}");
        assert_eq!(
            place.tell(5, "77"),
            "UPDATE ackline.checksums SET master_cnt = 5, master_crc = '77' \
             WHERE db_name = 'it''s' AND table_name = 'a`b' AND chunk = 1 AND run = 'r'"
        );
    }
}

//! Indexes that are made when all rows of a table are there. Sorted, they cost a fraction of what one entry after the
//! other does, since their pages are written once. On MySQL: MariaDB sorts them itself as it loads, and is no faster so
//! (measured: `deploy/bench_provision.sh`, 256 MiB; MySQL 48 s with them and 29 s, MariaDB 19 s and 21 s).
//!
//! Only those that hold nothing together: unique ones, FULLTEXT and SPATIAL stay with the table, and so do all of one
//! that has foreign keys or is named by them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::copy::{self, Away, COMES_BACK};
use super::object::{Catalog, Rows, Table};
use super::progress::Progress;
use super::target::{self, Target, named_within};
use crate::ids::Flavor;
use crate::net::admin::Admin;
use crate::tables::Name;

/// A smaller table is not worth another statement.
const WORTH: u64 = 16 << 20;
/// Of one table.
const MAKES: Duration = Duration::from_secs(8 * 3600);
/// Before the table that a foreign key names.
const REFERENCES: &str = "REFERENCES ";

/// What is left for later, by table.
#[derive(Debug, Default)]
pub(super) struct Later(BTreeMap<Name, Split>);

/// A table's statement in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Split {
    create: String,
    /// Names, and what ADD takes.
    keys: Vec<(String, String)>,
}

impl Later {
    pub(super) fn of(catalog: &Catalog, flavor: Flavor) -> Self {
        if flavor == Flavor::MariaDb {
            return Self::default();
        }
        let creates = catalog.tables.iter().map(|table| &table.create);
        let refer: Vec<&String> = creates
            .filter(|create| create.contains(REFERENCES))
            .collect();
        let is_named = |table: &Table| {
            // In which schema is not looked at.
            let here = format!("{REFERENCES}{}", crate::tables::quoted(&table.name.table));
            let elsewhere = format!("{REFERENCES}{}", table.name.quoted());
            refer
                .iter()
                .any(|create| create.contains(&here) || create.contains(&elsewhere))
        };
        let worth = |table: &&Table| table.rows == Rows::Snapshot && table.bytes >= WORTH;
        let split = |table: &Table| Some((table.name.clone(), Split::of(&table.create)?));
        let tables = catalog.tables.iter().filter(worth);
        Self(
            tables
                .filter(|table| !is_named(table))
                .filter_map(split)
                .collect(),
        )
    }

    /// The statement that a table is created by.
    pub(super) fn create<'a>(&'a self, table: &'a Table) -> &'a str {
        let split = self.0.get(&table.name);
        split.map_or(&table.create, |split| &split.create)
    }

    /// So many tables at a time, though the server goes away meanwhile.
    pub(super) async fn make(
        self,
        target: &Target,
        streams: usize,
        progress: &Arc<Progress>,
    ) -> Result<(), copy::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        progress.enters(format!("makes the indexes of {} tables", self.0.len()));
        let left: VecDeque<(Name, Split)> = self.0.into_iter().collect();
        let left = Arc::new(Mutex::new(left));
        let mut makers: JoinSet<Result<(), copy::Error>> = JoinSet::new();
        for _ in 0..streams {
            let (target, left, progress) = (target.clone(), left.clone(), progress.clone());
            makers.spawn(async move {
                let mut session = None;
                loop {
                    let Some((table, split)) = left.lock().await.pop_front() else {
                        return Ok(());
                    };
                    make(&target, &mut session, &table, &split, &progress).await?;
                }
            });
        }
        while let Some(ended) = makers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn make(
    target: &Target,
    session: &mut Option<Admin>,
    table: &Name,
    split: &Split,
    progress: &Progress,
) -> Result<(), copy::Error> {
    let mut away = Away::new(COMES_BACK);
    loop {
        match attempt(target, session, table, split).await {
            Ok(()) => {
                away.ends(progress);
                return Ok(());
            }
            Err(error) if error.passes() => {
                *session = None;
                away.waits(error, progress).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Those that are not there: it may have been killed behind the statement.
async fn attempt(
    target: &Target,
    session: &mut Option<Admin>,
    table: &Name,
    split: &Split,
) -> Result<(), target::Error> {
    let to = copy::session(target, session).await?;
    let question = format!(
        "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE {}",
        table.is_in("TABLE_SCHEMA", "TABLE_NAME")
    );
    let there = to.query(&question).await?;
    let is_there = |name: &str| there.iter().any(|row| row.at(0) == Some(name));
    let missing = split.keys.iter().filter(|(name, _)| !is_there(name));
    let adds: Vec<String> = missing.map(|(_, key)| format!("ADD {key}")).collect();
    if adds.is_empty() {
        return Ok(());
    }
    let statement = format!("ALTER TABLE {} {}", table.quoted(), adds.join(", "));
    named_within(to, &statement, &format!("indexes of {table}"), MAKES).await
}

impl Split {
    /// None where nothing is left for later. By the lines of SHOW CREATE TABLE.
    fn of(create: &str) -> Option<Self> {
        if has_long_text(create) {
            return None;
        }
        let mut lines = create.lines();
        let head = lines.next()?;
        let (mut kept, mut keys) = (Vec::new(), Vec::new());
        let mut tail = None;
        for line in lines.by_ref() {
            if line.starts_with(')') {
                tail = Some(line);
                break;
            }
            let line = line.trim_end_matches(',');
            match line.trim_start().strip_prefix("KEY `") {
                Some(rest) => keys.push((name(rest)?, line.trim_start().to_owned())),
                None => kept.push(line),
            }
        }
        let foreign = kept.iter().any(|line| line.contains(" FOREIGN KEY "));
        if keys.is_empty() || foreign || !counts_by_a_key(&kept) {
            return None;
        }
        let mut create = format!("{head}\n{}\n{}", kept.join(",\n"), tail?);
        for line in lines {
            create.push('\n');
            create.push_str(line);
        }
        Some(Self { create, keys })
    }
}

/// A line's end within quotes: what looks like an index may be somebody's text.
fn has_long_text(create: &str) -> bool {
    let (mut quote, mut escaped) = (None, false);
    for letter in create.chars() {
        match quote {
            Some(_) if letter == '\n' => return true,
            Some(_) if escaped => escaped = false,
            Some('\'') if letter == '\\' => escaped = true,
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if ['\'', '`', '"'].contains(&letter) => quote = Some(letter),
            None => {}
        }
    }
    false
}

/// Up to its backtick; two of them stand for one.
fn name(rest: &str) -> Option<String> {
    let mut name = String::new();
    let mut letters = rest.chars().peekable();
    loop {
        match letters.next()? {
            '`' if letters.peek() == Some(&'`') => {
                letters.next();
                name.push('`');
            }
            '`' => return Some(name),
            letter => name.push(letter),
        }
    }
}

/// An AUTO_INCREMENT column has to be the first of a key from the beginning.
fn counts_by_a_key(lines: &[&str]) -> bool {
    let counting = lines
        .iter()
        .find(|line| line.trim_start().starts_with('`') && line.contains(" AUTO_INCREMENT"));
    let Some(column) = counting.and_then(|line| name(&line.trim_start()[1..])) else {
        return true;
    };
    let begins = format!("({}", crate::tables::quoted(&column));
    let is_key = |line: &str| line.starts_with("PRIMARY KEY ") || line.starts_with("UNIQUE KEY ");
    let mut keys = lines
        .iter()
        .map(|line| line.trim_start())
        .filter(|line| is_key(line));
    keys.any(|line| line.contains(&begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE `t` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `a``b` int(11) DEFAULT NULL COMMENT 'no,\\nKEY `a`',
  `c` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`c`),
  KEY `a``b` (`a``b`),
  FULLTEXT KEY `f` (`c`),
  KEY `c` (`c`,`id`) COMMENT 'x'
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4
 PARTITION BY HASH (`id`)
PARTITIONS 4";

    #[test]
    fn a_table_in_two_parts() {
        let split = Split::of(TABLE).unwrap();
        assert_eq!(
            split.create,
            "CREATE TABLE `t` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `a``b` int(11) DEFAULT NULL COMMENT 'no,\\nKEY `a`',
  `c` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`c`),
  FULLTEXT KEY `f` (`c`)
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4
 PARTITION BY HASH (`id`)
PARTITIONS 4"
        );
        let keys: Vec<(&str, &str)> = (split.keys.iter())
            .map(|(name, key)| (name.as_str(), key.as_str()))
            .collect();
        assert_eq!(
            keys,
            [
                ("a`b", "KEY `a``b` (`a``b`)"),
                ("c", "KEY `c` (`c`,`id`) COMMENT 'x'")
            ]
        );
    }

    #[test]
    fn what_holds_something_together_stays() {
        let changed = |from: &str, to: &str| Split::of(&TABLE.replace(from, to));
        // The counter's only key.
        assert_eq!(changed("PRIMARY KEY (`id`)", "KEY `i` (`id`)"), None);
        assert_eq!(
            changed("PRIMARY KEY (`id`)", "PRIMARY KEY (`c`,`id`)"),
            None
        );
        let foreign = "CONSTRAINT `k` FOREIGN KEY (`c`) REFERENCES `u` (`c`)";
        assert_eq!(changed("FULLTEXT KEY `f` (`c`)", foreign), None);
        // Lines within a text.
        assert_eq!(changed("'x'", "'x\n  KEY `y` (`c`),\n'"), None);
        assert_eq!(
            Split::of("CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB"),
            None
        );
    }
}

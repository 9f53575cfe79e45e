//! The reasons that take the schema: what a statement names, looked up in what is known of it.
//!
//! The schema is the source's as it is when it is asked, a moment after the statement. A statement that ran
//! before a later definition may be judged by the newer one.
//!
//! Nothing is asked here. Where something is not known yet, [`judge`] says what; its caller asks, adds it to
//! the [`Schema`] and judges again. The rules are those of the servers' `lock_tables` and `sp_head`; MariaDB's
//! on unique keys is `THD::decide_logging_format_low`.

use std::collections::{HashMap, HashSet};

use super::body::Body;
use super::named::{Events, Given, Name, Named, Write};
use super::{Reasons, Unsafe};
use crate::ids::Flavor;

/// What an account needs ON *.* to see it: without them `information_schema` leaves out tables, definitions and triggers.
pub const PRIVILEGES: [&str; 3] = ["SELECT", "SHOW VIEW", "TRIGGER"];

/// So many tables and functions are kept; then it begins anew.
const MOST: usize = 10_000;
/// No statement is followed further.
const FURTHEST: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    Table(Name),
    Function(Name),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Table(Table),
    View(Body),
    Function(Body),
    /// The server's own function, most likely.
    NoFunction,
    /// A table that is not there, is temporary or may not be seen by us; a definition that we may not read.
    Hidden,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<String>,
    pub auto_increment: Option<AutoIncrement>,
    /// With the primary key. A part that is an expression has no name.
    pub unique_keys: Vec<Vec<Option<String>>>,
    pub triggers: Vec<Trigger>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoIncrement {
    pub column: String,
    /// Of some key.
    pub is_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub name: String,
    pub events: Events,
    pub body: Body,
}

/// What is known, bounded.
#[derive(Debug, Default)]
pub struct Schema {
    known: HashMap<Object, Shape>,
}

impl Schema {
    pub fn add(&mut self, object: Object, shape: Shape) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(object, shape);
    }

    pub fn clear(&mut self) {
        self.known.clear();
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BySchema {
    pub reasons: Reasons,
    /// The table, view, trigger or function that makes it unsafe.
    pub culprit: Option<String>,
    /// Some of what it reaches is hidden: there may be more reasons.
    pub hidden: Option<Object>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Judged(BySchema),
    /// To be added to the schema first.
    Asks(Vec<Object>),
}

pub fn judge(flavor: Flavor, named: &Named, schema: &Schema) -> Outcome {
    let mut walk = Walk {
        flavor,
        schema,
        seen: HashSet::new(),
        verdict: BySchema::default(),
        asks: Vec::new(),
        reads: false,
        numbers: None,
        left: FURTHEST,
    };
    walk.statement(named, Place::Own);
    if !walk.asks.is_empty() {
        walk.asks.sort();
        walk.asks.dedup();
        return Outcome::Asks(walk.asks);
    }
    // In what order the rows come decides which number they get.
    if walk.reads
        && let Some(table) = walk.numbers
    {
        blame(&mut walk.verdict, Unsafe::AutoIncrementSelect, table);
    }
    Outcome::Judged(walk.verdict)
}

/// Where a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Own,
    /// By a trigger or a function.
    Inside,
}

struct Walk<'a> {
    flavor: Flavor,
    schema: &'a Schema,
    /// Views, triggers and functions that have been looked into: they may call each other.
    seen: HashSet<(&'a Object, u8)>,
    verdict: BySchema,
    asks: Vec<Object>,
    /// Rows of some table.
    reads: bool,
    /// The first table with AUTO_INCREMENT that is written.
    numbers: Option<&'a str>,
    left: usize,
}

fn blame(verdict: &mut BySchema, reason: Unsafe, culprit: &str) {
    verdict.reasons.add(reason);
    verdict.culprit.get_or_insert_with(|| culprit.to_owned());
}

impl<'a> Walk<'a> {
    fn statement(&mut self, named: &Named, place: Place) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        for write in &named.writes {
            self.write(write, named.upsert.as_ref(), place);
        }
        for table in &named.reads {
            // They are no tables to the servers either.
            if table.database.eq_ignore_ascii_case("information_schema") {
                continue;
            }
            match self.look(Object::Table(table.clone())) {
                Some((_, Shape::Table(_))) => self.reads = true,
                Some((object, Shape::View(body))) if self.seen.insert((object, 0)) => {
                    self.body(body, &table.name, place);
                }
                _ => {}
            }
        }
        for function in &named.functions {
            if let Some((object, Shape::Function(body))) =
                self.look(Object::Function(function.clone()))
                && self.seen.insert((object, 0))
            {
                self.body(body, &function.name, Place::Inside);
            }
        }
    }

    fn look(&mut self, object: Object) -> Option<(&'a Object, &'a Shape)> {
        let Some((object, shape)) = self.schema.known.get_key_value(&object) else {
            self.asks.push(object);
            return None;
        };
        if *shape == Shape::Hidden {
            self.verdict.hidden.get_or_insert_with(|| object.clone());
        }
        Some((object, shape))
    }

    fn body(&mut self, body: &'a Body, name: &str, place: Place) {
        for reason in body.reasons.iter() {
            blame(&mut self.verdict, reason, name);
        }
        for statement in &body.statements {
            self.statement(statement, place);
        }
    }

    fn write(&mut self, write: &Write, upsert: Option<&Given>, place: Place) {
        let Some((object, shape)) = self.look(Object::Table(write.table.clone())) else {
            return;
        };
        let name = match object {
            Object::Table(name) | Object::Function(name) => name.name.as_str(),
        };
        match shape {
            Shape::Table(table) => self.table(object, name, table, write, upsert, place),
            // One that can be written to and is plain: it stands for its table.
            Shape::View(body) => {
                if let [named] = body.statements.as_slice()
                    && let [table] = named.reads.as_slice()
                    && self.seen.insert((object, write.events.bits()))
                {
                    let write = Write {
                        table: table.clone(),
                        events: write.events,
                    };
                    // Its columns may be named otherwise.
                    self.write(&write, None, place);
                }
            }
            _ => {}
        }
    }

    fn table(
        &mut self,
        object: &'a Object,
        name: &'a str,
        table: &'a Table,
        write: &Write,
        upsert: Option<&Given>,
        place: Place,
    ) {
        if let Some(auto_increment) = &table.auto_increment {
            self.numbers.get_or_insert(name);
            if place == Place::Inside {
                blame(&mut self.verdict, Unsafe::AutoIncrementInside, name);
            }
            if !auto_increment.is_first {
                blame(&mut self.verdict, Unsafe::AutoIncrementNotFirst, name);
            }
        }
        if let Some(given) = upsert
            && place == Place::Own
            && decisive_keys(self.flavor, table, given) > 1
        {
            blame(&mut self.verdict, Unsafe::SeveralUniqueKeys, name);
        }
        // They may write to each other's tables.
        if self.seen.insert((object, write.events.bits())) {
            self.triggers(table, write.events);
        }
    }

    fn triggers(&mut self, table: &'a Table, events: Events) {
        for trigger in &table.triggers {
            if trigger.events.meets(events) {
                self.body(&trigger.body, &trigger.name, Place::Inside);
            }
        }
    }
}

/// How many unique keys may find the row that is updated.
fn decisive_keys(flavor: Flavor, table: &Table, given: &Given) -> usize {
    let keys = table.unique_keys.iter();
    match flavor {
        Flavor::MySql => keys.count(),
        // Those whose columns are all written: by the statement, or numbered by the server (measured on
        // 10.11.14, whatever the statement gives for that column).
        Flavor::MariaDb => {
            let numbered = table.auto_increment.as_ref().map(|one| one.column.as_str());
            let is_written =
                |column: &String| numbered == Some(column.as_str()) || is_written(given, column);
            keys.filter(|key| key.iter().flatten().all(is_written))
                .count()
        }
    }
}

fn is_same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn is_written(given: &Given, column: &str) -> bool {
    let Some(columns) = &given.columns else {
        return true;
    };
    let mut written = columns.iter().chain(&given.updated);
    written.any(|one| is_same(one, column))
}

#[cfg(test)]
mod tests;

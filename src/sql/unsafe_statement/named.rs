//! What a statement names: the tables that it writes and reads, the functions that it calls.
//!
//! Read by `sqlparser`, which knows no modes and no executable comments, and takes some modifiers for tables.
//! So a text is left alone (None) where the two could differ, and where it is too long or too deep for it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Ident, Insert, ObjectName, OnInsert,
    Query, SetExpr, Statement, TableFactor, TableObject, TableWithJoins, Update, Visit, Visitor,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use super::Reading;
use crate::sql::lexer::{Backslash, Lexer, Token};

/// It takes a quarter of a millisecond a KiB.
const LONGEST: usize = 128 << 10;
/// Its trees are as deep as a chain of operators is long, and are walked on the stack.
const DEEPEST: usize = 500;
/// Its own default (50) takes more than the 2 MiB of a thread in a build without optimization.
const DEEPEST_NESTED: usize = 24;

/// `database.name`; of functions in lower case, since their names have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub database: String,
    pub name: String,
}

/// What triggers a write fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    pub const INSERT: Self = Self(1);
    pub const UPDATE: Self = Self(2);
    pub const DELETE: Self = Self(4);

    /// As in `EVENT_MANIPULATION`; MariaDB 12 and later name several.
    pub fn parse(text: &str) -> Self {
        let has = |word: &str, events: Self| match text.to_ascii_uppercase().contains(word) {
            true => events,
            false => Self::default(),
        };
        has("INSERT", Self::INSERT)
            .and(has("UPDATE", Self::UPDATE))
            .and(has("DELETE", Self::DELETE))
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub table: Name,
    pub events: Events,
}

/// The columns of INSERT … VALUES or SET … ON DUPLICATE KEY UPDATE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// None: all of the table.
    pub columns: Option<Vec<String>>,
    /// Those behind UPDATE.
    pub updated: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub writes: Vec<Write>,
    pub reads: Vec<Name>,
    /// Ours and the server's own.
    pub functions: Vec<Name>,
    /// Where rows that are listed may be updated instead.
    pub upsert: Option<Given>,
}

impl Named {
    /// Of the one statement in this text.
    pub fn of(reading: Reading, database: &str, text: &[u8]) -> Option<Self> {
        let text = readable(reading, text)?;
        let parser = Parser::new(&MySqlDialect {}).with_recursion_limit(DEEPEST_NESTED);
        let mut statements = parser
            .try_with_sql(text)
            .and_then(|mut parser| parser.parse_statements())
            .ok()?;
        let statement = statements.pop()?;
        if !statements.is_empty() {
            return None;
        }
        let mut gathered = Gathered::default();
        let _ = statement.visit(&mut gathered);
        let resolve = Resolve { database };
        let targets = resolve.targets(&statement)?;
        gathered.leave_out_targets(&targets.occurrences);
        let mut named = Self {
            writes: targets.writes,
            upsert: targets.upsert,
            ..Self::default()
        };
        for table in &gathered.tables {
            if !gathered.is_common_table(table) {
                named.reads.push(resolve.table(table)?);
            }
        }
        for function in &gathered.functions {
            // Without a default database only the server's own can be called by a bare name.
            if let Some(name) = resolve.function(function) {
                named.functions.push(name);
            }
        }
        for names in [&mut named.reads, &mut named.functions] {
            names.sort();
            names.dedup();
        }
        Some(named)
    }
}

/// The text, where `sqlparser` reads it as the server does.
fn readable(reading: Reading, text: &[u8]) -> Option<&str> {
    if text.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let differs = text.contains("/*!")
        || text.contains("/*M!")
        || reading.backslash == Backslash::IsPlain && text.contains('\\');
    (!differs && is_shallow(reading, text.as_bytes())).then_some(text)
}

/// Whether no chain of tokens without a comma, with all that it stands in, is too long.
fn is_shallow(reading: Reading, text: &[u8]) -> bool {
    let lexer = Lexer::by(reading.server, text, reading.backslash);
    let mut chains = vec![0_usize];
    let mut deep = 0;
    for token in lexer {
        match token {
            Token::Symbol(b',') => {
                if let Some(chain) = chains.last_mut() {
                    deep -= std::mem::take(chain);
                }
            }
            Token::Symbol(b')') if chains.len() > 1 => deep -= chains.pop().unwrap_or(0),
            other => {
                if let Some(chain) = chains.last_mut() {
                    *chain += 1;
                    deep += 1;
                }
                if other.is_symbol(b'(') {
                    chains.push(0);
                }
            }
        }
        if deep > DEEPEST {
            return false;
        }
    }
    true
}

/// Everything in the places of tables and functions.
#[derive(Default)]
struct Gathered {
    tables: Vec<ObjectName>,
    functions: Vec<ObjectName>,
    common_tables: Vec<String>,
}

impl Visitor for Gathered {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().map(|cte| &cte.alias.name.value);
            self.common_tables.extend(names.cloned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.tables.push(relation.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression {
            self.functions.push(function.name.clone());
        }
        ControlFlow::Continue(())
    }
}

impl Gathered {
    /// A target is no read, but its table may be read as well.
    fn leave_out_targets(&mut self, targets: &[&ObjectName]) {
        for target in targets {
            if let Some(at) = self.tables.iter().position(|table| table == *target) {
                self.tables.remove(at);
            }
        }
    }

    fn is_common_table(&self, table: &ObjectName) -> bool {
        match parts(table).as_slice() {
            [name] => self
                .common_tables
                .iter()
                .any(|common| common.eq_ignore_ascii_case(&name.value)),
            _ => false,
        }
    }
}

/// What is written.
#[derive(Default)]
struct Targets<'a> {
    writes: Vec<Write>,
    /// As they stand among the tables.
    occurrences: Vec<&'a ObjectName>,
    upsert: Option<Given>,
}

struct Resolve<'a> {
    database: &'a str,
}

impl Resolve<'_> {
    fn targets<'a>(&self, statement: &'a Statement) -> Option<Targets<'a>> {
        match statement {
            Statement::Insert(insert) => self.inserted(insert),
            Statement::Update(update) => self.updated(update),
            Statement::Delete(delete) => self.deleted(delete),
            Statement::CreateTable(create) => Some(Targets {
                occurrences: vec![&create.name],
                ..Targets::default()
            }),
            // Of views and routines.
            Statement::Query(_) | Statement::Set(_) => Some(Targets::default()),
            _ => None,
        }
    }

    fn inserted<'a>(&self, insert: &'a Insert) -> Option<Targets<'a>> {
        let TableObject::TableName(target) = &insert.table else {
            return None;
        };
        let updated = match &insert.on {
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => Some(assigned(assignments)),
            _ => None,
        };
        let events = match (&updated, insert.replace_into) {
            (_, true) => Events::INSERT.and(Events::DELETE),
            (Some(_), false) => Events::INSERT.and(Events::UPDATE),
            (None, false) => Events::INSERT,
        };
        Some(Targets {
            writes: vec![Write {
                table: self.table(target)?,
                events,
            }],
            occurrences: vec![target],
            upsert: updated.and_then(|updated| given(insert, updated)),
        })
    }

    fn updated<'a>(&self, update: &'a Update) -> Option<Targets<'a>> {
        let tables = tables_of([&update.table]);
        if update.table.joins.is_empty() {
            return self.written(&tables, |_| true, Events::UPDATE);
        }
        // Which table a bare column belongs to takes all their columns.
        let mut qualifiers = Vec::new();
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(column) = &assignment.target else {
                return None;
            };
            let parts = parts(column);
            qualifiers.push(parts.get(parts.len().checked_sub(2)?)?.value.as_str());
        }
        let is_target = |table: &Listed<'_>| qualifiers.contains(&table.called());
        self.written(&tables, is_target, Events::UPDATE)
    }

    fn deleted<'a>(&self, delete: &'a Delete) -> Option<Targets<'a>> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        if delete.tables.is_empty() && delete.using.is_none() {
            return self.written(&tables_of(from), |_| true, Events::DELETE);
        }
        // DELETE a FROM a JOIN b; DELETE FROM a USING a JOIN b.
        let (names, tables, named_apart): (Vec<_>, _, _) = match &delete.using {
            Some(using) => {
                let named = tables_of(from);
                let names = named.iter().map(|table| table.name).collect();
                (names, tables_of(using), true)
            }
            None => (delete.tables.iter().collect(), tables_of(from), false),
        };
        let is_target = |table: &Listed<'_>| {
            names.iter().any(|name| {
                let last = parts(name).pop();
                last.is_some_and(|last| last.value == table.called())
            })
        };
        let mut targets = self.written(&tables, is_target, Events::DELETE)?;
        if named_apart {
            targets.occurrences.extend(names);
        }
        Some(targets)
    }

    fn written<'a>(
        &self,
        tables: &[Listed<'a>],
        is_target: impl Fn(&Listed<'a>) -> bool,
        events: Events,
    ) -> Option<Targets<'a>> {
        let mut targets = Targets::default();
        for table in tables.iter().filter(|table| is_target(table)) {
            let name = self.table(table.name)?;
            targets.writes.push(Write {
                table: name,
                events,
            });
            targets.occurrences.push(table.name);
        }
        (!targets.writes.is_empty()).then_some(targets)
    }

    fn table(&self, name: &ObjectName) -> Option<Name> {
        let parts = parts(name);
        let is_modifier = |ident: &Ident| {
            let modifiers = [
                "LOW_PRIORITY",
                "HIGH_PRIORITY",
                "DELAYED",
                "QUICK",
                "IGNORE",
            ];
            let mut modifiers = modifiers.iter();
            ident.quote_style.is_none()
                && modifiers.any(|word| ident.value.eq_ignore_ascii_case(word))
        };
        if parts.len() != name.0.len() || parts.iter().any(|part| is_modifier(part)) {
            return None;
        }
        self.qualified(&parts)
    }

    fn function(&self, name: &ObjectName) -> Option<Name> {
        let mut name = self.qualified(&parts(name))?;
        name.name.make_ascii_lowercase();
        Some(name)
    }

    fn qualified(&self, parts: &[&Ident]) -> Option<Name> {
        match parts {
            [name] if !self.database.is_empty() => Some(Name {
                database: self.database.to_owned(),
                name: name.value.clone(),
            }),
            [database, name] => Some(Name {
                database: database.value.clone(),
                name: name.value.clone(),
            }),
            _ => None,
        }
    }
}

fn parts(name: &ObjectName) -> Vec<&Ident> {
    name.0.iter().filter_map(|part| part.as_ident()).collect()
}

/// A table behind FROM or UPDATE.
struct Listed<'a> {
    name: &'a ObjectName,
    alias: Option<&'a Ident>,
}

impl Listed<'_> {
    fn called(&self) -> &str {
        let last = || parts(self.name).pop();
        let called = self.alias.or_else(last);
        called.map_or("", |ident| ident.value.as_str())
    }
}

fn tables_of<'a>(lists: impl IntoIterator<Item = &'a TableWithJoins>) -> Vec<Listed<'a>> {
    let factors = lists.into_iter().flat_map(|list| {
        let joined = list.joins.iter().map(|join| &join.relation);
        std::iter::once(&list.relation).chain(joined)
    });
    let listed = factors.filter_map(|factor| match factor {
        TableFactor::Table { name, alias, .. } => Some(Listed {
            name,
            alias: alias.as_ref().map(|alias| &alias.name),
        }),
        _ => None,
    });
    listed.collect()
}

fn assigned(assignments: &[Assignment]) -> Vec<String> {
    let columns = assignments.iter().filter_map(|one| match &one.target {
        AssignmentTarget::ColumnName(name) => column(name),
        AssignmentTarget::Tuple(_) => None,
    });
    columns.collect()
}

fn column(name: &ObjectName) -> Option<String> {
    Some(parts(name).pop()?.value.clone())
}

/// None where the rows are selected.
fn given(insert: &Insert, updated: Vec<String>) -> Option<Given> {
    let columns: Vec<String> = match &insert.source {
        None => assigned(&insert.assignments),
        Some(source) if matches!(source.body.as_ref(), SetExpr::Values(_)) => {
            insert.columns.iter().filter_map(column).collect()
        }
        Some(_) => return None,
    };
    Some(Given {
        columns: (!columns.is_empty()).then_some(columns),
        updated,
    })
}

//! What a table is: its columns and its unique keys, as `information_schema` tells them.

use std::fmt;

use crate::ids::Flavor;
use crate::net;
use crate::net::admin::{Admin, Row, literal};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub database: String,
    pub table: String,
}

impl Name {
    /// For a statement.
    pub fn quoted(&self) -> String {
        format!(
            "{}.{}",
            super::quoted(&self.database),
            super::quoted(&self.table)
        )
    }

    /// Its rows in `information_schema`, and in tables of ours under other names of the columns.
    pub fn is_in(&self, database: &str, table: &str) -> String {
        format!(
            "{database} = {} AND {table} = {}",
            literal(&self.database),
            literal(&self.table)
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// In lower case, without length.
    pub data_type: String,
    pub column_type: String,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub nullable: String,
    pub default: Option<String>,
    pub extra: String,
    pub generated: Option<String>,
    /// Of text and binary columns.
    pub octets: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub columns: Vec<String>,
    /// It orders all rows, each by itself: over whole columns that are never NULL, by a tree that the server uses.
    pub orders_rows: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    pub columns: Vec<Column>,
    /// The unique ones, the primary one first.
    pub keys: Vec<Key>,
}

/// None where there is no such table.
pub async fn ask(admin: &mut Admin, table: &Name) -> Result<Option<Definition>, net::Error> {
    let columns = admin.query(&columns_question(table)).await?;
    let keys = keys_question(admin.flavor(), table);
    let keys = admin.query(&keys).await?;
    Ok(Definition::of(table, &columns, &keys))
}

fn columns_question(table: &Name) -> String {
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, LOWER(DATA_TYPE) AS DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, \
         COLLATION_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION, CHARACTER_OCTET_LENGTH \
         FROM information_schema.COLUMNS WHERE {} ORDER BY ORDINAL_POSITION",
        table.is_in("TABLE_SCHEMA", "TABLE_NAME")
    )
}

fn keys_question(flavor: Flavor, table: &Name) -> String {
    let hidden = match flavor {
        Flavor::MariaDb => "IGNORED = 'YES'",
        Flavor::MySql => "IS_VISIBLE = 'NO'",
    };
    format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, NULLABLE, INDEX_TYPE, {hidden} AS HIDDEN \
         FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {} ORDER BY INDEX_NAME, SEQ_IN_INDEX",
        table.is_in("TABLE_SCHEMA", "TABLE_NAME")
    )
}

impl Definition {
    /// None where there is no such table. The schema may match names that differ in case: those are left out.
    pub fn of(table: &Name, columns: &[Row], keys: &[Row]) -> Option<Self> {
        let its = |row: &&Row| {
            row.text("TABLE_SCHEMA") == Some(&table.database)
                && row.text("TABLE_NAME") == Some(&table.table)
        };
        let mut definition = Self::default();
        for row in columns.iter().filter(its) {
            let text = |name: &str| row.text(name).map(str::to_owned);
            definition.columns.push(Column {
                name: text("COLUMN_NAME")?,
                data_type: text("DATA_TYPE")?,
                column_type: text("COLUMN_TYPE")?,
                charset: text("CHARACTER_SET_NAME"),
                collation: text("COLLATION_NAME"),
                nullable: text("IS_NULLABLE")?,
                default: text("COLUMN_DEFAULT"),
                extra: text("EXTRA").unwrap_or_default(),
                generated: text("GENERATION_EXPRESSION").filter(|text| !text.is_empty()),
                octets: row
                    .text("CHARACTER_OCTET_LENGTH")
                    .and_then(|length| length.parse().ok()),
            });
        }
        for row in keys.iter().filter(its) {
            let name = row.text("INDEX_NAME")?;
            let orders_rows = row.text("COLUMN_NAME").is_some()
                && row.text("SUB_PART").is_none()
                && row.text("NULLABLE") != Some("YES")
                && row.text("INDEX_TYPE") == Some("BTREE")
                && row.text("HIDDEN") != Some("1");
            // MySQL's key over an expression has no column's name.
            let column = row.text("COLUMN_NAME").unwrap_or("(an expression)");
            match definition.keys.last_mut() {
                Some(key) if key.name == name => {
                    key.columns.push(column.to_owned());
                    key.orders_rows &= orders_rows;
                }
                _ => definition.keys.push(Key {
                    name: name.to_owned(),
                    columns: vec![column.to_owned()],
                    orders_rows,
                }),
            }
        }
        definition.keys.sort_by_key(|key| key.name != PRIMARY);
        (!definition.columns.is_empty()).then_some(definition)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn primary(&self) -> String {
        let key = self.keys.iter().find(|key| key.name == PRIMARY);
        key.map_or_else(
            || "none".to_owned(),
            |key| format!("({})", key.columns.join(", ")),
        )
    }

    /// The first of `needed`'s columns that is not here. Names of columns are compared without regard to case, by the
    /// servers too.
    pub fn lacks<'a>(&self, needed: &'a Self) -> Option<&'a str> {
        let names = needed.columns.iter().map(|column| column.name.as_str());
        let mut missing = names.filter(|name| {
            let is_it = |column: &Column| column.name.eq_ignore_ascii_case(name);
            !self.columns.iter().any(is_it)
        });
        missing.next()
    }
}

const PRIMARY: &str = "PRIMARY";

/// What is other at a replica, in phrases; nothing where the two are alike.
pub fn differences(source: &Definition, replica: &Definition) -> Vec<String> {
    let mut found = Vec::new();
    for column in &source.columns {
        let name = &column.name;
        match replica.column(name) {
            None => found.push(format!("column {name} is not there")),
            Some(theirs) => found.extend(
                between(column, theirs)
                    .map(|(theirs, ours)| format!("{name}: {theirs} there, {ours} at the source")),
            ),
        }
    }
    for column in &replica.columns {
        if source.column(&column.name).is_none() {
            found.push(format!("column {} is only there", column.name));
        }
    }
    let order = |definition: &Definition| -> Vec<String> {
        let names = definition.columns.iter().map(|column| column.name.clone());
        names.collect()
    };
    if found.is_empty() && order(source) != order(replica) {
        found.push("the columns stand in another order".to_owned());
    }
    let (theirs, ours) = (replica.primary(), source.primary());
    if theirs != ours {
        found.push(format!("primary key: {theirs} there, {ours} at the source"));
    }
    found
}

/// The first thing that is other, there and at the source.
fn between(ours: &Column, theirs: &Column) -> Option<(String, String)> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let told = |what: &str, column: &Column| {
        let value = match what {
            "type" => return column.column_type.clone(),
            "character set" => or_none(&column.charset),
            "collation" => or_none(&column.collation),
            "NULL allowed" => column.nullable.clone(),
            "default" => or_none(&column.default),
            "generated" => or_none(&column.generated),
            _ => return format!("'{}'", column.extra),
        };
        format!("{what} {value}")
    };
    [
        "type",
        "character set",
        "collation",
        "NULL allowed",
        "default",
        "generated",
        "extra",
    ]
    .into_iter()
    .map(|what| (told(what, theirs), told(what, ours)))
    .find(|(theirs, ours)| without_introducers(theirs) != without_introducers(ours))
}

/// MySQL shows a literal of an expression with the character set that it was written in, and in SHOW CREATE TABLE with
/// the one that it became: a table that was made by that is the same. What it computes is compared with the rows.
fn without_introducers(text: &str) -> String {
    let mut rest = text;
    let mut without = String::new();
    while let Some(at) = rest.find('_') {
        let (head, tail) = rest.split_at(at);
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let behind = tail.trim_start_matches(is_word);
        let is_literal = behind.starts_with('\'') || behind.starts_with("\\'");
        without.push_str(head);
        if head.ends_with(is_word) || !is_literal {
            without.push_str(&tail[..tail.len() - behind.len()]);
        }
        rest = behind;
    }
    without + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Column {
        Column {
            name: name.into(),
            data_type: "varchar".into(),
            column_type: "varchar(20)".into(),
            nullable: "NO".into(),
            ..Column::default()
        }
    }

    fn table(columns: Vec<Column>) -> Definition {
        Definition {
            columns,
            keys: Vec::new(),
        }
    }

    #[test]
    fn each_difference_is_named() {
        let source = table(vec![column("a"), column("b")]);
        let told = |columns: Vec<Column>| differences(&source, &table(columns)).join("; ");
        assert_eq!(told(vec![column("a"), column("b")]), "");
        assert_eq!(told(vec![column("a")]), "column b is not there");
        assert_eq!(
            told(vec![column("b"), column("a")]),
            "the columns stand in another order"
        );
        let more = vec![column("a"), column("b"), column("c")];
        assert_eq!(told(more), "column c is only there");
        let mut other = column("b");
        other.column_type = "varchar(30)".into();
        assert_eq!(
            told(vec![column("a"), other.clone()]),
            "b: varchar(30) there, varchar(20) at the source"
        );
        other = column("b");
        other.default = Some("'x'".into());
        assert_eq!(
            told(vec![column("a"), other]),
            "b: default 'x' there, default none at the source"
        );
        let mut keyed = source.clone();
        keyed.keys.push(Key {
            name: PRIMARY.into(),
            columns: vec!["a".into(), "b".into()],
            orders_rows: true,
        });
        assert_eq!(
            differences(&source, &keyed),
            ["primary key: (a, b) there, none at the source"]
        );
    }

    #[test]
    fn a_literal_is_the_same_in_another_words() {
        for (one, other, same) in [
            (
                r"concat(`b`,_utf8mb4\'!\')",
                r"concat(`b`,_latin1\'!\')",
                true,
            ),
            ("concat(_utf8mb4'a',`x_y`)", "concat('a',`x_y`)", true),
            ("`x_y` + 1", "`x_z` + 1", false),
            (r"_latin1\'a\'", r"_latin1\'b\'", false),
            ("f_utf8'a'", "f'a'", false),
        ] {
            let is_same = without_introducers(one) == without_introducers(other);
            assert_eq!(is_same, same, "{one} {other}");
        }
    }

    #[test]
    fn what_a_statement_needs() {
        let source = table(vec![column("a"), column("b")]);
        assert_eq!(table(vec![column("A"), column("b")]).lacks(&source), None);
        assert_eq!(table(vec![column("b")]).lacks(&source), Some("a"));
    }
}

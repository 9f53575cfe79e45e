//! Ranges of a key: from one row's key on, up to but without another's.

use super::definition::{Column, Definition, Key};
use super::quoted;
use crate::event::rows::Value;
use crate::event::table_map;
use crate::net::admin::literal;
use crate::sql::shortened::printable;

/// How a column's value travels in a statement and comes back exactly the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Float,
    /// Bytes in a character set, in hexadecimal.
    Text(String),
    Bytes {
        /// Zeros at its end are not told by row events.
        padded: bool,
    },
    Quoted,
}

impl Kind {
    /// None where a comparison would not follow the key.
    fn of(column: &Column) -> Option<Self> {
        Some(match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "bit"
            | "enum" => Self::Number,
            "float" | "double" => Self::Float,
            "char" | "varchar" => Self::Text(column.charset.clone()?),
            data_type @ ("binary" | "varbinary") => Self::Bytes {
                padded: data_type == "binary",
            },
            "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => Self::Quoted,
            _ => return None,
        })
    }

    /// Whether a server tells this value so.
    fn is_told(&self, told: &str, value: &Value<'_>, column: &table_map::Column) -> bool {
        match (self, value) {
            (Self::Number, Value::Bit(bits)) => told == bits.to_string(),
            (Self::Number, value) => is_literal(told, value, column),
            (Self::Float, Value::Float(number)) => told.parse() == Ok(f64::from(*number)),
            (Self::Float, Value::Double(number)) => told.parse() == Ok(*number),
            (Self::Text(_) | Self::Bytes { padded: false }, Value::Bytes(bytes)) => {
                told == hex(bytes)
            }
            (Self::Bytes { padded: true }, Value::Bytes(bytes)) => {
                let hex = hex(bytes);
                let zeros = told.strip_prefix(&*hex);
                zeros.is_some_and(|zeros| zeros.bytes().all(|digit| digit == b'0'))
            }
            (Self::Quoted, value) => is_literal(&literal(told), value, column),
            _ => false,
        }
    }
}

fn is_literal(told: &str, value: &Value<'_>, column: &table_map::Column) -> bool {
    value
        .literal(column)
        .is_ok_and(|literal| literal.to_string() == told)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    kind: Kind,
}

/// The key that a table is walked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The index's.
    name: String,
    parts: Vec<Part>,
}

/// A value of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// As a server told them.
    values: Vec<String>,
    /// As literals of SQL.
    literals: Vec<String>,
    shown: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first row's key; None: from the beginning.
    pub from: Option<Bound>,
    /// The first key that is not in it any more; None: to the end.
    pub to: Option<Bound>,
}

impl Ordered {
    /// The primary key, or another one that serves as well.
    pub fn of(definition: &Definition) -> Option<Self> {
        let part = |name: &String| {
            let column = definition.column(name)?;
            Some(Part {
                name: name.clone(),
                kind: Kind::of(column)?,
            })
        };
        let ordered = |key: &Key| {
            Some(Self {
                name: key.name.clone(),
                parts: key.columns.iter().map(part).collect::<Option<_>>()?,
            })
        };
        let mut keys = definition.keys.iter().filter(|key| key.orders_rows);
        keys.find_map(ordered)
    }

    /// What [`Self::bound`] is made of, to be selected.
    pub fn values(&self) -> String {
        let value = |part: &Part| {
            let name = quoted(&part.name);
            match part.kind {
                Kind::Number => format!("{name}+0"),
                Kind::Float => format!("{name}*1e0"),
                Kind::Text(_) | Kind::Bytes { .. } => format!("HEX({name})"),
                Kind::Quoted => format!("CAST({name} AS CHAR)"),
            }
        };
        let values: Vec<String> = self.parts.iter().map(value).collect();
        values.join(", ")
    }

    /// How many [`Self::values`] are.
    pub fn width(&self) -> usize {
        self.parts.len()
    }

    /// Its columns' names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.name.as_str())
    }

    /// Whether a row event's row has this key, by the values of the key's columns.
    pub fn has(&self, bound: &Bound, row: &[(Value<'_>, &table_map::Column)]) -> bool {
        let of_key = self.parts.iter().zip(&bound.values);
        row.len() == self.parts.len()
            && of_key
                .zip(row)
                .all(|((part, told), (value, column))| part.kind.is_told(told, value, column))
    }

    /// What stands behind FROM, so that rows are met by this key.
    pub fn of_table(&self, table: &str) -> String {
        format!("{table} FORCE INDEX ({})", quoted(&self.name))
    }

    /// Asks for the key of the row that is `rows` rows behind the beginning of a range.
    pub fn question(&self, table: &str, within: &Range, rows: u64) -> String {
        let order: Vec<String> = self.parts.iter().map(|part| quoted(&part.name)).collect();
        format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {rows}, 1",
            self.values(),
            self.of_table(table),
            self.condition(within),
            order.join(", ")
        )
    }

    /// The condition for a row to have this key.
    pub fn is(&self, bound: &Bound) -> String {
        let equal =
            |(part, literal): (&Part, &String)| format!("{} = {literal}", quoted(&part.name));
        let terms: Vec<String> = self.parts.iter().zip(&bound.literals).map(equal).collect();
        format!("({})", terms.join(" AND "))
    }

    /// The row with this key, as people read it.
    pub fn named(&self, bound: &Bound) -> String {
        let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        format!("{} = {}", tuple(&names), tuple(&bound.shown))
    }

    /// From the answer's values. None where one is missing.
    pub fn bound<'a>(&self, answer: impl Fn(usize) -> Option<&'a str>) -> Option<Bound> {
        let mut bound = Bound::default();
        for (index, part) in self.parts.iter().enumerate() {
            let value = answer(index)?;
            let (sql, shown) = match &part.kind {
                Kind::Number => (value.to_owned(), value.to_owned()),
                // Without an exponent it would be a DECIMAL.
                Kind::Float if value.contains(['e', 'E']) => (value.to_owned(), value.to_owned()),
                Kind::Float => (format!("{value}e0"), value.to_owned()),
                Kind::Text(charset) => (format!("_{charset} X'{value}'"), readable(value)),
                Kind::Bytes { .. } => (format!("X'{value}'"), format!("0x{value}")),
                Kind::Quoted => (literal(value), literal(value)),
            };
            bound.values.push(value.to_owned());
            bound.literals.push(sql);
            bound.shown.push(shown);
        }
        Some(bound)
    }

    /// The condition for a row to be in it.
    pub fn condition(&self, range: &Range) -> String {
        match (&range.from, &range.to) {
            (None, None) => "1".to_owned(),
            (Some(from), None) => self.at_least(from),
            (None, Some(to)) => self.below(to),
            (Some(from), Some(to)) => format!("{} AND {}", self.at_least(from), self.below(to)),
        }
    }

    fn at_least(&self, bound: &Bound) -> String {
        self.compared(bound, ">", ">=")
    }

    fn below(&self, bound: &Bound) -> String {
        self.compared(bound, "<", "<")
    }

    /// `(a > x OR (a = x AND b >= y))`: spelled out, so that the index is used. What the first column alone says is
    /// said again in front: a range of the index to begin with.
    fn compared(&self, bound: &Bound, strictly: &str, last: &str) -> String {
        let columns: Vec<(String, &String)> = self
            .parts
            .iter()
            .zip(&bound.literals)
            .map(|(part, literal)| (quoted(&part.name), literal))
            .collect();
        let alternative = |depth: usize| {
            let sign = match depth + 1 == columns.len() {
                true => last,
                false => strictly,
            };
            let mut terms: Vec<String> = columns[..depth]
                .iter()
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            let (name, value) = &columns[depth];
            terms.push(format!("{name} {sign} {value}"));
            terms.join(" AND ")
        };
        let alternatives: Vec<String> = (0..columns.len()).map(alternative).collect();
        match &alternatives[..] {
            [only] => only.clone(),
            all => {
                let (name, value) = &columns[0];
                format!("{name} {strictly}= {value} AND ({})", all.join(" OR "))
            }
        }
    }

    /// As people read it.
    pub fn shown(&self, range: &Range) -> String {
        let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        let key = tuple(&names);
        let of = |bound: &Bound| tuple(&bound.shown);
        match (&range.from, &range.to) {
            (None, None) => "all rows".to_owned(),
            (Some(from), None) => format!("{key} >= {}", of(from)),
            (None, Some(to)) => format!("{key} < {}", of(to)),
            (Some(from), Some(to)) => format!("{} <= {key} < {}", of(from), of(to)),
        }
    }
}

impl Bound {
    /// For `ackline.checksums`.
    pub fn text(&self) -> String {
        self.literals.join(", ")
    }

    /// What [`Ordered::bound`] makes it of again.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

fn tuple<T: AsRef<str>>(values: &[T]) -> String {
    match values {
        [only] => only.as_ref().to_owned(),
        all => {
            let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
            format!("({})", all.join(", "))
        }
    }
}

/// Bytes in hexadecimal: the text that they are, where they are UTF-8.
pub fn readable(hex: &str) -> String {
    let digits: Vec<u8> = hex.bytes().collect();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => literal(&printable(text.as_bytes())),
        None => format!("0x{hex}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(types: &[&str]) -> Definition {
        let columns = types.iter().zip('a'..).map(|(data_type, name)| Column {
            name: name.to_string(),
            data_type: (*data_type).into(),
            charset: Some("latin1".into()),
            ..Column::default()
        });
        let columns: Vec<Column> = columns.collect();
        Definition {
            keys: vec![Key {
                name: "PRIMARY".into(),
                columns: columns.iter().map(|column| column.name.clone()).collect(),
                orders_rows: true,
            }],
            columns,
        }
    }

    fn range(key: &Ordered, from: &[&str], to: &[&str]) -> Range {
        let bound = |values: &[&str]| key.bound(|index| values.get(index).copied());
        Range {
            from: bound(from),
            to: bound(to),
        }
    }

    #[test]
    fn a_key_of_one_column() {
        let key = Ordered::of(&table(&["int"])).unwrap();
        for (from, to, condition, shown) in [
            (&[][..], &[][..], "1", "all rows"),
            (&[], &["10"], "`a` < 10", "a < 10"),
            (&["10"], &["20"], "`a` >= 10 AND `a` < 20", "10 <= a < 20"),
            (&["20"], &[], "`a` >= 20", "a >= 20"),
        ] {
            let range = range(&key, from, to);
            assert_eq!(key.condition(&range), condition);
            assert_eq!(key.shown(&range), shown);
        }
        assert_eq!(
            key.question("`d`.`t`", &Range::default(), 1000),
            "SELECT `a`+0 FROM `d`.`t` FORCE INDEX (`PRIMARY`) WHERE 1 ORDER BY `a` LIMIT 1000, 1"
        );
    }

    #[test]
    fn a_key_of_several_columns_is_spelled_out() {
        let key = Ordered::of(&table(&["varchar", "double", "date"])).unwrap();
        let range = range(&key, &["C961", "1.5", "2024-02-30"], &[]);
        assert_eq!(
            key.condition(&range),
            "`a` >= _latin1 X'C961' AND (`a` > _latin1 X'C961' OR \
             `a` = _latin1 X'C961' AND `b` > 1.5e0 OR \
             `a` = _latin1 X'C961' AND `b` = 1.5e0 AND `c` >= '2024-02-30')"
        );
        assert_eq!(
            key.shown(&range),
            "(a, b, c) >= (0xC961, 1.5, '2024-02-30')"
        );
    }

    #[test]
    fn what_is_below_is_strictly_so() {
        let key = Ordered::of(&table(&["int", "int"])).unwrap();
        let range = range(&key, &[], &["1", "2"]);
        assert_eq!(
            key.condition(&range),
            "`a` <= 1 AND (`a` < 1 OR `a` = 1 AND `b` < 2)"
        );
    }

    #[test]
    fn a_key_that_orders_nothing_is_not_used() {
        assert_eq!(Ordered::of(&table(&["set"])), None);
        let mut prefix = table(&["varchar"]);
        prefix.keys[0].orders_rows = false;
        assert_eq!(Ordered::of(&prefix), None);
    }
}

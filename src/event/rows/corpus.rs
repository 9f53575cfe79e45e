//! Replays the rows of the golden files in memory; the tables must end as SELECT says that they do.

use std::collections::BTreeMap;

use sha2::Digest as _;

use super::super::golden::{
    EXPECTED, MARIADB, MARIADB_11, MARIADB_11_TYPES, MYSQL, MYSQL_TYPES, TYPES, events_of, folder,
};
use super::super::table_map::{Charset, Column, ColumnType};
use super::super::transaction_payload::TransactionPayload;
use super::json::Document;
use super::*;

#[derive(Clone, Debug)]
enum Cell {
    /// The image of a minimal INSERT does not have it.
    Unknown,
    Text(String),
    Number(f64),
    Bytes(Vec<u8>),
    Json(Document<'static>),
}

/// By table, then by the text of the first column.
type Tables = BTreeMap<String, BTreeMap<String, Vec<Cell>>>;

fn cell(column: &Column, value: Value<'static>, before: Option<&Cell>) -> Cell {
    Cell::Text(match value {
        Value::Null => "NULL".to_owned(),
        Value::Year(0) => "0000".to_owned(),
        Value::Bit(bits) => bits.to_string(),
        Value::Float(number) => return Cell::Number(number.into()),
        Value::Double(number) => return Cell::Number(number),
        Value::Bytes(bytes) => {
            let mut bytes = bytes.to_vec();
            if column.kind == ColumnType::STRING && column.charset == Charset::Binary {
                bytes.resize(column.width().into(), 0);
            }
            return Cell::Bytes(bytes);
        }
        Value::Compressed(packed) => {
            return Cell::Bytes(packed.unpack(1 << 20).unwrap().into_owned());
        }
        Value::Json(json) => return Cell::Json(json.document().unwrap()),
        Value::JsonChanges(changes) => {
            let Some(Cell::Json(before)) = before else {
                panic!("changes of {before:?}");
            };
            let mut document = before.clone();
            document.apply(changes).unwrap();
            return Cell::Json(document);
        }
        other => {
            let literal = other.literal(column).unwrap().to_string();
            literal.trim_matches('\'').to_owned()
        }
    })
}

fn is_as_expected(cell: &Cell, expected: &str) -> bool {
    let same = |text: &str| {
        let digest = || {
            let digest = sha2::Sha256::digest(text.as_bytes());
            hex(&digest).to_lowercase()
        };
        text == expected || (text.len() > 2000 && digest() == expected)
    };
    match cell {
        Cell::Unknown => true,
        Cell::Text(text) => text == expected,
        Cell::Number(number) => expected.parse() == Ok(*number),
        Cell::Bytes(bytes) => {
            same(&String::from_utf8_lossy(bytes)) && bytes.len() > 2000 || hex(bytes) == expected
        }
        Cell::Json(document) => same(&document.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[derive(Default)]
struct Replay {
    tables: Tables,
    maps: BTreeMap<u64, TableMap<'static>>,
}

impl Replay {
    fn event(&mut self, event: &'static [u8]) {
        let kind = Header::parse(event).unwrap().kind;
        if kind == EventType::TABLE_MAP {
            let map = TableMap::parse(event).unwrap();
            self.maps.insert(map.table_id, map);
        } else if kind == EventType::TRANSACTION_PAYLOAD {
            let payload = TransactionPayload::parse(event).unwrap();
            let length = payload.unpacked as usize;
            assert!(payload.unpack(length - 1).is_err());
            let payload = Box::leak(Box::new(payload.unpack(length).unwrap()));
            payload
                .events()
                .for_each(|event| self.event(event.unwrap()));
        } else if RowsEvent::is(kind) {
            let rows = Box::leak(Box::new(RowsEvent::parse(event).unwrap()));
            let map = Box::leak(Box::new(self.maps[&rows.table_id].clone()));
            let table = String::from_utf8(map.table.to_vec()).unwrap();
            let table = self.tables.entry(table).or_default();
            for row in rows.iter(map).unwrap() {
                change(table, map, row.unwrap());
            }
        }
    }
}

fn change(
    table: &mut BTreeMap<String, Vec<Cell>>,
    map: &'static TableMap<'static>,
    row: Row<'static>,
) {
    let mut cells = vec![Cell::Unknown; map.columns().len()];
    if let Some(before) = row.before() {
        let key = before.value(0).unwrap().expect("the key");
        cells = table
            .remove(&key_of(&cell(&map.columns()[0], key, None)))
            .unwrap();
        for value in before.values() {
            let (index, value) = value.unwrap();
            // What the last event left is what this one finds.
            let found = cell(&map.columns()[index], value, None);
            let known = matches!(cells[index], Cell::Unknown);
            assert!(known || format!("{found:?}") == format!("{:?}", cells[index]));
            cells[index] = found;
        }
    }
    if let Some(after) = row.after() {
        for value in after.values() {
            let (index, value) = value.unwrap();
            cells[index] = cell(&map.columns()[index], value, Some(&cells[index]));
        }
        table.insert(key_of(&cells[0]), cells);
    }
}

fn key_of(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Bytes(bytes) => hex(bytes),
        other => panic!("{other:?} is no key"),
    }
}

#[test]
fn replayed_rows_are_what_select_says() {
    for (version, files) in [
        (MARIADB, &TYPES[..]),
        (MARIADB_11, &MARIADB_11_TYPES),
        (MYSQL, &MYSQL_TYPES),
    ] {
        let mut replay = Replay::default();
        for file in files {
            for event in events_of(version, file) {
                replay.event(event.leak());
            }
        }
        let expected = format!("{}/{EXPECTED}", folder(version));
        let expected = std::fs::read_to_string(expected).unwrap();
        let mut table = "";
        let mut wrong = Vec::new();
        for line in expected.lines() {
            if let Some(name) = line.strip_prefix("# ") {
                table = name;
                continue;
            }
            let fields: Vec<&str> = line.split('\t').collect();
            let rows = replay.tables.get_mut(table);
            let Some(row) = rows.and_then(|rows| rows.remove(fields[0])) else {
                wrong.push(format!("{table}: no row {}", fields[0]));
                continue;
            };
            if row.len() != fields.len() {
                wrong.push(format!(
                    "{table}: {} columns of {}",
                    row.len(),
                    fields.len()
                ));
            }
            for (column, (cell, field)) in row.iter().zip(fields).enumerate() {
                if !is_as_expected(cell, field) {
                    wrong.push(format!(
                        "{table} column {column}: {cell:?}, expected {field}"
                    ));
                }
            }
        }
        for (table, rows) in replay.tables {
            for row in rows.values() {
                wrong.push(format!("{table}: {row:?} is not expected"));
            }
        }
        assert!(wrong.is_empty(), "{version}\n{}", wrong.join("\n"));
    }
}

use rand::{Rng as _, SeedableRng as _};

use super::super::golden::{FILES, MARIADB, MYSQL, MYSQL_FILES, events_of};
use super::super::table_map::ColumnType;
use super::*;

/// MariaDB's, then MySQL's.
fn golden() -> [Vec<Vec<u8>>; 2] {
    let mariadb = FILES.iter().flat_map(|file| events_of(MARIADB, file));
    let mysql = MYSQL_FILES.iter().flat_map(|file| events_of(MYSQL, file));
    [mariadb.collect(), mysql.collect()]
}

fn pairs() -> Vec<(Vec<u8>, Vec<u8>)> {
    let both = golden();
    both.into_iter().flat_map(pairs_of).collect()
}

/// (table map, rows event) pairs.
fn pairs_of(events: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut map = Vec::new();
    let mut pairs = Vec::new();
    for event in events {
        match Header::parse(&event).unwrap().kind {
            EventType::TABLE_MAP => map = event,
            _ if RowsEvent::parse(&event).is_ok() => pairs.push((map.clone(), event)),
            _ => {}
        }
    }
    pairs
}

#[test]
fn golden_rows_come_back_byte_for_byte() {
    for (events, padding) in golden().into_iter().zip([Padding::Ones, Padding::Zeros]) {
        let pairs = pairs_of(events);
        assert!(pairs.len() > 3, "{}", pairs.len());
        for (map, event) in pairs {
            let table = TableMap::parse(&map).unwrap();
            let rows = RowsEvent::parse(&event).unwrap();
            let mut out = Vec::new();
            for image in rows.images(&table).unwrap() {
                let values: Result<Vec<_>, _> = image.unwrap().values().collect();
                write_image(&table, &values.unwrap(), padding, &mut out).unwrap();
            }
            assert_eq!(out, rows.image_bytes());
        }
    }
}

#[test]
fn mutated_rows_give_errors_and_no_panic() {
    let pairs = pairs();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let cases = std::env::var("ACKLINE_EVENT_CASES");
    for _ in 0..cases.map_or(20_000, |n| n.parse().unwrap()) {
        let (mut map, mut event) = pairs[random.random_range(0..pairs.len())].clone();
        for bytes in [&mut map, &mut event] {
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(HEADER_LENGTH..bytes.len());
                bytes[at] = random.random();
            }
        }
        let (Ok(table), Ok(rows)) = (TableMap::parse(&map), RowsEvent::parse(&event)) else {
            continue;
        };
        table.metadata().for_each(drop);
        for image in rows.images(&table).into_iter().flatten().flatten() {
            for (_, value) in image.values().flatten() {
                if let Value::Decimal(number) = value {
                    let _ = number.to_string();
                }
            }
        }
    }
}

#[test]
fn values_of_the_formats() {
    use super::super::table_map::{Column, Signedness};
    let column = |layout| Column {
        kind: ColumnType::TINY,
        metadata: 0,
        layout,
        nullable: true,
        signedness: Signedness::Unknown,
    };
    // As MySQL's sources and manual give them: -00:00:00.01, 1234567890.1234, its negation.
    let cases: [(Layout, &[u8], &str); 3] = [
        (
            Layout::Time { digits: 2 },
            b"\x7f\xff\xff\xff",
            "-00:00:00.01",
        ),
        (
            Layout::Decimal {
                precision: 14,
                scale: 4,
            },
            b"\x81\x0d\xfb\x38\xd2\x04\xd2",
            "1234567890.1234",
        ),
        (
            Layout::Decimal {
                precision: 14,
                scale: 4,
            },
            b"\x7e\xf2\x04\xc7\x2d\xfb\x2d",
            "-1234567890.1234",
        ),
    ];
    for (layout, bytes, text) in cases {
        let value = Value::decode(&column(layout), bytes).unwrap();
        let shown = match value {
            Value::Time(time) => time.to_string(),
            Value::Decimal(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(shown, text);
        let mut out = Vec::new();
        value.encode(layout, &mut out).unwrap();
        assert_eq!(out, bytes);
    }
}

/// No server logs a column as one of these: the blobs are all BLOB, strings VARCHAR or STRING, dates DATE.
const NEVER_LOGGED: [ColumnType; 5] = [
    ColumnType::NEWDATE,
    ColumnType::TINY_BLOB,
    ColumnType::MEDIUM_BLOB,
    ColumnType::LONG_BLOB,
    ColumnType::VAR_STRING,
];

/// Awaits a corpus of MySQL's types.
const NOT_YET: [ColumnType; 2] = [ColumnType::VECTOR, ColumnType::JSON];

#[test]
fn every_column_type_is_in_a_golden_file() {
    let maps = pairs();
    let seen: Vec<ColumnType> = maps
        .iter()
        .flat_map(|(map, _)| TableMap::parse(map).unwrap().columns().to_vec())
        .map(|column| column.kind)
        .collect();
    let missing: Vec<ColumnType> = ColumnType::KNOWN
        .iter()
        .copied()
        .filter(|kind| !seen.contains(kind))
        .filter(|kind| !NEVER_LOGGED.contains(kind) && !NOT_YET.contains(kind))
        .collect();
    assert_eq!(missing, []);
}

#[test]
fn values_are_what_was_inserted() {
    let events = events_of(MARIADB, "types.000001");
    let (map, event) = pairs_of(events).swap_remove(0);
    let table = TableMap::parse(&map).unwrap();
    let rows = RowsEvent::parse(&event).unwrap();
    let names: Vec<&[u8]> = table
        .names()
        .unwrap()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let image = rows.images(&table).unwrap().next().unwrap().unwrap();
    let value = |name: &str| {
        let index = names.iter().position(|n| *n == name.as_bytes()).unwrap();
        let mut values = image.values().map(Result::unwrap);
        match values.find(|(column, _)| *column == index).unwrap().1 {
            Value::Decimal(number) => number.to_string(),
            Value::Time(time) => time.to_string(),
            Value::Date(date) => date.to_string(),
            Value::Datetime(date, time) => format!("{date} {time}"),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        }
    };
    for (name, expected) in [
        ("id", "UInt(4294967295)"),
        ("t", "Int(-128)"),
        ("s", "UInt(65535)"),
        ("m", "Int(-8388608)"),
        ("l", "UInt(18446744073709551615)"),
        ("f", "Float(1.5)"),
        ("d", "Double(-2.25)"),
        ("n", "-12345678901234.567891"),
        ("y", "Year(2026)"),
        ("dt", "2026-11-23"),
        ("ti", "-838:59:58.999"),
        ("dtm", "9999-12-31 23:59:59.123456"),
        ("b", "Bit(5461)"),
        ("e", "Enum(2)"),
        ("st", "Set(5)"),
        ("c", "grün"),
        ("tx", "text"),
        ("j", r#"{"a":1}"#),
        ("h", "Int(7)"),
        ("gen", "Int(-127)"),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
}

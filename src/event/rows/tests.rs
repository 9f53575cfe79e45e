use rand::{Rng as _, SeedableRng as _};

use super::super::golden::{FILES, MARIADB, MYSQL, MYSQL_FILES, events_of};
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
    use super::super::table_map::{Column, ColumnType, Signedness};
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

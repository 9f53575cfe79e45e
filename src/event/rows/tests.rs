use rand::{Rng as _, SeedableRng as _};

use super::super::golden::{MARIADB, MYSQL, all_events};
use super::super::table_map::ColumnType;
use super::*;

/// MariaDB's, then MySQL's.
fn golden() -> [Vec<Vec<u8>>; 2] {
    [all_events(MARIADB), all_events(MYSQL)]
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
fn golden_events_and_rows_come_back_byte_for_byte() {
    for (events, padding) in golden().into_iter().zip([Padding::Ones, Padding::Zeros]) {
        let pairs = pairs_of(events);
        assert!(pairs.len() > 30, "{}", pairs.len());
        for (map, event) in pairs {
            let table = TableMap::parse(&map).unwrap();
            let mut again = map[..HEADER_LENGTH].to_vec();
            table.write(&mut again);
            assert_eq!(again, map);
            let rows = RowsEvent::parse(&event).unwrap();
            let mut images = Vec::new();
            for row in rows.iter(&table).unwrap() {
                let row = row.unwrap();
                let after = match rows.kind {
                    EventType::PARTIAL_UPDATE_ROWS => Form::Partial,
                    _ => Form::Whole,
                };
                for (image, form) in [(row.before(), Form::Whole), (row.after(), after)] {
                    let Some(image) = image else { continue };
                    let values: Result<Vec<_>, _> = image.values().collect();
                    write_image(&table, &values.unwrap(), form, padding, &mut images).unwrap();
                }
            }
            assert_eq!(images, rows.image_bytes());
            let mut again = event[..HEADER_LENGTH].to_vec();
            match rows.write(&images, &mut again) {
                Ok(()) => assert_eq!(again, event),
                Err(_) => assert!(rows.kind >= EventType::WRITE_ROWS_COMPRESSED_V1),
            }
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
    use super::super::table_map::{Charset, Column, Signedness};
    let column = |layout| Column {
        kind: ColumnType::TINY,
        metadata: 0,
        layout,
        nullable: true,
        signedness: Signedness::Unknown,
        charset: Charset::Unknown,
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
        .filter(|kind| !NEVER_LOGGED.contains(kind))
        .collect();
    assert_eq!(missing, []);
}

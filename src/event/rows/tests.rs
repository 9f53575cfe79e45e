use super::super::golden::{MARIADB, MARIADB_11, MYSQL, all_events};
use super::super::table_map::ColumnType;
use super::*;

/// MariaDB's, then MySQL's.
fn golden() -> [Vec<Vec<u8>>; 2] {
    let mariadb = [all_events(MARIADB), all_events(MARIADB_11)].concat();
    [mariadb, all_events(MYSQL)]
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

#[test]
fn literals() {
    use super::super::table_map::{Charset, Column, Signedness};
    use super::temporal::{Date, Time};
    let column = |kind, charset, metadata, layout| Column {
        kind,
        metadata,
        layout,
        nullable: true,
        signedness: Signedness::Unknown,
        charset,
    };
    let bytes = Layout::Bytes { prefix: 1 };
    let text = column(ColumnType::VARCHAR, Charset::Utf8, 80, bytes);
    let binary = column(ColumnType::STRING, Charset::Binary, 0x04fe, bytes);
    let unknown = column(ColumnType::VARCHAR, Charset::Unknown, 80, bytes);
    let number = column(
        ColumnType::LONG,
        Charset::Unknown,
        0,
        Layout::Integer { length: 4 },
    );
    let stamp = column(
        ColumnType::TIMESTAMP2,
        Charset::Unknown,
        3,
        Layout::Timestamp { digits: 3 },
    );
    let date = Date {
        year: 2026,
        month: 11,
        day: 23,
    };
    let time = Time {
        negative: true,
        hours: 838,
        minutes: 9,
        seconds: 8,
        micros: 7,
        digits: 6,
    };
    for (value, column, literal) in [
        (Value::Null, number, "NULL"),
        (Value::Int(-7), number, "-7"),
        (Value::UInt(u64::MAX), number, "18446744073709551615"),
        (Value::Float(0.1), number, "1.0000000149011612e-1"),
        (Value::Double(-2.5e300), number, "-2.5e300"),
        (Value::Double(f64::NAN), number, "NULL"),
        (Value::Year(0), number, "0"),
        (Value::Bit(5), number, "b'101'"),
        (Value::Enum(2), number, "2"),
        (Value::Set(3), number, "3"),
        (Value::Date(date), number, "'2026-11-23'"),
        (Value::Time(time), number, "'-838:09:08.000007'"),
        (Value::Timestamp(0, 0), stamp, "'0000-00-00 00:00:00.000'"),
        (Value::Timestamp(1, 0), stamp, "'1970-01-01 00:00:01.000'"),
        (
            Value::Timestamp(951_782_400, 0),
            stamp,
            "'2000-02-29 00:00:00.000'",
        ),
        (
            Value::Timestamp(u32::MAX, 120_000),
            stamp,
            "'2106-02-07 06:28:15.120'",
        ),
        (Value::Bytes(b""), text, "''"),
        (Value::Bytes(b"it's"), text, "'it''s'"),
        (Value::Bytes("grün".as_bytes()), text, "_utf8mb4'grün'"),
        (Value::Bytes(b"a\\b"), text, "_utf8mb4 X'615C62'"),
        (Value::Bytes(b"\xff"), text, "X'FF'"),
        (Value::Bytes(b"a"), unknown, "X'61'"),
        (Value::Bytes(b"a"), binary, "X'61000000'"),
        (Value::Json(value::Json(b"\x0c\x02it")), number, "'\"it\"'"),
    ] {
        assert_eq!(value.literal(&column).unwrap().to_string(), literal);
    }
}

/// As MySQL 9.7.4 logs `INSERT INTO a () VALUES ()` with binlog_row_image = MINIMAL.
#[test]
fn a_row_without_columns_is_one_row() {
    let event = |kind: EventType, body: &[u8]| {
        let mut event = vec![0; HEADER_LENGTH];
        event[4] = kind.0;
        event[9] = (HEADER_LENGTH + body.len()) as u8;
        [&event, body].concat()
    };
    let map = b"\x6a\0\0\0\0\0\x01\0\x01e\0\x01a\0\x02\x03\x03\0\x03";
    let map = event(EventType::TABLE_MAP, map);
    let body = b"\x6a\0\0\0\0\0\x01\0\x02\0\x02\0";
    let event = event(EventType::WRITE_ROWS, body);
    let (table, rows) = (
        TableMap::parse(&map).unwrap(),
        RowsEvent::parse(&event).unwrap(),
    );
    let found: Vec<Row<'_>> = rows.iter(&table).unwrap().map(Result::unwrap).collect();
    let [Row::Inserted(image)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(image.values().count(), 0);
}

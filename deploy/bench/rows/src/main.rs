//! Rows per second of Ackline's decoder and of mysql_common's, on the same events: `cargo run --release`. The two
//! take turns, so that both meet the same noise of the machine; the figures are medians of the turns.
//!
//! Each reads the events as they come, in every row asks for the value of every column, and keeps none. The
//! table map is read once, as it would be for a statement.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ackline::event::rows::RowsEvent;
use ackline::event::table_map::TableMap;
use ackline::event::{Algorithm, EventType, Header, MAGIC, checksum};
use mysql_common::binlog::EventStreamReader;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{Event, EventData, RowsEventData, TableMapEvent};

const TURNS: usize = 41;
const TURN: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/rows.000001");
    let file = std::fs::read(path)?;
    let (map, events) = events(&file)?;
    let table = TableMap::parse(map)?;
    let theirs = their_events(&file)?;
    let their_table = theirs.table.as_ref().ok_or("no table map")?;
    let rows = ours(&table, &events)?;
    if rows != their_rows(their_table, &theirs.rows)? {
        return Err("the two find different numbers of rows".into());
    }
    println!(
        "{} columns, {rows} rows in {} events",
        table.columns().len(),
        events.len()
    );

    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        a.push(rate(|| ours(&table, &events))?);
        b.push(rate(|| their_rows(their_table, &theirs.rows))?);
    }
    let mut ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a / b).collect();
    let (a, b) = (median(&mut a), median(&mut b));
    println!("ackline       {a:>12.0} rows/s  {:>6.0} ns a row", 1e9 / a);
    println!("mysql_common  {b:>12.0} rows/s  {:>6.0} ns a row", 1e9 / b);
    println!("ratio         {:>12.1}", median(&mut ratios));
    Ok(())
}

fn rate(mut decode: impl FnMut() -> Result<usize, Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut rows = 0;
    while begun.elapsed() < TURN {
        for _ in 0..20 {
            rows += decode()?;
        }
    }
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The table map, and the rows events behind it.
fn events(file: &[u8]) -> Result<(&[u8], Vec<&[u8]>), Failure> {
    let mut rest = file.strip_prefix(&MAGIC).ok_or("no binlog")?;
    let (mut map, mut rows) = (None, Vec::new());
    while !rest.is_empty() {
        let header = Header::parse(rest)?;
        let (event, behind) = rest.split_at(header.length as usize);
        rest = behind;
        if header.kind == EventType::TABLE_MAP {
            map = Some(checksum::strip(event, Algorithm::Crc32)?);
        } else if RowsEvent::is(header.kind) {
            rows.push(checksum::strip(event, Algorithm::Crc32)?);
        }
    }
    Ok((map.ok_or("no table map")?, rows))
}

fn ours(table: &TableMap<'_>, events: &[&[u8]]) -> Result<usize, Failure> {
    let mut rows = 0;
    for event in events {
        let event = RowsEvent::parse(event)?;
        for row in event.iter(table)? {
            for value in row?.after().into_iter().flat_map(|image| image.values()) {
                black_box(value?);
            }
            rows += 1;
        }
    }
    Ok(rows)
}

struct Theirs {
    table: Option<TableMapEvent<'static>>,
    rows: Vec<Event>,
}

fn their_events(file: &[u8]) -> Result<Theirs, Failure> {
    let mut reader = EventStreamReader::new(BinlogVersion::Version4);
    let mut rest = &file[MAGIC.len()..];
    let mut found = Theirs {
        table: None,
        rows: Vec::new(),
    };
    while !rest.is_empty() {
        let Some(event) = reader.read(&mut rest)? else {
            break;
        };
        match event.read_data()? {
            Some(EventData::TableMapEvent(map)) => found.table = Some(map.into_owned()),
            Some(EventData::RowsEvent(_)) => found.rows.push(event),
            _ => {}
        }
    }
    Ok(found)
}

fn their_rows(table: &TableMapEvent<'static>, events: &[Event]) -> Result<usize, Failure> {
    let mut rows = 0;
    for event in events {
        let Some(EventData::RowsEvent(event)) = event.read_data()? else {
            continue;
        };
        let RowsEventData::WriteRowsEvent(event) = event else {
            continue;
        };
        for row in event.rows(table) {
            let (_, after) = row?;
            for index in 0..after.as_ref().map_or(0, |row| row.len()) {
                black_box(after.as_ref().and_then(|row| row.as_ref(index)));
            }
            rows += 1;
        }
    }
    Ok(rows)
}

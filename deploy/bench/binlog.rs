//! The binlog store alone, for `deploy/bench_binlog.sh`: appending with group fsync, and filling a folder for
//! the measurement of recovery.
//!
//!     binlog_bench append DIR MEGABYTES TRANSACTION_BYTES FLUSH_EVERY
//!     binlog_bench fill DIR MEGABYTES TRANSACTION_BYTES
//!     binlog_bench open DIR

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ackline::event::{EventType, Header};
use ackline::gtid::mariadb::Gtid;
use ackline::ids::{ServerId, StorePosition};
use ackline::store::{Marks, Observer, Options, Store, Writer};
use parking_lot::Mutex;

/// A real server's; its first event describes the format.
const GOLDEN: &[u8] = include_bytes!("../../tests/golden/mariadb-10.11/mixed.000002");
const FILE_SIZE: u64 = 128 << 20;
const EVENTS: u64 = 3;

/// Counts fsyncs that moved `synced`.
#[derive(Default)]
struct Fsyncs {
    count: AtomicU64,
    last: Mutex<StorePosition>,
}

impl Observer for Fsyncs {
    fn marks(&self, marks: Marks) {
        let mut last = self.last.lock();
        if marks.synced > *last {
            *last = marks.synced;
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["append", dir, megabytes, bytes, every] => append(
            dir.into(),
            megabytes.parse()?,
            bytes.parse()?,
            every.parse()?,
        ),
        ["fill", dir, megabytes, bytes] => {
            append(dir.into(), megabytes.parse()?, bytes.parse()?, 64)
        }
        ["open", dir] => open(dir.into()),
        _ => Err("see the head of examples/binlog_bench.rs".into()),
    }
}

/// Transactions as they come from a source, so many of them with each flush; until all are synced.
fn append(dir: PathBuf, megabytes: u64, bytes: usize, every: u64) -> Result<(), Box<dyn Error>> {
    let fsyncs = Arc::new(Fsyncs::default());
    let options = Options {
        dir,
        file_size: FILE_SIZE,
    };
    let (store, mut writer, _) = Store::open(options, Arc::clone(&fsyncs) as _)?;
    let length = Header::parse(&GOLDEN[4..])?.length as usize;
    writer.source_format(&GOLDEN[4..4 + length])?;
    let began = Instant::now();
    let (mut transactions, mut size) = (0, 0);
    while size < megabytes << 20 {
        transactions += 1;
        size += put(&mut writer, transactions, bytes)?;
        if transactions % every == 0 {
            writer.flush()?;
        }
    }
    let end = writer.flush()?.written;
    let mut marks = store.marks();
    while marks.borrow_and_update().synced < end {
        std::thread::sleep(Duration::from_micros(50));
    }
    let seconds = began.elapsed().as_secs_f64();
    // As the proxy keeps it; what is not known to be released would be read again at its start.
    store.change_durable(|durable| durable.released = end)?;
    println!(
        "{transactions} transactions of {} events, {every} a flush: {:.0} events/s, {:.1} MB/s, {} fsyncs, {seconds:.2} s",
        EVENTS,
        (transactions * EVENTS) as f64 / seconds,
        size as f64 / 1e6 / seconds,
        fsyncs.count.load(Ordering::Relaxed)
    );
    Ok(())
}

/// GTID, a statement, XID; how many bytes they take.
fn put(writer: &mut Writer, seq: u64, bytes: usize) -> Result<u64, Box<dyn Error>> {
    let mut start = seq.to_le_bytes().to_vec();
    start.extend_from_slice(&[0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0]);
    let mut query = vec![0; 13];
    query[8] = 1;
    query.extend_from_slice(b"g\0");
    query.resize(query.len() + bytes, b'x');
    let mut size = 0;
    for (kind, body) in [
        (EventType::GTID, start.as_slice()),
        (EventType::QUERY, &query),
        (EventType::XID, &seq.to_le_bytes()),
    ] {
        let mut event = Vec::with_capacity(body.len() + 64);
        Header::begin(kind, ServerId(7), 1_700_000_000).write(&mut event);
        event.extend_from_slice(body);
        writer.append(&event)?;
        size += event.len() as u64 + 4;
    }
    writer.commit(Gtid::new(0, 7, seq).into())?;
    Ok(size)
}

fn open(dir: PathBuf) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let options = Options {
        dir,
        file_size: FILE_SIZE,
    };
    let (store, _writer, recovery) = Store::open(options, Arc::new(()))?;
    let seconds = began.elapsed().as_secs_f64();
    let bytes: u64 = store.files().iter().map(|file| file.bytes).sum();
    println!(
        "{} files, {:.0} MB, {} transactions, recovered in {seconds:.3} s",
        recovery.files,
        bytes as f64 / 1e6,
        recovery.transactions
    );
    Ok(())
}

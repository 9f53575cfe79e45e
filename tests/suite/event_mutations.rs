//! Broken events through every parser of `event/`: none panics, and none takes more memory than an event of
//! its size may.
//!
//! The events are the golden ones, those inside of compressed transactions too, each changed by a seeded
//! random: bytes, lengths, cuts, pieces of other events, another type. `ACKLINE_FUZZ_CASES` says how many;
//! 1,000,000 are the acceptance (about a minute).

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Mutex;

use ackline::event::format_description::FormatDescription;
use ackline::event::heartbeat::Heartbeat;
use ackline::event::heartbeat_v2::HeartbeatV2;
use ackline::event::query::{Query, SqlMode};
use ackline::event::rotate::Rotate;
use ackline::event::rows::{Form, Padding, RowsEvent, Value, write_image};
use ackline::event::table_map::{Field, TableMap};
use ackline::event::transaction_payload::TransactionPayload;
use ackline::event::{
    Algorithm, EventType, HEADER_LENGTH, Header, MAGIC, checksum, digest, execute_load_query,
    gtid_event, gtid_list, mysql_gtid, mysql_transaction, previous_gtids, transaction,
    verify_checksum,
};
use peak_alloc::PeakAlloc;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// What compressed bytes may make here; named to the decoder, which has to keep to it.
const LONGEST: usize = 1 << 20;

/// Memory for an event, whatever its size: a decompressor's state, most of all.
const BASE: usize = 64 << 10;

/// And for each of its bytes, or of those that it unpacks to: a JSON document as a tree takes the most, 32
/// bytes for a member that has three in the event.
const PER_BYTE: usize = 16;

/// A table map, and an event behind it. Other events have an empty map.
struct Seed {
    map: Vec<u8>,
    event: Vec<u8>,
}

fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for folder in ["mariadb-10.11", "mariadb-11.8", "mysql-9.7"] {
        let mut paths: Vec<_> = std::fs::read_dir(format!("{GOLDEN}/{folder}"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            let bytes = std::fs::read(path).unwrap();
            if let Some(events) = bytes.strip_prefix(&MAGIC) {
                add(events, Algorithm::Off, &mut seeds);
            }
        }
    }
    seeds
}

fn add(mut rest: &[u8], mut algorithm: Algorithm, seeds: &mut Vec<Seed>) {
    let mut map = Vec::new();
    while !rest.is_empty() {
        let header = Header::parse(rest).unwrap();
        let (event, behind) = rest.split_at(header.length as usize);
        rest = behind;
        let mut stripped = event;
        if header.kind == EventType::FORMAT_DESCRIPTION {
            algorithm = FormatDescription::parse(event).unwrap().algorithm();
        } else {
            stripped = checksum::strip(event, algorithm).unwrap();
        }
        if let Ok(payload) = TransactionPayload::parse(stripped) {
            let payload = payload.unpack(LONGEST).unwrap();
            add(payload.bytes(), Algorithm::Off, seeds);
        }
        if header.kind == EventType::TABLE_MAP {
            map = stripped.to_vec();
        }
        let of_rows = RowsEvent::is(header.kind);
        seeds.push(Seed {
            map: if of_rows { map.clone() } else { Vec::new() },
            event: stripped.to_vec(),
        });
    }
}

fn mutate(event: &mut Vec<u8>, seeds: &[Seed], random: &mut ChaCha8Rng) {
    // Where numbers of a length-encoded kind, signs and limits change.
    const EDGES: [u8; 12] = [
        0, 1, 2, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0x0f,
    ];
    for _ in 0..random.random_range(1..6) {
        if event.is_empty() {
            return;
        }
        let at = random.random_range(0..event.len());
        match random.random_range(0..10) {
            0..3 => event[at] = random.random(),
            3..6 => event[at] = EDGES[random.random_range(0..EDGES.len())],
            6 => event[at] ^= 1 << random.random_range(0..8),
            7 => event.truncate(at.max(HEADER_LENGTH / 2)),
            8 => drop(event.splice(piece(event, random), [])),
            _ => {
                let other = &seeds[random.random_range(0..seeds.len())].event;
                let piece = other[piece(other, random)].to_vec();
                event.splice(at..at, piece);
            }
        }
    }
    if event.len() >= HEADER_LENGTH {
        if random.random_bool(0.05) {
            event[4] = random.random();
        }
        // As a checksum would have it, nearly always.
        if random.random_bool(0.9) {
            let length = (event.len() as u32).to_le_bytes();
            event[9..13].copy_from_slice(&length);
        }
    }
}

fn piece(bytes: &[u8], random: &mut ChaCha8Rng) -> Range<usize> {
    let from = random.random_range(0..bytes.len());
    from..(from + random.random_range(0..40)).min(bytes.len())
}

/// Takes what is printed and keeps nothing.
struct Nowhere;

impl fmt::Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

/// What was unpacked on the way, for it may take memory too.
#[derive(Clone, Copy, Default)]
struct Unpacked {
    bytes: usize,
    /// Until it turned out to be damaged; no more than the algorithm can make of so many bytes.
    in_vain: usize,
}

impl Unpacked {
    /// zlib makes at most 1032 bytes of one.
    fn fails(&mut self, packed: usize) {
        self.in_vain += packed.saturating_mul(1032).min(LONGEST);
    }
}

fn read(map: &[u8], event: &[u8]) -> Unpacked {
    let _ = Header::parse(event);
    let _ = verify_checksum(event);
    let _ = checksum::strip(event, Algorithm::Crc32);
    let _ = FormatDescription::parse(event).map(|description| description.write());
    let _ = Rotate::parse(event);
    let _ = gtid_event::GtidEvent::parse(event);
    let _ = gtid_list::parse(event);
    let _ = Heartbeat::parse(event);
    let _ = HeartbeatV2::parse(event);
    let _ = mysql_gtid::GtidEvent::parse(event);
    let _ = previous_gtids::parse(event);
    let _ = execute_load_query::ExecuteLoadQuery::parse(event);
    let _ = transaction::TransactionTracker::default().feed(event);
    let _ = mysql_transaction::TransactionTracker::default().feed(event);
    digest::Digester::new().event(event);
    let mut unpacked = Unpacked::default();
    if let Ok(query) = Query::parse(event) {
        let _ = query.ending();
        let _ = SqlMode::parse(query.status_variables);
        match query.statement.text(LONGEST) {
            Ok(text) => unpacked.bytes += text.len(),
            Err(_) => unpacked.fails(event.len()),
        }
    }
    if let Ok(payload) = TransactionPayload::parse(event) {
        match payload.unpack(LONGEST) {
            Ok(payload) => {
                unpacked.bytes += payload.bytes().len();
                for event in payload.events().flatten() {
                    let _ = Header::parse(event);
                }
            }
            Err(_) => unpacked.in_vain += LONGEST.min(payload.unpacked as usize),
        }
    }
    if let Ok(table) = TableMap::parse(event) {
        table.write(&mut Vec::new());
        fields(&table);
    }
    if let Ok(table) = TableMap::parse(map) {
        rows(&table, event, &mut unpacked);
    }
    unpacked
}

fn fields(table: &TableMap<'_>) {
    for field in table.metadata().flatten() {
        match field {
            Field::Charsets(charsets) | Field::EnumAndSetCharsets(charsets) => {
                let _ = charsets.of(3);
            }
            Field::Names(names) => names.for_each(drop),
            Field::SetValues(values) | Field::EnumValues(values) => {
                values.flatten().flatten().for_each(drop);
            }
            Field::PrimaryKey(key) => key.columns().for_each(drop),
            Field::Visibility(visibility) => drop(visibility.is_visible(70)),
            _ => {}
        }
    }
}

fn rows(table: &TableMap<'_>, event: &[u8], unpacked: &mut Unpacked) {
    let Ok(rows) = RowsEvent::parse_within(event, LONGEST) else {
        let compressed = EventType::WRITE_ROWS_COMPRESSED_V1..=EventType::DELETE_ROWS_COMPRESSED;
        if Header::parse(event).is_ok_and(|header| compressed.contains(&header.kind)) {
            unpacked.fails(event.len());
        }
        return;
    };
    unpacked.bytes += rows.image_bytes().len();
    let mut json = None;
    let mut again = Vec::new();
    for row in rows.iter(table).into_iter().flatten().flatten() {
        for image in [row.before(), row.after()].into_iter().flatten() {
            for (index, value) in image.values().flatten() {
                let column = &table.columns()[index];
                if let Value::Compressed(packed) = value {
                    match packed.unpack(LONGEST) {
                        Ok(bytes) => unpacked.bytes += bytes.len(),
                        Err(_) => unpacked.fails(event.len()),
                    }
                } else if let Ok(literal) = value.literal(column) {
                    write!(Nowhere, "{literal}").unwrap();
                }
                match value {
                    Value::Json(value) => json = value.document().ok().or(json.take()),
                    Value::JsonChanges(changes) => {
                        if let Some(mut document) = json.take()
                            && document.apply(changes).is_ok()
                        {
                            write!(Nowhere, "{document}").unwrap();
                        }
                    }
                    _ => {}
                }
            }
            let values: Result<Vec<_>, _> = image.values().collect();
            if let Ok(values) = values {
                again.clear();
                let _ = write_image(table, &values, Form::Partial, Padding::Ones, &mut again);
            }
        }
    }
}

#[test]
fn broken_events_neither_panic_nor_take_much_memory() {
    let _alone = ALONE.lock();
    let seeds = seeds();
    assert!(seeds.len() > 400, "{}", seeds.len());
    let cases = std::env::var("ACKLINE_FUZZ_CASES");
    let cases: u64 = cases.map_or(50_000, |cases| cases.parse().unwrap());
    let mut highest = 0.0;
    for case in 0..cases {
        let mut random = ChaCha8Rng::seed_from_u64(case);
        let seed = &seeds[random.random_range(0..seeds.len())];
        let (mut map, mut event) = (seed.map.clone(), seed.event.clone());
        // A broken map makes most rows unreadable, so it is the rarer one.
        let of_the_map = !map.is_empty() && random.random_bool(0.3);
        if of_the_map {
            mutate(&mut map, &seeds, &mut random);
        }
        if !of_the_map || random.random_bool(0.3) {
            mutate(&mut event, &seeds, &mut random);
        }
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let unpacked = read(&map, &event);
        let taken = MEMORY.peak_usage() - before;
        let bytes = map.len() + event.len() + unpacked.bytes;
        // What grows by doubling is there twice while it is moved.
        let allowed = BASE + PER_BYTE * bytes + 4 * unpacked.in_vain;
        assert!(taken <= allowed, "case {case}: {taken} bytes for {bytes}");
        highest = f64::max(highest, taken as f64 / allowed as f64);
    }
    println!(
        "{cases} events, at most {:.0} % of the memory allowed",
        highest * 100.0
    );
}

fn payload(unpacked: u64, packed: &[u8]) -> Vec<u8> {
    let mut event = vec![0; HEADER_LENGTH];
    event[4] = EventType::TRANSACTION_PAYLOAD.0;
    event.extend_from_slice(&[2, 1, 0, 3, 9, 0xfe]);
    event.extend_from_slice(&unpacked.to_le_bytes());
    event.push(0);
    event.extend_from_slice(packed);
    let length = (event.len() as u32).to_le_bytes();
    event[9..13].copy_from_slice(&length);
    event
}

/// Few bytes that unpack to many.
#[test]
fn bombs_are_unpacked_up_to_the_limit() {
    const SIZE: usize = 64 << 20;
    let _alone = ALONE.lock();
    let zeros = vec![0; SIZE];
    let bomb = zstd::bulk::compress(&zeros, 3).unwrap();
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut zlib, &zeros).unwrap();
    let zlib = zlib.finish().unwrap();
    drop(zeros);
    let taken = |work: &dyn Fn() -> bool| {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let done = work();
        (done, MEMORY.peak_usage() - before)
    };
    for (says, done) in [
        (SIZE, false),
        (LONGEST, false),
        (1, false),
        (usize::MAX, false),
    ] {
        let event = payload(says as u64, &bomb);
        let parsed = TransactionPayload::parse(&event).unwrap();
        let (unpacked, memory) = taken(&|| parsed.unpack(LONGEST).is_ok());
        assert_eq!(unpacked, done);
        assert!(
            memory <= 2 * LONGEST,
            "{memory} bytes for a bomb that says {says}"
        );
    }
    let event = payload(SIZE as u64, &bomb);
    let parsed = TransactionPayload::parse(&event).unwrap();
    assert_eq!(
        parsed.unpack(SIZE).map(|payload| payload.bytes().len()),
        Ok(SIZE)
    );
    // Promises much, and holds little.
    let little = zstd::bulk::compress(b"little", 3).unwrap();
    let event = payload(1 << 30, &little);
    let parsed = TransactionPayload::parse(&event).unwrap();
    let (unpacked, memory) = taken(&|| parsed.unpack(1 << 30).is_ok());
    assert!(!unpacked && memory < BASE, "{memory}");

    for says in [SIZE, LONGEST, 1] {
        let event = packed_rows(says, &zlib);
        let (parsed, memory) = taken(&|| RowsEvent::parse_within(&event, LONGEST).is_ok());
        assert!(!parsed);
        // What is there grows by doubling, and is moved once it does.
        assert!(
            memory <= 4 * LONGEST,
            "{memory} bytes for a bomb that says {says}"
        );
    }
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut zlib, b"little").unwrap();
    let little = zlib.finish().unwrap();
    let event = packed_rows(LONGEST, &little);
    let (parsed, memory) = taken(&|| RowsEvent::parse_within(&event, LONGEST).is_ok());
    assert!(!parsed && memory < BASE, "{memory}");
    let event = packed_rows(6, &little);
    assert!(RowsEvent::parse_within(&event, LONGEST).is_ok());
}

/// Of one column, as MariaDB packs them with a length in four bytes.
fn packed_rows(says: usize, zlib: &[u8]) -> Vec<u8> {
    let mut event = vec![0; HEADER_LENGTH];
    event[4] = EventType::WRITE_ROWS_COMPRESSED_V1.0;
    event.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x84]);
    event.extend_from_slice(&(says as u32).to_be_bytes());
    event.extend_from_slice(zlib);
    let length = (event.len() as u32).to_le_bytes();
    event[9..13].copy_from_slice(&length);
    event
}

//! Events of real servers, frozen in `tests/golden/`. A test fails on a file it does not know.

use proptest::prelude::*;

use super::format_description::FormatDescription;
use super::transaction_payload::TransactionPayload;
use super::unpack::LARGEST;
use super::{Algorithm, Header, MAGIC, checksum};

pub(crate) const MARIADB: &str = "mariadb-10.11";
pub(crate) const MARIADB_11: &str = "mariadb-11.8";
pub(crate) const MYSQL: &str = "mysql-9.7";

/// Where a version's golden files lie.
pub(crate) fn folder(version: &str) -> String {
    format!("{}/tests/golden/{version}", env!("CARGO_MANIFEST_DIR"))
}

/// The events of one of MariaDB's golden files, without their checksums, the first one as it came.
pub(crate) fn events(name: &str) -> Vec<Vec<u8>> {
    events_of(MARIADB, name)
}

pub(crate) fn events_of(version: &str, name: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/{name}", folder(version));
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.strip_prefix(&MAGIC).unwrap();
    let mut algorithm = Algorithm::Crc32;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (event, behind) = rest.split_at(Header::parse(rest).unwrap().length as usize);
        if events.is_empty() {
            algorithm = FormatDescription::parse(event).unwrap().algorithm();
            events.push(event.to_vec());
        } else {
            events.push(checksum::strip(event, algorithm).unwrap().to_vec());
        }
        rest = behind;
    }
    events
}

/// The same with up to seven bytes changed, anywhere.
pub(crate) fn changed(name: &'static str) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let at = any::<prop::sample::Index>();
    prop::collection::vec((at, change), 1..8).prop_map(move |changes| {
        let mut events = events(name);
        for (event, (at, byte)) in changes {
            let event = event.get_mut(&mut events);
            *at.get_mut(event) = byte;
        }
        events
    })
}

pub(crate) const FILES: [&str; 6] = [
    "first-start.000001",
    "mixed.000002",
    "compressed.000003",
    "in-use.000004",
    "no-checksum.000005",
    "stopped.000006",
];

/// Rows of every type, recorded by `tests/golden/mariadb-types.sh`.
pub(crate) const TYPES: [&str; 2] = ["types.000001", "types.000002"];

/// The same and what came later, recorded by the same script.
pub(crate) const MARIADB_11_TYPES: [&str; 3] = ["types.000001", "types.000002", "types.000003"];

/// Recorded by `tests/golden/mysql-9.7.sh`.
pub(crate) const MYSQL_FILES: [&str; 3] = ["plain.000001", "tagged.000002", "stopped.000003"];

/// Rows of every type, recorded by `tests/golden/mysql-9.7-types.sh`.
pub(crate) const MYSQL_TYPES: [&str; 4] = [
    "types.000001",
    "types.000002",
    "types.000003",
    "types.000006",
];

/// What SELECT said of the tables behind the rows of every type.
pub(crate) const EXPECTED: &str = "types.expected";

/// Every event of a version's golden files, those inside of compressed transactions behind them.
pub(crate) fn all_events(version: &str) -> Vec<Vec<u8>> {
    let (files, types): (&[&str], &[&str]) = match version {
        MARIADB => (&FILES, &TYPES),
        MARIADB_11 => (&[], &MARIADB_11_TYPES),
        _ => (&MYSQL_FILES, &MYSQL_TYPES),
    };
    let mut all = Vec::new();
    for event in files
        .iter()
        .chain(types)
        .flat_map(|file| events_of(version, file))
    {
        let payload = TransactionPayload::parse(&event).ok();
        let inside = payload.map(|payload| payload.unpack(LARGEST).unwrap());
        let inside = inside.iter().flat_map(|payload| payload.events());
        let inside: Vec<Vec<u8>> = inside.map(|event| event.unwrap().to_vec()).collect();
        all.push(event);
        all.extend(inside);
    }
    all
}

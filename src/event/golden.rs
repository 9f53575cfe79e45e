//! Events of real servers, frozen in `tests/golden/`. A test fails on a file it does not know.

use super::{Algorithm, Header, MAGIC, checksum, format_description::FormatDescription};

pub(crate) const MARIADB: &str = "mariadb-10.11";
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

pub(crate) const FILES: [&str; 7] = [
    "first-start.000001",
    "mixed.000002",
    "compressed.000003",
    "in-use.000004",
    "no-checksum.000005",
    "stopped.000006",
    // Recorded by `tests/golden/mariadb-10.11-types.sh`.
    "types.000001",
];

/// Recorded by `tests/golden/mysql-9.7.sh`.
pub(crate) const MYSQL_FILES: [&str; 3] = ["plain.000001", "tagged.000002", "stopped.000003"];

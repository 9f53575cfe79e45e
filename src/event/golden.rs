//! Events of real servers, frozen in `tests/golden/`. A test fails on a file it does not know.

use super::{Algorithm, Header, MAGIC, checksum, format_description::FormatDescription};

/// A golden file's events, without their checksums, the first one as it came.
pub(crate) fn events(name: &str) -> Vec<Vec<u8>> {
    let path = format!(
        "{}/tests/golden/mariadb-10.11/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
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

pub(crate) const FILES: [&str; 6] = [
    "first-start.000001",
    "mixed.000002",
    "compressed.000003",
    "in-use.000004",
    "no-checksum.000005",
    "stopped.000006",
];

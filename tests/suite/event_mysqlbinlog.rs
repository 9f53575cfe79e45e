//! MySQL's own `mysqlbinlog` reads what we write: a file with our head, our PREVIOUS_GTIDS and our STOP
//! around a server's transactions, sealed anew at other positions.

use std::path::Path;
use std::process::Command;

use crate::support::mysql;
use ackline::event::format_description::FormatDescription;
use ackline::event::mysql_transaction::TransactionTracker;
use ackline::event::{Algorithm, Header, MAGIC, Step, checksum, previous_gtids, seal, stop};
use ackline::ids::ServerId;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mysql-9.7");

/// Events as they stand in a file.
fn events(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file.strip_prefix(&MAGIC).unwrap();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (event, behind) = rest.split_at(Header::parse(rest).unwrap().length as usize);
        events.push(event);
        rest = behind;
    }
    events
}

fn put(file: &mut Vec<u8>, mut event: Vec<u8>) {
    let end = (file.len() + event.len() + 4) as u32;
    seal(&mut event, end).unwrap();
    file.extend_from_slice(&event);
}

/// What `mysqlbinlog` would run again, without what depends on the place.
fn replay(programs: &Path, file: &Path, scratch: &Path) -> Vec<String> {
    let output = Command::new(programs.join("mysqlbinlog"))
        .args(["--no-defaults", "--verify-binlog-checksum"])
        // Rows as text: the raw ones hold positions and checksums.
        .args(["--base64-output=decode-rows", "-vv"])
        // It leaves there what LOAD DATA brought.
        .arg("--local-load")
        .arg(scratch)
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().skip_while(|line| !line.contains("GTID_NEXT="));
    lines
        .filter(|line| !line.starts_with('#') || line.starts_with("###"))
        .filter(|line| !line.contains("AUTOMATIC"))
        // LOAD DATA goes through a file of mysqlbinlog's own, numbered.
        .filter(|line| !line.starts_with("LOAD DATA"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn mysqlbinlog_reads_our_files() {
    let Some(programs) = mysql::programs("mysqlbinlog_reads_our_files") else {
        return;
    };
    for name in ["plain.000001", "tagged.000002"] {
        let golden = Path::new(GOLDEN).join(name);
        let bytes = std::fs::read(&golden).unwrap();
        let events = events(&bytes);
        let mut own = MAGIC.to_vec();
        own.extend(
            FormatDescription::parse(events[0])
                .unwrap()
                .write()
                .unwrap(),
        );
        let previous = checksum::strip(events[1], Algorithm::Crc32).unwrap();
        let mut previous = previous_gtids::parse(previous).unwrap();
        // One more than the server had, so that everything stands elsewhere.
        previous.insert(
            &"bbbbbbbb-0000-0000-0000-000000000001:moved:7"
                .parse()
                .unwrap(),
        );
        put(&mut own, previous_gtids::write(&previous, ServerId(9), 0));
        let mut tracker = TransactionTracker::default();
        for event in &events[2..] {
            let event = checksum::strip(event, Algorithm::Crc32).unwrap();
            if tracker.feed(event).unwrap() != Step::Outside {
                put(&mut own, event.to_vec());
            }
        }
        put(&mut own, stop::write(ServerId(9), 0));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("binlog.000001");
        std::fs::write(&path, own).unwrap();
        let replay = |file: &Path| replay(&programs, file, dir.path());
        let (ours, theirs) = (replay(&path), replay(&golden));
        assert!(theirs.len() > 50, "{}", theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
    }
}

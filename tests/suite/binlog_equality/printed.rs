//! What a server's dump tool prints of binlog files, without what differs by place: positions, checksums,
//! and the events that are about the files themselves.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ackline::event::{CHECKSUM_LENGTH, EventType, HEADER_LENGTH, Header, verify_checksum};
use ackline::ids::Flavor;

use crate::support::mysql;

/// How the tools name the events that are about files.
const ABOUT_FILES: [&str; 8] = [
    "Start: binlog",
    "Rotate to",
    "Stop",
    "Gtid list",
    "Previous-GTIDs",
    "Binlog checkpoint",
    "Ignorable",
    "Unknown",
];

/// The flavor's own tool.
pub fn tool(flavor: Flavor) -> Command {
    let mut tool = match flavor {
        Flavor::MariaDb => Command::new("mariadb-binlog"),
        Flavor::MySql => Command::new(mysql::program("mysqlbinlog")),
    };
    tool.arg("--no-defaults");
    tool
}

/// All files in one go. `scratch` is an empty folder: the tool leaves there what LOAD DATA brought.
pub fn printed(flavor: Flavor, files: &[PathBuf], scratch: &Path) -> Vec<String> {
    std::fs::create_dir(scratch).unwrap();
    let output = tool(flavor)
        .args(["--verify-binlog-checksum", "-vv"])
        .arg(format!("--local-load={}", scratch.display()))
        .args(files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    // Any bytes: each becomes a character.
    let text: String = output.stdout.iter().map(|byte| char::from(*byte)).collect();
    normal(&text.replace(scratch.to_str().unwrap(), "SCRATCH"))
}

fn normal(text: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut about_files = false;
    let mut session = Session::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("# at ") {
            about_files = false;
            continue;
        }
        if line == "DELIMITER ;" {
            // MariaDB's tool ends each file so and begins the next one.
            lines.by_ref().find(|line| *line == "DELIMITER /*!*/;");
            continue;
        }
        let header = header(line);
        if let Some((_, what)) = &header {
            about_files = ABOUT_FILES.iter().any(|name| what.starts_with(name));
        }
        if line == "BINLOG '" {
            let mut bytes = Vec::new();
            for line in lines.by_ref().take_while(|line| !line.starts_with('\'')) {
                decode(line, &mut bytes);
            }
            if !about_files {
                kept.extend(events(bytes));
            }
        } else if about_files || line.is_empty() || line.contains("added by mysqlbinlog") {
            continue;
        } else if let Some((before, what)) = header {
            kept.push(format!("{before} {what}"));
        } else {
            kept.extend(session.changes(line));
        }
    }
    kept
}

/// What the printed session is set to. The tool says it anew in each file, and files end elsewhere.
#[derive(Default)]
struct Session(HashMap<String, String>);

impl Session {
    /// The line, or of one that sets variables those that are news.
    fn changes(&mut self, line: &str) -> Vec<String> {
        if line.starts_with("use `") || line.starts_with("/*!\\C ") {
            let kind = &line[..4];
            return self.change(kind, line).into_iter().collect();
        }
        match line.find("SET @@session.") {
            Some(0) => {}
            Some(at) if line.starts_with("/*!") || line.starts_with("/*M!") => {
                let name = line[at..].split('=').next().unwrap_or_default();
                return self.change(name, line).into_iter().collect();
            }
            _ => return vec![line.to_owned()],
        }
        let line = line.trim_start_matches("SET ").trim_end_matches("/*!*/;");
        let each = line.split(", @@session.");
        each.filter_map(|assignment| {
            let assignment = assignment.trim_start_matches("@@session.");
            // In each file's first statement, and where it matters; it stands in the event's line.
            if assignment.starts_with("pseudo_thread_id=") {
                return None;
            }
            let name = assignment.split('=').next().unwrap_or_default();
            self.change(name, assignment)
        })
        .collect()
    }

    fn change(&mut self, name: &str, to: &str) -> Option<String> {
        let before = self.0.insert(name.to_owned(), to.to_owned());
        (before.as_deref() != Some(to)).then(|| to.to_owned())
    }
}

/// An event's line, as what stands before its end_log_pos, and what it is:
/// `#261123 22:14:02 server id 1  end_log_pos 256 CRC32 0x0d7e4a1b  \tQuery\tthread_id=9`.
fn header(line: &str) -> Option<(String, String)> {
    if !line.starts_with('#') {
        return None;
    }
    let (before, after) = line.split_once(" end_log_pos ")?;
    before.contains(" server id ").then_some(())?;
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let after = match after.strip_prefix(" CRC32 0x") {
        Some(after) => after.trim_start_matches(|c: char| c.is_ascii_hexdigit()),
        None => after,
    };
    Some((before.to_owned(), after.trim().to_owned()))
}

/// A line of base64.
fn decode(line: &str, out: &mut Vec<u8>) {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} in base64"),
    };
    for quad in line.as_bytes().chunks(4) {
        let padding = quad.iter().filter(|digit| **digit == b'=').count();
        let bits = quad.iter().fold(0_u32, |bits, digit| {
            bits << 6
                | if *digit == b'=' {
                    0
                } else {
                    u32::from(value(*digit))
                }
        });
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
}

/// A line for each event of a BINLOG statement, without its length, place and checksum.
fn events(mut bytes: Vec<u8>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes.as_mut_slice();
    while rest.len() >= HEADER_LENGTH {
        let header = Header::parse(rest).unwrap();
        let (event, behind) = rest.split_at_mut(header.length as usize);
        rest = behind;
        if header.kind == EventType::FORMAT_DESCRIPTION {
            continue;
        }
        let length = match verify_checksum(event) {
            Ok(()) => event.len() - CHECKSUM_LENGTH,
            Err(_) => event.len(),
        };
        event[9..17].fill(0);
        let crc = crc32fast::hash(&event[..length]);
        lines.push(format!("BINLOG {} of {length}: {crc:08x}", header.kind));
    }
    assert!(rest.is_empty(), "{} bytes are no event", rest.len());
    lines
}

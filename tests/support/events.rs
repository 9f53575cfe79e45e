//! What two binlogs hold, event by event: all bytes but those that say where an event stands.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use ackline::event::digest::{Digester, TransactionDigest};
use ackline::event::format_description::FormatDescription;
use ackline::event::query::Query;
use ackline::event::{
    Algorithm, EventType, HEADER_LENGTH, Header, MAGIC, Start, Step, TransactionTracker, checksum,
};

use super::{Part, Sandbox};

/// Length and `end_log_pos` in an event's header: a checksum counts in both, and ours always have one.
const PLACE: std::ops::Range<usize> = 9..17;

/// Each server's own, about its files and not about the data.
const ABOUT_FILES: [EventType; 7] = [
    EventType::FORMAT_DESCRIPTION,
    EventType::ROTATE,
    EventType::STOP,
    EventType::GTID_LIST,
    EventType::PREVIOUS_GTIDS,
    EventType::BINLOG_CHECKPOINT,
    EventType::START_ENCRYPTION,
];

/// A transaction, or an event outside of any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its GTID, or what the event is.
    pub name: String,
    /// Kind, length and hash of each event.
    pub events: Vec<(EventType, usize, u64)>,
}

/// Our files.
pub fn ours(sandbox: &Sandbox) -> Vec<PathBuf> {
    indexed(&sandbox.manifest.binlog_dir.join("binlog.index"))
}

/// The source's own.
pub fn theirs(sandbox: &Sandbox) -> Vec<PathBuf> {
    of(sandbox, Part::Source)
}

/// Any server's own.
pub fn of(sandbox: &Sandbox, part: Part) -> Vec<PathBuf> {
    indexed(&sandbox.server_dir(part).join("data").join("bin.index"))
}

/// A transaction's content as it is compared between servers, and what it is for people.
pub struct Digested {
    pub digest: TransactionDigest,
    pub shown: String,
}

/// By GTID, all whole transactions of the files.
pub fn digests(files: &[PathBuf]) -> Result<BTreeMap<String, Digested>, String> {
    let mut all = BTreeMap::new();
    for file in files {
        let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut digester = Digester::new();
        let (mut gtid, mut shown) = (String::new(), String::new());
        walk(&bytes, |event, step| {
            match step {
                Step::Outside => return,
                Step::GroupStart(start) => gtid = start.gtid.to_string(),
                Step::InGroup | Step::GroupEnd => {}
            }
            digester.event(event);
            let kind = EventType(event[4]);
            let query = Query::parse(event).ok();
            let text = query.map(|query| {
                String::from_utf8_lossy(query.statement.text(200).as_deref().unwrap_or_default())
                    .into_owned()
            });
            shown.push_str(&format!("{kind} {} | ", text.unwrap_or_default()));
            if step == &Step::GroupEnd {
                let digest = std::mem::take(&mut digester).finish();
                let shown = std::mem::take(&mut shown);
                all.insert(gtid.clone(), Digested { digest, shown });
            }
        })
        .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(all)
}

/// The files that an index names, in order.
fn indexed(index: &Path) -> Vec<PathBuf> {
    let dir = index.parent().expect("an index in a folder");
    let text =
        fs::read_to_string(index).unwrap_or_else(|error| panic!("{}: {error}", index.display()));
    text.lines()
        .map(|name| dir.join(name.trim_start_matches("./")))
        .collect()
}

/// All whole transactions of the files. A file whose server was killed may end in a torn one.
pub fn contents(files: &[PathBuf]) -> Result<Vec<Content>, String> {
    Reading::default().contents(files)
}

/// Reads a binlog again and again as it grows.
#[derive(Default)]
pub struct Reading {
    /// What a file of that length holds.
    known: HashMap<PathBuf, (usize, Vec<Content>)>,
}

impl Reading {
    pub fn contents(&mut self, files: &[PathBuf]) -> Result<Vec<Content>, String> {
        let mut all = Vec::new();
        for file in files {
            let failed = |error: String| format!("{}: {error}", file.display());
            let bytes = fs::metadata(file).map_err(|error| failed(error.to_string()))?;
            let length = bytes.len() as usize;
            match self.known.get(file) {
                Some((known, content)) if *known == length => all.extend(content.iter().cloned()),
                _ => {
                    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
                    let mut content = Vec::new();
                    read(&bytes, &mut content).map_err(failed)?;
                    all.extend(content.iter().cloned());
                    self.known.insert(file.clone(), (bytes.len(), content));
                }
            }
        }
        Ok(all)
    }
}

fn read(file: &[u8], all: &mut Vec<Content>) -> Result<(), String> {
    let mut running: Option<Content> = None;
    let mut orphan = false;
    walk(file, |event, step| {
        let kind = EventType(event[4]);
        let fingerprint = (kind, event.len(), hash(event));
        match step {
            Step::Outside if ABOUT_FILES.contains(&kind) => {}
            Step::Outside => all.push(Content {
                name: kind.to_string(),
                events: vec![fingerprint],
            }),
            Step::GroupStart(start) => {
                running = Some(Content {
                    name: start.gtid.to_string(),
                    events: vec![fingerprint],
                });
            }
            Step::InGroup | Step::GroupEnd => {
                let Some(content) = running.as_mut() else {
                    orphan = true;
                    return;
                };
                content.events.push(fingerprint);
                if *step == Step::GroupEnd {
                    all.extend(running.take());
                }
            }
        }
    })?;
    match orphan {
        true => Err("an event without its transaction".to_owned()),
        false => Ok(()),
    }
}

/// Every whole event but format descriptions, without its checksum.
fn walk(file: &[u8], mut each: impl FnMut(&[u8], &Step<Start>)) -> Result<(), String> {
    let mut rest = file.strip_prefix(&MAGIC).ok_or("no binlog")?;
    let mut algorithm = Algorithm::Crc32;
    let mut tracker = TransactionTracker::new();
    while rest.len() >= HEADER_LENGTH {
        let at = file.len() - rest.len();
        let header = Header::parse(rest).map_err(|error| format!("at {at}: {error}"))?;
        let length = header.length as usize;
        if length > rest.len() {
            break;
        }
        let (event, behind) = rest.split_at(length);
        rest = behind;
        if header.kind == EventType::FORMAT_DESCRIPTION {
            let description = FormatDescription::parse(event);
            algorithm = description
                .map_err(|error| format!("at {at}: {error}"))?
                .algorithm();
            continue;
        }
        let event =
            checksum::strip(event, algorithm).map_err(|error| format!("at {at}: {error}"))?;
        let step = tracker
            .feed(event)
            .map_err(|error| format!("at {at}: {error}"))?;
        each(event, &step);
    }
    Ok(())
}

fn hash(event: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    event[..PLACE.start].hash(&mut hasher);
    event[PLACE.end..].hash(&mut hasher);
    hasher.finish()
}

/// How many there are, where both are the same; else where they part.
pub fn same(ours: &[Content], theirs: &[Content]) -> Result<usize, String> {
    if let Some(at) = (0..ours.len().min(theirs.len())).find(|at| ours[*at] != theirs[*at]) {
        return Err(format!(
            "number {at} differs: ours {:?}, the source's {:?}",
            ours[at], theirs[at]
        ));
    }
    match ours.len().cmp(&theirs.len()) {
        std::cmp::Ordering::Equal => Ok(ours.len()),
        std::cmp::Ordering::Less => Err(format!(
            "ours ends before the source's {:?}",
            theirs[ours.len()].name
        )),
        std::cmp::Ordering::Greater => Err(format!("only ours has {:?}", ours[theirs.len()].name)),
    }
}

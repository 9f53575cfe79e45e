//! What must survive a crash beside the binlog itself: `ackline.state`.
//!
//! One line of magic, version and CRC32, then JSON that a DBA can read. Replaced by write, fsync,
//! rename, fsync of the directory, so it is never torn; a checksum that does not fit means that
//! somebody or something else changed it, and is an error, not a reason to start from nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use super::Error;
use super::disk::Disk;
use crate::gtid::{Gtid, GtidSet, ParseError};
use crate::ids::{Epoch, Machine, ServerId, ServerName, SourcePosition, StorePosition};

const MAGIC: &str = "ackline-state 1 ";

/// The server that capture follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedSource {
    pub name: ServerName,
    pub server_id: ServerId,
    /// Of a MySQL server.
    pub uuid: Option<String>,
    /// One of the last transactions that were captured there.
    pub anchor: Option<Point>,
}

/// A transaction at its place in a server's own binlog, by which that binlog is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Where it begins.
    pub place: SourcePosition,
    pub gtid: Gtid,
    /// CRC32 of its bytes, as they stand there.
    pub checksum: u32,
}

/// A [`Point`] in JSON's types: file, offset, GTID, checksum.
pub type PointText = (String, u64, String, u32);

impl Point {
    pub fn text(&self) -> PointText {
        let SourcePosition { file, offset } = &self.place;
        (
            file.to_string(),
            *offset,
            self.gtid.to_string(),
            self.checksum,
        )
    }

    pub fn parse((file, offset, gtid, checksum): PointText) -> Result<Self, ParseError> {
        Ok(Self {
            place: SourcePosition {
                file: file.into(),
                offset,
            },
            gtid: gtid.parse()?,
            checksum,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveKind {
    Switchover,
    Failover,
}

impl fmt::Display for MoveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        })
    }
}

/// A move of the source that is under way: kept before the first server is changed, dropped after the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub kind: MoveKind,
    #[serde(with = "name")]
    pub from: ServerName,
    #[serde(with = "name")]
    pub to: ServerName,
    /// The event scheduler of `from` was on.
    pub events: bool,
    /// Where `to` followed us.
    pub endpoint: Option<(String, u16)>,
    /// What is to run at `to`; none where it is not known, and in what an earlier release wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

/// The event scheduler of a server, and its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    #[serde(with = "name")]
    pub server: ServerName,
    /// `event_scheduler` is on.
    pub on: bool,
    /// None where our account may not see them.
    pub events: Option<Vec<ScheduledEvent>>,
}

/// A row of `information_schema.EVENTS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledEvent {
    pub schema: String,
    pub name: String,
    /// `user@host`, not quoted.
    pub definer: String,
    pub status: EventStatus,
    pub character_set_client: String,
    pub collation_connection: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventStatus {
    Enabled,
    Disabled,
    /// SLAVESIDE_DISABLED, REPLICA_SIDE_DISABLED: it runs where it came from, or does not.
    ReplicaSideDisabled,
}

mod name {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::ids::ServerName;

    pub fn serialize<S: Serializer>(name: &ServerName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<ServerName, D::Error> {
        Ok(ServerName::new(&String::deserialize(from)?))
    }
}

/// A transaction that was answered under a weaker policy than asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DegradedCommit {
    pub gtid: Gtid,
    /// Unix time in milliseconds.
    pub at: u64,
    /// The requirement that it fell short of, as the configuration writes it.
    pub owed: Option<String>,
}

/// A file that is valid only up to `length`: what lay behind was not synced when a sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub file: u32,
    pub length: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurableState {
    pub epoch: Epoch,
    pub source: Option<FollowedSource>,
    pub moving: Option<Intent>,
    /// Of the followed source, as it was last asked: a dead one cannot tell what ran there.
    pub schedule: Option<Schedule>,
    /// A lower bound: what was released when this was written.
    pub released: StorePosition,
    pub released_set: GtidSet,
    pub degraded: Vec<DegradedCommit>,
    /// Sources that were left because they did not answer, until they are home again.
    pub fenced: BTreeMap<ServerName, Machine>,
    /// Whatever the source changed before these (MySQL: in these) and could not log (INCIDENT) is in nobody's binlog.
    pub incidents: GtidSet,
    /// Kept by the store itself; see [`super::Store::change_durable`].
    pub cuts: Vec<Cut>,
    /// What the oldest file's list of GTIDs stands for, exactly, since a purge; kept by the store itself.
    /// It may be ahead of a purge that a crash has cut short.
    pub purged: GtidSet,
}

/// The same in JSON's types.
#[derive(Serialize, Deserialize)]
struct Text {
    epoch: u64,
    source: Option<(String, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_uuid: Option<String>,
    // As `source_anchor` it told lengths only, and is not believed.
    #[serde(
        rename = "source_last",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    source_anchor: Option<PointText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moving: Option<Intent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
    released: (u32, u64),
    released_set: String,
    degraded: Vec<DegradedText>,
    /// Name, address, server id, uuid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fenced: Vec<(String, String, u32, Option<String>)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    incidents: String,
    cuts: Vec<(u32, u64)>,
    #[serde(default)]
    purged: String,
}

/// GTID, Unix time in milliseconds, what was owed.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DegradedText {
    Owed(String, u64, String),
    Unknown(String, u64),
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("ackline.state")
}

impl DurableState {
    /// The state kept in `dir`; the default one where there is none yet.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = path(dir);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        Self::parse(&bytes).map_err(|reason| Error::State { path, reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let line = memchr::memchr(b'\n', bytes).ok_or("its first line is not whole")?;
        let (line, json) = (&bytes[..line], &bytes[line + 1..]);
        let crc = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix(MAGIC))
            .and_then(|crc| u32::from_str_radix(crc, 16).ok())
            .ok_or_else(|| format!("it does not begin with '{MAGIC}'"))?;
        if crc != crc32fast::hash(json) {
            return Err("its checksum does not fit".to_owned());
        }
        let text: Text = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut state: Self = text
            .try_into()
            .map_err(|error: ParseError| error.to_string())?;
        // What was released and cut away by a failed fsync (mode async) is nowhere any more.
        if let Some(length) = state.cut_of(state.released.file) {
            state.released.offset = state.released.offset.min(length);
        }
        Ok(state)
    }

    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        self.save_to(&Disk::default(), dir)
    }

    pub(super) fn save_to(&self, disk: &Disk, dir: &Path) -> Result<(), Error> {
        let path = path(dir);
        let json =
            serde_json::to_string_pretty(&Text::from(self)).map_err(|error| Error::State {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        let content = format!("{MAGIC}{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
        disk.replace(&path, content.as_bytes())
            .map_err(|source| Error::io("replace", &path, source))
    }

    /// How much of a file counts; all of it, where nothing was cut.
    pub(super) fn cut_of(&self, file: u32) -> Option<u64> {
        let cuts = self.cuts.iter().filter(|cut| cut.file == file);
        cuts.map(|cut| cut.length).min()
    }
}

impl From<&DurableState> for Text {
    fn from(state: &DurableState) -> Self {
        let source = state.source.as_ref();
        let degraded = state.degraded.iter();
        Self {
            epoch: state.epoch.0,
            source: source.map(|source| (source.name.as_str().to_owned(), source.server_id.0)),
            source_uuid: source.and_then(|source| source.uuid.clone()),
            source_anchor: source.and_then(|source| Some(source.anchor.as_ref()?.text())),
            moving: state.moving.clone(),
            schedule: state.schedule.clone(),
            released: (state.released.file, state.released.offset),
            released_set: state.released_set.to_string(),
            degraded: degraded
                .map(|commit| match &commit.owed {
                    Some(owed) => {
                        DegradedText::Owed(commit.gtid.to_string(), commit.at, owed.clone())
                    }
                    None => DegradedText::Unknown(commit.gtid.to_string(), commit.at),
                })
                .collect(),
            fenced: (state.fenced.iter())
                .map(|(name, machine)| {
                    let Machine {
                        address,
                        server_id,
                        uuid,
                    } = machine.clone();
                    (name.to_string(), address, server_id.0, uuid)
                })
                .collect(),
            incidents: state.incidents.to_string(),
            cuts: state
                .cuts
                .iter()
                .map(|cut| (cut.file, cut.length))
                .collect(),
            purged: state.purged.to_string(),
        }
    }
}

impl TryFrom<Text> for DurableState {
    type Error = ParseError;

    fn try_from(text: Text) -> Result<Self, Self::Error> {
        let degraded = text.degraded.into_iter().map(|commit| {
            let (gtid, at, owed) = match commit {
                DegradedText::Owed(gtid, at, owed) => (gtid, at, Some(owed)),
                DegradedText::Unknown(gtid, at) => (gtid, at, None),
            };
            Ok(DegradedCommit {
                gtid: gtid.parse()?,
                at,
                owed,
            })
        });
        let anchor = text.source_anchor.map(Point::parse).transpose()?;
        let cuts = text.cuts.into_iter();
        let fenced = text.fenced.into_iter().map(|(name, address, id, uuid)| {
            let machine = Machine {
                address,
                server_id: ServerId(id),
                uuid,
            };
            (ServerName::new(&name), machine)
        });
        Ok(Self {
            epoch: Epoch(text.epoch),
            source: text.source.map(|(name, id)| FollowedSource {
                name: ServerName::new(&name),
                server_id: ServerId(id),
                uuid: text.source_uuid,
                anchor,
            }),
            moving: text.moving,
            schedule: text.schedule,
            released: StorePosition::new(text.released.0, text.released.1),
            released_set: text.released_set.parse()?,
            degraded: degraded.collect::<Result<_, Self::Error>>()?,
            fenced: fenced.collect(),
            incidents: text.incidents.parse()?,
            cuts: cuts.map(|(file, length)| Cut { file, length }).collect(),
            purged: text.purged.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            server: ServerName::new("db1"),
            on: true,
            events: Some(vec![ScheduledEvent {
                schema: "shop".into(),
                name: "nightly".into(),
                definer: "joe@%".into(),
                status: EventStatus::Disabled,
                character_set_client: "latin1".into(),
                collation_connection: "latin1_german1_ci".into(),
            }]),
        }
    }

    fn full() -> DurableState {
        DurableState {
            epoch: Epoch(3),
            source: Some(FollowedSource {
                name: ServerName::new("db1"),
                server_id: ServerId(7),
                uuid: Some("4cd677b2-e70c-11f1-a00a-02fc00000001".into()),
                anchor: Some(Point {
                    place: SourcePosition {
                        file: "bin.000007".into(),
                        offset: 4_711,
                    },
                    gtid: "0-7-35".parse().unwrap(),
                    checksum: 0xfeed_beef,
                }),
            }),
            moving: Some(Intent {
                kind: MoveKind::Switchover,
                from: ServerName::new("db1"),
                to: ServerName::new("db2"),
                events: true,
                endpoint: Some(("10.0.0.1".into(), 3308)),
                schedule: Some(schedule()),
            }),
            schedule: Some(schedule()),
            released: StorePosition::new(2, 777),
            released_set: "0-7-1..36,0-9-27".parse().unwrap(),
            degraded: vec![
                DegradedCommit {
                    gtid: "0-7-36".parse().unwrap(),
                    at: 1_700_000_000_000,
                    owed: Some("ANY 1 (*) durable".into()),
                },
                // As an earlier release wrote it.
                DegradedCommit {
                    gtid: "0-7-35".parse().unwrap(),
                    at: 1_700_000_000_000,
                    owed: None,
                },
            ],
            fenced: BTreeMap::from([(
                ServerName::new("db3"),
                Machine {
                    address: "10.0.0.3:3306".into(),
                    server_id: ServerId(3),
                    uuid: None,
                },
            )]),
            incidents: "0-7-12".parse().unwrap(),
            cuts: vec![
                Cut {
                    file: 1,
                    length: 99,
                },
                Cut {
                    file: 1,
                    length: 98,
                },
            ],
            purged: "0-7-1..3".parse().unwrap(),
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            DurableState::load(dir.path()).unwrap(),
            DurableState::default()
        );
        full().save(dir.path()).unwrap();
        assert_eq!(DurableState::load(dir.path()).unwrap(), full());
        assert_eq!(full().cut_of(1), Some(98));
        assert_eq!(full().cut_of(2), None);
    }

    #[test]
    fn what_was_released_and_cut_away_is_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let cut = DurableState {
            released: StorePosition::new(1, 777),
            ..full()
        };
        cut.save(dir.path()).unwrap();
        let loaded = DurableState::load(dir.path()).unwrap();
        assert_eq!(loaded.released, StorePosition::new(1, 98));
    }

    #[test]
    fn a_torn_or_changed_file_is_an_error_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        full().save(dir.path()).unwrap();
        let bytes = std::fs::read(path(dir.path())).unwrap();
        for at in 0..bytes.len() {
            assert!(DurableState::parse(&bytes[..at]).is_err(), "torn at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x01;
            assert!(DurableState::parse(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_crash_while_saving_leaves_the_old_or_the_new_state() {
        for steps in 0..6 {
            let dir = tempfile::tempdir().unwrap();
            DurableState::default().save(dir.path()).unwrap();
            let disk = Disk {
                faults: Some(std::sync::Arc::default()),
            };
            disk.faults.as_ref().unwrap().crash_after(steps);
            let saved = full().save_to(&disk, dir.path()).is_ok();
            let loaded = DurableState::load(dir.path()).unwrap();
            assert!(loaded == full() || (!saved && loaded == DurableState::default()));
        }
    }
}

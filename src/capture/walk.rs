//! Walks a server's own binlog to its end: by file and position, never by GTID (a MariaDB server with an
//! empty list of GTIDs serves an old start silently with a gap), with server id 0, and never as a semi-sync
//! replica. It goes on behind the last transaction of the walk before, if that still stands there byte for
//! byte; else it begins anew.

use std::time::Duration;

use super::feed::{self, Action, Feed};
use super::history::{Base, History};
use crate::event::format_description::FormatDescription;
use crate::event::{self, Algorithm, CHECKSUM_LENGTH, EventType, Header, checksum, gtid_list};
use crate::gtid::mariadb::BinlogState;
use crate::gtid::{Gtid, GtidSet, Position};
use crate::ids::{Flavor, ServerId, SourcePosition};
use crate::net::admin::{Account, Admin};
use crate::net::{self, PacketReader, PacketWriter};
use crate::protocol;
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::err::ErrPacket;
use crate::protocol::semi_sync::EventPacket;
use crate::store::state::Point;

/// A server that sends nothing for so long does not answer.
pub(super) const STEP: Duration = Duration::from_secs(5);
pub(super) const FIRST_EVENT: u64 = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(transparent)]
    Feed(#[from] feed::Error),
    #[error("it sent a broken event: {0}")]
    Event(#[from] event::Error),
    #[error("it sent {0}")]
    Packet(#[from] protocol::Error),
    #[error("{0}")]
    Said(String),
}

/// A server's history, and where it stood before it was walked.
#[derive(Clone, Debug)]
pub struct Walked {
    pub history: History,
    /// `gtid_slave_pos`, or MySQL's `gtid_executed`: all of it is in the binlog that was walked, or in its base.
    pub position: Position,
    pub before: Before,
}

impl Walked {
    /// What it wrote, or took from elsewhere, and ours has not; what it took is not always logged.
    pub fn beyond(&self, ours: &GtidSet) -> GtidSet {
        let mut beyond = self.history.beyond(ours);
        match &self.position {
            Position::MySql(executed) => beyond.merge(&executed.difference(ours)),
            Position::MariaDb(position) => {
                let unknown = |domain: u32| ours.iter_domains().all(|known| known != domain);
                let foreign = position.iter().filter(|gtid| unknown(gtid.domain));
                foreign.for_each(|gtid| beyond.insert(&gtid.into()));
            }
        }
        beyond
    }
}

/// What became of what earlier walks have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It still stands there; the walk went on behind it.
    Stands,
    /// Its files are gone, and newer ones of the same name are left: what was in between nobody has read.
    Purged,
    /// This is another binlog, or the first one that was walked.
    Other,
}

impl Before {
    fn of(known: Option<&Point>, oldest: &str) -> Self {
        let parts = |file: &str| {
            let (name, number) = file.rsplit_once('.')?;
            Some((name.to_owned(), number.parse::<u64>().ok()?))
        };
        let known = known.and_then(|point| parts(&point.place.file));
        match (known, parts(oldest)) {
            (Some((name, number)), Some((same, newer))) if name == same && number < newer => {
                Self::Purged
            }
            _ => Self::Other,
        }
    }
}

/// `known`: what walks of the same server have found before.
pub async fn walk(account: &Account, known: Option<History>) -> Result<Walked, Error> {
    let mut admin = Admin::connect(account, STEP).await?;
    let flavor = admin.flavor();
    let (variable, base) = match flavor {
        Flavor::MariaDb => ("gtid_slave_pos", None),
        Flavor::MySql => ("gtid_executed", Some("gtid_purged")),
    };
    let position = ask(&mut admin, variable).await?;
    let files = files(&mut admin).await?;
    let purged = match base {
        Some(variable) => Some(ask(&mut admin, variable).await?),
        None => None,
    };
    admin.close().await;
    let begun = || {
        let base = match &purged {
            Some(Position::MySql(set)) => Base::Set(set.clone()),
            _ => Base::List(BinlogState::new()),
        };
        History::begin(base, position.clone())
    };
    if let Some(known) = &known
        && let Some(point) = known.point().cloned()
        && files.iter().any(|file| **file == *point.place.file)
        && let start = point.place.clone()
        && let walker = Walker::new(known.clone(), Some(point), start.clone())
        && let Some(history) = walker.run(account, flavor, start).await?
    {
        return Ok(Walked {
            history,
            position,
            before: Before::Stands,
        });
    }
    let first = files
        .first()
        .ok_or_else(|| Error::Said("it has no binary log".into()))?;
    let start = SourcePosition {
        file: first.as_str().into(),
        offset: FIRST_EVENT,
    };
    let walker = Walker::new(begun(), None, start.clone());
    let history = walker.run(account, flavor, start).await?;
    let mut history =
        history.ok_or_else(|| Error::Said("its binary log changed meanwhile".into()))?;
    history.found(known.as_ref());
    let before = match &known {
        Some(known) if known.was_empty_of(&history) => Before::Stands,
        known => Before::of(known.as_ref().and_then(History::point), first),
    };
    Ok(Walked {
        history,
        position,
        before,
    })
}

/// Whether this transaction stands in the server's binlog where it was seen, byte for byte.
pub async fn stands(account: &Account, flavor: Flavor, point: &Point) -> Result<bool, Error> {
    let nothing = History::begin(Base::Set(GtidSet::new()), Position::MySql(GtidSet::new()));
    let start = point.place.clone();
    let mut walker = Walker::new(nothing, Some(point.clone()), start.clone());
    walker.only_expected = true;
    let found = walker.run(account, flavor, start).await?;
    Ok(found.is_some())
}

/// Of its binlog, the oldest first.
pub(super) async fn files(admin: &mut Admin) -> Result<Vec<String>, Error> {
    let rows = admin.query("SHOW BINARY LOGS").await?;
    let names = rows.iter().filter_map(|row| row.at(0));
    Ok(names.map(ToOwned::to_owned).collect())
}

pub(super) async fn ask(admin: &mut Admin, variable: &str) -> Result<Position, Error> {
    let text = admin.value(&format!("SELECT @@global.{variable}")).await?;
    let text = text.unwrap_or_default();
    Position::parse(admin.flavor(), &text)
        .map_err(|_| Error::Said(format!("its {variable} is '{text}'")))
}

struct Walker {
    history: History,
    /// Has to come first, as it was.
    expected: Option<Point>,
    /// What comes behind it does not matter.
    only_expected: bool,
    feed: Feed,
    algorithm: Algorithm,
    /// The file that the walk began in: only the list of the oldest one is a base.
    first_file: bool,
    /// An INCIDENT stands before the next transaction, or within the one that is being sent.
    incident: bool,
    transaction: Running,
}

/// The transaction that is being sent, as it stands in the server's binlog.
#[derive(Default)]
pub(super) struct Running {
    start: Option<SourcePosition>,
    checksum: crc32fast::Hasher,
    events: usize,
}

/// The event's own checksum comes first: a CRC over bytes and their CRC is the same number for all bytes, and only
/// the lengths would tell one transaction from another.
fn add(checksum: &mut crc32fast::Hasher, event: &[u8]) {
    let own = event.len().saturating_sub(CHECKSUM_LENGTH);
    checksum.update(&event[own..]);
    checksum.update(event);
}

impl Running {
    /// The next event of it, as it was sent, and where it begins.
    pub(super) fn note(&mut self, event: &[u8], begin: SourcePosition) {
        self.start.get_or_insert(begin);
        add(&mut self.checksum, event);
        self.events += 1;
    }

    /// It ended. None of one that begins where no dump can: nobody could look there again.
    pub(super) fn end(&mut self, gtid: &Gtid) -> (Option<Point>, usize) {
        let Self {
            start,
            checksum,
            events,
        } = std::mem::take(self);
        let place = start.filter(|place| place.dump_offset().is_some());
        let point = place.map(|place| Point {
            place,
            gtid: gtid.clone(),
            checksum: checksum.finalize(),
        });
        (point, events)
    }
}

impl Walker {
    fn new(history: History, expected: Option<Point>, start: SourcePosition) -> Self {
        Self {
            history,
            first_file: expected.is_none() && start.offset == FIRST_EVENT,
            expected,
            only_expected: false,
            feed: Feed::new(false, None),
            algorithm: Algorithm::Off,
            incident: false,
            transaction: Running::default(),
        }
    }

    async fn run(
        mut self,
        account: &Account,
        flavor: Flavor,
        start: SourcePosition,
    ) -> Result<Option<History>, Error> {
        // The connection ends with its writing half.
        let (mut reader, _writer) = dump(account, flavor, &start).await?;
        loop {
            let ready = tokio::time::timeout(STEP, reader.ready()).await;
            ready.map_err(|_| Error::Said("it stopped sending its binary log".into()))??;
            while let Some(packet) = reader.try_next()? {
                let payload = packet.payload;
                match payload.first() {
                    Some(&ErrPacket::FIRST) if self.expected.is_some() => return Ok(None),
                    Some(&ErrPacket::FIRST) => {
                        return Err(Error::Said(ErrPacket::parse(payload)?.to_string()));
                    }
                    Some(0xfe) if payload.len() < 9 => {
                        let lost = self.expected.is_some();
                        return Ok((!lost).then_some(self.history));
                    }
                    _ => {}
                }
                match self.take(payload) {
                    Ok(true) if self.only_expected && self.expected.is_none() => {
                        return Ok(Some(self.history));
                    }
                    Ok(true) => {}
                    Ok(false) => return Ok(None),
                    // In the middle of other bytes.
                    Err(_) if self.expected.is_some() => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// False where it is not the binlog of the last walk.
    fn take(&mut self, payload: &[u8]) -> Result<bool, Error> {
        let event = EventPacket::parse(payload, false)?.event;
        let header = Header::parse(event)?;
        match header.kind {
            EventType::FORMAT_DESCRIPTION => {
                self.algorithm = FormatDescription::parse(event)?.algorithm();
                if self.first_file {
                    let mut head = crc32fast::Hasher::new();
                    add(&mut head, event);
                    self.history.set_head(head.finalize());
                }
            }
            EventType::GTID_LIST if std::mem::take(&mut self.first_file) => {
                let list = gtid_list::parse(checksum::strip(event, self.algorithm)?)?;
                self.history.set_list(BinlogState::from_list(&list));
            }
            _ => {}
        }
        let is_query = header.kind == EventType::QUERY;
        self.incident |= header.kind == EventType::INCIDENT;
        match self.feed.packet(payload)? {
            Action::Append(_) => {
                self.transaction.note(event, self.feed.begin());
            }
            Action::Commit { gtid, .. } => {
                self.transaction.note(event, self.feed.begin());
                let (point, events) = self.transaction.end(&gtid);
                let incident = std::mem::take(&mut self.incident);
                if let Some(expected) = self.expected.take() {
                    return Ok(point == Some(expected));
                }
                // GTID, BEGIN, COMMIT.
                let is_empty = is_query && events == 3 && gtid.flavor() == Flavor::MySql;
                self.history.saw(&gtid, is_empty);
                if incident {
                    self.history.saw_incident(&gtid);
                }
                if let Some(point) = point {
                    self.history.ends_at(point);
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

pub(super) async fn dump(
    account: &Account,
    flavor: Flavor,
    start: &SourcePosition,
) -> Result<(PacketReader, PacketWriter), Error> {
    let offset = start
        .dump_offset()
        .ok_or_else(|| Error::Said(format!("{start} is beyond what a dump can be asked for")))?;
    let login = async {
        let (mut stream, _) = net::login::connect_and_login(account, STEP).await?;
        let statements: &[&str] = match flavor {
            Flavor::MariaDb => &[
                "SET @master_binlog_checksum=@@global.binlog_checksum",
                "SET @mariadb_slave_capability=4",
            ],
            Flavor::MySql => &["SET @source_binlog_checksum=@@global.binlog_checksum"],
        };
        for statement in statements {
            stream.execute(statement).await?;
        }
        let mut command = Vec::new();
        // As capture asks, so that the same bytes come. What MariaDB calls so is another flag of MySQL's.
        let annotated = match flavor {
            Flavor::MariaDb => BinlogDump::SEND_ANNOTATE_ROWS,
            Flavor::MySql => 0,
        };
        BinlogDump {
            position: offset,
            flags: BinlogDump::NON_BLOCK | annotated,
            server_id: ServerId(0),
            file: start.file.as_bytes().to_vec(),
        }
        .write(&mut command);
        stream.command(&command).await?;
        Ok::<_, net::Error>(stream.into_halves())
    };
    let halves = tokio::time::timeout(STEP, login).await;
    Ok(halves.map_err(|_| Error::Said("it does not answer the walk's login".into()))??)
}

/// What of ours a server at this position must have, and has not.
pub fn holes(walked: &Walked, ours: &GtidSet, has: &GtidSet) -> GtidSet {
    let claimed = match &walked.position {
        Position::MySql(set) => {
            let missing = ours.difference(set);
            ours.difference(&missing)
        }
        Position::MariaDb(position) => {
            let limits = position.iter().map(|gtid| (gtid.domain, gtid.seq));
            ours.up_to(&limits.collect())
        }
    };
    claimed.difference(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_length_are_told_from_each_other() {
        let sum = |bodies: [&[u8]; 2]| {
            let mut checksum = crc32fast::Hasher::new();
            for body in bodies {
                let own = crc32fast::hash(body).to_le_bytes();
                add(&mut checksum, &[body, &own].concat());
            }
            checksum.finalize()
        };
        let sums = [
            sum([b"one", b"two"]),
            sum([b"two", b"one"]),
            sum([b"one", b"one"]),
            sum([b"two", b"two"]),
        ];
        let different: std::collections::BTreeSet<u32> = sums.into_iter().collect();
        assert_eq!(different.len(), sums.len(), "{sums:?}");
    }

    #[test]
    fn files_that_expired_are_told_from_another_binlog() {
        let point = |file: &str| Point {
            place: SourcePosition {
                file: file.into(),
                offset: 4,
            },
            gtid: "0-1-7".parse().unwrap(),
            checksum: 1,
        };
        for (known, oldest, before) in [
            ("bin.000007", "bin.000009", Before::Purged),
            ("bin.999999", "bin.1000000", Before::Purged),
            ("bin.000007", "bin.000007", Before::Other),
            ("bin.000007", "bin.000001", Before::Other),
            ("bin.000007", "other.000009", Before::Other),
            ("bin", "bin.000009", Before::Other),
        ] {
            assert_eq!(Before::of(Some(&point(known)), oldest), before, "{known}");
        }
        assert_eq!(Before::of(None, "bin.000009"), Before::Other);
    }
}

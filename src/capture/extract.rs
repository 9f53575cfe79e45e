//! Reads transactions out of a server's own binlog, by their GTIDs: as the [walk](super::walk) reads it, but from the
//! newest file on before which none of them can be.

use tokio::sync::mpsc;

use super::feed::{Action, Feed};
use super::walk::{Error, FIRST_EVENT, STEP, dump, files};
use crate::event::format_description::FormatDescription;
use crate::event::{Algorithm, EventType, Header, checksum, gtid_list, previous_gtids};
use crate::gtid::mariadb::BinlogState;
use crate::gtid::{Gtid, GtidSet, State};
use crate::ids::{Flavor, SourcePosition};
use crate::net::PacketReader;
use crate::net::admin::{Account, Admin};
use crate::protocol::err::ErrPacket;
use crate::protocol::semi_sync::EventPacket;

/// Of a transaction, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Begin {
        gtid: Gtid,
        /// Unix time in seconds, by the server's clock.
        time: u32,
    },
    /// Without its checksum.
    Event(Vec<u8>),
    End,
}

/// Sends each transaction of `set` that stands there, in the binlog's order. It ends early, and without an error, where
/// nobody takes them any more.
pub async fn extract(
    account: &Account,
    set: &GtidSet,
    to: mpsc::Sender<Piece>,
) -> Result<(), Error> {
    let mut admin = Admin::connect(account, STEP).await?;
    let flavor = admin.flavor();
    let files = files(&mut admin).await?;
    admin.close().await;
    let start = first(account, flavor, &files, set).await?;
    let mut extractor = Extractor {
        set,
        feed: Feed::new(false, None),
        running: Running::None,
    };
    // The connection ends with its writing half.
    let (mut reader, _writer) = dump(account, flavor, &start).await?;
    while let Some(payload) = next(&mut reader).await? {
        for piece in extractor.take(payload)?.into_iter().flatten() {
            if to.send(piece).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// None at the end of the binlog.
async fn next(reader: &mut PacketReader) -> Result<Option<&[u8]>, Error> {
    let packet = tokio::time::timeout(STEP, reader.next()).await;
    let packet = packet.map_err(|_| Error::Said("it stopped sending its binary log".into()))??;
    match packet.payload {
        error @ [ErrPacket::FIRST, ..] => Err(Error::Said(ErrPacket::parse(error)?.to_string())),
        [0xfe, rest @ ..] if rest.len() < 8 => Ok(None),
        event => Ok(Some(event)),
    }
}

/// Of these files, which are in their order, the one to begin in.
async fn first(
    account: &Account,
    flavor: Flavor,
    files: &[String],
    set: &GtidSet,
) -> Result<SourcePosition, Error> {
    for (older, file) in files.iter().enumerate().rev() {
        let begin = SourcePosition {
            file: file.as_str().into(),
            offset: FIRST_EVENT,
        };
        if older == 0 {
            return Ok(begin);
        }
        let before = before(account, flavor, &begin).await?;
        if before.is_some_and(|before| set.difference(&before) == *set) {
            return Ok(begin);
        }
    }
    Err(Error::Said("it has no binary log".into()))
}

/// What may stand in the files before this one, as its head says; None where it does not say so. MariaDB names the last
/// one of each domain and server, and they grow where it is strict, as a source is.
async fn before(
    account: &Account,
    flavor: Flavor,
    begin: &SourcePosition,
) -> Result<Option<GtidSet>, Error> {
    let (mut reader, _writer) = dump(account, flavor, begin).await?;
    let mut algorithm = Algorithm::Off;
    while let Some(payload) = next(&mut reader).await? {
        let event = EventPacket::parse(payload, false)?.event;
        match Header::parse(event)?.kind {
            EventType::FORMAT_DESCRIPTION => {
                algorithm = FormatDescription::parse(event)?.algorithm();
            }
            EventType::GTID_LIST => {
                let list = gtid_list::parse(checksum::strip(event, algorithm)?)?;
                let state = State::MariaDb(BinlogState::from_list(&list));
                return Ok(Some(state.claimed()));
            }
            EventType::PREVIOUS_GTIDS => {
                let event = checksum::strip(event, algorithm)?;
                return Ok(Some(previous_gtids::parse(event)?));
            }
            EventType::ROTATE | EventType::START_ENCRYPTION => {}
            _ => break,
        }
    }
    Ok(None)
}

/// The transaction that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    None,
    Wanted,
    Other,
}

struct Extractor<'a> {
    set: &'a GtidSet,
    feed: Feed,
    running: Running,
}

impl Extractor<'_> {
    fn take(&mut self, payload: &[u8]) -> Result<[Option<Piece>; 2], Error> {
        let time = Header::parse(EventPacket::parse(payload, false)?.event)?.timestamp;
        let action = self.feed.packet(payload)?;
        Ok(match (action, self.running) {
            // Its GTID.
            (Action::Append(_), Running::None) => {
                let gtid = self.feed.running();
                let gtid = gtid.filter(|gtid| self.set.contains(gtid)).cloned();
                self.running = match gtid {
                    Some(_) => Running::Wanted,
                    None => Running::Other,
                };
                [gtid.map(|gtid| Piece::Begin { gtid, time }), None]
            }
            (Action::Append(event), Running::Wanted) => [Some(Piece::Event(event.to_vec())), None],
            (Action::Commit { event, .. }, running) => {
                self.running = Running::None;
                match running {
                    Running::Wanted => [Some(Piece::Event(event.to_vec())), Some(Piece::End)],
                    _ => [None, None],
                }
            }
            _ => [None, None],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{golden, seal};

    /// As a dump sends them. All but the first have lost their checksums.
    fn packets(version: &str, file: &str) -> Vec<Vec<u8>> {
        let mut events = golden::events_of(version, file);
        for event in events.iter_mut().skip(1) {
            let end = Header::parse(event).unwrap().next_position;
            seal(event, end).unwrap();
        }
        let packet = |event: Vec<u8>| [&[0], &event[..]].concat();
        events.into_iter().map(packet).collect()
    }

    /// What is found of a file, and what is in it of that.
    fn extracted(
        version: &str,
        file: &str,
        wanted: impl Fn(u64) -> bool,
    ) -> (Vec<Gtid>, Vec<Gtid>) {
        let packets = packets(version, file);
        let (mut feed, mut all) = (Feed::new(false, None), Vec::new());
        for packet in &packets {
            if let Action::Commit { gtid, .. } = feed.packet(packet).unwrap() {
                all.push(gtid);
            }
        }
        let set = all.iter().filter(|gtid| wanted(gtid.number())).cloned();
        let set: GtidSet = set.collect();
        let mut extractor = Extractor {
            set: &set,
            feed: Feed::new(false, None),
            running: Running::None,
        };
        let (mut found, mut open) = (Vec::new(), false);
        for packet in &packets {
            for piece in extractor.take(packet).unwrap().into_iter().flatten() {
                match piece {
                    Piece::Begin { gtid, .. } => {
                        assert!(!std::mem::replace(&mut open, true));
                        found.push(gtid);
                    }
                    Piece::Event(_) => assert!(open),
                    Piece::End => assert!(std::mem::replace(&mut open, false)),
                }
            }
        }
        assert!(!open);
        assert!(!all.is_empty());
        all.retain(|gtid| set.contains(gtid));
        (found, all)
    }

    #[test]
    fn those_of_the_set_and_no_others_are_sent() {
        for (version, file) in [
            (golden::MARIADB, "mixed.000002"),
            (golden::MARIADB, "compressed.000003"),
            (golden::MYSQL, "plain.000001"),
            (golden::MYSQL, "tagged.000002"),
        ] {
            for remainder in [0, 1] {
                let (found, wanted) = extracted(version, file, |number| number % 2 == remainder);
                assert_eq!(found, wanted, "{version} {file}");
            }
            let (none, _) = extracted(version, file, |_| false);
            assert_eq!(none, [], "{version} {file}");
        }
    }
}

//! Where a dump begins, and the waiting of those who are ahead of us.

use std::time::Duration;

use tokio::time::Instant;

use super::dump::{self, Stream};
use super::error::Error;
use super::progress::{Entered, Progress, Reader};
use crate::gtid::{Gtid, Position};
use crate::ids::StorePosition;
use crate::store::{Located, Store, file_number};

/// Servers keep no more of an error's message (MYSQL_ERRMSG_SIZE).
const LONGEST_MESSAGE: usize = 500;
/// A held replica without heartbeats of its own gets them this often, to see whether it still lives.
const HELD_HEARTBEAT: Duration = Duration::from_secs(1);

/// From the COM_BINLOG_DUMP to the end of the connection.
pub(super) async fn run(mut stream: Stream<'_>) -> Result<(), Error> {
    let row = stream.ship.readers.enter(Reader {
        connection: stream.id,
        server_id: stream.server_id,
        identity: stream.identity.clone(),
        peer: stream.peer.to_string(),
        semi_sync: stream.asked.semi_sync,
        progress: Progress::Held {
            reason: "looking for where it stands".into(),
        },
        acked: None,
    });
    let from = match stream.asked.connect_state.clone() {
        Some(position) => by_gtid(&mut stream, &position, &row).await?,
        None => by_file(&mut stream).await?,
    };
    dump::send(stream, from, row).await
}

/// A MariaDB replica that gets error 1236 stops for good, so one that is ahead of us waits here until
/// capture or a failover has settled it, and one on another branch waits for an operator. One that needs
/// what is purged gets it, as from any source: nothing that happens here can help it.
async fn by_gtid(
    stream: &mut Stream<'_>,
    position: &Position,
    row: &Entered,
) -> Result<StorePosition, Error> {
    let mut marks = stream.ship.store.marks();
    let mut held = false;
    let mut held_in = StorePosition::ZERO;
    loop {
        marks.borrow_and_update();
        let store = stream.ship.store.clone();
        let wanted = position.clone();
        // May have to look through a file.
        let located = tokio::task::spawn_blocking(move || store.locate(&wanted))
            .await
            .map_err(|_| Error::Peer("the search for its position failed".into()))??;
        let progress = match located {
            Located::At(from) => {
                if held {
                    tracing::info!(server = %stream.identity.name, %from, "no longer held: our binlog has what it has");
                }
                return Ok(from);
            }
            Located::Ahead { missing } => Progress::Held {
                reason: format!(
                    "it has {}, which our binlog lacks; it goes on by itself once capture or a failover has settled it",
                    listed(&missing)
                ),
            },
            Located::Diverged { theirs: missing } => Progress::Refused {
                reason: format!(
                    "it has {}, which our binlog passed by: another history, set this replica up anew",
                    listed(&missing)
                ),
            },
            Located::Purged { gone } => {
                tracing::warn!(server = %stream.identity.name, at = %position, %gone, "refused: what it needs is before the beginning of our binlog; ackline provision --replace makes a copy of it");
                let message = purged(position, &stream.ship.store);
                return refuse(stream, &message).await;
            }
        };
        // The file in which heartbeats place it; it is told another one when its dump begins.
        let place = StorePosition::new(marks.borrow().written.file, 0);
        if !held {
            tracing::warn!(server = %stream.identity.name, at = %position, ?progress, "held");
            held_in = place;
            stream.outbox.rotate(held_in);
            stream.outbox.flush().await?;
        }
        held = true;
        row.update(|reader| reader.progress = progress.clone());
        let every = stream.asked.heartbeat.unwrap_or(HELD_HEARTBEAT);
        let heartbeat = Instant::now() + every;
        tokio::select! {
            // Cancel-safe: a watch and a timer.
            _ = marks.changed() => {}
            () = tokio::time::sleep_until(heartbeat) => {
                stream.outbox.heartbeat(held_in);
                stream.outbox.flush().await?;
            }
        }
    }
}

/// Tools name a file and an offset (`mariadb-binlog --read-from-remote-server`).
async fn by_file(stream: &mut Stream<'_>) -> Result<StorePosition, Error> {
    let files = stream.ship.store.files();
    let wanted = if stream.request.file.is_empty() {
        files.first().map(|file| file.number)
    } else {
        std::str::from_utf8(&stream.request.file)
            .ok()
            .and_then(file_number)
    };
    let known = wanted.filter(|number| files.iter().any(|file| file.number == *number));
    let Some(number) = known else {
        return refuse(
            stream,
            "Could not find first log file name in binary log index file",
        )
        .await;
    };
    let offset = stream.request.position.max(4);
    let from = StorePosition::new(number, offset);
    if from > dump::visible_to_readers(stream.ship) {
        return refuse(
            stream,
            "Client requested source to start replication from position > file size",
        )
        .await;
    }
    Ok(from)
}

async fn refuse<T>(stream: &mut Stream<'_>, message: &str) -> Result<T, Error> {
    stream.outbox.refuse(message).await?;
    Err(Error::Peer(message.to_owned()))
}

/// In the words of a server of its flavor, which people search for.
fn purged(position: &Position, store: &Store) -> String {
    match position {
        Position::MariaDb(_) => "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and required binlog files have been purged.".to_owned(),
        Position::MySql(set) => {
            let message = format!(
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions from elsewhere, or provision a new replica from backup. Consider increasing the source's binary log expiration period. The GTID set sent by the replica is '{set}', and the missing transactions are '{}'",
                store.purged_beyond(position)
            );
            message.chars().take(LONGEST_MESSAGE).collect()
        }
    }
}

/// The first few, and how many more.
fn listed(gtids: &[Gtid]) -> String {
    const SHOWN: usize = 5;
    let mut text = gtids
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if gtids.len() > SHOWN {
        text.push_str(&format!(" and {} more", gtids.len() - SHOWN));
    }
    text
}

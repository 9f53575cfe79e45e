//! One connection of the replication port, from login to its dump.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

use super::questions::{self, Answer, Asked, Checksum, Facts};
use super::{Ship, ack_receiver, dump, start};
use crate::ids::ServerId;
use crate::net::{self, PacketReader, PacketWriter};
use crate::protocol::command::Command;
use crate::protocol::replication::{BinlogDump, RegisterReplica};
use crate::protocol::{err::ErrPacket, ok, result_set};

const LOGIN: Duration = Duration::from_secs(10);
/// A replica that logged in and then says nothing; it keeps no resources of ours for ever.
const SILENT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error("{0}")]
    Peer(String),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub(super) async fn serve(ship: &Ship, id: u32, stream: TcpStream, peer: SocketAddr) -> Result<(), Error> {
    let version = ship.source.borrow().version.clone();
    let credentials = |user: &str| (user == ship.config.user).then(|| ship.config.password.clone());
    let login = net::serve_login(stream, &version, id, credentials);
    let (mut reader, mut writer) = tokio::time::timeout(LOGIN, login).await.map_err(|_| Error::Peer("no login within 10 s".into()))??;

    let mut asked = Asked::default();
    let mut registered = None;
    loop {
        let Ok(packet) = tokio::time::timeout(SILENT, reader.command()).await else {
            return Err(Error::Peer("silent for 60 s after its login".into()));
        };
        let Some(packet) = packet? else {
            return Ok(());
        };
        match Command::of(&packet) {
            Some(Command::Quit) | None => return Ok(()),
            Some(Command::Ping) => writer.reply(&[ok::plain()]).await?,
            Some(Command::Query) => {
                let statement = String::from_utf8_lossy(&packet[1..]).into_owned();
                reply(ship, &mut writer, questions::answer(&mut asked, &statement, &facts(ship))).await?;
            }
            Some(Command::RegisterReplica) => match RegisterReplica::parse(&packet) {
                Ok(replica) => {
                    registered = Some(replica.server_id);
                    writer.reply(&[ok::plain()]).await?;
                }
                Err(error) => return refuse(&mut writer, 1105, &format!("ackline: COM_REGISTER_SLAVE: {error}")).await,
            },
            Some(Command::BinlogDump) => {
                let request = match BinlogDump::parse(&packet) {
                    Ok(request) => request,
                    Err(error) => return refuse(&mut writer, 1105, &format!("ackline: COM_BINLOG_DUMP: {error}")).await,
                };
                return run_dump(ship, id, peer, reader, writer, asked, registered, request).await;
            }
            Some(other) => {
                let message = format!("ackline: the replication port does not know {other:?}; for SQL use the application port");
                writer.reply(&[ErrPacket::new(1235, *b"42000", message).encode()]).await?;
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "the pieces of one connection change hands here once")]
async fn run_dump(
    ship: &Ship,
    id: u32,
    peer: SocketAddr,
    reader: PacketReader,
    mut writer: PacketWriter,
    asked: Asked,
    registered: Option<ServerId>,
    request: BinlogDump,
) -> Result<(), Error> {
    if asked.checksum == Checksum::Unaware {
        return refuse(&mut writer, 1236, "ackline: our binlog has checksums (CRC32) and this reader did not say that it knows them (SET @master_binlog_checksum)").await;
    }
    if asked.capability < 4 {
        return refuse(&mut writer, 1236, "ackline: our binlog has GTID events and this reader did not say that it knows them (SET @mariadb_slave_capability=4)").await;
    }
    // Who never registered is a tool; its server id is only a label.
    let server_id = registered.unwrap_or(request.server_id);
    let identity = match registered {
        Some(server_id) => ship.identify(server_id),
        None => super::Identity::unlisted(server_id),
    };
    if identity.listed && asked.connect_state.is_none() {
        return refuse(&mut writer, 1236, "ackline: a replica follows this port by GTID: run CHANGE MASTER TO MASTER_USE_GTID=slave_pos on it").await;
    }
    tracing::info!(connection = id, %peer, server = %identity.name, semi_sync = asked.semi_sync, votes = identity.votes, "dump begins");
    let ack_receiver = ack_receiver::AckReceiver::new(reader);
    let stream = dump::Stream { ship, id, peer, server_id, identity, registered: registered.is_some(), asked, request, writer, ack_receiver };
    start::run(stream).await
}

async fn reply(ship: &Ship, writer: &mut PacketWriter, answer: Answer) -> Result<(), Error> {
    let packets = match answer {
        Answer::Ok => vec![ok::plain()],
        Answer::Rows { columns, rows } => result_set::text(&columns, &rows),
        Answer::Kill(id) if ship.kill(id) => vec![ok::plain()],
        Answer::Kill(id) => vec![ErrPacket::new(1094, *b"HY000", format!("Unknown thread id: {id}")).encode()],
        Answer::Error { code, state, message } => {
            let mut sqlstate = *b"HY000";
            sqlstate.copy_from_slice(&state.as_bytes()[..5]);
            vec![ErrPacket::new(code, sqlstate, message).encode()]
        }
    };
    Ok(writer.reply(&packets).await?)
}

/// The last packet of a connection.
async fn refuse(writer: &mut PacketWriter, code: u16, message: &str) -> Result<(), Error> {
    writer.reply(&[ErrPacket::new(code, *b"HY000", message.to_owned()).encode()]).await?;
    Err(Error::Peer(message.to_owned()))
}

fn facts(ship: &Ship) -> Facts {
    let source = ship.source.borrow().clone();
    let visible = dump::visible_to_readers(ship);
    Facts {
        server_id: ship.config.server_id,
        version: source.version,
        gtid_domain_id: source.gtid_domain_id,
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default(),
        files: ship.store.files().into_iter().map(|file| (file.name, file.bytes)).collect(),
        end: (crate::store::file_name(visible.file), visible.offset, ship.store.end().to_string()),
    }
}

//! One connection of the replication port, from login to its dump.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::ack_receiver::AckReceiver;
use super::compatible;
use super::error::Error;
use super::outbox::Outbox;
use super::questions::{self, Answer, Asked, Checksum, Facts};
use super::request::{Registered, Request};
use super::{Guest, Guests, Identity, Ship, Stage, dump, start};
use crate::gtid::Position;
use crate::ids::Flavor;
use crate::net::serve_login::{Greeting, Served, serve_login};
use crate::net::stream::Stream;
use crate::net::{self, PacketStream};
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::binlog_dump_gtid::BinlogDumpGtid;
use crate::protocol::ok::{OkPacket, status};
use crate::protocol::register_slave::RegisterSlave;
use crate::protocol::{Capabilities, Command, ErrPacket};

/// What replicas and tools send is short.
pub(super) const MAX_COMMAND: usize = 1 << 20;
const LOGIN: Duration = Duration::from_secs(10);
/// A replica that logged in and then says nothing; it keeps no resources of ours for ever.
const SILENT: Duration = Duration::from_secs(60);

pub(super) async fn serve(
    ship: &Ship,
    id: u32,
    stream: Stream,
    peer: SocketAddr,
    guests: &Guests,
    stage: &watch::Sender<Stage>,
) -> Result<(), Error> {
    // By another flavor's greeting a replica would ask another flavor's questions, and be refused for good.
    let mut source = ship.source.clone();
    let known = source.wait_for(|source| source.known);
    if !matches!(tokio::time::timeout(LOGIN, known).await, Ok(Ok(_))) {
        return Err(Error::SourceUnknown);
    }
    let version = source.borrow().version.clone();
    let greeting = Greeting {
        server_version: version,
        connection_id: id,
        timeout: LOGIN,
        tls: ship.config.tls.offer(),
    };
    let config = &ship.config;
    let stream = PacketStream::new(stream, MAX_COMMAND);
    let served = serve_login(stream, Some(peer), &greeting, |user| {
        (user == config.user).then(|| config.password.clone())
    });
    let mut stream = match served.await? {
        Served::Here(stream, logged_in) => {
            if let Some(algorithm) = logged_in.compression {
                tracing::info!(connection = id, %peer, %algorithm, "the channel is compressed");
            }
            stream
        }
        Served::Unknown(stream, login) => {
            let sequence = stream.writer.sequence().wrapping_sub(1);
            let (stream, ahead) = stream.into_stream()?;
            guests(Guest {
                id,
                stream,
                ahead,
                peer,
                login,
                sequence,
            })
            .await;
            return Ok(());
        }
    };

    stage.send_replace(Stage::Questions);
    let mut asked = Asked::default();
    let mut registered = Registered::No;
    loop {
        let Ok(packet) = tokio::time::timeout(SILENT, stream.read()).await else {
            return Err(Error::Peer("silent for 60 s after its login".into()));
        };
        let packet = match packet {
            Ok(packet) => packet.to_vec(),
            Err(net::Error::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some((command, argument)) = packet.split_first() else {
            return Ok(());
        };
        match Command(*command) {
            Command::QUIT => return Ok(()),
            Command::PING => ok(&mut stream).await?,
            Command::QUERY => {
                let statement = String::from_utf8_lossy(argument);
                let answer = questions::answer(&mut asked, &statement, &facts(ship));
                reply(ship, &mut stream, answer).await?;
            }
            Command::REGISTER_SLAVE => {
                registered = Registered::As(
                    RegisterSlave::parse(&packet)
                        .map_err(net::Error::from)?
                        .server_id,
                );
                ok(&mut stream).await?;
            }
            Command::BINLOG_DUMP => {
                stage.send_replace(Stage::Dump);
                let request = BinlogDump::parse(&packet).map_err(net::Error::from)?.into();
                return run_dump(ship, id, peer, stream, asked, registered, request).await;
            }
            Command::BINLOG_DUMP_GTID => {
                stage.send_replace(Stage::Dump);
                let request = BinlogDumpGtid::parse(&packet).map_err(net::Error::from)?;
                asked.connect_state = Some(Position::MySql(request.executed.clone()));
                let request = request.into();
                return run_dump(ship, id, peer, stream, asked, registered, request).await;
            }
            other => {
                let message = format!(
                    "ackline: the replication port does not know {}; for SQL use the application port",
                    other.name()
                );
                error(&mut stream, 1235, b"42000", &message).await?;
            }
        }
    }
}

pub(super) async fn run_dump(
    ship: &Ship,
    id: u32,
    peer: SocketAddr,
    mut stream: PacketStream,
    asked: Asked,
    registered: Registered,
    request: Request,
) -> Result<(), Error> {
    let flavor = Flavor::of_version(&ship.source.borrow().version);
    if let Some(position) = &asked.connect_state
        && position.flavor() != flavor
    {
        let message = format!(
            "ackline: our binlog is one of {flavor}: a replica of another flavor cannot follow it by GTID"
        );
        return refuse(&mut stream, 1236, &message).await;
    }
    if asked.checksum == Checksum::Unaware {
        return refuse(&mut stream, 1236, "ackline: our binlog has checksums (CRC32) and this reader did not say that it knows them (SET @master_binlog_checksum)").await;
    }
    // Of who never registered (a tool) and of a guest the server id is only a label.
    let (server_id, identity) = match registered {
        Registered::As(id) => (id, ship.identify(id, asked.uuid.as_deref())),
        Registered::Guest(id) => (id, Identity::unlisted(id)),
        Registered::No => (request.server_id, Identity::unlisted(request.server_id)),
    };
    if identity.listed && flavor == Flavor::MariaDb && asked.capability < compatible::KNOWS_GTID {
        return refuse(&mut stream, 1236, "ackline: our binlog has GTID events and this replica did not say that it knows them (SET @mariadb_slave_capability=4)").await;
    }
    if identity.listed && asked.connect_state.is_none() {
        let how = match flavor {
            Flavor::MariaDb => "CHANGE MASTER TO MASTER_USE_GTID=slave_pos",
            Flavor::MySql => "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1",
        };
        let message = format!("ackline: a replica follows this port by GTID: run {how} on it");
        return refuse(&mut stream, 1236, &message).await;
    }
    let voice = ship.acks.next_voice();
    tracing::info!(connection = id, %peer, server = %identity.name, semi_sync = asked.semi_sync, votes = identity.votes, "dump begins");
    let (reader, writer) = stream.into_halves();
    let outbox = Outbox::new(
        writer,
        &identity.name,
        ship.config.server_id,
        asked.semi_sync,
        asked.checksum == Checksum::Crc32,
        request.heartbeat,
        matches!(asked.connect_state, Some(Position::MySql(_))),
    );
    let ack_receiver = AckReceiver::new(reader, &identity.name);
    start::run(dump::Stream {
        ship,
        id,
        peer,
        voice,
        server_id,
        identity,
        registered,
        asked,
        request,
        outbox,
        ack_receiver,
    })
    .await
}

async fn reply(ship: &Ship, stream: &mut PacketStream, answer: Answer) -> Result<(), Error> {
    match answer {
        Answer::Ok => ok(stream).await,
        Answer::Rows { columns, rows } => {
            let rows: Vec<Vec<_>> = rows
                .into_iter()
                .map(|row| {
                    row.into_iter()
                        .map(|value| Some(value.into_bytes()))
                        .collect()
                })
                .collect();
            stream
                .writer
                .put_result(status::AUTOCOMMIT, &columns, &rows);
            Ok(stream.writer.flush().await?)
        }
        Answer::Kill(id) if ship.kill(id) => ok(stream).await,
        Answer::Kill(id) => {
            error(
                stream,
                1094,
                &ErrPacket::GENERAL,
                &format!("Unknown thread id: {id}"),
            )
            .await
        }
        Answer::Error {
            code,
            state,
            message,
        } => error(stream, code, state, &message).await,
    }
}

async fn ok(stream: &mut PacketStream) -> Result<(), Error> {
    let mut payload = Vec::new();
    OkPacket::plain(status::AUTOCOMMIT).write(&mut payload, Capabilities::PROTOCOL_41);
    Ok(stream.write(&payload).await?)
}

async fn error(
    stream: &mut PacketStream,
    code: u16,
    state: &[u8; 5],
    message: &str,
) -> Result<(), Error> {
    let mut payload = Vec::new();
    ErrPacket::new(code, state, message).write(&mut payload);
    Ok(stream.write(&payload).await?)
}

/// The last packet of a connection.
async fn refuse(stream: &mut PacketStream, code: u16, message: &str) -> Result<(), Error> {
    error(stream, code, &ErrPacket::GENERAL, message).await?;
    Err(Error::Peer(message.to_owned()))
}

pub(super) fn facts(ship: &Ship) -> Facts {
    let source = ship.source.borrow().clone();
    let flavor = Flavor::of_version(&source.version);
    let (end, position) = dump::position_of_readers(ship, flavor);
    let files = ship.store.files().into_iter();
    Facts {
        flavor,
        server_id: ship.config.server_id,
        server_uuid: ship.config.server_uuid().to_string(),
        version: source.version,
        gtid_domain_id: source.gtid_domain_id,
        unix_time: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|d| d.as_secs())
            .unwrap_or_default(),
        files: files
            .take_while(|file| file.number <= end.file)
            .map(|file| match file.number == end.file {
                true => (file.name, end.offset),
                false => (file.name, file.bytes),
            })
            .collect(),
        end: (
            // Also where nothing can be seen yet.
            crate::store::file_name(end.file.max(1)),
            end.offset.max(crate::store::FIRST_EVENT),
            position.to_string(),
        ),
    }
}

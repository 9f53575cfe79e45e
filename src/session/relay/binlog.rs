//! What a guest of the replication port asks of our binlog.

use super::{Phase, Relay};
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::binlog_dump_gtid::BinlogDumpGtid;
use crate::protocol::ok::{OkPacket, status};
use crate::protocol::packet::HEADER;
use crate::protocol::register_slave::RegisterSlave;
use crate::protocol::{Capabilities, Command, ErrPacket, result_set};
use crate::session::End;
use crate::session::peers::Peer;
use crate::session::reader::Reader;
use crate::session::request::Request;
use crate::session::tracking;
use crate::ship::{self, questions::Answer};

/// Answered to whoever may see the binlog's files (MariaDB's BINLOG MONITOR, MySQL's REPLICATION
/// CLIENT).
const MARIADB_STATUS: &str = "SHOW MASTER STATUS";
const MYSQL_STATUS: &str = "SHOW BINARY LOG STATUS";

/// In the servers' words (ER_UNSUPPORTED_PS), and what to do.
const UNPREPARED: &str = "This command is not supported in the prepared statement protocol yet: ackline answers for its own binlog, so send it as a text";

impl Relay {
    pub fn with_reader(mut self, reader: Box<Reader>) -> Self {
        self.reader = Some(reader);
        self
    }

    /// A guest and its connection, after the session.
    pub fn into_reader(self) -> Option<(Peer, Box<Reader>)> {
        Some((self.peers.client, self.reader?))
    }

    /// A replication command of somebody who may send one.
    pub(super) fn is_readers(&self, request: &Request) -> bool {
        self.reader.is_some()
            && request.missing.is_none()
            && matches!(
                request.case.command,
                Command::REGISTER_SLAVE | Command::BINLOG_DUMP | Command::BINLOG_DUMP_GTID
            )
    }

    /// None where it is for the source.
    pub(super) async fn about_binlog(&mut self, request: &Request) -> Result<Option<Phase>, End> {
        let unread = self.peers.client.inbound.unread();
        let packets = unread.get(request.silent..request.silent + request.here);
        let payload = packets.and_then(|packets| packets.get(HEADER..));
        let payload = payload.unwrap_or_default().to_vec();
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let mut about = None;
        let statement = payload.get(request.text_at..).unwrap_or_default();
        if request.case.command == Command::QUERY && request.missing.is_none() {
            let statement = String::from_utf8_lossy(statement);
            about = reader.ship.asked_by_guest(&mut reader.asked, &statement);
        }
        // It would be the source's to run.
        if request.case.command == Command::STMT_PREPARE
            && request.missing.is_none()
            && ship::about::about(statement).is_some()
        {
            about = Some(Answer::Error {
                code: 1295,
                state: b"HY000",
                message: UNPREPARED.to_owned(),
            });
        }
        if about.is_none() && !self.is_readers(request) {
            return Ok(None);
        }
        self.relay(request.silent).await?;
        self.peers.client.inbound.consume(request.here);
        match (request.case.command, about) {
            (_, Some(answer)) => {
                let may = self.may_see_files().await?;
                self.reply(may.map(|()| answer)).await?;
            }
            (Command::REGISTER_SLAVE, None) => {
                let may = self.may_register(&payload).await?;
                self.reply(may.map(|()| Answer::Ok)).await?;
            }
            (_, None) => match self.may_register(&introduction(&payload)).await? {
                Err(refused) => self.reply(Err(refused)).await?,
                // What it may have sent behind it (mysql-replication: a byte) a source ignores, too.
                Ok(()) => {
                    if let Some(reader) = &mut self.reader {
                        reader.dump = payload;
                    }
                    return Err(End::Dump);
                }
            },
        }
        Ok(Some(Phase::Idle))
    }

    async fn may_see_files(&mut self) -> Result<Result<(), ErrPacket>, End> {
        let statement = match self.agreed.mariadb {
            true => MARIADB_STATUS,
            false => MYSQL_STATUS,
        };
        let told = tracking::ask(&mut self.peers.source, self.agreed.source, statement).await?;
        Ok(told.map(|_| ()))
    }

    /// The source knows whether the account has REPLICATION SLAVE: it registers there, and its
    /// connection gets no events.
    async fn may_register(&mut self, payload: &[u8]) -> Result<Result<(), ErrPacket>, End> {
        let told = tracking::command(&mut self.peers.source, self.agreed.source, payload).await?;
        Ok(told.map(|_| ()))
    }

    async fn reply(&mut self, answer: Result<Answer, ErrPacket>) -> Result<(), End> {
        let client = &mut self.peers.client;
        let sent = match answer {
            Ok(Answer::Rows { columns, rows }) => {
                let value = |value: String| Some(value.into_bytes());
                let rows: Vec<Vec<_>> = rows
                    .into_iter()
                    .map(|row| row.into_iter().map(value).collect())
                    .collect();
                let mut bytes = Vec::new();
                result_set::write(&mut bytes, &mut 1, status::AUTOCOMMIT, &columns, &rows);
                client.write(&bytes).await
            }
            Ok(Answer::Error {
                code,
                state,
                message,
            }) => {
                client
                    .send_error(1, &ErrPacket::new(code, state, message))
                    .await
            }
            Ok(Answer::Ok | Answer::Kill(_)) => {
                let mut payload = Vec::new();
                OkPacket::plain(status::AUTOCOMMIT).write(&mut payload, Capabilities::PROTOCOL_41);
                client.send(1, &payload).await
            }
            Err(refused) => client.send_error(1, &refused).await,
        };
        sent.map_err(End::client)
    }
}

/// The registration of a reader that asks for events, perhaps without one of its own.
fn introduction(dump: &[u8]) -> Vec<u8> {
    let server_id = match dump.first().copied().map(Command) {
        Some(Command::BINLOG_DUMP_GTID) => BinlogDumpGtid::parse(dump).map(|dump| dump.server_id),
        _ => BinlogDump::parse(dump).map(|dump| dump.server_id),
    };
    let mut payload = Vec::new();
    // A dump that cannot be read is refused when it begins.
    RegisterSlave::new(server_id.unwrap_or_default()).write(&mut payload);
    payload
}

//! What the session of a guest ([`super::Guest`]) asks of us: answers about our binlog, and its events.

use std::net::SocketAddr;

use super::Ship;
use super::about::about;
use super::connection;
use super::error::Error;
use super::questions::{self, Answer, Asked};
use super::request::{Registered, Request};
use crate::gtid::Position;
use crate::net::PacketStream;
use crate::net::stream::Stream;
use crate::protocol::Command;
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::binlog_dump_gtid::BinlogDumpGtid;

impl Ship {
    /// A guest's question about our binlog; None where the source knows better.
    pub fn asked_by_guest(&self, asked: &mut Asked, statement: &str) -> Option<Answer> {
        questions::note(asked, statement);
        let about = about(statement.as_bytes())?;
        Some(questions::answer_about(about, &connection::facts(self)))
    }

    /// The same that a source asks of who wants a binlog's events: `payload` is a COM_BINLOG_DUMP or
    /// COM_BINLOG_DUMP_GTID of a guest who may. To the end of the connection.
    pub async fn dump_to_guest(
        &self,
        id: u32,
        stream: Stream,
        peer: SocketAddr,
        mut asked: Asked,
        payload: &[u8],
    ) -> Result<(), Error> {
        let request: Request = match payload.first().copied().map(Command) {
            Some(Command::BINLOG_DUMP_GTID) => {
                let request = BinlogDumpGtid::parse(payload).map_err(crate::net::Error::from)?;
                asked.connect_state = Some(Position::MySql(request.executed.clone()));
                request.into()
            }
            _ => BinlogDump::parse(payload)
                .map_err(crate::net::Error::from)?
                .into(),
        };
        let registered = Registered::Guest(request.server_id);
        let mut stream = PacketStream::new(stream, connection::MAX_COMMAND);
        stream.writer.set_sequence(1);
        let dump = connection::run_dump(self, id, peer, stream, asked, registered, request);
        tokio::select! {
            ended = dump => ended,
            () = self.shutdown.cancelled() => Ok(()),
        }
    }
}

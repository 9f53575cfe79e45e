//! Who comes to the replication port with an account of the source: a reader of binlogs (CDC) that
//! asks its source other things, too.
//!
//! Who it is and what it may is for the source to say, so its session is one with the source; when it
//! asks for events it is handed back to us.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::Ship;
use super::about::about;
use super::connection::{self, Registered, Request};
use super::error::Error;
use super::questions::{self, Answer, Asked};
use crate::gtid::Position;
use crate::net::PacketStream;
use crate::net::stream::Stream;
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::binlog_dump_gtid::BinlogDumpGtid;
use crate::protocol::{Command, HandshakeResponse};

/// A connection after its login packet, to which nothing was answered.
pub struct Guest {
    pub id: u32,
    pub stream: Stream,
    /// What was read of it behind the login packet.
    pub ahead: Vec<u8>,
    pub peer: SocketAddr,
    pub login: HandshakeResponse,
    /// Of the login packet.
    pub sequence: u8,
}

/// Runs a guest's session to its end. Given by who knows sessions.
pub type Guests = Arc<dyn Fn(Guest) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

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

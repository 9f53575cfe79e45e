//! One dump connection to the source: what is asked of it, and the acknowledgements that go back.

use metrics::{Counter, counter};
use tokio::sync::watch;

use super::attach::{Refusal, Source};
use super::dump_request::DumpRequest;
use super::end::End;
use super::feed::{Expected, Feed};
use super::ledger::Ledger;
use super::{Config, Followed, STEP, walk};
use crate::ack::AckPermit;
use crate::gtid::Position;
use crate::ids::{Epoch, SourcePosition};
use crate::net::{self, PacketReader, PacketWriter};
use crate::protocol::err::ErrPacket;
use crate::protocol::register_slave::RegisterSlave;
use crate::protocol::semi_sync::Ack;
use crate::stages::{self, Stage};

/// One dump connection.
pub(super) struct Link {
    pub(super) reader: PacketReader,
    pub(super) writer: PacketWriter,
    pub(super) feed: Feed,
    pub(super) ledger: Ledger,
    /// The one that is being sent.
    pub(super) transaction: walk::Running,
    /// An INCIDENT came before it, or within it.
    pub(super) incident: bool,
    pub(super) permits: watch::Receiver<Option<AckPermit>>,
    pub(super) epoch: Epoch,
    pub(super) acks_sent: Counter,
}

/// What is asked of the source.
pub(super) struct Ask<'a> {
    /// Everything behind this,
    pub(super) from: &'a Position,
    /// which begins here, if that is known.
    pub(super) place: Option<(&'a str, u32)>,
    /// What comes first.
    pub(super) expected: Option<Expected>,
    pub(super) semi_sync: bool,
}

impl Link {
    /// Logs in, says what a replica of the flavor says, and asks.
    pub(super) async fn dump(
        config: &Config,
        followed: &Followed,
        source: &Source,
        ask: Ask<'_>,
        permits: watch::Receiver<Option<AckPermit>>,
    ) -> Result<Self, End> {
        let request = DumpRequest {
            flavor: source.flavor,
            server_id: config.server_id,
            // Twice as often as silence is taken for death.
            heartbeat: config.heartbeat / 2,
            from: ask.from,
            place: ask.place,
            semi_sync: ask.semi_sync,
        };
        let login = async {
            let (mut stream, _) = net::login::connect_and_login(&followed.account, STEP).await?;
            for statement in request.statements() {
                stream.execute(&statement).await?;
            }
            let mut command = Vec::new();
            RegisterSlave::new(config.server_id).write(&mut command);
            stream.command(&command).await?;
            stream.expect_ok().await?;
            stream.command(&request.command()).await?;
            Ok::<_, net::Error>(stream.into_halves())
        };
        let (reader, writer) = tokio::time::timeout(STEP, login)
            .await
            .map_err(|_| End::Lost("the source does not answer the dump's login".into()))??;
        Ok(Self {
            reader,
            writer,
            feed: Feed::new(ask.semi_sync, ask.expected),
            ledger: Ledger::default(),
            transaction: walk::Running::default(),
            incident: false,
            permits,
            epoch: followed.epoch,
            acks_sent: counter!("ackline_source_acks_total"),
        })
    }

    /// Sends what a permit of [`ack::permit`](crate::ack) allows, in its epoch, if it was sent on this connection; acks leave
    /// nowhere else.
    pub(super) async fn acknowledge(&mut self) -> Result<(), End> {
        let Some(permit) = *self.permits.borrow_and_update() else {
            return Ok(());
        };
        if permit.epoch() != self.epoch {
            return Ok(());
        }
        if let Some(position) = self.ledger.due(permit.position()) {
            self.send(&position).await?;
            stages::passed(Stage::Acknowledged, permit.position());
            self.acks_sent.increment(1);
        }
        Ok(())
    }

    async fn send(&mut self, position: &SourcePosition) -> Result<(), End> {
        let mut ack = Vec::with_capacity(64);
        Ack {
            position: position.offset,
            file: position.file.as_bytes(),
        }
        .write(&mut ack);
        // Another sequence number than 0 and the source ignores it.
        self.writer.set_sequence(0);
        match tokio::time::timeout(STEP, self.writer.write(&ack)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Lost(
                "the source does not take our acknowledgement".into(),
            )),
        }
    }
}

/// The source ends a dump with an ERR (1236: it lacks what we ask for) or, shutting down, with EOF.
pub(super) fn end_of_dump(payload: &[u8]) -> Option<End> {
    const ER_MASTER_FATAL: u16 = 1236;
    match payload.first() {
        Some(&ErrPacket::FIRST) => Some(match ErrPacket::parse(payload) {
            Ok(error) if error.code == ER_MASTER_FATAL => {
                End::Refused(Refusal::Cannot(error.message))
            }
            Ok(error) => End::Lost(format!("the source ended the dump: {error}")),
            Err(error) => End::Lost(error.to_string()),
        }),
        Some(0xfe) if payload.len() < 9 => Some(End::Lost("the source ended the dump".into())),
        _ => None,
    }
}

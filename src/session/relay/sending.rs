//! What is larger than we read ahead on its way to the source: commands in parts, and files.

use super::{Discarding, Phase, Relay, Running};
use crate::protocol::packet::{HEADER, Header};
use crate::session::End;
use crate::session::large::Missing;
use crate::session::peers::Side;
use crate::session::refusal;
use crate::session::requirement::Mistake;

/// So much of a text is looked at before the other sessions of the event loop have their turn: it costs
/// many times what passing it on does.
const TURN: usize = 16 * 1024;

impl Relay {
    /// The rest of a large command. The source runs nothing of it before it has come as a whole, so
    /// what speaks against it may be in its last byte.
    pub(super) async fn send(
        &mut self,
        mut running: Running,
        missing: Missing,
    ) -> Result<Phase, End> {
        let mut missing = Some(missing);
        let mut hazard_seen = running.text.as_ref().is_some_and(|t| t.hazard().is_some());
        while let Some(still) = missing {
            match self.peers.readable_or(std::future::pending()).await? {
                Some(Side::Client) => self.peers.client.try_fill().await.map_err(End::client)?,
                // It answers before it has heard all: the packet is too large for it, and it leaves.
                _ => self.peers.source_unasked().await?,
            }
            let unread = self.peers.client.inbound.unread();
            let Some(text) = &mut running.text else {
                let (used, rest) = still.pass(unread);
                self.relay(used).await?;
                missing = rest;
                continue;
            };
            let (mut used, mut rest) = (0, Some(still));
            while let (Some(missing), [_, ..]) = (rest, &unread[used..]) {
                let piece = &unread[used..unread.len().min(used + TURN)];
                let (passed, behind) = text.pass(missing, piece);
                rest = behind;
                used += passed;
                if passed == 0 {
                    // Half a header.
                    break;
                }
                tokio::task::yield_now().await;
            }
            running.case.touches_tracking |= text.touches_tracking();
            if !hazard_seen && let Some(hazard) = text.hazard() {
                hazard_seen = true;
                if let Some(refusal) = self.judge_hazard(hazard) {
                    self.shared.metrics.refused(refusal.code);
                    return Ok(Phase::Discarding(Discarding {
                        missing: still,
                        refusal,
                        half_sent: true,
                    }));
                }
            }
            if text.sets_requirement() {
                return Ok(Phase::Discarding(Discarding {
                    missing: still,
                    refusal: refusal::requirement(&Mistake::NotLiteral),
                    half_sent: true,
                }));
            }
            self.relay(used).await?;
            missing = rest;
        }
        Ok(Phase::Answering(running))
    }

    /// Only a client that has sent all of its command looks for an answer.
    pub(super) async fn discard(&mut self, discarding: Discarding) -> Result<Phase, End> {
        let Discarding {
            mut missing,
            refusal,
            half_sent,
        } = discarding;
        loop {
            let inbound = &mut self.peers.client.inbound;
            let (used, complete) = missing.advance(inbound.unread(), |_| {});
            inbound.consume(used);
            if complete {
                break;
            }
            match self.peers.readable_or(std::future::pending()).await? {
                Some(Side::Client) => self.peers.client.try_fill().await.map_err(End::client)?,
                _ => self.peers.source_unasked().await?,
            }
        }
        let client = &mut self.peers.client;
        let sent = client
            .send_error(missing.sequence.wrapping_add(1), &refusal)
            .await;
        sent.map_err(End::client)?;
        if half_sent {
            return Err(End::Refused(refusal.code));
        }
        Ok(Phase::Idle)
    }

    /// The file that LOAD DATA LOCAL asked for: packets up to an empty one.
    pub(super) async fn send_file(&mut self, running: Running) -> Result<Phase, End> {
        let shift = running.answer.shift();
        // In frames, packets may be numbered as it pleases the client.
        let mut renumbered = (self.agreed.compression).and(running.answer.file_begins_with());
        let mut left = 0;
        let mut last = false;
        loop {
            // What is there of whole headers and parts of payloads is passed on together.
            let unread = self.peers.client.inbound.unread_mut();
            let mut at = 0;
            while !(last && left == 0) {
                let now = left.min(unread.len() - at);
                at += now;
                left -= now;
                if left > 0 {
                    break;
                }
                let Some(header) = Header::parse(&unread[at..]) else {
                    break;
                };
                if let Some(number) = &mut renumbered {
                    unread[at + HEADER - 1] = *number;
                    *number = number.wrapping_add(1);
                } else if shift != 0 {
                    unread[at + HEADER - 1] = header.sequence.wrapping_sub(shift);
                }
                at += HEADER;
                left = header.length;
                last = header.length == 0;
            }
            self.relay(at).await?;
            if last && left == 0 {
                return Ok(Phase::Answering(running));
            }
            match self.peers.readable_or(std::future::pending()).await? {
                Some(Side::Client) => self.peers.client.try_fill().await.map_err(End::client)?,
                _ => self.peers.source_early().await?,
            }
        }
    }
}

//! A command of the client: what speaks against it, and its way to the source.

use std::time::Instant;

use super::stamp::Stamp;
use super::{Discarding, Phase, Relay};
use crate::protocol::ok::status;
use crate::protocol::packet::HEADER;
use crate::protocol::{ChangeUser, Command, ErrPacket, auth};
use crate::session::credentials::Lesson;
use crate::session::large::LargeText;
use crate::session::locks::Effect;
use crate::session::registry::{Activity, Keeps};
use crate::session::request::{self, Request, Verdict};
use crate::session::requirement::{self, Asks, Mistake};
use crate::session::{End, refusal};
use crate::sql::hazard::SessionVariable;
use crate::sql::{self, Hazard, Kind};

impl Relay {
    pub(super) async fn begin(&mut self, mut request: Request) -> Result<Phase, End> {
        if self.is_readers(&request) {
            request.verdict = Verdict::Relay;
        }
        let Request {
            case,
            silent,
            here,
            missing,
            ..
        } = request;
        self.next = None;
        let mut running = self.running(case);
        let unread = self.peers.client.inbound.unread();
        let packets = unread.get(silent..silent + here).unwrap_or_default();
        if case.command == Command::STMT_EXECUTE {
            let payload = packets.get(HEADER..).unwrap_or_default();
            running
                .answer
                .set_asks_cursor(request::asks_cursor(payload));
        }
        if matches!(case.command, Command::QUERY | Command::STMT_PREPARE) && missing.is_none() {
            let text = packets.get(HEADER + request.text_at..);
            running.locks = Effect::of(text.unwrap_or_default());
        }
        if case.command == Command::QUERY && matches!(case.kind, Kind::Control | Kind::Routine) {
            let text = packets.get(HEADER + request.text_at..);
            running.names_watched = text.is_some_and(SessionVariable::is_named_in);
            running.only_sets = (case.touches_tracking || self.agreed.mixes_up)
                && missing.is_none()
                && text.is_some_and(sql::tracking::only_sets);
            running.commits_nothing =
                running.only_sets && self.status & status::IN_TRANSACTION == 0;
        }
        let mut hazard = request.hazard.clone();
        let mut tells_password = false;
        match case.command {
            Command::QUERY | Command::STMT_PREPARE if missing.is_some() => {
                let text = LargeText::begin(packets, request.text_at, self.backslash());
                running.case.touches_tracking |= text.touches_tracking();
                hazard = text.hazard().cloned();
                running.text = Some(Box::new(text));
            }
            Command::CHANGE_USER => {
                let payload = packets.get(HEADER..).unwrap_or_default();
                // What cannot be read is for the source to judge.
                let login = ChangeUser::parse(payload).unwrap_or_default();
                tells_password =
                    auth::sends_clear_password(&String::from_utf8_lossy(login.auth_plugin))
                        && !login.auth_response.is_empty();
                let is_secure = self.peers.client.stream.is_secure();
                running.lesson = Some(Box::new(Lesson::change_user(login.user, is_secure)));
            }
            _ => {}
        }
        let asked = self.asks(
            case.command,
            packets,
            request.text_at,
            running.text.as_deref(),
        );
        let refusal = match (self.verdict(&request, hazard.as_ref()).await?, asked) {
            (None, Ok(_)) if tells_password && self.peers.would_leak() => {
                Some(refusal::clear_password())
            }
            (None, Ok(asks)) => {
                running.asks = asks;
                None
            }
            (None, Err(mistake)) => Some(refusal::requirement(&mistake)),
            (refusal, _) => refusal,
        };
        if let Some(refusal) = refusal {
            if silent > 0 {
                self.relay(silent).await?;
            }
            self.shared.metrics.refused(refusal.code);
            let client = &mut self.peers.client;
            client.inbound.consume(here);
            let Some(missing) = missing else {
                client.send_error(1, &refusal).await.map_err(End::client)?;
                return Ok(Phase::Idle);
            };
            return Ok(Phase::Discarding(Discarding {
                missing,
                refusal,
                half_sent: false,
            }));
        }
        self.shared.metrics.command(case.kind);
        if self.reader.is_some()
            && let Some(answered) = Box::pin(self.about_binlog(&request)).await?
        {
            return Ok(answered);
        }
        if case.command != Command::STMT_PREPARE {
            self.own.statement_begins(running.asks.hint.clone());
        }
        self.relay(silent + here).await?;
        // An error in answer to more than one packet would have another number.
        self.next = missing.is_none().then_some(1);
        running.stamp = Stamp::relayed();
        Ok(match missing {
            None => Phase::Answering(running),
            Some(missing) => Phase::Sending { running, missing },
        })
    }

    /// What a command asks beyond the policy. `packets` are its first bytes, headers included.
    fn asks(
        &self,
        command: Command,
        packets: &[u8],
        text_at: usize,
        large: Option<&LargeText>,
    ) -> Result<Asks, Mistake> {
        let payload = packets.get(HEADER..).unwrap_or_default();
        let text = payload.get(text_at..).unwrap_or_default();
        let prepared = command == Command::STMT_PREPARE;
        let asks = match (command, large) {
            (Command::QUERY | Command::STMT_PREPARE, None) => {
                requirement::asks(text, prepared, self.backslash())?
            }
            (Command::QUERY | Command::STMT_PREPARE, Some(large)) => {
                if large.sets_requirement() {
                    return Err(Mistake::NotLiteral);
                }
                Asks {
                    hint: requirement::hint(text)?,
                    variable: None,
                }
            }
            _ => Asks {
                hint: self.prepared.hint(command, payload),
                variable: None,
            },
        };
        for requirement in asks.requirements() {
            let judged = self.shared.gate.can_be_met(requirement);
            judged.map_err(|error| Mistake::Unmeetable {
                requirement: requirement.to_string(),
                error,
            })?;
            if !self.own.has_room_for(requirement) {
                return Err(Mistake::TooMany);
            }
        }
        Ok(asks)
    }

    /// What speaks against relaying a command now, after waiting for what can be waited for.
    async fn verdict(
        &mut self,
        request: &Request,
        hazard: Option<&Hazard>,
    ) -> Result<Option<ErrPacket>, End> {
        if let Some(held) = self.admitted().await? {
            return Ok(Some(held));
        }
        if let Some(refusal) = hazard.and_then(|hazard| self.judge_hazard(hazard)) {
            return Ok(Some(refusal));
        }
        match &request.verdict {
            Verdict::Relay => Ok(None),
            Verdict::Refuse(error) => Ok(Some(error.clone())),
            Verdict::Kill(targets) => {
                for target in targets {
                    if self.shared.registry.waits(target) {
                        return Ok(Some(refusal::kill_of_asking(target)));
                    }
                    let asked = self.shared.gate.waits_for_ack(target.clone());
                    let waits = self.peers.client.unless_leaves(asked).await;
                    if waits.map_err(End::client)? {
                        tracing::info!(
                            ?target,
                            connection = self.entry.connection(),
                            "KILL refused"
                        );
                        return Ok(Some(refusal::kill(target)));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Waits until the command may be relayed, up to the limit, and shows that it runs then.
    async fn admitted(&mut self) -> Result<Option<ErrPacket>, End> {
        let keeps = self.keeps();
        self.entry.set_keeps(keeps);
        self.unless_held(keeps == Keeps::Nothing).await
    }

    /// Waits until sessions are served from the source, up to the limit.
    pub(super) async fn settled(&mut self) -> Result<Option<ErrPacket>, End> {
        self.unless_held(false).await
    }

    /// `begins` something new: nothing does while the source is about to be moved.
    async fn unless_held(&mut self, begins: bool) -> Result<Option<ErrPacket>, End> {
        let mut deadline = None;
        loop {
            // First this, then the look: see `session::hold`.
            self.entry.set_activity(Activity::Running);
            let hold = self.shared.registry.hold();
            let gate = &self.shared.gate;
            let moves = begins && hold.is_on();
            if !moves && gate.is_open() {
                break;
            }
            self.entry.set_activity(Activity::Held);
            let began = Instant::now();
            let deadline = *deadline.get_or_insert_with(|| began + self.shared.config.command_hold);
            let let_go = async {
                match moves {
                    true => hold.ended().await,
                    false => gate.opened().await,
                }
            };
            let let_go = tokio::time::timeout_at(deadline.into(), let_go);
            let let_go = self.peers.client.unless_leaves(let_go).await;
            self.shared.metrics.hold(began.elapsed());
            if let_go.map_err(End::client)?.is_err() {
                let why = match moves {
                    true => "it is about to be moved".to_owned(),
                    false => self.shared.gate.hold_reason(),
                };
                return Ok(Some(refusal::held(&why)));
            }
        }
        if self.shared.gate.epoch() != self.agreed.epoch {
            return Err(End::Moved {
                between_commands: true,
            });
        }
        Ok(None)
    }

    /// None where the user may.
    pub(super) fn judge_hazard(&self, hazard: &Hazard) -> Option<ErrPacket> {
        let user = self.entry.user();
        let connection = self.entry.connection();
        if self.shared.allowed.contains(&user) {
            tracing::warn!(%hazard, user, connection, "a replication hazard is let through");
            return None;
        }
        tracing::info!(%hazard, user, connection, "a replication hazard is refused");
        Some(refusal::hazard(hazard, &user))
    }
}

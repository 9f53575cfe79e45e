//! A session after its login packet: commands to the source, answers to the client, in lockstep.

mod binlog;
mod dialogue;
mod sending;
mod stamp;
mod vouching;

use std::sync::Arc;
use std::time::Instant;

use super::abandon::{Reached, abandon};
use super::agreed::Agreed;
use super::answer::{self, Answer, Passage, Step};
use super::credentials::{Learned, Lesson};
use super::large::{LargeText, Missing};
use super::peers::{Peers, Side};
use super::reader::Reader;
use super::registry::{Activity, Entered};
use super::request::{self, Case, Front, Prepared, Reading, Request, Verdict};
use super::requirement::{self, Asks, Ended, Mistake, Own};
use super::tracking::{self, Tracking};
use super::{End, Shared, refusal};
use crate::gtid::Gtid;
use crate::protocol::auth;
use crate::protocol::ok::status;
use crate::protocol::packet::HEADER;
use crate::protocol::{Capabilities, ChangeUser, Command, ErrPacket};
use crate::sql::hazard::SessionVariable;
use crate::sql::lexer::Backslash;
use crate::sql::{self, Hazard, Kind};
use crate::store::origins::Origin;
use stamp::Stamp;

/// `Passage::front` is kept from one answer to the next up to this size.
const KEEP_FRONT: usize = 4 * 1024;

/// Where a session is. Each state has what belongs to it.
#[derive(Debug)]
enum Phase {
    /// At a command boundary.
    Idle,
    /// A command larger than we read ahead is on its way to the source.
    Sending { running: Running, missing: Missing },
    /// A large command was refused; what is missing of it is thrown away before the client is told.
    Discarding(Discarding),
    /// The source works, or its answer is on its way.
    Answering(Running),
    /// The client was asked for a file and sends it.
    SendingFile(Running),
    /// A login dialogue: either side may speak.
    Dialogue(Running),
    /// The source has given the session up, and told us in answer to a statement of our own what is meant for
    /// the client's next.
    Aborted(ErrPacket),
}

impl Phase {
    /// Whether the source may be in the middle of a commit of this session.
    fn may_commit(&self) -> bool {
        match self {
            Self::Idle | Self::Discarding(_) | Self::Sending { .. } | Self::Aborted(_) => false,
            Self::Answering(_) | Self::SendingFile(_) | Self::Dialogue(_) => true,
        }
    }
}

#[derive(Debug)]
struct Running {
    case: Case,
    answer: Answer,
    /// The text of a large command.
    text: Option<Box<LargeText>>,
    /// A login: who it will be.
    lesson: Option<Box<Lesson>>,
    /// What it asks beyond the policy.
    asks: Asks,
    failed: bool,
    /// Its answer named a transaction.
    committed: bool,
    /// It says itself what it does with the variables that we watch.
    names_watched: bool,
    /// A plain SET of variables: no routine runs.
    only_sets: bool,
    /// Outside a transaction, too: nothing to commit.
    commits_nothing: bool,
    stamp: Option<Box<Stamp>>,
}

#[derive(Debug)]
struct Discarding {
    missing: Missing,
    refusal: ErrPacket,
    /// A part of it is at the source, which therefore cannot be asked anything else.
    half_sent: bool,
}

/// What an answer waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wait {
    Released(Gtid),
    /// It may have committed something that nobody named.
    Everything,
}

pub struct Relay {
    peers: Peers,
    agreed: Agreed,
    shared: Shared,
    entry: Entered,
    tracking: Tracking,
    /// Of the last answer.
    status: u16,
    prepared: Prepared,
    /// What the session asks beyond the policy.
    own: Own,
    passage: Passage,
    logged_in: bool,
    /// What the login taught.
    learned: Option<Learned>,
    /// From its first commit on.
    origin: Option<Arc<Origin>>,
    /// It came over the replication port.
    reader: Option<Box<Reader>>,
}

impl Relay {
    pub fn new(peers: Peers, agreed: Agreed, shared: Shared, entry: Entered) -> Self {
        Self {
            peers,
            agreed,
            shared,
            entry,
            tracking: Tracking::LOGIN,
            status: status::AUTOCOMMIT,
            prepared: Prepared::default(),
            own: Own::default(),
            passage: Passage::default(),
            logged_in: false,
            learned: None,
            origin: None,
            reader: None,
        }
    }

    /// Runs from the login's dialogue to the end.
    pub async fn run(&mut self, lesson: Lesson) -> End {
        // The rest of a login is a COM_CHANGE_USER that was sent already.
        let mut running = self.running(Case {
            command: Command::CHANGE_USER,
            kind: Kind::Control,
            touches_tracking: false,
        });
        running.answer = running.answer.shifted(self.agreed.login_shift);
        running.lesson = Some(Box::new(lesson));
        let mut phase = Phase::Answering(running);
        let end = loop {
            let may_commit = self.logged_in && phase.may_commit();
            let next = match phase {
                Phase::Idle => self.idle().await,
                Phase::Sending { running, missing } => self.send(running, missing).await,
                Phase::Discarding(discarding) => self.discard(discarding).await,
                Phase::Answering(running) => self.answer(running).await,
                Phase::SendingFile(running) => self.send_file(running).await,
                Phase::Dialogue(running) => Box::pin(self.dialogue(running)).await,
                Phase::Aborted(error) => Box::pin(self.aborted(error)).await,
            };
            match next {
                Ok(next) => phase = next,
                Err(end) => {
                    if may_commit && matches!(end, End::SourceLeft(_) | End::SourceCut(_)) {
                        self.shared.gate.source_left(self.agreed.epoch);
                    }
                    break end;
                }
            }
        };
        self.part(&end).await;
        end
    }

    /// As the session's `sql_mode` has it.
    fn backslash(&self) -> Backslash {
        if self.status & status::NO_BACKSLASH_ESCAPES == 0 {
            Backslash::Escapes
        } else {
            Backslash::IsPlain
        }
    }

    fn running(&self, case: Case) -> Running {
        Running {
            case,
            answer: Answer::new(
                case.command,
                self.agreed.source,
                self.agreed.client,
                self.tracking.shows,
                self.status,
            ),
            text: None,
            lesson: None,
            asks: Asks::default(),
            failed: false,
            committed: false,
            names_watched: case.kind == Kind::Control,
            only_sets: false,
            commits_nothing: false,
            stamp: None,
        }
    }

    async fn idle(&mut self) -> Result<Phase, End> {
        let mut waited = false;
        loop {
            let reading = Reading {
                backslash: self.backslash(),
                attributes: self.agreed.client.contains(Capabilities::QUERY_ATTRIBUTES),
            };
            let unread = self.peers.client.inbound.unread();
            match request::front(unread, &mut self.prepared, reading) {
                Front::NeedMore => {}
                Front::Silent(length) => {
                    self.hold().await?;
                    self.relay(length).await?;
                    continue;
                }
                Front::Quit(length) => {
                    self.relay(length).await?;
                    return Err(End::Quit);
                }
                Front::Request(request) => return self.begin(request).await,
            }
            let between_commands = self.peers.client.inbound.is_empty();
            if self.entry.is_draining() && between_commands {
                return Err(End::Drained);
            }
            if !waited {
                self.entry.set_activity(Activity::Idle);
                waited = true;
            }
            self.peers.client.inbound.rest();
            self.peers.source.inbound.rest();
            let drained = async {
                if between_commands {
                    self.entry.drained().await;
                } else {
                    // The rest of a command is on its way; it still gets its answer.
                    std::future::pending::<()>().await;
                }
            };
            let side = self.peers.readable_or(drained).await?;
            match side {
                Some(Side::Client) => self.peers.client.try_fill().await.map_err(End::client)?,
                // Nothing was asked: it leaves, and may say why.
                Some(Side::Source) => self.peers.source_unasked().await?,
                None => {}
            }
        }
    }

    /// Passes the front of the client's bytes on.
    async fn relay(&mut self, length: usize) -> Result<(), End> {
        let Peers { client, source } = &mut self.peers;
        let bytes = client.inbound.unread().get(..length).unwrap_or_default();
        let written = client.stream.unless_broken(source.write(bytes)).await;
        written.map_err(End::client)?.map_err(End::source)?;
        client.inbound.consume(length);
        Ok(())
    }

    async fn begin(&mut self, mut request: Request) -> Result<Phase, End> {
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
        let mut running = self.running(case);
        let unread = self.peers.client.inbound.unread();
        let packets = unread.get(silent..silent + here).unwrap_or_default();
        if case.command == Command::STMT_EXECUTE {
            let payload = packets.get(HEADER..).unwrap_or_default();
            running
                .answer
                .set_asks_cursor(request::asks_cursor(payload));
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
        self.entry.set_activity(Activity::Running);
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
        if let Some(held) = self.hold().await? {
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

    /// Waits while a hold is in force, up to the limit.
    async fn hold(&mut self) -> Result<Option<ErrPacket>, End> {
        if !self.shared.gate.is_open() {
            self.entry.set_activity(Activity::Held);
            let began = Instant::now();
            let limit = self.shared.config.command_hold;
            let opened = tokio::time::timeout(limit, self.shared.gate.opened());
            let opened = self.peers.client.unless_leaves(opened).await;
            self.shared.metrics.hold(began.elapsed());
            if opened.map_err(End::client)?.is_err() {
                return Ok(Some(refusal::held(&self.shared.gate.hold_reason())));
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
    fn judge_hazard(&self, hazard: &Hazard) -> Option<ErrPacket> {
        let user = self.entry.user();
        let connection = self.entry.connection();
        if self.shared.allowed.contains(&user) {
            tracing::warn!(%hazard, user, connection, "a replication hazard is let through");
            return None;
        }
        tracing::info!(%hazard, user, connection, "a replication hazard is refused");
        Some(refusal::hazard(hazard, &user))
    }

    async fn answer(&mut self, mut running: Running) -> Result<Phase, End> {
        loop {
            let step = self.advance(&mut running)?;
            match step {
                Step::NeedMore => {
                    self.show().await?;
                    self.peers.fill_from_source().await?;
                }
                Step::Wait(wait) => {
                    self.show().await?;
                    self.wait(wait).await?;
                }
                Step::SendFile => {
                    self.show().await?;
                    return Ok(Phase::SendingFile(running));
                }
                Step::Dialogue => {
                    return Box::pin(self.asked(running)).await;
                }
                Step::Done => return self.done(running).await,
            }
        }
    }

    fn advance(&mut self, running: &mut Running) -> Result<Step<Wait>, End> {
        let Running {
            case,
            answer,
            failed,
            committed,
            commits_nothing,
            stamp,
            ..
        } = running;
        let asks_more = self.own.is_any();
        let gate = &self.shared.gate;
        let unsure = (case.touches_tracking && !*commits_nothing) || !self.tracking.on;
        let mut judge = |end: answer::End<'_>| match end {
            answer::End::Ok { gtid: Some(text) } => {
                *committed = true;
                let gtid = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                if let Some(gtid) = &gtid {
                    let origin = self.origin.get_or_insert_with(|| self.entry.origin());
                    gate.committed(gtid, origin);
                    if let Some(stamp) = stamp {
                        stamp.answered(gtid);
                    }
                }
                match gtid {
                    Some(gtid) if !asks_more && gate.is_released_now(&gtid) => {
                        unsure.then_some(Wait::Everything)
                    }
                    Some(gtid) if !unsure => Some(Wait::Released(gtid)),
                    // MySQL may name several.
                    _ => Some(Wait::Everything),
                }
            }
            answer::End::Ok { gtid: None } => unsure.then_some(Wait::Everything),
            answer::End::Err { code, first } => {
                *failed = true;
                let sure = first && !unsure && case.kind.failed_means_undone(code);
                (!sure).then_some(Wait::Everything)
            }
        };
        answer
            .advance(
                self.peers.source.inbound.unread_mut(),
                &mut self.passage,
                &mut judge,
            )
            .map_err(End::source_protocol)
    }

    /// The commit gate.
    async fn wait(&mut self, wait: Wait) -> Result<(), End> {
        self.entry.set_activity(Activity::Waiting);
        let gate = &self.shared.gate;
        let released = match (wait, self.own.in_force()) {
            (Wait::Released(gtid), None) => gate.released(gtid),
            (Wait::Released(gtid), Some(own)) => gate.met(gtid, own),
            (Wait::Everything, None) => gate.everything_now(),
            (Wait::Everything, Some(own)) => gate.everything_met(own),
        };
        let waited = self.peers.client.unless_leaves(released).await;
        waited.map_err(End::client)?;
        self.entry.set_activity(Activity::Running);
        Ok(())
    }

    /// Shows the client what may be shown.
    async fn show(&mut self) -> Result<(), End> {
        if self.passage.is_empty() {
            return Ok(());
        }
        let gate = &self.shared.gate;
        while !(gate.is_open() && gate.may_show_now()) {
            self.entry.set_activity(Activity::Held);
            let began = Instant::now();
            let settled = async {
                gate.opened().await;
                gate.may_show().await;
            };
            let settled = self.peers.client.unless_leaves(settled).await;
            self.shared.metrics.hold(began.elapsed());
            settled.map_err(End::client)?;
            self.entry.set_activity(Activity::Running);
            if gate.is_open() {
                break;
            }
        }
        if gate.epoch() != self.agreed.epoch {
            return Err(End::Moved {
                between_commands: false,
            });
        }
        let Peers { client, source } = &mut self.peers;
        let verbatim = source.inbound.unread().get(self.passage.verbatim.clone());
        let written = client.write_both(&self.passage.front, verbatim.unwrap_or_default());
        // A client that does not read holds this up, and the source's patience with us ends.
        let written = source.stream.unless_broken(written).await;
        written.map_err(End::SourceCut)?.map_err(End::client)?;
        source.inbound.consume(self.passage.verbatim.end);
        self.passage.verbatim = 0..0;
        self.passage.front.clear();
        if self.passage.front.capacity() > KEEP_FRONT {
            self.passage.front = Vec::new();
        }
        Ok(())
    }

    /// An answer is complete; its last bytes are not shown yet.
    async fn done(&mut self, running: Running) -> Result<Phase, End> {
        let Running {
            case,
            answer,
            failed,
            lesson,
            asks,
            committed,
            names_watched,
            only_sets,
            stamp,
            ..
        } = running;
        self.own.statement_ended(Ended {
            in_transaction: (answer.status()).map(|status| status & status::IN_TRANSACTION != 0),
            committed,
        });
        self.status = answer.status().unwrap_or(self.status);
        if let Some(statement) = answer.prepared() {
            self.prepared.note(statement, case);
            if let Some(hint) = asks.hint {
                self.prepared.note_hint(statement, hint);
            }
        }
        if !failed && let Some(setting) = asks.variable {
            self.own.set(setting);
        }
        let logs_in = case.command == Command::CHANGE_USER;
        let resets = (logs_in || case.command == Command::RESET_CONNECTION) && !failed;
        // After a refused login the source leaves: nothing can be asked any more.
        let refused = logs_in && failed;
        let mut aborted = None;
        let mut reported = answer.reported();
        if self.agreed.mixes_up
            && self.logged_in
            && !(logs_in || resets)
            && (answer.reports_any() && !only_sets)
        {
            self.clear_way();
            let source = &mut self.peers.source;
            if tracking::skips_replication(source, &self.agreed).await? {
                reported = Some((SessionVariable::SkipReplication, true));
            }
        }
        if resets || (!refused && (case.touches_tracking || !self.tracking.on)) {
            self.clear_way();
            let source = &mut self.peers.source;
            match tracking::arm(source, &self.agreed, &self.tracking, resets).await {
                Ok(tracking) => self.tracking = tracking,
                Err(End::SourceAborts(error)) => aborted = Some(error),
                Err(end) => return Err(end),
            }
        }
        if resets {
            self.prepared.clear();
            self.own.reset();
            if let Some(lesson) = lesson {
                self.entry.set_user(lesson.user());
                self.origin = None;
                if !self.logged_in {
                    self.vouch(&lesson).await;
                }
                let configured = self.shared.config.users.get(lesson.user()).cloned();
                let learned = lesson.learned(&self.shared.passwords);
                self.learned = learned.or(configured.map(Learned::Password));
                self.entry.set_learned(self.learned.is_some());
            }
        }
        self.show().await?;
        if let Some(stamp) = stamp {
            stamp.shown();
        }
        if refused && !self.logged_in {
            return Err(End::RefusedBySource);
        }
        let says_nothing = |variable| {
            names_watched || (self.agreed.mixes_up && variable == SessionVariable::SkipReplication)
        };
        if let Some((variable, harms)) = reported
            && self.logged_in
            && !logs_in
            && (harms || !says_nothing(variable))
            && !self.shared.allowed.contains(&self.entry.user())
        {
            return Err(End::Hazard(variable));
        }
        if !self.logged_in
            && let Some(algorithm) = self.agreed.compression
        {
            self.peers.client.compress(algorithm);
        }
        self.logged_in = true;
        Ok(aborted.map_or(Phase::Idle, Phase::Aborted))
    }

    /// Its next command is answered as the source would have.
    async fn aborted(&mut self, error: ErrPacket) -> Result<Phase, End> {
        self.entry.set_activity(Activity::Idle);
        let commanded = async {
            while matches!(self.peers.client.packet(), Ok(None)) {
                self.peers.client.fill().await?;
            }
            self.peers.client.send_error(1, &error).await
        };
        tokio::select! {
            // The end of it all, so nothing is lost by leaving it.
            answered = commanded => answered.map_err(End::client)?,
            () = self.entry.drained() => return Err(End::Drained),
        }
        Err(End::SourceAborts(error))
    }

    /// What the source has answered is put aside: it is asked something else before the client sees it.
    fn clear_way(&mut self) {
        let inbound = &mut self.peers.source.inbound;
        self.passage.gather(inbound.unread());
        inbound.consume(self.passage.verbatim.end);
        self.passage.verbatim = 0..0;
    }

    /// The last words to whoever is still there.
    async fn part(&mut self, end: &End) {
        match end {
            End::ClientLeft(_) | End::ClientProtocol(_) if !self.logged_in => {
                abandon(&mut self.peers.source, Reached::Answered).await;
            }
            End::SourceLeft(_) => {
                let shift = if self.logged_in {
                    0
                } else {
                    self.agreed.login_shift
                };
                self.peers.farewell(shift).await;
            }
            End::Hazard(variable) => {
                let (user, connection) = (self.entry.user(), self.entry.connection());
                let moment = self.shared.gate.moment();
                self.shared.metrics.refused(refusal::DENIED);
                self.shared
                    .registry
                    .note_caught(variable.name(), &user, connection, &moment);
                tracing::error!(
                    variable = variable.name(),
                    user,
                    connection,
                    at = moment,
                    "a session has set a variable behind our back, which {}; it is ended",
                    variable.harm()
                );
                let error = refusal::caught(*variable, &user);
                let _ = self.peers.client.send_error(1, &error).await;
            }
            End::Drained => {
                let error = refusal::shutdown();
                let _ = self.peers.client.send_error(1, &error).await;
            }
            End::Moved {
                between_commands: true,
            } => {
                let error = refusal::moved();
                let _ = self.peers.client.send_error(1, &error).await;
            }
            End::Dump => {
                // The source has nothing more to say to it.
                let _ = self.peers.source.send(0, &[Command::QUIT.0]).await;
            }
            _ => {}
        }
    }
}

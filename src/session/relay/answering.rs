//! An answer of the source, up to the moment when the client may see it.

use std::time::Instant;

use super::{KEEP_FRONT, Phase, Relay, Running, Wait};
use crate::protocol::ok::status;
use crate::protocol::{Command, ErrPacket};
use crate::session::answer::{self, Step};
use crate::session::credentials::Learned;
use crate::session::locks::Locks;
use crate::session::peers::Peers;
use crate::session::registry::Activity;
use crate::session::requirement::Ended;
use crate::session::{End, tracking};
use crate::sql::hazard::SessionVariable;

impl Relay {
    pub(super) async fn answer(&mut self, mut running: Running) -> Result<Phase, End> {
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
                    self.next = None;
                    return Ok(Phase::SendingFile(running));
                }
                Step::Dialogue => {
                    self.next = None;
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
    pub(super) async fn wait(&mut self, wait: Wait) -> Result<(), End> {
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
    pub(super) async fn show(&mut self) -> Result<(), End> {
        if self.passage.is_empty() {
            return Ok(());
        }
        let gate = &self.shared.gate;
        while !(gate.is_open() && gate.may_show_now()) {
            self.entry.set_activity(Activity::Withheld);
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
        // Until all of it has gone out.
        let next = self.next.take().and(self.passage.next);
        let Peers { client, source } = &mut self.peers;
        let verbatim = source.inbound.unread().get(self.passage.verbatim.clone());
        let written = client.write_both(&self.passage.front, verbatim.unwrap_or_default());
        // A client that does not read holds this up, and the source's patience with us ends.
        let written = source.stream.unless_broken(written).await;
        written.map_err(End::SourceCut)?.map_err(End::client)?;
        source.inbound.consume(self.passage.verbatim.end);
        self.next = next;
        self.passage.verbatim = 0..0;
        self.passage.front.clear();
        if self.passage.front.capacity() > KEEP_FRONT {
            self.passage.front = Vec::new();
        }
        Ok(())
    }

    /// An answer is complete; its last bytes are not shown yet.
    pub(super) async fn done(&mut self, running: Running) -> Result<Phase, End> {
        let Running {
            case,
            answer,
            failed,
            lesson,
            asks,
            committed,
            names_watched,
            only_sets,
            locks,
            stamp,
            ..
        } = running;
        self.own.statement_ended(Ended {
            in_transaction: (answer.status()).map(|status| status & status::IN_TRANSACTION != 0),
            committed,
        });
        self.status = answer.status().unwrap_or(self.status);
        if !failed {
            self.locks.succeeded(locks);
        }
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
            self.locks = Locks::default();
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

    /// Its next command is answered so; then it ends.
    pub(super) async fn last_word(&mut self, error: &ErrPacket) -> Result<(), End> {
        self.entry.set_activity(Activity::Idle);
        let commanded = async {
            while matches!(self.peers.client.packet(), Ok(None)) {
                self.peers.client.fill().await?;
            }
            self.peers.client.send_error(1, error).await
        };
        tokio::select! {
            // The end of it all, so nothing is lost by leaving it.
            answered = commanded => answered.map_err(End::client),
            () = self.entry.drained() => Err(End::Drained),
        }
    }

    /// What the source has answered is put aside: it is asked something else before the client sees it.
    pub(super) fn clear_way(&mut self) {
        let inbound = &mut self.peers.source.inbound;
        self.passage.gather(inbound.unread());
        inbound.consume(self.passage.verbatim.end);
        self.passage.verbatim = 0..0;
    }
}

//! A session after its login packet: commands to the source, answers to the client, in lockstep.
//!
//! [`command`] is a command's way to the source, [`answering`] its answer's way back: an OK is shown by
//! [`Relay::show`] only, after what [`Relay::wait`] waits for.

mod answering;
mod binlog;
mod command;
mod dialogue;
mod sending;
mod stamp;
mod vouching;

use std::pin::pin;
use std::sync::Arc;

use super::abandon::{Reached, abandon};
use super::agreed::Agreed;
use super::answer::{Answer, Passage};
use super::credentials::{Learned, Lesson};
use super::large::{LargeText, Missing};
use super::locks::{Effect, Locks};
use super::peers::{Peers, Side};
use super::reader::Reader;
use super::registry::{Activity, Entered, Keeps};
use super::request::{self, Case, Front, Prepared, Reading};
use super::requirement::{Asks, Own};
use super::tracking::Tracking;
use super::{End, Shared, refusal};
use crate::gtid::Gtid;
use crate::net::stream::Stream;
use crate::protocol::ok::status;
use crate::protocol::{Capabilities, Command, ErrPacket};
use crate::sql::Kind;
use crate::sql::lexer::Backslash;
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
    /// On what the session keeps at the source.
    locks: Effect,
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
    locks: Locks,
    /// The number of an error that would end the answer to the running command; none where it would not be
    /// understood.
    next: Option<u8>,
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
        entry.set_epoch(agreed.epoch);
        Self {
            peers,
            agreed,
            shared,
            entry,
            tracking: Tracking::LOGIN,
            status: status::AUTOCOMMIT,
            locks: Locks::default(),
            next: None,
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
        let entry = self.entry.entry();
        // One for the whole session: it is subscribed once.
        let mut left_behind = pin!(entry.left_behind());
        let end = loop {
            let may_commit = self.logged_in && phase.may_commit();
            let is_idle = matches!(phase, Phase::Idle);
            let next = tokio::select! {
                biased;
                next = self.advance_phase(phase) => next,
                // The end of whatever it does, so nothing is lost by leaving it.
                () = &mut left_behind => Err(End::Moved { between_commands: false }),
            };
            let next = match next {
                Err(End::Moved { .. } | End::SourceLeft(_) | End::SourceCut(_))
                    if is_idle && entry.is_left_behind() =>
                {
                    Err(self.stay_behind().await)
                }
                Err(End::SourceLeft(_) | End::SourceCut(_)) if entry.is_left_behind() => {
                    Err(End::Moved {
                        between_commands: false,
                    })
                }
                next => next,
            };
            match next {
                Ok(next) => phase = next,
                Err(end) => {
                    let is_cut = matches!(
                        end,
                        End::SourceLeft(_) | End::SourceCut(_) | End::Moved { .. }
                    );
                    if may_commit && is_cut {
                        self.shared.gate.source_left(self.agreed.epoch);
                    }
                    break end;
                }
            }
        };
        self.part(&end).await;
        end
    }

    async fn advance_phase(&mut self, phase: Phase) -> Result<Phase, End> {
        match phase {
            Phase::Idle => self.idle().await,
            Phase::Sending { running, missing } => self.send(running, missing).await,
            Phase::Discarding(discarding) => self.discard(discarding).await,
            Phase::Answering(running) => self.answer(running).await,
            Phase::SendingFile(running) => self.send_file(running).await,
            Phase::Dialogue(running) => Box::pin(self.dialogue(running)).await,
            Phase::Aborted(error) => {
                Box::pin(self.last_word(&error)).await?;
                Err(End::SourceAborts(error))
            }
        }
    }

    /// Nothing was asked: what it hears it hears in answer to its next command, as clients expect it.
    async fn stay_behind(&mut self) -> End {
        // With it go its transaction and its locks.
        self.peers.source.stream = Stream::Cut;
        self.entry.set_keeps(Keeps::Nothing);
        self.next = None;
        let told = Box::pin(self.last_word(&refusal::moved())).await;
        told.err().unwrap_or(End::Moved {
            between_commands: false,
        })
    }

    /// What it keeps at the source.
    fn keeps(&self) -> Keeps {
        if self.status & status::IN_TRANSACTION != 0 {
            Keeps::Transaction
        } else if self.locks.any() {
            Keeps::Locks
        } else {
            Keeps::Nothing
        }
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
            locks: Effect::default(),
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
                    self.settled().await?;
                    self.relay(length).await?;
                    waited = false;
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
                self.entry.set_keeps(self.keeps());
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
            End::Moved { between_commands } => {
                let number = match between_commands {
                    true => Some(1),
                    false => self.next,
                };
                if let Some(number) = number {
                    let error = refusal::moved();
                    let _ = self.peers.client.send_error(number, &error).await;
                }
            }
            End::Dump => {
                // The source has nothing more to say to it.
                let _ = self.peers.source.send(0, &[Command::QUIT.0]).await;
            }
            _ => {}
        }
    }
}

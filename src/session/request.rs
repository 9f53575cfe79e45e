//! What a client asks for: its commands, looked at before they are relayed. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::large::Missing;
use super::peers::READ_AHEAD;
use super::refusal;
use crate::ack::policy::Requirement;
use crate::protocol::command::AnswerForm;
use crate::protocol::packet::{HEADER, Header};
use crate::protocol::{Command, ErrPacket, query_attributes};
use crate::sql::kind::{is_plain, kind};
use crate::sql::lexer::Backslash;
use crate::sql::{Hazard, KillTarget, Kind, hazard, kill, tracking};

/// What is known of a command while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub command: Command,
    pub kind: Kind,
    /// It may change what the source tells us about commits.
    pub touches_tracking: bool,
}

/// How a client's commands are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub backslash: Backslash,
    /// Query attributes stand before the text of COM_QUERY.
    pub attributes: bool,
}

/// What to do with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Relay,
    Refuse(ErrPacket),
    /// Relay it unless one of these waits for its acknowledgement.
    Kill(Vec<KillTarget>),
}

/// A command at the front of what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub case: Case,
    pub verdict: Verdict,
    /// Refused unless the user is allowed to. Of a text that is not complete only
    /// [`super::large::LargeText`] knows.
    pub hazard: Option<Hazard>,
    /// Where in the payload a statement begins.
    pub text_at: usize,
    /// Bytes in front of it: commands without an answer, to be sent along.
    pub silent: usize,
    /// Bytes of it that are there, headers included.
    pub here: usize,
    /// What is still to come of the payload's packet that `here` ends in; None when it is complete.
    pub missing: Option<Missing>,
}

/// What stands at the front of the client's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Front {
    NeedMore,
    /// So many bytes of commands without an answer, and nothing else.
    Silent(usize),
    /// So many bytes that end with COM_QUIT.
    Quit(usize),
    Request(Request),
}

/// MariaDB: the statement that was prepared last.
const LAST: u32 = u32::MAX;

/// Prepared statements of which an execution is something special; most sessions have none.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    by_number: HashMap<u32, Case>,
    /// A text named the tracking variables without setting them at once (PREPARE, CREATE PROCEDURE):
    /// from now on whatever runs other statements may.
    dynamic: bool,
    /// What those with a hint ask beyond the policy.
    hints: HashMap<u32, Arc<Requirement>>,
}

impl Prepared {
    /// A statement got its number.
    pub fn note(&mut self, statement: u32, case: Case) {
        let ordinary = matches!(case.kind, Kind::Read | Kind::Write | Kind::Control);
        if !ordinary || case.touches_tracking {
            self.by_number.insert(statement, case);
        }
    }

    /// It was prepared with a hint.
    pub fn note_hint(&mut self, statement: u32, hint: Arc<Requirement>) {
        self.hints.insert(statement, hint);
    }

    /// The hint that a statement was prepared with which is executed now.
    pub fn hint(&self, command: Command, payload: &[u8]) -> Option<Arc<Requirement>> {
        let executes = matches!(command, Command::STMT_EXECUTE | Command::STMT_BULK_EXECUTE);
        if self.hints.is_empty() || !executes {
            return None;
        }
        match statement(payload)? {
            // It may be any of them.
            LAST => {
                let all = self.hints.values().map(|hint| Requirement::clone(hint));
                Some(Arc::new(Requirement::and(all.collect())))
            }
            statement => self.hints.get(&statement).cloned(),
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn note_text(&mut self, case: &mut Case) {
        if case.touches_tracking && case.kind != Kind::Control {
            self.dynamic = true;
        }
        case.touches_tracking |= self.dynamic && case.kind == Kind::Routine;
    }

    fn close(&mut self, payload: &[u8]) {
        if (!self.by_number.is_empty() || !self.hints.is_empty())
            && let Some(statement) = statement(payload)
        {
            self.by_number.remove(&statement);
            self.hints.remove(&statement);
        }
    }

    /// What executing a statement is like.
    fn executed(&self, command: Command, payload: &[u8]) -> Case {
        let mut case = Case {
            command,
            kind: Kind::Write,
            touches_tracking: false,
        };
        if self.by_number.is_empty() {
            return case;
        }
        match statement(payload) {
            Some(LAST) => {
                case.kind = Kind::Routine;
                case.touches_tracking = self.by_number.values().any(|case| case.touches_tracking);
            }
            Some(statement) => {
                if let Some(known) = self.by_number.get(&statement) {
                    case.kind = known.kind;
                    case.touches_tracking = known.touches_tracking;
                }
            }
            None => {}
        }
        case
    }
}

fn statement(payload: &[u8]) -> Option<u32> {
    let bytes = payload.get(1..5)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Looks at the front of what the client sent.
pub fn front(unread: &[u8], prepared: &mut Prepared, reading: Reading) -> Front {
    let mut silent = 0;
    loop {
        let rest = &unread[silent..];
        let need_more = if silent > 0 {
            Front::Silent(silent)
        } else {
            Front::NeedMore
        };
        let Some(header) = Header::parse(rest) else {
            return need_more;
        };
        let whole = HEADER + header.length;
        let complete = !header.continues() && rest.len() >= whole;
        if !complete && rest.len() < READ_AHEAD {
            return need_more;
        }
        let payload = &rest[HEADER..rest.len().min(whole)];
        // An empty packet counts as COM_SLEEP; the server refuses it.
        let command = Command(payload.first().copied().unwrap_or(0));
        if complete && command == Command::QUIT {
            return Front::Quit(silent + whole);
        }
        if complete && command.answer_form() == AnswerForm::None {
            if command == Command::STMT_CLOSE {
                prepared.close(payload);
            }
            silent += whole;
            continue;
        }
        let place = if command == Command::QUERY && reading.attributes {
            query_attributes::text_at(payload)
        } else {
            Ok(1)
        };
        let text_at = *place.as_ref().unwrap_or(&payload.len());
        let text = payload.get(text_at..).unwrap_or_default();
        let (case, mut verdict) = inspect(command, payload, text, prepared);
        if let Err(error) = place {
            verdict = Verdict::Refuse(refusal::attributes(&error));
        }
        let hazard = if complete {
            hazard(case, payload, text, reading.backslash)
        } else {
            None
        };
        // What is there may reach into the continuing packets.
        let (used, missing) = Missing::behind(header).pass(&rest[HEADER..]);
        return Front::Request(Request {
            case,
            verdict,
            hazard,
            text_at,
            silent,
            here: HEADER + used,
            missing,
        });
    }
}

fn hazard(case: Case, payload: &[u8], text: &[u8], backslash: Backslash) -> Option<Hazard> {
    /// Flags of COM_REFRESH, in the server's mysql_com.h.
    const REFRESH_SLAVE: u8 = 0x40;
    const REFRESH_MASTER: u8 = 0x80;
    match (case.command, payload) {
        (Command::QUERY | Command::STMT_PREPARE, _) if !is_plain(case.kind, text) => {
            hazard::find(text, backslash)
        }
        (Command::REFRESH, [_, flags, ..]) if flags & REFRESH_MASTER != 0 => {
            Some(Hazard::ResetBinlog)
        }
        (Command::REFRESH, [_, flags, ..]) if flags & REFRESH_SLAVE != 0 => {
            Some(Hazard::ResetReplica)
        }
        _ => None,
    }
}

/// Of COM_STMT_EXECUTE: read-only, for update or scrollable.
pub fn asks_cursor(payload: &[u8]) -> bool {
    payload.get(5).is_some_and(|flags| flags & 0b111 != 0)
}

fn inspect(
    command: Command,
    payload: &[u8],
    text: &[u8],
    prepared: &mut Prepared,
) -> (Case, Verdict) {
    let mut case = Case {
        command,
        kind: Kind::Control,
        touches_tracking: false,
    };
    if command.is_replication() {
        return (case, Verdict::Refuse(refusal::replication(command)));
    }
    match command {
        Command::QUERY | Command::STMT_PREPARE => {
            case.kind = kind(text);
            if is_plain(case.kind, text) {
                return (case, Verdict::Relay);
            }
            case.touches_tracking = tracking::touches(text);
            prepared.note_text(&mut case);
            let targets = kill::targets(text);
            if targets.is_empty() {
                return (case, Verdict::Relay);
            }
            if command == Command::STMT_PREPARE {
                return (case, Verdict::Refuse(refusal::prepared_kill()));
            }
            (case, Verdict::Kill(targets))
        }
        Command::PROCESS_KILL => {
            let target = statement(payload).map_or(KillTarget::Unknown, |id| {
                KillTarget::Connection(u64::from(id))
            });
            (case, Verdict::Kill(vec![target]))
        }
        Command::STMT_EXECUTE => (prepared.executed(command, payload), Verdict::Relay),
        Command::STMT_BULK_EXECUTE | Command::CREATE_DB | Command::DROP_DB | Command::REFRESH => {
            // Rows of a bulk may be committed one by one; the others are DDL by another name.
            case.kind = Kind::Other;
            (case, Verdict::Relay)
        }
        Command::STMT_FETCH | Command::FIELD_LIST | Command::STATISTICS => {
            case.kind = Kind::Read;
            (case, Verdict::Relay)
        }
        _ => (case, Verdict::Relay),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

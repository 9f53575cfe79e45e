//! From the source's answer to what the client sees of it: pure, bytes in, bytes out.
//!
//! The source is always spoken to with `SESSION_TRACK` and `DEPRECATE_EOF`; a client may know
//! neither. So an answer is passed on verbatim where both spellings agree, and changed where they do
//! not: session state is taken out, EOF packets are put in (numbers of later packets move), the OK
//! after rows becomes an EOF.
//!
//! Most bytes are never copied: what may be passed on is a stretch of the read buffer
//! ([`Passage::verbatim`]); only when something is put in or taken out, the bytes before it move into
//! [`Passage::front`].
//!
//! The end of a result is handed to a judge (the commit gate) before it is passed on.

use std::ops::Range;

use super::tracking::Shows;
use crate::protocol::auth::Question;
use crate::protocol::ok::{EofPacket, OkPacket, status};
use crate::protocol::packet::{HEADER, Header, MAX_PAYLOAD};
use crate::protocol::response::{ColumnPlace, Packet, Response};
use crate::protocol::session_state::{self, Change, LAST_GTID, TRACKED};
use crate::protocol::{Capabilities, Command, Error, packet};
use crate::sql::hazard::SessionVariable;

const WHAT: &str = "the server's answer";

/// What may be passed on: `front`, then the stretch of the read buffer.
#[derive(Debug, Default)]
pub struct Passage {
    pub front: Vec<u8>,
    pub verbatim: Range<usize>,
    /// The number of a packet that would follow all this; none in the middle of one.
    pub next: Option<u8>,
}

impl Passage {
    pub fn is_empty(&self) -> bool {
        self.front.is_empty() && self.verbatim.is_empty()
    }

    /// Moves the stretch into `front`, so that the read buffer can be used for something else.
    pub fn gather(&mut self, input: &[u8]) {
        let range = self.verbatim.clone();
        self.verbatim.start = range.end;
        self.front
            .extend_from_slice(input.get(range).unwrap_or_default());
    }
}

/// The end of a result, for the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It ended well; this is the GTID of what it committed, if the source named one.
    Ok { gtid: Option<&'a [u8]> },
    /// It failed; `first` when nothing of an answer came before.
    Err { code: u16, first: bool },
}

/// Why [`Answer::advance`] stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<W> {
    /// All that came in is looked at.
    NeedMore,
    /// The judge says that the next packet has to wait for this; call again afterwards.
    Wait(W),
    /// The client is asked for a file and sends it now.
    SendFile,
    /// The client is asked for something in a login dialogue.
    Dialogue,
    /// The answer is complete.
    Done,
}

/// What the source asked in a login dialogue.
#[derive(Clone, Debug)]
pub struct Asked {
    pub question: Question,
    pub payload: Vec<u8>,
}

/// So many EOFs, before the source's packet of the number `next`.
#[derive(Clone, Copy, Debug)]
struct EofsBehind {
    count: u8,
    next: u8,
}

impl EofsBehind {
    fn packet(header: Header, count: u8) -> Option<Self> {
        let next = header.sequence.wrapping_add(1);
        Some(Self { count, next })
    }
}

/// The answer to one command, on its way.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    command: Command,
    /// Agreed on with the source.
    backend: Capabilities,
    /// Agreed on with the client.
    client: Capabilities,
    /// What the client asked to be told of itself.
    shows: Shows,
    /// Numbers of packets are higher by this than the source's.
    shift: u8,
    /// Bytes left of the packet that is being passed on.
    left: usize,
    /// The next packet continues this payload.
    continued: bool,
    /// The columns of a result are complete and their EOF has not been put in.
    columns_ended: bool,
    /// EOFs belong behind the packet that is being passed on.
    eofs_behind: Option<EofsBehind>,
    /// Clients read them from the EOF behind the lists.
    prepared_warnings: u16,
    /// Behind the packet that was passed on last, in the client's numbers.
    next: u8,
    /// The client asked for a cursor.
    asks_cursor: bool,
    /// Judged and waited for: passed on at the next call.
    released: bool,
    any_packet: bool,
    status: u16,
    /// The source has told `status`.
    status_told: bool,
    prepared: Option<u32>,
    file_begins_with: Option<u8>,
    asked: Option<Asked>,
    /// A variable that we watch was set, and whether to a value that does harm.
    reported: Option<(SessionVariable, bool)>,
    /// Some variable was, whichever.
    reports_any: bool,
}

impl Answer {
    /// `status` is that of the answer before it.
    pub fn new(
        command: Command,
        backend: Capabilities,
        client: Capabilities,
        shows: Shows,
        status: u16,
    ) -> Self {
        Self {
            response: Response::new(command, backend),
            command,
            backend,
            client,
            shows,
            reported: None,
            reports_any: false,
            shift: 0,
            left: 0,
            continued: false,
            columns_ended: false,
            eofs_behind: None,
            prepared_warnings: 0,
            next: 1,
            asks_cursor: false,
            released: false,
            any_packet: false,
            status: status & status::LASTING,
            status_told: false,
            prepared: None,
            file_begins_with: None,
            asked: None,
        }
    }

    /// The client's numbers are ahead of the source's already: the one has asked for TLS and the
    /// other has not been asked.
    #[must_use]
    pub fn shifted(mut self, shift: u8) -> Self {
        self.shift = shift;
        self
    }

    /// The command asks for a cursor, so the result may have no rows yet. The status alone does not tell:
    /// MariaDB sets its bit in all that a loop over a cursor sends as well.
    pub fn set_asks_cursor(&mut self, asks: bool) {
        self.asks_cursor = asks;
    }

    fn opens_cursor(&self, status: u16) -> bool {
        self.asks_cursor
            && status & status::CURSOR_EXISTS != 0
            && status & status::MORE_RESULTS == 0
    }

    /// The status bits of the last OK or EOF, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.status_told.then_some(self.status)
    }

    /// By the source's word, the worst of it.
    pub fn reported(&self) -> Option<(SessionVariable, bool)> {
        self.reported
    }

    pub fn reports_any(&self) -> bool {
        self.reports_any
    }

    /// By how much numbers of packets differ between the client and the source.
    pub fn shift(&self) -> u8 {
        self.shift
    }

    /// The number of the first packet of the file that was asked for, as the source counts.
    pub fn file_begins_with(&self) -> Option<u8> {
        self.file_begins_with
    }

    /// The last thing that the source asked in a login dialogue.
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    /// One of both was told something that the other does not know of.
    pub fn set_shift(&mut self, shift: u8) {
        self.shift = shift;
    }

    /// The number of the statement that was prepared.
    pub fn prepared(&self) -> Option<u32> {
        self.prepared
    }

    /// Looks at what came in from `passage.verbatim.end` on and extends `passage`. `judge` says for
    /// the end of a result what it has to wait for, if anything.
    pub fn advance<W>(
        &mut self,
        input: &mut [u8],
        passage: &mut Passage,
        judge: &mut dyn FnMut(End<'_>) -> Option<W>,
    ) -> Result<Step<W>, Error> {
        loop {
            let at = passage.verbatim.end;
            if self.left > 0 {
                let now = self.left.min(input.len() - at);
                passage.verbatim.end += now;
                self.left -= now;
                passage.next = (self.left == 0).then_some(self.next);
                if self.left > 0 {
                    return Ok(Step::NeedMore);
                }
                continue;
            }
            if !self.continued {
                if let Some(EofsBehind { count, next }) = self.eofs_behind.take() {
                    let (warnings, status) = (self.prepared_warnings, self.status);
                    for _ in 0..count {
                        self.put_eof(input, passage, next, EofPacket { warnings, status });
                    }
                }
                if self.response.is_done() {
                    return Ok(Step::Done);
                }
            }
            let Some(header) = Header::parse(&input[at..]) else {
                return Ok(Step::NeedMore);
            };
            if self.continued {
                self.pass_head(input, passage, header);
                continue;
            }
            let Some(first) = self.first_byte(&input[at..], header) else {
                return Ok(Step::NeedMore);
            };
            if !self.response.needs_whole(first, header.length) {
                self.stream(input, passage, header)?;
                continue;
            }
            if header.continues() {
                return Err(Error::Malformed {
                    what: WHAT,
                    why: "an OK or ERR of 16 MB",
                });
            }
            if input.len() - at < HEADER + header.length {
                return Ok(Step::NeedMore);
            }
            if let Some(step) = self.whole(input, passage, header, judge)? {
                return Ok(step);
            }
        }
    }

    /// None while it has not come; an empty packet counts as beginning with 0.
    fn first_byte(&self, rest: &[u8], header: Header) -> Option<u8> {
        match rest.get(HEADER) {
            Some(first) if header.length > 0 => Some(*first),
            _ if header.length == 0 => Some(0),
            _ => None,
        }
    }

    /// A packet of which only the first byte matters.
    fn stream(
        &mut self,
        input: &mut [u8],
        passage: &mut Passage,
        header: Header,
    ) -> Result<(), Error> {
        let at = passage.verbatim.end;
        let head = &input[at + HEADER..(at + HEADER + header.length.min(1)).min(input.len())];
        let packet = self.response.packet(head, header.length)?;
        self.any_packet = true;
        let converts = self.converts_eof();
        match packet {
            Packet::Row if self.columns_ended => {
                let bits = if self.announces_out_parameters(&input[at..], header) {
                    status::OUT_PARAMETERS | status::MORE_RESULTS
                } else {
                    0
                };
                self.end_columns(input, passage, header, bits);
            }
            Packet::Column(ColumnPlace::LastOfResult) => self.columns_ended = converts,
            Packet::Column(ColumnPlace::LastOfPrepared) if converts => {
                self.eofs_behind = EofsBehind::packet(header, 1);
            }
            _ => {}
        }
        self.pass_head(input, passage, header);
        Ok(())
    }

    /// A packet that has come in as a whole and whose content matters.
    fn whole<W>(
        &mut self,
        input: &mut [u8],
        passage: &mut Passage,
        header: Header,
        judge: &mut dyn FnMut(End<'_>) -> Option<W>,
    ) -> Result<Option<Step<W>>, Error> {
        let at = passage.verbatim.end;
        let end = at + HEADER + header.length;
        let mut next = self.response.clone();
        let packet = next.packet(&input[at + HEADER..end], header.length)?;
        let verdict = match (&packet, std::mem::take(&mut self.released)) {
            (_, true) => None,
            (Packet::Ok(ok), _) => {
                let gtid = session_state::gtid(ok.session_state)?;
                judge(End::Ok { gtid })
            }
            (Packet::Eof(_), _) => judge(End::Ok { gtid: None }),
            (Packet::Err { code }, _) => judge(End::Err {
                code: *code,
                first: !self.any_packet,
            }),
            _ => None,
        };
        if let Some(wait) = verdict {
            self.released = true;
            return Ok(Some(Step::Wait(wait)));
        }
        self.any_packet |= packet != Packet::Progress;
        let mut step = None;
        match packet {
            Packet::Ok(ok) => {
                let rewritten = self.rewrite(&ok)?;
                self.note_reported(&ok)?;
                let status = ok.status;
                self.status = status & !status::SESSION_STATE;
                self.status_told = true;
                if self.opens_cursor(status) {
                    // No rows follow: in the old spelling one EOF is both ends.
                    self.columns_ended = false;
                }
                self.end_columns(input, passage, header, 0);
                match rewritten {
                    None => self.pass(input, passage, header),
                    Some(payload) => self.replace(input, passage, header, &payload),
                }
            }
            Packet::Eof(eof) => {
                self.status = eof.status;
                self.status_told = true;
                self.pass(input, passage, header);
            }
            Packet::ResultHeader { definitions, .. } => {
                self.columns_ended = !definitions && self.converts_eof();
                self.pass(input, passage, header);
            }
            Packet::Prepared {
                statement,
                columns,
                parameters,
                warnings,
                definitions,
            } => {
                self.prepared = Some(statement);
                self.prepared_warnings = warnings;
                if !definitions && self.converts_eof() {
                    // The old spelling ends lists that it leaves out, too.
                    let lists = u8::from(parameters > 0) + u8::from(columns > 0);
                    self.eofs_behind = EofsBehind::packet(header, lists);
                }
                self.pass(input, passage, header);
            }
            Packet::Err { .. } => {
                if self.asks_cursor && !self.status_told {
                    // It could not be opened, and that comes before the end of its columns.
                    self.columns_ended = false;
                }
                self.end_columns(input, passage, header, 0);
                self.pass(input, passage, header);
            }
            Packet::LocalInfile => {
                self.pass(input, passage, header);
                self.file_begins_with = Some(header.sequence.wrapping_add(1));
                step = Some(Step::SendFile);
            }
            Packet::Auth => {
                let payload = &input[at + HEADER..end];
                self.asked = Some(Asked {
                    question: Question::read(header, payload),
                    payload: payload.to_vec(),
                });
                self.pass(input, passage, header);
                step = Some(Step::Dialogue);
            }
            _ => self.pass(input, passage, header),
        }
        self.response = next;
        Ok(step)
    }

    /// The OK as the client must see it; None where it may pass as it is.
    fn rewrite(&self, ok: &OkPacket<'_>) -> Result<Option<Vec<u8>>, Error> {
        if ok.first == OkPacket::FIRST_AFTER_ROWS && self.converts_eof() {
            let eof = EofPacket {
                warnings: ok.warnings,
                status: ok.status & !status::SESSION_STATE,
            };
            return Ok(Some(eof.to_bytes().to_vec()));
        }
        if ok.status & status::SESSION_STATE == 0 {
            return Ok(None);
        }
        let mut shown = Vec::new();
        if self.client.contains(Capabilities::SESSION_TRACK) {
            let mut hides_any = false;
            session_state::each(ok.session_state, |change| hides_any |= self.hides(&change))?;
            if !hides_any {
                return Ok(None);
            }
            session_state::without(ok.session_state, |change| self.hides(change), &mut shown)?;
        }
        let mut payload = Vec::new();
        OkPacket {
            session_state: &shown,
            ..ok.clone()
        }
        .write(&mut payload, self.client);
        Ok(Some(payload))
    }

    /// Whether the client is not told of it.
    fn hides(&self, change: &Change<'_>) -> bool {
        match change {
            Change::Gtids(_) => !self.shows.gtid,
            Change::Variable { name, .. } if *name == LAST_GTID => !self.shows.gtid,
            // It is on its own list, so that one statement tells us what became of it.
            Change::Variable { name, .. } if *name == TRACKED => !self.shows.watched,
            Change::Variable { name, .. } => {
                !self.shows.watched && SessionVariable::reported(name, b"").is_some()
            }
            Change::Other { .. } => false,
        }
    }

    fn note_reported(&mut self, ok: &OkPacket<'_>) -> Result<(), Error> {
        session_state::each(ok.session_state, |change| {
            let Change::Variable { name, value } = change else {
                return;
            };
            if name == LAST_GTID {
                return;
            }
            self.reports_any = true;
            if let Some((variable, harms)) = SessionVariable::reported(name, value)
                && (harms || self.reported.is_none())
            {
                self.reported = Some((variable, harms));
            }
        })
    }

    fn converts_eof(&self) -> bool {
        self.backend.contains(Capabilities::DEPRECATE_EOF)
            && !self.client.contains(Capabilities::DEPRECATE_EOF)
    }

    /// In the old spelling the EOF after the columns tells that the one row holds a procedure's OUT
    /// parameters; in the new one only the end does. The server sends all of it at once, so the end
    /// is there to be looked at.
    fn announces_out_parameters(&self, rest: &[u8], row: Header) -> bool {
        if self.command != Command::STMT_EXECUTE {
            return false;
        }
        let end = rest.get(HEADER + row.length..).unwrap_or_default();
        let Some(header) = Header::parse(end) else {
            return false;
        };
        end.get(HEADER..HEADER + header.length)
            .filter(|payload| payload.first() == Some(&OkPacket::FIRST_AFTER_ROWS))
            .and_then(|payload| OkPacket::parse(payload, self.backend).ok())
            .is_some_and(|ok| ok.status & status::OUT_PARAMETERS != 0)
    }

    /// Lets the bytes of a packet pass, its number corrected.
    fn pass_head(&mut self, input: &mut [u8], passage: &mut Passage, header: Header) {
        let at = passage.verbatim.end;
        if self.shift != 0 {
            input[at + 3] = header.sequence.wrapping_add(self.shift);
        }
        passage.verbatim.end += HEADER;
        self.left = header.length;
        self.next = header.sequence.wrapping_add(self.shift).wrapping_add(1);
        passage.next = (self.left == 0).then_some(self.next);
        self.continued = header.length == MAX_PAYLOAD;
    }

    fn pass(&mut self, input: &mut [u8], passage: &mut Passage, header: Header) {
        self.pass_head(input, passage, header);
        passage.verbatim.end += self.left;
        self.left = 0;
        passage.next = Some(self.next);
    }

    /// Passes `payload` on in place of a packet.
    fn replace(&mut self, input: &[u8], passage: &mut Passage, header: Header, payload: &[u8]) {
        passage.gather(input);
        let mut sequence = header.sequence.wrapping_add(self.shift);
        packet::write(&mut passage.front, &mut sequence, payload);
        passage.next = Some(sequence);
        let after = passage.verbatim.end + HEADER + header.length;
        passage.verbatim = after..after;
    }

    /// Puts in the EOF between columns and rows, if one is due, in front of the packet of `header`.
    fn end_columns(&mut self, input: &[u8], passage: &mut Passage, header: Header, bits: u16) {
        if std::mem::take(&mut self.columns_ended) {
            // What was told of the result before says nothing of this one.
            let status = self.status & !(status::MORE_RESULTS | status::CURSOR_EXISTS) | bits;
            let eof = EofPacket {
                warnings: 0,
                status,
            };
            self.put_eof(input, passage, header.sequence, eof);
        }
    }

    /// Puts in an EOF where the source's next packet has this number.
    fn put_eof(&mut self, input: &[u8], passage: &mut Passage, sequence: u8, eof: EofPacket) {
        passage.gather(input);
        let mut sequence = sequence.wrapping_add(self.shift);
        packet::write(&mut passage.front, &mut sequence, &eof.to_bytes());
        passage.next = Some(sequence);
        self.shift = self.shift.wrapping_add(1);
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

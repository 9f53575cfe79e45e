//! Commands larger than we read ahead: they pass in parts, and so they are looked at. Pure.

use crate::protocol::packet::{HEADER, Header};
use crate::sql::lexer::Backslash;
use crate::sql::{Hazard, hazard, tracking};

/// The rest of a large command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Bytes of the present packet.
    pub left: usize,
    /// Another packet follows it.
    pub continued: bool,
    /// The number of the present packet.
    pub sequence: u8,
}

impl Missing {
    /// All that is behind a header.
    pub fn behind(header: Header) -> Self {
        Self {
            left: header.length,
            continued: header.continues(),
            sequence: header.sequence,
        }
    }

    /// Goes over bytes that are sent on; returns how many belong to the command, and what is missing
    /// after them (None: it is complete). Fewer bytes than given are used when a header is cut.
    pub fn pass(self, bytes: &[u8]) -> (usize, Option<Self>) {
        self.pass_payload(bytes, |_| {})
    }

    /// The same; `payload` is given what is there between the headers.
    pub fn pass_payload(
        mut self,
        bytes: &[u8],
        payload: impl FnMut(&[u8]),
    ) -> (usize, Option<Self>) {
        let (used, complete) = self.advance(bytes, payload);
        (used, (!complete).then_some(self))
    }

    /// The same, and at the end it still knows the number of the command's last packet.
    pub fn advance(&mut self, bytes: &[u8], mut payload: impl FnMut(&[u8])) -> (usize, bool) {
        let mut at = 0;
        loop {
            let now = self.left.min(bytes.len() - at);
            payload(&bytes[at..at + now]);
            at += now;
            self.left -= now;
            if self.left > 0 {
                return (at, false);
            }
            if !self.continued {
                return (at, true);
            }
            let Some(header) = Header::parse(&bytes[at..]) else {
                return (at, false);
            };
            at += HEADER;
            *self = Self::behind(header);
        }
    }
}

/// The text of a large command.
#[derive(Clone, Debug)]
pub struct LargeText {
    tracking: tracking::Scan,
    hazards: hazard::Scan,
    hazard: Option<Hazard>,
}

impl LargeText {
    /// `packets` begins with the header of the command, whose text is at `text_at` of its payload.
    pub fn begin(packets: &[u8], text_at: usize, backslash: Backslash) -> Self {
        let mut text = Self {
            tracking: tracking::Scan::default(),
            hazards: hazard::Scan::new(backslash),
            hazard: None,
        };
        if let Some(header) = Header::parse(packets) {
            let mut before = text_at;
            Missing::behind(header).pass_payload(&packets[HEADER..], |part| {
                text.feed(part.get(before..).unwrap_or_default());
                before = before.saturating_sub(part.len());
            });
        }
        text
    }

    /// The next bytes: as [`Missing::pass`].
    pub fn pass(&mut self, missing: Missing, bytes: &[u8]) -> (usize, Option<Missing>) {
        let passed = missing.pass_payload(bytes, |part| self.feed(part));
        if passed.1.is_none() {
            self.hazard = self.hazards.clone().finish();
        }
        passed
    }

    fn feed(&mut self, part: &[u8]) {
        self.tracking.feed(part);
        self.hazards.feed(part);
        if self.hazard.is_none() {
            self.hazard = self.hazards.found().cloned();
        }
    }

    /// Whether it may change what the source tells us about commits, as far as it has come.
    pub fn touches_tracking(&self) -> bool {
        self.tracking.found()
    }

    /// Whether it sets the variable by which a session asks for more, as far as it has come. One that
    /// comes in parts is not read as a whole, so it is not known to what.
    pub fn sets_requirement(&self) -> bool {
        self.hazards.sets_requirement()
    }

    /// Its first hazard, as far as it has come.
    pub fn hazard(&self) -> Option<&Hazard> {
        self.hazard.as_ref()
    }
}

//! What each packet of an answer is: a pure state machine fed with packets, one for each command.
//!
//! Rows and column definitions are only counted: the machine needs no more of them than the first
//! byte and the length, so results of any size pass without being gathered. All other packets are
//! small and must be handed over whole ([`Response::needs_whole`]).
//!
//! Both spellings of an answer are understood: with `DEPRECATE_EOF` (rows end with an OK that begins
//! with 0xFE) and without (an EOF after the columns and one after the rows).

use super::command::AnswerForm;
use super::err::{self, ErrPacket};
use super::fields::Fields;
use super::ok::{EofPacket, OkPacket, status};
use super::packet::MAX_PAYLOAD;
use super::{Capabilities, Command, Error};

const WHAT: &str = "the server's answer";
const LOCAL_INFILE: u8 = 0xFB;

/// Where in the answer to one command we are.
#[derive(Clone, Debug)]
pub struct Response {
    capabilities: Capabilities,
    form: AnswerForm,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first packet of an answer, or of the next of several results.
    First,
    Columns {
        left: u64,
    },
    /// The EOF between columns and rows.
    ColumnsEof,
    Rows,
    PreparedParameters {
        left: u16,
        columns: u16,
    },
    PreparedParametersEof {
        columns: u16,
        definitions: bool,
    },
    PreparedColumns {
        left: u16,
    },
    PreparedColumnsEof,
    FieldList,
    Done,
}

/// What the packet just handed over is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// So many columns; `definitions` is false where MariaDB trusts the client's cache for them, and
    /// where MySQL's client asked for none.
    ResultHeader {
        columns: u64,
        definitions: bool,
    },
    Column(ColumnPlace),
    /// An EOF inside an answer, after columns (only without `DEPRECATE_EOF`).
    ColumnsEof(EofPacket),
    Row,
    /// A result ended well; [`Response::is_done`] tells whether more follow.
    Ok(OkPacket<'a>),
    /// The same without `DEPRECATE_EOF`.
    Eof(EofPacket),
    Err {
        code: u16,
    },
    /// MariaDB tells how far a long statement is. Part of no result.
    Progress,
    /// The client is asked for a file: its packets come next, then the answer goes on.
    LocalInfile,
    /// `definitions` as in [`Self::ResultHeader`].
    Prepared {
        statement: u32,
        columns: u16,
        parameters: u16,
        warnings: u16,
        definitions: bool,
    },
    /// The server's text in answer to COM_STATISTICS.
    Text,
    /// Part of a login dialogue that the client has to answer.
    Auth,
}

/// Where a column definition stands, which tells where the old protocol has its EOF packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnPlace {
    Middle,
    /// The last before the rows of a result.
    LastOfResult,
    /// The last of the parameters, or of the columns, of a prepared statement.
    LastOfPrepared,
}

impl Response {
    /// `capabilities` are those agreed on with the server that answers.
    pub fn new(command: Command, capabilities: Capabilities) -> Self {
        let form = command.answer_form();
        let state = match form {
            AnswerForm::None => State::Done,
            AnswerForm::Fetch => State::Rows,
            AnswerForm::FieldList => State::FieldList,
            _ => State::First,
        };
        Self {
            capabilities,
            form,
            state,
        }
    }

    /// The answer is complete: the next packet answers another command.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Nothing of the present result has come yet.
    pub fn at_first_packet(&self) -> bool {
        self.state == State::First
    }

    /// Whether the next packet, which begins with `first` and has `length` bytes, must be handed over
    /// whole; for all others a part of any size will do.
    #[inline]
    pub fn needs_whole(&self, first: u8, length: usize) -> bool {
        match self.state {
            State::Rows => {
                first == ErrPacket::FIRST || (first == EofPacket::FIRST && length < MAX_PAYLOAD)
            }
            State::Columns { .. }
            | State::PreparedParameters { .. }
            | State::PreparedColumns { .. } => first == ErrPacket::FIRST,
            State::FieldList => first == ErrPacket::FIRST || first == EofPacket::FIRST,
            State::First => self.form != AnswerForm::Text || first == ErrPacket::FIRST,
            _ => true,
        }
    }

    /// Takes the next packet: its payload, or a part of it where [`Self::needs_whole`] says no;
    /// `length` is that of the packet itself (a continuation's packets are not handed over).
    pub fn packet<'a>(&mut self, payload: &'a [u8], length: usize) -> Result<Packet<'a>, Error> {
        let first = payload.first().copied();
        if first == Some(ErrPacket::FIRST) {
            return self.error(payload);
        }
        match self.state {
            State::First => self.first(payload),
            State::Columns { left } => {
                if left > 1 {
                    self.state = State::Columns { left: left - 1 };
                    return Ok(Packet::Column(ColumnPlace::Middle));
                }
                self.state = self.after_columns();
                Ok(Packet::Column(ColumnPlace::LastOfResult))
            }
            State::ColumnsEof => {
                let eof = EofPacket::parse(payload)?;
                let bits = eof.status & (status::CURSOR_EXISTS | status::MORE_RESULTS);
                self.state = if bits == status::CURSOR_EXISTS {
                    // The rows wait to be fetched. (Within a loop over a cursor MariaDB has both bits.)
                    Self::after_result(eof.status)
                } else {
                    State::Rows
                };
                Ok(Packet::ColumnsEof(eof))
            }
            State::Rows => {
                if first == Some(EofPacket::FIRST) && length < MAX_PAYLOAD {
                    return self.end(payload);
                }
                Ok(Packet::Row)
            }
            State::FieldList => {
                if first == Some(EofPacket::FIRST) {
                    return self.end(payload);
                }
                Ok(Packet::Column(ColumnPlace::Middle))
            }
            State::PreparedParameters { left, columns } => {
                if left > 1 {
                    self.state = State::PreparedParameters {
                        left: left - 1,
                        columns,
                    };
                    return Ok(Packet::Column(ColumnPlace::Middle));
                }
                self.state = if self.deprecates_eof() {
                    self.prepared_columns(columns, true)
                } else {
                    State::PreparedParametersEof {
                        columns,
                        definitions: true,
                    }
                };
                Ok(Packet::Column(ColumnPlace::LastOfPrepared))
            }
            State::PreparedParametersEof {
                columns,
                definitions,
            } => {
                self.state = self.prepared_columns(columns, definitions);
                EofPacket::parse(payload).map(Packet::ColumnsEof)
            }
            State::PreparedColumns { left } => {
                if left > 1 {
                    self.state = State::PreparedColumns { left: left - 1 };
                    return Ok(Packet::Column(ColumnPlace::Middle));
                }
                self.state = if self.deprecates_eof() {
                    State::Done
                } else {
                    State::PreparedColumnsEof
                };
                Ok(Packet::Column(ColumnPlace::LastOfPrepared))
            }
            State::PreparedColumnsEof => {
                self.state = State::Done;
                EofPacket::parse(payload).map(Packet::ColumnsEof)
            }
            State::Done => Err(Error::Malformed {
                what: WHAT,
                why: "a packet after its end",
            }),
        }
    }

    fn first<'a>(&mut self, payload: &'a [u8]) -> Result<Packet<'a>, Error> {
        let Some(&first) = payload.first() else {
            return match self.form {
                AnswerForm::Text => {
                    self.state = State::Done;
                    Ok(Packet::Text)
                }
                _ => Err(Error::Truncated { what: WHAT }),
            };
        };
        match (self.form, first) {
            (AnswerForm::Text, _) => {
                self.state = State::Done;
                Ok(Packet::Text)
            }
            (AnswerForm::Prepare, 0) => self.prepared(payload),
            (AnswerForm::Auth, first) if first != OkPacket::FIRST => Ok(Packet::Auth),
            (_, OkPacket::FIRST | OkPacket::FIRST_AFTER_ROWS) => self.end(payload),
            (_, LOCAL_INFILE) => Ok(Packet::LocalInfile),
            _ => self.header(payload),
        }
    }

    fn header<'a>(&mut self, payload: &'a [u8]) -> Result<Packet<'a>, Error> {
        let mut fields = Fields::new(payload, WHAT);
        let columns = fields.lenenc()?;
        let says_whether = self.capabilities.contains(Capabilities::CACHE_METADATA)
            || self.capabilities.contains(Capabilities::OPTIONAL_METADATA);
        let definitions = !says_whether || fields.u8()? != 0;
        if columns == 0 {
            return Err(Error::Malformed {
                what: WHAT,
                why: "a result without columns",
            });
        }
        self.state = if definitions {
            State::Columns { left: columns }
        } else {
            self.after_columns()
        };
        Ok(Packet::ResultHeader {
            columns,
            definitions,
        })
    }

    fn prepared<'a>(&mut self, payload: &'a [u8]) -> Result<Packet<'a>, Error> {
        let mut fields = Fields::new(payload, "the answer to COM_STMT_PREPARE");
        fields.u8()?;
        let statement = fields.u32()?;
        let columns = fields.u16()?;
        let parameters = fields.u16()?;
        let _filler = fields.u8()?;
        let warnings = fields.u16()?;
        // MySQL only: MariaDB's answer is the same whether definitions are cached or not.
        let definitions = if self.capabilities.contains(Capabilities::OPTIONAL_METADATA) {
            fields.u8()? != 0
        } else {
            true
        };
        self.state = if parameters > 0 && definitions {
            State::PreparedParameters {
                left: parameters,
                columns,
            }
        } else if parameters > 0 && !self.deprecates_eof() {
            State::PreparedParametersEof {
                columns,
                definitions,
            }
        } else {
            self.prepared_columns(columns, definitions)
        };
        Ok(Packet::Prepared {
            statement,
            columns,
            parameters,
            warnings,
            definitions,
        })
    }

    /// An OK or EOF that ends a result.
    fn end<'a>(&mut self, payload: &'a [u8]) -> Result<Packet<'a>, Error> {
        let is_eof = payload.first() == Some(&EofPacket::FIRST)
            && (!self.deprecates_eof() || payload.len() <= EofPacket::LENGTH);
        let (packet, status) = if is_eof {
            let eof = EofPacket::parse(payload)?;
            (Packet::Eof(eof), eof.status)
        } else {
            let ok = OkPacket::parse(payload, self.capabilities)?;
            let status = ok.status;
            (Packet::Ok(ok), status)
        };
        self.state = match self.form {
            AnswerForm::Results => Self::after_result(status),
            _ => State::Done,
        };
        Ok(packet)
    }

    fn error<'a>(&mut self, payload: &'a [u8]) -> Result<Packet<'a>, Error> {
        let mut fields = Fields::new(payload, "an ERR packet");
        fields.u8()?;
        let code = fields.u16()?;
        if code == err::PROGRESS {
            return Ok(Packet::Progress);
        }
        self.state = State::Done;
        Ok(Packet::Err { code })
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }

    fn after_columns(&self) -> State {
        if self.deprecates_eof() {
            State::Rows
        } else {
            State::ColumnsEof
        }
    }

    fn after_result(status: u16) -> State {
        if status & status::MORE_RESULTS != 0 {
            State::First
        } else {
            State::Done
        }
    }

    fn prepared_columns(&self, columns: u16, definitions: bool) -> State {
        if columns == 0 {
            State::Done
        } else if definitions {
            State::PreparedColumns { left: columns }
        } else if self.deprecates_eof() {
            State::Done
        } else {
            State::PreparedColumnsEof
        }
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;

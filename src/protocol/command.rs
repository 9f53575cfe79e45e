//! The commands a client may send, and in what form the server answers each.

/// The first byte of a command packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

macro_rules! commands {
    ($($name:ident = $value:literal),* $(,)?) => {
        impl Command {
            $(pub const $name: Self = Self($value);)*

            /// The protocol's name, without `COM_`.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($value => stringify!($name),)*
                    _ => "UNKNOWN",
                }
            }
        }
    };
}

commands! {
    SLEEP = 0x00,
    QUIT = 0x01,
    INIT_DB = 0x02,
    QUERY = 0x03,
    FIELD_LIST = 0x04,
    CREATE_DB = 0x05,
    DROP_DB = 0x06,
    REFRESH = 0x07,
    SHUTDOWN = 0x08,
    STATISTICS = 0x09,
    PROCESS_INFO = 0x0a,
    CONNECT = 0x0b,
    PROCESS_KILL = 0x0c,
    DEBUG = 0x0d,
    PING = 0x0e,
    TIME = 0x0f,
    DELAYED_INSERT = 0x10,
    CHANGE_USER = 0x11,
    BINLOG_DUMP = 0x12,
    TABLE_DUMP = 0x13,
    CONNECT_OUT = 0x14,
    REGISTER_SLAVE = 0x15,
    STMT_PREPARE = 0x16,
    STMT_EXECUTE = 0x17,
    STMT_SEND_LONG_DATA = 0x18,
    STMT_CLOSE = 0x19,
    STMT_RESET = 0x1a,
    SET_OPTION = 0x1b,
    STMT_FETCH = 0x1c,
    DAEMON = 0x1d,
    BINLOG_DUMP_GTID = 0x1e,
    RESET_CONNECTION = 0x1f,
    STMT_BULK_EXECUTE = 0xfa,
    MULTI = 0xfe,
}

/// The form of a command's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// The server says nothing.
    None,
    /// OK, ERR, or results (rows in text or binary), possibly several.
    Results,
    /// The header of a prepared statement with its parameters and columns.
    Prepare,
    /// Rows without a header.
    Fetch,
    /// Column definitions without a header.
    FieldList,
    /// One packet of text.
    Text,
    /// The login's dialogue again.
    Auth,
    /// A stream of events.
    Dump,
}

impl Command {
    pub fn answer_form(self) -> AnswerForm {
        match self {
            Self::QUIT | Self::STMT_CLOSE | Self::STMT_SEND_LONG_DATA => AnswerForm::None,
            Self::STMT_PREPARE => AnswerForm::Prepare,
            Self::STMT_FETCH => AnswerForm::Fetch,
            Self::FIELD_LIST => AnswerForm::FieldList,
            Self::STATISTICS => AnswerForm::Text,
            Self::CHANGE_USER => AnswerForm::Auth,
            Self::BINLOG_DUMP | Self::BINLOG_DUMP_GTID | Self::TABLE_DUMP => AnswerForm::Dump,
            _ => AnswerForm::Results,
        }
    }

    /// Replication commands: they have no business on the application port.
    pub fn is_replication(self) -> bool {
        matches!(
            self,
            Self::REGISTER_SLAVE | Self::BINLOG_DUMP | Self::BINLOG_DUMP_GTID | Self::TABLE_DUMP
        )
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "COM_{}({:#04x})", self.name(), self.0)
    }
}

//! What we say ourselves. The source's own refusals pass unchanged; ours say `ackline:`.

use super::registry::Full;
use super::requirement::Mistake;
use crate::protocol::{Command, ErrPacket};
use crate::sql::hazard::SessionVariable;
use crate::sql::{Hazard, KillTarget};

const GENERAL: &[u8; 5] = b"HY000";
/// Drivers take this class for a lost connection.
const CONNECTION: &[u8; 5] = b"08S01";

/// ER_CON_COUNT_ERROR.
pub fn too_many(full: Full) -> ErrPacket {
    ErrPacket::new(
        1040,
        b"08004",
        format!(
            "ackline: Too many connections (the limit is {})",
            full.limit
        ),
    )
}

/// ER_CONNECT_TO_FOREIGN_DATA_SOURCE: the source is down, or a hold lasts too long.
pub fn held(reason: &str) -> ErrPacket {
    ErrPacket::new(
        1429,
        GENERAL,
        format!("ackline: Unable to connect to the source: {reason}"),
    )
}

/// ER_HANDSHAKE_ERROR.
pub fn bad_handshake(why: &str) -> ErrPacket {
    ErrPacket::new(1043, CONNECTION, format!("ackline: Bad handshake: {why}"))
}

/// ER_SECURE_TRANSPORT_REQUIRED, in the server's words.
pub fn insecure_transport() -> ErrPacket {
    ErrPacket::new(
        3159,
        GENERAL,
        "ackline: Connections using insecure transport are prohibited while [tls] mode = \"required\"",
    )
}

/// CR_AUTH_PLUGIN_ERR's sense in a server's code, ER_SECURE_TRANSPORT_REQUIRED.
pub fn clear_password() -> ErrPacket {
    ErrPacket::new(
        3159,
        GENERAL,
        "ackline: the source asks for the password in clear, and ackline's own connection to it is not \
         encrypted: set tls = \"required\" in its [[server]], or connect to ackline without TLS",
    )
}

/// The same code the other way round.
pub fn full_authentication() -> ErrPacket {
    ErrPacket::new(
        3159,
        GENERAL,
        "ackline: the source does not have this user's password in its cache and asks for it over its \
         encrypted connection: log in through ackline with TLS (once is enough until it forgets)",
    )
}

/// ER_NOT_SUPPORTED_YET: a client must not become a replica behind our back, and acknowledge.
pub fn replication(command: Command) -> ErrPacket {
    ErrPacket::new(
        1235,
        b"42000",
        format!(
            "ackline: COM_{} is not for this port: replicas and binlog readers use the replication port",
            command.name()
        ),
    )
}

/// ER_KILL_DENIED_ERROR.
pub fn kill(target: &KillTarget) -> ErrPacket {
    let waits = waits(target);
    ErrPacket::new(
        1095,
        GENERAL,
        format!(
            "ackline: {waits} for the acknowledgement of its commit, which a KILL would make visible without one"
        ),
    )
}

fn waits(target: &KillTarget) -> String {
    match target {
        KillTarget::Connection(id) => format!("connection {id} waits"),
        KillTarget::QueryId(id) => format!("query {id} waits"),
        KillTarget::User(name) => format!("a connection of '{name}' waits"),
        KillTarget::Unknown => "a connection waits".to_owned(),
    }
}

/// ER_MALFORMED_PACKET: where the statement behind them begins is not sure.
pub fn attributes(error: &crate::protocol::Error) -> ErrPacket {
    ErrPacket::new(
        1835,
        GENERAL,
        format!("ackline: {error}; they may take 64 KiB"),
    )
}

/// ER_UNSUPPORTED_PS: whom it kills would be known only later.
pub fn prepared_kill() -> ErrPacket {
    ErrPacket::new(
        1295,
        GENERAL,
        "ackline: KILL is not supported in the prepared statement protocol: send it as a query",
    )
}

/// ER_SPECIFIC_ACCESS_DENIED_ERROR.
pub const DENIED: u16 = 1227;

/// For a session that is ended: the source has told what its statement did not.
pub fn caught(variable: SessionVariable, user: &str) -> ErrPacket {
    ErrPacket::new(
        DENIED,
        b"42000",
        format!(
            "ackline: Access denied: this session has set {}, which {}, and is ended; leave it out, or let an \
             administrator list '{user}' under allow_hazards in [sessions] of ackline's configuration",
            variable.name(),
            variable.harm()
        ),
    )
}

/// As the source answers to those who lack the privilege.
pub fn hazard(hazard: &Hazard, user: &str) -> ErrPacket {
    ErrPacket::new(
        DENIED,
        b"42000",
        format!(
            "ackline: Access denied: {hazard} {}; leave it out, or let an administrator list '{user}' \
             under allow_hazards in [sessions] of ackline's configuration",
            hazard.harm()
        ),
    )
}

/// ER_WRONG_VALUE_FOR_VAR.
pub fn requirement(mistake: &Mistake) -> ErrPacket {
    ErrPacket::new(1231, b"42000", format!("ackline: {mistake}"))
}

/// ER_KILL_DENIED_ERROR.
pub fn kill_of_asking(target: &KillTarget) -> ErrPacket {
    ErrPacket::new(
        1095,
        GENERAL,
        format!(
            "ackline: {} for acknowledgements, and its commit cannot be taken back any more",
            waits(target)
        ),
    )
}

/// ER_SERVER_SHUTDOWN.
pub fn shutdown() -> ErrPacket {
    ErrPacket::new(1053, CONNECTION, "ackline: Server shutdown in progress")
}

/// The same code for a session whose server is no longer the source: drivers connect anew.
pub fn moved() -> ErrPacket {
    ErrPacket::new(
        1053,
        CONNECTION,
        "ackline: the source has moved, connect again",
    )
}

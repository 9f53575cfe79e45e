//! Session tracking behind the client's back: without it an OK carries no GTID.
//!
//! MariaDB reports the system variable `last_gtid` if `session_track_system_variables` names it;
//! setting that variable replaces the list, so it is appended to what a tracking client has there.
//! MySQL has `session_track_gtids`. Both are lost with COM_RESET_CONNECTION and COM_CHANGE_USER, and
//! a client may set them itself. A change is not reported where the new list leaves it out
//! (measured), so statements that name the variables are watched ([`crate::sql::tracking`]). What was
//! only read has still the value that we gave it, and that is how it is told from a list of the
//! client's own. On MySQL the only value that serves us is the client's, too: who names the variable
//! and leaves it on is told of GTIDs from then on.
//!
//! What is not seen is a change inside a stored routine; until the next reset such a session's
//! commits are guarded at the source only.

use super::End;
use super::login::Agreed;
use super::peers::Peer;
use crate::protocol::fields::Fields;
use crate::protocol::packet::HEADER;
use crate::protocol::response::{Packet, Response};
use crate::protocol::{Capabilities, Command, ErrPacket, query_attributes};

const MARIADB_READ: &str = "SELECT @@session_track_system_variables";
const MARIADB_REPLACE: &str = "SET session_track_system_variables='last_gtid'";
const MARIADB_APPEND: &str = "SET session_track_system_variables=\
    CONCAT_WS(',',NULLIF(@@session_track_system_variables,''),'last_gtid')";
const MYSQL_READ: &str = "SELECT @@session_track_gtids";
const MYSQL_SET: &str = "SET session_track_gtids=OWN_GTID";

/// How a session is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Every commit's OK carries its GTID. False where the source refused (an expired password).
    pub on: bool,
    /// The client asked for the GTIDs itself.
    pub shows_gtid: bool,
    /// What we made of MariaDB's list.
    list: Option<Box<[u8]>>,
}

impl Tracking {
    /// During the login, which commits nothing.
    pub const LOGIN: Self = Self {
        on: true,
        shows_gtid: false,
        list: None,
    };
}

/// Switches tracking on, after finding out what the client has. Nothing may be unread of the source.
/// `before` is how it was last.
pub async fn arm(source: &mut Peer, agreed: &Agreed, before: &Tracking) -> Result<Tracking, End> {
    let mut list = None;
    if agreed.client.contains(Capabilities::SESSION_TRACK) {
        let read = if agreed.mariadb {
            MARIADB_READ
        } else {
            MYSQL_READ
        };
        if let Ok(Some(value)) = ask(source, agreed.source, read).await? {
            if before.on && before.list.as_deref() == Some(&value[..]) {
                return Ok(before.clone());
            }
            let shows_gtid = if agreed.mariadb {
                value
                    .split(|byte| *byte == b',')
                    .map(<[u8]>::trim_ascii)
                    .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"last_gtid"))
            } else {
                !value.eq_ignore_ascii_case(b"OFF")
            };
            if shows_gtid {
                return Ok(Tracking {
                    on: true,
                    shows_gtid,
                    list: None,
                });
            }
            list = agreed.mariadb.then(|| appended(&value));
        }
    }
    let set = match (
        agreed.mariadb,
        agreed.client.contains(Capabilities::SESSION_TRACK),
    ) {
        (true, true) => MARIADB_APPEND,
        // Nobody sees the others: let the source not send them.
        (true, false) => MARIADB_REPLACE,
        (false, _) => MYSQL_SET,
    };
    let on = ask(source, agreed.source, set).await?.is_ok();
    Ok(Tracking {
        on,
        shows_gtid: false,
        list,
    })
}

/// As [`MARIADB_APPEND`] does it.
fn appended(list: &[u8]) -> Box<[u8]> {
    let comma: &[u8] = if list.is_empty() { b"" } else { b"," };
    [list, comma, b"last_gtid"].concat().into()
}

/// Sends a statement of our own; its first value, or its error.
pub async fn ask(
    source: &mut Peer,
    capabilities: Capabilities,
    statement: &str,
) -> Result<Result<Option<Vec<u8>>, ErrPacket>, End> {
    let attributes: &[u8] = if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
        query_attributes::NONE
    } else {
        b""
    };
    let payload = [&[Command::QUERY.0], attributes, statement.as_bytes()].concat();
    command(source, capabilities, &payload).await
}

/// The same for any command that is answered by OK, ERR or rows of text.
pub async fn command(
    source: &mut Peer,
    capabilities: Capabilities,
    payload: &[u8],
) -> Result<Result<Option<Vec<u8>>, ErrPacket>, End> {
    source.send(0, payload).await.map_err(End::source)?;
    let mut response = Response::new(Command::QUERY, capabilities);
    let mut value = None;
    let mut refused = None;
    while !response.is_done() {
        let whole = loop {
            match source.packet().map_err(End::source_protocol)? {
                Some(whole) => break whole,
                None => source.fill().await.map_err(End::source)?,
            }
        };
        let bytes = source.take(whole);
        let payload = bytes.get(HEADER..).unwrap_or_default();
        match response
            .packet(payload, payload.len())
            .map_err(End::source_protocol)?
        {
            Packet::Row if value.is_none() => {
                value = Fields::new(payload, "a row")
                    .lenenc_bytes()
                    .ok()
                    .map(<[u8]>::to_vec);
            }
            Packet::Err { .. } => {
                refused = Some(ErrPacket::parse(payload).map_err(End::source_protocol)?);
            }
            _ => {}
        }
    }
    Ok(refused.map_or(Ok(value), Err))
}

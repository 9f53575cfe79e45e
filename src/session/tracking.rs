//! Session tracking behind the client's back: without it an OK carries no GTID, and nothing tells what a
//! routine did.
//!
//! MariaDB reports the system variable `last_gtid` if `session_track_system_variables` names it; MySQL has
//! `session_track_gtids`. On both the variables that would make an acknowledgement a lie are on the list as
//! well ([`SessionVariable`]): what cannot be read from a statement is told by the server. Setting the list replaces
//! it, so ours is appended to what a tracking client has there. It is lost with COM_RESET_CONNECTION and
//! COM_CHANGE_USER, and a client may set it itself. A change is not reported where the new list leaves it out
//! (measured), so statements that name these variables are watched ([`crate::sql::tracking`]). What was
//! only read has still the value that we gave it, and that is how it is told from a list of the
//! client's own. On MySQL the only value of `session_track_gtids` that serves us is the client's, too: who names
//! the variable and leaves it on is told of GTIDs from then on.
//!
//! MariaDB 11 tells variables apart by the word that their value lies in, and some twenty share one:
//! `skip_replication`, `autocommit`, `foreign_key_checks` and all others that are a bit of it. Whichever comes first
//! in the list is named for each of them, with its own value, and the list loses the others. There
//! `skip_replication` with a value that does no harm says nothing; and where it may be hidden behind another name,
//! the source is asked for it, after whatever is not a plain SET. Not seen is then what a routine has set and
//! set back.
//!
//! What is not seen is a change of the list inside a stored routine; until the next reset such a session's
//! commits are guarded at the source only.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::End;
use super::agreed::Agreed;
use super::peers::Peer;
use crate::protocol::fields::Fields;
use crate::protocol::packet::HEADER;
use crate::protocol::response::{Packet, Response};
use crate::protocol::session_state::{self, LAST_GTID, TRACKED};
use crate::protocol::{Capabilities, Command, ErrPacket, Handshake, query_attributes};
use crate::sql::hazard::SessionVariable;
use crate::version::Version;

const MARIADB_READ: &str = "SELECT @@session_track_system_variables";
const MYSQL_READ: &str =
    "SELECT CONCAT(@@session_track_gtids,' ',@@session_track_system_variables)";
const ON: &str = "OWN_GTID";
const ER_NEW_ABORTING_CONNECTION: u16 = 1184;

/// How a session is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Every commit's OK carries its GTID. False where the source refused (an expired password).
    pub on: bool,
    pub shows: Shows,
    /// What we made of the list, in no order: MariaDB sorts it.
    made: Option<BTreeSet<Vec<u8>>>,
}

/// What the client asked for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shows {
    /// The GTIDs.
    pub gtid: bool,
    /// The variables that we watch.
    pub watched: bool,
}

impl Tracking {
    /// During the login, which commits nothing.
    pub const LOGIN: Self = Self {
        on: true,
        shows: Shows {
            gtid: false,
            watched: false,
        },
        made: None,
    };
}

/// What a client has set.
struct Found<'a> {
    /// MySQL's `session_track_gtids`; none of MariaDB's.
    gtids: &'a [u8],
    list: &'a [u8],
}

impl<'a> Found<'a> {
    fn parse(value: &'a [u8], mariadb: bool) -> Self {
        let space = memchr::memchr(b' ', value).filter(|_| !mariadb);
        let (gtids, list) = match space {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => (&value[..0], value),
        };
        Self { gtids, list }
    }

    fn listed(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let names = self.list.split(|byte| *byte == b',');
        names
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty())
    }

    fn names(&self, name: &[u8]) -> bool {
        let mut names = self.listed();
        names.any(|listed| listed == b"*" || listed.eq_ignore_ascii_case(name))
    }

    fn list(&self) -> BTreeSet<Vec<u8>> {
        self.listed().map(<[u8]>::to_ascii_lowercase).collect()
    }

    fn tracks_gtids(&self, mariadb: bool) -> bool {
        match mariadb {
            true => self.names(LAST_GTID),
            false => !self.gtids.is_empty() && !self.gtids.eq_ignore_ascii_case(b"OFF"),
        }
    }
}

/// Measured on 11.8.9; 10.11.19 does not.
pub fn mixes_up(greeting: &Handshake) -> bool {
    greeting.is_mariadb() && Version::parse(&greeting.server_version).major >= 11
}

/// Whether the source has this variable on, whatever it reports.
pub async fn skips_replication(source: &mut Peer, agreed: &Agreed) -> Result<bool, End> {
    let value = ask(source, agreed.source, "SELECT @@skip_replication").await?;
    Ok(matches!(value, Ok(Some(value)) if value == b"1"))
}

fn watched(mariadb: bool) -> impl Iterator<Item = &'static str> {
    let all = SessionVariable::of(mariadb).iter();
    all.map(|variable| variable.name())
}

/// What is said where a session begins or begins anew. It is one statement, since each counts against the
/// client's limits, and so it has to tell what was there before: the list is on itself, so the OK has what became of
/// it, and two more names on it say whether the server's defaults named ours already.
fn fresh(mariadb: bool) -> &'static str {
    static STATEMENTS: LazyLock<[String; 2]> = LazyLock::new(|| [false, true].map(fresh_statement));
    &STATEMENTS[usize::from(mariadb)]
}

fn fresh_statement(mariadb: bool) -> String {
    let list = "@@session_track_system_variables";
    // Not by a pattern: MySQL knows none in a session whose charset is binary.
    let has = |names: &[&str]| {
        let finds = |name| format!("FIND_IN_SET('{name}',REPLACE({list},' ',''))");
        let finds: Vec<String> = names.iter().map(finds).collect();
        finds.join("+")
    };
    let watched: Vec<&str> = watched(mariadb).collect();
    let shows_watched = has(&watched);
    let (first, shows_gtid, gtids) = match mariadb {
        true => ("last_gtid,", has(&["last_gtid"]), String::new()),
        false => (
            "",
            "@@session_track_gtids<>'OFF'".to_owned(),
            format!(
                ",session_track_gtids=IF(@@session_track_gtids='OFF','{ON}',@@session_track_gtids)"
            ),
        ),
    };
    let watched = watched.join(",");
    format!(
        "SET session_track_system_variables=IF({list}='*','*',CONCAT_WS(',',NULLIF({list},''),\
         '{first}{watched},session_track_system_variables',\
         IF({shows_gtid},'{SHOWS_GTID}',NULL),IF({shows_watched},'{SHOWS_WATCHED}',NULL))){gtids}"
    )
}

const SHOWS_GTID: &str = "session_track_schema";
const SHOWS_WATCHED: &str = "session_track_state_change";

/// None where the source did not do it.
async fn arm_fresh(source: &mut Peer, agreed: &Agreed) -> Result<Option<Tracking>, End> {
    let Ok(mut told) = unless_aborted(ask(source, agreed.source, fresh(agreed.mariadb)).await?)?
    else {
        return Ok(None);
    };
    if told.is_none() {
        // Of an empty list, and of one of all, MariaDB does not report what becomes of it.
        told = ask(source, agreed.source, MARIADB_READ)
            .await?
            .ok()
            .flatten();
    }
    Ok(told.map(|list| {
        let found = Found::parse(&list, true);
        Tracking {
            on: true,
            shows: Shows {
                gtid: found.names(SHOWS_GTID.as_bytes()),
                watched: found.names(SHOWS_WATCHED.as_bytes()),
            },
            made: Some(found.list()),
        }
    }))
}

/// Switches tracking on, after finding out what the client has. Nothing may be unread of the source.
/// `before` is how it was last; `begins`: the session has what the server gives to every one.
pub async fn arm(
    source: &mut Peer,
    agreed: &Agreed,
    before: &Tracking,
    begins: bool,
) -> Result<Tracking, End> {
    let mariadb = agreed.mariadb;
    let mut value = None;
    if agreed.client.contains(Capabilities::SESSION_TRACK) {
        if begins && let Some(tracking) = arm_fresh(source, agreed).await? {
            return Ok(tracking);
        }
        let read = if mariadb { MARIADB_READ } else { MYSQL_READ };
        value = unless_aborted(ask(source, agreed.source, read).await?)?
            .ok()
            .flatten();
    }
    let found = (value.as_deref()).map(|value| Found::parse(value, mariadb));
    let is_ours = match (&before.made, &found) {
        (Some(made), Some(found)) => {
            let mut both = [found.list(), made.clone()];
            if agreed.mixes_up {
                // Lost where the client has another of its word.
                let name = SessionVariable::SkipReplication.name().as_bytes();
                both.iter_mut().for_each(|list| {
                    list.remove(name);
                });
            }
            before.on && both[0] == both[1]
        }
        _ => false,
    };
    let shows = match &found {
        None => Shows::default(),
        Some(found) => Shows {
            // On MySQL whoever names the variable and leaves it on is told from then on.
            gtid: match mariadb && is_ours {
                true => before.shows.gtid,
                false => found.tracks_gtids(mariadb),
            },
            watched: match is_ours {
                true => before.shows.watched,
                false => watched(mariadb).any(|name| found.names(name.as_bytes())),
            },
        },
    };
    let names = mariadb
        .then_some("last_gtid")
        .into_iter()
        .chain(watched(mariadb));
    let is_new = |name: &&str| {
        found
            .as_ref()
            .is_none_or(|found| !found.names(name.as_bytes()))
    };
    let added: Vec<&str> = names.filter(is_new).collect();
    let added = added.join(",");
    let mut settings = Vec::new();
    if !mariadb && !shows.gtid {
        settings.push(format!("session_track_gtids={ON}"));
    }
    if !added.is_empty() {
        settings.push(match &found {
            // Nobody sees the others: let the source not send them.
            None => format!("session_track_system_variables='{added}'"),
            Some(_) => format!(
                "session_track_system_variables=CONCAT_WS(',',NULLIF(@@session_track_system_variables,''),'{added}')"
            ),
        });
    }
    let on = match settings.is_empty() {
        true => true,
        false => {
            let set = format!("SET {}", settings.join(","));
            unless_aborted(ask(source, agreed.source, &set).await?)?.is_ok()
        }
    };
    let made = found.map(|found| {
        let added = added.split(',').filter(|name| !name.is_empty());
        let mut list = found.list();
        list.extend(added.map(Into::into));
        list
    });
    Ok(Tracking { on, shows, made })
}

/// After a failing `init_connect` a server answers the first statement with an error, and leaves.
fn unless_aborted<T>(answer: Result<T, ErrPacket>) -> Result<Result<T, ErrPacket>, End> {
    match answer {
        Err(error) if error.code == ER_NEW_ABORTING_CONNECTION => Err(End::SourceAborts(error)),
        answer => Ok(answer),
    }
}

/// Sends a statement of our own; its first value, or that of [`TRACKED`] if its OK tells it, or its error.
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
            Packet::Ok(ok) if value.is_none() => {
                let told = session_state::variable(ok.session_state, TRACKED);
                value = told.map_err(End::source_protocol)?.map(<[u8]>::to_vec);
            }
            Packet::Err { .. } => {
                refused = Some(ErrPacket::parse(payload).map_err(End::source_protocol)?);
            }
            _ => {}
        }
    }
    Ok(refused.map_or(Ok(value), Err))
}

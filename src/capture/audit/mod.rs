//! The audit of captured statements: which of those that stand in our binlog as statements are unsafe, and
//! may make other rows on a replica than at the source.
//!
//! ```text
//! binlog files ── store::Skim ──► Auditor ── findings ──► log, metrics (follow, catalog ◄── source)
//!                                                    └──► ackline binlog audit
//! ```
//!
//! Some reasons take the schema. Beside a running proxy the source is asked for it; the files alone do not
//! have it, so `ackline binlog audit` judges by the text.
//!
//! It reads the files behind the writer and stands in nobody's way: neither capture nor an acknowledgement
//! waits for it. What it falls behind, it catches up on.
//!
//! - [`follow`]: beside a running proxy
//! - [`catalog`]: what the source says of its tables, views, triggers and functions

mod catalog;
mod follow;

use std::borrow::Cow;

use crate::event::execute_load_query::ExecuteLoadQuery;
use crate::event::format_description::version_in;
use crate::event::query::{Query, SqlMode};
use crate::event::{self, EventType, Step, TransactionTracker};
use crate::gtid::Gtid;
use crate::ids::{Flavor, StorePosition};
use crate::sql::Server;
use crate::sql::lexer::{Backslash, Lexer};
use crate::sql::shortened::{printable, shorten};
use crate::sql::unsafe_statement::named::Named;
use crate::sql::unsafe_statement::schema::BySchema;
use crate::sql::unsafe_statement::{Reading, Reasons, Subject, Unsafe, judge};
use crate::store::skim::{LONGEST, Skimmed};

pub use catalog::WhomToAsk;
pub use follow::{Counts, follow};

/// As much of a statement is shown.
const SHOWN: usize = 200;

/// An unsafe statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub gtid: Gtid,
    /// When it was run: Unix time in seconds, by the source's clock.
    pub at: u32,
    /// Of the event that it stands in.
    pub position: StorePosition,
    pub thread_id: u32,
    pub database: String,
    pub reasons: Reasons,
    /// The function, variable or table that makes it so, where it is one.
    pub culprit: Option<String>,
    /// Shortened, without literals.
    pub statement: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    Safe,
    Unsafe(Box<Finding>),
    /// Only of [`Auditor::with_schema`].
    Open(Box<Open>),
}

/// Judged by its text; the schema may have more to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Maybe without a reason.
    finding: Finding,
    pub server: Server,
    pub named: Named,
}

impl Open {
    /// By the text alone where the schema is not known.
    pub fn settle(self, by_schema: Option<BySchema>) -> Judged {
        let mut finding = self.finding;
        if let Some(more) = by_schema {
            finding.reasons.join(more.reasons);
            let culprit = more.culprit.map(|name| printable(name.as_bytes()));
            finding.culprit = finding.culprit.or(culprit);
        }
        match finding.reasons.is_empty() {
            true => Judged::Safe,
            false => Judged::Unsafe(Box::new(finding)),
        }
    }
}

/// Follows the events of a binlog from a transaction's boundary on.
#[derive(Debug, Default)]
pub struct Auditor {
    /// Who wrote the file.
    server: Option<Server>,
    tracker: TransactionTracker,
    running: Option<Gtid>,
    in_xa: bool,
    /// Whether statements are left open for the schema.
    leaves_open: bool,
    definitions: u64,
}

/// A statement and what came with it.
struct Logged<'a> {
    thread_id: u32,
    status_variables: &'a [u8],
    database: &'a [u8],
    text: Cow<'a, [u8]>,
}

impl Auditor {
    pub fn with_schema() -> Self {
        Self {
            leaves_open: true,
            ..Self::default()
        }
    }

    /// Grows with each statement that may have changed the schema, or what we may see of it.
    pub fn definitions(&self) -> u64 {
        self.definitions
    }

    /// Takes the next event. None where it holds no statement that could be unsafe. After an error the
    /// stream makes no sense.
    pub fn event(&mut self, event: &Skimmed<'_>) -> Result<Option<Judged>, event::Error> {
        let kind = event.header.kind;
        if kind == EventType::FORMAT_DESCRIPTION {
            let version = version_in(event.bytes);
            self.server = Some(Server::of(Flavor::of_version(&version), &version));
        }
        match self.tracker.feed(event.body())? {
            Step::Outside => Ok(None),
            Step::GroupStart(start) => {
                self.running = Some(start.gtid);
                self.in_xa = false;
                Ok(None)
            }
            Step::InGroup | Step::GroupEnd => {
                let logged = match kind {
                    EventType::QUERY | EventType::QUERY_COMPRESSED => {
                        let query = Query::parse(event.body())?;
                        Logged {
                            thread_id: query.thread_id,
                            status_variables: query.status_variables,
                            database: query.database,
                            text: query.statement.text(LONGEST)?,
                        }
                    }
                    EventType::EXECUTE_LOAD_QUERY => {
                        let query = ExecuteLoadQuery::parse(event.body())?;
                        Logged {
                            thread_id: query.thread_id,
                            status_variables: query.status_variables,
                            database: query.database,
                            text: Cow::Borrowed(query.statement),
                        }
                    }
                    _ => return Ok(None),
                };
                Ok(self.judge(event, &logged))
            }
        }
    }

    fn judge(&mut self, event: &Skimmed<'_>, logged: &Logged<'_>) -> Option<Judged> {
        let server = self.server?;
        let mode = SqlMode::parse(logged.status_variables);
        let reading = Reading {
            server,
            backslash: match mode.has_no_backslash_escapes() {
                true => Backslash::IsPlain,
                false => Backslash::Escapes,
            },
            ignores_space: mode.ignores_space(),
        };
        let (subject, verdict) = judge(reading, &logged.text);
        if self.leaves_open && defines(reading, subject, &logged.text) {
            self.definitions += 1;
        }
        if subject == Subject::Other {
            self.in_xa |= server.flavor == Flavor::MySql && logged.text.starts_with(b"XA START");
            return None;
        }
        let mut reasons = verdict.reasons;
        if self.in_xa {
            reasons.add(Unsafe::Xa);
        }
        let named = match self.leaves_open {
            true => named(reading, mode, logged),
            false => None,
        };
        if reasons.is_empty() && named.is_none() {
            return Some(Judged::Safe);
        }
        let finding = Finding {
            gtid: self.running.clone()?,
            at: event.header.timestamp,
            position: event.start,
            thread_id: logged.thread_id,
            database: printable(logged.database),
            reasons,
            culprit: verdict.culprit.map(printable),
            statement: shorten(server, &logged.text, reading.backslash, SHOWN),
        };
        Some(match named {
            None => Judged::Unsafe(Box::new(finding)),
            Some(named) => Judged::Open(Box::new(Open {
                finding,
                server,
                named,
            })),
        })
    }
}

/// None where it cannot be read, or names nothing.
fn named(reading: Reading, mode: SqlMode, logged: &Logged<'_>) -> Option<Named> {
    // Then these are names, which it does not know.
    if mode.has_ansi_quotes() && memchr::memchr(b'"', &logged.text).is_some() {
        return None;
    }
    let database = std::str::from_utf8(logged.database).ok()?;
    Named::of(reading, database, &logged.text)
}

/// All but those that certainly change nothing in `information_schema`.
fn defines(reading: Reading, subject: Subject, text: &[u8]) -> bool {
    let mut lexer = Lexer::by(reading.server, text, reading.backslash);
    let Some(first) = lexer.next() else {
        return false;
    };
    let second = lexer.next();
    let is = |words: &[&str]| words.iter().any(|word| first.is_word(word));
    if second.is_some_and(|second| second.is_word("temporary")) {
        return false;
    }
    match subject {
        // CREATE TABLE … SELECT; SET STATEMENT … FOR it.
        Subject::Rows => is(&["create", "set"]),
        Subject::Other => !is(&[
            "begin",
            "start",
            "commit",
            "rollback",
            "savepoint",
            "release",
            "xa",
            "truncate",
            "analyze",
            "optimize",
            "flush",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::golden;

    fn findings(events: &[Vec<u8>]) -> Vec<Finding> {
        let mut auditor = Auditor::default();
        let judged = events.iter().filter_map(|event| {
            auditor
                .event(&Skimmed::without_checksum(event).unwrap())
                .unwrap()
        });
        judged
            .filter_map(|judged| match judged {
                Judged::Safe => None,
                Judged::Unsafe(finding) => Some(*finding),
                Judged::Open(open) => panic!("{open:?}"),
            })
            .collect()
    }

    /// In MIXED format the servers themselves have logged nothing unsafe as a statement.
    #[test]
    fn what_servers_logged_in_mixed_format_is_safe() {
        for (version, files) in [
            (golden::MARIADB, &golden::FILES[..]),
            (golden::MYSQL, &golden::MYSQL_FILES[..]),
        ] {
            for file in files {
                let found = findings(&golden::events_of(version, file));
                assert_eq!(found, [], "{version}/{file}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_change_of_a_byte_makes_it_panic(events in golden::changed("mixed.000002")) {
            let mut auditor = Auditor::default();
            for event in &events {
                if let Some(event) = Skimmed::without_checksum(event) {
                    let _ = auditor.event(&event);
                }
            }
        }
    }
}

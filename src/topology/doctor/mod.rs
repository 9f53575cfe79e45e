//! What each server is set to, against what Ackline needs: `ackline doctor [--fix]`.
//!
//! [`examine`] asks, [`checks`] judges (a function of the answers), [`repair`] runs what may be run.
//! [`release`] is about the servers' versions, [`certificates`] about the ends of certificates.
//! [`grants`] is the least list of privileges, [`change_master`] the statement that makes a replica
//! follow us, [`own`] finds what a replica has and its source has not.
//!
//! # What `--fix` leaves alone, and why
//!
//! **Gate 1.** The proxy raises semi-sync at the source at every attach, in an order that is safe (see
//! `capture/attach.rs`). With nobody attached that would acknowledge, switching it on with an endless
//! timeout hangs every commit at the source, DDL and GRANT included, for as long as no proxy comes; and
//! with a native semi-sync replica attached, that replica would acknowledge in our place. So where no
//! dump of ours is attached, doctor sets only the wait point, which weakens nothing and makes nobody
//! wait. Where one is attached and somebody switched the gate off, doctor raises it again: the
//! acknowledgements come.
//!
//! **What would have hidden a difference.** Filters, `slave_skip_errors`: the rows that were skipped are
//! missing there, and no setting brings them back.
//!
//! **CHANGE MASTER.** It is printed: whether the replica has the data that this presumes, only its
//! owner knows.
//!
//! # What SET GLOBAL is worth
//!
//! MariaDB forgets it at a restart and has no SET PERSIST, so each check carries the lines for the
//! server's configuration file, and a setting that was made at run time keeps saying so.

pub mod accounts;
pub mod certificates;
pub mod change_master;
pub mod checks;
pub mod examine;
pub mod features;
pub mod grants;
pub mod own;
pub mod release;
pub mod repair;

pub use change_master::Endpoint;
pub use checks::Wanted;
pub use examine::Examination;

use crate::ids::ServerName;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub server: ServerName,
    /// A variable's name, or what was looked at in plain words.
    pub name: String,
    pub found: String,
    pub wanted: String,
    pub ok: bool,
    pub fix: Fix,
    /// What else there is to know, in a sentence.
    pub note: Option<String>,
    /// Lines of `[mariadbd]` or `[mysqld]` that have to be in its configuration file, or a restart undoes it.
    pub option_file: Vec<String>,
}

/// What makes it good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    Nothing,
    /// To be run there, in this order; `--fix` does.
    Sql(Vec<String>),
    /// `option_file` has to go into the configuration file; the server has to be restarted then.
    Restart,
    /// `option_file` has to go into the configuration file; that is all.
    OptionFile,
    /// To be run there by somebody who may.
    Grant(String),
    /// Nothing that may be done blindly: what to do, in words.
    ByHand(String),
}

impl Check {
    fn new(
        server: &ServerName,
        name: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self {
            server: server.clone(),
            name: name.into(),
            found: found.into(),
            wanted: wanted.into(),
            ok: true,
            fix: Fix::Nothing,
            note: None,
            option_file: Vec::new(),
        }
    }

    fn fails(mut self, fix: Fix) -> Self {
        self.ok = false;
        self.fix = fix;
        self
    }

    fn lines(mut self, lines: &[&str]) -> Self {
        self.option_file = lines.iter().map(ToString::to_string).collect();
        self
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// What `--fix` runs.
    pub fn fix_sql(&self) -> &[String] {
        match &self.fix {
            Fix::Sql(statements) => statements,
            _ => &[],
        }
    }
}

/// The lines of one server's checks, each once, in order.
pub fn option_file<'a>(checks: impl IntoIterator<Item = &'a Check>) -> Vec<&'a str> {
    let mut lines: Vec<&str> = Vec::new();
    for line in checks.into_iter().flat_map(|check| &check.option_file) {
        if !lines.contains(&line.as_str()) {
            lines.push(line);
        }
    }
    lines
}

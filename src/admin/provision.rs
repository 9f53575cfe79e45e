//! `POST /api/v1/provision`: what is asked. What comes back is [`Begun`]; how far it is, and what became of it, stands in
//! the status document, a [`Row`] for each server.

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::failover::provision::{Data, Planned, Provisioned, STREAMS, Wish};
use crate::ids::ServerName;
use crate::provision::{Method, Shown};
use crate::units::parse_size;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A `[[server]]`, by its name or its address; so is `from`.
    pub server: String,
    /// The donor; without it, a replica that votes, else the source.
    #[serde(default)]
    pub from: Option<String>,
    /// Drops the data that the server has.
    #[serde(default)]
    pub replace: bool,
    /// The plan; nothing is changed.
    #[serde(default)]
    pub dry_run: bool,
    /// By MySQL's CLONE INSTANCE.
    #[serde(default)]
    pub clone: bool,
    /// The donor's applier is held until the copy is complete, so that a later one can go on where this one ends.
    #[serde(default)]
    pub hold_donor: bool,
    /// How many ranges of rows are copied at a time.
    #[serde(default)]
    pub streams: Option<usize>,
    /// In a second, as `"50MiB"`.
    #[serde(default)]
    pub rate: Option<String>,
    /// Accounts that the server has not are left out.
    #[serde(default)]
    pub without_accounts: bool,
}

impl Request {
    /// `meant`: the server that a text names.
    pub fn wish(&self, meant: impl Fn(&str) -> ServerName) -> Result<Wish, String> {
        Ok(Wish {
            server: meant(&self.server),
            method: match self.clone {
                true => Method::Clone,
                false => Method::Copy,
            },
            from: self.from.as_deref().map(meant),
            data: match self.replace {
                true => Data::Replace,
                false => Data::Keep,
            },
            streams: self.streams.unwrap_or(STREAMS),
            rate: self.rate.as_deref().map(parse_size).transpose()?,
            accounts: !self.without_accounts,
            holds: self.hold_donor,
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub plan: Planned,
    /// False with `dry_run`.
    pub begun: bool,
}

/// The last provisioning of a server, since the proxy was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub server: String,
    /// The donor.
    pub from: String,
    pub state: State,
    #[serde(flatten)]
    pub progress: Shown,
    /// What came of it; null until it is done.
    pub provisioned: Option<Provisioned>,
    /// Why it failed; null where it did not.
    pub reason: Option<String>,
}

impl Row {
    /// One line.
    pub fn sentence(&self) -> String {
        let Self {
            server,
            from,
            progress,
            ..
        } = self;
        match (self.state, &self.provisioned, &self.reason) {
            (State::Done, Some(done), _) => done.sentence(),
            (State::Failed, _, Some(reason)) => format!("{server} was not provisioned: {reason}"),
            _ => format!("{server} is provisioned from {from}: {}", shown(progress)),
        }
    }
}

fn shown(progress: &Shown) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = progress.phase.clone();
    let seconds = progress.seconds.max(1) as f64;
    if progress.rows > 0 {
        text.push_str(&format!(
            ", {} rows, {:.1} of about {:.1} MiB, {} of {} tables, {:.1} MiB/s",
            progress.rows,
            mib(progress.bytes),
            mib(progress.expected_bytes),
            progress.tables,
            progress.expected_tables,
            mib(progress.bytes) / seconds
        ));
    } else if progress.bytes > 0 {
        text.push_str(&format!(
            ", {:.1} of about {:.1} MiB, {:.1} MiB/s",
            mib(progress.bytes),
            mib(progress.expected_bytes),
            mib(progress.bytes) / seconds
        ));
    }
    if let Some(why) = &progress.waits_for {
        text.push_str(&format!(", waits for the server: {why}"));
    } else if let Some(left) = progress.left_seconds {
        text.push_str(&format!(", about {left} s left"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_the_server_and_may_name_the_donor() {
        let request: Request =
            serde_json::from_str(r#"{"server":"db3","from":"db2","rate":"1MiB"}"#).unwrap();
        let wish = request.wish(ServerName::new).unwrap();
        assert_eq!(wish.from, Some(ServerName::new("db2")));
        assert_eq!((wish.streams, wish.rate), (STREAMS, Some(1 << 20)));
        assert!(wish.accounts);
        assert_eq!(wish.data, Data::Keep);
        assert!(serde_json::from_str::<Request>(r#"{"to":"db3"}"#).is_err());
    }

    #[test]
    fn a_line_for_people() {
        let mut row = Row {
            server: "db3".into(),
            from: "db2".into(),
            progress: Shown {
                phase: "copies rows as of 0-1-7".into(),
                waits_for: None,
                seconds: 2,
                rows: 1000,
                bytes: 2 << 20,
                expected_bytes: 4 << 20,
                tables: 1,
                expected_tables: 3,
                left_seconds: Some(2),
            },
            ..Row::default()
        };
        assert_eq!(
            row.sentence(),
            "db3 is provisioned from db2: copies rows as of 0-1-7, 1000 rows, 2.0 of about 4.0 MiB, 1 of 3 tables, 1.0 MiB/s, about 2 s left"
        );
        (row.state, row.reason) = (State::Failed, Some("disk full".into()));
        assert_eq!(row.sentence(), "db3 was not provisioned: disk full");
    }
}

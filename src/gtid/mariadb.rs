//! MariaDB's GTIDs: `domain-server-sequence`.
//!
//! Specified by <https://mariadb.com/kb/en/gtid/>; the semantics of positions and of the binlog
//! state follow the server's `sql/rpl_gtid.cc` (`slave_connection_state`, `rpl_binlog_state`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::ParseError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gtid {
    pub domain: u32,
    pub server: u32,
    pub seq: u64,
}

impl Gtid {
    pub fn new(domain: u32, server: u32, seq: u64) -> Self {
        Self {
            domain,
            server,
            seq,
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.seq)
    }
}

impl FromStr for Gtid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::new(text, "a MariaDB GTID such as 0-1-187");
        let mut parts = text.trim().split('-');
        let mut part = || parts.next().filter(|part| is_number(part));
        let gtid = (|| {
            Some(Self {
                domain: part()?.parse().ok()?,
                server: part()?.parse().ok()?,
                seq: part()?.parse().ok()?,
            })
        })();
        match (gtid, parts.next()) {
            (Some(gtid), None) => Ok(gtid),
            _ => Err(invalid()),
        }
    }
}

/// Rust's own integer parsing takes a leading '+', the servers do not.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// One item of a set's text, `0-1-5` or `0-1-1..5`: its first GTID and its last number.
pub(super) fn range(item: &str) -> Result<(Gtid, u64), ParseError> {
    let invalid = || ParseError::new(item, "a range of MariaDB GTIDs such as 0-1-1..187");
    let (first, last) = match item.split_once("..") {
        None => (item, None),
        Some((first, last)) if is_number(last) => {
            (first, Some(last.parse().map_err(|_| invalid())?))
        }
        Some(_) => return Err(invalid()),
    };
    let first: Gtid = first.parse()?;
    let last = last.unwrap_or(first.seq);
    if last < first.seq {
        return Err(invalid());
    }
    Ok((first, last))
}

fn parse_list(text: &str) -> Result<Vec<Gtid>, ParseError> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::parse)
        .collect()
}

fn write_list(f: &mut fmt::Formatter<'_>, gtids: impl Iterator<Item = Gtid>) -> fmt::Result {
    for (index, gtid) in gtids.enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        write!(f, "{gtid}")?;
    }
    Ok(())
}

/// The last GTID of each domain: `gtid_slave_pos`, `gtid_binlog_pos`, `@slave_connect_state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position(BTreeMap<u32, Gtid>);

impl Position {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn parse(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }

    pub fn get(&self, domain: u32) -> Option<Gtid> {
        self.0.get(&domain).copied()
    }

    /// Makes `gtid` the last of its domain.
    pub fn set(&mut self, gtid: Gtid) {
        self.0.insert(gtid.domain, gtid);
    }

    /// Whether a server at this position claims to have `gtid`: by the highest sequence of its
    /// domain, which is all that a position knows.
    pub fn contains(&self, gtid: Gtid) -> bool {
        self.get(gtid.domain)
            .is_some_and(|last| gtid.seq <= last.seq)
    }

    /// Whether everything up to `other` is claimed as well.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|gtid| self.contains(gtid))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One GTID a domain, by domain.
    pub fn iter(&self) -> impl Iterator<Item = Gtid> + '_ {
        self.0.values().copied()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.iter())
    }
}

impl FromStr for Position {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut position = Self::new();
        for gtid in parse_list(text)? {
            if position.get(gtid.domain).is_some() {
                return Err(ParseError::new(text, "a position: a domain is named twice"));
            }
            position.set(gtid);
        }
        Ok(position)
    }
}

impl FromIterator<Gtid> for Position {
    /// Of several GTIDs of one domain the last one stays.
    fn from_iter<I: IntoIterator<Item = Gtid>>(gtids: I) -> Self {
        Self(gtids.into_iter().map(|gtid| (gtid.domain, gtid)).collect())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Domain {
    /// Who wrote last.
    last: u32,
    /// Highest sequence of each server.
    servers: BTreeMap<u32, u64>,
}

/// What a binlog holds, as `gtid_binlog_state` and GTID_LIST events say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BinlogState(BTreeMap<u32, Domain>);

impl BinlogState {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of each domain the GTID listed last is the one written last.
    pub fn from_list(gtids: &[Gtid]) -> Self {
        let mut state = Self::new();
        for &gtid in gtids {
            state.update(gtid);
        }
        state
    }

    /// By domain; the last one of a domain is listed last in it.
    pub fn to_list(&self) -> Vec<Gtid> {
        let mut list = Vec::new();
        for (&id, domain) in &self.0 {
            let others = domain
                .servers
                .iter()
                .filter(|&(&server, _)| server != domain.last);
            list.extend(others.map(|(&server, &seq)| Gtid::new(id, server, seq)));
            list.push(domain.last_gtid(id));
        }
        list
    }

    /// `gtid` has been written, as the newest of its domain.
    pub fn update(&mut self, gtid: Gtid) {
        let domain = self.0.entry(gtid.domain).or_insert_with(|| Domain {
            last: gtid.server,
            servers: BTreeMap::new(),
        });
        domain.last = gtid.server;
        domain.servers.insert(gtid.server, gtid.seq);
    }

    pub fn last(&self, domain: u32) -> Option<Gtid> {
        self.0.get(&domain).map(|found| found.last_gtid(domain))
    }

    /// Whether its server had already written as far as `gtid`.
    pub fn contains(&self, gtid: Gtid) -> bool {
        self.0
            .get(&gtid.domain)
            .and_then(|domain| domain.servers.get(&gtid.server))
            .is_some_and(|&seq| gtid.seq <= seq)
    }

    pub fn position(&self) -> Position {
        self.0
            .iter()
            .map(|(&id, domain)| domain.last_gtid(id))
            .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Domain {
    fn last_gtid(&self, id: u32) -> Gtid {
        let seq = self.servers.get(&self.last).copied().unwrap_or_default();
        Gtid::new(id, self.last, seq)
    }
}

impl fmt::Display for BinlogState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.to_list().into_iter())
    }
}

impl FromStr for BinlogState {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Ok(Self::from_list(&parse_list(text)?))
    }
}

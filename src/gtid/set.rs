//! Exact sets of transactions.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::interval::Intervals;
use super::mysql::{Tag, Uuid};
use super::{Gtid, ParseError, mariadb, mysql};

/// Who numbers transactions on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    MariaDb { domain: u32, server: u32 },
    MySql { uuid: Uuid, tag: Option<Tag> },
}

impl Origin {
    pub fn gtid(&self, number: u64) -> Gtid {
        match self {
            Self::MariaDb { domain, server } => {
                Gtid::MariaDb(mariadb::Gtid::new(*domain, *server, number))
            }
            Self::MySql { uuid, tag } => Gtid::MySql(mysql::Gtid {
                uuid: *uuid,
                tag: tag.clone(),
                number,
            }),
        }
    }
}

/// A set of transactions, exact to the single number.
///
/// Text form: MariaDB `0-1-1..187,0-2-188`, MySQL its own `uuid:1-5:7:tag:1-3`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GtidSet {
    origins: BTreeMap<Origin, Intervals>,
}

impl GtidSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of `@@gtid_owned`: a MySQL set in which each number is followed by `#` and the thread that owns it.
    pub fn of_owned(text: &str) -> Result<Self, ParseError> {
        let mut set = String::with_capacity(text.len());
        let mut in_thread = false;
        for character in text.chars() {
            in_thread = match character {
                '#' => true,
                '0'..='9' => in_thread,
                _ => false,
            };
            if !in_thread {
                set.push(character);
            }
        }
        set.parse()
    }

    pub fn insert(&mut self, gtid: &Gtid) {
        self.insert_range(gtid.origin(), gtid.number(), gtid.number());
    }

    /// Adds what one origin numbered from `first` to `last`.
    fn insert_run(&mut self, first: &Gtid, last: u64) {
        self.insert_range(first.origin(), first.number(), last);
    }

    /// Adds `first..=last`; an inverted range adds nothing.
    pub fn insert_range(&mut self, origin: Origin, first: u64, last: u64) {
        if first <= last {
            self.origins.entry(origin).or_default().insert(first, last);
        }
    }

    /// All that a binlog's state claims, from number 1 of each server on. Numbers that other servers of the
    /// domain wrote in between are claimed with it: for what lies before a binlog's beginning
    /// nothing more exact is known.
    pub(super) fn claimed_by(state: &mariadb::BinlogState) -> Self {
        let mut set = Self::new();
        for gtid in state.to_list() {
            set.insert_range(Gtid::MariaDb(gtid).origin(), 1, gtid.seq);
        }
        set
    }

    pub fn remove(&mut self, gtid: &Gtid) {
        let origin = gtid.origin();
        if let Some(intervals) = self.origins.get_mut(&origin) {
            intervals.remove(gtid.number(), gtid.number());
            if intervals.is_empty() {
                self.origins.remove(&origin);
            }
        }
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.origins
            .get(&gtid.origin())
            .is_some_and(|intervals| intervals.contains(gtid.number()))
    }

    /// The highest number of an origin.
    pub fn last(&self, origin: &Origin) -> Option<u64> {
        let (_, last) = self.origins.get(origin)?.iter().next_back()?;
        Some(last)
    }

    pub(super) fn has_origin(&self, origin: &Origin) -> bool {
        self.origins.contains_key(origin)
    }

    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// How many transactions.
    pub fn len(&self) -> u64 {
        self.origins.values().map(Intervals::count).sum()
    }

    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.merge(other);
        union
    }

    /// Union in place.
    pub fn merge(&mut self, other: &Self) {
        for (origin, intervals) in &other.origins {
            let own = self.origins.entry(origin.clone()).or_default();
            for (first, last) in intervals.iter() {
                own.insert(first, last);
            }
        }
    }

    /// What is in `self` and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        for (origin, intervals) in &other.origins {
            let Some(own) = difference.origins.get_mut(origin) else {
                continue;
            };
            for (first, last) in intervals.iter() {
                own.remove(first, last);
            }
            if own.is_empty() {
                difference.origins.remove(origin);
            }
        }
        difference
    }

    /// MariaDB's domains that it has something of; each may come several times.
    pub fn iter_domains(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges().filter_map(|(origin, ..)| match origin {
            Origin::MariaDb { domain, .. } => Some(*domain),
            Origin::MySql { .. } => None,
        })
    }

    /// What MariaDB's servers wrote in each of these domains up to this number. Only of a history in which the
    /// numbers of a domain grow is that what came before it.
    pub fn up_to(&self, limits: &BTreeMap<u32, u64>) -> Self {
        let mut within = Self::new();
        for (origin, first, last) in self.ranges() {
            if let Origin::MariaDb { domain, .. } = origin
                && let Some(limit) = limits.get(domain)
                && first <= *limit
            {
                within.insert_range(origin.clone(), first, last.min(*limit));
            }
        }
        within
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.origins.iter().all(|(origin, intervals)| {
            other.origins.get(origin).is_some_and(|theirs| {
                intervals
                    .iter()
                    .all(|(first, last)| theirs.covers(first, last))
            })
        })
    }

    /// Runs of consecutive numbers, in the order of origins.
    pub fn ranges(&self) -> impl Iterator<Item = (&Origin, u64, u64)> + '_ {
        self.origins.iter().flat_map(|(origin, intervals)| {
            intervals
                .iter()
                .map(move |(first, last)| (origin, first, last))
        })
    }

    /// Every transaction, one by one: for lists that a person reads, so take a few.
    pub fn iter(&self) -> impl Iterator<Item = Gtid> + '_ {
        self.ranges()
            .flat_map(|(origin, first, last)| (first..=last).map(|number| origin.gtid(number)))
    }
}

impl Extend<Gtid> for GtidSet {
    fn extend<I: IntoIterator<Item = Gtid>>(&mut self, gtids: I) {
        for gtid in gtids {
            self.insert(&gtid);
        }
    }
}

impl FromIterator<Gtid> for GtidSet {
    fn from_iter<I: IntoIterator<Item = Gtid>>(gtids: I) -> Self {
        let mut set = Self::new();
        Extend::extend(&mut set, gtids);
        set
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut last_uuid = None;
        for (origin, intervals) in &self.origins {
            match origin {
                Origin::MariaDb { domain, server } => {
                    for (first, last) in intervals.iter() {
                        write!(f, "{comma}{domain}-{server}-{first}")?;
                        if first != last {
                            write!(f, "..{last}")?;
                        }
                        comma = ",";
                    }
                }
                Origin::MySql { uuid, tag } => {
                    // Tags of one server share its uuid, as MySQL prints them.
                    if last_uuid != Some(uuid) {
                        write!(f, "{comma}{uuid}")?;
                        last_uuid = Some(uuid);
                    }
                    if let Some(tag) = tag {
                        write!(f, ":{tag}")?;
                    }
                    for (first, last) in intervals.iter() {
                        write!(f, ":{first}")?;
                        if first != last {
                            write!(f, "-{last}")?;
                        }
                    }
                    comma = ",";
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = ParseError;

    /// Takes what `Display` prints and, of MySQL, everything that `@@gtid_executed` prints.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut set = Self::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            if item.contains(':') {
                for (first, last) in mysql::ranges(item)? {
                    set.insert_run(&Gtid::MySql(first), last);
                }
            } else {
                let (first, last) = mariadb::range(item)?;
                set.insert_run(&Gtid::MariaDb(first), last);
            }
        }
        Ok(set)
    }
}

//! What a server executed, by the word of its own binlog. Pure: what a walk has seen goes in, sets come out.
//!
//! A position is not a set: `0-1-100` does not tell whether 0-1-60 was executed. The binlog does, from its
//! beginning on; what came before that is its *base*. A walk proves execution, not that rows are equal.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::gtid::mariadb::{self, BinlogState};
use crate::gtid::{Gtid, GtidSet, Origin, ParseError, Position};
use crate::ids::Flavor;
use crate::store::state::{Point, PointText};

/// What lies before a server's binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// MySQL: `gtid_purged`.
    Set(GtidSet),
    /// MariaDB: the GTID_LIST of its oldest file.
    List(BinlogState),
}

/// What walks have found so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    base: Base,
    /// MariaDB: `gtid_slave_pos` when it was first walked, of the domains of which nothing was logged then.
    found_at: Position,
    /// Of the head of its first file: tells whether the binlog is still the same while it has no transaction.
    head: Option<u32>,
    seen: GtidSet,
    /// MySQL: those of them that have nothing in them, as injected ones.
    empty: GtidSet,
    /// Those that stand behind an INCIDENT of its own binlog, or are one: it made that change itself.
    incidents: GtidSet,
    point: Option<Point>,
}

impl History {
    pub fn begin(base: Base, found_at: Position) -> Self {
        Self {
            base,
            found_at,
            head: None,
            seen: GtidSet::new(),
            empty: GtidSet::new(),
            incidents: GtidSet::new(),
            point: None,
        }
    }

    /// MariaDB: what the oldest file says at its head.
    pub fn set_list(&mut self, list: BinlogState) {
        self.base = Base::List(list);
    }

    pub fn set_head(&mut self, checksum: u32) {
        self.head = Some(checksum);
    }

    /// Takes over what was known of the same binlog when it had no transaction; and of a domain that has one
    /// by the end of the first walk, that one tells where the binlog begins. A server that had nothing of a domain and
    /// has a position in it now was set up from a copy meanwhile: it counts as if it were met now.
    pub fn found(&mut self, known: Option<&Self>) {
        let known = known.filter(|known| known.was_empty_of(self));
        let Position::MariaDb(found_at) = &self.found_at else {
            return;
        };
        let before = match known.map(|known| &known.found_at) {
            Some(Position::MariaDb(before)) => before.clone(),
            _ => mariadb::Position::new(),
        };
        let logged = |domain: u32| self.seen.iter_domains().any(|seen| seen == domain);
        let is_new =
            |gtid: &mariadb::Gtid| !logged(gtid.domain) && before.get(gtid.domain).is_none();
        let found_at = before.iter().chain(found_at.iter().filter(is_new));
        self.found_at = Position::MariaDb(found_at.collect());
    }

    /// Whether the other one is of the same binlog, in which no transaction stood when this one was taken.
    pub fn was_empty_of(&self, other: &Self) -> bool {
        self.point.is_none() && self.head.is_some() && self.head == other.head
    }

    pub fn point(&self) -> Option<&Point> {
        self.point.as_ref()
    }

    pub fn saw(&mut self, gtid: &Gtid, is_empty: bool) {
        self.seen.insert(gtid);
        if is_empty {
            self.empty.insert(gtid);
        }
    }

    pub fn saw_incident(&mut self, gtid: &Gtid) {
        self.incidents.insert(gtid);
    }

    pub fn ends_at(&mut self, point: Point) {
        self.point = Some(point);
    }

    /// Whether it stands in the server's own binlog, and not an empty one in its place.
    pub fn has_seen(&self, gtid: &Gtid, is_empty_here: impl Fn(&Gtid) -> bool) -> bool {
        self.seen.contains(gtid) && (!self.empty.contains(gtid) || is_empty_here(gtid))
    }

    /// All that it has of `ours`, which numbers each domain in the order of its transactions.
    /// `is_empty_here`: whether a transaction of ours has nothing in it, either.
    pub fn has(&self, ours: &GtidSet, is_empty_here: impl Fn(&Gtid) -> bool) -> GtidSet {
        let mut has = self.untold(ours);
        has.merge(&self.seen);
        has.merge(&self.phantoms(ours));
        for gtid in self.empty.iter() {
            if ours.contains(&gtid) && !is_empty_here(&gtid) {
                has.remove(&gtid);
            }
        }
        has
    }

    /// Of `ours`, those that never were. Our own base claims all numbers up to a server's last in a MariaDB domain, and
    /// where the source had moved before, many of these were another server's: within a domain a number stands for one
    /// transaction, and this server has seen whose.
    fn phantoms(&self, ours: &GtidSet) -> GtidSet {
        let mut claimed = GtidSet::new();
        let seen = self.seen.difference(&self.seen.difference(ours));
        // Each once: after many moves an origin has many ranges.
        let origins: BTreeSet<&Origin> = ours.ranges().map(|(origin, _, _)| origin).collect();
        for (origin, first, last) in seen.ranges() {
            let Origin::MariaDb { domain, .. } = origin else {
                continue;
            };
            let others = origins.iter().filter(|other| **other != origin);
            for other in others {
                if matches!(other, Origin::MariaDb { domain: same, .. } if same == domain) {
                    claimed.insert_range((*other).clone(), first, last);
                }
            }
        }
        claimed.difference(&claimed.difference(ours))
    }

    /// What its base alone says that it has of `ours`: nobody has read it there.
    pub fn untold(&self, ours: &GtidSet) -> GtidSet {
        let before = match &self.base {
            Base::Set(purged) => purged.clone(),
            Base::List(list) => ours.up_to(&self.limits(list, ours)),
        };
        before.difference(&self.seen)
    }

    /// Which of these INCIDENTs of ours are neither its own nor before its binlog: what they stand for never
    /// came to it, though what comes behind them may have.
    pub fn lost(&self, incidents: &GtidSet, ours: &GtidSet) -> GtidSet {
        let lost = incidents.difference(&self.incidents);
        lost.difference(&self.untold(ours))
    }

    /// Where what lies before its binlog is taken from, in words.
    pub fn base(&self) -> String {
        let shown = |text: String| match text.is_empty() {
            true => "nothing".to_owned(),
            false => text,
        };
        match &self.base {
            Base::Set(purged) => format!("its gtid_purged: {}", shown(purged.to_string())),
            Base::List(list) if !list.is_empty() => {
                format!("the list of GTIDs at the head of its oldest file: {list}")
            }
            Base::List(_) => match &self.found_at {
                Position::MariaDb(found_at) if !found_at.is_empty() => {
                    format!("its gtid_slave_pos when its binlog had nothing of that: {found_at}")
                }
                _ => "what stands in our binlog before the first transaction of its own".to_owned(),
            },
        }
    }

    /// What it wrote or took from elsewhere.
    pub fn beyond(&self, ours: &GtidSet) -> GtidSet {
        self.seen.difference(ours)
    }

    /// Up to which number of each domain its base stands for ours: up to the last of its GTIDs that is,
    /// exactly, one of ours. A binlog whose list is empty (RESET MASTER, a restored copy) begins behind
    /// what it has: at the first of our GTIDs in it.
    fn limits(&self, list: &BinlogState, ours: &GtidSet) -> BTreeMap<u32, u64> {
        let mut limits = BTreeMap::new();
        let exact = |gtid: &crate::gtid::mariadb::Gtid| ours.contains(&Gtid::MariaDb(*gtid));
        if !list.is_empty() {
            for gtid in list.to_list().into_iter().filter(exact) {
                let limit = limits.entry(gtid.domain).or_insert(gtid.seq);
                *limit = gtid.seq.max(*limit);
            }
            return limits;
        }
        if let Position::MariaDb(found_at) = &self.found_at {
            for gtid in found_at.iter().filter(exact) {
                limits.insert(gtid.domain, gtid.seq);
            }
        }
        for gtid in self.seen.iter().filter(|gtid| ours.contains(gtid)) {
            if let Gtid::MariaDb(gtid) = gtid
                && !limits.contains_key(&gtid.domain)
            {
                let first = self.first_in(gtid.domain, ours);
                limits.insert(gtid.domain, first.saturating_sub(1));
            }
        }
        limits
    }

    fn first_in(&self, domain: u32, ours: &GtidSet) -> u64 {
        let seen = self.seen.iter().filter(|gtid| ours.contains(gtid));
        let numbers = seen.filter_map(|gtid| match gtid {
            Gtid::MariaDb(gtid) if gtid.domain == domain => Some(gtid.seq),
            _ => None,
        });
        numbers.min().unwrap_or_default()
    }
}

/// A history as text, to be kept beside our binlog. Where it does not fit the server any more, its point does not
/// stand there, and the walk begins anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    flavor: Flavor,
    base: String,
    found_at: String,
    // Under their first names they told lengths only, and are not believed.
    #[serde(rename = "head_sum", default)]
    head: Option<u32>,
    seen: String,
    empty: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    incidents: String,
    #[serde(rename = "last", default)]
    point: Option<PointText>,
}

impl From<&History> for Kept {
    fn from(history: &History) -> Self {
        let (flavor, base) = match &history.base {
            Base::Set(set) => (Flavor::MySql, set.to_string()),
            Base::List(list) => (Flavor::MariaDb, list.to_string()),
        };
        Self {
            flavor,
            base,
            found_at: history.found_at.to_string(),
            head: history.head,
            seen: history.seen.to_string(),
            empty: history.empty.to_string(),
            incidents: history.incidents.to_string(),
            point: history.point.as_ref().map(Point::text),
        }
    }
}

impl TryFrom<Kept> for History {
    type Error = ParseError;

    fn try_from(kept: Kept) -> Result<Self, ParseError> {
        Ok(Self {
            base: match kept.flavor {
                Flavor::MySql => Base::Set(kept.base.parse()?),
                Flavor::MariaDb => Base::List(kept.base.parse()?),
            },
            found_at: Position::parse(kept.flavor, &kept.found_at)?,
            head: kept.head,
            seen: kept.seen.parse()?,
            empty: kept.empty.parse()?,
            incidents: kept.incidents.parse()?,
            point: kept.point.map(Point::parse).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SourcePosition;

    fn set(text: &str) -> GtidSet {
        text.parse().unwrap()
    }

    /// Found at a position when nothing was logged.
    fn history(list: &str, found_at: &str, seen: &str) -> History {
        let found_at = Position::parse(Flavor::MariaDb, found_at).unwrap();
        let mut history = History::begin(Base::List(list.parse().unwrap()), found_at);
        set(seen).iter().for_each(|gtid| history.saw(&gtid, false));
        history
    }

    fn lacks(history: &History, ours: &str) -> String {
        let ours = set(ours);
        ours.difference(&history.has(&ours, |_| false)).to_string()
    }

    #[test]
    fn what_is_kept_is_the_same() {
        let mut maria = history("0-1-7,0-2-9", "5-1-1", "0-2-10..12");
        maria.set_head(77);
        maria.ends_at(Point {
            place: SourcePosition {
                file: "bin.000002".into(),
                offset: 4711,
            },
            gtid: "0-2-12".parse().unwrap(),
            checksum: 9,
        });
        let uuid = "4cd677b2-e70c-11f1-a00a-02fc00000001";
        let base = Base::Set(set(&format!("{uuid}:1-3")));
        let mut mysql = History::begin(base, Position::MySql(GtidSet::new()));
        mysql.saw(&format!("{uuid}:4").parse().unwrap(), true);
        mysql.saw_incident(&format!("{uuid}:4").parse().unwrap());
        for history in [maria, mysql] {
            let text = serde_json::to_string(&Kept::from(&history)).unwrap();
            let kept: Kept = serde_json::from_str(&text).unwrap();
            assert_eq!(History::try_from(kept).unwrap(), history);
        }
    }

    /// 1 was the source up to 7, 2 since then.
    const OURS: &str = "0-1-1..7,0-2-8..12";

    #[test]
    fn a_list_stands_for_all_up_to_its_last_exact_entry() {
        assert_eq!(lacks(&history("0-1-7,0-2-9", "", "0-2-10..12"), OURS), "");
        assert_eq!(lacks(&history("0-1-5", "", "0-1-6..7,0-2-8..12"), OURS), "");
        // The end of a dead branch is none of ours.
        let dead = history("0-1-9", "", "0-2-10..12");
        assert_eq!(lacks(&dead, OURS), "0-1-1..7,0-2-8..9");
    }

    /// Before our binlog began the source had moved from 1 to 2 and back: its state at our beginning is 0-2-100,0-1-150.
    #[test]
    fn numbers_of_another_server_are_no_holes() {
        const CLAIMED: &str = "0-1-1..160,0-2-1..100";
        let whole = "0-1-1..50,0-2-51..100,0-1-101..160";
        assert_eq!(lacks(&history("", "", whole), CLAIMED), "");
        let jumped = "0-1-1..50,0-2-51..90,0-1-101..150,0-1-160";
        assert_eq!(
            lacks(&history("", "", jumped), CLAIMED),
            "0-1-91..100,0-1-151..159,0-2-91..100"
        );
        // What only it has under the number of one of ours proves nothing.
        assert_eq!(
            lacks(&history("", "", "0-1-1..149,0-3-150"), "0-1-1..150"),
            "0-1-150"
        );
    }

    #[test]
    fn a_jump_is_a_hole() {
        // Also one that was walked for the first time after it.
        let mut jumped = history("", "0-2-12", "0-1-1..4,0-2-12");
        jumped.found(None);
        assert_eq!(lacks(&jumped, OURS), "0-1-5..7,0-2-8..11");
        let mut jumped = history("", "", "0-1-1..4");
        jumped.saw(&"0-2-11".parse().unwrap(), false);
        assert_eq!(lacks(&jumped, OURS), "0-1-5..7,0-2-8..10,0-2-12");
    }

    #[test]
    fn a_restored_copy_begins_at_its_first_transaction_or_where_it_was_found() {
        assert_eq!(lacks(&history("", "", "0-2-10..12"), OURS), "");
        assert_eq!(lacks(&history("", "0-2-9", ""), OURS), "0-2-10..12");
        assert_eq!(lacks(&history("", "", ""), OURS), OURS);
        // What it was found at is kept, though its first transaction comes later.
        assert_eq!(lacks(&history("", "0-2-9", "0-2-11..12"), OURS), "0-2-10");
        assert_eq!(lacks(&history("", "0-9-11", "0-2-12"), OURS), "");
        // Moved forward while its binlog had no transaction: it is known where it was found.
        let mut known = history("", "0-2-9", "");
        known.set_head(5);
        let mut moved = history("", "0-2-11", "");
        moved.set_head(5);
        moved.found(Some(&known));
        assert_eq!(lacks(&moved, OURS), "0-2-10..12");
        // It had nothing, and was restored.
        let mut nothing = history("", "", "");
        nothing.set_head(5);
        let mut restored = history("", "0-2-11", "");
        restored.set_head(5);
        restored.found(Some(&nothing));
        assert_eq!(lacks(&restored, OURS), "0-2-12");
        let mut other = history("", "0-2-11", "");
        other.set_head(7);
        other.found(Some(&known));
        assert_eq!(lacks(&other, OURS), "0-2-12");
    }

    #[test]
    fn what_the_base_alone_says_is_known() {
        let listed = history("0-1-7,0-2-9", "", "0-2-10..12");
        assert_eq!(listed.untold(&set(OURS)).to_string(), "0-1-1..7,0-2-8..9");
        assert!(listed.base().ends_with("oldest file: 0-1-7,0-2-9"));
        let restored = history("", "0-2-9", "");
        assert_eq!(restored.untold(&set(OURS)).to_string(), "0-1-1..7,0-2-8..9");
        assert!(restored.base().ends_with(": 0-2-9"));
    }

    #[test]
    fn an_incident_is_lost_to_all_but_its_source_and_copies() {
        let lost = |history: &History| {
            let incidents = set("0-1-5");
            history.lost(&incidents, &set(OURS)).to_string()
        };
        let mut source = history("", "", "0-1-1..7");
        source.saw_incident(&"0-1-5".parse().unwrap());
        assert_eq!(lost(&source), "");
        // Before it and behind it, whether it skipped the event or jumped.
        for seen in ["0-1-1..4", "0-1-1..7", "0-1-1..4,0-1-6..7"] {
            assert_eq!(lost(&history("", "", seen)), "0-1-5", "{seen}");
        }
        assert_eq!(lost(&history("0-1-5", "", "0-1-6..7")), "");
        assert_eq!(lost(&history("0-1-4", "", "0-1-5..7")), "0-1-5");
    }

    #[test]
    fn an_injected_transaction_is_a_hole() {
        let uuid = "4cd677b2-e70c-11f1-a00a-02fc00000001";
        let base = Base::Set(set(&format!("{uuid}:1-3")));
        let mut history = History::begin(base, Position::MySql(GtidSet::new()));
        let gtid = |number: u64| format!("{uuid}:{number}").parse::<Gtid>().unwrap();
        history.saw(&gtid(4), false);
        history.saw(&gtid(5), true);
        history.saw(&gtid(6), true);
        let ours = set(&format!("{uuid}:1-6"));
        let has = history.has(&ours, |empty| *empty == gtid(6));
        assert_eq!(ours.difference(&has).to_string(), format!("{uuid}:5"));
        let has_seen = |number: u64| history.has_seen(&gtid(number), |empty| *empty == gtid(6));
        assert!(has_seen(4) && !has_seen(5) && has_seen(6) && !has_seen(3));
        assert!(history.beyond(&ours).is_empty());
    }
}

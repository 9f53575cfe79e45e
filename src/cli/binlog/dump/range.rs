//! `--from` and `--to`: a GTID, a file, a place in a file, or a time.

use crate::gtid::Gtid;
use crate::ids::StorePosition;
use crate::store::file_number;
use crate::units::parse_utc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Gtid(Gtid),
    File(u32),
    Place(StorePosition),
    /// Unix time in seconds.
    Time(u32),
}

impl std::str::FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = file_number(text) {
            return Ok(Self::File(number));
        }
        if let Some((file, offset)) = text.split_once(':')
            && let Some(number) = file_number(file)
            && let Ok(offset) = offset.parse()
        {
            return Ok(Self::Place(StorePosition::new(number, offset)));
        }
        if let Ok(gtid) = text.parse() {
            return Ok(Self::Gtid(gtid));
        }
        parse_utc(text).map(Self::Time).map_err(|_| {
            format!(
                "'{text}' cannot be read: write a GTID, a file (\"binlog.000007\"), a place in it (\"binlog.000007:4711\") or a time in UTC (\"2026-11-23T18:10:00Z\")"
            )
        })
    }
}

/// Which transactions are shown, the ones at the bounds included.
#[derive(Clone, Debug)]
pub(super) struct Range {
    from: Option<Bound>,
    to: Option<Bound>,
    begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Before,
    Within,
    /// Nothing that follows is within.
    Behind,
}

impl Range {
    pub fn new(from: Option<Bound>, to: Option<Bound>) -> Self {
        Self {
            begun: from.is_none(),
            from,
            to,
        }
    }

    /// Whether the transaction that `from` names was met.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Of each transaction in its order, once.
    pub fn judge(&mut self, gtid: &Gtid, start: StorePosition, time: u32) -> Verdict {
        self.begun |= match &self.from {
            None => true,
            Some(Bound::Gtid(from)) => gtid == from,
            Some(Bound::File(from)) => start.file >= *from,
            Some(Bound::Place(from)) => start >= *from,
            Some(Bound::Time(from)) => time >= *from,
        };
        match &self.to {
            Some(Bound::File(to)) if start.file > *to => return Verdict::Behind,
            Some(Bound::Place(to)) if start >= *to => return Verdict::Behind,
            // Clocks go back, so a later one may be within.
            Some(Bound::Time(to)) if time > *to => return Verdict::Before,
            _ => {}
        }
        match self.begun {
            true => Verdict::Within,
            false => Verdict::Before,
        }
    }

    /// Whether this one, which was within, is the last.
    pub fn ends_with(&self, gtid: &Gtid) -> bool {
        matches!(&self.to, Some(Bound::Gtid(to)) if to == gtid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Bound {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_are_told_apart() {
        assert_eq!(bound("binlog.000007"), Bound::File(7));
        assert_eq!(
            bound("binlog.000007:4711"),
            Bound::Place(StorePosition::new(7, 4711))
        );
        assert_eq!(bound("0-1-77"), Bound::Gtid("0-1-77".parse().unwrap()));
        let mysql = "3e11fa47-71ca-11e1-9e33-c80aa9429562:23";
        assert_eq!(bound(mysql), Bound::Gtid(mysql.parse().unwrap()));
        assert_eq!(bound("1970-01-01T00:01:00Z"), Bound::Time(60));
        for wrong in ["", "binlog.7", "yesterday", "0-1", "2026-11-23T25:00:00Z"] {
            assert!(wrong.parse::<Bound>().unwrap_err().contains("write a GTID"));
        }
    }

    #[test]
    fn both_bounds_are_within() {
        let shown = |from: Option<&str>, to: Option<&str>| {
            let mut range = Range::new(from.map(bound), to.map(bound));
            let mut shown = Vec::new();
            // 0-1-1 to 0-1-6, two a file, a minute apart.
            for number in 1..=6_u32 {
                let gtid = format!("0-1-{number}").parse().unwrap();
                let start = StorePosition::new(number.div_ceil(2), 100 + u64::from(number % 2));
                match range.judge(&gtid, start, number * 60) {
                    Verdict::Before => {}
                    Verdict::Within => {
                        shown.push(number);
                        if range.ends_with(&gtid) {
                            break;
                        }
                    }
                    Verdict::Behind => break,
                }
            }
            shown
        };
        assert_eq!(shown(None, None), [1, 2, 3, 4, 5, 6]);
        assert_eq!(shown(Some("0-1-3"), Some("0-1-5")), [3, 4, 5]);
        assert_eq!(shown(Some("binlog.000002"), Some("binlog.000002")), [3, 4]);
        assert_eq!(
            shown(Some("1970-01-01T00:01:30Z"), Some("1970-01-01T00:03:00Z")),
            [2, 3]
        );
        assert_eq!(shown(Some("0-1-9"), None), [0; 0]);
    }
}

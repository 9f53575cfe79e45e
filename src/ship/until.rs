//! `START SLAVE UNTIL master_gtid_pos`: on MariaDB it is the source that stops, with a last GTID_LIST that
//! says so; MySQL's replicas stop by themselves.

use crate::event::gtid_list;
use crate::gtid::mariadb::{BinlogState, Gtid, Position};
use crate::ids::ServerId;

/// `@slave_until_gtid` of one dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Until {
    asked: Position,
    /// Where a domain has not got to its last GTID yet.
    left: Position,
}

impl Until {
    /// For a reader that has everything up to `has`.
    pub fn new(asked: &Position, has: &Position) -> Self {
        Self {
            asked: asked.clone(),
            left: asked.iter().filter(|gtid| !has.contains(*gtid)).collect(),
        }
    }

    /// Whether the transaction is still to be sent. What has reached its end, and domains that were not
    /// named, get no further.
    pub fn admits(&mut self, gtid: Gtid) -> bool {
        let Some(last) = self.left.get(gtid.domain) else {
            return false;
        };
        if gtid.seq >= last.seq {
            self.left = (self.left.iter())
                .filter(|left| left.domain != gtid.domain)
                .collect();
        }
        gtid.seq <= last.seq
    }

    /// Nothing more is to come behind the transaction that was admitted last.
    pub fn is_reached(&self) -> bool {
        self.left.is_empty()
    }

    /// What makes the replica's threads stop.
    pub fn last_event(&self, server_id: ServerId) -> Vec<u8> {
        let gtids: Vec<Gtid> = self.asked.iter().collect();
        gtid_list::until_reached(&BinlogState::from_list(&gtids), server_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        text.parse().unwrap()
    }

    #[test]
    fn each_domain_ends_by_itself() {
        let mut until = Until::new(&position("0-1-3,5-1-2"), &position("0-1-1"));
        let mut admits = |domain, seq| until.admits(Gtid::new(domain, 1, seq));
        assert!(admits(0, 2));
        assert!(admits(0, 3));
        assert!(!admits(0, 4), "behind its end");
        assert!(!admits(7, 1), "a domain that was not named");
        assert!(admits(5, 1));
        assert!(!until.is_reached());
        // A gap: the GTID that was named is not there.
        assert!(!until.admits(Gtid::new(5, 1, 9)));
        assert!(until.is_reached());
    }

    #[test]
    fn who_has_it_all_gets_nothing() {
        let until = Until::new(&position("0-1-3"), &position("0-2-3,1-1-1"));
        assert!(until.is_reached());
    }
}

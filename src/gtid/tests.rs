use std::collections::HashSet;

use proptest::prelude::*;

use super::mariadb::{BinlogState, Position};
use super::*;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.parse().unwrap()
}

fn gtid(text: &str) -> Gtid {
    text.parse().unwrap()
}

#[test]
fn who_owns_a_gtid_does_not_matter() {
    let other = "5cd677b2-e70c-11f1-a00a-02fc00000001";
    let set = GtidSet::of_owned(&format!("{UUID}:7#12:9#13,\n{other}:tag:1#4")).unwrap();
    assert_eq!(set.to_string(), format!("{UUID}:7:9,{other}:tag:1"));
    assert!(GtidSet::of_owned("").unwrap().is_empty());
}

#[test]
fn a_gtid_reads_as_it_prints() {
    for text in ["0-1-187", "4294967295-4294967295-18446744073709551615"] {
        assert_eq!(gtid(text).to_string(), text);
        assert!(matches!(gtid(text), Gtid::MariaDb(_)));
    }
    for text in [format!("{UUID}:5"), format!("{UUID}:backup_1:7")] {
        assert_eq!(gtid(&text).to_string(), text);
        assert!(matches!(gtid(&text), Gtid::MySql(_)));
    }
    assert_eq!(
        gtid(&format!("{}:TAG:1", UUID.to_uppercase())).to_string(),
        format!("{UUID}:tag:1")
    );
}

#[test]
fn what_is_no_gtid_is_refused() {
    for text in [
        "",
        "0",
        "0-1",
        "0-1-",
        "0-1-2-3",
        "a-1-2",
        "+0-1-2",
        "0-1--2",
        "4294967296-1-1",
        "0-1-18446744073709551616",
        "3e11fa47:5",
        "x",
        ":",
        "0-1-1..2",
    ] {
        assert!(text.parse::<Gtid>().is_err(), "{text}");
    }
    for text in [":0", ":x:", "::1", ":1:2:3", ":1a", ":9223372036854775807"] {
        assert!(format!("{UUID}{text}").parse::<Gtid>().is_err(), "{text}");
    }
}

#[test]
fn sets_print_canonically() {
    for (given, printed) in [
        ("", ""),
        ("0-1-1", "0-1-1"),
        ("0-1-1..187,0-2-188", "0-1-1..187,0-2-188"),
        ("0-1-3, 0-1-1,0-1-2", "0-1-1..3"),
        ("0-1-5..9,0-1-1..4,0-1-11", "0-1-1..9,0-1-11"),
        ("1-1-1,0-2-1,0-1-1", "0-1-1,0-2-1,1-1-1"),
    ] {
        assert_eq!(set(given).to_string(), printed, "{given}");
    }
    assert_eq!(
        set(&format!("{UUID}:1-5:7:6")).to_string(),
        format!("{UUID}:1-7")
    );
    assert_eq!(
        set(&format!("{UUID}:1-5:tag:1-3:9,\n{UUID}:7")).to_string(),
        format!("{UUID}:1-5:7:tag:1-3:9")
    );
    for text in ["0-1-5..4", "0-1-1..", "0-1-1..x", "0-1", "nonsense"] {
        assert!(text.parse::<GtidSet>().is_err(), "{text}");
    }
    assert!(format!("{UUID}:5-4").parse::<GtidSet>().is_err());
}

#[test]
fn membership_is_exact() {
    let set = set("0-1-1..10,0-1-12,0-2-11");
    for (text, inside) in [
        ("0-1-1", true),
        ("0-1-10", true),
        ("0-1-11", false),
        ("0-1-12", true),
        ("0-1-13", false),
        ("0-2-11", true),
        ("0-2-10", false),
        ("1-1-1", false),
    ] {
        assert_eq!(set.contains(&gtid(text)), inside, "{text}");
    }
    assert_eq!(set.len(), 12);
    assert_eq!(set.iter().last(), Some(gtid("0-2-11")));
}

#[test]
fn the_last_number_there_is_overflows_nothing() {
    let mut set = set("0-1-18446744073709551615");
    set.insert(&gtid("0-1-18446744073709551614"));
    set.insert(&gtid("0-1-0"));
    assert_eq!(
        set.to_string(),
        "0-1-0,0-1-18446744073709551614..18446744073709551615"
    );
    set.remove(&gtid("0-1-18446744073709551615"));
    set.remove(&gtid("0-1-0"));
    assert_eq!(set.to_string(), "0-1-18446744073709551614");
}

#[test]
fn a_position_knows_only_the_highest_of_a_domain() {
    let position: Position = "1-2-9, 0-1-187".parse().unwrap();
    assert_eq!(position.to_string(), "0-1-187,1-2-9");
    assert!(position.contains(mariadb::Gtid::new(0, 5, 187)));
    assert!(!position.contains(mariadb::Gtid::new(0, 1, 188)));
    assert!(!position.contains(mariadb::Gtid::new(2, 1, 1)));
    assert!(position.covers(&"0-3-100".parse().unwrap()));
    assert!(!position.covers(&"0-3-100,7-1-1".parse().unwrap()));
    assert!("0-1-1,0-2-2".parse::<Position>().is_err());
    assert!("".parse::<Position>().unwrap().is_empty());
}

#[test]
fn a_binlog_state_lists_the_last_of_a_domain_last() {
    // As a MariaDB 10.11 printed it after 0-9-27 and then 0-7-28 to 36.
    let state: BinlogState = "0-9-27,0-7-36,3-7-1".parse().unwrap();
    assert_eq!(state.to_string(), "0-9-27,0-7-36,3-7-1");
    assert_eq!(state.position().to_string(), "0-7-36,3-7-1");
    let mut state = state;
    state.update(mariadb::Gtid::new(0, 9, 37));
    assert_eq!(state.to_string(), "0-7-36,0-9-37,3-7-1");
    assert!(state.contains(mariadb::Gtid::new(0, 7, 36)));
    assert!(!state.contains(mariadb::Gtid::new(0, 7, 37)));
    assert!(!state.contains(mariadb::Gtid::new(0, 8, 1)));
    let claimed = State::MariaDb(state).claimed();
    assert_eq!(claimed.to_string(), "0-7-1..36,0-9-1..37,3-7-1");
}

/// A few origins and small numbers, so that ranges meet often.
fn few() -> impl Strategy<Value = Vec<(u32, u64)>> {
    proptest::collection::vec((0u32..3, 1u64..30), 0..60)
}

fn both(list: &[(u32, u64)]) -> (GtidSet, HashSet<Gtid>) {
    let gtids = || {
        list.iter()
            .map(|&(server, seq)| Gtid::MariaDb(mariadb::Gtid::new(0, server, seq)))
    };
    (gtids().collect(), gtids().collect())
}

fn same(set: &GtidSet, naive: &HashSet<Gtid>) -> bool {
    set.iter().collect::<HashSet<_>>() == *naive && set.len() == naive.len() as u64
}

proptest! {
    #[test]
    fn algebra_agrees_with_a_hash_set(a in few(), b in few(), ranges in proptest::collection::vec((0u32..3, 1u64..30, 0u64..9), 0..4)) {
        let (mut left, mut naive_left) = both(&a);
        let (right, naive_right) = both(&b);
        for (server, first, more) in ranges {
            left.insert_range(Origin::MariaDb { domain: 0, server }, first, first + more);
            naive_left.extend((first..=first + more).map(|seq| Gtid::MariaDb(mariadb::Gtid::new(0, server, seq))));
        }
        prop_assert!(same(&left, &naive_left));
        prop_assert!(same(&left.union(&right), &naive_left.union(&naive_right).cloned().collect()));
        prop_assert!(same(&left.difference(&right), &naive_left.difference(&naive_right).cloned().collect()));
        prop_assert_eq!(left.is_subset(&right), naive_left.is_subset(&naive_right));
        prop_assert!(left.is_subset(&left.union(&right)));
        prop_assert!(left.difference(&left).is_empty());
        // The fields are canonical: the same members make equal sets, however they came in.
        let mut shuffled = GtidSet::new();
        for gtid in naive_left.iter() { shuffled.insert(gtid); }
        prop_assert_eq!(&shuffled, &left);
        prop_assert_eq!(left.to_string().parse::<GtidSet>().unwrap(), left.clone());
        for gtid in naive_right.iter() { left.remove(gtid); }
        prop_assert!(same(&left, &naive_left.difference(&naive_right).cloned().collect()));
    }

    #[test]
    fn no_text_makes_parsing_panic(text in "[0-9a-f:., -]{0,60}") {
        let _ = text.parse::<GtidSet>();
        let _ = text.parse::<Gtid>();
        let _ = text.parse::<Position>();
        let _ = text.parse::<BinlogState>();
    }
}

//! Finding places by GTID.

use super::fixture::*;
use crate::gtid::{Gtid, Position, mariadb};
use crate::ids::StorePosition;
use crate::store::{Located, Store, Writer};

/// Domain 0 by servers 7 and 9, domain 3 between, over several files, after a base.
fn mixed() -> Vec<Sample> {
    let mut all = vec![
        sample(0, 7, 11, 40),
        sample(3, 7, 1, 40),
        sample(0, 7, 12, 40),
    ];
    all.extend([
        sample(0, 9, 13, 40),
        sample(3, 7, 2, 40),
        sample(0, 9, 14, 40),
    ]);
    all.extend((15..25).map(|seq| sample(0, 7, seq, 40)));
    all.push(sample(3, 7, 3, 40));
    all
}

fn filled(bench: &Bench) -> (Store, Writer, Vec<(Sample, StorePosition)>) {
    let (store, mut writer) = bench.started();
    writer.begin_base(&state("0-7-10")).unwrap();
    let mut ends = Vec::new();
    for sample in mixed() {
        let end = put_all(&mut writer, std::slice::from_ref(&sample)).unwrap();
        ends.push((sample, end));
    }
    (store, writer, ends)
}

#[test]
fn a_replica_gets_exactly_what_it_lacks_from_wherever_it_is() {
    let bench = Bench::new(600);
    let (store, _writer, ends) = filled(&bench);
    assert!(store.files().len() > 4);
    let mut replica: mariadb::Position = "0-7-10".parse().unwrap();
    for index in 0..=ends.len() {
        let at = store.locate(&Position::MariaDb(replica.clone())).unwrap();
        let Located::At(at) = at else {
            panic!("{replica}");
        };
        let sent = read_all(&store, at, 1 << 20);
        let lacking: Vec<Sample> = ends[index..]
            .iter()
            .map(|(sample, _)| sample.clone())
            .collect();
        assert_same(&sent, &lacking);
        if let Some((sample, _)) = ends.get(index) {
            let Gtid::MariaDb(gtid) = sample.gtid else {
                panic!("{}", sample.gtid);
            };
            replica.set(gtid);
        }
    }
    // Far in one domain, at the start in the other: what it has is sent too, and left out by ship.
    let Located::At(at) = store.locate(&position("0-7-24")).unwrap() else {
        panic!();
    };
    assert_same(&read_all(&store, at, 1 << 20), &mixed()[1..]);
}

#[test]
fn ahead_purged_and_diverged_are_told_apart() {
    let bench = Bench::new(600);
    let (store, _writer, _) = filled(&bench);
    let gtid = |text: &str| text.parse::<Gtid>().unwrap();
    for (replica, expected) in [
        (
            "0-7-25,3-7-3",
            Located::Ahead {
                missing: vec![gtid("0-7-25")],
            },
        ),
        (
            "0-9-24,3-7-3",
            Located::Diverged {
                theirs: vec![gtid("0-9-24")],
            },
        ),
        (
            "0-7-13,3-7-9",
            Located::Diverged {
                theirs: vec![gtid("0-7-13")],
            },
        ),
        (
            "0-8-10",
            Located::Diverged {
                theirs: vec![gtid("0-8-10")],
            },
        ),
        (
            "0-7-9",
            Located::Purged {
                gone: gtid("0-7-10"),
            },
        ),
        (
            "",
            Located::Purged {
                gone: gtid("0-7-10"),
            },
        ),
        (
            "3-7-1",
            Located::Purged {
                gone: gtid("0-7-10"),
            },
        ),
    ] {
        assert_eq!(
            store.locate(&position(replica)).unwrap(),
            expected,
            "{replica}"
        );
    }
}

#[test]
fn a_domain_that_we_know_nothing_of_counts_neither_for_nor_against() {
    let bench = Bench::new(600);
    let (store, _writer, _) = filled(&bench);
    let Located::At(end) = store.locate(&position("0-7-24,3-7-3")).unwrap() else {
        panic!();
    };
    let beside = position("0-7-24,3-7-3,8-1-1");
    assert_eq!(store.locate(&beside).unwrap(), Located::At(end));
    assert_eq!(store.applied_up_to(StorePosition::ZERO, &beside), Some(end));
    let nothing = store.applied_up_to(StorePosition::ZERO, &position("8-1-1"));
    assert!(nothing.unwrap() < end);
}

#[test]
fn an_empty_store_serves_who_has_nothing() {
    let bench = Bench::new(600);
    let (store, mut writer) = bench.started();
    assert_eq!(
        store.locate(&position("")).unwrap(),
        Located::At(StorePosition::ZERO)
    );
    assert!(matches!(
        store.locate(&position("0-1-1")).unwrap(),
        Located::Ahead { .. }
    ));
    let mut reader = store.reader(StorePosition::ZERO).unwrap();
    let mut batch = crate::store::Batch::new();
    reader
        .next_batch(StorePosition::new(9, 9), 1000, &mut batch)
        .unwrap();
    assert!(batch.is_empty());
    put_all(&mut writer, &samples(1, 1)).unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        reader
            .next_batch(StorePosition::new(9, 9), 1000, &mut batch)
            .unwrap();
        collect(&batch, &mut found);
    }
    assert_same(&found, &samples(1, 1));
}

#[test]
fn positions_of_transactions_from_memory_and_from_files() {
    let bench = Bench::new(600);
    let (store, writer, ends) = filled(&bench);
    let check = |store: &Store| {
        for (sample, end) in &ends {
            assert_eq!(
                store.position_of(&sample.gtid),
                Some(*end),
                "{}",
                sample.gtid
            );
        }
        for absent in ["0-7-10", "0-7-13", "0-7-25", "5-1-1"] {
            assert_eq!(
                store.position_of(&absent.parse().unwrap()),
                None,
                "{absent}"
            );
        }
    };
    check(&store);
    store.shared.catalogue.write().recent.clear();
    check(&store);
    drop((store, writer));
    let (store, _writer, _) = bench.open().unwrap();
    check(&store);
}

#[test]
fn applied_up_to_stops_at_the_first_transaction_that_is_lacking() {
    let bench = Bench::new(600);
    let (store, _writer, ends) = filled(&bench);
    let end_of = |gtid: &str| {
        ends.iter()
            .find(|(sample, _)| sample.gtid.to_string() == gtid)
            .unwrap()
            .1
    };
    let check = |remembered: bool| {
        for (from, position, expected) in [
            ("0-7-11", "0-7-11", "0-7-11"),
            ("0-7-11", "0-7-24", "0-7-11"),
            ("0-7-11", "0-7-24,3-7-1", "0-9-13"),
            ("0-7-11", "0-7-12,3-7-3", "0-7-12"),
            ("0-7-11", "0-7-20,3-7-2", "0-7-20"),
            ("0-7-20", "0-7-24,3-7-3", "3-7-3"),
            ("3-7-3", "", "3-7-3"),
            ("0-7-20", "0-7-11", "0-7-20"),
        ] {
            let position = self::position(position);
            let found = store.applied_up_to(end_of(from), &position);
            let expected = Some(end_of(expected));
            assert_eq!(found, expected, "{from} {position} {remembered}");
        }
        let all = position("0-7-24,3-7-3");
        assert_eq!(
            store.applied_up_to(StorePosition::ZERO, &all),
            Some(end_of("3-7-3"))
        );
        // Of a domain that nobody here ever wrote in.
        let other = position("0-7-24,3-7-3,5-1-7");
        assert_eq!(
            store.applied_up_to(StorePosition::ZERO, &other),
            Some(end_of("3-7-3"))
        );
        // A larger number, or the same in another server's name, stands for nothing of ours.
        for none in ["0-99-1000000", "0-99-20", "0-7-24,3-9-2", "0-7-1000000"] {
            let none = position(none);
            assert_eq!(store.applied_up_to(end_of("0-7-11"), &none), None, "{none}");
        }
    };
    check(true);
    // As if only the last two were still remembered.
    let mut catalogue = store.shared.catalogue.write();
    while catalogue.recent.len() > 2 {
        catalogue.recent.pop_front();
    }
    drop(catalogue);
    check(false);
}

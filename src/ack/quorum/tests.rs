use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ack::policy::tests::any_requirement_of;

fn position(text: &str) -> Option<StorePosition> {
    (text != "-").then(|| StorePosition::new(1, text.parse().unwrap()))
}

fn voter(text: &str) -> Voter {
    let (text, is_source) = match text.strip_suffix("=source") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (name, zone) = match text.split_once('@') {
        Some((name, zone)) => (name, Some(zone.into())),
        None => (text, None),
    };
    Voter {
        name: ServerName::new(name),
        zone,
        is_source,
    }
}

fn vote(votes: &mut Votes, text: &str) {
    let (name, said) = text.split_once('=').unwrap();
    let vote = votes
        .voters
        .iter_mut()
        .find(|vote| vote.voter.name.as_str() == name)
        .unwrap_or_else(|| panic!("no voter {name}"));
    vote.connected = !said.contains('!');
    vote.eligible = !said.contains('?');
    let mut levels = said.trim_end_matches(['!', '?']).split('/').map(position);
    vote.confirmed = Confirmed {
        received: levels.next().unwrap(),
        durable: levels.next().flatten(),
        applied: levels.next().flatten(),
    };
}

/// The scripts of `tests/golden/quorum`; their README tells the language.
#[test]
fn golden_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/quorum");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "README" {
            continue;
        }
        assert!(name.ends_with(".txt"), "{name} is no script");
        let mut votes = Votes::default();
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let place = format!("{name}:{}: {line}", number + 1);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.split_first() {
                None => {}
                Some((first, _)) if first.starts_with('#') => {}
                Some((&"voters", rest)) => {
                    votes.voters = rest.iter().map(|text| Vote::new(voter(text))).collect();
                }
                Some((&"store", rest)) => {
                    votes.written = position(rest[0]).unwrap();
                    votes.synced = position(rest[1]).unwrap();
                }
                Some((&"votes", rest)) => {
                    for own in &mut votes.voters {
                        *own = Vote::new(own.voter.clone());
                    }
                    for text in rest {
                        vote(&mut votes, text);
                    }
                }
                Some(_) => {
                    let (policy, expected) = line.split_once("=>").expect(&place);
                    let requirement = Requirement::parse(policy.trim()).expect(&place);
                    assert_eq!(
                        satisfied(&requirement, &votes),
                        position(expected.trim()),
                        "{place}"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

fn three(db2: &str, db3: &str) -> Votes {
    let mut votes = Votes {
        written: StorePosition::new(1, 100),
        synced: StorePosition::new(1, 90),
        voters: ["db1=source", "db2", "db3"]
            .map(|text| Vote::new(voter(text)))
            .into(),
    };
    vote(&mut votes, &format!("db2={db2}"));
    vote(&mut votes, &format!("db3={db3}"));
    votes
}

#[test]
fn who_is_missing_is_said_in_words() {
    for (policy, votes, words) in [
        (
            "ANY 1 (*) received",
            three("80", "70"),
            "1 of db2, db3 to confirm received",
        ),
        (
            "ANY 2 (*) received",
            three("95", "70"),
            "db3 to confirm received",
        ),
        (
            "ALL applied",
            three("-/-/99", "-"),
            "db3 to confirm applied",
        ),
        (
            "ALL applied",
            three("-", "-"),
            "db2, db3 to confirm applied",
        ),
        (
            "MAJORITY received",
            three("80", "70"),
            "1 of db2, db3 to confirm received",
        ),
        (
            "FIRST 1 (db2, db3) received",
            three("80", "95"),
            "db2 to confirm received",
        ),
        (
            "FIRST 2 (db2, db3) received",
            three("80!", "95"),
            "db2 to confirm received",
        ),
        (
            "LOCAL durable",
            three("-", "-"),
            "our own binlog to be fsynced",
        ),
        (
            "LOCAL durable AND ANY 1 (db3) durable",
            three("-", "-"),
            "our own binlog to be fsynced and for db3 to confirm durable",
        ),
        (
            "ANY 1 (db2) received OR ANY 1 (db3) applied",
            three("-", "-"),
            "db2 to confirm received, or for db3 to confirm applied",
        ),
    ] {
        let requirement = Requirement::parse(policy).unwrap();
        let missing = missing(&requirement, &votes, StorePosition::new(1, 95)).unwrap();
        assert_eq!(missing.words, words, "{policy}");
        assert!(missing.local || !missing.servers.is_empty());
    }
    let any = Requirement::parse("ANY 1 (*) received").unwrap();
    let votes = three("95", "-");
    assert_eq!(missing(&any, &votes, StorePosition::new(1, 95)), None);
}

#[test]
fn what_can_never_be_met_is_an_error() {
    let voters: Vec<Voter> = ["db1@east=source", "db2@east", "db3@west"]
        .map(voter)
        .into();
    for (policy, error) in [
        (
            "ANY 3 (*) received",
            "'ANY 3 (*) received' needs 3 voting servers besides the source, and 2",
        ),
        (
            "LOCAL durable AND FIRST 2 (zone:west) received",
            "needs 2 voting servers",
        ),
        (
            "ANY 1 (db1) received",
            "needs 1 voting servers besides the source, and 0",
        ),
        (
            "ALL (db4) applied",
            "'db4' is no [[server]] with vote = true; the voters are: db1, db2, db3",
        ),
        (
            "MAJORITY received OR ALL (zone:north) applied",
            "zone = \"north\"",
        ),
    ] {
        let found = Requirement::parse(policy).unwrap().validate(&voters);
        let found = found.unwrap_err().to_string();
        assert!(found.contains(error), "{policy}: {found}");
    }
    for policy in [
        "ANY 2 (*) received",
        "ALL (db1, db2) applied",
        "MAJORITY applied",
    ] {
        Requirement::parse(policy)
            .unwrap()
            .validate(&voters)
            .unwrap();
    }
    assert!(Requirement::LOCAL_DURABLE.validate(&[]).is_ok());
    assert!(
        Requirement::Majority(Level::Received)
            .validate(&[])
            .is_err()
    );
}

fn any_position() -> impl Strategy<Value = Option<StorePosition>> {
    prop_oneof![
        1 => Just(None),
        6 => (1..3u32, 0..6u64).prop_map(|(file, offset)| Some(StorePosition::new(file, offset))),
    ]
}

fn any_votes() -> impl Strategy<Value = Votes> {
    let confirmed = (any_position(), any_position(), any_position());
    let vote = (
        confirmed,
        any::<bool>(),
        prop::bool::weighted(0.9),
        0..2usize,
    );
    let store = (any_position(), any_position());
    (vec(vote, 1..6), store, 0..8usize).prop_map(|(all, (written, synced), source)| {
        let (written, synced) = (written.unwrap_or_default(), synced.unwrap_or_default());
        let voters = all.into_iter().enumerate();
        let voters = voters.map(
            |(index, ((received, durable, applied), connected, eligible, zone))| {
                let voter = Voter {
                    name: ServerName::new(&format!("s{index}")),
                    zone: Some(["x", "y"][zone].into()),
                    is_source: index == source,
                };
                Vote {
                    connected,
                    eligible,
                    confirmed: Confirmed {
                        received,
                        durable,
                        applied,
                    },
                    ..Vote::new(voter)
                }
            },
        );
        Votes {
            written: written.max(synced),
            synced: written.min(synced),
            voters: voters.collect(),
        }
    })
}

fn any_policy() -> impl Strategy<Value = Requirement> {
    let who = prop_oneof![
        Just(Who::Everyone),
        Just(Who::Zone("x".into())),
        (0..6usize).prop_map(|index| Who::Name(ServerName::new(&format!("s{index}")))),
    ];
    any_requirement_of(who.boxed())
}

/// The same question asked the plain way: does it hold for this one transaction?
fn holds(requirement: &Requirement, votes: &Votes, at: StorePosition) -> bool {
    let has = |vote: &Vote, level: Level| {
        let confirmed = &vote.confirmed;
        let mut said = vec![match level {
            Level::Received => confirmed.received,
            Level::Durable => confirmed.durable,
            Level::Applied => confirmed.applied,
        }];
        if level == Level::Received {
            said.extend([confirmed.durable, confirmed.applied]);
        }
        vote.eligible && said.iter().flatten().any(|position| *position >= at)
    };
    let is_meant = |vote: &Vote, who: &Who| {
        !vote.voter.is_source
            && match who {
                Who::Everyone => true,
                Who::Zone(zone) => vote.voter.zone.as_ref() == Some(zone),
                Who::Name(name) => vote.voter.name == *name,
            }
    };
    let meant = |among: &[Who]| -> Vec<Vote> {
        let all = votes.voters.iter();
        all.filter(|vote| among.iter().any(|who| is_meant(vote, who)))
            .cloned()
            .collect()
    };
    match requirement {
        Requirement::Local(Level::Received) => votes.written >= at,
        Requirement::Local(_) => votes.synced >= at,
        Requirement::Any {
            count,
            among,
            level,
        } => {
            let have = meant(among).iter().filter(|vote| has(vote, *level)).count();
            have >= count.get()
        }
        Requirement::First {
            count,
            among,
            level,
        } => {
            let mut order: Vec<Vote> = Vec::new();
            for who in among {
                for vote in &votes.voters {
                    if is_meant(vote, who) && !order.contains(vote) {
                        order.push(vote.clone());
                    }
                }
            }
            order.retain(|vote| vote.connected && vote.eligible);
            order.truncate(count.get());
            order.len() == count.get() && order.iter().all(|vote| has(vote, *level))
        }
        Requirement::All { among, level } => {
            let meant = meant(among);
            !meant.is_empty() && meant.iter().all(|vote| has(vote, *level))
        }
        Requirement::Majority(level) => {
            let have = votes
                .voters
                .iter()
                .filter(|vote| match vote.voter.is_source {
                    true => votes.written >= at,
                    false => has(vote, *level),
                });
            have.count() * 2 > votes.voters.len()
        }
        Requirement::And(parts) => parts.iter().all(|part| holds(part, votes, at)),
        Requirement::Or(parts) => parts.iter().any(|part| holds(part, votes, at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn holds_exactly_up_to_the_position(policy in any_policy(), votes in any_votes()) {
        let up_to = satisfied(&policy, &votes);
        for file in 1..3 {
            for offset in 0..6 {
                let at = StorePosition::new(file, offset);
                prop_assert_eq!(holds(&policy, &votes, at), up_to >= Some(at));
                prop_assert_eq!(missing(&policy, &votes, at).is_none(), up_to >= Some(at));
            }
        }
        prop_assert!(satisfied(&policy.whoever_is_connected(), &votes) >= up_to);
    }

    #[test]
    fn never_falls_when_a_voter_rises(
        policy in any_policy(),
        votes in any_votes(),
        which in 0..6usize,
        level in 0..3usize,
        to in any_position(),
    ) {
        let mut risen = votes.clone();
        let index = which % risen.voters.len();
        let level = [Level::Received, Level::Durable, Level::Applied][level];
        let said = risen.voters[index].confirmed.said(level);
        *said = (*said).max(to);
        prop_assert!(satisfied(&policy, &risen) >= satisfied(&policy, &votes));
    }

    #[test]
    fn never_above_what_somebody_confirmed(policy in any_policy(), votes in any_votes()) {
        let positions = votes.voters.iter().map(|vote| vote.confirmed.at(Level::Received));
        let highest = positions.max().flatten().unwrap_or_default();
        prop_assert!(satisfied(&policy, &votes) <= Some(highest.max(votes.written)));
    }
}

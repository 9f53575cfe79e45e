//! Which of a listed server's dump connections is its voice. Pure: connections and instants in, decisions out.
//!
//! ```text
//! Silent ──take──► Held by the newest ──take, the third from a living one within CONTEST──► Contested
//!    ▲                  │                                                                      │
//!    └─────leave────────┴──────────────── at most one is left, CONTEST after the last take ◄───┘
//! ```
//!
//! A server that comes again may find its old connection half-open, so the newest has the voice and the one
//! before is ended. Two that take it from each other are two machines, or two channels of one: nobody can
//! say whose word it is, so neither has a voice until one of them is gone.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::{ServerName, Voice};

/// So often taken from a living one within [`CONTEST`] is no coming again any more.
const TAKEN: usize = 3;
const CONTEST: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Dump {
    voice: Voice,
    connection: u32,
    peer: SocketAddr,
}

#[derive(Debug, Default)]
struct Server {
    /// All its dumps that live, in the order in which they were accepted.
    alive: Vec<Dump>,
    holder: Option<Voice>,
    /// When the voice was taken from a living one.
    taken: VecDeque<Instant>,
    contested: bool,
}

/// What a dump gets that asks for the voice.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has the voice; those of before are to be ended.
    Voice { ends: Vec<u32> },
    /// A newer one has it.
    Late,
    /// Nobody has it. Whoever had it before has to be told.
    Contested { silenced: Option<Voice> },
}

#[derive(Debug, Default)]
pub struct Voices(BTreeMap<ServerName, Server>);

impl Voices {
    pub fn take(
        &mut self,
        name: &ServerName,
        voice: Voice,
        connection: u32,
        peer: SocketAddr,
        now: Instant,
    ) -> Taken {
        let server = self.0.entry(name.clone()).or_default();
        if server.alive.iter().all(|dump| dump.voice != voice) {
            let dump = Dump {
                voice,
                connection,
                peer,
            };
            let place = server.alive.partition_point(|other| other.voice < voice);
            server.alive.insert(place, dump);
        }
        server.settle(now);
        if server.holder == Some(voice) {
            return Taken::Voice { ends: Vec::new() };
        }
        if server.holder > Some(voice) {
            return Taken::Late;
        }
        if server.holder.is_some() {
            server.taken.push_back(now);
            server.contested |= server.taken.len() >= TAKEN;
        }
        if server.contested {
            return Taken::Contested {
                silenced: server.holder.take(),
            };
        }
        server.holder = Some(voice);
        let before = server.alive.iter().filter(|dump| dump.voice < voice);
        Taken::Voice {
            ends: before.map(|dump| dump.connection).collect(),
        }
    }

    pub fn is_held_by(&self, name: &ServerName, voice: Voice) -> bool {
        let server = self.0.get(name);
        server.is_some_and(|server| server.holder == Some(voice))
    }

    /// The connection is gone.
    pub fn leave(&mut self, name: &ServerName, voice: Voice) {
        let Some(server) = self.0.get_mut(name) else {
            return;
        };
        server.alive.retain(|dump| dump.voice != voice);
        if server.holder == Some(voice) {
            server.holder = None;
        }
    }

    /// Why the server has no voice, if two fight over it.
    pub fn contest(&self, name: &ServerName) -> Option<String> {
        let server = self.0.get(name).filter(|server| server.contested)?;
        let peers: Vec<String> = server.alive.iter().map(|d| d.peer.to_string()).collect();
        Some(format!(
            "several dump connections take the place of {name} from each other ({}): two machines with one server_id, or two channels of one server; nobody can say whose acknowledgement it is. Give each server its own server_id, or leave it one channel to us",
            peers.join(", ")
        ))
    }
}

impl Server {
    fn settle(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.duration_since(*at) >= CONTEST;
        while self.taken.front().is_some_and(is_old) {
            self.taken.pop_front();
        }
        if self.taken.is_empty() && self.alive.len() < 2 {
            self.contested = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        voices: Voices,
        name: ServerName,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                voices: Voices::default(),
                name: ServerName::new("db2"),
                now: Instant::now(),
            }
        }

        fn take(&mut self, voice: u64, after_ms: u64) -> Taken {
            self.now += Duration::from_millis(after_ms);
            let peer = SocketAddr::from(([10, 0, 0, (voice % 2) as u8], 4000));
            let (connection, voice) = (voice as u32 + 100, Voice(voice));
            self.voices
                .take(&self.name, voice, connection, peer, self.now)
        }

        fn leave(&mut self, voice: u64) {
            self.voices.leave(&self.name, Voice(voice));
        }
    }

    fn has_it(ends: &[u32]) -> Taken {
        Taken::Voice { ends: ends.into() }
    }

    #[test]
    fn the_newest_has_the_voice_and_ends_the_one_before() {
        let mut bench = Bench::new();
        assert_eq!(bench.take(1, 0), has_it(&[]));
        assert_eq!(bench.take(1, 0), has_it(&[]));
        assert_eq!(bench.take(2, 10), has_it(&[101]));
        assert_eq!(bench.take(1, 10), Taken::Late);
        bench.leave(1);
        assert_eq!(bench.take(2, 10), has_it(&[]));
    }

    /// A restart closes its connection first, however often it happens.
    #[test]
    fn coming_again_is_no_contest() {
        let mut bench = Bench::new();
        for voice in 1..20 {
            assert_eq!(bench.take(voice, 10), has_it(&[]));
            bench.leave(voice);
        }
        // Nor are half-open connections, now and then.
        for voice in 20..40 {
            let ends = [voice as u32 + 99];
            let ends = if voice == 20 { &[][..] } else { &ends };
            assert_eq!(bench.take(voice, 6_000), has_it(ends));
            bench.leave(voice - 1);
        }
        assert_eq!(bench.voices.contest(&bench.name), None);
    }

    #[test]
    fn two_that_take_it_from_each_other_have_none_until_one_is_gone() {
        let mut bench = Bench::new();
        for voice in 1..=3 {
            assert!(matches!(bench.take(voice, 100), Taken::Voice { .. }));
        }
        let silenced = Some(Voice(3));
        assert_eq!(bench.take(4, 100), Taken::Contested { silenced });
        bench.leave(1);
        bench.leave(2);
        assert!(
            bench
                .voices
                .contest(&bench.name)
                .unwrap()
                .contains("10.0.0.1")
        );
        // Not by waiting alone, while both live.
        let still = Taken::Contested { silenced: None };
        assert_eq!(bench.take(4, 60_000), still);
        bench.leave(3);
        assert_eq!(bench.take(4, 10), has_it(&[]));
        assert_eq!(bench.voices.contest(&bench.name), None);
    }

    #[test]
    fn a_fight_that_has_just_ended_is_not_forgotten_at_once() {
        let mut bench = Bench::new();
        for voice in 1..=4 {
            bench.take(voice, 100);
        }
        (1..=3).for_each(|voice| bench.leave(voice));
        assert!(matches!(bench.take(4, 100), Taken::Contested { .. }));
        assert_eq!(bench.take(4, 10_000), has_it(&[]));
    }
}

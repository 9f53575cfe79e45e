//! What the proxy does by itself, bit after bit: capture, fsync, confirmations, releases, acknowledgements.

use rand::Rng;

use super::proxy::{Durable, Link};
use super::server::{Life, Statement, Transaction, name, set_of};
use super::world::World;
use crate::ids::Flavor;

impl World {
    /// Capture does its next bit.
    pub fn capture(&mut self) {
        let (present, follows) = (self.proxy.present, self.proxy.follows);
        if !self.proxy.up {
            return;
        }
        let Some(link) = self.proxy.link.clone() else {
            if follows && self.servers[present.0].life == Life::Up && !self.one_in(6) {
                self.attach(present);
            }
            return;
        };
        if !follows || (link.server, link.epoch) != present {
            self.proxy.link = None;
        } else if self.servers[link.server].life != Life::Up {
            if self.random.random_ratio(1, 2) {
                self.proxy.link = None;
            }
        } else {
            let kept = self.advance(link);
            self.proxy.link = kept;
        }
    }

    /// In capture's order: it follows nobody, has all of ours, the gate is raised, the dump begins.
    fn attach(&mut self, (server, epoch): (usize, u64)) {
        let one = &mut self.servers[server];
        let store = &self.proxy.store;
        // By its own word, as production asks for it.
        let claimed = one.state(self.flavor).claimed();
        if one.replicates() || !set_of(store, self.flavor).is_subset(&claimed) {
            return;
        }
        let read = match store.last() {
            None => 0,
            Some(last) => match one.binlog.iter().position(|own| own == last) {
                Some(at) => at + 1,
                // Something different stands there under the same GTID.
                None => return,
            },
        };
        one.gate = true;
        self.proxy.link = Some(Link {
            server,
            epoch,
            read,
            until: None,
            open: false,
        });
    }

    /// None where the attach has ended.
    fn advance(&mut self, mut link: Link) -> Option<Link> {
        if self.one_in(60) {
            return None;
        }
        let one = &self.servers[link.server];
        let length = one.binlog.len();
        let until = *link.until.get_or_insert(length);
        for own in one.binlog.iter().skip(link.read).take(2) {
            let grows = self
                .proxy
                .store
                .last()
                .is_none_or(|last| last.number < own.number);
            if self.flavor == Flavor::MariaDb && !grows {
                return None;
            }
            self.proxy.store.push(*own);
            link.read += 1;
        }
        self.acknowledge(&link);
        if !link.open {
            let released = &self.proxy.store[..self.proxy.released];
            let last = until
                .checked_sub(1)
                .map(|at| self.servers[link.server].binlog[at]);
            if last.is_none_or(|last| released.contains(&last)) {
                self.ask(link.server, Statement::OpenForWriting).ok()?;
                link.open = true;
            }
        }
        Some(link)
    }

    /// Everything that this connection has sent, that is stored and released.
    fn acknowledge(&mut self, link: &Link) {
        let released = &self.proxy.store[..self.proxy.released];
        let sent = &self.servers[link.server].binlog[..link.read];
        let all = sent.iter().copied();
        let acked: Vec<Transaction> = all.filter(|own| released.contains(own)).collect();
        self.returned(link, &acked);
    }

    /// The planted bug: past the commit point, the old connection goes on acknowledging.
    pub fn capture_old_epoch(&mut self) {
        let Some(link) = self.proxy.old_link.clone() else {
            return;
        };
        let one = &self.servers[link.server];
        if link.epoch < self.proxy.present.1 && one.life == Life::Up {
            let sent = one.binlog.clone();
            self.returned(&link, &sent);
        }
    }

    /// An acknowledgement reaches the source, and whoever waits there for these goes on. Promises 1 and 3.
    fn returned(&mut self, link: &Link, acked: &[Transaction]) {
        for own in acked {
            if !self.servers[link.server].waiting.remove(&own.content) {
                continue;
            }
            self.answered.push(*own);
            self.counted.answered += 1;
            let synced = &self.proxy.store[..self.proxy.synced];
            let source = name(link.server);
            if (link.server, link.epoch) != self.proxy.present {
                self.violated(format!(
                    "{own:?} was acknowledged to {source} in an old epoch"
                ));
            } else if !synced.contains(own) || !self.ledger.contains(own) {
                self.violated(format!("{own:?} was acknowledged to {source} unreleased"));
            }
        }
    }

    pub fn sync(&mut self) {
        let proxy = &mut self.proxy;
        proxy.synced = self.random.random_range(proxy.synced..=proxy.store.len());
        proxy.kept_released = self
            .random
            .random_range(proxy.kept_released..=proxy.released.max(proxy.kept_released));
    }

    pub fn confirm(&mut self, server: usize) {
        if self.proxy.up && self.proxy.dumps[server] && self.servers[server].life == Life::Up {
            let received = !self.proxy.applied;
            self.proxy.confirmed[server] = self.servers[server].holds(&self.proxy.store, received);
        }
    }

    /// As far as the policy holds.
    pub fn release(&mut self) {
        let proxy = &mut self.proxy;
        if !proxy.up {
            return;
        }
        let voters = (0..3).filter(|server| *server != proxy.present.0);
        let mut words: Vec<usize> = voters.map(|server| proxy.confirmed[server]).collect();
        words.sort_unstable();
        let upto = words[words.len() - proxy.need].min(proxy.synced);
        proxy.released = proxy.released.max(upto);
        if proxy.released > self.ledger.len() {
            let new = &proxy.store[self.ledger.len()..proxy.released];
            self.ledger.extend_from_slice(new);
        }
    }

    /// Kept beside the store.
    pub fn keep(&mut self, change: impl FnOnce(&mut Durable)) -> Result<(), String> {
        let mut changed = self.proxy.durable.clone();
        change(&mut changed);
        if self.one_in(40) {
            return Err("the disk failed".into());
        }
        self.proxy.durable = changed;
        Ok(())
    }

    pub fn count_kill(&mut self) {
        self.counted.killed += 1;
        self.counted.killed_while_moving += u64::from(self.proxy.moving);
    }

    pub fn kill_proxy(&mut self) {
        self.note("the proxy is killed".into());
        let keep = self
            .random
            .random_range(self.proxy.synced..=self.proxy.store.len());
        let proxy = &mut self.proxy;
        proxy.up = false;
        proxy.store.truncate(keep);
        proxy.released = proxy.kept_released;
        (proxy.link, proxy.old_link, proxy.moving) = (None, None, false);
        proxy.dumps = [false; 3];
        proxy.confirmed = [0; 3];
    }

    pub fn start_proxy(&mut self) {
        let proxy = &mut self.proxy;
        proxy.up = true;
        proxy.synced = proxy.store.len();
        proxy.follow(proxy.durable.source, proxy.durable.epoch);
    }
}

//! Where transactions came from: a text file beside each binlog file, `origins.000007` for `binlog.000007`
//! (so that what people mean by `binlog.0*` stays what a binlog reader can read).
//!
//! ```text
//! o 3 {"user":"app","client":"10.0.0.9:40712","connection":15,"program":"mysql"}
//! t 0-1-77 3
//! a 1793490598123 received 7 812345 replica1
//! ```
//!
//! An `o` line says what a number means from there on, a `t` line from which of them a transaction came.
//! Sessions name them when they see their commit's GTID; they are written a few times a second, so that a
//! transaction may stand beside the file after its own. Never synced: what a crash takes is missing, and a
//! line that was cut off is left out. Transactions of clients that bypass us have none, nor have all but
//! the last of a routine that commits several times.
//!
//! An `a` line says since when (Unix time in ms) a voter had everything up to a place in our binlog, and how
//! surely. They are noted a hundred times a second at most.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::gtid::Gtid;
use crate::ids::{Level, StorePosition};

const PREFIX: &str = "origins.";
/// More are lost, and counted, where the disk does not keep up.
const MOST_PENDING: usize = 64 * 1024;
/// More numbers are not held in memory; they are given anew.
const MOST_NUMBERS: usize = 16 * 1024;
/// Of a file that is longer than any of ours, as much is read.
const LONGEST: u64 = 256 << 20;

/// A session of an application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    pub user: String,
    /// Its address, as we see it.
    pub client: String,
    /// The source's number of the connection.
    pub connection: u32,
    /// `program_name` of the connection attributes, or the driver's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// A voter's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Unix time in milliseconds.
    pub at: u64,
    pub voter: String,
    pub level: Level,
    /// Of everything before it.
    pub position: StorePosition,
}

/// What sessions have named and nobody has written yet. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct PendingOrigins(Arc<Mutex<Pending>>);

#[derive(Debug, Default)]
pub struct Pending {
    pub origins: Vec<(Gtid, Arc<Origin>)>,
    /// There was no room for so many.
    pub lost: u64,
}

impl PendingOrigins {
    /// On the way of a commit: wakes nobody, waits for no disk.
    pub fn note(&self, gtid: &Gtid, origin: &Arc<Origin>) {
        let mut pending = self.0.lock();
        if pending.origins.len() < MOST_PENDING {
            pending.origins.push((gtid.clone(), origin.clone()));
        } else {
            pending.lost += 1;
        }
    }

    pub fn take(&self) -> Pending {
        std::mem::take(&mut *self.0.lock())
    }
}

pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{PREFIX}{number:06}"))
}

/// Writes them. The only one for its folder.
#[derive(Debug)]
pub struct OriginWriter {
    dir: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: u32,
    file: File,
    numbers: HashMap<Arc<Origin>, u32>,
    next: u32,
}

impl OriginWriter {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            open: None,
        }
    }

    /// Beside the binlog file `number`. Those beside files before `oldest` are removed.
    pub fn write(
        &mut self,
        number: u32,
        oldest: u32,
        origins: &[(Gtid, Arc<Origin>)],
        acknowledged: &[Acknowledged],
    ) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.number == number => open,
            _ => {
                self.remove_before(oldest)?;
                self.begin(number)?
            }
        };
        let mut text = String::new();
        for (gtid, origin) in origins {
            let number = open.number_of(origin, &mut text)?;
            text.push_str(&format!("t {gtid} {number}\n"));
        }
        for one in acknowledged {
            let StorePosition { file, offset } = one.position;
            let (at, level, voter) = (one.at, one.level, &one.voter);
            text.push_str(&format!("a {at} {level} {file} {offset} {voter}\n"));
        }
        open.file.write_all(text.as_bytes())?;
        self.open = Some(open);
        Ok(())
    }

    fn begin(&self, number: u32) -> io::Result<Open> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(path(&self.dir, number))?;
        // What a crash has cut off shall not run into the next line.
        file.write_all(b"\n")?;
        Ok(Open {
            number,
            file,
            numbers: HashMap::new(),
            next: 1,
        })
    }

    fn remove_before(&self, oldest: u32) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX))
                .and_then(|number| number.parse::<u32>().ok());
            if number.is_some_and(|number| number < oldest) {
                std::fs::remove_file(self.dir.join(&name))?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn number_of(&mut self, origin: &Arc<Origin>, text: &mut String) -> io::Result<u32> {
        if let Some(number) = self.numbers.get(origin) {
            return Ok(*number);
        }
        if self.numbers.len() == MOST_NUMBERS {
            self.numbers.clear();
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let json = serde_json::to_string(&**origin)?;
        text.push_str(&format!("o {number} {json}\n"));
        self.numbers.insert(origin.clone(), number);
        Ok(number)
    }
}

/// The origins of one binlog file's transactions, as far as they are known.
#[derive(Debug, Default)]
pub struct Origins {
    of: BTreeMap<String, Arc<Origin>>,
    /// By voter and level, in the order of their positions.
    acknowledged: BTreeMap<(String, Level), Vec<(StorePosition, u64)>>,
}

impl Origins {
    /// A file that is not there holds none.
    pub fn of(dir: &Path, number: u32) -> io::Result<Self> {
        let mut origins = Self::default();
        for number in [Some(number), number.checked_add(1)].into_iter().flatten() {
            match File::open(path(dir, number)) {
                Ok(file) => origins.read(file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(origins)
    }

    pub fn get(&self, gtid: &Gtid) -> Option<&Origin> {
        self.of.get(&gtid.to_string()).map(|origin| &**origin)
    }

    /// Who had the transaction that ends at `end`, since when, by voter and level.
    pub fn acknowledged(&self, end: StorePosition) -> Vec<Acknowledged> {
        let words = self
            .acknowledged
            .iter()
            .filter_map(|((voter, level), words)| {
                let (position, at) =
                    words.get(words.partition_point(|(before, _)| *before < end))?;
                Some(Acknowledged {
                    at: *at,
                    voter: voter.clone(),
                    level: *level,
                    position: *position,
                })
            });
        words.collect()
    }

    fn note(&mut self, line: &str) -> Option<()> {
        let mut words = line.splitn(5, ' ');
        let at = words.next()?.parse().ok()?;
        let level = match words.next()? {
            "received" => Level::Received,
            "durable" => Level::Durable,
            "applied" => Level::Applied,
            _ => return None,
        };
        let file = words.next()?.parse().ok()?;
        let position = StorePosition::new(file, words.next()?.parse().ok()?);
        let voter = words.next()?.to_owned();
        let noted = self.acknowledged.entry((voter, level)).or_default();
        // What was taken back since is confirmed anew, later.
        while noted.last().is_some_and(|(before, _)| *before >= position) {
            noted.pop();
        }
        noted.push((position, at));
        Some(())
    }

    fn read(&mut self, file: File) -> io::Result<()> {
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        let mut numbers = HashMap::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // The last one may be cut off.
            let Some(line) = line.strip_suffix(b"\n") else {
                break;
            };
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            if let Some(words) = line.strip_prefix("a ") {
                self.note(words);
                continue;
            }
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("o"), Some(number), Some(json)) => {
                    if let Ok(origin) = serde_json::from_str::<Origin>(json) {
                        numbers.insert(number, Arc::new(origin));
                    }
                }
                (Some("t"), Some(gtid), Some(number)) => {
                    if let Some(origin) = numbers.get(number) {
                        self.of.insert(gtid.to_owned(), origin.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(user: &str, connection: u32) -> Arc<Origin> {
        Arc::new(Origin {
            user: user.to_owned(),
            client: "10.0.0.9:40712".to_owned(),
            connection,
            program: connection
                .is_multiple_of(2)
                .then(|| "a \"program\"\n".to_owned()),
        })
    }

    fn gtid(number: u64) -> Gtid {
        format!("0-1-{number}").parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OriginWriter::new(dir.path());
        let (a, b) = (origin("app", 1), origin("other", 2));
        let noted = [
            (gtid(1), a.clone()),
            (gtid(2), b.clone()),
            (gtid(3), a.clone()),
        ];
        writer.write(1, 1, &noted, &[]).unwrap();
        // Another process, which counts from 1 again, and the next file.
        let mut writer = OriginWriter::new(dir.path());
        writer.write(1, 1, &[(gtid(4), b.clone())], &[]).unwrap();
        writer.write(2, 1, &[(gtid(5), a.clone())], &[]).unwrap();
        let origins = Origins::of(dir.path(), 1).unwrap();
        let found: Vec<_> = (1..=6).map(|number| origins.get(&gtid(number))).collect();
        assert_eq!(
            found,
            [Some(&*a), Some(&b), Some(&a), Some(&b), Some(&a), None]
        );
        let text = std::fs::read_to_string(dir.path().join("origins.000001")).unwrap();
        assert_eq!(text.matches("\no ").count(), 3, "{text}");

        writer.write(3, 2, &[], &[]).unwrap();
        assert!(Origins::of(dir.path(), 1).unwrap().get(&gtid(1)).is_none());
        assert!(Origins::of(dir.path(), 2).unwrap().get(&gtid(5)).is_some());
    }

    #[test]
    fn who_had_it_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OriginWriter::new(dir.path());
        let word = |at, offset, level| Acknowledged {
            at,
            voter: "db 2".to_owned(),
            level,
            position: StorePosition::new(1, offset),
        };
        let said = [
            word(10, 100, Level::Received),
            word(20, 300, Level::Received),
            word(30, 300, Level::Applied),
        ];
        writer.write(1, 1, &[], &said).unwrap();
        let since = |end| {
            let origins = Origins::of(dir.path(), 1).unwrap();
            origins.acknowledged(StorePosition::new(1, end))
        };
        assert_eq!(since(100), [said[0].clone(), said[2].clone()]);
        assert_eq!(since(101), said[1..]);
        assert_eq!(since(301), []);
        // It threw its relay log away, and has it again.
        let again = [
            word(40, 200, Level::Received),
            word(50, 300, Level::Received),
        ];
        writer.write(2, 1, &[], &again).unwrap();
        assert_eq!(since(150)[0].at, 40);
        assert_eq!(since(300)[0].at, 50);
        std::fs::write(
            path(dir.path(), 1),
            "a\na x\na 1 received 1\na 1 sure 1 2 db\na 1 received 1 9 db\n",
        )
        .unwrap();
        assert_eq!(since(9).len(), 2);
    }

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("origins.000001");
        let a = origin("app", 1);
        OriginWriter::new(dir.path())
            .write(1, 1, &[(gtid(1), a.clone()), (gtid(20), a.clone())], &[])
            .unwrap();
        let whole = std::fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            let origins = Origins::of(dir.path(), 1).unwrap();
            assert!(origins.get(&gtid(2)).is_none());
            OriginWriter::new(dir.path())
                .write(1, 1, &[(gtid(5), a.clone())], &[])
                .unwrap();
            let origins = Origins::of(dir.path(), 1).unwrap();
            assert_eq!(origins.get(&gtid(5)), Some(&*a));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let pending = PendingOrigins::default();
        let a = origin("app", 1);
        for number in 0..MOST_PENDING as u64 + 7 {
            pending.note(&gtid(number), &a);
        }
        let taken = pending.take();
        assert_eq!((taken.origins.len(), taken.lost), (MOST_PENDING, 7));
        assert!(pending.take().origins.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("origins.000001"), bytes).unwrap();
            Origins::of(dir.path(), 1).unwrap();
        }
    }
}

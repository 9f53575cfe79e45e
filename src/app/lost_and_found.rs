//! Transactions that nobody but an old source has, written down for people before it is set up anew.
//!
//! One file of a server and an epoch. It is written beside the one of before and takes its place when it is complete
//! and durable, so that a file of that name is never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::capture::extract::{Piece, extract};
use crate::capture::walk;
use crate::event::{self, Header};
use crate::gtid::{Gtid, GtidSet};
use crate::ids::{Epoch, ServerName};
use crate::net::admin::Account;
use crate::transcript::{LONGEST, Lines, Transcriber};
use crate::units::show_utc;

/// Nobody reads more, and our binlog needs the disk: of what comes then the GTIDs are named.
const MOST: u64 = 1 << 30;
/// Events that were read and not written yet.
const AHEAD: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("its binlog cannot be read: {0}")]
    Binlog(#[from] walk::Error),
    #[error("it sent a broken event: {0}")]
    Event(#[from] event::Error),
    #[error("{path} cannot be written: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("it was given up: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Whose they are.
#[derive(Clone, Debug)]
pub struct Owner {
    pub name: ServerName,
    pub address: String,
    /// In which they were found.
    pub epoch: Epoch,
}

/// Durable when this returns; the file that they are in.
pub async fn export(
    dir: PathBuf,
    owner: Owner,
    account: &Account,
    extra: &GtidSet,
) -> Result<PathBuf, Error> {
    let path = dir.join(format!("lost-and-found-{}-{}.txt", owner.name, owner.epoch));
    let (to, pieces) = mpsc::channel(AHEAD);
    let (set, target) = (extra.clone(), path.clone());
    let written = tokio::task::spawn_blocking(move || Draft::write(target, &owner, set, pieces));
    let (extracted, written) = tokio::join!(extract(account, extra, to), written);
    let draft = written??;
    let kept = tokio::task::spawn_blocking(move || {
        // What was read before it is not all.
        extracted?;
        draft.keep(&dir)
    });
    kept.await??;
    tracing::warn!(file = %path.display(), %extra, "transactions that nobody else has are written down");
    Ok(path)
}

/// A file that is not in its place yet. It is removed where it does not get there.
struct Draft {
    temporary: PathBuf,
    path: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is there, but for one that was kept.
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Draft {
    /// Everything that comes, durably. Blocks on the disk.
    fn write(
        path: PathBuf,
        owner: &Owner,
        extra: GtidSet,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> Result<Self, Error> {
        let draft = Self {
            temporary: path.with_extension("txt.tmp"),
            path,
        };
        let io = |source| Error::Io {
            path: draft.temporary.clone(),
            source,
        };
        let file = create(&draft.temporary).map_err(io)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut report = Report::new(BufWriter::new(file), extra, MOST);
        report
            .head(owner, now.unwrap_or_default().as_secs())
            .map_err(io)?;
        while let Some(piece) = pieces.blocking_recv() {
            report.piece(piece)?.map_err(io)?;
        }
        report.foot().map_err(io)?;
        let file = report.out.into_inner().map_err(io::Error::from);
        file.and_then(|file| file.sync_all()).map_err(io)?;
        Ok(draft)
    }

    /// Blocks on the disk.
    fn keep(self, dir: &Path) -> Result<(), Error> {
        let kept = fs::rename(&self.temporary, &self.path);
        let kept = kept.and_then(|()| File::open(dir)?.sync_all());
        kept.map_err(|source| Error::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// What they hold is nobody's but the DBA's.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// The text of the file, transaction by transaction.
struct Report<W> {
    out: W,
    extra: GtidSet,
    found: GtidSet,
    most: u64,
    bytes: u64,
    transactions: u64,
    unshown: u64,
    transcriber: Transcriber,
    open: Option<(Gtid, u32, Lines)>,
}

impl<W: Write> Report<W> {
    fn new(out: W, extra: GtidSet, most: u64) -> Self {
        Self {
            out,
            extra,
            found: GtidSet::new(),
            most,
            bytes: 0,
            transactions: 0,
            unshown: 0,
            transcriber: Transcriber::new(LONGEST),
            open: None,
        }
    }

    fn head(&mut self, owner: &Owner, now: u64) -> io::Result<()> {
        let Owner {
            name,
            address,
            epoch,
        } = owner;
        let (now, extra) = (show_utc(now), &self.extra);
        writeln!(
            self.out,
            "# Transactions that nobody but {name} ({address}) has, out of its own binlog, where they stand in this order.\n\
             # Written down by ackline at {now}, in epoch {epoch}. No other server has them, and none will get them from ackline.\n\
             # Each has its GTID and its time (by the clock of {name}); below them are its statements, and its rows before (-) and after (+).\n\
             # Where it says \"… and 7 more\", its own binlog has the rest; it has the statements that may hold a password, too.\n\
             # They are: {extra}\n"
        )
    }

    fn piece(&mut self, piece: Piece) -> Result<io::Result<()>, event::Error> {
        match piece {
            Piece::Begin { gtid, time } => self.open = Some((gtid, time, Lines::default())),
            Piece::Event(event) => {
                if let Some((_, _, lines)) = &mut self.open {
                    let header = Header::parse(&event)?;
                    self.transcriber.event(lines, &header, &event);
                }
            }
            Piece::End => {
                self.transcriber.end();
                if let Some((gtid, time, lines)) = self.open.take() {
                    return Ok(self.transaction(&gtid, time, &lines));
                }
            }
        }
        Ok(Ok(()))
    }

    fn transaction(&mut self, gtid: &Gtid, time: u32, lines: &Lines) -> io::Result<()> {
        self.found.insert(gtid);
        self.transactions += 1;
        let mut text = format!("{gtid}  {}\n", show_utc(time)).into_bytes();
        let head = text.len();
        lines.write(&mut text)?;
        if self.bytes + text.len() as u64 > self.most {
            text.truncate(head);
            text.extend_from_slice(b"    (not shown: the file would become too large)\n");
            self.unshown += 1;
        }
        self.bytes += text.len() as u64;
        self.out.write_all(&text)
    }

    fn foot(&mut self) -> io::Result<()> {
        let (number, unshown) = (self.transactions, self.unshown);
        writeln!(self.out, "\n# {number} transaction(s) found")?;
        if unshown > 0 {
            writeln!(
                self.out,
                "# {unshown} of them not shown; look at them in its own binlog (mariadb-binlog, mysqlbinlog)"
            )?;
        }
        let absent = self.extra.difference(&self.found);
        if !absent.is_empty() {
            writeln!(
                self.out,
                "# Not found in its binlog (purged or never logged; of MariaDB not every number needs to exist): {absent}"
            )?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::event::golden;
    use crate::event::{Step, TransactionTracker};

    fn owner() -> Owner {
        Owner {
            name: ServerName::new("db1"),
            address: "10.0.0.1:3306".into(),
            epoch: Epoch(3),
        }
    }

    /// All transactions of a server's file.
    fn pieces() -> Vec<Piece> {
        let mut tracker = TransactionTracker::new();
        let mut pieces = Vec::new();
        for event in golden::events("mixed.000002") {
            let time = Header::parse(&event).unwrap().timestamp;
            match tracker.feed(&event).unwrap() {
                Step::Outside => {}
                Step::GroupStart(start) => pieces.push(Piece::Begin {
                    gtid: start.gtid,
                    time,
                }),
                Step::InGroup => pieces.push(Piece::Event(event)),
                Step::GroupEnd => pieces.extend([Piece::Event(event), Piece::End]),
            }
        }
        pieces
    }

    fn gtids(pieces: &[Piece]) -> Vec<Gtid> {
        let begun = pieces.iter().filter_map(|piece| match piece {
            Piece::Begin { gtid, .. } => Some(gtid.clone()),
            _ => None,
        });
        begun.collect()
    }

    fn reported(extra: &GtidSet, most: u64) -> String {
        let mut report = Report::new(Vec::new(), extra.clone(), most);
        report.head(&owner(), 1_700_000_000).unwrap();
        for piece in pieces() {
            report.piece(piece).unwrap().unwrap();
        }
        report.foot().unwrap();
        String::from_utf8(report.out).unwrap()
    }

    #[test]
    fn it_says_what_it_is_and_what_is_missing() {
        let found = gtids(&pieces());
        let mut extra: GtidSet = found.iter().cloned().collect();
        let text = reported(&extra, MOST);
        for part in ["db1 (10.0.0.1:3306)", "2023-11-14T22:13:20Z", "epoch 3"] {
            assert!(text.contains(part), "'{part}' is not in {text}");
        }
        assert!(text.contains(&format!("\n# They are: {extra}\n")), "{text}");
        assert!(!text.contains("Not found"), "{text}");
        assert!(!text.contains("not shown"), "{text}");
        let heads = text.lines().filter(|line| !line.starts_with(['#', ' ']));
        let heads: Vec<&str> = heads.filter(|line| !line.is_empty()).collect();
        assert_eq!(heads.len(), found.len());
        for (head, gtid) in heads.iter().zip(&found) {
            assert!(head.starts_with(&format!("{gtid}  20")), "{head}");
        }
        assert!(text.contains("      + ("), "{text}");

        extra.insert(&"7-7-7".parse().unwrap());
        let text = reported(&extra, MOST);
        assert!(text.ends_with("exist): 7-7-7\n"), "{text}");
    }

    #[test]
    fn what_is_too_much_is_named_only() {
        let found = gtids(&pieces());
        let text = reported(&found.iter().cloned().collect(), 0);
        for gtid in &found {
            assert_eq!(text.matches(&format!("\n{gtid}  ")).count(), 1, "{text}");
        }
        let unshown = format!("# {} of them not shown", found.len());
        assert!(text.contains(&unshown), "{text}");
        assert!(!text.contains("      + ("), "{text}");
    }

    #[test]
    fn only_a_complete_file_takes_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lost-and-found-db1-3.txt");
        fs::write(&path, "old").unwrap();
        fs::write(path.with_extension("txt.tmp"), "a crash left this").unwrap();
        let write = || {
            let (to, pieces) = mpsc::channel(1);
            drop(to);
            Draft::write(path.clone(), &owner(), GtidSet::new(), pieces).unwrap()
        };
        drop(write());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        write().keep(dir.path()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("# 0 transaction(s) found\n"), "{text}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1);
    }
}

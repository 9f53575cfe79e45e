//! The failing disk (`tests/faildisk/faildisk.c`) around one proxy's binlog folder.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faildisk/faildisk.c");
/// How the names of binlog files begin; the state files beside them are spared.
const BINLOGS: &str = "binlog.0";

#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Pass,
    /// fsyncs of binlog files wait until the next mode.
    HangSync,
    /// Those of the binlog file of this number.
    HangSyncOf(u32),
    /// So many fsyncs of binlog files fail.
    FailSync(u32),
    FailEverySync,
    /// Of all files of the folder: so many fsyncs work, the one behind fails.
    NthSync(u32),
    /// Of all files of the folder: so many writes work, the one behind finds no space.
    NthWrite(u32),
    /// Every file of the folder: no more than so many bytes.
    NoSpaceAfter(u64),
    /// The next write to a binlog file takes so many bytes and fails.
    TornWrite(u64),
    /// The same, and the process dies with it.
    TornKill(u64),
}

/// One line of the layer's log.
#[derive(Clone, Debug)]
pub struct Call {
    pub what: String,
    pub outcome: String,
    pub inode: u64,
    pub fd: i32,
    /// Of the file, before the call.
    pub length: u64,
    pub name: String,
}

pub struct FailingDisk {
    folder: TempDir,
    dir: PathBuf,
    sequence: AtomicU64,
    /// What was on disk before the layer came: inode and length.
    before: Mutex<HashMap<u64, u64>>,
}

impl FailingDisk {
    /// Compiles the layer. It acts on the files in `dir`.
    pub fn build(dir: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ackline-e2e-faildisk-")
            .tempdir()
            .unwrap();
        let compiled = Command::new("cc")
            .args([
                "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o",
            ])
            .arg(folder.path().join("faildisk.so"))
            .arg(SOURCE)
            .output()
            .expect("a C compiler");
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let disk = Self {
            folder,
            dir: fs::canonicalize(dir).unwrap(),
            sequence: AtomicU64::new(0),
            before: Mutex::default(),
        };
        disk.set(Mode::Pass);
        disk
    }

    /// With what the process is to be started. What the folder holds now counts as safe on disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        *self.before.lock() = self
            .files()
            .into_iter()
            .map(|(_, metadata)| (metadata.ino(), metadata.len()))
            .collect();
        let _ = fs::remove_file(self.path("log"));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.path("faildisk.so"))),
            ("FAILDISK_DIR".to_owned(), text(&self.dir)),
            ("FAILDISK_CTL".to_owned(), text(&self.path("control"))),
            ("FAILDISK_LOG".to_owned(), text(&self.path("log"))),
        ]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes effect at once.
    pub fn set(&self, mode: Mode) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let order = match mode {
            Mode::Pass => "pass 0".to_owned(),
            Mode::HangSync => format!("hang-sync 0 {BINLOGS}"),
            Mode::HangSyncOf(number) => format!("hang-sync 0 binlog.{number:06}"),
            Mode::FailSync(times) => format!("fail-sync {times} {BINLOGS}"),
            Mode::FailEverySync => format!("fail-sync -1 {BINLOGS}"),
            Mode::NthSync(passing) => format!("nth-sync {passing}"),
            Mode::NthWrite(passing) => format!("nth-write {passing}"),
            Mode::NoSpaceAfter(bytes) => format!("enospc {bytes}"),
            Mode::TornWrite(bytes) => format!("torn-write {bytes} {BINLOGS}"),
            Mode::TornKill(bytes) => format!("torn-kill {bytes} {BINLOGS}"),
        };
        let new = self.path("control.new");
        fs::write(&new, format!("{sequence} {order}\n")).unwrap();
        fs::rename(new, self.path("control")).unwrap();
    }

    pub fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().filter_map(parse).collect()
    }

    /// Those with this outcome.
    pub fn failed(&self, what: &str, outcome: &str) -> Vec<Call> {
        self.calls()
            .into_iter()
            .filter(|call| call.what == what && call.outcome == outcome)
            .collect()
    }

    /// No descriptor is synced again once a sync of its file has failed (until the name begins anew).
    pub fn assert_no_sync_after_a_failed_one(&self) {
        let mut failed: HashMap<u64, Call> = HashMap::new();
        for call in self.calls() {
            match (call.what.as_str(), call.outcome.as_str()) {
                ("create", _) => {
                    failed.remove(&call.inode);
                }
                ("sync", "EIO") => {
                    let earlier = failed.insert(call.inode, call.clone());
                    assert!(
                        earlier.is_none(),
                        "synced again after {earlier:?}: {call:?}"
                    );
                }
                ("sync", _) => assert!(
                    !failed.contains_key(&call.inode),
                    "synced after {:?}: {call:?}",
                    failed[&call.inode]
                ),
                _ => {}
            }
        }
    }

    /// Takes away what was never synced, as a power cut may. For a process that is dead. What it took,
    /// in words.
    pub fn cut_power(&self) -> Vec<String> {
        let mut safe = self.before.lock().clone();
        for call in self.calls() {
            match (call.what.as_str(), call.outcome.as_str()) {
                ("create", _) => {
                    safe.remove(&call.inode);
                }
                ("sync", "ok") => {
                    safe.insert(call.inode, call.length);
                }
                _ => {}
            }
        }
        let mut lost = Vec::new();
        for (path, metadata) in self.files() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match safe.get(&metadata.ino()) {
                None => {
                    fs::remove_file(&path).unwrap();
                    lost.push(format!("{name}: all of it"));
                }
                Some(length) if *length < metadata.len() => {
                    fs::OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .unwrap()
                        .set_len(*length)
                        .unwrap();
                    lost.push(format!(
                        "{name}: {} bytes from {length} on",
                        metadata.len() - length
                    ));
                }
                Some(_) => {}
            }
        }
        lost
    }

    fn files(&self) -> Vec<(PathBuf, fs::Metadata)> {
        let entries = fs::read_dir(&self.dir).unwrap().flatten();
        entries
            .map(|entry| (entry.path(), entry.metadata().unwrap()))
            .filter(|(_, metadata)| metadata.is_file())
            .collect()
    }
}

fn parse(line: &str) -> Option<Call> {
    let mut words = line.splitn(6, ' ');
    Some(Call {
        what: words.next()?.to_owned(),
        outcome: words.next()?.to_owned(),
        inode: words.next()?.parse().ok()?,
        fd: words.next()?.parse().ok()?,
        length: words.next()?.parse().ok()?,
        name: words.next()?.to_owned(),
    })
}

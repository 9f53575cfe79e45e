//! Processes, found by their command line and signalled by pid.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

const GONE_WITHIN: Duration = Duration::from_secs(60);

/// Those whose command line holds every one of `words`, each as a whole argument. A zombie has no
/// command line.
pub fn find(words: &[&str]) -> Vec<i32> {
    select(|arguments| words.iter().all(|word| arguments.contains(word)))
}

/// Those that name something below `path` in an argument, or `path` itself.
pub fn below(path: &str) -> Vec<i32> {
    let inside = format!("{path}/");
    select(|arguments| {
        arguments
            .iter()
            .any(|argument| argument.ends_with(path) || argument.contains(&inside))
    })
}

fn select(wanted: impl Fn(&[&str]) -> bool) -> Vec<i32> {
    let own = std::process::id() as i32;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line);
        let arguments: Vec<&str> = line.split_terminator('\0').collect();
        if pid != own && wanted(&arguments) {
            found.push(pid);
        }
    }
    found
}

/// Whether it went to somebody. A process that is stopped does nothing more when this returns.
pub fn signal(pid: i32, signal: Signal) -> bool {
    let sent = kill_process(Pid::from_raw(pid).expect("a pid"), signal).is_ok();
    if sent && signal == Signal::STOP {
        wait_stopped(pid);
    }
    sent
}

/// One of its threads has to run first, to stop the others; on a busy machine these acknowledge meanwhile.
fn wait_stopped(pid: i32) {
    let deadline = Instant::now() + GONE_WITHIN;
    let stopped = |task: fs::DirEntry| match fs::read_to_string(task.path().join("stat")) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, state)| state.starts_with(['T', 't', 'Z', 'X'])),
        // It has ended.
        Err(_) => true,
    };
    let all_stopped = || match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(mut tasks) => tasks.all(|task| task.is_ok_and(stopped)),
        Err(_) => true,
    };
    while !all_stopped() {
        assert!(Instant::now() < deadline, "process {pid} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// True for a zombie whose other threads have ended: all that it had is given back. Its memory, and
/// with it its command line, goes before its sockets do.
pub fn is_gone(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let state = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.starts_with(['Z', 'X']) && threads <= 1
}

pub fn wait_gone(pid: i32) {
    let deadline = Instant::now() + GONE_WITHIN;
    while !is_gone(pid) {
        assert!(Instant::now() < deadline, "process {pid} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident: u64,
    /// Since it began, or since [`forget_peak`].
    pub peak: u64,
}

pub fn memory(pid: i32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let bytes = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let kilobytes = value.split_whitespace().next().unwrap();
        kilobytes.parse::<u64>().unwrap() << 10
    };
    Memory {
        resident: bytes("VmRSS:"),
        peak: bytes("VmHWM:"),
    }
}

pub fn forget_peak(pid: i32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

//! Which processes are this sandbox's, and how they are ended.
//!
//! Recognised by their command line, which names our folder in exactly the form in which we start
//! them; an editor that has our `my.cnf` open is not one of them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use tokio::time::{Instant, timeout_at};

use super::{Error, Folder, Report};

const AFTER_KILL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
const SERVERS: [&str; 2] = ["mariadbd", "mysqld"];
/// Makes MariaDB's data directories; MySQL's server does so itself.
const INSTALLER: &str = "mariadb-install-db";
/// How deep in a command line the program may stand: behind `setsid` and an interpreter, or behind a
/// loader with `--library-path PATH` (`deploy/unpack.sh`).
const PROGRAM_WITHIN: usize = 5;

/// A running process; the descriptor keeps naming it even when its pid is given to another.
#[derive(Debug)]
pub(super) struct Process {
    /// Which part of the sandbox it is.
    what: String,
    pid: Pid,
    descriptor: OwnedFd,
}

impl Process {
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Stopped with SIGSTOP: it runs, and answers nobody.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The state follows the name, which may hold blanks and parentheses (proc_pid_stat(5)).
        let state = stat.rsplit_once(") ").map(|(_, after_name)| after_name);
        state.is_some_and(|state| state.starts_with('T'))
    }

    /// False where it is gone already.
    fn signal(&self, signal: Signal) -> Result<bool, Error> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(Error::io(format!("signalling process {}", self.pid()))(
                error.into(),
            )),
        }
    }

    /// Resolves when it is dead, also where nobody buries it (a container without an init).
    async fn ended(&self) -> Result<(), Error> {
        // A pidfd becomes readable when its process ends (pidfd_open(2)).
        loop {
            let mut watched = [PollFd::new(&self.descriptor, PollFlags::IN)];
            match poll(&mut watched, Some(&Timespec::default())) {
                Ok(0) | Err(Errno::INTR) => tokio::time::sleep(LOOK).await,
                Ok(_) => return Ok(()),
                Err(error) => {
                    return Err(Error::io(format!("watching process {}", self.pid()))(
                        error.into(),
                    ));
                }
            }
        }
    }
}

/// The server whose option file is `server/my.cnf`.
pub(super) fn server_of(server: &Path) -> Option<Process> {
    let form = option("--defaults-file=", &server.join("my.cnf"));
    find(|arguments| {
        let is_ours = is_program(arguments, &SERVERS) && arguments.contains(&form);
        is_ours.then(|| "server".to_owned())
    })
    .pop()
}

pub(super) fn proxies_of(folder: &Folder) -> Vec<Process> {
    let config = folder.config();
    find(|arguments| is_proxy(arguments, &config).then(|| "proxy".to_owned()))
}

/// Everything that was started for this folder: servers, installations, proxies, also where they
/// still are the `setsid` or shell that becomes them.
pub(super) fn all_of(folder: &Folder) -> Vec<Process> {
    let config = folder.config();
    let forms = [
        option("--defaults-file=", &folder.root).into_vec(),
        option("--datadir=", &folder.root).into_vec(),
    ];
    // `DIR/source/my.cnf` is of the part "source".
    let part = |argument: &OsString| {
        forms.iter().find_map(|form| {
            let rest = argument.as_bytes().strip_prefix(form.as_slice())?;
            let name = rest.strip_prefix(b"/")?.split(|byte| *byte == b'/').next();
            name.map(|name| String::from_utf8_lossy(name).into_owned())
        })
    };
    find(|arguments| {
        if is_proxy(arguments, &config) {
            Some("proxy".to_owned())
        } else if is_program(arguments, &SERVERS) || is_program(arguments, &[INSTALLER]) {
            arguments.iter().find_map(part)
        } else {
            None
        }
    })
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// `…/ackline serve --config DIR/config.toml`, perhaps still behind `setsid`.
fn is_proxy(arguments: &[OsString], config: &Path) -> bool {
    arguments.windows(3).any(|three| {
        three[0].as_os_str() == OsStr::new("serve")
            && three[1].as_os_str() == OsStr::new("--config")
            && three[2].as_os_str() == config.as_os_str()
    })
}

/// Whether it runs one of the programs, or is about to: a script's interpreter, a loader and `setsid`
/// have the program as an argument of theirs.
fn is_program(arguments: &[OsString], programs: &[&str]) -> bool {
    arguments.iter().take(PROGRAM_WITHIN).any(|argument| {
        let name = Path::new(argument).file_name();
        name.is_some_and(|name| programs.iter().any(|program| name == OsStr::new(program)))
    })
}

fn find(which_part: impl Fn(&[OsString]) -> Option<String>) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = rustix::process::getpid();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            which_part(&arguments(pid.as_raw_nonzero().get()))?;
            let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            // Asked again now that the descriptor holds the process: the pid may have changed hands.
            let what = which_part(&arguments(pid.as_raw_nonzero().get()))?;
            Some(Process {
                what,
                pid,
                descriptor,
            })
        })
        .collect()
}

/// The command line; empty for one that is gone or a zombie.
fn arguments(pid: i32) -> Vec<OsString> {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return Vec::new();
    };
    line.split(|byte| *byte == 0)
        .filter(|argument| !argument.is_empty())
        .map(|argument| OsString::from_vec(argument.to_vec()))
        .collect()
}

/// SIGTERM to all, then SIGKILL to those that are left at the deadline. Returns how many there were.
pub(super) async fn stop(
    processes: Vec<Process>,
    deadline: Duration,
    report: Report<'_>,
) -> Result<usize, Error> {
    let count = processes.len();
    for process in &processes {
        report(&format!(
            "stopping {} (pid {})",
            process.what,
            process.pid()
        ));
        process.signal(Signal::TERM)?;
        // One that was stopped with SIGSTOP would not hear it.
        process.signal(Signal::CONT)?;
    }
    let by = Instant::now() + deadline;
    let mut late = Vec::new();
    for process in &processes {
        match timeout_at(by, process.ended()).await {
            Ok(ended) => ended?,
            Err(_) => late.push(process),
        }
    }
    for process in &late {
        report(&format!(
            "{} (pid {}) does not leave within {} s: SIGKILL",
            process.what,
            process.pid(),
            deadline.as_secs()
        ));
        process.signal(Signal::KILL)?;
    }
    let by = Instant::now() + AFTER_KILL;
    for process in late {
        match timeout_at(by, process.ended()).await {
            Ok(ended) => ended?,
            Err(_) => {
                return Err(Error::Immortal {
                    pid: process.pid(),
                    what: process.what.clone(),
                });
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_proxy_is_told_from_those_who_look_at_its_files() {
        let config = Path::new("/s/config.toml");
        let is = |arguments: &[&str]| is_proxy(&line(arguments), config);
        assert!(is(&[
            "/usr/bin/ackline",
            "serve",
            "--config",
            "/s/config.toml"
        ]));
        assert!(is(&[
            "setsid",
            "ackline",
            "serve",
            "--config",
            "/s/config.toml"
        ]));
        assert!(!is(&["ackline", "status", "--config", "/s/config.toml"]));
        assert!(!is(&["ackline", "serve", "--config", "/s2/config.toml"]));
        assert!(!is(&["vim", "/s/config.toml"]));
    }

    #[test]
    fn a_server_is_told_from_its_clients() {
        let is = |arguments: &[&str]| is_program(&line(arguments), &SERVERS);
        assert!(is(&["mariadbd", "--defaults-file=/s/source/my.cnf"]));
        assert!(is(&["setsid", "/usr/sbin/mariadbd", "--user=root"]));
        assert!(is(&[
            "/m/lib/ld-linux-x86-64.so.2",
            "--library-path",
            "/m/lib",
            "/m/bin/../usr/sbin/mysqld",
            "--defaults-file=/s/source/my.cnf"
        ]));
        assert!(!is(&["mysql", "--defaults-file=/s/source/my.cnf"]));
        assert!(!is(&["mariadb", "--defaults-file=/s/source/my.cnf"]));
        assert!(!is(&["tail", "-f", "/s/source/server.log"]));
    }

    #[tokio::test]
    async fn a_process_that_ignores_sigterm_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let folder = Folder { root };
        // A shell that looks like a server of the folder, and will not go.
        let script = folder.root.join("mariadbd");
        fs::write(&script, "trap '' TERM\necho ready\nread line\n").unwrap();
        let mut child = std::process::Command::new("sh")
            .arg(&script)
            .arg(option("--defaults-file=", &folder.root.join("a/my.cnf")))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let found = all_of(&folder);
        assert_eq!(found.len(), 1);
        assert!(server_of(&folder.root.join("a")).is_some());
        assert!(server_of(&folder.root.join("b")).is_none());
        let stopped = stop(found, Duration::from_millis(200), &|_| ()).await;
        assert_eq!(stopped.unwrap(), 1);
        assert!(all_of(&folder).is_empty());
        child.wait().unwrap();
    }
}

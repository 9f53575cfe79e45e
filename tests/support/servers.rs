//! Parts of a sandbox as they die, are stopped, and are started again.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ackline::ids::Flavor;

use super::database::Account;
use super::mysql;
use super::process::{self, Signal};
use super::sandbox::{ACKLINE, Part, Sandbox};

impl Sandbox {
    /// None where it is dead.
    pub fn pid(&self, part: Part) -> Option<i32> {
        match part {
            Part::Proxy => process::find(&["serve", "--config", &self.config_path()]).pop(),
            _ => process::find(&[&self.options_argument(part)]).pop(),
        }
    }

    fn options_argument(&self, part: Part) -> String {
        format!(
            "--defaults-file={}",
            self.server_dir(part).join("my.cnf").display()
        )
    }

    pub fn server_dir(&self, part: Part) -> PathBuf {
        match part {
            Part::Proxy => panic!("the proxy is no server"),
            Part::Source => self.dir.join("source"),
            Part::Replica(index) => self.dir.join(&self.manifest.replicas[index].name),
        }
    }

    pub fn signal(&self, part: Part, signal: Signal) {
        self.signalled(part, signal);
    }

    /// To whom it went.
    fn signalled(&self, part: Part, signal: Signal) -> i32 {
        let pid = self
            .pid(part)
            .unwrap_or_else(|| panic!("{part:?} does not run"));
        assert!(process::signal(pid, signal), "{part:?} left in this moment");
        pid
    }

    /// kill -9.
    pub fn kill(&self, part: Part) {
        self.end(part, Signal::KILL);
    }

    /// A clean shutdown.
    pub fn stop(&self, part: Part) {
        self.end(part, Signal::TERM);
    }

    /// Where the test is about what it holds, not how it left: a MySQL source takes ten seconds to leave in order.
    pub fn stop_soon(&self, part: Part) {
        match self.manifest.flavor {
            Flavor::MariaDb => self.stop(part),
            Flavor::MySql => self.kill(part),
        }
    }

    fn end(&self, part: Part, signal: Signal) {
        let pid = self
            .pid(part)
            .unwrap_or_else(|| panic!("{part:?} does not run"));
        process::signal(pid, signal);
        process::wait_gone(pid);
        self.bury();
    }

    /// kill -9, and back at once: what happens in between is the caller's question. Then
    /// [`Self::wait_dead`] with the pid, which is not found any more while the process still has its sockets.
    pub fn kill_now(&self, part: Part) -> i32 {
        self.signalled(part, Signal::KILL)
    }

    pub fn wait_dead(&self, pid: i32) {
        process::wait_gone(pid);
        self.bury();
    }

    /// Starts a part that is dead, as an init system would: the part's own command and nothing more.
    pub fn start(&self, part: Part) {
        self.start_with(part, &[]);
    }

    pub fn start_with(&self, part: Part, environment: &[(String, String)]) {
        let mut command = match (part, self.manifest.flavor) {
            (Part::Proxy, _) => {
                let mut command = Command::new(ACKLINE);
                command.args(["serve", "--config", &self.config_path()]);
                command
            }
            (_, Flavor::MariaDb) => Command::new("mariadbd"),
            (_, Flavor::MySql) => Command::new(mysql::program("mysqld")),
        };
        command.envs(environment.iter().cloned());
        self.start_by(part, command);
    }

    /// By a program of the caller's, of another version perhaps.
    pub fn start_by(&self, part: Part, mut command: Command) {
        assert!(self.pid(part).is_none(), "{part:?} runs already");
        if part != Part::Proxy {
            command.arg(self.options_argument(part));
        }
        let log = match part {
            Part::Proxy => self.dir.join("proxy.log"),
            _ => self.server_dir(part).join("server.log"),
        };
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let errors = output.try_clone().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .current_dir("/")
            .spawn()
            .unwrap_or_else(|error| panic!("{part:?}: {error}"));
        self.children.lock().push(child);
    }

    /// The statement by which a server follows us from where it is.
    pub fn change_master(&self) -> String {
        let Account {
            host,
            port,
            user,
            password,
            ..
        } = &self.manifest.replication;
        match self.manifest.flavor {
            Flavor::MariaDb => format!(
                "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{user}', \
                 MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
            ),
            Flavor::MySql => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_USER='{user}', \
                 SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_SSL=0, \
                 GET_SOURCE_PUBLIC_KEY=1"
            ),
        }
    }

    /// SIGSTOP for both replicas, or however many there are.
    pub fn freeze_replicas(&self) {
        (0..self.manifest.replicas.len())
            .for_each(|index| self.signal(Part::Replica(index), Signal::STOP));
    }

    pub fn thaw_replicas(&self) {
        (0..self.manifest.replicas.len())
            .for_each(|index| self.signal(Part::Replica(index), Signal::CONT));
    }

    /// A copy of the data directory of a server that does not run.
    pub fn keep_data(&self, part: Part, name: &str) {
        assert!(self.pid(part).is_none(), "{part:?} runs");
        copy(&self.data(part), &self.kept(part, name));
    }

    pub fn restore_data(&self, part: Part, name: &str) {
        assert!(self.pid(part).is_none(), "{part:?} runs");
        self.remove_data(part);
        copy(&self.kept(part, name), &self.data(part));
    }

    /// As a cold copy does, between two servers that do not run.
    pub fn copy_data(&self, from: Part, to: Part) {
        assert!(self.pid(from).is_none() && self.pid(to).is_none());
        self.remove_data(to);
        copy(&self.data(from), &self.data(to));
    }

    pub fn remove_data(&self, part: Part) {
        assert!(self.pid(part).is_none(), "{part:?} runs");
        fs::remove_dir_all(self.data(part)).unwrap();
    }

    pub fn data(&self, part: Part) -> PathBuf {
        self.server_dir(part).join("data")
    }

    fn kept(&self, part: Part, name: &str) -> PathBuf {
        self.server_dir(part).join(format!("kept-{name}"))
    }

    /// Takes the lines with this word out of a server's options; takes effect at its next start.
    pub fn remove_options(&self, part: Part, word: &str) {
        let path = self.server_dir(part).join("my.cnf");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains(word)).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }

    /// Adds a line to a server's options; takes effect at its next start.
    pub fn add_option(&self, part: Part, line: &str) {
        let path = self.server_dir(part).join("my.cnf");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}\n{line}\n")).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = Command::new("cp")
        .args(["-a", "--reflink=auto", "--"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

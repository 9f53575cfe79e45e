//! sysbench through an account.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::database::Account;
use super::process::{self, Signal};

pub struct Sysbench {
    /// `oltp_read_write`, say.
    pub mix: &'static str,
    pub account: Account,
    pub tables: u32,
    pub rows: u32,
    pub threads: u32,
}

impl Sysbench {
    fn command(&self) -> Command {
        let Self { account, .. } = self;
        let mut command = Command::new("sysbench");
        command
            .args([self.mix, "--db-driver=mysql"])
            .arg(format!("--mysql-host={}", account.host))
            .arg(format!("--mysql-port={}", account.port))
            .arg(format!("--mysql-user={}", account.user))
            .arg(format!("--mysql-password={}", account.password))
            .arg(format!("--tables={}", self.tables))
            .arg(format!("--table-size={}", self.rows))
            .arg(format!("--threads={}", self.threads));
        if let Some(database) = &account.database {
            command.arg(format!("--mysql-db={database}"));
        }
        command
    }

    pub fn prepare(&self) {
        said(self.command().arg("prepare").output().expect("sysbench"));
    }

    /// Its report.
    pub fn run(&self, seconds: u64) -> String {
        let mut command = self.command();
        command.args(["--report-interval=10", &format!("--time={seconds}"), "run"]);
        said(command.output().expect("sysbench"))
    }

    /// Again and again: it ends when one of its sessions has to leave (its own way of connecting again does not work
    /// with MariaDB's client library).
    pub fn begin(&self) -> Running {
        let shared = Arc::<Shared>::default();
        let mut command = self.command();
        command.args(["--report-interval=1", "--time=0", "run"]);
        let keeper = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.keep(command)
        });
        Running { shared, keeper }
    }
}

#[derive(Default)]
struct Shared {
    transactions: AtomicU64,
    /// Whether it has to end, and the one that runs.
    child: Mutex<(bool, Option<u32>)>,
}

impl Shared {
    /// What each one that ended said of why.
    fn keep(&self, mut command: Command) -> Vec<String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut ended = Vec::new();
        loop {
            let mut child = {
                let mut running = self.child.lock();
                if running.0 {
                    return ended;
                }
                let child = command.spawn().expect("sysbench");
                running.1 = Some(child.id());
                child
            };
            let mut said = String::new();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let each_second = number_behind(&line, "tps: ").unwrap_or(0.0);
                self.transactions
                    .fetch_add(each_second as u64, Ordering::Relaxed);
                if line.contains("FATAL") {
                    said.push_str(&line);
                }
            }
            let output = child.wait_with_output().unwrap();
            said.push_str(&String::from_utf8_lossy(&output.stderr));
            let mut running = self.child.lock();
            running.1 = None;
            if !running.0 {
                ended.push(said);
            }
        }
    }
}

fn said(output: Output) -> String {
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        output.status.success() && !said.contains("FATAL"),
        "sysbench: {said}"
    );
    said
}

/// The number behind a label of one of its lines.
pub fn number_behind(line: &str, label: &str) -> Option<f64> {
    let (_, behind) = line.split_once(label)?;
    behind.split_whitespace().next()?.parse().ok()
}

pub struct Running {
    shared: Arc<Shared>,
    keeper: JoinHandle<Vec<String>>,
}

impl Running {
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// What was said each time that it ended before.
    pub fn end(self) -> Vec<String> {
        {
            let mut running = self.shared.child.lock();
            running.0 = true;
            if let Some(pid) = running.1 {
                process::signal(pid as i32, Signal::KILL);
            }
        }
        self.keeper.join().unwrap()
    }
}

//! sysbench through an account.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::database::Account;

/// What it tries again by itself, and a session that has to leave: sysbench ends at any other error.
const BORNE: &str = "--mysql-ignore-errors=1213,1020,1205,1053,2006,2013";

pub struct Sysbench {
    /// `oltp_read_write`, say.
    pub mix: &'static str,
    pub account: Account,
    pub tables: u32,
    pub rows: u32,
    pub threads: u32,
}

impl Sysbench {
    pub fn is_installed() -> bool {
        Command::new("sysbench").arg("--version").output().is_ok()
    }

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

    /// It bears that its sessions have to leave.
    pub fn begin(&self) -> Running {
        let mut child = self
            .command()
            .args([BORNE, "--report-interval=1", "--time=0", "run"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sysbench");
        let transactions = Arc::new(AtomicU64::new(0));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let counts = Arc::clone(&transactions);
        let reader = std::thread::spawn(move || {
            let mut reconnects = 0;
            for line in lines.map_while(Result::ok) {
                let each_second = |label| number_behind(&line, label).unwrap_or(0.0) as u64;
                counts.fetch_add(each_second("tps: "), Ordering::Relaxed);
                reconnects += each_second("reconn/s: ");
            }
            reconnects
        });
        Running {
            child,
            transactions,
            reader,
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
    child: Child,
    transactions: Arc<AtomicU64>,
    reader: JoinHandle<u64>,
}

impl Running {
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// It has not given up; then it is stopped. How often it connected again.
    pub fn end(mut self) -> u64 {
        let gave_up = self.child.try_wait().unwrap();
        self.child.kill().ok();
        let output = self.child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(gave_up.is_none(), "sysbench gave up: {errors}");
        self.reader.join().unwrap()
    }
}

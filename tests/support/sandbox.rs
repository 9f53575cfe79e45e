//! A source, two replicas and the proxy, all real, in a folder of their own. They go away with the
//! value, also when the test panics; then the ends of their logs are printed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use ackline::ids::Flavor;
use parking_lot::Mutex;
use serde::Deserialize;
use tempfile::TempDir;

use super::database::{self, Account};
use super::http::{self, Answer};
use super::ports::Ports;
use super::process::{self, Signal};
use super::status::Status;
use super::{SOON, template, wait_until};

pub const ACKLINE: &str = env!("CARGO_BIN_EXE_ackline");
const LINES_SHOWN: usize = 60;

/// One sandbox at a time in each test program: the machine has two cores.
static ALONE: LazyLock<tokio::sync::Mutex<()>> = LazyLock::new(Default::default);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Proxy,
    Source,
    /// Counted from 0.
    Replica(usize),
}

/// `sandbox.json`.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub flavor: Flavor,
    pub app: Account,
    pub replication: Account,
    pub admin: Admin,
    pub config: PathBuf,
    pub binlog_dir: PathBuf,
    pub source: Server,
    pub replicas: Vec<Server>,
    pub proxy: Proxy,
}

#[derive(Debug, Deserialize)]
pub struct Admin {
    pub url: String,
    pub token: String,
}

#[derive(Debug, Deserialize)]
pub struct Server {
    pub name: String,
    pub pid: i32,
    #[serde(flatten)]
    pub account: Account,
}

#[derive(Debug, Deserialize)]
pub struct Proxy {
    pub pid: i32,
}

pub struct Sandbox {
    pub manifest: Manifest,
    pub dir: PathBuf,
    /// What the test itself started again; buried when it has died.
    pub(super) children: Mutex<Vec<Child>>,
    // Dropped after `drop` has ended every process, in this order.
    folder: Option<TempDir>,
    _ports: Ports,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Sandbox {
    /// In mode semi-sync.
    pub async fn of(flavor: Flavor) -> Self {
        Self::up(&["--mode", "semi-sync", "--flavor", &flavor.to_string()]).await
    }

    /// `ackline sandbox up` with these options beside folder and port.
    pub async fn up(options: &[&str]) -> Self {
        let alone = ALONE.lock().await;
        let ports = Ports::take();
        let folder = tempfile::Builder::new()
            .prefix("ackline-e2e-")
            .tempdir()
            .unwrap();
        let dir = fs::canonicalize(folder.path()).unwrap();
        let started = Started {
            dir: dir.clone(),
            armed: true,
        };
        template::provide(&dir, ports.base, options);
        let port = ports.base.to_string();
        let mut arguments = vec![
            "sandbox",
            "up",
            "--dir",
            dir.to_str().unwrap(),
            "--port",
            &port,
        ];
        arguments.extend(options);
        let output = run(&arguments);
        assert!(
            output.status.success(),
            "ackline sandbox up: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let manifest = read_manifest(&dir);
        started.disarm();
        Self {
            manifest,
            dir,
            children: Mutex::default(),
            folder: Some(folder),
            _ports: ports,
            _alone: alone,
        }
    }

    pub fn config_path(&self) -> String {
        self.manifest.config.display().to_string()
    }

    /// Through the proxy, as an application.
    pub fn app(&self) -> &Account {
        &self.manifest.app
    }

    /// At the source itself, as its administrator.
    pub fn source(&self) -> Account {
        self.direct(&self.manifest.source)
    }

    pub fn replica(&self, index: usize) -> Account {
        self.direct(&self.manifest.replicas[index])
    }

    pub fn replicas(&self) -> Vec<Account> {
        self.manifest
            .replicas
            .iter()
            .map(|replica| self.direct(replica))
            .collect()
    }

    fn direct(&self, server: &Server) -> Account {
        Account {
            database: self.manifest.app.database.clone(),
            ..server.account.clone()
        }
    }

    /// The table that the tests' commits go into, everywhere.
    pub async fn create_seen(&self) {
        let create = "CREATE TABLE seen (n INT PRIMARY KEY) ENGINE=InnoDB";
        self.app().connect().await.run(create).await;
        self.assert_equal().await;
    }

    /// Source and replicas hold the same, once the replicas have caught up.
    pub async fn assert_equal(&self) {
        if let Err(difference) = database::wait_equal(&self.source(), &self.replicas(), SOON).await
        {
            panic!("{difference}");
        }
    }

    pub async fn try_status(&self) -> Result<Status, String> {
        let answer = self
            .request("GET", "/api/v1/status", "")
            .await
            .map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.body));
        }
        serde_json::from_str(&answer.body)
            .map(Status)
            .map_err(|error| error.to_string())
    }

    pub async fn status(&self) -> Status {
        self.try_status().await.unwrap()
    }

    /// Polls until the document is as wanted.
    pub async fn status_until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Status {
        wait_until(what, within, async || {
            let status = self.try_status().await?;
            if wanted(&status) {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        })
        .await
    }

    pub async fn serves(&self) {
        self.status_until("the source is attached", SOON, |status| {
            status.text("source.state") == "attached"
        })
        .await;
    }

    /// Everybody but the present source: whoever is moved to next can become it at once.
    pub async fn all_vote(&self) {
        let Manifest {
            source, replicas, ..
        } = &self.manifest;
        self.status_until("all others vote", SOON, |status| {
            let present = status.text("source.name");
            std::iter::once(source)
                .chain(replicas)
                .filter(|server| server.name != present)
                .all(|server| {
                    let row = status.replica(&server.name);
                    row.is_some_and(|row| row.flag("vote"))
                })
        })
        .await;
    }

    /// A call without the token.
    pub async fn request(&self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        http::request(
            method,
            &format!("{}{path}", self.manifest.admin.url),
            None,
            body,
        )
        .await
    }

    /// With the token.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        let Admin { url, token } = &self.manifest.admin;
        let url = format!("{url}{path}");
        http::request("POST", &url, Some(token), &body.to_string())
            .await
            .unwrap()
    }

    pub async fn put_sync(&self, change: serde_json::Value) -> Answer {
        let Admin { url, token } = &self.manifest.admin;
        http::request(
            "PUT",
            &format!("{url}/api/v1/sync"),
            Some(token),
            &change.to_string(),
        )
        .await
        .unwrap()
    }

    /// Changes `[sync]` and insists on it.
    pub async fn sync(&self, change: serde_json::Value) {
        let answer = self.put_sync(change).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    pub fn config(&self) -> String {
        fs::read_to_string(&self.manifest.config).unwrap()
    }

    /// Saves the file as an editor does: a new file in the place of the old one.
    pub fn save_config(&self, text: &str) {
        let path = &self.manifest.config;
        let new = path.with_extension("new");
        let mut file = fs::File::create(&new).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Changes one line of the file, found by how it begins.
    pub fn edit_config(&self, begins: &str, line: &str) {
        let text = self.config();
        assert!(
            text.lines().any(|old| old.starts_with(begins)),
            "no line begins with {begins}:\n{text}"
        );
        let edited = text
            .lines()
            .map(|old| if old.starts_with(begins) { line } else { old });
        self.save_config(&(edited.collect::<Vec<_>>().join("\n") + "\n"));
    }

    /// A command of the one binary, on this proxy's configuration.
    pub fn ackline(&self, arguments: &[&str]) -> Output {
        let config = self.config_path();
        let mut all = arguments.to_vec();
        all.extend(["--config", &config]);
        run(&all)
    }

    /// `ackline sandbox up` on what is there.
    pub fn up_again(&self) -> Output {
        run(&["sandbox", "up", "--dir", self.dir.to_str().unwrap()])
    }

    /// Everything that the proxy logged since the sandbox was made.
    pub fn proxy_log(&self) -> String {
        fs::read_to_string(self.dir.join("proxy.log")).unwrap_or_default()
    }

    pub async fn logged(&self, what: &str) {
        wait_until(&format!("'{what}' in the proxy's log"), SOON, async || {
            if self.proxy_log().contains(what) {
                Ok(())
            } else {
                Err("it is not there")
            }
        })
        .await;
    }

    pub fn show_logs(&self) {
        show_logs(&self.dir);
    }

    /// Gives the system back the children that have died.
    pub(super) fn bury(&self) {
        self.children
            .lock()
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

pub(super) fn run(arguments: &[&str]) -> Output {
    Command::new(ACKLINE)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn read_manifest(dir: &Path) -> Manifest {
    serde_json::from_str(&fs::read_to_string(dir.join("sandbox.json")).unwrap()).unwrap()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(&self.dir);
        }
        end_all(&self.dir);
        self.bury();
        for child in self.children.lock().iter_mut() {
            let _ = child.wait();
        }
        if std::thread::panicking() && std::env::var_os("ACKLINE_KEEP").is_some() {
            eprintln!("kept: {}", self.folder.take().unwrap().keep().display());
        }
    }
}

/// Ends what a failed `up` may have left.
struct Started {
    dir: PathBuf,
    armed: bool,
}

impl Started {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.armed {
            show_logs(&self.dir);
            end_all(&self.dir);
        }
    }
}

/// By pid, and again until none is left: one may just have been starting another.
fn end_all(dir: &Path) {
    loop {
        let left = process::below(dir.to_str().unwrap());
        if left.is_empty() {
            return;
        }
        for pid in &left {
            process::signal(*pid, Signal::KILL);
        }
        left.into_iter().for_each(process::wait_gone);
    }
}

fn show_logs(dir: &Path) {
    for log in [
        "source/server.log",
        "replica1/server.log",
        "replica2/server.log",
        "proxy.log",
    ] {
        let text = fs::read(dir.join(log)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LINES_SHOWN);
        eprintln!("---- the end of {log}");
        lines[first..].iter().for_each(|line| eprintln!("{line}"));
    }
    eprintln!("----");
}

//! What is decided once for a sandbox and then stays.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folder::write_private;
use super::{Error, Folder};
use crate::ids::Flavor;

const DEFAULT_PORT: u16 = 13306;
const DEFAULT_REPLICAS: u16 = 2;
const DEFAULT_MODE: &str = "semi-sync";
const DEFAULT_FLAVOR: Flavor = Flavor::MariaDb;
const MODES: [&str; 4] = ["async", "semi-sync", "quorum", "sync"];
const PASSWORD_LENGTH: usize = 24;
const PORT_LEAVES: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// What the command line asks for; `None` where it does not say.
#[derive(Debug, Default)]
pub struct Request {
    pub dir: PathBuf,
    pub flavor: Option<Flavor>,
    pub replicas: Option<u16>,
    pub mode: Option<String>,
    pub port: Option<u16>,
    pub server_options: Vec<String>,
    /// Where the servers' `bin` is, if not where it is looked for by itself.
    pub server_root: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Where it was made: option files and data directories name this path.
    pub root: PathBuf,
    pub flavor: Flavor,
    pub replicas: u16,
    /// What `config.toml` was first written with; the file itself says what is in force.
    pub mode: String,
    #[serde(rename = "port")]
    pub ports: Ports,
    pub server_options: Vec<String>,
    #[serde(default)]
    pub server_root: Option<PathBuf>,
    pub app: Account,
    pub database: String,
    /// May do everything on every server.
    pub admin: Account,
    /// The proxy's own account on every server.
    pub ackline: Account,
    /// What replicas log in with at the replication port; no server knows it.
    pub replication: Account,
    /// For changing calls of the admin address.
    pub token: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub user: String,
    pub password: String,
}

impl Plan {
    /// The plan of an existing sandbox, if the request does not contradict it; else a new one, saved.
    pub async fn load_or_decide(folder: &Folder, request: &Request) -> Result<Self, Error> {
        request.check()?;
        if let Some(plan) = Self::load(folder)? {
            plan.agree(folder, request)?;
            return Ok(plan);
        }
        let plan = Self::decide(folder, request)?;
        // Before it is saved: another try with another --port must not meet a plan with this one.
        plan.check_ports().await?;
        let text = serde_json::to_string_pretty(&plan).map_err(|error| Error::Unreadable {
            path: folder.plan(),
            reason: error.to_string(),
        })?;
        write_private(&folder.plan(), &(text + "\n"))?;
        Ok(plan)
    }

    pub fn load(folder: &Folder) -> Result<Option<Self>, Error> {
        let path = folder.plan();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("reading {}", path.display()))(error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::Unreadable {
                path,
                reason: error.to_string(),
            })
    }

    fn decide(folder: &Folder, request: &Request) -> Result<Self, Error> {
        let replicas = request.replicas.unwrap_or(DEFAULT_REPLICAS);
        let mode = request.mode.as_deref().unwrap_or(DEFAULT_MODE);
        if replicas == 0 && mode == DEFAULT_MODE {
            return Err(Error::Usage(
                "mode semi-sync waits for a replica: with --replicas 0 give --mode async".into(),
            ));
        }
        let account = |user: &str| -> Result<Account, Error> {
            Ok(Account {
                user: user.into(),
                password: secret()?,
            })
        };
        Ok(Self {
            root: folder.root.clone(),
            flavor: request.flavor.unwrap_or(DEFAULT_FLAVOR),
            replicas,
            mode: mode.into(),
            ports: Ports::new(request.port.unwrap_or(DEFAULT_PORT), replicas)?,
            server_options: request.server_options.clone(),
            server_root: request.server_root(),
            app: account("app")?,
            database: "app".into(),
            admin: account("admin")?,
            ackline: account("ackline")?,
            replication: account("replication")?,
            token: secret()?,
        })
    }

    async fn check_ports(&self) -> Result<(), Error> {
        self.ports.check_proxy().await?;
        self.ports.check(self.ports.source(), "the source").await?;
        for number in 1..=self.replicas {
            let port = self.ports.replica(number);
            self.ports.check(port, &format!("replica{number}")).await?;
        }
        Ok(())
    }

    fn agree(&self, folder: &Folder, request: &Request) -> Result<(), Error> {
        if self.root != folder.root {
            return Err(Error::Usage(format!(
                "the sandbox in {} was made in {}: its files name that path, move it back",
                folder.root.display(),
                self.root.display()
            )));
        }
        let dir = folder.root.display();
        let contradiction = |option: &str,
                             asked: &dyn std::fmt::Display,
                             is: &dyn std::fmt::Display| {
            Error::Usage(format!(
                "{option} {asked} contradicts the sandbox in {dir}, which was made with {is}: leave it out, or give another --dir"
            ))
        };
        if let Some(flavor) = request.flavor.filter(|flavor| *flavor != self.flavor) {
            return Err(contradiction("--flavor", &flavor, &self.flavor));
        }
        if let Some(port) = request.port.filter(|port| *port != self.ports.proxy()) {
            return Err(contradiction("--port", &port, &self.ports.proxy()));
        }
        if let Some(replicas) = request.replicas.filter(|count| *count != self.replicas) {
            return Err(contradiction("--replicas", &replicas, &self.replicas));
        }
        if !request.server_options.is_empty() && request.server_options != self.server_options {
            return Err(contradiction(
                "--server-option",
                &request.server_options.join(" "),
                &format!("'{}'", self.server_options.join(" ")),
            ));
        }
        let root = request.server_root();
        if root.is_some() && root != self.server_root {
            let shown = |root: &Option<PathBuf>| match root {
                Some(root) => root.display().to_string(),
                None => "the machine's own servers".to_owned(),
            };
            return Err(contradiction(
                "--server-root",
                &shown(&root),
                &shown(&self.server_root),
            ));
        }
        let in_force = mode_in_force(folder).unwrap_or_else(|| self.mode.clone());
        match &request.mode {
            Some(mode) if *mode != in_force => Err(Error::Usage(format!(
                "--mode {mode} contradicts {}, which says {in_force}: change it with `ackline mode {mode} --config {}`",
                folder.config().display(),
                folder.config().display()
            ))),
            _ => Ok(()),
        }
    }
}

/// What the configuration says now: `ackline mode` may have changed it since.
fn mode_in_force(folder: &Folder) -> Option<String> {
    let text = fs::read_to_string(folder.config()).ok()?;
    let config: toml_edit::DocumentMut = text.parse().ok()?;
    Some(config.get("sync")?.get("mode")?.as_str()?.to_owned())
}

impl Request {
    fn server_root(&self) -> Option<PathBuf> {
        let root = self.server_root.as_ref()?;
        Some(std::path::absolute(root).unwrap_or_else(|_| root.clone()))
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(mode) = self.mode.as_deref().filter(|mode| !MODES.contains(mode)) {
            let modes = MODES.join(", ");
            return Err(Error::Usage(format!("'{mode}' is not a mode: use {modes}")));
        }
        match self.server_options.iter().find(|option| !is_option(option)) {
            Some(option) => Err(Error::Usage(format!(
                "--server-option '{}' is not an option like sync_relay_log=1",
                option.escape_debug()
            ))),
            None => Ok(()),
        }
    }
}

/// One line of an option file, with or without the dashes of a command line.
fn is_option(option: &str) -> bool {
    let bare = option.trim_start_matches('-');
    bare.starts_with(|first: char| first.is_ascii_alphabetic())
        && !option.contains(|any: char| any.is_control())
}

/// Everything follows from the proxy's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ports(u16);

impl Ports {
    fn new(proxy: u16, replicas: u16) -> Result<Self, Error> {
        let last = u32::from(proxy) + 10 + u32::from(replicas);
        if proxy == 0 || last > u32::from(u16::MAX) {
            return Err(Error::Usage(format!(
                "--port {proxy} leaves no room: a sandbox of {replicas} replicas uses the ports up to {last}"
            )));
        }
        Ok(Self(proxy))
    }

    pub fn proxy(self) -> u16 {
        self.0
    }

    pub fn replication(self) -> u16 {
        self.0 + 1
    }

    pub fn admin(self) -> u16 {
        self.0 + 2
    }

    pub fn source(self) -> u16 {
        self.0 + 10
    }

    /// Counted from 1.
    pub fn replica(self, number: u16) -> u16 {
        self.source() + number
    }

    pub async fn check_proxy(self) -> Result<(), Error> {
        self.check(self.proxy(), "the proxy").await?;
        self.check(self.replication(), "the proxy's replication port")
            .await?;
        self.check(self.admin(), "the proxy's admin address").await
    }

    /// Better to say it now than to quote the log of a server that could not bind.
    pub async fn check(self, port: u16, what: &str) -> Result<(), Error> {
        let deadline = Instant::now() + PORT_LEAVES;
        loop {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => return Ok(()),
                // Of a process that was just killed the memory goes first, its sockets later.
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    if Instant::now() > deadline {
                        let what = what.into();
                        return Err(Error::PortInUse { port, what });
                    }
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => {
                    let what = format!("binding 127.0.0.1:{port} for {what}");
                    return Err(Error::io(what)(error));
                }
            }
        }
    }
}

/// Letters and digits only, so that it needs no quoting in SQL, TOML, a shell or a URL.
fn secret() -> Result<String, Error> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = fs::File::open("/dev/urandom").map_err(Error::io("opening /dev/urandom"))?;
    let mut secret = String::with_capacity(PASSWORD_LENGTH);
    let mut byte = [0];
    while secret.len() < PASSWORD_LENGTH {
        random
            .read_exact(&mut byte)
            .map_err(Error::io("reading /dev/urandom"))?;
        // Bytes past the last whole multiple would favour the first letters.
        if let Some(letter) = (byte[0] < 248).then(|| ALPHABET[usize::from(byte[0]) % 62]) {
            secret.push(char::from(letter));
        }
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// One from which a whole sandbox is free at this moment.
    fn free_port() -> u16 {
        let is_free = |port: &u16| {
            (0..13).all(|offset| TcpListener::bind((Ipv4Addr::LOCALHOST, port + offset)).is_ok())
        };
        (20_000..30_000).step_by(50).find(is_free).unwrap()
    }

    fn request(dir: &std::path::Path) -> Request {
        Request {
            dir: dir.into(),
            port: Some(free_port()),
            ..Request::default()
        }
    }

    #[test]
    fn a_plan_survives_and_agrees_with_itself() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let request = request(dir.path());
        let first = block_on(Plan::load_or_decide(&folder, &request)).unwrap();
        let again = block_on(Plan::load_or_decide(&folder, &request)).unwrap();
        assert_eq!(first.app.password, again.app.password);
        assert_ne!(first.app.password, first.admin.password);
        assert_eq!(Some(again.ports.replica(2) - 12), request.port);
        let silent = Request {
            dir: dir.path().into(),
            ..Request::default()
        };
        block_on(Plan::load_or_decide(&folder, &silent)).unwrap();
    }

    #[test]
    fn contradictions_are_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let port = block_on(Plan::load_or_decide(&folder, &request(dir.path())))
            .unwrap()
            .ports
            .proxy();
        let contradicts = |change: &dyn Fn(&mut Request)| {
            let mut request = Request {
                port: Some(port),
                ..request(dir.path())
            };
            change(&mut request);
            let error = block_on(Plan::load_or_decide(&folder, &request)).unwrap_err();
            assert!(error.is_usage(), "{error}");
        };
        contradicts(&|request| request.port = Some(port + 1));
        contradicts(&|request| request.replicas = Some(3));
        contradicts(&|request| request.mode = Some("quorum".into()));
        contradicts(&|request| request.server_options = vec!["sync_relay_log=1".into()]);
        contradicts(&|request| request.flavor = Some(Flavor::MySql));
    }

    #[test]
    fn the_mode_that_counts_is_the_one_in_the_config() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let mut asked = request(dir.path());
        let plan = block_on(Plan::load_or_decide(&folder, &asked)).unwrap();
        fs::write(folder.config(), "[sync]\nmode = \"quorum\"\n").unwrap();
        asked.mode = Some("quorum".into());
        plan.agree(&folder, &asked).unwrap();
        asked.mode = Some("semi-sync".into());
        assert!(plan.agree(&folder, &asked).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let refused = |change: &dyn Fn(&mut Request)| {
            let mut request = request(dir.path());
            change(&mut request);
            let error = block_on(Plan::load_or_decide(&folder, &request)).unwrap_err();
            assert!(error.is_usage(), "{error}");
            assert!(!folder.plan().exists());
        };
        refused(&|request| request.port = Some(65530));
        refused(&|request| request.replicas = Some(0));
        refused(&|request| request.mode = Some("fast".into()));
        refused(&|request| request.server_options = vec!["a=1\n[client]".into()]);
    }

    #[test]
    fn a_folder_of_other_files_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(Folder::create(dir.path()), Err(Error::Foreign(_))));
    }
}

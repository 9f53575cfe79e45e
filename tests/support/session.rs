//! A real MariaDB server in a temporary folder, and a session listener in front of it whose gate the
//! test holds in its hand.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ackline::ack::Voter;
use ackline::ack::policy::{Requirement, Unmeetable};
use ackline::gtid::Gtid;
use ackline::ids::{Epoch, ServerName};
use ackline::net::listener::Listeners;
use ackline::session::{
    self, AllowedUsers, BoxFuture, Config, Gate, Metrics, Registry, Shared, Source,
};
use ackline::shutdown::Shutdown;
use ackline::sql::KillTarget;
use ackline::workers::Workers;
use tokio::sync::watch;

use super::{SOON, free_port};

pub const USER: &str = "app";
pub const PASSWORD: &str = "secret";

pub struct Server {
    process: Child,
    folder: tempfile::TempDir,
    pub port: u16,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that the tests of one process share; the last one stops it.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap();
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    pub fn start(options: &[&str]) -> Self {
        Self::start_by(&[], options)
    }

    /// The same, started by another program (`ip netns exec …`).
    pub fn start_by(launcher: &[&str], options: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("session-")
            .tempdir()
            .unwrap();
        let data = folder.path().join("data");
        let as_user = is_root().then_some("--user=root");
        // Servers name their temporary tables by their process number, and containers that share /tmp
        // give the same numbers out.
        let installed = Command::new("mariadb-install-db")
            .env("TMPDIR", folder.path())
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .args(as_user)
            .arg(format!("--datadir={}", data.display()))
            .output()
            .expect("mariadb-install-db");
        assert!(installed.status.success(), "{installed:?}");
        let port = free_port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let words = [launcher, &["mariadbd"]].concat();
        let process = Command::new(words[0])
            .args(&words[1..])
            .env("TMPDIR", folder.path())
            .arg("--no-defaults")
            .args(as_user)
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("s").display()))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--log-bin=bin",
                "--server-id=1",
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-buffer-pool-size=64M",
                "--max-allowed-packet=128M",
                "--local-infile=1",
            ])
            .args(options)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mariadbd");
        let server = Self {
            process,
            folder,
            port,
        };
        let deadline = Instant::now() + SOON;
        while !server.root("SELECT 1").status.success() {
            assert!(Instant::now() < deadline, "{}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let setup = format!(
            "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO '{USER}'@'%';\
             CREATE USER other@'%' IDENTIFIED BY 'other'; GRANT ALL ON *.* TO other@'%';\
             CREATE DATABASE shop; CREATE DATABASE sbtest"
        );
        let done = server.root(&setup);
        assert!(done.status.success(), "{done:?}");
        server
    }

    /// A statement directly at the server, as root.
    pub fn root(&self, statement: &str) -> Output {
        Command::new("mariadb")
            // Newer clients want TLS, which is not on offer everywhere.
            .args(["--no-defaults", "-uroot", "-N", "-B", "--skip-ssl"])
            .arg(format!(
                "--socket={}",
                self.folder.path().join("s").display()
            ))
            .args(["-e", statement])
            .output()
            .expect("mariadb")
    }

    /// Of MariaDB, where 10.11 and 11.8 differ.
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn is_mariadb_11(&self) -> bool {
        let version = self.root("SELECT VERSION()").stdout;
        version.starts_with(b"11.")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// MySQL's passwords are checked by what the server has cached, once each account has logged in.
const MYSQL_ACCOUNTS: [(&str, &str); 2] = [(USER, PASSWORD), ("other", "other")];

impl Server {
    /// The same with MySQL, from the folder where its programs are.
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn start_mysql(programs: &std::path::Path) -> Self {
        Self::start_mysql_with(programs, &[])
    }

    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn start_mysql_with(programs: &std::path::Path, options: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("session-mysql-")
            .tempdir()
            .unwrap();
        let as_user = is_root().then_some("--user=root");
        let data = format!("--datadir={}", folder.path().join("data").display());
        let mysqld = || {
            let mut command = Command::new(programs.join("mysqld"));
            command
                .env("TMPDIR", folder.path())
                .args(["--no-defaults", "--secure-file-priv=", "--mysqlx=OFF"])
                .args(["--socket=", "--innodb-flush-log-at-trx-commit=0"])
                .arg("--sync-binlog=0")
                .args(as_user)
                .arg(&data)
                .stdin(Stdio::null());
            command
        };
        let installed = mysqld().arg("--initialize-insecure").output().unwrap();
        assert!(installed.status.success(), "{installed:?}");
        let accounts = folder.path().join("accounts.sql");
        let mut setup = String::from("CREATE DATABASE shop;\n");
        for (user, password) in MYSQL_ACCOUNTS {
            setup.push_str(&format!(
                "CREATE USER {user}@'%' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO {user}@'%';\n"
            ));
        }
        std::fs::write(&accounts, setup).unwrap();
        let port = free_port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = mysqld()
            .arg(format!("--port={port}"))
            .arg(format!("--init-file={}", accounts.display()))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--log-bin=bin",
                "--server-id=1",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--max-allowed-packet=128M",
                "--local-infile=1",
            ])
            .args(options)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mysqld");
        let server = Self {
            process,
            folder,
            port,
        };
        let deadline = Instant::now() + SOON;
        for (user, password) in MYSQL_ACCOUNTS {
            let logs_in = || {
                let output = Command::new(programs.join("mysql"))
                    .args(["--no-defaults", "--host=127.0.0.1", "--ssl-mode=DISABLED"])
                    .args(["--get-server-public-key", "--execute=SELECT 1"])
                    .arg(format!("--port={port}"))
                    .arg(format!("--user={user}"))
                    .arg(format!("--password={password}"))
                    .output()
                    .expect("mysql");
                output.status.success()
            };
            while !logs_in() {
                assert!(Instant::now() < deadline, "{}", server.log());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[derive(Clone, Debug)]
pub struct State {
    pub open: bool,
    pub may_show: bool,
    /// No GTID is released.
    pub withhold: bool,
    /// What sessions ask beyond the policy does not hold.
    pub unmet: bool,
    pub voters: Vec<Voter>,
    pub kills_wait: bool,
    pub epoch: Epoch,
    pub source: Option<String>,
    pub tls: ackline::net::tls::Connector,
    pub send_proxy_protocol: bool,
    /// What was asked, in order.
    pub asked: Vec<String>,
}

/// The gate in the test's hand.
pub struct TestGate(pub watch::Sender<State>);

impl TestGate {
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        self.0.send_modify(change);
    }

    pub fn asked(&self) -> Vec<String> {
        self.0.borrow().asked.clone()
    }

    fn note(&self, what: String) {
        self.0.send_modify(|state| state.asked.push(what));
    }

    fn until(&self, condition: fn(&State) -> bool) -> BoxFuture<'_, ()> {
        let mut receiver = self.0.subscribe();
        Box::pin(async move {
            let _ = receiver.wait_for(condition).await;
        })
    }
}

impl Gate for TestGate {
    fn source_left(&self, _: Epoch) {}

    fn is_open(&self) -> bool {
        self.0.borrow().open
    }
    fn opened(&self) -> BoxFuture<'_, ()> {
        self.until(|state| state.open)
    }
    fn hold_reason(&self) -> String {
        "the test holds".into()
    }
    fn source(&self) -> Option<Source> {
        let state = self.0.borrow();
        Some(Source {
            address: state.source.clone()?,
            tls: state.tls.clone(),
            send_proxy_protocol: state.send_proxy_protocol,
            epoch: state.epoch,
        })
    }
    fn epoch(&self) -> Epoch {
        self.0.borrow().epoch
    }
    fn may_show_now(&self) -> bool {
        self.0.borrow().may_show
    }
    fn may_show(&self) -> BoxFuture<'_, ()> {
        self.until(|state| state.may_show)
    }
    fn is_released_now(&self, gtid: &Gtid) -> bool {
        self.note(format!("released {gtid}"));
        !self.0.borrow().withhold
    }
    fn released(&self, _: Gtid) -> BoxFuture<'_, ()> {
        self.until(|state| !state.withhold)
    }
    fn everything_now(&self) -> BoxFuture<'_, ()> {
        self.note("everything".into());
        self.until(|state| !state.withhold)
    }
    fn can_be_met(&self, requirement: &Requirement) -> Result<(), Unmeetable> {
        requirement.validate(&self.0.borrow().voters)
    }
    fn met(&self, gtid: Gtid, requirement: Arc<Requirement>) -> BoxFuture<'_, ()> {
        self.note(format!("met {gtid} {requirement}"));
        self.until(|state| !state.withhold && !state.unmet)
    }
    fn everything_met(&self, requirement: Arc<Requirement>) -> BoxFuture<'_, ()> {
        self.note(format!("everything met {requirement}"));
        self.until(|state| !state.withhold && !state.unmet)
    }
    fn waits_for_ack(&self, target: KillTarget) -> BoxFuture<'_, bool> {
        self.note(format!("kill {target:?}"));
        let waits = self.0.borrow().kills_wait;
        Box::pin(async move { waits })
    }
}

fn voter(name: &str) -> Voter {
    Voter {
        name: ServerName::new(name),
        zone: None,
        is_source: name == "db1",
    }
}

/// A session listener in front of a server.
pub struct Proxy {
    pub port: u16,
    pub gate: Arc<TestGate>,
    pub registry: Registry,
    pub allowed: AllowedUsers,
    pub shutdown: Shutdown,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Proxy {
    pub fn start(server: &Server) -> Self {
        Self::with(server, Config::default())
    }

    pub fn with(server: &Server, config: Config) -> Self {
        Self::at(server.port, config)
    }

    /// One that listens at this address.
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn listening(server: &Server, address: &str) -> Self {
        Self::between(address, server.port, Config::default())
    }

    /// In front of whatever listens there.
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn start_at(port: u16) -> Self {
        Self::at(port, Config::default())
    }

    fn at(source: u16, config: Config) -> Self {
        Self::between("127.0.0.1", source, config)
    }

    pub fn between(address: &str, source: u16, config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let gate = Arc::new(TestGate(watch::Sender::new(State {
            open: true,
            may_show: true,
            withhold: false,
            unmet: false,
            voters: ["db1", "db2", "db3"].map(voter).into(),
            kills_wait: false,
            epoch: Epoch(1),
            source: Some(format!("127.0.0.1:{source}")),
            tls: Default::default(),
            send_proxy_protocol: false,
            asked: Vec::new(),
        })));
        let registry = Registry::new();
        let allowed = AllowedUsers::default();
        let shared = Shared {
            gate: gate.clone(),
            config: Arc::new(config),
            allowed: allowed.clone(),
            metrics: Metrics::new(),
            registry: registry.clone(),
            passwords: Default::default(),
            password_key: Default::default(),
        };
        let shutdown = Shutdown::new();
        let listeners = std::thread::scope(|scope| {
            // On a thread of its own: tests may be in a runtime themselves.
            let address = format!("{address}:0");
            let bind = || runtime.block_on(Listeners::bind(&[address]));
            scope.spawn(bind).join().unwrap().unwrap()
        });
        let port = listeners.addresses()[0].port();
        let workers = Workers::start("sessions", &shutdown).unwrap();
        runtime.spawn(session::serve(listeners, workers, shared, shutdown.clone()));
        Self {
            port,
            gate,
            registry,
            allowed,
            shutdown,
            runtime: Some(runtime),
        }
    }

    /// The `mariadb` client with these arguments and this standard input.
    pub fn client(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.client_command(arguments).spawn().expect("mariadb");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn client_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("mariadb");
        command
            // Since 11.4 it asks for TLS by default.
            .args([
                "--no-defaults",
                "--skip-ssl-verify-server-cert",
                "-h127.0.0.1",
            ])
            .arg(format!("-P{}", self.port))
            .arg(format!("-u{USER}"))
            .arg(format!("-p{PASSWORD}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The output of statements, which must succeed.
    pub fn sql(&self, statements: &str) -> String {
        let output = self.client(
            &["-N", "-B", "--max-allowed-packet=128M", "shop"],
            statements,
        );
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn options(&self) -> mysql_async::OptsBuilder {
        mysql_async::OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some(USER))
            .pass(Some(PASSWORD))
            .db_name(Some("shop"))
            .prefer_socket(Some(false))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for a condition that comes true soon. What would make it true by itself (a SLEEP that ends) must take longer.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

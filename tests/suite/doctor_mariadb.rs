//! `ackline doctor` against real servers as MariaDB's defaults leave them: it names what is missing, what
//! it prints repairs it, and then all is well, with the proxy running and the replica following it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::certificates::Authority;
use crate::support::{self, ACKLINE, Sandbox, free_port, wait_until};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn from_the_defaults_to_a_working_pair() {
    let folder = tempfile::Builder::new()
        .prefix("doctor-")
        .tempdir()
        .unwrap();
    let ports = [(); 5].map(|()| free_port());
    let mut source = Server::new(folder.path(), "db1", 1, ports[0]);
    let mut replica = Server::new(folder.path(), "db2", 2, ports[1]);
    let config = write_config(folder.path(), &ports);

    // An account that may nothing yet.
    for server in [&source, &replica] {
        server.root("CREATE USER ackline@'%' IDENTIFIED BY 'a-secret'");
    }
    let (status, text) = doctor(&config, &[]);
    assert_eq!(status, 1, "{text}");
    for (server, check) in [
        ("db1", "grants"),
        ("db1", "log_bin"),
        ("db1", "sync_binlog"),
        ("db1", "gtid_strict_mode"),
        ("db1", "rpl_semi_sync_master_wait_point"),
        ("db1", "boots read_only"),
        ("db2", "grants"),
        ("db2", "log_bin"),
        ("db2", "log_slave_updates"),
        ("db2", "read_only"),
        ("db2", "gtid_strict_mode"),
        ("db2", "rpl_semi_sync_slave_enabled"),
        ("db2", "follows"),
    ] {
        assert!(not_ok(&text, server, check), "{server} {check}:\n{text}");
    }

    // What it may not do it says, with the statement that lets it.
    let (status, text) = doctor(&config, &["--fix"]);
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("db1: our account may not run SET GLOBAL sync_binlog=1"),
        "{text}"
    );
    for server in [&source, &replica] {
        let grants = lines(&text, &server.name, "GRANT ");
        assert_eq!(grants.len(), 1, "{text}");
        for grant in grants {
            server.root(&grant);
        }
    }

    // What can be set at run time is set, and nobody waits for it.
    let (status, text) = doctor(&config, &["--fix"]);
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("db2: done: SET GLOBAL read_only=ON"),
        "{text}"
    );
    assert!(!not_ok(&text, "db2", "read_only"), "{text}");
    assert!(!not_ok(&text, "db1", "sync_binlog"), "{text}");
    assert!(not_ok(&text, "db1", "log_bin"), "{text}");
    assert_eq!(
        source.root("SELECT @@rpl_semi_sync_master_enabled, @@sync_binlog"),
        "0\t1"
    );
    source.root("CREATE DATABASE nobody_waits");

    // What needs a restart comes as lines for the configuration file.
    for server in [&mut source, &mut replica] {
        let options = option_file(&text, &server.name);
        assert!(options.contains(&"log_bin".to_owned()), "{options:?}");
        server.restart_with(&options);
    }
    let (status, text) = doctor(&config, &[]);
    assert_eq!(status, 1, "{text}");
    let left: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with("NOT OK"))
        .collect();
    assert_eq!(left.len(), 1, "{text}");
    assert!(not_ok(&text, "db2", "follows"), "{text}");

    // The statements for the replica, with the password that is printed nowhere.
    assert!(
        !text.contains("a-secret") && !text.contains("r-secret"),
        "{text}"
    );
    let _proxy = Proxy::start(&config, folder.path());
    let statements: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("make a replica follow"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .collect();
    let statements = statements
        .join("\n")
        .replace("<password of [replication]>", "r-secret");
    replica.root(&statements);

    let (mut status, mut text) = doctor(&config, &[]);
    let deadline = Instant::now() + SOON;
    while status != 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
        (status, text) = doctor(&config, &[]);
    }
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("NOT OK"), "{text}");
    // Now the proxy has raised the gate, and the replica acknowledges.
    source.root("CREATE DATABASE shop");
    wait_for(|| replica.root("SHOW DATABASES LIKE 'shop'") == "shop");
}

#[test]
fn a_server_that_is_not_there_is_a_check_of_its_own() {
    let folder = tempfile::Builder::new()
        .prefix("doctor-")
        .tempdir()
        .unwrap();
    let config = write_config(folder.path(), &[(); 5].map(|()| free_port()));
    let (status, text) = doctor(&config, &[]);
    assert_eq!(status, 1, "{text}");
    assert!(not_ok(&text, "db1", "reachable"), "{text}");
    assert!(not_ok(&text, "db2", "reachable"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ends_of_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::of_days(folder.path(), "ca", 20);
    let made = authority.issue("server");
    let (cert, key) = (made.cert.display(), made.key.display());
    let with_tls = [format!("--ssl-cert={cert}"), format!("--ssl-key={key}")];
    let [with_cert, with_key] = with_tls.each_ref().map(String::as_str);
    let sandbox = Sandbox::up(&[
        "--replicas",
        "1",
        "--server-option",
        with_cert,
        "--server-option",
        with_key,
    ])
    .await;
    let ours = sandbox.manifest.binlog_dir.join("ackline-cert.pem");
    let ours = ours.display();

    // Of servers that are not asked for TLS nothing is seen; ours is for ever.
    let doctor = || {
        let output = sandbox.ackline(&["doctor"]);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        println!("{text}");
        text
    };
    let text = doctor();
    assert!(!text.contains("its certificate"), "{text}");
    let line = line_of(&text, "this proxy", &format!("certificate {ours}"));
    assert!(line.contains("ends 4096-01-01T00:00:00Z") && line.ends_with("ok"));
    let gauge = |file: &dyn std::fmt::Display, end: &str| {
        format!("ackline_certificate_not_after_seconds{{file=\"{file}\"}} {end}")
    };
    let metrics = || async { sandbox.request("GET", "/metrics", "").await.unwrap().body };
    let wanted = gauge(&ours, "67090118400");
    let text = metrics().await;
    assert!(text.lines().any(|line| line == wanted), "{text}");

    let towards = format!(
        "role = \"source\"\ntls = \"required\"\ntls_ca = \"{}\"",
        authority.cert().display()
    );
    sandbox.edit_config("role = \"source\"", &towards);
    let text = sandbox.config();
    assert!(!text.contains("[tls]"), "{text}");
    let config = format!("{text}\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    sandbox.save_config(&config);
    let text = doctor();
    for (server, check) in [
        ("source".to_owned(), "its certificate".to_owned()),
        ("this proxy".to_owned(), format!("certificate {cert}")),
        (
            "this proxy".to_owned(),
            format!("authority {}", authority.cert().display()),
        ),
    ] {
        let line = line_of(&text, &server, &check);
        let soon = line.contains("ends soon, 2") && line.ends_with("NOT OK");
        assert!(soon, "{line}");
    }
    assert!(text.contains("then run FLUSH SSL there"), "{text}");
    // Also of a server that is not believed, as one is whose certificate has ended.
    let other = Authority::new(folder.path(), "other");
    let believed = config.replace(
        &authority.cert().display().to_string(),
        &other.cert().display().to_string(),
    );
    sandbox.save_config(&believed);
    let text = doctor();
    let line = line_of(&text, "source", "its certificate");
    assert!(line.contains("ends soon, 2"), "{line}");
    assert!(not_ok(&text, "source", "reachable"), "{text}");
    assert!(text.contains("ALTER INSTANCE RELOAD TLS (MySQL)"), "{text}");
    sandbox.save_config(&config);

    // The running proxy has read it.
    wait_until("the metric has changed", support::SOON, async || {
        let text = metrics().await;
        let new = text.contains(&gauge(&cert, "1")) || text.contains(&gauge(&cert, "2"));
        if new && !text.contains(&wanted) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    let status = sandbox.ackline(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains(&format!("the certificate {cert} ends at 2")),
        "{status}"
    );
}

/// Of the table.
fn line_of<'a>(text: &'a str, server: &str, check: &str) -> &'a str {
    let found = text.lines().find(|line| {
        let rest = line.strip_prefix(server).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(&format!("{check}  ")))
    });
    found.unwrap_or_else(|| panic!("no {server} {check} in {text}"))
}

fn write_config(folder: &Path, ports: &[u16]) -> PathBuf {
    let path = folder.join("config.toml");
    let [source, replica, mysql, replication, admin] = ports[..] else {
        panic!("five ports");
    };
    let server = |name: &str, role: &str, port: u16| {
        format!(
            "[[server]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\nrole = \"{role}\"\n\
             user = \"ackline\"\npassword = \"a-secret\"\n\n"
        )
    };
    let text = format!(
        "[listen]\nmysql = \"127.0.0.1:{mysql}\"\nreplication = \"127.0.0.1:{replication}\"\n\
         admin = \"127.0.0.1:{admin}\"\n\n{}{}[replication]\nuser = \"repl\"\npassword = \"r-secret\"\n",
        server("db1", "source", source),
        server("db2", "replica", replica)
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Exit status, and what was printed (both ways).
fn doctor(config: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(ACKLINE)
        .args(["doctor", "--config"])
        .arg(config)
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let status = output.status.code().unwrap();
    (status, String::from_utf8(text).unwrap())
}

/// Whether the table says so.
fn not_ok(text: &str, server: &str, check: &str) -> bool {
    text.lines().any(|line| {
        let begins = line
            .strip_prefix(server)
            .is_some_and(|rest| rest.trim_start().starts_with(&format!("{check}  ")));
        begins && line.ends_with("NOT OK")
    })
}

/// What is to be done on one server: the indented lines below its name.
fn section<'a>(text: &'a str, server: &str) -> Vec<&'a str> {
    let head = format!("{server}:");
    text.lines()
        .skip_while(|line| *line != head)
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .map(str::trim)
        .collect()
}

fn lines(text: &str, server: &str, begin: &str) -> Vec<String> {
    let section = section(text, server);
    let found = section.iter().filter(|line| line.starts_with(begin));
    found.map(ToString::to_string).collect()
}

fn option_file(text: &str, server: &str) -> Vec<String> {
    let section = section(text, server);
    let options = section.iter().skip_while(|line| **line != "[mariadbd]");
    options.skip(1).map(ToString::to_string).collect()
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come true");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A MariaDB server with its defaults, and what is put into its option file.
struct Server {
    name: String,
    folder: PathBuf,
    options: Vec<String>,
    process: Option<Child>,
}

impl Server {
    fn new(folder: &Path, name: &str, id: u32, port: u16) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut options = vec![
            format!("datadir = {}", folder.join("data").display()),
            format!("socket = {}", folder.join("s").display()),
            format!("pid_file = {}", folder.join("pid").display()),
            format!("port = {port}"),
            format!("server_id = {id}"),
            "bind_address = 127.0.0.1".to_owned(),
            "innodb_buffer_pool_size = 64M".to_owned(),
        ];
        if rustix::process::geteuid().is_root() {
            options.push("user = root".to_owned());
        }
        let mut server = Self {
            name: name.to_owned(),
            folder,
            options,
            process: None,
        };
        server.write_options();
        let installed = Command::new("mariadb-install-db")
            .env("TMPDIR", &server.folder)
            .arg(server.defaults())
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .output()
            .expect("mariadb-install-db");
        assert!(installed.status.success(), "{installed:?}");
        server.start();
        // It would stand before ours for clients of this machine.
        server.root("DROP USER IF EXISTS ''@'localhost'");
        let host = server.root("SELECT @@hostname");
        server.root(&format!("DROP USER IF EXISTS ''@'{host}'"));
        server
    }

    fn defaults(&self) -> String {
        format!("--defaults-file={}", self.folder.join("my.cnf").display())
    }

    fn write_options(&self) {
        let text = format!("[mariadbd]\n{}\n", self.options.join("\n"));
        std::fs::write(self.folder.join("my.cnf"), text).unwrap();
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        // Its own: a server that starts removes what it takes for leftovers from a shared one.
        let process = Command::new("mariadbd")
            .env("TMPDIR", &self.folder)
            .arg(self.defaults())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mariadbd");
        self.process = Some(process);
        let deadline = Instant::now() + SOON;
        while !self.try_root("SELECT 1").status.success() {
            let log = std::fs::read_to_string(self.folder.join("log"));
            assert!(Instant::now() < deadline, "{log:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn restart_with(&mut self, options: &[String]) {
        self.root("SHUTDOWN");
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
        self.options.extend_from_slice(options);
        self.write_options();
        self.start();
    }

    fn try_root(&self, statements: &str) -> Output {
        Command::new("timeout")
            .args(["20", "mariadb", "--no-defaults", "-uroot", "-N", "-B"])
            .arg(format!("--socket={}", self.folder.join("s").display()))
            .args(["-e", statements])
            .output()
            .expect("mariadb")
    }

    fn root(&self, statements: &str) -> String {
        let output = self.try_root(statements);
        assert!(
            output.status.success(),
            "{}: {statements}: {output:?}",
            self.name
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

struct Proxy {
    process: Child,
    log: PathBuf,
}

impl Proxy {
    fn start(config: &Path, folder: &Path) -> Self {
        let log = folder.join("proxy.log");
        let process = Command::new(ACKLINE)
            .args(["serve", "--config"])
            .arg(config)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, log }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the proxy's log:\n{log}");
        }
    }
}

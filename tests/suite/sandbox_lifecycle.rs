//! `ackline sandbox`: whatever is killed, and whenever, `up` brings it back and `down` leaves nothing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{ACKLINE, Ports};

/// A folder whose sandbox is stopped at the end of a test, also of one that fails.
struct Sandbox {
    dir: tempfile::TempDir,
    ports: Ports,
}

impl Sandbox {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            ports: Ports::take(),
        }
    }

    fn path(&self) -> PathBuf {
        std::fs::canonicalize(self.dir.path()).unwrap()
    }

    fn command(&self, action: &str, more: &[&str]) -> Command {
        let mut command = Command::new(ACKLINE);
        command.args(["sandbox", action, "--dir"]);
        command.arg(self.dir.path()).args(more);
        command
    }

    /// With its port, as the first `up` needs it.
    fn first_up(&self, more: &[&str]) -> Value {
        let port = self.ports.base.to_string();
        let mut arguments = vec!["--port", &port];
        arguments.extend(more);
        succeed(&mut self.command("up", &arguments));
        self.manifest()
    }

    fn up(&self) -> Value {
        succeed(&mut self.command("up", &[]));
        self.manifest()
    }

    fn down(&self) {
        succeed(&mut self.command("down", &[]));
        assert_eq!(self.processes(), Vec::<String>::new());
    }

    fn manifest(&self) -> Value {
        let text = std::fs::read_to_string(self.dir.path().join("sandbox.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Command lines that name the folder, without those of this test.
    fn processes(&self) -> Vec<String> {
        let name = self.path();
        let name = name.to_str().unwrap();
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(name))
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self
            .command("down", &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// The exit status, and what was said on stderr.
fn refused(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said)
}

fn kill(signal: &str, pid: &Value) {
    succeed(Command::new("kill").args([signal, &pid.to_string()]));
}

/// Rows of a query as the application, through the proxy.
fn query(manifest: &Value, sql: &str) -> String {
    let app = &manifest["app"];
    let text = |key: &str| app[key].as_str().unwrap().to_owned();
    let output = succeed(
        Command::new("mariadb")
            .args(["-NB", "-h", &text("host"), "-P", &app["port"].to_string()])
            .args(["-u", &text("user"), &format!("-p{}", text("password"))])
            .args([&text("database"), "-e", sql]),
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_commit_survives_down_and_up() {
    let sandbox = Sandbox::new();
    let first = sandbox.first_up(&[]);
    query(&first, "CREATE TABLE t (a INT PRIMARY KEY)");
    query(&first, "INSERT INTO t VALUES (1)");
    succeed(&mut sandbox.command("status", &[]));
    sandbox.down();
    let (status, _) = refused(&mut sandbox.command("status", &[]));
    assert_eq!(status, 1, "status says that it does not run");

    let second = sandbox.up();
    assert_eq!(query(&second, "SELECT * FROM t"), "1");
    assert_ne!(first["proxy"]["pid"], second["proxy"]["pid"]);
    assert_eq!(first["app"], second["app"]);
    sandbox.down();
    // Once more, with nothing to do.
    sandbox.down();
}

#[test]
fn the_contract_of_sandbox_json() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.first_up(&["--replicas", "1", "--mode", "async"]);
    let port = u64::from(sandbox.ports.base);
    assert_eq!(manifest["app"]["port"], port);
    assert_eq!(manifest["replication"]["port"], port + 1);
    assert_eq!(
        manifest["admin"]["url"],
        format!("http://127.0.0.1:{}", port + 2)
    );
    assert_eq!(manifest["source"]["port"], port + 10);
    assert_eq!(manifest["replicas"][0]["port"], port + 11);
    assert_eq!(manifest["replicas"][0]["ship"], "pull");
    assert_eq!(manifest["replicas"].as_array().unwrap().len(), 1);
    let config = manifest["config"].as_str().unwrap();
    assert_eq!(Path::new(config), sandbox.path().join("config.toml"));
    for name in ["sandbox.json", "config.toml", "plan.json", "source/my.cnf"] {
        use std::os::unix::fs::PermissionsExt;
        let meta = std::fs::metadata(sandbox.path().join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let command_line = |pid: &Value| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    };
    assert!(command_line(&manifest["proxy"]["pid"]).contains("serve"));
    assert!(command_line(&manifest["source"]["pid"]).contains("source/my.cnf"));
    assert!(command_line(&manifest["replicas"][0]["pid"]).contains("replica1/my.cnf"));
}

#[test]
fn up_starts_what_was_killed_and_leaves_the_rest() {
    let sandbox = Sandbox::new();
    let mut before = sandbox.first_up(&[]);
    query(&before, "CREATE TABLE t (a INT PRIMARY KEY)");
    let parts = [
        "/source/pid",
        "/replicas/0/pid",
        "/replicas/1/pid",
        "/proxy/pid",
    ];
    for (row, part) in parts.into_iter().enumerate() {
        query(&before, &format!("INSERT INTO t VALUES ({row})"));
        kill("-KILL", before.pointer(part).unwrap());
        let after = sandbox.up();
        for other in parts {
            let changed = before.pointer(other) != after.pointer(other);
            assert_eq!(changed, other == part, "{other} after the end of {part}");
        }
        let rows = query(&after, "SELECT COUNT(*) FROM t");
        assert_eq!(rows, (row + 1).to_string(), "after the end of {part}");
        before = after;
    }
    sandbox.down();
}

#[test]
fn down_reaches_those_that_are_stopped() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.first_up(&["--replicas", "1"]);
    kill("-STOP", &manifest["replicas"][0]["pid"]);
    sandbox.down();
}

#[test]
fn whenever_up_is_killed_down_leaves_nothing_and_up_goes_on() {
    let sandbox = Sandbox::new();
    let port = sandbox.ports.base.to_string();
    let mut met = 0;
    // From its first moments to about its end.
    for wait in [0, 5, 20, 60, 150, 300, 450, 600, 800, 1000] {
        let mut up = sandbox
            .command("up", &["--port", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        met += usize::from(up.try_wait().unwrap().is_none());
        up.kill().unwrap();
        up.wait().unwrap();
        sandbox.down();
        if wait % 20 == 0 && !sandbox.path().join("sandbox.json").exists() {
            // A fresh start now and then: else only the first rounds would meet an installation.
            for entry in std::fs::read_dir(sandbox.path()).unwrap().flatten() {
                let path = entry.path();
                let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
            }
        }
    }
    assert!(met >= 5, "only {met} of 10 kills met a running `up`");
    let manifest = sandbox.first_up(&[]);
    assert_eq!(query(&manifest, "SELECT 1"), "1");
    sandbox.down();
}

#[test]
fn servers_survive_the_end_of_the_terminal() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.first_up(&["--replicas", "1"]);
    for pid in [&manifest["source"]["pid"], &manifest["proxy"]["pid"]] {
        // Leader of a session of its own (the sixth field): no hang-up of ours reaches it.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        let session = after_name.split(' ').nth(3).unwrap();
        assert_eq!(session, pid.to_string());
    }
}

#[test]
fn contradictions_are_wrong_usage_and_change_nothing() {
    let sandbox = Sandbox::new();
    let before = sandbox.first_up(&["--replicas", "1"]);
    let other = (sandbox.ports.base + 1).to_string();
    for wrong in [
        ["--port", other.as_str()],
        ["--replicas", "2"],
        ["--mode", "quorum"],
        ["--flavor", "mysql"],
        ["--push", "1"],
        ["--witness", "1"],
        ["--server-option", "sync_relay_log=1"],
    ] {
        let (status, said) = refused(&mut sandbox.command("up", &wrong));
        assert_eq!(status, 2, "{wrong:?}: {said}");
    }
    let port = sandbox.ports.base.to_string();
    succeed(&mut sandbox.command(
        "up",
        &["--replicas", "1", "--port", &port, "--mode", "semi-sync"],
    ));
    assert_eq!(before, sandbox.manifest());
}

#[test]
fn two_side_by_side() {
    let (one, two) = (Sandbox::new(), Sandbox::new());
    let first = one.first_up(&["--replicas", "1"]);
    let second = two.first_up(&["--replicas", "1", "--mode", "async"]);
    query(&first, "CREATE TABLE only_in_one (a INT)");
    assert_eq!(query(&second, "SHOW TABLES"), "");
    one.down();
    assert_eq!(query(&second, "SELECT 1"), "1");
    two.down();
}

#[test]
fn a_port_in_use_is_named_and_costs_nothing() {
    let mut sandbox = Sandbox::new();
    let taken = TcpListener::bind(("127.0.0.1", sandbox.ports.base + 11)).unwrap();
    let port = sandbox.ports.base.to_string();
    let (status, said) = refused(&mut sandbox.command("up", &["--port", &port]));
    assert_eq!(status, 1);
    let number = (sandbox.ports.base + 11).to_string();
    assert!(
        said.contains(&number) && said.contains("replica1"),
        "{said}"
    );
    assert_eq!(sandbox.processes(), Vec::<String>::new());
    drop(taken);
    // With another port, too: nothing was decided yet.
    sandbox.ports = Ports::take();
    sandbox.first_up(&["--replicas", "1"]);
}

#[test]
fn a_server_option_reaches_every_server() {
    let sandbox = Sandbox::new();
    let manifest =
        sandbox.first_up(&["--replicas", "1", "--server-option", "--max-connections=77"]);
    for server in [&manifest["source"], &manifest["replicas"][0]] {
        let options = sandbox.path().join(server["name"].as_str().unwrap());
        let options = format!("--defaults-file={}", options.join("my.cnf").display());
        let output = succeed(Command::new("mariadb").args([
            &options,
            "-NBe",
            "SELECT @@global.max_connections",
        ]));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "77");
    }
}

#[test]
fn a_server_that_cannot_start_is_named_with_its_log() {
    let sandbox = Sandbox::new();
    let port = sandbox.ports.base.to_string();
    let (status, said) = refused(&mut sandbox.command(
        "up",
        &["--port", &port, "--server-option", "no_such_option=1"],
    ));
    assert_eq!(status, 1);
    assert!(
        said.contains("server.log") && said.contains("no_such_option"),
        "{said}"
    );
    until("all leave by themselves", || sandbox.processes().is_empty());
}

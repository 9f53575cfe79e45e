//! `ackline sandbox --flavor mysql` with MySQL's own servers and client. Skipped, and counted so, where
//! there is no MySQL (deploy/install.sh mysql).

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{ACKLINE, Ports, mysql};
use serde_json::Value;

struct Sandbox {
    dir: tempfile::TempDir,
    programs: PathBuf,
}

impl Sandbox {
    fn run(&self, action: &str, more: &[&str]) -> Output {
        let mut command = Command::new(ACKLINE);
        command.args(["sandbox", action, "--dir"]);
        command.arg(self.dir.path()).args(more).output().unwrap()
    }

    fn succeeds(&self, action: &str, more: &[&str]) -> String {
        let output = self.run(action, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{action} {more:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn manifest(&self) -> Value {
        let text = std::fs::read_to_string(self.dir.path().join("sandbox.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// One row, its columns by tabs, of a server's answer to its administrator.
    fn ask(&self, server: &str, sql: &str) -> String {
        let output = Command::new(self.programs.join("mysql"))
            .arg(format!(
                "--defaults-file={}",
                self.dir.path().join(server).join("my.cnf").display()
            ))
            .args(["-NB", "-e", sql])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn processes(&self) -> Vec<String> {
        let name = std::fs::canonicalize(self.dir.path()).unwrap();
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
        self.run("down", &[]);
    }
}

#[test]
fn mysql_servers_come_back_from_whatever_befalls_them() {
    let Some(programs) = mysql::programs("mysql_servers_come_back_from_whatever_befalls_them")
    else {
        return;
    };
    let sandbox = Sandbox {
        dir: tempfile::tempdir().unwrap(),
        programs,
    };
    let ports = Ports::take();
    let port = ports.base.to_string();
    let said = sandbox.succeeds("up", &["--flavor", "mysql", "--port", &port]);
    assert!(said.contains("A commit through the proxy works"), "{said}");
    let manifest = sandbox.manifest();
    assert_eq!(manifest["flavor"], "mysql");
    assert!(manifest["proxy"]["pid"].as_i64().is_some());
    assert_eq!(manifest["replicas"].as_array().unwrap().len(), 2);

    let servers = ["source", "replica1", "replica2"];
    let uuids: HashSet<String> = servers
        .iter()
        .map(|server| sandbox.ask(server, "SELECT @@server_uuid"))
        .collect();
    assert_eq!(uuids.len(), 3, "each is a server of its own");
    for server in servers {
        let settings = "SELECT @@gtid_mode, @@enforce_gtid_consistency, @@log_replica_updates, \
             @@super_read_only, @@rpl_semi_sync_source_enabled, @@rpl_semi_sync_replica_enabled";
        let wanted = match server {
            // Raised by the proxy.
            "source" => "ON\tON\t1\t0\t1\t1",
            _ => "ON\tON\t1\t1\t0\t1",
        };
        assert_eq!(sandbox.ask(server, settings), wanted, "{server}");
    }
    let accounts = "SELECT GROUP_CONCAT(user, '@', host, ' ', plugin ORDER BY user) FROM mysql.user \
         WHERE user NOT LIKE 'mysql.%'";
    let sha2 = |user: &str| format!("{user}@% caching_sha2_password");
    assert_eq!(
        sandbox.ask("source", accounts),
        ["ackline", "admin", "app"].map(sha2).join(",")
    );
    let replica = sandbox.ask("replica1", "SHOW REPLICA STATUS");
    let replication = manifest["replication"]["port"].to_string();
    assert!(
        replica.contains(&format!("127.0.0.1\treplication\t{replication}")),
        "{replica}"
    );
    assert!(replica.contains("\tYes\tYes\t"), "{replica}");

    // MySQL makes certificates for itself, for ten years.
    let config = manifest["config"].as_str().unwrap();
    let text = std::fs::read_to_string(config).unwrap();
    let with_tls = text.replace("[[server]]\n", "[[server]]\ntls = \"required\"\n");
    let config = sandbox.dir.path().join("with_tls.toml");
    std::fs::write(&config, with_tls).unwrap();
    let doctor = Command::new(ACKLINE)
        .args(["doctor", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8([doctor.stdout, doctor.stderr].concat()).unwrap();
    assert!(doctor.status.success(), "{said}");
    for server in servers {
        let mut lines = said.lines().filter(|line| line.starts_with(server));
        let certificate =
            lines.any(|line| line.contains("its certificate") && line.contains("  ends 20"));
        assert!(certificate, "{server}: {said}");
    }
    assert!(said.contains("MySQL 9.7  "), "{said}");

    let killed = manifest["replicas"][0]["pid"].to_string();
    let status = Command::new("kill").args(["-9", &killed]).status().unwrap();
    assert!(status.success());
    sandbox.succeeds("up", &[]);
    assert_ne!(sandbox.manifest()["replicas"][0]["pid"].to_string(), killed);
    assert!(uuids.contains(&sandbox.ask("replica1", "SELECT @@server_uuid")));

    sandbox.succeeds("status", &[]);
    assert_eq!(
        sandbox.run("up", &["--flavor", "mariadb"]).status.code(),
        Some(2)
    );
    sandbox.succeeds("down", &[]);
    assert_eq!(sandbox.processes(), Vec::<String>::new());
}

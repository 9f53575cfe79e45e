//! The `mariadb` command line client, as somebody sits before it: on a terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{self, Sandbox};
use parking_lot::Mutex;

const WITHIN: Duration = Duration::from_secs(60);
const CTRL_C: &str = "\x03";
const TAB: &str = "\t";

/// The client on a terminal of `script` (util-linux).
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    /// What was shown up to here has been looked at.
    seen: usize,
}

impl Terminal {
    fn open(sandbox: &Sandbox) -> Self {
        let app = sandbox.app();
        let command = format!(
            "mariadb {} {}",
            app.arguments().join(" "),
            app.database.as_deref().unwrap()
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let keys = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let shown = Arc::<Mutex<String>>::default();
        let screen = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                screen
                    .lock()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut terminal = Self {
            child,
            keys,
            shown,
            seen: 0,
        };
        terminal.shows("> ");
        terminal
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for it; what came before it and with it counts as seen.
    fn shows(&mut self, text: &str) -> String {
        let deadline = Instant::now() + WITHIN;
        loop {
            let shown = self.shown.lock().clone();
            if let Some(at) = shown[self.seen..].find(text) {
                let end = self.seen + at + text.len();
                let new = shown[self.seen..end].to_owned();
                self.seen = end;
                return new;
            }
            assert!(
                Instant::now() < deadline,
                "'{text}' is not shown, but: {}",
                &shown[self.seen..]
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(sandbox: &Sandbox, options: &[&str]) -> Vec<u8> {
    let app = sandbox.app();
    let output = Command::new("mariadb")
        .args(app.arguments())
        .args(options)
        .arg(app.database.as_deref().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{options:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_at_the_terminal() {
    let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
    let mut app = sandbox.app().connect().await;
    app.run("CREATE TABLE completed_by_tab (remarkable_column INT PRIMARY KEY) ENGINE=InnoDB")
        .await;
    app.run("INSERT INTO completed_by_tab VALUES (4711)").await;

    let mut terminal = Terminal::open(&sandbox);
    terminal.types("\\s\n");
    let status = terminal.shows("Uptime:");
    for line in [
        "Current user:",
        "app@",
        "Current database:",
        "Server version:",
        "MariaDB",
        "Server characterset:",
    ] {
        assert!(status.contains(line), "no '{line}' in {status}");
    }
    assert!(
        status.contains(&format!("TCP port:\t\t{}", sandbox.app().port)),
        "{status}"
    );
    terminal.shows("> ");

    // The client has asked for all names of tables and columns by itself.
    terminal.types(&format!("SELECT remarkable{TAB} FROM completed_by{TAB};\n"));
    terminal.shows("4711");
    terminal.shows("> ");

    // Ctrl-C on a running query: KILL QUERY on a second connection; the session goes on.
    terminal.types("SELECT SLEEP(600), 'never';\n");
    let mut source = sandbox.source().connect().await;
    support::wait_until("the query runs", WITHIN, async || {
        let running = source
            .value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'")
            .await;
        if running == "1" {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    terminal.types(CTRL_C);
    terminal.shows("query killed");
    terminal.shows("> ");
    terminal.types("SELECT 6 * 7 AS answer;\n");
    terminal.shows("42");
    let sleeping = source
        .value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'")
        .await;
    assert_eq!(sleeping, "0");

    // A commit, and an error, as ever.
    terminal.types("INSERT INTO completed_by_tab VALUES (4712);\n");
    terminal.shows("Query OK, 1 row affected");
    terminal.types("SELECT * FROM nowhere;\n");
    terminal.shows("ERROR 1146 (42S02)");
    terminal.types("exit\n");
    terminal.shows("Bye");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_results() {
    let sandbox = Sandbox::up(&["--mode", "semi-sync"]).await;
    let rows = "SELECT seq, REPEAT('x', 1000) FROM seq_1_to_100000";
    for quick in ["--quick", "--skip-quick"] {
        let output = run(
            &sandbox,
            &["--batch", "--skip-column-names", quick, "--execute", rows],
        );
        let expected: usize = (1..=100_000)
            .map(|n: u32| n.to_string().len() + 1 + 1000 + 1)
            .sum();
        assert_eq!(output.len(), expected, "{quick}");
    }
    // One row of more than one packet.
    let output = run(
        &sandbox,
        &[
            "--batch",
            "--skip-column-names",
            "--max-allowed-packet=64M",
            "--execute",
            "SELECT REPEAT('y', 40000000)",
        ],
    );
    assert_eq!(output.len(), 40_000_001);
}

//! What passes the gates of a session, and when: a real server, and a gate in the test's hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use crate::support::session::{PASSWORD, Proxy, Server, USER, eventually};
use crate::support::wire::Wire;
use ackline::ids::Epoch;
use ackline::session::{Activity, Config};

/// Long enough for an answer to arrive if nothing holds it.
const PAUSE: Duration = Duration::from_millis(400);

/// A client that runs statements on its own.
struct Running(Child);

impl Running {
    fn start(proxy: &Proxy, statements: &str) -> Self {
        let mut child = proxy
            .client_command(&["-N", "-B", "--unbuffered", "shop"])
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(statements.as_bytes()).unwrap();
        Self(child)
    }

    fn is_done(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn finish(self) -> (String, String) {
        let output = self.0.wait_with_output().unwrap();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

/// A table that nobody can read until it is let go: whoever counts its rows is at the source for as long as the test likes.
struct Locked {
    wire: Wire,
    count: String,
}

impl Locked {
    fn new(server: &Server, table: &str) -> Self {
        let mut wire = Wire::login(("127.0.0.1", server.port), USER, PASSWORD).unwrap();
        wire.run(&format!("CREATE OR REPLACE TABLE shop.{table}(id INT)"))
            .unwrap();
        let mut locked = Self {
            wire,
            count: format!("SELECT COUNT(*) FROM shop.{table}"),
        };
        locked.again(table);
        locked
    }

    fn again(&mut self, table: &str) {
        let lock = format!("LOCK TABLES shop.{table} WRITE");
        self.wire.run(&lock).unwrap();
    }

    /// Somebody counts.
    fn is_waited_for(&self, server: &Server) {
        let waits = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '{}%' AND STATE LIKE 'Waiting for%'",
            self.count
        );
        eventually("it waits for the table", || {
            server.root(&waits).stdout == b"1\n"
        });
    }

    fn let_go(&mut self) {
        self.wire.run("UNLOCK TABLES").unwrap();
    }
}

fn activities(proxy: &Proxy) -> Vec<Activity> {
    proxy
        .registry
        .list()
        .iter()
        .map(|info| info.activity)
        .collect()
}

#[test]
fn a_commit_returns_when_it_is_released() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    proxy.sql("CREATE OR REPLACE TABLE held(id INT PRIMARY KEY)");
    proxy.gate.set(|state| state.withhold = true);
    for (number, statements) in [
        "INSERT INTO held VALUES (1); SELECT 'done';",
        "BEGIN; INSERT INTO held VALUES (2); COMMIT; SELECT 'done';",
        "CREATE OR REPLACE TABLE held2(id INT); SELECT 'done';",
        "INSERT INTO held VALUES (3) RETURNING 'id'; SELECT 'done';",
        "SET autocommit=0; INSERT INTO held VALUES (4); SET autocommit=1; SELECT 'done';",
        "XA START 'x'; INSERT INTO held VALUES (5); XA END 'x'; XA PREPARE 'x'; \
         XA COMMIT 'x'; SELECT 'done';",
        "PREPARE s FROM 'INSERT INTO held VALUES (6)'; EXECUTE s; SELECT 'done';",
    ]
    .into_iter()
    .enumerate()
    {
        proxy.gate.set(|state| state.withhold = true);
        let mut client = Running::start(&proxy, statements);
        eventually(statements, || {
            activities(&proxy).contains(&Activity::Waiting)
        });
        std::thread::sleep(PAUSE);
        assert!(!client.is_done(), "{statements}");
        // Others go on reading.
        assert_eq!(proxy.sql("SELECT 7"), "7\n");
        proxy.gate.set(|state| state.withhold = false);
        let (out, error) = client.finish();
        assert!(out.ends_with("done\n"), "{number}: {out} {error}");
    }
    assert_eq!(proxy.sql("SELECT COUNT(*) FROM held"), "6\n");
}

#[test]
fn what_commits_nothing_does_not_wait() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    proxy.sql("CREATE OR REPLACE TABLE calm(id INT PRIMARY KEY); INSERT INTO calm VALUES (1)");
    proxy.gate.set(|state| state.withhold = true);
    assert_eq!(
        proxy.sql(
            "BEGIN; INSERT INTO calm VALUES (2); SELECT COUNT(*) FROM calm; ROLLBACK; BEGIN; \
             COMMIT; SET @a = 1; \
             set autocommit=1, session_track_system_variables='auto_increment_increment', \
             sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES'); SELECT 'end'"
        ),
        "2\nend\n"
    );
    // Errors that leave no doubt.
    for statement in [
        "INSERT INTO calm VALUES (1)",
        "SELECT * FROM nowhere",
        "this is no SQL",
    ] {
        let output = proxy.client(&["shop"], statement);
        assert!(!output.status.success(), "{statement}");
    }
    assert!(!proxy.gate.asked().contains(&"everything".to_owned()));
}

#[test]
fn where_a_commit_is_uncertain_everything_is_waited_for() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    proxy.client(
        &["--delimiter=//", "shop"],
        "CREATE OR REPLACE TABLE unsure(id INT PRIMARY KEY)//\
         CREATE OR REPLACE PROCEDURE fails() BEGIN INSERT INTO unsure VALUES (1); \
         SIGNAL SQLSTATE '45000'; END//\
         CREATE OR REPLACE PROCEDURE late() BEGIN INSERT INTO unsure VALUES (2); SELECT 1; \
         SIGNAL SQLSTATE '45000'; END//",
    );
    for statement in [
        "CALL fails()",
        "CALL late()",
        "DROP TABLE nowhere",
        "CREATE TABLE unsure(a INT)",
    ] {
        let before = proxy.gate.asked().len();
        let output = proxy.client(&["shop"], statement);
        assert!(!output.status.success());
        let asked = proxy.gate.asked()[before..].to_vec();
        assert!(
            asked.contains(&"everything".to_owned()),
            "{statement}: {asked:?}"
        );
    }
    proxy.gate.set(|state| state.withhold = true);
    let mut client = Running::start(&proxy, "CALL fails();");
    eventually("waiting", || {
        activities(&proxy).contains(&Activity::Waiting)
    });
    std::thread::sleep(PAUSE);
    assert!(!client.is_done());
    proxy.gate.set(|state| state.withhold = false);
    assert!(client.finish().1.contains("1062"));
}

#[test]
fn tracking_cannot_be_switched_off() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    proxy.sql("CREATE OR REPLACE TABLE tracked(id INT AUTO_INCREMENT PRIMARY KEY)");
    for off in [
        "SET session_track_system_variables=''",
        "SET @@session.Session_Track_System_Variables='autocommit'",
        "/*!50000 SET session_track_system_variables='' */",
        "PREPARE s FROM \"SET session_track_system_variables=''\"; EXECUTE s",
        "EXECUTE IMMEDIATE \"SET session_track_system_variables=''\"",
    ] {
        proxy.sql(&format!("{off}; INSERT INTO tracked VALUES ()"));
        let asked = proxy.gate.asked();
        let last = asked.last().unwrap();
        assert!(last.starts_with("released 0-1-"), "{off}: {asked:?}");
    }
    // Off and a commit in one text: nothing names it.
    let before = proxy.gate.asked().len();
    let one_text = "SET session_track_system_variables=''; INSERT INTO tracked VALUES ()//";
    let output = proxy.client(&["--delimiter=//", "shop"], one_text);
    assert!(output.status.success(), "{output:?}");
    assert!(proxy.gate.asked()[before..].contains(&"everything".to_owned()));
    // The SET itself commits what went before.
    let before = proxy.gate.asked().len();
    proxy.sql(
        "SET autocommit=0; INSERT INTO tracked VALUES (); \
         SET session_track_system_variables='', autocommit=1",
    );
    assert!(proxy.gate.asked()[before..].contains(&"everything".to_owned()));
    // A client that asks for it itself keeps what it set.
    let kept = proxy.sql(
        "SET session_track_system_variables='autocommit,last_gtid'; \
         SELECT @@session_track_system_variables",
    );
    assert!(kept.contains("last_gtid"), "{kept}");
}

#[test]
fn holds() {
    let server = Server::shared();
    let config = Config {
        command_hold: Duration::from_secs(20),
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    let mut locked = Locked::new(&server, "holds");
    // A command at a closed gate, then its result at a suspicious one.
    let statements = format!("{}; SELECT 'shown';", locked.count);
    let mut client = Running::start(&proxy, &statements);
    eventually("running", || {
        activities(&proxy).contains(&Activity::Running)
    });
    locked.is_waited_for(&server);
    proxy.gate.set(|state| state.may_show = false);
    locked.let_go();
    eventually("withheld", || {
        activities(&proxy).contains(&Activity::Withheld)
    });
    std::thread::sleep(PAUSE);
    assert!(!client.is_done());
    proxy.gate.set(|state| state.may_show = true);
    assert_eq!(client.finish().0, "0\nshown\n");

    locked.again("holds");
    let statements = format!("{}; SELECT 'after';", locked.count);
    let client = Running::start(&proxy, &statements);
    eventually("running", || {
        activities(&proxy).contains(&Activity::Running)
    });
    locked.is_waited_for(&server);
    proxy.gate.set(|state| state.open = false);
    locked.let_go();
    eventually("withheld", || {
        activities(&proxy).contains(&Activity::Withheld)
    });
    proxy.gate.set(|state| state.open = true);
    assert_eq!(client.finish().0, "0\nafter\n");

    // A login that is held too long says why.
    let config = Config {
        login_hold: Duration::from_secs(1),
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    proxy.gate.set(|state| state.open = false);
    let output = proxy.client(&["shop"], "SELECT 1");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("1429") && error.contains("ackline:"),
        "{error}"
    );
    assert!(error.contains("the test holds"), "{error}");
    proxy.gate.set(|state| state.open = true);
    // So does one whose source is not there.
    proxy
        .gate
        .set(|state| state.source = Some("127.0.0.1:1".into()));
    let output = proxy.client(&["shop"], "SELECT 1");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("1429") && error.contains("refused"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_held_too_long_is_refused_and_the_session_goes_on() {
    use mysql_async::prelude::Queryable;
    let server = Server::shared();
    let config = Config {
        command_hold: Duration::from_millis(300),
        ..Config::default()
    };
    let proxy = Proxy::with(&server, config);
    let mut conn = mysql_async::Conn::new(proxy.options()).await.unwrap();
    proxy.gate.set(|state| state.open = false);
    let refused = conn.query_drop("SELECT 1").await.unwrap_err().to_string();
    assert!(
        refused.contains("ackline:") && refused.contains("the test holds"),
        "{refused}"
    );
    proxy.gate.set(|state| state.open = true);
    let one: Option<i32> = conn.query_first("SELECT 1").await.unwrap();
    assert_eq!(one, Some(1));
    // The source moves: the session ends at its next command.
    proxy.gate.set(|state| state.epoch = Epoch(2));
    let moved = conn.query_drop("SELECT 1").await.unwrap_err().to_string();
    assert!(moved.contains("the source has moved"), "{moved}");
}

#[test]
fn kills_are_asked_about() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut victim = Running::start(&proxy, "SELECT SLEEP(600);");
    eventually("running", || {
        activities(&proxy).contains(&Activity::Running)
    });
    let id = proxy.registry.list()[0].connection;
    proxy.gate.set(|state| state.kills_wait = true);
    for statement in [
        format!("KILL QUERY {id}"),
        format!("SELECT 1; /* x */ KILL {id}"),
    ] {
        let output = proxy.client(&["--delimiter=//"], &format!("{statement}//"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            error.contains("ERROR 1095") && error.contains("ackline:"),
            "{error}"
        );
    }
    assert!(!victim.is_done());
    // mariadb-admin kill sends COM_PROCESS_KILL.
    let admin = |id: u32| {
        Command::new("mariadb-admin")
            .args([
                "--no-defaults",
                "--skip-ssl-verify-server-cert",
                "-h127.0.0.1",
            ])
            .args([
                format!("-P{}", proxy.port),
                format!("-u{USER}"),
                format!("-p{PASSWORD}"),
            ])
            .args(["kill", &id.to_string()])
            .output()
            .unwrap()
    };
    assert!(!admin(id).status.success());
    proxy.gate.set(|state| state.kills_wait = false);
    assert!(admin(id).status.success());
    let (_, error) = victim.finish();
    // The source's own words reach the client, or the bare end of the connection.
    assert!(error.contains("ERROR"), "{error}");
}

#[test]
fn replication_is_not_for_this_port() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let output = Command::new("mariadb-binlog")
        .args(["--no-defaults", "--skip-ssl-verify-server-cert"])
        .args(["-R", "-h127.0.0.1"])
        .args([
            format!("-P{}", proxy.port),
            format!("-u{USER}"),
            format!("-p{PASSWORD}"),
        ])
        .arg("bin.000001")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("replication port"), "{error}");
}

#[test]
fn either_end_ends_the_other() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut client = Running::start(&proxy, "SELECT SLEEP(600);");
    eventually("running", || {
        activities(&proxy).contains(&Activity::Running)
    });
    let id = proxy.registry.list()[0].connection;
    client.0.kill().unwrap();
    client.0.wait().unwrap();
    eventually("the session is gone", || proxy.registry.is_empty());
    // While its commit waits here, too.
    proxy.sql("CREATE OR REPLACE TABLE left_alone(id INT)");
    proxy.gate.set(|state| state.withhold = true);
    let mut client = Running::start(&proxy, "INSERT INTO left_alone VALUES (1);");
    eventually("waiting", || {
        activities(&proxy).contains(&Activity::Waiting)
    });
    client.0.kill().unwrap();
    client.0.wait().unwrap();
    eventually("the session is gone", || proxy.registry.is_empty());
    proxy.gate.set(|state| state.withhold = false);

    let client = Running::start(&proxy, "SELECT SLEEP(600);");
    eventually("running", || {
        activities(&proxy).contains(&Activity::Running)
    });
    let second = proxy.registry.list()[0].connection;
    assert_ne!(id, second);
    server.root(&format!("KILL {second}"));
    let (_, error) = client.finish();
    assert!(error.contains("ERROR"), "{error}");
    eventually("the session is gone", || proxy.registry.is_empty());
}

#[test]
fn a_client_that_leaves_in_its_login_is_no_connection_error() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    for _ in 0..3 {
        let mut probe = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        probe.read_exact(&mut [0; 20]).unwrap();
    }
    eventually("the source was told", || {
        server.log().matches("'ackline: client left'").count() >= 3
    });
    assert!(
        !server
            .log()
            .contains("Got an error reading communication packets")
    );
    eventually("the sessions are gone", || proxy.registry.is_empty());
    assert_eq!(proxy.sql("SELECT 1"), "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_running_commands_finish() {
    use mysql_async::prelude::Queryable;
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut idle = mysql_async::Conn::new(proxy.options()).await.unwrap();
    let mut running = mysql_async::Conn::new(proxy.options()).await.unwrap();
    let mut locked = Locked::new(&server, "drains");
    let count = locked.count.clone();
    let query = tokio::spawn(async move {
        let rows: Option<i32> = running.query_first(count).await.unwrap();
        rows
    });
    locked.is_waited_for(&server);
    // The drain begins first.
    let let_go = async {
        tokio::time::sleep(PAUSE).await;
        locked.let_go();
    };
    let drain = proxy.shutdown.drain(Duration::from_secs(30));
    let (drained, ()) = tokio::join!(drain, let_go);
    assert!(drained);
    assert_eq!(query.await.unwrap(), Some(0));
    let error = idle.query_drop("SELECT 1").await.unwrap_err().to_string();
    assert!(
        error.contains("1053") || error.contains("losed") || error.contains("Broken"),
        "{error}"
    );
}

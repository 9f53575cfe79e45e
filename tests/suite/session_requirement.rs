//! What one session asks beyond the policy, on the way to a real server, with a gate in the test's hand.

use std::time::Duration;

use crate::support::session::{Proxy, Server, eventually};
use ackline::session::Activity;
use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Error};
use tokio::task::JoinHandle;

const HINT: &str = "/* ackline: require=ANY 2 (*) received */";
const MET: &str = "LOCAL durable AND ANY 2 (*) received";
/// Long enough for an answer to arrive if nothing holds it.
const PAUSE: Duration = Duration::from_millis(300);

async fn connect(proxy: &Proxy) -> Conn {
    Conn::new(proxy.options()).await.unwrap()
}

async fn table(proxy: &Proxy, name: &str) -> Conn {
    let mut conn = connect(proxy).await;
    let create = format!("CREATE OR REPLACE TABLE {name}(id INT AUTO_INCREMENT PRIMARY KEY)");
    conn.query_drop(create).await.unwrap();
    proxy.gate.set(|state| state.asked.clear());
    conn
}

/// What was asked of the gate beyond the policy since the last call.
fn met(proxy: &Proxy) -> Vec<String> {
    let mut asked = proxy.gate.asked();
    proxy.gate.set(|state| state.asked.clear());
    asked.retain(|asked| asked.contains("met"));
    let last = |asked: String| asked.splitn(3, ' ').last().unwrap().to_owned();
    asked.into_iter().map(last).collect()
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, what: &str) -> String {
    let Err(Error::Server(error)) = &result else {
        panic!("{what}: {result:?}");
    };
    assert_eq!((error.code, &*error.state), (1231, "42000"), "{what}");
    assert!(error.message.starts_with("ackline: "), "{error:?}");
    error.message.clone()
}

/// A statement under way.
fn begin(mut conn: Conn, statement: &str) -> JoinHandle<Result<Conn, Error>> {
    let statement = statement.to_owned();
    tokio::spawn(async move { conn.query_drop(statement).await.map(|()| conn) })
}

fn waiting(proxy: &Proxy) -> bool {
    let list = proxy.registry.list();
    list.iter().any(|info| info.activity == Activity::Waiting)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_is_for_its_statement() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut other = table(&proxy, "hinted").await;
    let hinted = connect(&proxy).await;
    proxy.gate.set(|state| state.unmet = true);
    let insert = format!("{HINT} INSERT INTO hinted VALUES ()");
    let running = begin(hinted, &insert);
    eventually("it waits", || waiting(&proxy));
    tokio::time::sleep(PAUSE).await;
    assert!(!running.is_finished());
    // Others do not, and see its row: the policy has released it.
    other
        .query_drop("INSERT INTO hinted VALUES ()")
        .await
        .unwrap();
    let rows: Option<u32> = other
        .query_first("SELECT COUNT(*) FROM hinted")
        .await
        .unwrap();
    assert_eq!(rows, Some(2));
    proxy.gate.set(|state| state.unmet = false);
    let mut hinted = running.await.unwrap().unwrap();
    assert_eq!(met(&proxy), [MET]);
    // The next statement is one like any other.
    hinted
        .query_drop("INSERT INTO hinted VALUES ()")
        .await
        .unwrap();
    hinted.query_drop(format!("{HINT} SELECT 1")).await.unwrap();
    assert_eq!(met(&proxy), [""; 0]);
    // A failed commit may have been one: then everything that the source has.
    let failing = format!("{HINT} DROP TABLE nowhere");
    hinted.query_drop(failing).await.unwrap_err();
    assert_eq!(met(&proxy).len(), 1);
    let long = format!("{insert} /* {} */", "x".repeat(100_000));
    hinted.query_drop(long).await.unwrap();
    assert_eq!(met(&proxy), [MET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_within_a_transaction_is_for_that() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = table(&proxy, "within").await;
    for (statements, waits) in [
        (
            [
                "BEGIN",
                "/*ackline:require=ANY 2 (*) received*/ INSERT INTO within VALUES ()",
                "COMMIT",
            ],
            1,
        ),
        (
            [
                "/*ackline:require=ANY 2 (*) received*/ BEGIN",
                "INSERT INTO within VALUES ()",
                "COMMIT",
            ],
            1,
        ),
        (
            [
                "BEGIN",
                "INSERT INTO within VALUES ()",
                "/*ackline:require=ANY 2 (*) received*/ COMMIT",
            ],
            1,
        ),
        (
            [
                "BEGIN",
                "/*ackline:require=ANY 2 (*) received*/ INSERT INTO within VALUES ()",
                "ROLLBACK",
            ],
            0,
        ),
        (["BEGIN", "INSERT INTO within VALUES ()", "COMMIT"], 0),
        (
            [
                "/*ackline:require=ANY 2 (*) received*/ BEGIN",
                "INSERT INTO within VALUES ()",
                "DROP TABLE IF EXISTS gone",
            ],
            1,
        ),
    ] {
        for statement in statements {
            conn.query_drop(statement).await.unwrap();
        }
        assert_eq!(met(&proxy).len(), waits, "{statements:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_keeps_its_hint() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = table(&proxy, "prepared").await;
    let hinted = conn
        .prep(format!("{HINT} INSERT INTO prepared VALUES (?)"))
        .await
        .unwrap();
    let plain = conn.prep("INSERT INTO prepared VALUES (?)").await.unwrap();
    for id in 1..=3 {
        conn.exec_drop(&hinted, (id,)).await.unwrap();
        assert_eq!(met(&proxy), [MET]);
        conn.exec_drop(&plain, (id + 10,)).await.unwrap();
        assert_eq!(met(&proxy), [""; 0]);
    }
    let wrong = "/* ackline: require=ANY 2 */ INSERT INTO prepared VALUES (?)";
    refused(conn.prep(wrong).await.map(drop), wrong);
    let set = "SET @ackline_require = 'ALL applied'";
    refused(conn.prep(set).await.map(drop), set);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variable_is_for_its_session() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = table(&proxy, "asked").await;
    let insert = "INSERT INTO asked VALUES ()";
    let set = "SET @ackline_require = 'ANY 2 (*) received'";
    let value = "SELECT @ackline_require";

    conn.query_drop(set).await.unwrap();
    conn.query_drop(insert).await.unwrap();
    assert_eq!(met(&proxy), [MET]);
    // It is the source's variable too.
    let there: Option<String> = conn.query_first(value).await.unwrap();
    assert_eq!(there.as_deref(), Some("ANY 2 (*) received"));
    // A hint comes on top.
    let hinted = format!("/* ackline: require=ALL applied */ {insert}");
    conn.query_drop(hinted).await.unwrap();
    assert_eq!(
        met(&proxy),
        [format!("{MET} AND LOCAL durable AND ALL applied")]
    );
    let mut other = connect(&proxy).await;
    other.query_drop(insert).await.unwrap();
    assert_eq!(met(&proxy), [""; 0]);

    for cleared in ["SET @ackline_require = NULL", "SET @ackline_require = ''"] {
        conn.query_drop(set).await.unwrap();
        conn.query_drop(cleared).await.unwrap();
        conn.query_drop(insert).await.unwrap();
        assert_eq!(met(&proxy), [""; 0], "{cleared}");
    }
    conn.query_drop(set).await.unwrap();
    assert!(conn.reset().await.unwrap(), "COM_RESET_CONNECTION");
    conn.query_drop(insert).await.unwrap();
    assert_eq!(met(&proxy), [""; 0]);
    conn.query_drop(set).await.unwrap();
    let same = ChangeUserOpts::default().with_db_name(Some("shop".into()));
    conn.change_user(same).await.unwrap();
    conn.query_drop(insert).await.unwrap();
    assert_eq!(met(&proxy), [""; 0]);

    // A SET that fails sets nothing.
    let fails = "SET @ackline_require = 'ALL applied', sql_mode = 'nonsense'";
    conn.query_drop(fails).await.unwrap_err();
    conn.query_drop(insert).await.unwrap();
    assert_eq!(met(&proxy), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_not_run() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = table(&proxy, "wrong").await;
    conn.query_drop("SET @ackline_require = 'ALL applied', @x = 1")
        .await
        .unwrap();
    for (statement, says) in [
        (
            "SET @ackline_require = 'ANY', @x = 2",
            "can't be set to the value of 'ANY': column 4",
        ),
        ("SET @ackline_require = @y, @x = 2", "write a literal"),
        ("SET @x = 2; SET @ackline_require = ''", "write a literal"),
        (
            "EXECUTE IMMEDIATE \"SET @ackline_require = ''\"",
            "write a literal",
        ),
        (
            "SET @ackline_require = 'ANY 3 (*) received', @x = 2",
            "can never be met",
        ),
        (
            "SET @ackline_require = 'ALL (nobody) received', @x = 2",
            "'nobody' is no [[server]]",
        ),
        (
            "/* ackline: require=ANY 2 */ INSERT INTO wrong VALUES ()",
            "the hint require=ANY 2 is wrong",
        ),
        (
            "/* ackline: wait=5 */ INSERT INTO wrong VALUES ()",
            "the hint 'wait=5' is not known",
        ),
        (
            "/* ackline: require=ANY 3 (*) applied */ INSERT INTO wrong VALUES ()",
            "can never be met",
        ),
    ] {
        let message = refused(conn.query_drop(statement).await, statement);
        assert!(message.contains(says), "{statement}: {message}");
    }
    let filler = "x".repeat(100_000);
    let large = format!("/* ackline: require=ANY 2 */ INSERT INTO wrong VALUES () /* {filler} */");
    refused(conn.query_drop(large).await, "a large one");
    let row: Option<(u32, u32, String)> = conn
        .query_first("SELECT @x, (SELECT COUNT(*) FROM wrong), @ackline_require")
        .await
        .unwrap();
    assert_eq!(row, Some((1, 0, "ALL applied".into())));
    // What was asked before is still asked.
    conn.query_drop("INSERT INTO wrong VALUES ()")
        .await
        .unwrap();
    assert_eq!(met(&proxy).len(), 1);
    // A text that comes in parts is not read as a whole.
    let parts = format!(
        "SELECT '{}'; SET @ackline_require = ''",
        "x".repeat(1 << 20)
    );
    refused(conn.query_drop(parts).await, "in parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_who_waits_is_refused_and_who_leaves_is_gone() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut killer = table(&proxy, "killed").await;
    let asking = connect(&proxy).await;
    let connection = asking.id();
    proxy.gate.set(|state| state.unmet = true);
    let insert = format!("{HINT} INSERT INTO killed VALUES ()");
    let running = begin(asking, &insert);
    eventually("it waits", || waiting(&proxy));
    for kill in ["KILL", "KILL QUERY", "KILL HARD CONNECTION"] {
        let refused = killer.query_drop(format!("{kill} {connection}")).await;
        let Err(Error::Server(error)) = &refused else {
            panic!("{kill}: {refused:?}");
        };
        assert_eq!(error.code, 1095, "{error:?}");
        assert!(
            error.message.contains("waits for acknowledgements"),
            "{error:?}"
        );
    }
    assert!(!running.is_finished());
    running.abort();
    eventually("it is gone", || proxy.registry.len() == 1);
    killer
        .query_drop(format!("KILL {connection}"))
        .await
        .unwrap_err();
    proxy.gate.set(|state| state.unmet = false);
    let rows: Option<u32> = killer
        .query_first("SELECT COUNT(*) FROM killed")
        .await
        .unwrap();
    assert_eq!(rows, Some(1));
}

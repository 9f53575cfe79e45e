//! Replication hazards: refused on the way to a real server, unless the user is listed.

use crate::support::session::{Proxy, Server, USER};
use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Error};

/// What must stay as it is.
const SESSION: &str = "SELECT CONCAT_WS(' ', @@sql_log_bin, @@skip_replication, @@gtid_domain_id, \
    @@gtid_seq_no, @@server_id)";
const GLOBAL: &str = "SELECT @@global.rpl_semi_sync_master_enabled, \
    @@global.rpl_semi_sync_master_timeout, @@global.sync_binlog, @@global.read_only, \
    @@global.innodb_flush_log_at_trx_commit, @@global.binlog_format, @@global.gtid_binlog_pos, \
    @@global.gtid_domain_id, @@global.gtid_slave_pos, @@global.expire_logs_days; \
    SHOW BINARY LOGS; SHOW ALL SLAVES STATUS";

const HAZARDS: [&str; 32] = [
    "SET sql_log_bin=0",
    "SET SESSION sql_log_bin = OFF",
    "SET @@sql_log_bin := 0",
    "set /* x */ `sql_log_bin`\n=\t0",
    "SET @a = IF(1, 2, 3), @@session.sql_log_bin = 0",
    "SET sql_log_bin=@unset_and_therefore_null",
    "SET skip_replication=1",
    "SET gtid_domain_id=7",
    "SET gtid_seq_no=1000",
    "SET server_id=99",
    "SET STATEMENT sql_log_bin=0 FOR CREATE TABLE hidden(id INT)",
    "SET STATEMENT lock_wait_timeout=1 FOR SET sql_log_bin=0",
    "/*!50003 SET sql_log_bin=0 */",
    "/*M!100000 SET sql_log_bin=0 */",
    "SELECT 1; SET sql_log_bin=0",
    "PREPARE s FROM 'SET sql_log_bin=0'",
    "EXECUTE IMMEDIATE \"SET sql_log_bin=0\"",
    "BEGIN NOT ATOMIC SET sql_log_bin=0; END",
    "CREATE PROCEDURE hides() SET sql_log_bin=0",
    "SET GLOBAL rpl_semi_sync_master_enabled=1",
    "SET @@global.rpl_semi_sync_master_timeout=1",
    "SET GLOBAL sync_binlog=7, read_only=1",
    "SET GLOBAL innodb_flush_log_at_trx_commit=0",
    "SET GLOBAL binlog_format=STATEMENT",
    "SET GLOBAL gtid_slave_pos='5-5-5'",
    "RESET MASTER",
    "SELECT 1 /*! ; RESET MASTER */",
    "PURGE BINARY LOGS BEFORE NOW()",
    "FLUSH BINARY LOGS DELETE_DOMAIN_ID=(7)",
    "CHANGE MASTER TO master_host='127.0.0.1'",
    "RESET SLAVE ALL",
    "STOP ALL SLAVES",
];

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, what: &str) -> String {
    let Err(Error::Server(error)) = &result else {
        panic!("{what}: {result:?}");
    };
    assert_eq!((error.code, &*error.state), (1227, "42000"), "{what}");
    assert!(error.message.starts_with("ackline: "), "{error:?}");
    error.message.clone()
}

fn global(server: &Server) -> String {
    let output = server.root(GLOBAL);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn session(conn: &mut Conn) -> String {
    conn.query_first(SESSION).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_refused_and_changes_nothing() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(&server);
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    let before = (session(&mut conn).await, global(&server));
    for hazard in HAZARDS {
        let message = refused(conn.query_drop(hazard).await, hazard);
        assert!(
            message.contains("allow_hazards") && message.contains("'app'"),
            "{message}"
        );
        refused(conn.prep(hazard).await.map(drop), hazard);
        assert_eq!(session(&mut conn).await, before.0, "{hazard}");
    }
    assert_eq!(global(&server), before.1);
    // Sentences that a DBA understands.
    let message = refused(conn.query_drop("SET sql_log_bin=0").await, "");
    assert!(
        message.contains("SET sql_log_bin would keep changes of this session from the binlog"),
        "{message}"
    );
    // At the command line it looks like any other error.
    let output = proxy.client(&["shop"], "SET sql_log_bin=0");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("ERROR 1227 (42000)") && error.contains("ackline:"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_no_harm_passes() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    for harmless in [
        "SET sql_log_bin=1",
        "SET SESSION sql_log_bin=DEFAULT",
        "SET skip_replication=0",
        "SET gtid_domain_id=DEFAULT",
        "SET SESSION binlog_format=ROW",
        "SET @sql_log_bin=0",
        "SELECT @@sql_log_bin, 'RESET MASTER; SET sql_log_bin=0;'",
        "SHOW VARIABLES LIKE 'sql_log_bin'; SHOW BINARY LOGS",
        "CREATE OR REPLACE TABLE named(server_id INT, read_only INT, kind SET('a', 'b'))",
        "INSERT INTO named SET server_id=1, read_only=0",
        "UPDATE named SET server_id=5, read_only=1; SELECT 1",
        "SET GLOBAL max_connect_errors=200",
        "FLUSH BINARY LOGS",
        "RESET QUERY CACHE",
        "START TRANSACTION; COMMIT",
        "SET STATEMENT sql_log_bin=1 FOR INSERT INTO named VALUES (1, 2, 'a')",
        "PREPARE s FROM 'SELECT 1'; EXECUTE s; DEALLOCATE PREPARE s",
    ] {
        let done = conn.query_drop(harmless).await;
        assert!(done.is_ok(), "{harmless}: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_user_may() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    refused(conn.query_drop("SET sql_log_bin=0").await, "not listed");
    // The list counts from the next command on.
    proxy.allowed.set(vec!["root".into(), USER.into()]);
    conn.query_drop("SET sql_log_bin=0, gtid_domain_id=7")
        .await
        .unwrap();
    let now = session(&mut conn).await;
    assert!(now.starts_with("OFF OFF 7 "), "{now}");
    conn.query_drop("PREPARE s FROM 'SET sql_log_bin=0'")
        .await
        .unwrap();
    // The session belongs to somebody else now.
    let other = ChangeUserOpts::default()
        .with_user(Some("other".into()))
        .with_pass(Some("other".into()))
        .with_db_name(Some("shop".into()));
    conn.change_user(other).await.unwrap();
    let message = refused(conn.query_drop("SET sql_log_bin=0").await, "other");
    assert!(message.contains("'other'"), "{message}");
    assert_eq!(proxy.registry.list()[0].user, "other");
    // Not by a login that failed.
    proxy.allowed.set(vec!["nobody".into()]);
    let wrong = ChangeUserOpts::default().with_user(Some("nobody".into()));
    assert!(conn.change_user(wrong).await.is_err());
    proxy.allowed.set(Vec::new());
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    refused(conn.query_drop("SET sql_log_bin=0").await, "not any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_texts_of_any_size() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let filler = |size: usize| {
        let text = "; RESET MASTER; it''s ".repeat(size / 22);
        format!("SELECT LENGTH('{text}')")
    };
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    for size in [100, 70_000, 1 << 20, 17 << 20] {
        // Only a string speaks of it.
        let passed = conn.query_drop(filler(size)).await;
        assert!(passed.is_ok(), "{size}: {passed:?}");
        // Seen before anything was relayed: the session goes on.
        let first = format!("SET sql_log_bin=0; {}", filler(size));
        refused(conn.query_drop(first).await, &format!("first of {size}"));
        let now = session(&mut conn).await;
        assert!(now.starts_with("ON OFF 0 "), "{now}");
    }
    for size in [70_000, 1 << 20, 17 << 20] {
        let mut conn = Conn::new(proxy.options()).await.unwrap();
        let last = format!(
            "{}; CREATE OR REPLACE TABLE shop.half_sent(id INT); SET sql_log_bin=0",
            filler(size)
        );
        refused(conn.query_drop(last).await, &format!("last of {size}"));
        // A part of it was at the source, so the session is over; nothing of it was run. (The
        // smallest may have come in at once.)
        let over = conn.query_drop("SELECT 1").await.is_err();
        assert!(over || size == 70_000, "{size}");
    }
    let tables: Vec<String> = conn.query("SHOW TABLES LIKE 'half_sent'").await.unwrap();
    assert!(tables.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_end_where_the_session_ends_them() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    let text = r"SELECT 'a\'; SET sql_log_bin=0; -- '";
    conn.query_drop(text).await.unwrap();
    conn.query_drop("SET sql_mode='NO_BACKSLASH_ESCAPES'")
        .await
        .unwrap();
    refused(conn.query_drop(text).await, "a backslash is plain");
    conn.query_drop("SET sql_mode=DEFAULT").await.unwrap();
    conn.query_drop(text).await.unwrap();
}

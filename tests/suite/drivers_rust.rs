//! mysql_async and sqlx, as tests/drivers.rs has it for others: the same facts directly and proxied, in clear
//! and over TLS; and pools that outlive a proxy.

#[path = "../drivers/ways.rs"]
#[allow(dead_code, reason = "tests/drivers.rs uses the rest of it")]
mod ways;

use std::fmt::{Debug, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::support::Flavor;
use mysql_async::prelude::Queryable;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use ways::{Way, Ways};

const TEXT: &str = "Grüße 🐬 日本 '\"\\ ?";
const TYPES: &str = "CREATE TABLE drv_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, exact DECIMAL(38,10), \
     text_ TEXT CHARACTER SET utf8mb4, bytes_ LONGBLOB, date_ DATE, time_ TIME(6), datetime_ DATETIME(6), nothing INT NULL)";
const ROW: &str = "SELECT big, CAST(exact AS CHAR), text_, bytes_, CAST(date_ AS CHAR), CAST(time_ AS CHAR), \
     CAST(datetime_ AS CHAR), nothing FROM drv_types WHERE id = ?";
const BIG: &str = "SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n, REPEAT('x', 100) \
     FROM drv_ten a, drv_ten b, drv_ten c, drv_ten d, drv_ten e, drv_ten f WHERE f.n < 2 ORDER BY n";
const SLOW: &str = "SELECT n FROM drv_ten WHERE SLEEP(60) = 0";
const EXACT: &str = "1234567890123456789012345678.0123456789";
/// Longer than one packet of the protocol.
const LARGE: usize = 17 << 20;

type Fields = (
    u64,
    String,
    String,
    Vec<u8>,
    String,
    String,
    String,
    Option<i32>,
);

#[derive(Default)]
struct Facts(String);

impl Facts {
    fn add(&mut self, name: &str, value: impl Debug) {
        writeln!(self.0, "{name}: {value:?}").unwrap();
    }
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at % 251) as u8).collect()
}

fn mysql_async_options(way: &Way) -> mysql_async::OptsBuilder {
    let account = &way.account;
    let tls = way.tls_ca.as_ref().map(|ca| {
        mysql_async::SslOpts::default()
            .with_root_certs(vec![PathBuf::from(ca).into()])
            .with_disable_built_in_roots(true)
    });
    mysql_async::OptsBuilder::default()
        .ip_or_hostname(account.host.clone())
        .tcp_port(account.port)
        .user(Some(&account.user))
        .pass(Some(&account.password))
        .db_name(account.database.as_ref())
        .prefer_socket(false)
        .max_allowed_packet(Some(64 << 20))
        .ssl_opts(tls)
}

fn sqlx_options(way: &Way) -> MySqlConnectOptions {
    let account = &way.account;
    let options = MySqlConnectOptions::new()
        .host(&account.host)
        .port(account.port)
        .username(&account.user)
        .password(&account.password)
        .database(account.database.as_deref().unwrap())
        .disable_statement_logging();
    match &way.tls_ca {
        Some(ca) => options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(ca),
        None => options.ssl_mode(MySqlSslMode::Disabled),
    }
}

async fn mysql_async_says(way: &Way) -> String {
    let options = || mysql_async_options(way);
    let number = |error: mysql_async::Error| match error {
        mysql_async::Error::Server(error) => error.code.to_string(),
        mysql_async::Error::Io(_) => "the connection".to_owned(),
        other => other.to_string(),
    };
    let mut facts = Facts::default();
    let mut conn = mysql_async::Conn::new(options()).await.unwrap();
    let answer: Option<u64> = conn.query_first("SELECT 6 * 7").await.unwrap();
    facts.add("connect", answer);
    let wrong = mysql_async::Conn::new(options().pass(Some("wrong"))).await;
    facts.add("connect.refused", number(wrong.unwrap_err()));
    for drop in ["drv_types", "drv_ten", "drv_account"] {
        conn.query_drop(format!("DROP TABLE IF EXISTS {drop}"))
            .await
            .unwrap();
    }
    conn.query_drop(TYPES).await.unwrap();
    let insert = "INSERT INTO drv_types VALUES (?, ?, ?, ?, ?, '2024-02-29', '-112:34:56.123456', \
         '2024-02-29 23:59:59.123456', NULL)";
    conn.exec_drop(insert, (1, u64::MAX, EXACT, TEXT, large()))
        .await
        .unwrap();
    let row: Option<Fields> = conn.exec_first(ROW, (1,)).await.unwrap();
    let row = row.unwrap();
    facts.add("blob.same", row.3 == large());
    facts.add("types", (row.0, row.1, row.2, row.4, row.5, row.6, row.7));
    facts.add(
        "prepared.error",
        number(
            conn.exec_drop("SELECT * FROM drv_nowhere WHERE id = ?", (1,))
                .await
                .unwrap_err(),
        ),
    );
    conn.query_drop("CREATE TABLE drv_ten (n INT PRIMARY KEY)")
        .await
        .unwrap();
    conn.exec_batch("INSERT INTO drv_ten VALUES (?)", (0..10).map(|n| (n,)))
        .await
        .unwrap();
    let big: Vec<(u64, String)> = conn.query(BIG).await.unwrap();
    let sum: u64 = big.iter().map(|row| row.0).sum();
    facts.add("big", (big.len(), sum));
    let big: Vec<(u64, String)> = conn.exec(BIG, ()).await.unwrap();
    facts.add("big.prepared", big.len());
    conn.query_drop("CREATE TABLE drv_account (id INT PRIMARY KEY) ENGINE=InnoDB")
        .await
        .unwrap();
    for commits in [false, true] {
        let mut transaction = conn
            .start_transaction(mysql_async::TxOpts::default())
            .await
            .unwrap();
        transaction
            .query_drop("INSERT INTO drv_account VALUES (1)")
            .await
            .unwrap();
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
        let count: Option<u64> = conn
            .query_first("SELECT COUNT(*) FROM drv_account")
            .await
            .unwrap();
        facts.add("transaction", (commits, count));
    }
    let mut results = conn
        .query_iter("SELECT 1; SELECT 2; DO 0; SELECT 3")
        .await
        .unwrap();
    let mut all = Vec::new();
    while !results.is_empty() {
        all.push(results.collect::<u32>().await.unwrap());
    }
    drop(results);
    facts.add("multi", all);
    conn.reset().await.unwrap();

    let mut killer = mysql_async::Conn::new(options()).await.unwrap();
    for kind in ["QUERY", "CONNECTION"] {
        let id = conn.id();
        let (slow, ()) = tokio::join!(conn.query_drop(SLOW), async {
            let running = format!(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id} AND INFO = '{SLOW}'"
            );
            while killer.query_first::<u64, _>(&running).await.unwrap() != Some(1) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            killer
                .query_drop(format!("KILL {kind} {id}"))
                .await
                .unwrap();
        });
        // An error first, or only the end of the stream: the server closes at once.
        let said = number(slow.unwrap_err());
        facts.add(kind, if kind == "QUERY" { &said } else { "an error" });
    }
    facts.add("kill.told", conn.ping().await.is_err());
    let mut again = mysql_async::Conn::new(options()).await.unwrap();
    let answer: Option<u64> = again.query_first("SELECT 4").await.unwrap();
    facts.add("kill.reconnect", answer);
    for conn in [again, killer] {
        conn.disconnect().await.unwrap();
    }
    facts.0
}

async fn sqlx_says(way: &Way) -> String {
    let options = sqlx_options(way);
    let number = |error: sqlx::Error| match error {
        sqlx::Error::Database(error) => error
            .downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
            .number()
            .to_string(),
        sqlx::Error::Io(_) => "the connection".to_owned(),
        other => other.to_string(),
    };
    let mut facts = Facts::default();
    let mut conn = options.connect().await.unwrap();
    let row = conn.fetch_one("SELECT 6 * 7").await.unwrap();
    facts.add("connect", row.get::<i64, _>(0));
    let wrong = options.clone().password("wrong").connect().await;
    facts.add("connect.refused", number(wrong.unwrap_err()));
    for drop in ["drv_types", "drv_ten", "drv_account"] {
        let drop = format!("DROP TABLE IF EXISTS {drop}");
        conn.execute(drop.as_str()).await.unwrap();
    }
    conn.execute(TYPES).await.unwrap();
    sqlx::query(
        "INSERT INTO drv_types VALUES (?, ?, ?, ?, ?, '2024-02-29', '-112:34:56.123456', \
         '2024-02-29 23:59:59.123456', ?)",
    )
    .bind(1)
    .bind(u64::MAX)
    .bind(EXACT)
    .bind(TEXT)
    .bind(large())
    .bind(None::<i32>)
    .execute(&mut conn)
    .await
    .unwrap();
    let row: Fields = sqlx::query_as(ROW)
        .bind(1)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    facts.add("blob.same", row.3 == large());
    facts.add("types", (row.0, row.1, row.2, row.4, row.5, row.6, row.7));
    let missing = sqlx::query("SELECT * FROM drv_nowhere WHERE id = ?")
        .bind(1)
        .execute(&mut conn)
        .await;
    facts.add("prepared.error", number(missing.unwrap_err()));
    conn.execute("CREATE TABLE drv_ten (n INT PRIMARY KEY)")
        .await
        .unwrap();
    for n in 0..10 {
        sqlx::query("INSERT INTO drv_ten VALUES (?)")
            .bind(n)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let text = conn.fetch_all(BIG).await.unwrap();
    let binary = sqlx::query(BIG).fetch_all(&mut conn).await.unwrap();
    facts.add("big", (text.len(), binary.len()));
    conn.execute("CREATE TABLE drv_account (id INT PRIMARY KEY) ENGINE=InnoDB")
        .await
        .unwrap();
    for commits in [false, true] {
        let mut transaction = conn.begin().await.unwrap();
        transaction
            .execute("INSERT INTO drv_account VALUES (1)")
            .await
            .unwrap();
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
        let row = conn
            .fetch_one("SELECT COUNT(*) FROM drv_account")
            .await
            .unwrap();
        facts.add("transaction", (commits, row.get::<i64, _>(0)));
    }
    let pool = MySqlPoolOptions::new()
        .max_connections(4)
        .connect_with(options.clone())
        .await
        .unwrap();
    let mut sum = 0;
    for n in 0..50_i64 {
        sum += sqlx::query_scalar::<_, i64>("SELECT ? + 1")
            .bind(n)
            .fetch_one(&pool)
            .await
            .unwrap();
    }
    facts.add("pool", sum);
    let row = conn.fetch_one("SELECT CONNECTION_ID()").await.unwrap();
    let id: u64 = row.get(0);
    let kill = format!("KILL {id}");
    pool.execute(kill.as_str()).await.unwrap();
    facts.add("kill.told", conn.ping().await.is_err());
    let row = pool.fetch_one("SELECT 4").await.unwrap();
    facts.add("kill.reconnect", row.get::<i64, _>(0));
    pool.close().await;
    facts.0
}

const MYSQL_ASYNC: [&str; 14] = [
    "connect: Some(42)",
    "connect.refused: \"1045\"",
    "blob.same: true",
    EXACT,
    "-112:34:56.123456",
    "prepared.error: \"1146\"",
    "big: (200000, 19999900000)",
    "big.prepared: 200000",
    "transaction: (false, Some(0))",
    "transaction: (true, Some(1))",
    "multi: [[1], [2], [], [3]]",
    "QUERY: \"1317\"",
    "kill.told: true",
    "kill.reconnect: Some(4)",
];
const SQLX: [&str; 12] = [
    "connect: 42",
    "connect.refused: \"1045\"",
    "blob.same: true",
    EXACT,
    "-112:34:56.123456",
    "prepared.error: \"1146\"",
    "big: (200000, 200000)",
    "transaction: (false, 0)",
    "transaction: (true, 1)",
    "pool: 1275",
    "kill.told: true",
    "kill.reconnect: 4",
];

/// One after the other, each its first login.
async fn first_logins(ways: &Ways, each: &[&Way]) {
    for way in each {
        ways.forget_logins().await;
        let conn = mysql_async::Conn::new(mysql_async_options(way)).await;
        conn.unwrap().disconnect().await.unwrap();
        ways.forget_logins().await;
        let conn = sqlx_options(way).connect().await;
        conn.unwrap().close().await.unwrap();
    }
}

async fn say_the_same(one: &Way, other: &Way) {
    let (first, second) = tokio::join!(mysql_async_says(one), mysql_async_says(other));
    assert_eq!(
        second, first,
        "mysql_async, {} and {}",
        other.name, one.name
    );
    for fact in MYSQL_ASYNC {
        assert!(first.contains(fact), "{fact} is not in {first}");
    }
    let (first, second) = tokio::join!(sqlx_says(one), sqlx_says(other));
    assert_eq!(second, first, "sqlx, {} and {}", other.name, one.name);
    for fact in SQLX {
        assert!(first.contains(fact), "{fact} is not in {first}");
    }
}

/// Pools that are open while the proxy is killed and started again.
async fn pools_outlive_the_proxy(ways: &Ways) {
    let constraints = mysql_async::PoolConstraints::new(3, 3).unwrap();
    let options = mysql_async::PoolOpts::default().with_constraints(constraints);
    let options = mysql_async_options(&ways.proxied).pool_opts(options);
    let first = mysql_async::Pool::new(options);
    let second = MySqlPoolOptions::new()
        .max_connections(3)
        .min_connections(3)
        .connect_with(sqlx_options(&ways.proxied))
        .await
        .unwrap();
    let three = async || {
        let mut conns = Vec::new();
        for _ in 0..3 {
            let mut conn = first.get_conn().await?;
            conn.ping().await?;
            conns.push(conn);
        }
        Ok::<_, mysql_async::Error>(())
    };
    three().await.unwrap();
    let mut open = second.begin().await.unwrap();
    open.execute("DO 0").await.unwrap();
    ways.restart_proxy().await;
    three().await.unwrap();
    assert!(open.commit().await.is_err(), "its transaction is lost");
    for _ in 0..6 {
        let four: i64 = sqlx::query_scalar("SELECT 4")
            .fetch_one(&second)
            .await
            .unwrap();
        assert_eq!(four, 4);
    }
    second.close().await;
    first.disconnect().await.unwrap();
}

/// Neither goes on with a server that it cannot trust, and says so.
async fn refuse_another_authority(way: &Way, other: &str) {
    let way = Way {
        tls_ca: Some(other.to_owned()),
        ..way.clone()
    };
    let error = mysql_async::Conn::new(mysql_async_options(&way)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{}: {error}", way.name);
    let error = sqlx_options(&way).connect().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{}: {error}", way.name);
}

async fn mysql_async_and_sqlx_say_the_same_both_ways(flavor: Flavor) {
    let ways = Ways::open(flavor).await;
    if flavor == Flavor::MySql {
        first_logins(&ways, &[&ways.direct, &ways.proxied]).await;
    }
    say_the_same(&ways.direct, &ways.proxied).await;
    pools_outlive_the_proxy(&ways).await;
    let tls = ways.require_tls().await;
    for way in [&tls.direct, &tls.proxied] {
        refuse_another_authority(way, &tls.wrong_ca).await;
    }
    if flavor == Flavor::MySql {
        first_logins(&ways, &[&tls.direct, &tls.proxied]).await;
    }
    say_the_same(&tls.direct, &tls.proxied).await;
    ways.assert_equal().await;
}

crate::support::on_both_flavors!(mysql_async_and_sqlx_say_the_same_both_ways);

//! Real clients against a real server through the session listener.

use crate::support::session::{Proxy, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Params, Row, Value};

#[test]
fn the_command_line_client() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    assert_eq!(proxy.sql("SELECT 1+1"), "2\n");
    // \s asks for the server's state, the connection id and the character sets.
    let status = proxy.client(&["shop"], "\\s\n");
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(
        text.contains("MariaDB") && text.contains("Uptime"),
        "{text}"
    );
    assert!(text.contains("Server characterset"), "{text}");
    // Several statements, several results, an error in the middle.
    let many = proxy.client(
        &["--force", "-N", "-B", "shop"],
        "SELECT 1; SELECT 2; SELECT * FROM nowhere; SELECT 3;",
    );
    assert_eq!(String::from_utf8_lossy(&many.stdout), "1\n2\n3\n");
    let one_text = proxy.client(
        &["-N", "-B", "--delimiter=//", "shop"],
        "SELECT 1; SELECT 2, 'a'; SELECT 3//",
    );
    assert_eq!(String::from_utf8_lossy(&one_text.stdout), "1\n2\ta\n3\n");
    // Names for tab completion come by COM_FIELD_LIST.
    assert_eq!(
        proxy.sql("CREATE OR REPLACE TABLE names(first INT, second TEXT); SELECT 1"),
        "1\n"
    );
    let completing = proxy.client(&["--auto-rehash", "-N", "-B", "shop"], "SELECT 5;");
    assert_eq!(String::from_utf8_lossy(&completing.stdout), "5\n");
    let latin = proxy.client(
        &["--default-character-set=latin1", "-N", "-B", "shop"],
        "SELECT HEX(CONVERT('\u{e4}' USING utf8mb4)), @@character_set_client",
    );
    assert!(String::from_utf8_lossy(&latin.stdout).contains("latin1"));
    let wrong = proxy.client(&["-pwrong", "shop"], "SELECT 1");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("ERROR 1045 (28000)"));
    let attributes =
        proxy.sql("SELECT ATTR_VALUE FROM performance_schema.session_connect_attrs LIMIT 0");
    assert_eq!(attributes, "");
}

#[test]
fn large_results_are_streamed() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let rows = proxy.sql("SELECT seq, REPEAT('x', 100) FROM seq_1_to_200000");
    assert_eq!(rows.lines().count(), 200_000);
    assert!(rows.lines().all(|line| line.len() > 100));
    let quick = proxy.client(
        &["--quick", "-N", "-B", "shop"],
        "SELECT seq, REPEAT('y', 1000) FROM seq_1_to_20000",
    );
    assert_eq!(
        quick.stdout.iter().filter(|byte| **byte == b'\n').count(),
        20_000
    );
}

#[test]
fn load_data_local() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let file = server.folder().join("rows.csv");
    let rows: String = (0..100_000).map(|n| format!("{n},name-{n}\n")).collect();
    std::fs::write(&file, rows).unwrap();
    let load = format!(
        "CREATE OR REPLACE TABLE loaded(id INT, name TEXT);\
         LOAD DATA LOCAL INFILE '{}' INTO TABLE loaded FIELDS TERMINATED BY ',';\
         SELECT COUNT(*), SUM(id) FROM loaded",
        file.display()
    );
    let output = proxy.client(&["--local-infile=1", "-N", "-B", "shop"], &load);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "100000\t4999950000\n",
        "{output:?}"
    );
    // After another result in the same text, where numbers of packets are shifted.
    let again = format!("SELECT 1; {load}; SELECT 2//");
    let arguments = ["--local-infile=1", "-N", "-B", "--delimiter=//", "shop"];
    let output = proxy.client(&arguments, &again);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1\n100000\t4999950000\n2\n",
        "{output:?}"
    );
    let missing = proxy.client(
        &["--local-infile=1", "shop"],
        "LOAD DATA LOCAL INFILE '/no/such/file' INTO TABLE loaded; SELECT 1",
    );
    assert!(!missing.status.success());
}

#[test]
fn procedures_and_warnings() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let output = proxy.client(
        &["-N", "-B", "--show-warnings", "--delimiter=//", "shop"],
        "CREATE OR REPLACE TABLE called(id INT PRIMARY KEY)//\
         CREATE OR REPLACE PROCEDURE p(OUT n INT) BEGIN SELECT 1; INSERT INTO called VALUES (1); \
         SELECT 2; INSERT INTO called VALUES (2); SELECT COUNT(*) INTO n FROM called; END//\
         CALL p(@n)//SELECT @n//SELECT 1/0//",
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("1\n2\n2\nNULL\n"), "{output:?}");
    assert!(text.contains("Division by 0"), "{output:?}");
}

#[tokio::test]
async fn prepared_statements_and_large_values() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let options = proxy.options().max_allowed_packet(Some(128 << 20));
    let mut conn = Conn::new(options).await.unwrap();
    conn.query_drop("CREATE OR REPLACE TABLE blobs(id INT PRIMARY KEY, data LONGBLOB)")
        .await
        .unwrap();
    // Below, at, and above one packet; above two.
    for (id, size) in [
        (1, 100),
        (2, (1 << 24) - 20),
        (3, (1 << 24) - 1),
        (4, 40_000_000),
    ] {
        let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        conn.exec_drop("INSERT INTO blobs VALUES (?, ?)", (id, &data))
            .await
            .unwrap();
        let back: Option<Vec<u8>> = conn
            .exec_first("SELECT data FROM blobs WHERE id = ?", (id,))
            .await
            .unwrap();
        assert!(back.as_deref() == Some(&data[..]), "{size} bytes");
        let text: Option<Vec<u8>> = conn
            .query_first(format!("SELECT data FROM blobs WHERE id = {id}"))
            .await
            .unwrap();
        assert!(text.as_deref() == Some(&data[..]), "{size} bytes as text");
    }
    let rows: Vec<Row> = conn
        .exec(
            "SELECT id, LENGTH(data) FROM blobs WHERE id > ? ORDER BY id",
            (1,),
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
    let none: Vec<Row> = conn.exec("DO ?", (1,)).await.unwrap();
    assert!(none.is_empty());
    conn.disconnect().await.unwrap();
}

#[tokio::test]
async fn reset_change_user_and_ping() {
    let server = Server::shared();
    let proxy = Proxy::start(&server);
    let mut conn = Conn::new(proxy.options()).await.unwrap();
    conn.query_drop("SET @x = 5").await.unwrap();
    conn.ping().await.unwrap();
    assert!(conn.reset().await.unwrap());
    let x: Option<Value> = conn.query_first("SELECT @x").await.unwrap();
    assert_eq!(x, Some(Value::NULL));
    conn.query_drop("CREATE OR REPLACE TABLE r(a INT)")
        .await
        .unwrap();
    assert_eq!(proxy.gate.asked().len(), 1);
    conn.change_user(
        ChangeUserOpts::default()
            .with_user(Some("other".into()))
            .with_pass(Some("other".into()))
            .with_db_name(Some("shop".into())),
    )
    .await
    .unwrap();
    let user: Option<String> = conn.query_first("SELECT USER()").await.unwrap();
    assert!(user.unwrap().starts_with("other@"));
    conn.exec_drop(
        "INSERT INTO r VALUES (?)",
        Params::Positional(vec![1.into()]),
    )
    .await
    .unwrap();
    // Tracking came back both times.
    assert_eq!(proxy.gate.asked().len(), 2, "{:?}", proxy.gate.asked());
    conn.disconnect().await.unwrap();
}

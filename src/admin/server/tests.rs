use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

struct Fake {
    hold: Option<&'static str>,
    token: Option<&'static str>,
    changes: Mutex<Vec<Value>>,
}

impl Backend for Fake {
    fn status(&self) -> Status {
        Status {
            mode: "semi-sync".into(),
            ..Status::default()
        }
    }

    fn not_ready(&self) -> Option<String> {
        self.hold.map(str::to_owned)
    }

    fn metrics(&self) -> String {
        "recorded 1\n".into()
    }

    fn sync(&self) -> Value {
        json!({"mode": "semi-sync"})
    }

    fn change_sync(&self, change: Change) -> Result<Value, Refusal> {
        if change.get("mode").is_none() {
            return Err(Refusal::Invalid("unknown key".into()));
        }
        self.changes.lock().push(change.clone());
        Ok(change)
    }

    fn purge(&self, order: &Order) -> Result<Answer, Refusal> {
        match order.unwanted(crate::store::Keep::ALL) {
            Ok(_) => Ok(Answer::default()),
            Err(error) => Err(Refusal::Invalid(error)),
        }
    }

    fn accept_holes(&self, holes: &Holes) -> Result<Accepted, Refusal> {
        let accepted = holes.set().map_err(Refusal::Invalid)?.to_string();
        let server = holes.server.clone();
        Ok(Accepted { server, accepted })
    }

    fn accept_source(&self, source: &Source) -> Result<Source, Refusal> {
        match source.server.as_str() {
            "db1" => Ok(source.clone()),
            _ => Err(Refusal::Conflict("it is not the source".into())),
        }
    }

    fn rejoin(&self, server: &Rejoin) -> Homecoming {
        let home = Home {
            server: server.server.clone(),
            ..Home::default()
        };
        Box::pin(std::future::ready(match server.server.as_str() {
            "db1" => Ok(home),
            _ => Err(Refusal::Conflict("db2 is the source".into())),
        }))
    }

    fn provision(&self, request: ProvisionRequest) -> Beginning {
        Box::pin(std::future::ready(match request.server.as_str() {
            "db2" => Ok(Begun::default()),
            _ => Err(Refusal::Conflict("db1 is the source".into())),
        }))
    }

    fn verify(&self, request: verify::Request) -> Comparing {
        Box::pin(std::future::ready(match request.tables.is_empty() {
            true => Ok(verify::Begun { begun: true }),
            false => Err(Refusal::Conflict("one is under way".into())),
        }))
    }

    fn move_source(&self, kind: MoveKind, request: MoveRequest) -> Moving {
        let to = request.to.unwrap_or_default();
        let outcome = if to == "db2" { "done" } else { "taken-back" };
        let moved = Moved {
            outcome: outcome.into(),
            kind: kind.to_string(),
            to,
            ..Moved::default()
        };
        Box::pin(async move { Ok(Outcome::Moved(moved)) })
    }

    fn token(&self) -> Option<String> {
        self.token.map(str::to_owned)
    }
}

async fn start(
    hold: Option<&'static str>,
    token: Option<&'static str>,
) -> (std::net::SocketAddr, Arc<Fake>, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let fake = Arc::new(Fake {
        hold,
        token,
        changes: Mutex::default(),
    });
    let (backend, ending) = (fake.clone(), shutdown.clone());
    shutdown.spawn(async move { serve(listener, backend, ending).await.unwrap() });
    (address, fake, shutdown)
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request}\r\n\r\n")
        .replace("HTTP/1.1", "HTTP/1.1\r\nHost: a\r\nConnection: close");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn put(address: std::net::SocketAddr, authorization: &str, body: &str) -> String {
    send(address, "PUT /api/v1/sync", authorization, body).await
}

async fn send(
    address: std::net::SocketAddr,
    call: &str,
    authorization: &str,
    body: &str,
) -> String {
    let length = body.len();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{call} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{authorization}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn each_route_answers() {
    let (address, _, _shutdown) = start(None, None).await;
    for (path, status, says) in [
        ("/healthz", "200", "ok\n"),
        ("/readyz", "200", "ready\n"),
        ("/api/v1/status", "200", "\"mode\":\"semi-sync\""),
        ("/api/v1/sync", "200", "{\"mode\":\"semi-sync\"}"),
        ("/metrics", "200", "recorded 1\n# HELP ackline_sessions"),
        ("/", "200", "<!doctype html>"),
        ("/nothing", "404", ""),
    ] {
        let answer = ask(address, &format!("GET {path} HTTP/1.1")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
        assert!(answer.contains(says), "{path}: {answer}");
    }
}

#[tokio::test]
async fn not_ready_says_why() {
    let (address, _, _shutdown) = start(Some("db1 is not attached"), None).await;
    let answer = ask(address, "GET /readyz HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("db1 is not attached\n"), "{answer}");
}

#[tokio::test]
async fn changes_need_the_token() {
    let (address, fake, _shutdown) = start(None, Some("secret")).await;
    let right = "Authorization: Bearer secret\r\n";
    for (authorization, body, status) in [
        ("", "{\"mode\":\"sync\"}", "401"),
        (
            "Authorization: Bearer wrong\r\n",
            "{\"mode\":\"sync\"}",
            "401",
        ),
        (right, "{\"mood\":\"sync\"}", "400"),
        (right, "[]", "400"),
        (right, "{", "400"),
        (right, "{\"mode\":\"sync\"}", "200"),
    ] {
        let answer = put(address, authorization, body).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{body}: {answer}"
        );
        assert!(!answer.contains("secret"), "{answer}");
    }
    assert_eq!(*fake.changes.lock(), [json!({"mode": "sync"})]);
}

#[tokio::test]
async fn without_a_token_changes_are_off() {
    let (address, fake, _shutdown) = start(None, None).await;
    let answer = put(address, "Authorization: Bearer \r\n", "{\"mode\":\"sync\"}").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("set [admin] token"), "{answer}");
    assert!(fake.changes.lock().is_empty());
}

#[tokio::test]
async fn what_somebody_answers_for_needs_the_token_and_is_named() {
    let (address, _, _shutdown) = start(None, Some("secret")).await;
    let right = "Authorization: Bearer secret\r\n";
    let holes = r#"{"server":"db2","holes":["0-1-5","0-1-7"]}"#;
    for (path, authorization, body, status, words) in [
        ("/api/v1/accept", "", holes, "401", "Bearer"),
        ("/api/v1/accept", right, holes, "200", "0-1-5,0-1-7"),
        (
            "/api/v1/accept",
            right,
            r#"{"server":"db2"}"#,
            "400",
            "holes",
        ),
        (
            "/api/v1/source/accept",
            "",
            r#"{"server":"db1"}"#,
            "401",
            "Bearer",
        ),
        (
            "/api/v1/source/accept",
            right,
            r#"{"server":"db1"}"#,
            "200",
            "db1",
        ),
        (
            "/api/v1/source/accept",
            right,
            r#"{"server":"db2"}"#,
            "409",
            "not the source",
        ),
    ] {
        let answer = send(address, &format!("POST {path}"), authorization, body).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains(words), "{answer}");
    }
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let (address, _, _shutdown) = start(None, Some("secret")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "PUT /api/v1/sync HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer secret\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // More than the limit, and far less than what was announced.
    stream.write_all(&[b' '; 2 * LARGEST_BODY]).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer));
    read.await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_drain_ends_idle_connections() {
    let (address, _, shutdown) = start(None, None).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    assert!(shutdown.drain(Duration::from_secs(5)).await);
}

//! Just enough HTTP for the admin address.

use std::io::{self, Error, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWERS_WITHIN: Duration = Duration::from_secs(40);

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// One request on a connection of its own. `url` is `http://host:port/path`.
pub async fn request(
    method: &str,
    url: &str,
    token: Option<&str>,
    body: &str,
) -> io::Result<Answer> {
    let rest = url.strip_prefix("http://").ok_or(ErrorKind::InvalidInput)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let bearer = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{bearer}\r\n",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        parse(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, answer))
    };
    tokio::time::timeout(ANSWERS_WITHIN, exchange)
        .await
        .map_err(|_| Error::from(ErrorKind::TimedOut))?
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "chunks are not read here: {head}"
    );
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}

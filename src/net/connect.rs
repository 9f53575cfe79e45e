//! Connecting to a server. Names are resolved at each connect: after a failover a name may point
//! elsewhere.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::Error;

/// A peer that has vanished is noticed after about `IDLE + RETRIES * INTERVAL`, where nothing is on its
/// way to it; else after what the kernel takes for its retransmissions (`net.ipv4.tcp_retries2`, about
/// 15 minutes). TCP_USER_TIMEOUT would be shorter, and would cut those too who live and do not read for
/// a while: a client between two rows, a source whose statement waits for a lock.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// Connects to `host:port`, trying each of the name's addresses, within `timeout` altogether.
pub async fn connect(address: &str, timeout: Duration) -> Result<TcpStream, Error> {
    let attempt = async {
        let addresses: Vec<_> = tokio::net::lookup_host(address)
            .await
            .map_err(|source| Error::Resolve {
                address: address.to_owned(),
                source,
            })?
            .collect();
        let mut last = std::io::Error::other(format!("{address} has no address"));
        for candidate in addresses {
            match TcpStream::connect(candidate).await {
                Ok(stream) => {
                    configure(&stream)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(Error::Io(last))
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout {
            what: address.to_owned(),
            seconds: timeout.as_secs_f64(),
        }),
    }
}

/// What every stream of ours has: small packets leave at once, and a vanished peer is noticed.
pub fn configure(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// A name's addresses, without ports; none where it has none.
pub async fn addresses_of(name: &str) -> Vec<String> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => found.map(|address| address.ip().to_string()).collect(),
        Err(_) => Vec::new(),
    }
}

/// The host and port of `host:port`, `[v6]:port`, or a host alone (with the default port).
pub fn split_address(address: &str, default_port: u16) -> (String, u16) {
    if let Some((host, port)) = address.rsplit_once(':')
        && let Ok(port) = port.parse()
        && (!host.contains(':') || host.starts_with('['))
    {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        return (host.to_owned(), port);
    }
    let host = address.trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), default_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(split_address("db1:3307", 3306), ("db1".into(), 3307));
        assert_eq!(split_address("db1", 3306), ("db1".into(), 3306));
        assert_eq!(split_address("[::1]:3307", 3306), ("::1".into(), 3307));
        assert_eq!(split_address("::1", 3306), ("::1".into(), 3306));
        assert_eq!(split_address("[::1]", 3306), ("::1".into(), 3306));
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_a_dead_port_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let second = Duration::from_secs(1);
        connect(&format!("localhost:{port}"), second).await.unwrap();
        drop(listener);
        assert!(connect(&format!("127.0.0.1:{port}"), second).await.is_err());
        assert!(matches!(
            connect("no.such.host.invalid:1", second).await,
            Err(Error::Resolve { .. } | Error::Timeout { .. })
        ));
    }
}

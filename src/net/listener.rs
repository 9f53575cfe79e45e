//! Listening sockets: any number of TCP addresses and a Unix socket, accepted from as one.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::connect;
use super::stream::Stream;

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// After a failed accept (usually: no descriptor left), so that the loop does not spin. Those who connect
/// wait in the kernel's queue.
const PAUSE: Duration = Duration::from_millis(50);
/// It is said that often at most.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Listening sockets of one service.
#[derive(Debug, Default)]
pub struct Listeners {
    tcp: Vec<TcpListener>,
    unix: Option<(UnixListener, PathBuf)>,
    complained: Mutex<Option<Instant>>,
}

/// Who connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("localhost"),
        }
    }
}

impl Listeners {
    /// Binds `host:port` addresses; a name that has several addresses is bound on each.
    pub async fn bind<S: AsRef<str>>(addresses: &[S]) -> std::io::Result<Self> {
        let mut listeners = Self::default();
        for address in addresses {
            let address = address.as_ref();
            let explain = |error: std::io::Error| {
                std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            };
            for socket in tokio::net::lookup_host(address).await.map_err(explain)? {
                listeners.tcp.push(bind(socket).map_err(explain)?);
            }
        }
        Ok(listeners)
    }

    /// Adds a Unix socket. A socket file that nobody listens on any more is removed first.
    pub fn bind_unix(&mut self, path: &Path) -> std::io::Result<()> {
        if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path).map_err(|error| {
            let text = format!("cannot listen on {}: {error}", path.display());
            std::io::Error::new(error.kind(), text)
        })?;
        self.unix = Some((listener, path.to_owned()));
        Ok(())
    }

    /// The addresses bound, with the real port where 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// The next connection, its options set. Cancel-safe. Errors of single connections are logged
    /// and passed over.
    pub async fn accept(&self) -> (Stream, Peer) {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one(&error) => tracing::debug!(%error, "a connection was lost"),
                Err(error) => {
                    self.complain(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn complain(&self, error: &std::io::Error) {
        let mut last = self.complained.lock();
        if last.is_none_or(|last| last.elapsed() >= COMPLAINT) {
            *last = Some(Instant::now());
            tracing::warn!(%error, "connections cannot be accepted, and wait; tried on");
        }
    }

    async fn try_accept(&self) -> std::io::Result<(Stream, Peer)> {
        std::future::poll_fn(|context| {
            for listener in &self.tcp {
                if let std::task::Poll::Ready(result) = listener.poll_accept(context) {
                    return std::task::Poll::Ready(result.and_then(|(stream, peer)| {
                        connect::configure(&stream)?;
                        Ok((Stream::Tcp(stream), Peer::Tcp(peer)))
                    }));
                }
            }
            if let Some((listener, _)) = &self.unix
                && let std::task::Poll::Ready(result) = listener.poll_accept(context)
            {
                return std::task::Poll::Ready(
                    result.map(|(stream, _)| (Stream::Unix(stream), Peer::Unix)),
                );
            }
            std::task::Poll::Pending
        })
        .await
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.unix {
            // A leftover file is only untidy: the next start removes it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// It left before it was accepted; the others are as they were.
fn is_of_one(error: &std::io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::Interrupted
    )
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `::` can then be listed side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn several_addresses_and_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let mut listeners = Listeners::bind(&["127.0.0.1:0", "127.0.0.1:0"])
            .await
            .unwrap();
        listeners.bind_unix(&path).unwrap();
        for address in listeners.addresses() {
            let client = tokio::net::TcpStream::connect(address).await.unwrap();
            let (_, peer) = listeners.accept().await;
            assert_eq!(peer, Peer::Tcp(client.local_addr().unwrap()));
        }
        let _client = tokio::net::UnixStream::connect(&path).await.unwrap();
        assert_eq!(listeners.accept().await.1, Peer::Unix);
        drop(listeners);
        assert!(!path.exists());
    }
}

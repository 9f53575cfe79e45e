//! A connection, whichever way it came, encrypted or not.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use super::compression::Compressed;
use super::tls::{self, Beneath, Fingerprint};
use crate::workers::Worker;

#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// In a box, so that the others stay as small as they are. What was written may lie in it until
    /// it is flushed.
    Tls(Box<TlsStream<Beneath<Stream>>>),
    Compressed(Box<Compressed<Stream>>),
    /// Taken away for a handshake that did not succeed.
    Cut,
}

fn cut() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Stream {
    /// Waits until there is something to read, or the peer is gone. No buffer is needed meanwhile,
    /// so an idle connection holds none. Cancel-safe.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
            Self::Tls(_) | Self::Compressed(_) => {
                poll_fn(|context| self.poll_read_ready(context)).await
            }
            Self::Cut => Err(cut()),
        }
    }

    /// The same for use inside a `poll_fn`.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::Tls(stream) => {
                let (beneath, tls) = stream.get_ref();
                if tls.wants_read() && !beneath.has_ahead() {
                    beneath.stream().poll_read_ready(context)
                } else {
                    // It is here already, or the other side has said its last word.
                    Poll::Ready(Ok(()))
                }
            }
            Self::Compressed(stream) if stream.has_ahead() => Poll::Ready(Ok(())),
            Self::Compressed(stream) => stream.beneath().poll_read_ready(context),
            Self::Cut => Poll::Ready(Err(cut())),
        }
    }

    /// Waits until the connection is broken (reset, or its peer vanished), however much of it is still
    /// unread; an orderly end behind unread bytes is none. Cancel-safe.
    pub async fn broken(&self) {
        let ready = match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
            Self::Tls(stream) => {
                return Box::pin(stream.get_ref().0.stream().broken()).await;
            }
            Self::Compressed(stream) => return Box::pin(stream.beneath().broken()).await,
            Self::Cut => return,
        };
        // An error of the event loop itself is seen by whoever reads or writes.
        drop(ready);
    }

    /// Runs `future` to its end unless this connection is broken first.
    pub async fn unless_broken<T>(&self, future: impl Future<Output = T>) -> io::Result<T> {
        tokio::select! {
            biased;
            value = future => Ok(value),
            () = self.broken() => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Nobody on the way can read it.
    pub fn is_secure(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tls(_) => true,
            Self::Compressed(stream) => stream.beneath().is_secure(),
            Self::Tcp(_) | Self::Cut => false,
        }
    }

    pub fn is_tls(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Compressed(stream) => stream.beneath().is_tls(),
            Self::Tcp(_) | Self::Unix(_) | Self::Cut => false,
        }
    }

    /// SHA-256 of the certificate that the other side showed.
    pub fn peer_fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Tls(stream) => {
                let shown = stream.get_ref().1.peer_certificates()?.first()?;
                Some(tls::own::of_certificate(shown))
            }
            Self::Compressed(stream) => stream.beneath().peer_fingerprint(),
            Self::Tcp(_) | Self::Unix(_) | Self::Cut => None,
        }
    }

    /// Hands it to another event loop, before anything is encrypted.
    pub fn move_to(self, worker: &Worker) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => {
                let stream = stream.into_std()?;
                let _entered = worker.enter();
                Ok(Self::Tcp(TcpStream::from_std(stream)?))
            }
            Self::Unix(stream) => {
                let stream = stream.into_std()?;
                let _entered = worker.enter();
                Ok(Self::Unix(UnixStream::from_std(stream)?))
            }
            Self::Tls(_) | Self::Compressed(_) => Err(io::Error::other(
                "a stream that was begun stays on its event loop",
            )),
            Self::Cut => Err(cut()),
        }
    }

    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) | Self::Cut => None,
            Self::Tls(stream) => stream.get_ref().0.stream().peer_addr(),
            Self::Compressed(stream) => stream.beneath().peer_addr(),
        }
    }

    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) | Self::Cut => None,
            Self::Tls(stream) => stream.get_ref().0.stream().local_addr(),
            Self::Compressed(stream) => stream.beneath().local_addr(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<TlsStream<Beneath<Stream>>> for Stream {
    fn from(stream: TlsStream<Beneath<Stream>>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Compressed(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Cut => Poll::Ready(Err(cut())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Compressed(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Cut => Poll::Ready(Err(cut())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Compressed(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Cut => Poll::Ready(Err(cut())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Compressed(stream) => Pin::new(stream).poll_flush(context),
            Self::Cut => Poll::Ready(Err(cut())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Compressed(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Cut => Poll::Ready(Err(cut())),
        }
    }
}

//! What lies below the encryption: the plain stream, and what was read of it too early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of which a part was read before it was known that TLS begins there. Those bytes are taken
/// for ciphertext, as they must be: whoever puts words behind somebody's TLS request breaks only the
/// handshake.
#[derive(Debug)]
pub struct Beneath<S> {
    stream: S,
    ahead: Vec<u8>,
    taken: usize,
}

impl<S> Beneath<S> {
    pub fn new(stream: S, ahead: Vec<u8>) -> Self {
        Self {
            stream,
            ahead,
            taken: 0,
        }
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Whether there is something to read, whatever the stream has.
    pub fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Beneath<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let rest = this.ahead.get(this.taken..).unwrap_or_default();
        let now = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..now]);
        this.taken += now;
        if this.taken >= this.ahead.len() {
            this.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Beneath<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

//! A read buffer that is there only while it holds something.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::AsyncReadExt;

use crate::net::stream::Stream;

/// Enough for nearly every command and point select.
const FIRST: usize = 8 * 1024;
/// A stream of rows is read in larger and larger pieces, up to this.
const LARGEST: usize = 128 * 1024;

#[derive(Debug)]
pub struct Inbound {
    bytes: Vec<u8>,
    start: usize,
    room: usize,
}

impl Inbound {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            room: FIRST,
        }
    }

    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub fn unread_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.bytes.len()
    }

    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Reads once, behind what is unread; 0 is the end of the stream. Cancel-safe.
    pub async fn fill(&mut self, stream: &mut Stream) -> io::Result<usize> {
        poll_fn(|context| self.poll_fill(stream, context)).await
    }

    /// The same without waiting: None when there is nothing to read after all. (That a stream is
    /// readable is a hint, no promise; who watches two streams must not wait for one of them.)
    pub async fn try_fill(&mut self, stream: &mut Stream) -> io::Result<Option<usize>> {
        poll_fn(|context| match self.poll_fill(stream, context) {
            Poll::Ready(result) => Poll::Ready(result.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }

    fn poll_fill(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        // Not more than is needed, as a vector would that grows: a client may stop in a command for long.
        if self.bytes.capacity() - self.bytes.len() < self.room / 2 {
            self.bytes.reserve_exact(self.room);
        }
        let spare = self.bytes.capacity() - self.bytes.len();
        let read = pin!(stream.read_buf(&mut self.bytes)).poll(context);
        if let Poll::Ready(Ok(count)) = read
            && count == spare
        {
            self.room = (self.room * 2).min(LARGEST);
        }
        read
    }

    /// Gives the memory back if nothing is unread: an idle session holds none.
    pub fn rest(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}

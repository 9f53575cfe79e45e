//! The protocol's own compression, as a stream above another.
//!
//! A client that asked for it sends frames from the moment it is logged in, and gets such; below may be
//! TLS. Whoever relays packets does not notice.
//!
//! A frame may hold any stretch of the packet stream, but some drivers read only such as servers send:
//! ours hold whole packets. So a packet is gathered before it is packed, up to the 16 MB of a frame.
//! Between two commands it holds no buffer and no decoder.

mod gather;
mod pack;
mod unpack;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;
use gather::Gather;
use pack::pack;
use unpack::Unpacker;

/// What is read at a time.
const CHUNK: usize = 8 * 1024;
/// What is taken at a time.
const PIECE: usize = 128 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Zlib,
    Zstd { level: i32 },
}

impl Algorithm {
    /// The level is the client's wish; 3 is what it is without one.
    pub fn zstd(level: Option<u8>) -> Self {
        let level = level.unwrap_or(3).clamp(1, 22);
        Self::Zstd {
            level: i32::from(level),
        }
    }
}

#[derive(Debug)]
pub struct Compressed {
    beneath: Stream,
    algorithm: Algorithm,
    /// Came in and is not unpacked yet, from `taken` on.
    ahead: Vec<u8>,
    taken: usize,
    unpacker: Unpacker,
    gather: Gather,
    /// Packed and not sent yet, from `sent` on.
    behind: Vec<u8>,
    sent: usize,
    /// Of the next frame.
    sequence: u8,
}

impl Compressed {
    /// `ahead` is what was read of it already.
    pub fn new(beneath: Stream, algorithm: Algorithm, ahead: Vec<u8>) -> Self {
        Self {
            beneath,
            algorithm,
            ahead,
            taken: 0,
            unpacker: Unpacker::new(algorithm),
            gather: Gather::default(),
            behind: Vec::new(),
            sent: 0,
            sequence: 0,
        }
    }

    pub fn beneath(&self) -> &Stream {
        &self.beneath
    }

    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() && !self.unpacker.holds_more() {
            self.beneath.poll_read_ready(context)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Unpacks what is there; the number of bytes.
    fn unpack(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        let before = self.unpacker.sequence();
        let input = self.ahead.get(self.taken..).unwrap_or_default();
        let out = buffer.initialize_unfilled();
        let (used, made) = self.unpacker.advance(input, out)?;
        buffer.advance(made);
        self.taken += used;
        if self.taken >= self.ahead.len() {
            self.ahead = Vec::new();
            self.taken = 0;
        }
        // An answer counts on from its command.
        if used > 0 || before != self.unpacker.sequence() {
            self.sequence = self.unpacker.sequence().wrapping_add(1);
        }
        Ok(made)
    }

    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.beneath).poll_read(context, &mut buffer))?;
        self.ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Sends what is packed.
    fn poll_behind(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.behind.get(self.sent..) {
            match ready!(Pin::new(&mut self.beneath).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.behind = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn pack(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self {
            gather,
            algorithm,
            sequence,
            behind,
            ..
        } = self;
        gather.push(bytes, |whole| {
            pack(*algorithm, *sequence, whole, behind)?;
            *sequence = sequence.wrapping_add(1);
            Ok(())
        })?;
        Ok(bytes.len())
    }
}

impl AsyncRead for Compressed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buffer.remaining() == 0 || this.unpack(buffer)? > 0 {
                return Poll::Ready(Ok(()));
            }
            if ready!(this.poll_ahead(context))? == 0 {
                return Poll::Ready(if this.unpacker.is_between() {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                });
            }
        }
    }
}

impl AsyncWrite for Compressed {
    /// What was taken is sent with the next write or flush, but for a packet that is not whole yet.
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_behind(context))?;
        Poll::Ready(this.pack(&bytes[..bytes.len().min(PIECE)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_behind(context))?;
        let mut together = Vec::new();
        for slice in slices {
            let room = PIECE - together.len();
            together.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(this.pack(&together))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_behind(context))?;
        Pin::new(&mut this.beneath).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_behind(context))?;
        Pin::new(&mut this.beneath).poll_shutdown(context)
    }
}

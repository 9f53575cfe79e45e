//! The protocol's own compression, as a stream above another.
//!
//! A client that asked for it sends frames from the moment it is logged in, and gets such; below may be
//! TLS. Whoever relays packets does not notice.
//!
//! A frame may hold any stretch of the packet stream, but some drivers read only such as servers send:
//! ours hold whole packets. So a packet is gathered before it is packed, up to the 16 MB of a frame. In a dump
//! frames have the numbers of their packets ([`number`]).
//! Between two commands it holds no buffer and no decoder.

mod gather;
mod number;
mod pack;
mod unpack;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::Capabilities;
use gather::Gather;
use number::Numbered;
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
    /// Of both, servers take zlib. `level` is zstd's.
    pub fn asked(capabilities: Capabilities, level: Option<u8>) -> Option<Self> {
        if capabilities.contains(Capabilities::COMPRESS) {
            Some(Self::Zlib)
        } else if capabilities.contains(Capabilities::ZSTD) {
            Some(Self::zstd(level))
        } else {
            None
        }
    }

    /// The level is the client's wish; 3 is what it is without one.
    pub fn zstd(level: Option<u8>) -> Self {
        let level = level.unwrap_or(3).clamp(1, 22);
        Self::Zstd {
            level: i32::from(level),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zlib => f.write_str("zlib"),
            Self::Zstd { level } => write!(f, "zstd level {level}"),
        }
    }
}

#[derive(Debug)]
pub struct Compressed<S> {
    beneath: S,
    algorithm: Algorithm,
    /// Came in and is not unpacked yet, from `taken` on.
    ahead: Vec<u8>,
    taken: usize,
    unpacker: Unpacker,
    framing: Framing,
    /// Packed and not sent yet, from `sent` on.
    behind: Vec<u8>,
    sent: usize,
    /// Of the next frame of an answer.
    sequence: u8,
}

/// What goes into a frame, and its number.
#[derive(Debug)]
enum Framing {
    /// Whole packets; numbers count on from the command's.
    Answers(Gather),
    Dump(Numbered),
}

impl<S> Compressed<S> {
    /// `ahead` is what was read of it already.
    pub fn new(beneath: S, algorithm: Algorithm, ahead: Vec<u8>) -> Self {
        let framing = Framing::Answers(Gather::default());
        Self::framed(beneath, algorithm, ahead, framing)
    }

    /// For who asks for a dump.
    pub fn for_dump(beneath: S, algorithm: Algorithm, ahead: Vec<u8>) -> Self {
        let framing = Framing::Dump(Numbered::default());
        Self::framed(beneath, algorithm, ahead, framing)
    }

    fn framed(beneath: S, algorithm: Algorithm, ahead: Vec<u8>, framing: Framing) -> Self {
        Self {
            beneath,
            algorithm,
            ahead,
            taken: 0,
            unpacker: Unpacker::new(algorithm),
            framing,
            behind: Vec::new(),
            sent: 0,
            sequence: 0,
        }
    }

    pub fn beneath(&self) -> &S {
        &self.beneath
    }

    /// Whether there is something to read, whatever the stream below has.
    pub fn has_ahead(&self) -> bool {
        !self.ahead.is_empty() || self.unpacker.holds_more()
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

    fn pack(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self {
            framing,
            algorithm,
            sequence,
            behind,
            ..
        } = self;
        match framing {
            Framing::Answers(gather) => gather.push(bytes, |whole| {
                pack(*algorithm, *sequence, whole, behind)?;
                *sequence = sequence.wrapping_add(1);
                Ok(())
            }),
            Framing::Dump(numbered) => numbered.push(bytes, |number, packet| {
                pack(*algorithm, number, packet, behind)
            }),
        }?;
        Ok(bytes.len())
    }
}

impl<S: AsyncRead + Unpin> Compressed<S> {
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.beneath).poll_read(context, &mut buffer))?;
        self.ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: AsyncWrite + Unpin> Compressed<S> {
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
}

impl<S: AsyncRead + Unpin> AsyncRead for Compressed<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Compressed<S> {
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

//! Whole packets over a stream.
//!
//! The reader takes what the kernel has into one buffer and lends out payloads from it: no copy, no
//! allocation per packet. Memory is bounded by the largest payload allowed, and given back after a
//! large one.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Error;
use super::compression::{Algorithm, Compressed};
use super::halves::{self, ReadHalf, WriteHalf};
use super::stream::Stream;
use crate::protocol::packet::{self, HEADER, Header};
use crate::protocol::result_set::{self, Column};

/// The largest value of `max_allowed_packet`, with room for what stands in front of an event.
pub const MAX_PACKET: usize = (1 << 30) + 1024;
/// A read asks the kernel for this much.
const CHUNK: usize = 64 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 1 << 20;

/// A packet lent out by a [`PacketReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Of the last of the packets that the payload came in.
    pub sequence: u8,
    pub payload: &'a [u8],
}

/// Reads packets; a payload of several packets is put together.
#[derive(Debug)]
pub struct PacketReader<R = ReadHalf> {
    stream: R,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are used up.
    taken: usize,
    limit: usize,
}

/// The place of a complete packet in the buffer.
struct Found {
    start: usize,
    end: usize,
    next: usize,
    sequence: u8,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    /// `limit` bounds one payload.
    pub fn new(stream: R, limit: usize) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
            limit,
        }
    }

    /// The next packet. Cancel-safe: bytes read stay in the buffer.
    pub async fn next(&mut self) -> Result<Packet<'_>, Error> {
        while !self.has_packet()? {
            self.fill().await?;
        }
        self.take()?.ok_or(Error::Closed)
    }

    /// The next packet if it has already come in, without waiting: what came with one read can be
    /// worked on together before anything is flushed.
    pub fn try_next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        self.take()
    }

    /// Waits until a packet is complete in the buffer, for use beside other events in a `select!`.
    /// Cancel-safe.
    pub async fn ready(&mut self) -> Result<(), Error> {
        while !self.has_packet()? {
            self.fill().await?;
        }
        Ok(())
    }

    fn has_packet(&self) -> Result<bool, Error> {
        let mut rest = self.buffer.get(self.taken..).unwrap_or_default();
        let mut total = 0;
        loop {
            let Some(header) = Header::parse(rest) else {
                return Ok(false);
            };
            total += header.length;
            if total > self.limit {
                return Err(Error::TooLarge { limit: self.limit });
            }
            match rest.get(HEADER + header.length..) {
                None => return Ok(false),
                Some(_) if !header.continues() => return Ok(true),
                Some(later) => rest = later,
            }
        }
    }

    fn take(&mut self) -> Result<Option<Packet<'_>>, Error> {
        if !self.has_packet()? {
            return Ok(None);
        }
        let Some(found) = self.join() else {
            return Ok(None);
        };
        self.taken = found.next;
        Ok(Some(Packet {
            sequence: found.sequence,
            payload: self.buffer.get(found.start..found.end).unwrap_or_default(),
        }))
    }

    /// Moves the parts of a payload together, over the headers between them.
    fn join(&mut self) -> Option<Found> {
        let start = self.taken + HEADER;
        let mut header = Header::parse(self.buffer.get(self.taken..)?)?;
        let mut end = start + header.length;
        let mut next = end;
        while header.continues() {
            header = Header::parse(self.buffer.get(next..)?)?;
            let part = next + HEADER..next + HEADER + header.length;
            next = part.end;
            self.buffer.copy_within(part, end);
            end += header.length;
        }
        Some(Found {
            start,
            end,
            next,
            sequence: header.sequence,
        })
    }

    async fn fill(&mut self) -> Result<(), Error> {
        if self.taken > 0 {
            // What has been lent out is back: `next` borrowed us mutably.
            self.buffer.drain(..self.taken);
            self.taken = 0;
            if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
                self.buffer = Vec::new();
            }
        }
        self.buffer.reserve(CHUNK);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        if count > 0 {
            return Ok(());
        }
        Err(if self.buffer.is_empty() {
            Error::Closed
        } else {
            Error::Io(std::io::ErrorKind::UnexpectedEof.into())
        })
    }
}

/// Writes packets, each with one system call unless told to gather them.
#[derive(Debug)]
pub struct PacketWriter<W = WriteHalf> {
    stream: W,
    buffer: Vec<u8>,
    sequence: u8,
}

impl<W: AsyncWrite + Unpin> PacketWriter<W> {
    pub fn new(stream: W) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            sequence: 0,
        }
    }

    /// The number that the next packet will carry.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    pub fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Puts a packet into the buffer; [`Self::flush`] sends it.
    pub fn put(&mut self, payload: &[u8]) {
        packet::write(&mut self.buffer, &mut self.sequence, payload);
    }

    /// Puts a packet whose payload stands in two places: no copy to join them is needed.
    pub fn put_parts(&mut self, head: &[u8], tail: &[u8]) {
        let length = head.len() + tail.len();
        if length >= packet::MAX_PAYLOAD {
            return self.put(&[head, tail].concat());
        }
        let header = Header {
            length,
            sequence: self.sequence,
        };
        self.buffer.extend_from_slice(&header.to_bytes());
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(tail);
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Puts a small text result (see [`crate::protocol::result_set`]).
    pub fn put_result(&mut self, status: u16, columns: &[Column], rows: &[Vec<Option<Vec<u8>>>]) {
        result_set::write(&mut self.buffer, &mut self.sequence, status, columns, rows);
    }

    /// Bytes waiting for [`Self::flush`].
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Sends what was put. Not cancel-safe: a packet may be cut.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.buffer).await?;
        // Under TLS what is written is only stored.
        self.stream.flush().await?;
        self.buffer.clear();
        if self.buffer.capacity() > KEEP {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Sends packets that the caller framed itself. Not cancel-safe.
    pub async fn send_raw(&mut self, packets: &[u8]) -> Result<(), Error> {
        self.stream.write_all(packets).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends one packet. Not cancel-safe.
    pub async fn write(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.put(payload);
        self.flush().await
    }
}

/// Both directions of a control connection.
#[derive(Debug)]
pub struct PacketStream<R = ReadHalf, W = WriteHalf> {
    pub reader: PacketReader<R>,
    pub writer: PacketWriter<W>,
}

impl PacketStream {
    /// Of one payload that is read.
    pub fn limit(&self) -> usize {
        self.reader.limit
    }

    /// `limit` bounds one payload that is read.
    pub fn new(stream: impl Into<Stream>, limit: usize) -> Self {
        let (read, write) = halves::split(stream.into());
        Self::from_halves(read, write, limit)
    }

    /// From here on both sides speak in compressed frames.
    pub fn compressed(self, algorithm: Algorithm) -> Result<Self, Error> {
        let limit = self.limit();
        let (stream, ahead) = self.into_stream()?;
        let stream = Compressed::for_dump(stream, algorithm, ahead);
        Ok(Self::new(Stream::Compressed(Box::new(stream)), limit))
    }

    /// The whole stream and what was read of it ahead, for the change to TLS.
    pub fn into_stream(self) -> Result<(Stream, Vec<u8>), Error> {
        let PacketReader {
            stream,
            buffer,
            taken,
            ..
        } = self.reader;
        let ahead = buffer.get(taken..).unwrap_or_default().to_vec();
        Ok((halves::join(stream, self.writer.stream)?, ahead))
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> PacketStream<R, W> {
    pub fn from_halves(reader: R, writer: W, limit: usize) -> Self {
        Self {
            reader: PacketReader::new(reader, limit),
            writer: PacketWriter::new(writer),
        }
    }

    /// The next packet; an answer will carry the number after its own. Cancel-safe.
    pub async fn read(&mut self) -> Result<&[u8], Error> {
        let packet = self.reader.next().await?;
        self.writer.sequence = packet.sequence.wrapping_add(1);
        Ok(packet.payload)
    }

    /// Sends one packet with the next number.
    pub async fn write(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.writer.write(payload).await
    }

    /// Sends a command: numbers begin anew.
    pub async fn command(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.writer.set_sequence(0);
        self.writer.write(payload).await
    }

    /// Sends a statement and reads an answer without rows.
    pub async fn execute(&mut self, statement: &str) -> Result<(), Error> {
        let mut payload = vec![crate::protocol::Command::QUERY.0];
        payload.extend_from_slice(statement.as_bytes());
        self.command(&payload).await?;
        self.expect_ok().await
    }

    /// Reads an answer that is an OK, or an ERR (which becomes [`Error::Server`]).
    pub async fn expect_ok(&mut self) -> Result<(), Error> {
        let payload = self.read().await?;
        match payload.first() {
            Some(0x00 | 0xFE) => Ok(()),
            Some(0xFF) => Err(Error::Server(crate::protocol::ErrPacket::parse(payload)?)),
            _ => Err(crate::protocol::Error::Malformed {
                what: "the server's answer",
                why: "neither OK nor ERR",
            }
            .into()),
        }
    }

    /// The reading half and the writing half, for tasks of their own.
    pub fn into_halves(self) -> (PacketReader<R>, PacketWriter<W>) {
        (self.reader, self.writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::packet::MAX_PAYLOAD;

    #[tokio::test]
    async fn packets_of_every_size_arrive_whole() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let sizes = [
            0,
            1,
            70_000,
            MAX_PAYLOAD - 1,
            MAX_PAYLOAD,
            MAX_PAYLOAD + 5,
            3,
        ];
        let sender = tokio::spawn(async move {
            let mut writer = PacketWriter::new(near);
            for (index, size) in sizes.into_iter().enumerate() {
                writer.set_sequence(0);
                writer.write(&vec![index as u8; size]).await.unwrap();
            }
        });
        let mut reader = PacketReader::new(far, MAX_PACKET);
        for (index, size) in sizes.into_iter().enumerate() {
            let packet = reader.next().await.unwrap();
            assert_eq!(packet.payload.len(), size);
            assert!(packet.payload.iter().all(|byte| *byte == index as u8));
        }
        assert!(matches!(reader.next().await, Err(Error::Closed)));
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn what_has_come_in_is_there_without_waiting() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut writer = PacketWriter::new(near);
        writer.put(b"one");
        writer.put_parts(b"t", b"wo");
        writer.flush().await.unwrap();
        let mut reader = PacketReader::new(far, MAX_PACKET);
        assert_eq!(reader.next().await.unwrap().payload, b"one");
        let second = reader.try_next().unwrap().unwrap();
        assert_eq!((second.payload, second.sequence), (&b"two"[..], 1));
        assert!(reader.try_next().unwrap().is_none());
    }

    #[tokio::test]
    async fn the_limit_holds_before_the_bytes_are_there() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        near.write_all(b"\xff\xff\x0f\x00").await.unwrap();
        let mut reader = PacketReader::new(far, 1000);
        assert!(matches!(
            reader.next().await,
            Err(Error::TooLarge { limit: 1000 })
        ));
    }

    #[tokio::test]
    async fn cut_in_a_packet_is_not_a_clean_end() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        near.write_all(b"\x05\0\0\0ab").await.unwrap();
        drop(near);
        let mut reader = PacketReader::new(far, 1000);
        assert!(matches!(reader.next().await, Err(Error::Io(_))));
    }
}

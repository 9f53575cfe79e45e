//! The two ends of a session: the client and the source, each with what was read from it.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use zeroize::{Zeroize, Zeroizing};

use super::End;
use super::buffer::Inbound;
use super::gate::Source;
use crate::net::compression::{Algorithm, Compressed};
use crate::net::stream::Stream;
use crate::net::tls::Offer;
use crate::protocol::packet::{HEADER, Header};
use crate::protocol::{self, ErrPacket, handshake_response, packet};

/// A client that sends commands ahead of their answers is read this far ahead.
pub const READ_AHEAD: usize = 64 * 1024;
/// Whoever reads so much at once lets the other sessions of its event loop have their turn before it goes
/// on: looking at it takes its time, and a stream that always has more never has to wait by itself.
const TURN: usize = 32 * 1024;
/// What a source that leaves still has to say is passed on for so long.
const FAREWELL: Duration = Duration::from_millis(500);
/// A login packet with its connection attributes is never longer than this.
const LOGIN_PACKET: usize = READ_AHEAD - HEADER;

#[derive(Debug)]
pub struct Peer {
    pub stream: Stream,
    pub inbound: Inbound,
}

impl Peer {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            inbound: Inbound::new(),
        }
    }

    /// Waits for bytes; the end of the stream is an error.
    pub async fn fill(&mut self) -> io::Result<()> {
        match self.inbound.fill(&mut self.stream).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Takes the bytes that are there, if any; the end of the stream is an error. Cancel-safe.
    pub async fn try_fill(&mut self) -> io::Result<()> {
        match self.inbound.try_fill(&mut self.stream).await? {
            Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(count) if count >= TURN => {
                tokio::task::yield_now().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn reads_ahead(&self) -> bool {
        self.inbound.unread().len() < READ_AHEAD
    }

    /// Runs `future` to its end unless this peer leaves first; what it sends is read ahead.
    pub async fn unless_leaves<T>(&mut self, future: impl Future<Output = T>) -> io::Result<T> {
        let mut future = pin!(future);
        loop {
            let reads_ahead = self.reads_ahead();
            let stream = &self.stream;
            let done = poll_fn(|context| {
                if let Poll::Ready(value) = future.as_mut().poll(context) {
                    return Poll::Ready(Ok(Some(value)));
                }
                if reads_ahead && let Poll::Ready(result) = stream.poll_read_ready(context) {
                    return Poll::Ready(result.map(|()| None));
                }
                Poll::Pending
            })
            .await?;
            match done {
                Some(value) => return Ok(value),
                None => self.try_fill().await?,
            }
        }
    }

    /// The length with header of the packet at the front, once it has come in as a whole. For small
    /// packets only (the login's).
    pub fn packet(&self) -> Result<Option<usize>, protocol::Error> {
        let unread = self.inbound.unread();
        let Some(header) = Header::parse(unread) else {
            return Ok(None);
        };
        if header.length > LOGIN_PACKET {
            return Err(protocol::Error::Malformed {
                what: "a login packet",
                why: "it is too long",
            });
        }
        let whole = HEADER + header.length;
        Ok((unread.len() >= whole).then_some(whole))
    }

    /// Takes the packet whose length [`Self::packet`] told, header included.
    pub fn take(&mut self, whole: usize) -> Vec<u8> {
        let bytes = self.inbound.unread()[..whole].to_vec();
        self.inbound.consume(whole);
        bytes
    }

    /// The same for one that may hold a password: it does not stay in the buffer.
    pub fn take_secret(&mut self, whole: usize) -> Zeroizing<Vec<u8>> {
        let bytes = &mut self.inbound.unread_mut()[..whole];
        let taken = Zeroizing::new(bytes.to_vec());
        bytes.zeroize();
        self.inbound.consume(whole);
        taken
    }

    /// Sends one packet.
    pub async fn send(&mut self, mut sequence: u8, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        packet::write(&mut bytes, &mut sequence, payload);
        self.write(&bytes).await
    }

    /// Sends bytes to the last one: under TLS what is written is only stored.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Answers the client's request for TLS; what was read behind it belongs to the handshake.
    pub async fn accept_tls(&mut self, offer: &Offer) -> io::Result<()> {
        let ahead = self.inbound.unread().to_vec();
        self.inbound = Inbound::new();
        let stream = std::mem::replace(&mut self.stream, Stream::Cut);
        self.stream = offer.accept(stream, ahead).await?.into();
        Ok(())
    }

    /// From here on both sides speak in compressed frames.
    pub fn compress(&mut self, algorithm: Algorithm) {
        let ahead = self.inbound.unread().to_vec();
        self.inbound = Inbound::new();
        let stream = std::mem::replace(&mut self.stream, Stream::Cut);
        self.stream = Stream::Compressed(Box::new(Compressed::new(stream, algorithm, ahead)));
    }

    /// Says no more, and reads to the other's end.
    pub async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        loop {
            let unread = self.inbound.unread().len();
            self.inbound.consume(unread);
            self.fill().await?;
        }
    }

    pub async fn send_error(&mut self, sequence: u8, error: &ErrPacket) -> io::Result<()> {
        let mut payload = Vec::new();
        error.write(&mut payload);
        self.send(sequence, &payload).await
    }

    /// Asks the source for TLS, in the words of the login packet that will follow.
    pub async fn connect_tls(&mut self, source: &Source, login: &[u8]) -> io::Result<()> {
        let Some(request) = handshake_response::ssl_request_of(login) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if !self.inbound.is_empty() {
            // Nothing was asked of it yet.
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.send(1, request).await?;
        let stream = std::mem::replace(&mut self.stream, Stream::Cut);
        self.stream = source.tls.connect(stream, &source.address).await?.into();
        Ok(())
    }

    /// Sends two stretches with as few system calls as the kernel allows.
    pub async fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        if first.is_empty() {
            return self.write(second).await;
        }
        if second.is_empty() {
            return self.write(first).await;
        }
        let mut done = 0;
        while done < first.len() {
            let slices = [IoSlice::new(&first[done..]), IoSlice::new(second)];
            match self.stream.write_vectored(&slices).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => done += count,
            }
        }
        self.write(&second[done - first.len()..]).await
    }
}

/// Who has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Source,
}

#[derive(Debug)]
pub struct Peers {
    pub client: Peer,
    pub source: Peer,
}

impl Peers {
    /// What the client says in the belief that nobody reads it could be read on its way to the source.
    pub fn would_leak(&self) -> bool {
        self.client.stream.is_secure() && !self.source.stream.is_secure()
    }

    /// Waits until one of both can be read, or `other` resolves (None). Cancel-safe.
    pub async fn readable_or(&self, other: impl Future<Output = ()>) -> Result<Option<Side>, End> {
        let mut other = pin!(other);
        poll_fn(|context| {
            if let Poll::Ready(result) = self.source.stream.poll_read_ready(context) {
                return Poll::Ready(result.map(|()| Some(Side::Source)).map_err(End::source));
            }
            if self.client.reads_ahead()
                && let Poll::Ready(result) = self.client.stream.poll_read_ready(context)
            {
                return Poll::Ready(result.map(|()| Some(Side::Client)).map_err(End::client));
            }
            other.as_mut().poll(context).map(|()| Ok(None))
        })
        .await
    }

    /// Waits for the source and reads what is there (perhaps nothing); meanwhile a client that leaves ends it, and one that sends its next
    /// command is read ahead.
    pub async fn fill_from_source(&mut self) -> Result<(), End> {
        loop {
            match self.readable_or(std::future::pending()).await? {
                Some(Side::Client) => self.client.try_fill().await.map_err(End::client)?,
                _ => return self.source.try_fill().await.map_err(End::source),
            }
        }
    }

    /// The source has something to say while nobody asked: it leaves. (Nothing, if that it can be
    /// read was a false alarm.)
    pub async fn source_unasked(&mut self) -> Result<(), End> {
        self.source.try_fill().await.map_err(End::source)?;
        if self.source.inbound.is_empty() {
            return Ok(());
        }
        Err(End::source(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Keeps what the source says before it is its turn (progress reports, while a file is sent).
    pub async fn source_early(&mut self) -> Result<(), End> {
        if self.source.inbound.unread().len() >= READ_AHEAD {
            return Err(End::source(io::ErrorKind::InvalidData.into()));
        }
        self.source.try_fill().await.map_err(End::source)
    }

    /// A source that leaves may have said why: ERR packets are passed on, their numbers higher by
    /// `shift`, until its end or the deadline.
    pub async fn farewell(&mut self, shift: u8) {
        let words = async {
            loop {
                while let Ok(Some(whole)) = self.source.packet() {
                    let mut packet = self.source.take(whole);
                    if packet.get(HEADER) == Some(&ErrPacket::FIRST) {
                        packet::shift(&mut packet, shift);
                        self.client.write(&packet).await?;
                    }
                }
                self.source.fill().await?;
            }
        };
        let _: Result<io::Result<()>, _> = tokio::time::timeout(FAREWELL, words).await;
    }
}

//! Ending a login that the client left.
//!
//! A connection broken off before its login packet counts at the source as a connection error, and
//! about 100 of those block our address for everybody (ERR 1129, FACTS.md); a wrong password does
//! not. So the login is answered for the client who left, in a way that cannot succeed.

use std::io;
use std::time::Duration;

use super::peers::Peer;
use crate::protocol::auth::{NATIVE_PASSWORD, Question, SCRAMBLE};
use crate::protocol::ok::OkPacket;
use crate::protocol::packet::{HEADER, Header};
use crate::protocol::{Capabilities, ErrPacket, Error, Handshake, HandshakeResponse};

const DEADLINE: Duration = Duration::from_secs(2);
/// Auth switches and the like that are answered.
const ROUNDS: usize = 6;
/// Shown in the source's log, so that nobody looks for an attacker.
const USER: &[u8] = b"ackline: client left";
/// Answers no scramble.
const GARBAGE: u8 = 0xA5;

/// How far a login got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The source's greeting was not read.
    Connected,
    /// It was, and the source waits for the login packet.
    Greeted(Capabilities),
    /// The login packet is with the source.
    Answered,
    /// It asked on, and waits.
    Asked(Question),
}

/// Brings the login to its end. Errors do not matter any more.
pub async fn abandon(source: &mut Peer, reached: Reached) {
    let done = tokio::time::timeout(DEADLINE, finish(source, reached)).await;
    tracing::debug!(?done, "the client left during its login");
}

async fn finish(source: &mut Peer, reached: Reached) -> io::Result<()> {
    match reached {
        Reached::Connected => {
            let packet = next(source).await?;
            if packet.get(HEADER) == Some(&ErrPacket::FIRST) {
                return Ok(());
            }
            let payload = packet.get(HEADER..).unwrap_or_default();
            let greeting = Handshake::parse(payload).map_err(invalid)?;
            answer(source, greeting.capabilities).await?;
        }
        Reached::Greeted(offered) => answer(source, offered).await?,
        Reached::Answered => {}
        Reached::Asked(question) => refuse(source, question).await?,
    }
    for _ in 0..ROUNDS {
        let packet = next(source).await?;
        match packet.get(HEADER) {
            Some(&(OkPacket::FIRST | ErrPacket::FIRST)) | None => return Ok(()),
            Some(_) => {}
        }
        let Some(header) = Header::parse(&packet) else {
            return Ok(());
        };
        refuse(source, Question::read(header, &packet[HEADER..])).await?;
    }
    Ok(())
}

async fn refuse(source: &mut Peer, question: Question) -> io::Result<()> {
    let Some(length) = question.answer_length else {
        return Ok(());
    };
    let answer = vec![GARBAGE; length];
    source
        .send(question.sequence.wrapping_add(1), &answer)
        .await
}

async fn answer(source: &mut Peer, offered: Capabilities) -> io::Result<()> {
    let mut payload = Vec::new();
    HandshakeResponse {
        capabilities: offered
            & (Capabilities::CLIENT_MYSQL
                | Capabilities::PROTOCOL_41
                | Capabilities::SECURE_CONNECTION
                | Capabilities::PLUGIN_AUTH),
        max_packet: 1 << 24,
        collation: 33,
        user: USER.to_vec(),
        auth_response: vec![GARBAGE; SCRAMBLE],
        database: None,
        auth_plugin: NATIVE_PASSWORD.to_owned(),
        attributes: Vec::new(),
        zstd_level: None,
    }
    .write(&mut payload);
    source.send(1, &payload).await
}

/// The next packet, header included.
async fn next(source: &mut Peer) -> io::Result<Vec<u8>> {
    loop {
        match source.packet().map_err(invalid)? {
            Some(whole) => return Ok(source.take(whole)),
            None => source.fill().await?,
        }
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

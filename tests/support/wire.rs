//! A client of sockets and packets: it can stop wherever a driver would not.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use ackline::protocol::Capabilities;
use ackline::protocol::auth::{AuthSwitch, NATIVE_PASSWORD, native_answer};
use ackline::protocol::handshake::Handshake;
use ackline::protocol::handshake_response::HandshakeResponse;

/// What never comes is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(60);
const UTF8MB4: u8 = 45;

pub struct Wire {
    pub stream: TcpStream,
}

/// What a server said, its number with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub sequence: u8,
    pub payload: Vec<u8>,
}

/// An ERR packet: its code, and all that is behind the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub text: String,
}

impl Packet {
    pub fn is_ok(&self) -> bool {
        self.payload.first() == Some(&0)
    }

    pub fn refusal(&self) -> Option<Refusal> {
        let [0xFF, low, high, text @ ..] = &self.payload[..] else {
            return None;
        };
        Some(Refusal {
            code: u16::from_le_bytes([*low, *high]),
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

impl Wire {
    pub fn connect(address: impl ToSocketAddrs) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    pub fn login(address: impl ToSocketAddrs, user: &str, password: &str) -> std::io::Result<Self> {
        let mut wire = Self::connect(address)?;
        let greeting = wire.read()?;
        if let Some(refusal) = greeting.refusal() {
            return Err(std::io::Error::other(format!("{refusal:?}")));
        }
        let greeting = Handshake::parse(&greeting.payload).unwrap();
        let answer = native_answer(password, &greeting.scramble);
        wire.send(1, &login_packet(user, answer, NATIVE_PASSWORD))?;
        let mut packet = wire.read()?;
        if packet.payload.first() == Some(&AuthSwitch::FIRST) {
            let switch = AuthSwitch::parse(&packet.payload).unwrap();
            let answer = native_answer(password, &switch.data);
            wire.send(packet.sequence + 1, &answer)?;
            packet = wire.read()?;
        }
        match packet.is_ok() {
            true => Ok(wire),
            false => Err(std::io::Error::other(format!("{:?}", packet.refusal()))),
        }
    }

    pub fn send(&mut self, sequence: u8, payload: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(&framed(sequence, payload))
    }

    pub fn read(&mut self) -> std::io::Result<Packet> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok(Packet {
            sequence: header[3],
            payload,
        })
    }

    /// A statement that has no result.
    pub fn run(&mut self, statement: &str) -> std::io::Result<()> {
        self.ask(statement)?;
        let answer = self.read()?;
        match answer.is_ok() {
            true => Ok(()),
            false => Err(std::io::Error::other(format!("{:?}", answer.refusal()))),
        }
    }

    pub fn ask(&mut self, statement: &str) -> std::io::Result<()> {
        self.send(0, &[b"\x03", statement.as_bytes()].concat())
    }

    /// A statement whose result is one row of one column.
    pub fn ask_one(&mut self, statement: &str) -> std::io::Result<()> {
        self.ask(statement)?;
        let columns = self.read()?;
        assert_eq!(columns.payload, [1], "{columns:?}");
        // Column, EOF, row, EOF: EOF packets are not deprecated here.
        for _ in 0..4 {
            self.read()?;
        }
        Ok(())
    }

    pub fn quit(mut self) -> std::io::Result<()> {
        self.send(0, b"\x01")?;
        // Until the other side has closed, too: then it has a descriptor less.
        self.stream.read_to_end(&mut Vec::new())?;
        Ok(())
    }

    /// Everything to the end of the stream; a reset is an end.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("it does not end; so far {all:?}")
            }
            _ => all,
        }
    }
}

pub fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend(payload);
    bytes
}

pub fn login_packet(user: &str, answer: Vec<u8>, plugin: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    HandshakeResponse {
        capabilities: Capabilities::CLIENT_MYSQL
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH,
        max_packet: 1 << 30,
        collation: UTF8MB4,
        user: user.as_bytes().to_vec(),
        auth_response: answer,
        database: None,
        auth_plugin: plugin.to_owned(),
        attributes: Vec::new(),
        zstd_level: None,
    }
    .write(&mut payload);
    payload
}

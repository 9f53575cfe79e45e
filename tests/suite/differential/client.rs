//! A client that knows packets and logins, and nothing of what answers mean: an answer is all that
//! comes until the server is silent. So it cannot share an error with the code that it tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ackline::protocol::Capabilities;
use ackline::protocol::auth::{AuthSwitch, native_answer};
use ackline::protocol::caching_sha2::{self, CACHING_SHA2};
use ackline::protocol::handshake::Handshake;

use super::frames::Frames;
use super::script::{Act, Step};
use crate::support::session::{PASSWORD, USER};

/// A first byte is waited for so long.
const FIRST: Duration = Duration::from_secs(10);
const MAX_PAYLOAD: usize = 0xFF_FFFF;

pub struct Client {
    /// The connection's number, as the greeting has it.
    pub id: u32,
    stream: TcpStream,
    buffer: Vec<u8>,
    silence: Duration,
    /// The server's numbers of the statements that were prepared.
    prepared: Vec<u32>,
    /// How the server wants passwords.
    plugin: String,
    /// Put before queries.
    pub attributes: bool,
    frames: Option<Frames>,
    /// The number of the frame that came last.
    frame: u8,
}

impl Client {
    /// An answer is over when nothing has come for as long as `silence`.
    pub fn login(port: u16, capabilities: Capabilities, silence: Duration) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self {
            id: 0,
            stream,
            buffer: Vec::new(),
            silence,
            prepared: Vec::new(),
            plugin: String::new(),
            attributes: capabilities.contains(Capabilities::QUERY_ATTRIBUTES),
            frames: None,
            frame: 0,
        };
        let greeting = client.answer(false);
        let greeting = Handshake::parse(&greeting[0].1).unwrap();
        client.plugin = greeting.auth_plugin.clone();
        client.id = greeting.connection_id;
        let mut login = Vec::new();
        login.extend(capabilities.low().to_le_bytes());
        login.extend((1u32 << 30).to_le_bytes());
        login.push(45);
        login.extend([0; 19]);
        login.extend(capabilities.high().to_le_bytes());
        login.extend(USER.as_bytes());
        login.push(0);
        let answer = client.proof(PASSWORD, &greeting.scramble);
        login.push(answer.len() as u8);
        login.extend(answer);
        login.extend(client.plugin.as_bytes());
        login.push(0);
        if capabilities.contains(Capabilities::ZSTD) {
            login.push(3);
        }
        client.send(1, &login);
        let mut welcome = client.answer(false);
        if welcome.last().unwrap().1 == [1, 4] {
            client.tell_password(PASSWORD, &greeting.scramble, welcome.last().unwrap().0);
            welcome = client.answer(false);
        }
        if welcome.last().unwrap().1 == [1, 3] {
            // The scramble fits, and a busy server takes its time with the OK.
            welcome = client.answer(false);
        }
        assert_eq!(welcome.last().unwrap().1[0], 0, "{welcome:?}");
        client.frames = Frames::of(capabilities);
        client
    }

    /// Sends a query; its answer may take its time.
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn begin(&mut self, text: &str) {
        self.send(0, &self.attributed(&[b"\x03", text.as_bytes()].concat()));
    }

    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub fn end(&mut self) -> Vec<(u8, Vec<u8>)> {
        self.answer(false)
    }

    pub fn run(&mut self, step: &Step) -> Vec<(u8, Vec<u8>)> {
        match &step.act {
            Act::Send(commands) => {
                let mut bytes = Vec::new();
                for command in commands {
                    let command = with_id(command, self.id);
                    frame(&mut bytes, 0, &self.attributed(&command));
                }
                self.write(0, &bytes);
                let usual = self.silence;
                if step.large && self.frames.is_some() {
                    self.silence *= 30;
                }
                let answer = self.answer(step.silent);
                self.silence = usual;
                answer
            }
            Act::Prepare(text) => {
                self.send(0, &[b"\x16", text.as_bytes()].concat());
                let mut answer = self.answer(false);
                if let [0, number @ ..] = &mut answer[0].1[..] {
                    let (number, _) = number.split_first_chunk_mut::<4>().unwrap();
                    self.prepared.push(u32::from_le_bytes(*number));
                    number.fill(0);
                }
                answer
            }
            Act::OnStatement {
                command,
                statement,
                rest,
            } => {
                let known = self.prepared.get(*statement as usize - 1);
                let number = known.copied().unwrap_or(*statement);
                let payload = [&[*command][..], &number.to_le_bytes(), rest].concat();
                self.send(0, &payload);
                let mut answer = self.answer(step.silent);
                for (_, payload) in &mut answer {
                    if payload[0] == 0xFF {
                        let says = String::from_utf8_lossy(payload);
                        let says = says.replace(&format!("({number})"), "(n)");
                        *payload = says.into_bytes();
                    }
                }
                answer
            }
            Act::ChangeUser { user, password } => {
                let mut command = vec![0x11];
                command.extend(user.as_bytes());
                command.extend([0, 0]);
                command.extend(b"shop\0\x2d\0");
                command.extend(self.plugin.as_bytes());
                command.push(0);
                self.send(0, &command);
                let mut answer = self.answer(false);
                let (sequence, asked) = answer.pop().unwrap();
                let scramble = AuthSwitch::parse(&asked).unwrap().data;
                let proof = self.proof(password, &scramble);
                self.send(sequence + 1, &proof);
                // The scramble is chance; that it is asked for is not.
                answer.push((sequence, vec![asked[0]]));
                let mut verdict = self.answer(false);
                if verdict.last().unwrap().1 == [1, 4] {
                    self.tell_password(password, &scramble, verdict.last().unwrap().0);
                    verdict.extend(self.answer(false));
                }
                answer.extend(verdict);
                answer
            }
            Act::File { query, content } => {
                let command = [b"\x03", query.as_bytes()].concat();
                self.send(0, &self.attributed(&command));
                let mut answer = self.answer(false);
                let mut sequence = answer.last().unwrap().0;
                for part in content.iter().copied().chain([""]) {
                    sequence += 1;
                    self.send(sequence, part.as_bytes());
                }
                answer.extend(self.answer(false));
                answer
            }
        }
    }

    /// With none, or with one, where they are agreed on.
    fn attributed(&self, command: &[u8]) -> Vec<u8> {
        let one = b"\x01\x01\x00\x01\xfe\x00\x05trace\x04here";
        match command {
            [3, text @ ..] if self.attributes => {
                let before = if text.len() % 2 == 0 {
                    b"\x00\x01"
                } else {
                    &one[..]
                };
                [b"\x03", before, text].concat()
            }
            _ => command.to_vec(),
        }
    }

    /// As a client does on a channel that hides nothing.
    fn tell_password(&mut self, password: &str, scramble: &[u8], asked: u8) {
        self.send(asked + 1, &caching_sha2::KEY_REQUEST);
        let key = self.answer(false);
        let (sequence, pem) = key.last().unwrap();
        let sealed = caching_sha2::encrypt(password, scramble, &pem[1..]).unwrap();
        self.send(sequence + 1, &sealed);
    }

    fn proof(&self, password: &str, scramble: &[u8]) -> Vec<u8> {
        match self.plugin.as_str() {
            CACHING_SHA2 => caching_sha2::answer(password, scramble),
            _ => native_answer(password, scramble),
        }
    }

    fn send(&mut self, sequence: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame(&mut bytes, sequence, payload);
        self.write(sequence, &bytes);
    }

    fn write(&mut self, sequence: u8, bytes: &[u8]) {
        match &self.frames {
            None => self.stream.write_all(bytes).unwrap(),
            Some(frames) => {
                // Frames are counted apart from packets.
                let number = match sequence {
                    0 => 0,
                    _ => self.frame.wrapping_add(1),
                };
                let framed = frames.pack(number, bytes);
                self.stream.write_all(&framed).unwrap();
                let sent = frames.count(bytes);
                self.frame = number.wrapping_add(sent).wrapping_sub(1);
            }
        }
    }

    /// All that comes, as packets.
    fn answer(&mut self, silent: bool) -> Vec<(u8, Vec<u8>)> {
        let began = Instant::now();
        let mut chunk = vec![0; 1 << 16];
        let mut framed = Vec::new();
        let (mut in_order, mut closed) = (true, false);
        self.stream.set_read_timeout(Some(self.silence)).unwrap();
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    closed = true;
                    break;
                }
                Ok(count) => match &self.frames {
                    None => self.buffer.extend_from_slice(&chunk[..count]),
                    Some(frames) => {
                        framed.extend_from_slice(&chunk[..count]);
                        in_order &= frames.unpack(&mut framed, &mut self.buffer, &mut self.frame);
                    }
                },
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let whole = self.buffer.is_empty() == silent;
                    if (whole && packets_are_whole(&self.buffer)) || began.elapsed() > FIRST {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    closed = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let mut packets = Vec::new();
        let mut rest = &self.buffer[..];
        while rest.len() >= 4 {
            let length = u32::from_le_bytes([rest[0], rest[1], rest[2], 0]) as usize;
            packets.push((rest[3], rest[4..4 + length].to_vec()));
            rest = &rest[4 + length..];
        }
        self.buffer.clear();
        if closed {
            packets.push((0, b"closed".to_vec()));
        }
        if !in_order {
            // Wrong, or left over from the answer before: on a busy machine.
            packets.push((0, b"frames out of order".to_vec()));
        }
        packets
    }
}

/// `{id}` stands for the connection's own number.
fn with_id(command: &[u8], id: u32) -> Vec<u8> {
    match std::str::from_utf8(command) {
        Ok(text) if text.contains("{id}") => text.replace("{id}", &id.to_string()).into_bytes(),
        _ => command.to_vec(),
    }
}

fn packets_are_whole(mut rest: &[u8]) -> bool {
    while rest.len() >= 4 {
        let length = u32::from_le_bytes([rest[0], rest[1], rest[2], 0]) as usize;
        if rest.len() < 4 + length {
            return false;
        }
        rest = &rest[4 + length..];
    }
    rest.is_empty()
}

fn frame(out: &mut Vec<u8>, mut sequence: u8, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let length = rest.len().min(MAX_PAYLOAD);
        out.extend(&(length as u32).to_le_bytes()[..3]);
        out.push(sequence);
        out.extend(&rest[..length]);
        rest = &rest[length..];
        sequence = sequence.wrapping_add(1);
        if length < MAX_PAYLOAD {
            return;
        }
    }
}

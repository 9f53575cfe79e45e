//! Our login at a server, with `mysql_native_password` or `caching_sha2_password`: for the dump
//! connection, which needs raw packets.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::packets::{MAX_PACKET, PacketStream};
use super::{Error, connect};
use crate::protocol::auth::{self, AuthSwitch};
use crate::protocol::caching_sha2::{self, CACHING_SHA2};
use crate::protocol::{Capabilities, ErrPacket, Handshake, HandshakeResponse};

/// utf8mb3_general_ci.
const COLLATION: u8 = 33;
/// What we ask for; EOF packets stay, because a dump ends with one anyhow.
const WANTED: Capabilities = Capabilities(
    Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::MULTI_RESULTS.0,
);
/// A login dialogue is short; a server that goes on and on is not one.
const MAX_ROUNDS: usize = 8;

/// Connects to `host:port` and logs in, all within `timeout`.
pub async fn connect_and_login(
    address: &str,
    user: &str,
    password: &str,
    timeout: Duration,
) -> Result<(PacketStream, Handshake), Error> {
    let work = async {
        let stream = connect::connect(address, timeout).await?;
        let mut stream = PacketStream::new(stream, MAX_PACKET);
        let handshake = login(&mut stream, user, password).await?;
        Ok((stream, handshake))
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout {
            what: address.to_owned(),
            seconds: timeout.as_secs_f64(),
        }),
    }
}

/// Logs in on a fresh connection; the server's greeting comes back (version, connection id).
pub async fn login<R, W>(
    stream: &mut PacketStream<R, W>,
    user: &str,
    password: &str,
) -> Result<Handshake, Error>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let payload = stream.read().await?;
    if payload.first() == Some(&ErrPacket::FIRST) {
        // Too many connections, host blocked: it comes instead of a greeting.
        return Err(Error::Server(ErrPacket::parse(payload)?));
    }
    let handshake = Handshake::parse(payload)?;
    let mut wanted = WANTED & handshake.capabilities;
    if handshake.capabilities.contains(Capabilities::CLIENT_MYSQL) {
        wanted = wanted.with(Capabilities::CLIENT_MYSQL);
    }
    // What the server takes by default; another plugin of the account's comes as a switch.
    let mut plugin = match handshake.auth_plugin.as_str() {
        CACHING_SHA2 => CACHING_SHA2,
        _ => auth::NATIVE_PASSWORD,
    };
    let mut scramble = handshake.scramble.clone();
    let response = HandshakeResponse {
        capabilities: wanted,
        max_packet: 1 << 30,
        collation: COLLATION,
        user: user.as_bytes().to_vec(),
        auth_response: answer(plugin, password, &handshake.scramble),
        database: None,
        auth_plugin: plugin.to_owned(),
        attributes: vec![(b"program_name".to_vec(), b"ackline".to_vec())],
    };
    let mut out = Vec::new();
    response.write(&mut out);
    stream.write(&out).await?;
    for _ in 0..MAX_ROUNDS {
        let payload = stream.read().await?;
        match payload {
            [0x00, ..] => return Ok(handshake),
            [ErrPacket::FIRST, ..] => return Err(Error::Server(ErrPacket::parse(payload)?)),
            [AuthSwitch::FIRST, ..] => {
                let switch = AuthSwitch::parse(payload)?;
                plugin = match switch.plugin.as_str() {
                    auth::NATIVE_PASSWORD => auth::NATIVE_PASSWORD,
                    CACHING_SHA2 => CACHING_SHA2,
                    _ => return Err(Error::AuthPlugin(switch.plugin)),
                };
                scramble = switch.data;
                stream.write(&answer(plugin, password, &scramble)).await?;
            }
            [caching_sha2::MORE_DATA, more @ ..] if plugin == CACHING_SHA2 => match more {
                [caching_sha2::FAST_OK] => {}
                [caching_sha2::FULL] => stream.write(&caching_sha2::KEY_REQUEST).await?,
                pem => {
                    let sealed = caching_sha2::encrypt(password, &scramble, pem)?;
                    stream.write(&sealed).await?;
                }
            },
            _ => break,
        }
    }
    Err(Error::AuthPlugin(handshake.auth_plugin))
}

fn answer(plugin: &str, password: &str, scramble: &[u8]) -> Vec<u8> {
    match plugin {
        CACHING_SHA2 => caching_sha2::answer(password, scramble),
        _ => auth::native_answer(password, scramble),
    }
}

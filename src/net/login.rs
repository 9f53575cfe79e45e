//! Our login at a server, with `mysql_native_password` or `caching_sha2_password`: for the dump
//! connection, which needs raw packets.

use std::time::Duration;

use super::admin::Account;
use super::packets::{MAX_PACKET, PacketStream};
use super::stream::Stream;
use super::tls::{Connector, Fingerprint, Mode};
use super::{Error, connect};
use crate::protocol::auth::{self, AuthSwitch};
use crate::protocol::caching_sha2::{self, CACHING_SHA2};
use crate::protocol::ok::OkPacket;
use crate::protocol::{Capabilities, ErrPacket, Handshake, HandshakeResponse, handshake_response};

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
/// What we say that we take.
const MAX_PAYLOADS: u32 = 1 << 30;
/// A login dialogue is short; a server that goes on and on is not one.
const MAX_ROUNDS: usize = 8;

/// Connects and logs in, all within `timeout`.
pub async fn connect_and_login(
    account: &Account,
    timeout: Duration,
) -> Result<(PacketStream, Handshake), Error> {
    let work = async {
        let stream = connect::connect(&account.address, timeout).await?;
        login(PacketStream::new(stream, MAX_PACKET), account).await
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout {
            what: account.address.clone(),
            seconds: timeout.as_secs_f64(),
        }),
    }
}

/// Logs in on a fresh connection; the server's greeting comes back (version, connection id).
pub async fn login(
    mut stream: PacketStream,
    account: &Account,
) -> Result<(PacketStream, Handshake), Error> {
    let Account { user, password, .. } = account;
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
    let mut shown = None;
    let offers_tls = handshake.capabilities.contains(Capabilities::SSL);
    match account.tls.mode() {
        Mode::Preferred | Mode::Required if offers_tls => {
            wanted = wanted.with(Capabilities::SSL);
            let encrypted = encrypt(stream, wanted, &account.tls, &account.address).await?;
            (stream, shown) = (encrypted.0, Some(encrypted.1));
        }
        Mode::Required => return Err(Error::NoTls),
        Mode::Preferred | Mode::Off => {}
    }
    // What the server takes by default; another plugin of the account's comes as a switch.
    let mut plugin = match handshake.auth_plugin.as_str() {
        CACHING_SHA2 => CACHING_SHA2,
        _ => auth::NATIVE_PASSWORD,
    };
    let mut scramble = handshake.scramble.clone();
    let response = HandshakeResponse {
        capabilities: wanted,
        max_packet: MAX_PAYLOADS,
        collation: COLLATION,
        user: user.as_bytes().to_vec(),
        auth_response: answer(plugin, password, &handshake.scramble),
        database: None,
        auth_plugin: plugin.to_owned(),
        attributes: vec![(b"program_name".to_vec(), b"ackline".to_vec())],
        zstd_level: None,
    };
    let mut out = Vec::new();
    response.write(&mut out);
    stream.write(&out).await?;
    for _ in 0..MAX_ROUNDS {
        let payload = stream.read().await?;
        match payload {
            [0x00, ..] => {
                if let Some(shown) = shown.filter(|_| account.tls.asks_for_word()) {
                    let info = OkPacket::parse(payload, wanted)?.info;
                    let expected = (plugin == auth::NATIVE_PASSWORD)
                        .then(|| auth::vouch(&auth::native_hash(password), &scramble, &shown));
                    believe(&account.tls, shown, info, expected.as_deref())?;
                }
                return Ok((stream, handshake));
            }
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
                [caching_sha2::FULL] if shown.is_some() => {
                    let clear: Vec<u8> = password.bytes().chain([0]).collect();
                    stream.write(&clear).await?;
                }
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

async fn encrypt(
    mut stream: PacketStream,
    wanted: Capabilities,
    tls: &Connector,
    address: &str,
) -> Result<(PacketStream, Fingerprint), Error> {
    let mut request = Vec::new();
    handshake_response::write_ssl_request(&mut request, wanted, MAX_PAYLOADS, COLLATION);
    stream.write(&request).await?;
    let sequence = stream.writer.sequence();
    let (plain, _) = stream.into_stream()?;
    let encrypted = tls.connect(plain, address).await.map_err(Error::Tls)?;
    let encrypted = Stream::from(encrypted);
    let shown = encrypted.peer_fingerprint().unwrap_or_default();
    let mut stream = PacketStream::new(encrypted, MAX_PACKET);
    stream.writer.set_sequence(sequence);
    Ok((stream, shown))
}

/// Whether a certificate that no authority of ours has signed is the server's own: by what its OK says (`info`), where
/// its version says something, and by what it proved before. Whoever is in between can pass the proof on, which is
/// about another certificate, or drop it, which is noticed where one was seen before.
fn believe(
    tls: &Connector,
    shown: Fingerprint,
    info: &[u8],
    expected: Option<&[u8]>,
) -> Result<(), Error> {
    match expected {
        Some(expected) if auth::is_same(info, expected) => {
            tls.vouched(shown);
            Ok(())
        }
        Some(_) if auth::is_vouch(info) => Err(Error::Impostor),
        _ if tls.is_known(shown) => Ok(()),
        _ => Err(Error::Impostor),
    }
}

fn answer(plugin: &str, password: &str, scramble: &[u8]) -> Vec<u8> {
    match plugin {
        CACHING_SHA2 => caching_sha2::answer(password, scramble),
        _ => auth::native_answer(password, scramble),
    }
}

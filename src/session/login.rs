//! The login up to the client's answer: connect, the source's greeting, the client's packet.
//!
//! The greeting is the source's own, so its scramble, its version and its connection id reach the
//! client, and every authentication plugin works without a password of ours. What we cannot carry is
//! taken out of the capabilities offered. The dialogue that follows (auth switch, more data, OK) is
//! relayed like that of COM_CHANGE_USER, in [`super::relay`].

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::abandon::{Reached, abandon};
use super::agreed::Agreed;
use super::credentials::Lesson;
use super::gate::Source;
use super::peers::{Peer, Peers, Side};
use super::registry::{Activity, Entered};
use super::{End, LINGER, Shared, refusal, tracking};
use crate::net::compression::Algorithm;
use crate::net::tls::{Mode, Offer};
use crate::net::{self, connect};
use crate::protocol::auth::AuthSwitch;
use crate::protocol::packet::{self, HEADER, Header};
use crate::protocol::proxy_header::{self, Ends};
use crate::protocol::{
    Capabilities, ErrPacket, Handshake, HandshakeResponse, auth, handshake_response,
};

/// Between two attempts to reach the source.
const RETRY: Duration = Duration::from_millis(100);

/// Between the client and us only.
const COMPRESSION: Capabilities = Capabilities(Capabilities::COMPRESS.0 | Capabilities::ZSTD.0);
/// What we can relay. Not among them: TLS and compression (those are between each of them and us),
/// COM_MULTI, bulk unit results.
const CARRIED: Capabilities = Capabilities(
    Capabilities::CLIENT_MYSQL.0
        | Capabilities::FOUND_ROWS.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::CONNECT_WITH_DB.0
        | (1 << 4)
        | (1 << 6)
        | Capabilities::LOCAL_FILES.0
        | (1 << 8)
        | Capabilities::PROTOCOL_41.0
        | Capabilities::INTERACTIVE.0
        | (1 << 12)
        | Capabilities::TRANSACTIONS.0
        | (1 << 14)
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::PLUGIN_AUTH_LENENC.0
        | Capabilities::EXPIRED_PASSWORDS.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0
        | Capabilities::REMEMBER_OPTIONS.0
        | Capabilities::OPTIONAL_METADATA.0
        | Capabilities::MULTI_FACTOR.0
        | Capabilities::QUERY_ATTRIBUTES.0
        | Capabilities::PROGRESS.0
        | Capabilities::BULK_OPERATIONS.0
        | Capabilities::EXTENDED_METADATA.0
        | Capabilities::CACHE_METADATA.0
        | Capabilities::BULK_UNIT_RESULTS.0,
);
/// The source speaks these to us whatever the client knows.
const ALWAYS: Capabilities =
    Capabilities(Capabilities::SESSION_TRACK.0 | Capabilities::DEPRECATE_EOF.0);
/// Those that say which fields a login packet has: they stay as the client wrote it.
const LAYOUT: Capabilities = Capabilities(
    Capabilities::CLIENT_MYSQL.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::PLUGIN_AUTH_LENENC.0,
);

/// From a client's connection to its login packet at the source. Whoever fails on the way has been
/// told why.
pub async fn begin(
    mut client: Peer,
    ends: Option<Ends>,
    shared: &Shared,
    entry: &Entered,
) -> Result<(Peers, Agreed, Lesson), End> {
    let (source, origin) = match reach(&mut client, ends, shared, entry).await? {
        Ok(reached) => reached,
        Err(error) => return refuse_unmet(&mut client, &error, shared).await,
    };
    let mut peers = Peers { client, source };
    let mut reached = Reached::Connected;
    let greeted = greet(&mut peers, shared, entry, &origin, &mut reached).await;
    concluded(peers, greeted, reached, 0).await
}

/// The same for a client that was greeted by us and has answered a scramble of ours: it is asked once
/// more, for an answer to the source's. `sequence` is its login packet's.
pub async fn adopt(
    mut client: Peer,
    login: HandshakeResponse,
    sequence: u8,
    shared: &Shared,
    entry: &Entered,
) -> Result<(Peers, Agreed, Lesson), End> {
    entry.set_user(&login.user);
    entry.set_program(login.program());
    let (source, origin) = match reach(&mut client, None, shared, entry).await? {
        Ok(reached) => reached,
        Err(error) => {
            shared.metrics.refused(error.code);
            let sent = client.send_error(sequence.wrapping_add(1), &error).await;
            sent.map_err(End::client)?;
            return Err(End::Refused(error.code));
        }
    };
    let mut peers = Peers { client, source };
    let mut reached = Reached::Connected;
    let asked = Asked { login, sequence };
    let introduced = introduce(&mut peers, asked, shared, entry, &origin, &mut reached).await;
    concluded(peers, introduced, reached, sequence).await
}

/// A login that has come to nothing is brought to its end on the other side. `sequence` is the last
/// that the client and we exchanged.
async fn concluded(
    mut peers: Peers,
    login: Result<(Agreed, Lesson), End>,
    reached: Reached,
    sequence: u8,
) -> Result<(Peers, Agreed, Lesson), End> {
    match login {
        Ok((agreed, lesson)) => Ok((peers, agreed, lesson)),
        Err(end) => {
            match end {
                End::SourceLeft(_) => peers.farewell(sequence).await,
                _ if end.is_clients() => abandon(&mut peers.source, reached).await,
                _ => {}
            }
            Err(end)
        }
    }
}

/// Connects to the source, held while there is none; or what to tell the client.
async fn reach(
    client: &mut Peer,
    ends: Option<Ends>,
    shared: &Shared,
    entry: &Entered,
) -> Result<Result<(Peer, Source), ErrPacket>, End> {
    let began = Instant::now();
    let deadline = began + shared.config.login_hold;
    let attempt = client
        .unless_leaves(connect_until(deadline, shared, entry))
        .await;
    if began.elapsed() > RETRY {
        shared.metrics.hold(began.elapsed());
    }
    match attempt.map_err(End::client)? {
        Ok((stream, source)) => {
            let mut peer = Peer::new(stream.into());
            if source.send_proxy_protocol {
                let mut header = Vec::new();
                proxy_header::write(&mut header, ends);
                peer.write(&header).await.map_err(End::source)?;
            }
            Ok(Ok((peer, source)))
        }
        Err(reason) => Ok(Err(refusal::held(&reason))),
    }
}

async fn connect_until(
    deadline: Instant,
    shared: &Shared,
    entry: &Entered,
) -> Result<(tokio::net::TcpStream, Source), String> {
    let gate = &shared.gate;
    let hold = shared.registry.hold();
    loop {
        while hold.is_on() || !gate.is_open() {
            entry.set_activity(Activity::Held);
            if timeout_at(deadline, hold.ended()).await.is_err() {
                return Err("it is about to be moved".to_owned());
            }
            if timeout_at(deadline, gate.opened()).await.is_err() {
                return Err(gate.hold_reason());
            }
            entry.set_activity(Activity::Login);
        }
        let reason = match gate.source() {
            None => gate.hold_reason(),
            Some(source) => {
                match connect::connect(&source.address, shared.config.connect_timeout).await {
                    Ok(stream) => return Ok((stream, source)),
                    Err(error) => format!("{}: {error}", source.address),
                }
            }
        };
        let next = Instant::now() + RETRY;
        if next >= deadline {
            return Err(reason);
        }
        sleep_until(next).await;
    }
}

/// An error in place of the greeting.
pub async fn refuse_unmet<T>(
    client: &mut Peer,
    error: &ErrPacket,
    shared: &Shared,
) -> Result<T, End> {
    shared.metrics.refused(error.code);
    let mut payload = Vec::new();
    error.write_before_login(&mut payload);
    client.send(0, &payload).await.map_err(End::client)?;
    Err(End::Refused(error.code))
}

/// The greeting to the client and the client's packet to the source.
async fn greet(
    peers: &mut Peers,
    shared: &Shared,
    entry: &Entered,
    origin: &Source,
    reached: &mut Reached,
) -> Result<(Agreed, Lesson), End> {
    // A server that is stuck still accepts.
    let greeted = timeout_at(Instant::now() + shared.config.login_hold, greeting(peers)).await;
    let Ok(packet) = greeted else {
        let error = refusal::held("it does not greet");
        return refuse_unmet(&mut peers.client, &error, shared).await;
    };
    let mut packet = packet?;
    if packet.get(HEADER) == Some(&ErrPacket::FIRST) {
        // Too many connections, host blocked: it passes unchanged.
        let sent = peers.client.write(&packet).await;
        sent.map_err(End::client)?;
        return Err(End::RefusedBySource);
    }
    let greeting = Handshake::parse(&packet[HEADER..]).map_err(End::source_protocol)?;
    *reached = Reached::Greeted(greeting.capabilities);
    entry.set_connection(greeting.connection_id);
    let offered = greeting.capabilities & CARRIED;
    // What the source offers, we do.
    let compression = greeting.capabilities & COMPRESSION;
    let tls = shared.config.tls.offer();
    let mut shown = offered | compression;
    if tls.is_on() {
        shown = shown.with(Capabilities::SSL);
    }
    Handshake::patch_capabilities(&mut packet[HEADER..], shown).map_err(End::source_protocol)?;
    peers.client.write(&packet).await.map_err(End::client)?;

    let deadline = Instant::now() + shared.config.login_timeout;
    let mut packet = match timeout_at(deadline, login_packet(peers, &tls)).await {
        Ok(Err(End::ClientProtocol(error))) => {
            let header = Header::parse(peers.client.inbound.unread());
            let sequence = header.map_or(1, |header| header.sequence);
            let error = refusal::bad_handshake(&error.to_string());
            let refused = refuse_met(peers, sequence, &error, shared, *reached).await;
            // A close before its bytes are read would be a reset.
            let _ = tokio::time::timeout(LINGER, peers.client.linger()).await;
            return refused;
        }
        Ok(packet) => packet?,
        Err(_) => {
            let error = refusal::bad_handshake("no login packet in time");
            return refuse_met(peers, 1, &error, shared, *reached).await;
        }
    };
    let sequence = Header::parse(&packet).map_or(1, |header| header.sequence);
    let payload = &mut packet[HEADER..];
    if handshake_response::is_ssl_request(payload) {
        let error = refusal::bad_handshake("TLS is not offered, or asked for twice");
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    if tls.is_required() && !peers.client.stream.is_secure() {
        let error = refusal::insecure_transport();
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    let login = match HandshakeResponse::parse(payload) {
        Ok(login) => login,
        Err(error) => {
            let error = refusal::bad_handshake(&error.to_string());
            return refuse_met(peers, sequence, &error, shared, *reached).await;
        }
    };
    entry.set_user(&login.user);
    entry.set_program(login.program());
    // It would send frames that nobody takes for such.
    let asked = login.capabilities & COMPRESSION;
    if asked != Capabilities::NONE && asked & compression == Capabilities::NONE {
        let error = refusal::bad_handshake("compression is not offered");
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    let client = login.capabilities & offered;
    let mut to_source =
        (login.capabilities & (offered | LAYOUT)) | (greeting.capabilities & ALWAYS);
    if origin.tls.asks(greeting.capabilities) {
        to_source = to_source.with(Capabilities::SSL);
        handshake_response::patch_capabilities(payload, to_source).map_err(End::client_protocol)?;
    }
    let encrypted = encrypt(
        &mut peers.source,
        origin,
        &greeting,
        payload,
        shared,
        deadline,
    )
    .await;
    if let Err(error) = encrypted {
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    if auth::sends_clear_password(&login.auth_plugin)
        && !login.auth_response.is_empty()
        && peers.would_leak()
    {
        let error = refusal::clear_password();
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    handshake_response::patch_capabilities(payload, to_source).map_err(End::client_protocol)?;
    if login.zstd_level.is_some() {
        packet::drop_last_byte(&mut packet);
    }
    // Whoever was asked for TLS counts one packet more.
    let login_shift =
        u8::from(peers.client.stream.is_tls()).wrapping_sub(u8::from(peers.source.stream.is_tls()));
    packet::shift(&mut packet, login_shift.wrapping_neg());
    peers.source.write(&packet).await.map_err(End::source)?;
    *reached = Reached::Answered;
    let lesson = Lesson::login(&login, &greeting.scramble, peers.client.stream.is_secure());
    let agreed = Agreed {
        client,
        source: to_source & greeting.capabilities,
        mariadb: greeting.is_mariadb(),
        mixes_up: tracking::mixes_up(&greeting),
        epoch: origin.epoch,
        login_shift,
        compression: Algorithm::asked(asked & compression, login.zstd_level),
        own_certificate: tls.own().filter(|_| peers.client.stream.is_tls()),
    };
    Ok((agreed, lesson))
}

/// The source's channel, as its `tls` says; or what to tell the client.
async fn encrypt(
    source: &mut Peer,
    origin: &Source,
    greeting: &Handshake,
    login: &[u8],
    shared: &Shared,
    deadline: Instant,
) -> Result<(), ErrPacket> {
    if !origin.tls.asks(greeting.capabilities) {
        return match origin.tls.mode() {
            Mode::Required => Err(refusal::held("TLS is required, and it offers none")),
            Mode::Off | Mode::Preferred => Ok(()),
        };
    }
    let problem = match timeout_at(deadline, source.connect_tls(origin, login)).await {
        Ok(Ok(())) if is_known(source, origin) => return Ok(()),
        // It may have another since it proved that one, or somebody is in between.
        Ok(Ok(())) => match timeout_at(deadline, shared.gate.vouches_anew()).await {
            Ok(Ok(())) if is_known(source, origin) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            _ => net::Error::Impostor.to_string(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(source = %origin.address, problem, "no TLS with the source");
    Err(refusal::held(&format!("no TLS: {problem}")))
}

/// The certificate on this connection is the one that the source vouched for, if it does such a thing.
fn is_known(source: &Peer, origin: &Source) -> bool {
    let shown = source.stream.peer_fingerprint();
    !origin.tls.asks_for_word() || shown.is_none_or(|shown| origin.tls.is_known(shown))
}

/// A login packet that answered a scramble of ours.
struct Asked {
    login: HandshakeResponse,
    sequence: u8,
}

/// The source's scramble to the client and the client's login to the source.
async fn introduce(
    peers: &mut Peers,
    asked: Asked,
    shared: &Shared,
    entry: &Entered,
    origin: &Source,
    reached: &mut Reached,
) -> Result<(Agreed, Lesson), End> {
    let Asked {
        mut login,
        sequence,
    } = asked;
    let greeted = timeout_at(Instant::now() + shared.config.login_hold, greeting(peers)).await;
    let Ok(packet) = greeted else {
        let error = refusal::held("it does not greet");
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    };
    let packet = packet?;
    if packet.get(HEADER) == Some(&ErrPacket::FIRST) {
        let error = ErrPacket::parse(&packet[HEADER..]).map_err(End::source_protocol)?;
        let sent = peers.client.send_error(sequence.wrapping_add(1), &error);
        sent.await.map_err(End::client)?;
        return Err(End::RefusedBySource);
    }
    let greeting = Handshake::parse(&packet[HEADER..]).map_err(End::source_protocol)?;
    *reached = Reached::Greeted(greeting.capabilities);
    entry.set_connection(greeting.connection_id);
    if !login.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        let error = refusal::bad_handshake("a client without authentication plugins");
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    let mut question = Vec::new();
    AuthSwitch {
        plugin: greeting.auth_plugin.clone(),
        data: greeting.scramble.clone(),
    }
    .write(&mut question);
    let sent = peers.client.send(sequence.wrapping_add(1), &question).await;
    sent.map_err(End::client)?;
    let deadline = Instant::now() + shared.config.login_timeout;
    let Ok(answer) = timeout_at(deadline, client_packet(peers)).await else {
        let error = refusal::bad_handshake("no answer in time");
        return refuse_met(peers, sequence.wrapping_add(2), &error, shared, *reached).await;
    };
    let answer = answer?;
    let sequence =
        Header::parse(&answer).map_or(sequence.wrapping_add(2), |header| header.sequence);
    login.auth_plugin.clone_from(&greeting.auth_plugin);
    login.auth_response = answer[HEADER..].to_vec();

    let offered = greeting.capabilities & CARRIED;
    // What the replication port offered.
    let compression = Algorithm::asked(login.capabilities & COMPRESSION, login.zstd_level);
    let client = login.capabilities & offered;
    login.capabilities =
        (login.capabilities & (offered | LAYOUT)) | (greeting.capabilities & ALWAYS);
    if origin.tls.asks(greeting.capabilities) {
        login.capabilities = login.capabilities.with(Capabilities::SSL);
    }
    let mut payload = Vec::new();
    login.write(&mut payload);
    let encrypted = encrypt(
        &mut peers.source,
        origin,
        &greeting,
        &payload,
        shared,
        deadline,
    )
    .await;
    if let Err(error) = encrypted {
        return refuse_met(peers, sequence, &error, shared, *reached).await;
    }
    let number = 1 + u8::from(peers.source.stream.is_tls());
    peers
        .source
        .send(number, &payload)
        .await
        .map_err(End::source)?;
    *reached = Reached::Answered;
    let lesson = Lesson::login(&login, &greeting.scramble, peers.client.stream.is_secure());
    let agreed = Agreed {
        client,
        source: login.capabilities & greeting.capabilities,
        mariadb: greeting.is_mariadb(),
        mixes_up: tracking::mixes_up(&greeting),
        epoch: origin.epoch,
        login_shift: sequence.wrapping_sub(number),
        compression,
        own_certificate: (shared.config.tls.offer().own()).filter(|_| peers.client.stream.is_tls()),
    };
    Ok((agreed, lesson))
}

/// The source's first packet.
async fn greeting(peers: &mut Peers) -> Result<Vec<u8>, End> {
    loop {
        if let Some(whole) = peers.source.packet().map_err(End::source_protocol)? {
            return Ok(peers.source.take(whole));
        }
        peers.fill_from_source().await?;
    }
}

/// The client's login packet, after the TLS handshake if it asks for one and may.
async fn login_packet(peers: &mut Peers, tls: &Offer) -> Result<Vec<u8>, End> {
    let packet = client_packet(peers).await?;
    if !(tls.is_on() && handshake_response::is_ssl_request(&packet[HEADER..])) {
        return Ok(packet);
    }
    let encrypted = peers.client.accept_tls(tls).await;
    encrypted.map_err(End::ClientTls)?;
    client_packet(peers).await
}

async fn client_packet(peers: &mut Peers) -> Result<Vec<u8>, End> {
    loop {
        if let Some(whole) = peers.client.packet().map_err(End::client_protocol)? {
            return Ok(peers.client.take(whole));
        }
        match peers.readable_or(std::future::pending()).await? {
            Some(Side::Client) => peers.client.try_fill().await.map_err(End::client)?,
            // It says why it leaves; the farewell shows that to the client.
            _ => peers.source_unasked().await?,
        }
    }
}

/// An error after the greeting. The source is told, too, that nothing comes.
async fn refuse_met<T>(
    peers: &mut Peers,
    sequence: u8,
    error: &ErrPacket,
    shared: &Shared,
    reached: Reached,
) -> Result<T, End> {
    shared.metrics.refused(error.code);
    let sent = peers
        .client
        .send_error(sequence.wrapping_add(1), error)
        .await;
    abandon(&mut peers.source, reached).await;
    sent.map_err(End::client)?;
    Err(End::Refused(error.code))
}

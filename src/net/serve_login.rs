//! A server's side of a login, with `mysql_native_password` or `caching_sha2_password`: for the
//! replication port. We know the password, so the latter is always *fast*.
//!
//! The greeting is that of a MariaDB or MySQL server without session tracking and `DEPRECATE_EOF`, so answers
//! are written in the oldest spelling, which every replica and tool reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::compression::Algorithm;
use super::packets::PacketStream;
use super::tls::Offer;
use crate::ids::Flavor;
use crate::protocol::auth::{self, AuthSwitch, NATIVE_PASSWORD, SCRAMBLE};
use crate::protocol::caching_sha2::{self, CACHING_SHA2};
use crate::protocol::ok::{OkPacket, status};
use crate::protocol::{Capabilities, ErrPacket, Handshake, HandshakeResponse, handshake_response};

const OFFERED: Capabilities = Capabilities(
    Capabilities::FOUND_ROWS.0
        | Capabilities::LONG_FLAG.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::COMPRESS.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::INTERACTIVE.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::PLUGIN_AUTH_LENENC.0,
);
const COLLATION: u8 = 33;
const ER_ACCESS_DENIED: u16 = 1045;
const ER_HANDSHAKE: u16 = 1043;
const ER_SECURE_TRANSPORT_REQUIRED: u16 = 3159;

/// How the greeting looks.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// As the source sends it, so that replicas judge by the right version.
    pub server_version: String,
    pub connection_id: u32,
    /// A login that takes longer is ended.
    pub timeout: Duration,
    pub tls: Arc<Offer>,
}

/// A peer that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    pub user: String,
    pub database: Option<Vec<u8>>,
    pub capabilities: Capabilities,
    pub compression: Option<Algorithm>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What became of a login. The stream comes back, perhaps encrypted.
pub enum Served {
    /// The password was right, and the peer has its OK.
    Here(PacketStream, LoggedIn),
    /// A user whom `lookup` does not know; nothing was answered.
    Unknown(PacketStream, HandshakeResponse),
}

/// Greets, checks the password and answers OK, or ERR 1045 (then the error says so, too). `lookup`
/// gives a user's password, None for an unknown user.
pub async fn serve_login(
    stream: PacketStream,
    peer: Option<SocketAddr>,
    greeting: &Greeting,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Served, Error> {
    match tokio::time::timeout(greeting.timeout, serve(stream, peer, greeting, lookup)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout {
            what: "the client's login".to_owned(),
            seconds: greeting.timeout.as_secs_f64(),
        }),
    }
}

async fn serve(
    mut stream: PacketStream,
    peer: Option<SocketAddr>,
    greeting: &Greeting,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Served, Error> {
    let scramble = scramble()?;
    let (offered, default_plugin) = match Flavor::of_version(&greeting.server_version) {
        Flavor::MariaDb => (OFFERED, NATIVE_PASSWORD),
        Flavor::MySql => (
            OFFERED
                .with(Capabilities::CLIENT_MYSQL)
                .with(Capabilities::ZSTD),
            CACHING_SHA2,
        ),
    };
    let tls = &greeting.tls;
    let shown = if tls.is_on() {
        offered.with(Capabilities::SSL)
    } else {
        offered
    };
    let mut out = Vec::new();
    Handshake {
        server_version: greeting.server_version.clone(),
        connection_id: greeting.connection_id,
        scramble: scramble.clone(),
        capabilities: shown,
        collation: COLLATION,
        status: status::AUTOCOMMIT,
        auth_plugin: default_plugin.to_owned(),
    }
    .write(&mut out);
    stream.writer.set_sequence(0);
    stream.write(&out).await?;

    let mut payload = stream.read().await?;
    let is_encrypted = tls.is_on() && handshake_response::is_ssl_request(payload);
    if is_encrypted {
        stream = encrypt(stream, tls).await?;
        payload = stream.read().await?;
    } else if tls.is_required() {
        let text = "ackline: Connections using insecure transport are prohibited while [tls] replication = \"required\"";
        let error = ErrPacket::new(ER_SECURE_TRANSPORT_REQUIRED, &ErrPacket::GENERAL, text);
        return refuse(stream, error).await;
    }
    if handshake_response::is_ssl_request(payload) {
        let text = "ackline: TLS is not offered here, or asked for twice";
        return refuse(stream, ErrPacket::new(ER_HANDSHAKE, b"08S01", text)).await;
    }
    let mut login = HandshakeResponse::parse(payload)?;
    let user = String::from_utf8_lossy(&login.user).into_owned();
    let Some(password) = lookup(&user) else {
        login.capabilities = login.capabilities & offered;
        return Ok(Served::Unknown(stream, login));
    };
    let asked = login.capabilities;
    let mut answer = login.auth_response;
    let mut salt = scramble;
    // Either of the two is good; a client that names a third is asked for the flavor's own.
    let plugin = match login.auth_plugin.as_str() {
        _ if !asked.contains(Capabilities::PLUGIN_AUTH) => NATIVE_PASSWORD,
        "" | NATIVE_PASSWORD => NATIVE_PASSWORD,
        CACHING_SHA2 => CACHING_SHA2,
        _ => {
            salt = self::scramble()?;
            out.clear();
            AuthSwitch {
                plugin: default_plugin.to_owned(),
                data: salt.clone(),
            }
            .write(&mut out);
            stream.write(&out).await?;
            answer = stream.read().await?.to_vec();
            default_plugin
        }
    };
    let proven = match plugin {
        CACHING_SHA2 => auth::is_same(&answer, &caching_sha2::answer(&password, &salt)),
        _ => auth::native_verify(&password, &salt, &answer),
    };
    if !proven {
        let host = peer.map_or_else(|| "localhost".to_owned(), |peer| peer.ip().to_string());
        let used = if answer.is_empty() { "NO" } else { "YES" };
        let text = format!("Access denied for user '{user}'@'{host}' (using password: {used})");
        return refuse(stream, ErrPacket::new(ER_ACCESS_DENIED, b"28000", text)).await;
    }
    if plugin == CACHING_SHA2 && !answer.is_empty() {
        let fast = [caching_sha2::MORE_DATA, caching_sha2::FAST_OK];
        stream.write(&fast).await?;
    }
    out.clear();
    let own = tls.own().filter(|_| is_encrypted);
    let info = match own {
        Some(fingerprint) if plugin == NATIVE_PASSWORD => {
            auth::vouch(&auth::native_hash(&password), &salt, &fingerprint)
        }
        _ => Vec::new(),
    };
    OkPacket {
        info: &info,
        ..OkPacket::plain(status::AUTOCOMMIT)
    }
    .write(&mut out, asked & offered);
    stream.write(&out).await?;
    let compression = Algorithm::asked(asked & offered, login.zstd_level);
    if let Some(algorithm) = compression {
        stream = stream.compressed(algorithm)?;
    }
    let logged_in = LoggedIn {
        user,
        database: login.database,
        capabilities: asked & offered,
        compression,
        attributes: login.attributes,
    };
    Ok(Served::Here(stream, logged_in))
}

async fn encrypt(stream: PacketStream, tls: &Offer) -> Result<PacketStream, Error> {
    let limit = stream.limit();
    let (plain, ahead) = stream.into_stream()?;
    let encrypted = tls.accept(plain, ahead).await?;
    Ok(PacketStream::new(encrypted, limit))
}

async fn refuse<T>(mut stream: PacketStream, error: ErrPacket) -> Result<T, Error> {
    let mut out = Vec::new();
    error.write(&mut out);
    stream.write(&out).await?;
    Err(Error::Server(error))
}

/// Random bytes that are neither NUL (it ends the scramble) nor `$` (it means something in stored
/// hashes).
fn scramble() -> Result<Vec<u8>, Error> {
    let mut bytes = [0u8; SCRAMBLE];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes
        .iter()
        .map(|byte| match byte & 0x7F {
            0 | b'$' => b'a',
            other => other,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::admin::Account;
    use crate::net::login::connect_and_login;

    async fn round(password: &str) -> (Result<LoggedIn, Error>, Result<Handshake, Error>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let stream = PacketStream::new(listener.accept().await.unwrap().0, 1 << 20);
            let greeting = Greeting {
                server_version: "5.5.5-10.11.19-MariaDB".into(),
                connection_id: 7,
                timeout: Duration::from_secs(2),
                tls: Arc::default(),
            };
            let served = serve_login(stream, None, &greeting, |user| {
                (user == "repl").then(|| "secret".to_owned())
            });
            match served.await? {
                Served::Here(_, logged_in) => Ok(logged_in),
                Served::Unknown(_, login) => panic!("{login:?}"),
            }
        });
        let account = Account {
            address,
            user: "repl".into(),
            password: password.into(),
            tls: Default::default(),
        };
        let client = connect_and_login(&account, Duration::from_secs(2)).await;
        (server.await.unwrap(), client.map(|(_, greeting)| greeting))
    }

    #[tokio::test]
    async fn the_right_password_and_the_wrong_one() {
        let (server, client) = round("secret").await;
        assert_eq!(server.unwrap().user, "repl");
        assert_eq!(client.unwrap().connection_id, 7);
        let (server, client) = round("wrong").await;
        assert_eq!(server.unwrap_err().server_code(), Some(1045));
        assert_eq!(client.unwrap_err().server_code(), Some(1045));
        let (server, _) = round("").await;
        assert_eq!(server.unwrap_err().server_code(), Some(1045));
    }
}

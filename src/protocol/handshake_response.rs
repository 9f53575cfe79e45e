//! The client's answer to the greeting, "HandshakeResponse41".

use super::fields::{Fields, put_lenenc, put_lenenc_bytes};
use super::{Capabilities, Error};

const WHAT: &str = "the client's login packet";
/// A payload of exactly this length with `SSL` set asks for TLS and has no user.
const SSL_REQUEST: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeResponse {
    pub capabilities: Capabilities,
    pub max_packet: u32,
    pub collation: u8,
    pub user: Vec<u8>,
    pub auth_response: Vec<u8>,
    pub database: Option<Vec<u8>>,
    /// Empty when the client named none.
    pub auth_plugin: String,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// There with `ZSTD`.
    pub zstd_level: Option<u8>,
}

/// The capabilities a login packet asks for; both kinds (login, TLS request) begin with them.
pub fn capabilities(payload: &[u8]) -> Result<Capabilities, Error> {
    let mut fields = Fields::new(payload, WHAT);
    let low = fields.u32()?;
    if low & Capabilities::PROTOCOL_41.low() == 0 {
        return Err(Error::Malformed {
            what: WHAT,
            why: "a client older than 4.1",
        });
    }
    fields.bytes(4 + 1 + 19)?;
    let extended = fields.u32()?;
    let high = if low & Capabilities::CLIENT_MYSQL.low() == 0 {
        extended
    } else {
        0
    };
    Ok(Capabilities::from_halves(low, high))
}

/// The packet asks for TLS instead of logging in.
pub fn is_ssl_request(payload: &[u8]) -> bool {
    payload.len() == SSL_REQUEST
        && capabilities(payload).is_ok_and(|asked| asked.contains(Capabilities::SSL))
}

/// Appends the payload that asks for TLS; `capabilities` have `SSL`.
pub fn write_ssl_request(
    out: &mut Vec<u8>,
    capabilities: Capabilities,
    max_packet: u32,
    collation: u8,
) {
    out.extend_from_slice(&capabilities.low().to_le_bytes());
    out.extend_from_slice(&max_packet.to_le_bytes());
    out.push(collation);
    out.extend_from_slice(&[0; 19]);
    out.extend_from_slice(&capabilities.high().to_le_bytes());
}

/// The same, in the words of a login packet: its first fields are those of a request for TLS.
pub fn ssl_request_of(login: &[u8]) -> Option<&[u8]> {
    login.get(..SSL_REQUEST)
}

/// Puts other capabilities into a login packet, in place. Only bits that do not change the packet's
/// layout may differ from those it was written with.
pub fn patch_capabilities(payload: &mut [u8], with: Capabilities) -> Result<(), Error> {
    let truncated = Error::Truncated { what: WHAT };
    if payload.len() < SSL_REQUEST {
        return Err(truncated);
    }
    payload[..4].copy_from_slice(&with.low().to_le_bytes());
    if !with.contains(Capabilities::CLIENT_MYSQL) {
        payload[28..32].copy_from_slice(&with.high().to_le_bytes());
    }
    Ok(())
}

impl HandshakeResponse {
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let capabilities = capabilities(payload)?;
        let mut fields = Fields::new(payload, WHAT);
        fields.u32()?;
        let max_packet = fields.u32()?;
        let collation = fields.u8()?;
        fields.bytes(23)?;
        let user = fields.until_nul_or_end().to_vec();
        let auth_response = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            fields.lenenc_bytes()?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = fields.u8()?;
            fields.bytes(usize::from(length))?
        } else {
            fields.until_nul_or_end()
        }
        .to_vec();
        let database = capabilities
            .contains(Capabilities::CONNECT_WITH_DB)
            .then(|| fields.until_nul_or_end().to_vec())
            .filter(|name| !name.is_empty());
        let auth_plugin = if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            String::from_utf8_lossy(fields.until_nul_or_end()).into_owned()
        } else {
            String::new()
        };
        let mut attributes = Vec::new();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !fields.is_empty() {
            let mut pairs = Fields::new(fields.lenenc_bytes()?, "the connection attributes");
            while !pairs.is_empty() {
                attributes.push((
                    pairs.lenenc_bytes()?.to_vec(),
                    pairs.lenenc_bytes()?.to_vec(),
                ));
            }
        }
        let zstd_level = if capabilities.contains(Capabilities::ZSTD) && !fields.is_empty() {
            Some(fields.u8()?)
        } else {
            None
        };
        Ok(Self {
            capabilities,
            max_packet,
            collation,
            user,
            auth_response,
            database,
            auth_plugin,
            attributes,
            zstd_level,
        })
    }

    /// What the client says that it is: its `program_name`, or else its driver's name; not more than a
    /// line of it.
    pub fn program(&self) -> Option<Box<str>> {
        const LONGEST: usize = 128;
        let named = |wanted: &[u8]| {
            let found = self.attributes.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_slice())
        };
        let name = named(b"program_name").or_else(|| named(b"_client_name"))?;
        let text = String::from_utf8_lossy(&name[..name.len().min(LONGEST)]);
        let printable = text.chars().map(|character| match character {
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        });
        Some(printable.collect::<String>().into())
    }

    /// Appends the payload; the fields present follow from `capabilities`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let capabilities = self.capabilities;
        write_ssl_request(out, capabilities, self.max_packet, self.collation);
        out.extend_from_slice(&self.user);
        out.push(0);
        if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            put_lenenc_bytes(out, &self.auth_response);
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = self.auth_response.len().min(255);
            out.push(length as u8);
            out.extend_from_slice(&self.auth_response[..length]);
        } else {
            out.extend_from_slice(&self.auth_response);
            out.push(0);
        }
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            out.extend_from_slice(self.database.as_deref().unwrap_or_default());
            out.push(0);
        }
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            out.extend_from_slice(self.auth_plugin.as_bytes());
            out.push(0);
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            let mut pairs = Vec::new();
            for (name, value) in &self.attributes {
                put_lenenc_bytes(&mut pairs, name);
                put_lenenc_bytes(&mut pairs, value);
            }
            put_lenenc(out, pairs.len() as u64);
            out.extend_from_slice(&pairs);
        }
        out.extend(self.zstd_level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HandshakeResponse {
        HandshakeResponse {
            capabilities: Capabilities::PROTOCOL_41
                | Capabilities::SECURE_CONNECTION
                | Capabilities::PLUGIN_AUTH
                | Capabilities::PLUGIN_AUTH_LENENC
                | Capabilities::CONNECT_WITH_DB
                | Capabilities::CONNECT_ATTRS
                | Capabilities::PROGRESS,
            max_packet: 1 << 24,
            collation: 45,
            user: b"app".to_vec(),
            auth_response: vec![9; 20],
            database: Some(b"shop".to_vec()),
            auth_plugin: "mysql_native_password".into(),
            attributes: vec![(b"_pid".to_vec(), b"12".to_vec())],
            zstd_level: None,
        }
    }

    #[test]
    fn the_level_of_compression_comes_last() {
        let mut asked = sample();
        asked.capabilities = asked.capabilities.with(Capabilities::ZSTD);
        asked.zstd_level = Some(9);
        let mut bytes = Vec::new();
        asked.write(&mut bytes);
        assert_eq!(bytes.last(), Some(&9));
        assert_eq!(HandshakeResponse::parse(&bytes).unwrap(), asked);
    }

    #[test]
    fn round_trip_and_patch() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        assert_eq!(HandshakeResponse::parse(&bytes).unwrap(), sample());
        let more = sample()
            .capabilities
            .with(Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK);
        patch_capabilities(&mut bytes, more).unwrap();
        let patched = HandshakeResponse::parse(&bytes).unwrap();
        assert_eq!(patched.capabilities, more);
        assert_eq!(patched.attributes, sample().attributes);
    }

    #[test]
    fn who_the_client_says_it_is() {
        let mut login = sample();
        assert_eq!(login.program(), None);
        let driver = (b"_client_name".to_vec(), b"libmysql".to_vec());
        login.attributes.push(driver);
        assert_eq!(login.program().as_deref(), Some("libmysql"));
        let name = [b"my\nsql", "ä".repeat(200).as_bytes()].concat();
        login.attributes.push((b"program_name".to_vec(), name));
        let program = login.program().unwrap();
        assert!(program.starts_with("my\u{fffd}sqlä") && program.len() < 140);
    }

    #[test]
    fn a_tls_request_has_no_user() {
        let mut bytes = Vec::new();
        let mut asked = sample();
        asked.capabilities = asked.capabilities.with(Capabilities::SSL);
        asked.write(&mut bytes);
        assert!(!is_ssl_request(&bytes));
        assert!(is_ssl_request(&bytes[..32]));
    }

    #[test]
    fn cut_anywhere_never_panics() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        for end in 0..bytes.len() {
            let _ = HandshakeResponse::parse(&bytes[..end]);
        }
    }
}

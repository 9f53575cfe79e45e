//! `mysql_native_password`, the packet by which a server asks for another method, and which methods
//! bring the password itself.

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::Error;
use super::caching_sha2;
use super::fields::Fields;
use super::packet::Header;

pub const NATIVE_PASSWORD: &str = "mysql_native_password";
/// Begins a proof by this digest.
const SHA_256: u8 = 1;
/// Bytes of a native scramble and of its answer.
pub const SCRAMBLE: usize = 20;

fn sha1(parts: &[&[u8]]) -> [u8; SCRAMBLE] {
    let mut digest = Sha1::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// The answer to a scramble: `SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password)))`; nothing for
/// an empty password.
pub fn native_answer(password: &str, scramble: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    native_answer_of(&sha1(&[password.as_bytes()]), scramble).to_vec()
}

/// `SHA1(password)` out of an answer and the hash that the server keeps, `SHA1(SHA1(password))`: all
/// that one needs to answer other scrambles. None when the answer was made with another password.
pub fn native_reveal(
    scramble: &[u8],
    answer: &[u8; SCRAMBLE],
    hash: &[u8; SCRAMBLE],
) -> Option<[u8; SCRAMBLE]> {
    let mask = sha1(&[scramble, hash]);
    let once = std::array::from_fn(|at| answer[at] ^ mask[at]);
    is_same(&sha1(&[&once]), hash).then_some(once)
}

/// The answer to a scramble by what [`native_reveal`] found.
pub fn native_answer_of(once: &[u8; SCRAMBLE], scramble: &[u8]) -> [u8; SCRAMBLE] {
    let mask = sha1(&[scramble, &sha1(&[once])]);
    std::array::from_fn(|at| once[at] ^ mask[at])
}

/// Proof that whoever shows this certificate knows the hash of the client's password: what MariaDB 11.4 and
/// later send as the info of a login's OK, so that a certificate that nobody has signed can be believed. 1, then
/// SHA-256 of hash, scramble and the certificate's fingerprint in hexadecimal digits (MDEV-31855; measured).
pub fn vouch(hash: &[u8], scramble: &[u8], fingerprint: &[u8]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [hash, scramble, fingerprint] {
        digest.update(part);
    }
    let mut info = vec![SHA_256];
    for byte in digest.finalize() {
        info.extend_from_slice(format!("{byte:02X}").as_bytes());
    }
    info
}

/// Whether an OK's info is meant as such a proof.
pub fn is_vouch(info: &[u8]) -> bool {
    info.first() == Some(&SHA_256)
}

/// What a server keeps of a password, `SHA1(SHA1(password))`.
pub fn native_hash(password: &str) -> [u8; SCRAMBLE] {
    sha1(&[&sha1(&[password.as_bytes()])])
}

/// The same as it stands in `mysql.user`: `*` and 40 hexadecimal digits.
pub fn parse_native_hash(text: &str) -> Option<[u8; SCRAMBLE]> {
    let digits = text
        .strip_prefix('*')
        .filter(|text| text.len() == 2 * SCRAMBLE)?;
    let mut hash = [0; SCRAMBLE];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Whether `answer` proves the password.
pub fn native_verify(password: &str, scramble: &[u8], answer: &[u8]) -> bool {
    is_same(answer, &native_answer(password, scramble))
}

/// In a time that does not depend on where they differ.
pub fn is_same(answer: &[u8], expected: &[u8]) -> bool {
    if answer.len() != expected.len() {
        return false;
    }
    let difference = answer
        .iter()
        .zip(expected)
        .fold(0u8, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// What a server asked in a login dialogue, as far as one must know to refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number of the packet; the answer's is the next.
    pub sequence: u8,
    /// A wrong answer of this length is taken for a wrong password. With another length the server
    /// says "bad handshake", which it counts against the address. None where nothing is asked: the
    /// server only told that it goes on.
    pub answer_length: Option<usize>,
}

impl Question {
    pub fn read(header: Header, payload: &[u8]) -> Self {
        let answer_length = match plugin_asked(payload).as_deref() {
            Some("client_ed25519") => Some(64),
            Some("caching_sha2_password") => Some(32),
            None if caching_sha2::is_fast_ok(payload) => None,
            _ => Some(SCRAMBLE),
        };
        Self {
            sequence: header.sequence,
            answer_length,
        }
    }
}

/// "Auth switch request": 0xFE, the plugin's name, its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSwitch {
    pub plugin: String,
    /// Without the closing NUL that native scrambles have.
    pub data: Vec<u8>,
}

impl AuthSwitch {
    pub const FIRST: u8 = 0xFE;

    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "an auth switch request";
        let mut fields = Fields::new(payload, WHAT);
        if fields.u8()? != Self::FIRST {
            return Err(Error::Malformed {
                what: WHAT,
                why: "it begins with another byte",
            });
        }
        let plugin = String::from_utf8_lossy(fields.until_nul_or_end()).into_owned();
        let data = fields.rest();
        Ok(Self {
            plugin,
            data: match data.strip_suffix(b"\0") {
                Some(scramble) if scramble.len() == SCRAMBLE => scramble.to_vec(),
                // The last byte of any other scramble may be a NUL.
                _ => data.to_vec(),
            },
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(Self::FIRST);
        out.extend_from_slice(self.plugin.as_bytes());
        out.push(0);
        out.extend_from_slice(&self.data);
        out.push(0);
    }
}

/// Begins what MySQL sends for an account's second and third factor; then it is as an auth switch.
const NEXT_FACTOR: u8 = 0x02;

/// The plugin that a server's packet in a login dialogue makes the client go on with, if it names one.
/// A question of MariaDB's `dialog` may begin with the same byte as a next factor; it is taken for one
/// with a plugin of which nobody has heard.
pub fn plugin_asked(payload: &[u8]) -> Option<String> {
    match payload {
        [AuthSwitch::FIRST | NEXT_FACTOR, named @ ..] => {
            let name = Fields::new(named, "a plugin's name").until_nul_or_end();
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    }
}

/// A client that uses this plugin over a secure channel sends the password itself.
pub fn sends_clear_password(plugin: &str) -> bool {
    matches!(
        plugin,
        "mysql_clear_password" | "dialog" | "sha256_password"
    )
}

/// A server's packet in a login dialogue asks for such a plugin, at once or as the next factor.
pub fn asks_clear_password(payload: &[u8]) -> bool {
    plugin_asked(payload).is_some_and(|plugin| sends_clear_password(&plugin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_vouches_for_its_certificate() {
        let hash = native_hash("x");
        let info = vouch(&hash, b"tk:~-a%0`vPnWHE^+WX5", &[7; 32]);
        assert_eq!((info[0], info.len()), (1, 65));
        let text = format!("*{}", hash.map(|byte| format!("{byte:02X}")).concat());
        assert_eq!(parse_native_hash(&text), Some(hash));
        for wrong in ["", "*", "*12", &text[1..], &text.replace('*', "x")] {
            assert_eq!(parse_native_hash(wrong), None, "{wrong}");
        }
        assert_eq!(parse_native_hash(&format!("*{}", "é".repeat(20))), None);
    }

    #[test]
    fn who_asks_for_the_password_itself() {
        assert!(asks_clear_password(b"\xfemysql_clear_password\0"));
        assert!(asks_clear_password(b"\xfedialog\0\x04Password: "));
        assert!(asks_clear_password(b"\x02mysql_clear_password\0data"));
        let native = &b"\xfemysql_native_password\0abcdefghijklmnopqrst\0"[..];
        let sha2_factor = &b"\x02caching_sha2_password\0abcdefghijklmnopqrst\0"[..];
        let code = &b"\x02Code: "[..];
        for other in [
            native,
            sha2_factor,
            code,
            b"\x01\x03",
            b"\x01\x04",
            b"\xfe",
            b"",
        ] {
            assert!(!asks_clear_password(other));
        }
    }

    #[test]
    fn wrong_answers_have_the_length_of_right_ones() {
        let header = Header {
            length: 0,
            sequence: 4,
        };
        let length = |payload: &[u8]| Question::read(header, payload).answer_length;
        assert_eq!(length(b"\xfeclient_ed25519\0scramble"), Some(64));
        assert_eq!(length(b"\xfecaching_sha2_password\0scramble\0"), Some(32));
        assert_eq!(length(b"\x02caching_sha2_password\0scramble\0"), Some(32));
        assert_eq!(length(b"\x02mysql_clear_password\0"), Some(SCRAMBLE));
        assert_eq!(length(b"\x01\x04"), Some(SCRAMBLE));
        assert_eq!(length(b""), Some(SCRAMBLE));
        // The OK, or the next factor, comes by itself.
        assert_eq!(length(b"\x01\x03"), None);
    }

    #[test]
    fn an_answer_verifies_only_with_its_password_and_scramble() {
        let scramble = b"abcdefghijklmnopqrst";
        let answer = native_answer("secret", scramble);
        assert_eq!(answer.len(), SCRAMBLE);
        assert!(native_verify("secret", scramble, &answer));
        assert!(!native_verify("Secret", scramble, &answer));
        assert!(!native_verify("secret", b"abcdefghijklmnopqrsu", &answer));
        assert!(!native_verify("secret", scramble, &answer[..19]));
        assert!(!native_verify("secret", scramble, b""));
        assert!(!native_verify("", scramble, &answer));
        assert!(native_verify("", scramble, b""));
    }

    #[test]
    fn an_answer_and_the_servers_hash_answer_other_scrambles() {
        let scramble = b"abcdefghijklmnopqrst";
        let answer = native_answer("secret", scramble).try_into().unwrap();
        let hash = sha1(&[&sha1(&[b"secret"])]);
        let once = native_reveal(scramble, &answer, &hash).unwrap();
        let other = b"tsrqponmlkjihgfedcba";
        assert_eq!(
            native_answer_of(&once, other)[..],
            native_answer("secret", other)
        );
        let changed = sha1(&[&sha1(&[b"changed"])]);
        assert_eq!(native_reveal(scramble, &answer, &changed), None);
    }

    #[test]
    fn known_answer() {
        // Computed with another implementation of SHA-1.
        let scramble: Vec<u8> = (1..=20).collect();
        let hex: String = native_answer("password", &scramble)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "c17d6009a5cb47e59f7483fcf05553bbbf7dd0d6");
    }

    #[test]
    fn switch_round_trip() {
        let switch = AuthSwitch {
            plugin: NATIVE_PASSWORD.into(),
            data: b"abcdefghijklmnopqrst".to_vec(),
        };
        let mut bytes = Vec::new();
        switch.write(&mut bytes);
        assert_eq!(AuthSwitch::parse(&bytes).unwrap(), switch);
        // The ancient form of one byte.
        assert_eq!(AuthSwitch::parse(b"\xfe").unwrap().plugin, "");
    }
}

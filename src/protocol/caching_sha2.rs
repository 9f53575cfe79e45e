//! `caching_sha2_password`, MySQL's default.
//!
//! The client proves its password by a scramble; a server that has the password's hash in its cache
//! answers *fast*. One that has not asks for the password itself: in clear over a secure channel, else
//! encrypted with its RSA key (the manual's chapter "Caching SHA-2 Pluggable Authentication").

use rsa::pkcs8::DecodePublicKey;
use rsa::{Oaep, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Error;
use super::password::Password;

pub const CACHING_SHA2: &str = "caching_sha2_password";

/// First byte of the server's packets of this dialogue (AuthMoreData).
pub const MORE_DATA: u8 = 0x01;
/// The scramble fits: OK follows.
pub const FAST_OK: u8 = 3;
/// The password itself is wanted.
pub const FULL: u8 = 4;
/// A client's question for the server's RSA key.
pub const KEY_REQUEST: [u8; 1] = [2];

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// The answer to a scramble: `SHA256(password) XOR SHA256(SHA256(SHA256(password)) + scramble)`;
/// nothing for an empty password.
pub fn answer(password: impl AsRef<[u8]>, scramble: &[u8]) -> Vec<u8> {
    let password = password.as_ref();
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha256(&[password]);
    let twice = sha256(&[&once]);
    let mask = sha256(&[&twice, scramble]);
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// The password for a server that asked for it over a channel that is not secure: with its closing
/// NUL, XORed with the scramble, RSA-OAEP with SHA-1.
pub fn encrypt(password: impl AsRef<[u8]>, scramble: &[u8], pem: &[u8]) -> Result<Vec<u8>, Error> {
    const MALFORMED: Error = Error::Malformed {
        what: "the server's RSA key",
        why: "it is no public key in PEM",
    };
    let pem = std::str::from_utf8(pem).map_err(|_| MALFORMED)?;
    let key = RsaPublicKey::from_public_key_pem(pem.trim()).map_err(|_| MALFORMED)?;
    if scramble.is_empty() {
        return Err(Error::Malformed {
            what: "the server's scramble",
            why: "it is empty",
        });
    }
    let password = Password::new(password.as_ref().to_vec()).to_packet();
    let clear = Zeroizing::new(masked(password.expose(), scramble));
    key.encrypt(&mut rsa::rand_core::OsRng, Oaep::new::<Sha1>(), &clear)
        .map_err(|_| Error::Malformed {
            what: "the server's RSA key",
            why: "the password does not fit into it",
        })
}

/// Bytes and a scramble that is repeated as often as it takes.
pub(super) fn masked(bytes: &[u8], scramble: &[u8]) -> Vec<u8> {
    let mask = scramble.iter().cycle();
    bytes.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// The server has found the answer to its scramble right.
pub fn is_fast_ok(payload: &[u8]) -> bool {
    payload == [MORE_DATA, FAST_OK]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs8::EncodePublicKey;
    use rsa::{RsaPrivateKey, pkcs8::LineEnding};

    #[test]
    fn known_answer() {
        // Computed with python's hashlib.
        let scramble: Vec<u8> = (1..=20).collect();
        let hex: String = answer("password", &scramble)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "f7ab1c623a6e98dceab35e926290e5746a3141116115f4dd8ccca994393eccdd"
        );
        assert!(answer("", &scramble).is_empty());
    }

    #[test]
    fn the_server_decrypts_the_password() {
        let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1024).unwrap();
        let pem = private
            .to_public_key()
            .to_public_key_pem(LineEnding::LF)
            .unwrap();
        let scramble = b"abcdefghijklmnopqrst";
        let sent = encrypt("secret", scramble, pem.as_bytes()).unwrap();
        let clear = private.decrypt(Oaep::new::<Sha1>(), &sent).unwrap();
        let password: Vec<u8> = clear.iter().zip(scramble).map(|(a, b)| a ^ b).collect();
        assert_eq!(password, b"secret\0");
    }

    #[test]
    fn broken_keys_are_errors() {
        for pem in [
            &b""[..],
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            b"\xff",
        ] {
            assert!(encrypt("secret", b"abc", pem).is_err());
        }
    }
}

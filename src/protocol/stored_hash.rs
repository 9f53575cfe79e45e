//! What MariaDB keeps of a password, by the account's plugin, and whether a client's answer was made with it.
//!
//! Server and client make the same bytes of a password, which vouch for a certificate that nobody has signed:
//! see [`vouch`](super::auth::vouch).

use ring::signature::{ED25519, UnparsedPublicKey};

use super::auth::{NATIVE_PASSWORD, SCRAMBLE, native_reveal, parse_native_hash};

/// What a server calls the client's half of its `ed25519`.
pub const CLIENT_ED25519: &str = "client_ed25519";
pub const PARSEC: &str = "parsec";
/// A public key; also what both sides of `parsec` make up for a login.
const KEY: usize = 32;
const SALT: usize = 18;
/// `P`, the exponent of the iterations, salt, public key.
const PARSEC_HASH: usize = 2 + SALT + KEY;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredHash {
    Native([u8; SCRAMBLE]),
    Ed25519([u8; KEY]),
    Parsec([u8; PARSEC_HASH]),
}

impl StoredHash {
    /// As it stands in `mysql.user`.
    pub fn parse(plugin: &str, text: &str) -> Option<Self> {
        match plugin {
            "ed25519" => base64(text).map(Self::Ed25519),
            PARSEC => parse_parsec(text).map(Self::Parsec),
            _ => parse_native_hash(text).map(Self::Native),
        }
    }

    /// The client's plugin for this one.
    fn plugin(&self) -> &'static str {
        match self {
            Self::Native(_) => NATIVE_PASSWORD,
            Self::Ed25519(_) => CLIENT_ED25519,
            Self::Parsec(_) => PARSEC,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Native(hash) => hash,
            Self::Ed25519(key) => key,
            Self::Parsec(hash) => hash,
        }
    }

    /// Whether the client answered this scramble with the same password.
    pub fn fits(&self, plugin: &str, scramble: &[u8], answer: &[u8]) -> bool {
        if plugin != self.plugin() {
            return false;
        }
        match self {
            Self::Native(hash) => answer
                .try_into()
                .is_ok_and(|answer| native_reveal(scramble, answer, hash).is_some()),
            Self::Ed25519(key) => has_signed(key, scramble, answer),
            Self::Parsec(hash) => match (&hash[2 + SALT..], answer.split_at_checked(KEY)) {
                (key, Some((own, signature))) => {
                    has_signed(key, &[scramble, own].concat(), signature)
                }
                _ => false,
            },
        }
    }
}

/// Whether what the client says last in this plugin's login can be compared with a hash at all.
pub fn can_fit(plugin: &str) -> bool {
    matches!(plugin, NATIVE_PASSWORD | CLIENT_ED25519 | PARSEC)
}

fn has_signed(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message, signature).is_ok()
}

/// `P0:` salt `:` key.
fn parse_parsec(text: &str) -> Option<[u8; PARSEC_HASH]> {
    let mut parts = text.split(':');
    let (kind, salt, key) = (parts.next()?, parts.next()?, parts.next()?);
    let [b'P', exponent @ b'0'..=b'9'] = kind.as_bytes() else {
        return None;
    };
    if parts.next().is_some() {
        return None;
    }
    let mut hash = [0; PARSEC_HASH];
    hash[0] = b'P';
    hash[1] = exponent - b'0';
    hash[2..2 + SALT].copy_from_slice(&base64::<SALT>(salt)?);
    hash[2 + SALT..].copy_from_slice(&base64::<KEY>(key)?);
    Some(hash)
}

/// With or without its padding.
fn base64<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.trim_end_matches('=');
    if digits.len() != (LENGTH * 4).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    let (mut bits, mut count, mut at) = (0u32, 0, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            *bytes.get_mut(at)? = (bits >> count) as u8;
            at += 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::auth::native_answer;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    const SCRAMBLED: &[u8; KEY] = b"abcdefghijklmnopqrstuvwxyz012345";

    fn pair() -> (Ed25519KeyPair, [u8; KEY]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (pair, key)
    }

    #[test]
    fn what_stands_in_mysql_user() {
        // What MariaDB 11.8.9 made of 'sealed'.
        let text = "u9EJK0zjdOoU//qNe2kphrGBBnShr7WICKDND3UWuHs";
        let parsed = StoredHash::parse("ed25519", text).unwrap();
        assert_eq!(parsed.bytes()[..3], [0xbb, 0xd1, 0x09]);
        assert_eq!(parsed.bytes()[30..], [0xb8, 0x7b]);
        for wrong in ["", "invalid", &text[1..], &text.replace('/', "*")] {
            assert_eq!(StoredHash::parse("ed25519", wrong), None, "{wrong}");
        }
        let text = "P0:IvJa49lL7Yr8j4+D7fBh9OaW:PzRRYeofyZgRKkZwDG/6USiLzTaXKXsITWQfJ9Lvvnc";
        let parsed = StoredHash::parse(PARSEC, text).unwrap();
        assert_eq!(parsed.bytes()[..4], [b'P', 0, 0x22, 0xf2]);
        assert_eq!(parsed.bytes()[50..], [0xbe, 0x77]);
        assert_eq!(StoredHash::parse(PARSEC, &format!("{text}=")), Some(parsed));
        for wrong in ["", "P3", "P3::", "Px:a:b", &text[1..], &format!("{text}:")] {
            assert_eq!(StoredHash::parse(PARSEC, wrong), None, "{wrong}");
        }
        let text = format!("*{}", "0A".repeat(SCRAMBLE));
        let native = StoredHash::Native([10; SCRAMBLE]);
        assert_eq!(StoredHash::parse(NATIVE_PASSWORD, &text), Some(native));
        assert_eq!(StoredHash::parse("", &text), Some(native));
    }

    #[test]
    fn an_answer_fits_the_hash_of_its_password() {
        let (pair, key) = pair();
        let mut parsec = [0; PARSEC_HASH];
        parsec[2 + SALT..].copy_from_slice(&key);
        let signed = |message: &[u8]| pair.sign(message).as_ref().to_vec();
        let own = [9; KEY];
        let both = [&SCRAMBLED[..], &own].concat();
        let native = crate::protocol::auth::native_hash("secret");
        for (hash, plugin, scramble, answer) in [
            (
                StoredHash::Native(native),
                NATIVE_PASSWORD,
                &SCRAMBLED[..20],
                native_answer("secret", &SCRAMBLED[..20]),
            ),
            (
                StoredHash::Ed25519(key),
                CLIENT_ED25519,
                &SCRAMBLED[..],
                signed(SCRAMBLED),
            ),
            (
                StoredHash::Parsec(parsec),
                PARSEC,
                &SCRAMBLED[..],
                [&own[..], &signed(&both)].concat(),
            ),
        ] {
            assert!(hash.fits(plugin, scramble, &answer), "{plugin}");
            assert!(!hash.fits("dialog", scramble, &answer), "{plugin}");
            assert!(!hash.fits(plugin, &scramble[1..], &answer), "{plugin}");
            assert!(!hash.fits(plugin, scramble, &answer[1..]), "{plugin}");
            assert!(!hash.fits(plugin, scramble, b""), "{plugin}");
        }
    }
}

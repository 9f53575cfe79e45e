//! The key that hides a client's password where its channel to us does not: our end of
//! `caching_sha2_password`'s exchange without TLS.
//!
//! It is made anew by each process and never leaves it. The `rsa` crate's decryption is not constant in
//! time (RUSTSEC-2023-0071); it is blinded here, a failed one says nothing of why, and whoever needs
//! more than that uses TLS, where no key of this kind is involved.

use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{Oaep, RsaPrivateKey};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::Error;
use super::caching_sha2::masked;
use super::password::Password;

/// As servers make theirs.
const BITS: usize = 2048;

pub struct PasswordKey {
    private: RsaPrivateKey,
    pem: String,
}

impl PasswordKey {
    /// Takes up to some seconds.
    pub fn generate() -> Result<Self, Error> {
        const FAILED: Error = Error::Malformed {
            what: "our RSA key",
            why: "it could not be made",
        };
        let private = RsaPrivateKey::new(&mut OsRng, BITS).map_err(|_| FAILED)?;
        let pem = private.to_public_key().to_public_key_pem(LineEnding::LF);
        let pem = pem.map_err(|_| FAILED)?;
        Ok(Self { private, pem })
    }

    /// What a client is sent that asks for the key.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The password out of what [`super::caching_sha2::encrypt`] makes. Takes some milliseconds.
    pub fn decrypt(&self, sealed: &[u8], scramble: &[u8]) -> Result<Password, Error> {
        let clear = self
            .private
            .decrypt_blinded(&mut OsRng, Oaep::new::<Sha1>(), sealed)
            .map_err(|_| Error::Malformed {
                what: "an encrypted password",
                why: "it was not encrypted with the key that it was asked with",
            })?;
        let clear = Zeroizing::new(clear);
        let password = Zeroizing::new(masked(&clear, scramble));
        Ok(Password::from_packet(&password))
    }
}

impl std::fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::caching_sha2::encrypt;

    #[test]
    fn what_a_client_encrypts_is_decrypted_and_nothing_else() {
        let key = PasswordKey::generate().unwrap();
        let scramble = b"abcdefghijklmnopqrst";
        for password in ["", "secret", "a password that is longer than its scramble"] {
            let sealed = encrypt(password, scramble, key.pem().as_bytes()).unwrap();
            let opened = key.decrypt(&sealed, scramble).unwrap();
            assert_eq!(opened.expose(), password.as_bytes());
        }
        for broken in [&[][..], &[7; 255], &[7; 256], &[0xFF; 256], &[7; 4000]] {
            assert!(key.decrypt(broken, scramble).is_err());
        }
        assert!(!format!("{key:?}").contains("BEGIN"));
    }
}

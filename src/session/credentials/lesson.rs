//! A login as it goes on: which method, which scramble, which answer. Pure.

use std::sync::Arc;

use super::{KnownPasswords, Learned};
use crate::protocol::HandshakeResponse;
use crate::protocol::auth::{self, AuthSwitch, NATIVE_PASSWORD};
use crate::protocol::caching_sha2::{self, CACHING_SHA2};
use crate::protocol::password::Password;
use crate::protocol::stored_hash::{self, PARSEC, StoredHash};

#[derive(Debug)]
pub struct Lesson {
    user: Vec<u8>,
    plugin: String,
    scramble: Vec<u8>,
    /// The greeting's.
    greeted: Vec<u8>,
    answer: Option<Password>,
    /// Only behind a channel that hides it is an answer a password.
    is_secure: bool,
    password: Option<Arc<Password>>,
    /// Several factors: what one of them teaches is not enough.
    has_factors: bool,
}

impl Lesson {
    /// A login packet that answers the greeting's scramble.
    pub fn login(login: &HandshakeResponse, scramble: &[u8], is_secure: bool) -> Self {
        let plugin = match login.auth_plugin.as_str() {
            "" => NATIVE_PASSWORD,
            named => named,
        };
        Self {
            user: login.user.clone(),
            plugin: plugin.to_owned(),
            scramble: scramble.to_vec(),
            greeted: scramble.to_vec(),
            answer: Some(Password::new(login.auth_response.clone())),
            is_secure,
            password: None,
            has_factors: false,
        }
    }

    /// COM_CHANGE_USER; servers send a scramble of its own for it.
    pub fn change_user(user: &[u8], is_secure: bool) -> Self {
        Self {
            user: user.to_vec(),
            plugin: String::new(),
            scramble: Vec::new(),
            greeted: Vec::new(),
            answer: None,
            is_secure,
            password: None,
            has_factors: false,
        }
    }

    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// `caching_sha2_password` is spoken, as far as is known.
    pub fn is_caching_sha2(&self) -> bool {
        self.plugin.is_empty() || self.plugin == CACHING_SHA2
    }

    pub fn scramble(&self) -> &[u8] {
        &self.scramble
    }

    /// The source asks on.
    pub fn asked(&mut self, payload: &[u8]) {
        match payload {
            [AuthSwitch::FIRST, ..] => {
                let switch = AuthSwitch::parse(payload).ok();
                let (plugin, scramble) = switch.map(|it| (it.plugin, it.data)).unwrap_or_default();
                self.plugin = plugin;
                self.scramble = scramble;
                self.answer = None;
                self.password = None;
            }
            // The salt that it asked for with an empty packet: what it says now is the answer.
            [b'P', ..] | [caching_sha2::MORE_DATA, b'P', ..] if self.plugin == PARSEC => {
                self.answer = None;
            }
            [caching_sha2::MORE_DATA, ..] => {}
            _ => {
                self.plugin = auth::plugin_asked(payload).unwrap_or_default();
                self.has_factors = true;
            }
        }
    }

    /// The client says something; its first words after a scramble are the answer to that.
    pub fn answered(&mut self, payload: &[u8]) {
        if self.answer.is_none() {
            self.answer = Some(Password::new(payload.to_vec()));
        }
    }

    /// Whether the password would teach more than the client's answer, which the source takes for right.
    /// If another session brought it, it is known now.
    pub fn lacks_password(&mut self, known: &KnownPasswords) -> bool {
        let Some(answer) = &self.answer else {
            return false;
        };
        if self.plugin != CACHING_SHA2 || self.password.is_some() {
            return false;
        }
        self.password = known.proven(&self.user, &self.scramble, answer.expose());
        self.password.is_none()
    }

    /// The client has told its password.
    pub fn told(&mut self, password: Password, known: &KnownPasswords) {
        let is_proven = match &self.answer {
            Some(answer) => caching_sha2::answer(&password, &self.scramble) == answer.expose(),
            None => false,
        };
        if is_proven {
            self.password = Some(known.share(&self.user, password));
        }
    }

    /// A hash of its password would prove something to the client.
    pub fn can_be_vouched(&self) -> bool {
        stored_hash::can_fit(&self.plugin)
    }

    /// This is the hash of the password that the client answered with.
    pub fn fits(&self, hash: &StoredHash) -> bool {
        let answer = self.answer.as_ref();
        answer.is_some_and(|answer| hash.fits(&self.plugin, &self.scramble, answer.expose()))
    }

    /// The scramble that a proof towards the client is made with: the other plugins' own do not count.
    pub fn vouched_scramble(&self) -> &[u8] {
        match self.plugin.as_str() {
            NATIVE_PASSWORD => &self.scramble,
            _ => &self.greeted,
        }
    }

    /// The login has succeeded.
    pub fn learned(self, known: &KnownPasswords) -> Option<Learned> {
        if self.has_factors {
            return None;
        }
        if let Some(password) = self.password {
            return Some(Learned::Password(password));
        }
        let answer = self.answer?;
        match self.plugin.as_str() {
            NATIVE_PASSWORD | CACHING_SHA2 if answer.expose().is_empty() => {
                Some(Learned::Password(known.share(&self.user, answer)))
            }
            NATIVE_PASSWORD => Some(Learned::Native {
                scramble: self.scramble,
                answer: answer.expose().try_into().ok()?,
            }),
            "mysql_clear_password" | "sha256_password" if self.is_secure => {
                let password = Password::from_packet(answer.expose());
                Some(Learned::Password(known.share(&self.user, password)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::auth::{SCRAMBLE, native_answer, native_reveal};
    use crate::protocol::{Capabilities, caching_sha2::FULL};

    const GREETED: &[u8; SCRAMBLE] = b"abcdefghijklmnopqrst";
    const SWITCHED: &[u8; SCRAMBLE] = b"tsrqponmlkjihgfedcba";

    fn login(plugin: &str, answer: Vec<u8>) -> Lesson {
        let packet = HandshakeResponse {
            capabilities: Capabilities::NONE,
            max_packet: 0,
            collation: 45,
            user: b"app".to_vec(),
            auth_response: answer,
            database: None,
            auth_plugin: plugin.to_owned(),
            attributes: Vec::new(),
            zstd_level: None,
        };
        Lesson::login(&packet, GREETED, true)
    }

    fn switch(plugin: &str) -> Vec<u8> {
        let mut payload = Vec::new();
        let data = SWITCHED.to_vec();
        let plugin = plugin.to_owned();
        AuthSwitch { plugin, data }.write(&mut payload);
        payload
    }

    fn word(word: &str) -> Password {
        Password::new(word.as_bytes().to_vec())
    }

    #[test]
    fn a_native_answer_is_a_key_together_with_the_hash() {
        // Computed with python's hashlib: SHA1(SHA1("secret")).
        let hash =
            b"\x14\xe6\x55\x67\xab\xdb\x51\x35\xd0\xcf\xd9\xa7\x0b\x30\x32\xc1\x79\xa4\x9e\xe7";
        let known = KnownPasswords::default();
        let at_once = login("", native_answer("secret", GREETED));
        let mut later = login(CACHING_SHA2, vec![7; 32]);
        later.asked(&switch(NATIVE_PASSWORD));
        later.answered(&native_answer("secret", SWITCHED));
        for lesson in [at_once, later] {
            match lesson.learned(&known) {
                Some(Learned::Native { scramble, answer }) => {
                    assert!(native_reveal(&scramble, &answer, hash).is_some());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_password_counts_when_it_is_the_one_that_was_proven() {
        let known = KnownPasswords::default();
        let proven = || caching_sha2::answer("secret", GREETED);
        let mut first = login(CACHING_SHA2, proven());
        assert!(first.lacks_password(&known));
        first.told(word("another"), &known);
        assert!(first.lacks_password(&known));
        first.told(word("secret"), &known);
        assert!(!first.lacks_password(&known));
        let learned = first.learned(&known);
        assert!(matches!(&learned, Some(Learned::Password(word)) if word.expose() == b"secret"));
        let mut second = login(CACHING_SHA2, proven());
        assert!(!second.lacks_password(&known), "another session brought it");
        drop(learned);
        drop(second);
        let mut third = login(CACHING_SHA2, proven());
        assert!(
            third.lacks_password(&known),
            "it left with the last session"
        );
        third.asked(&[caching_sha2::MORE_DATA, FULL]);
        assert!(third.learned(&known).is_none());
    }

    #[test]
    fn an_answer_can_be_told_by_its_hash() {
        use crate::protocol::stored_hash::CLIENT_ED25519;
        use ring::signature::{Ed25519KeyPair, KeyPair};
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        // The last byte of such a scramble may be a NUL.
        let scramble = [&[3; 31][..], b"\0"].concat();
        let asks = |plugin: &str| [b"\xfe", plugin.as_bytes(), b"\0", &scramble].concat();
        let greeted = || login(NATIVE_PASSWORD, native_answer("secret", GREETED));

        let mut lesson = greeted();
        assert!(lesson.fits(&StoredHash::Native(auth::native_hash("secret"))));
        assert!(!lesson.fits(&StoredHash::Ed25519(key)));
        lesson.asked(&asks(CLIENT_ED25519));
        assert!(lesson.can_be_vouched());
        lesson.answered(pair.sign(&scramble).as_ref());
        assert!(lesson.fits(&StoredHash::Ed25519(key)));
        assert!(!lesson.fits(&StoredHash::Ed25519([7; 32])));
        // Not its own.
        assert_eq!(lesson.vouched_scramble(), GREETED);

        let mut lesson = greeted();
        lesson.asked(&asks(PARSEC));
        lesson.answered(b"");
        lesson.asked(b"P\0salt of 18 bytes..");
        let signed = pair.sign(&[&scramble[..], &[9; 32]].concat());
        lesson.answered(&[&[9; 32], signed.as_ref()].concat());
        let hash = [&b"P\0salt of 18 bytes.."[..], &key].concat();
        let hash = StoredHash::Parsec(hash.try_into().unwrap());
        assert!(lesson.fits(&hash));
        assert_eq!(lesson.vouched_scramble(), GREETED);
        let known = KnownPasswords::default();
        assert!(lesson.learned(&known).is_none());

        let mut lesson = greeted();
        lesson.asked(&asks("dialog"));
        assert!(!lesson.can_be_vouched());
    }

    #[test]
    fn what_other_methods_teach() {
        let known = KnownPasswords::default();
        let after = |plugin: &str, answer: &[u8]| {
            let mut lesson = login(NATIVE_PASSWORD, native_answer("secret", GREETED));
            lesson.asked(&switch(plugin));
            lesson.answered(answer);
            lesson
        };
        let clear = after("mysql_clear_password", b"secret\0").learned(&known);
        assert!(matches!(clear, Some(Learned::Password(word)) if word.expose() == b"secret"));
        let seen_by_all = Lesson {
            is_secure: false,
            ..after("mysql_clear_password", b"secret\0")
        };
        assert!(seen_by_all.learned(&known).is_none());
        assert!(after("client_ed25519", &[7; 64]).learned(&known).is_none());
        assert!(after("dialog", b"123456\0").learned(&known).is_none());
        let mut two_factors = after("mysql_clear_password", b"secret\0");
        two_factors.asked(b"\x02other_plugin\0");
        assert!(two_factors.learned(&known).is_none());
        let nothing = login(NATIVE_PASSWORD, Vec::new()).learned(&known);
        assert!(matches!(nothing, Some(Learned::Password(word)) if word.expose().is_empty()));
    }
}

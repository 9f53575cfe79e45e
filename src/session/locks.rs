//! What a session keeps at the source beyond its transaction: GET_LOCK, LOCK TABLES, HANDLER.
//!
//! Read from the texts of its commands, since the server tells none of it. What is counted wrong (a GET_LOCK that
//! timed out) makes a session stand in the way of a move, and never the other way round, but for statements
//! that are prepared once and executed often.

/// As far as its texts told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    named: u32,
    handlers: u32,
    tables: bool,
}

/// What a text takes and gives back, if it succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    takes: u32,
    gives: u32,
    gives_all: bool,
    handler: Option<bool>,
    tables: Option<bool>,
}

impl Locks {
    pub fn any(&self) -> bool {
        self.tables || self.named > 0 || self.handlers > 0
    }

    pub fn succeeded(&mut self, effect: Effect) {
        self.named = match effect.gives_all {
            true => effect.takes,
            false => (self.named + effect.takes).saturating_sub(effect.gives),
        };
        match effect.handler {
            Some(true) => self.handlers += 1,
            Some(false) => self.handlers = self.handlers.saturating_sub(1),
            None => {}
        }
        self.tables = effect.tables.unwrap_or(self.tables);
    }
}

impl Effect {
    /// Of most texts there is none; they cost one search for an underscore.
    pub fn of(text: &[u8]) -> Self {
        let mut effect = Self::default();
        for at in memchr::memchr_iter(b'_', text) {
            let behind = &text[at + 1..];
            if ends_with(&text[..at], b"GET") && begins_with(behind, b"LOCK") {
                effect.takes += 1;
            } else if ends_with(&text[..at], b"RELEASE") {
                effect.gives += u32::from(begins_with(behind, b"LOCK"));
                effect.gives_all |= begins_with(behind, b"ALL_LOCKS");
            }
        }
        effect.first_word(text.trim_ascii_start());
        effect
    }

    fn first_word(&mut self, text: &[u8]) {
        let words = || text.split(|byte| !byte.is_ascii_alphanumeric());
        let names = |word: &[u8]| words().any(|one| one.eq_ignore_ascii_case(word));
        match text.first().map(u8::to_ascii_uppercase) {
            Some(b'L') if begins_with(text, b"LOCK") => self.tables = Some(true),
            Some(b'F') if begins_with(text, b"FLUSH") && names(b"LOCK") => self.tables = Some(true),
            Some(b'U') if begins_with(text, b"UNLOCK") => self.tables = Some(false),
            // A transaction begins without them.
            Some(b'B') if begins_with(text, b"BEGIN") => self.tables = Some(false),
            Some(b'S') if begins_with(text, b"START") => self.tables = Some(false),
            Some(b'H') if begins_with(text, b"HANDLER") => {
                if names(b"OPEN") {
                    self.handler = Some(true);
                } else if names(b"CLOSE") {
                    self.handler = Some(false);
                }
            }
            _ => {}
        }
    }
}

fn begins_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn ends_with(text: &[u8], word: &[u8]) -> bool {
    let start = text.len().checked_sub(word.len());
    start.is_some_and(|start| begins_with(&text[start..], word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken_is_there_until_it_is_given_back() {
        for (taken, given) in [
            ("SELECT GET_LOCK('a', 1)", "do release_lock('a')"),
            (
                "select get_lock('a',1), GET_LOCK('b', 2)",
                "SELECT RELEASE_ALL_LOCKS()",
            ),
            ("SET @a = get_lock('a_b', 1)", "SELECT RELEASE_LOCK('a_b')"),
            ("LOCK TABLES t WRITE", "UNLOCK TABLES"),
            ("lock tables t read", "start transaction"),
            ("LOCK INSTANCE FOR BACKUP", "UNLOCK INSTANCE"),
            ("FLUSH TABLES WITH READ LOCK", "unlock tables"),
            ("HANDLER t OPEN", "handler t close"),
        ] {
            let mut locks = Locks::default();
            locks.succeeded(Effect::of(taken.as_bytes()));
            assert!(locks.any(), "{taken}");
            locks.succeeded(Effect::of(b"SELECT a_b FROM t"));
            assert!(locks.any(), "{taken}");
            locks.succeeded(Effect::of(given.as_bytes()));
            assert!(!locks.any(), "{given}");
        }
        let nothing = Effect::of(b"INSERT INTO t_lock (lock_a) VALUES ('HANDLER OPEN')");
        assert_eq!(nothing, Effect::default());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Locks::default().succeeded(Effect::of(&bytes));
        }
    }
}

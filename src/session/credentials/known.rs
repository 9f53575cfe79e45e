//! The passwords that sessions have brought.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::protocol::auth::is_same;
use crate::protocol::caching_sha2;
use crate::protocol::password::Password;

/// Sessions of one user share one; accounts of the same name (`app@10.%`, `app@%`) may have several.
#[derive(Clone, Debug, Default)]
pub struct KnownPasswords(Arc<Mutex<ByUser>>);

type ByUser = HashMap<Vec<u8>, Vec<Weak<Password>>>;

impl KnownPasswords {
    /// The password that this answer was made with.
    pub fn proven(&self, user: &[u8], scramble: &[u8], answer: &[u8]) -> Option<Arc<Password>> {
        let known = self.0.lock();
        let mut alive = known.get(user)?.iter().filter_map(Weak::upgrade);
        alive.find(|password| is_same(answer, &caching_sha2::answer(&**password, scramble)))
    }

    /// Shares a password for as long as somebody holds it.
    pub fn share(&self, user: &[u8], password: Password) -> Arc<Password> {
        let mut known = self.0.lock();
        known.retain(|_, passwords| {
            passwords.retain(|password| password.strong_count() > 0);
            !passwords.is_empty()
        });
        let of_user = known.entry(user.to_vec()).or_default();
        let same = of_user
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| is_same(known.expose(), password.expose()));
        same.unwrap_or_else(|| {
            let password = Arc::new(password);
            of_user.push(Arc::downgrade(&password));
            password
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_while_somebody_holds_it() {
        let known = KnownPasswords::default();
        let scramble = b"abcdefghijklmnopqrst";
        let answer = caching_sha2::answer("secret", scramble);
        let password = || Password::new(b"secret".to_vec());
        let first = known.share(b"app", password());
        let second = known.share(b"app", password());
        assert!(Arc::ptr_eq(&first, &second));
        drop(first);
        assert!(known.proven(b"app", scramble, &answer).is_some());
        assert!(known.proven(b"other", scramble, &answer).is_none());
        assert!(
            known
                .proven(b"app", b"another scramble....", &answer)
                .is_none()
        );
        drop(second);
        assert!(known.proven(b"app", scramble, &answer).is_none());
        let other = known.share(b"other", Password::new(b"word".to_vec()));
        assert_eq!(known.0.lock().len(), 1, "who is gone takes no room");
        drop(other);
    }
}

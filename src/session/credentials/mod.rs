//! What logins teach: enough to log in again for a session on another server, without a password in
//! our configuration.
//!
//! | Plugin of the account | What its login teaches |
//! |---|---|
//! | `mysql_native_password` | an answer, of which the hash in the other server's `mysql.user` makes a key |
//! | `caching_sha2_password` | the password: over a channel that hides it the client is asked for it at its user's first login |
//! | `mysql_clear_password`, `sha256_password` over such a channel | the password |
//! | any other (`ed25519`, PAM, …), or a second factor | nothing: `[[user]]` may |
//!
//! It is in memory only, and gone with the last session that has it.

mod known;
mod lazy_key;
mod lesson;

use std::sync::Arc;

pub use known::KnownPasswords;
pub use lazy_key::LazyKey;
pub use lesson::Lesson;

use crate::protocol::auth::SCRAMBLE;
use crate::protocol::password::Password;

/// What a session's login taught.
#[derive(Clone, Debug)]
pub enum Learned {
    /// [`crate::protocol::auth::native_reveal`] makes a key of it.
    Native {
        scramble: Vec<u8>,
        answer: [u8; SCRAMBLE],
    },
    Password(Arc<Password>),
}

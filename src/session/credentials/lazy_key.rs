//! The key for clients on a clear channel, made when the first of them needs it.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::protocol::password::Password;
use crate::protocol::password_key::PasswordKey;

#[derive(Clone, Debug, Default)]
pub struct LazyKey(Arc<OnceCell<Arc<PasswordKey>>>);

impl LazyKey {
    /// None if it cannot be made.
    pub async fn key(&self) -> Option<Arc<PasswordKey>> {
        let make = async || {
            let made = spawn_blocking(PasswordKey::generate).await;
            made.ok().and_then(Result::ok).map(Arc::new).ok_or(())
        };
        self.0.get_or_try_init(make).await.ok().cloned()
    }

    /// Off the event loop: it takes milliseconds. None when it was encrypted with another key.
    pub async fn decrypt(&self, sealed: Vec<u8>, scramble: Vec<u8>) -> Option<Password> {
        let key = self.0.get()?.clone();
        let decrypted = spawn_blocking(move || key.decrypt(&sealed, &scramble)).await;
        decrypted.ok().and_then(Result::ok)
    }
}

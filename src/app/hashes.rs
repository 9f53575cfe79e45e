//! What `mysql.user` holds of the passwords of `mysql_native_password`, `ed25519` and `parsec`: by it we vouch for our
//! own certificate. Without `SELECT ON mysql.user` nobody is vouched for.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::net;
use crate::net::admin::{Account, Admin, literal};
use crate::protocol::StoredHash;

const TIMEOUT: Duration = Duration::from_secs(2);
/// As long as nothing else is known.
const KEPT: Duration = Duration::from_secs(60);
/// A wrong guess asks again at most so often.
const AGAIN: Duration = Duration::from_secs(1);
/// Whoever can reach us can name users.
const MOST: usize = 1000;

#[derive(Default)]
pub struct Hashes(Mutex<HashMap<Vec<u8>, Read>>);

/// What was read of a user.
struct Read {
    at: Instant,
    hashes: Vec<StoredHash>,
}

impl Hashes {
    /// `again`: those that were told before do not fit.
    pub async fn of(&self, account: &Account, user: Vec<u8>, again: bool) -> Vec<StoredHash> {
        let young = if again { AGAIN } else { KEPT };
        if let Some(read) = self.0.lock().get(&user)
            && read.at.elapsed() < young
        {
            return read.hashes.clone();
        }
        let hashes = match read(account, &user).await {
            Ok(hashes) => hashes,
            Err(error) => {
                tracing::info!(%error, "mysql.user cannot be read: clients that verify a certificate by the password need --ssl-ca");
                Vec::new()
            }
        };
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        let read = Read {
            at: Instant::now(),
            hashes: hashes.clone(),
        };
        known.insert(user, read);
        hashes
    }
}

async fn read(account: &Account, user: &[u8]) -> Result<Vec<StoredHash>, net::Error> {
    let mut admin = Admin::connect(account, TIMEOUT).await?;
    let user = literal(&String::from_utf8_lossy(user));
    let question = format!(
        "SELECT plugin, authentication_string FROM mysql.user WHERE User = {user} AND authentication_string <> ''"
    );
    let rows = admin.query(&question).await?;
    admin.close().await;
    let hashes = rows
        .iter()
        .filter_map(|row| StoredHash::parse(row.at(0)?, row.at(1)?));
    Ok(hashes.collect())
}

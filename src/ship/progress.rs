//! Where each reader of our binlog stands: one enum a reader, shown by `status` as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::{Machine, ServerId, ServerName, StorePosition};

/// What the roster knows of a registered server id. Handed in, because who is listed and who may
/// vote is decided where the servers are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: ServerName,
    /// `@@server_uuid` of the listed MySQL server: who registers under its id has to have it, too.
    pub uuid: Option<String>,
    pub listed: bool,
    /// Who was met at its address.
    pub machine: Option<Machine>,
    /// Whether it applies transactions that carry its own server id (FACTS.md, section 10). Others drop them
    /// without a word. None while it is not known.
    pub accepts_own: Option<bool>,
    /// Whether its acknowledgements count now.
    pub votes: bool,
    /// Whether `received` is also `durable` there (`sync_relay_log=1`).
    pub durable: bool,
}

impl Identity {
    pub fn unlisted(id: ServerId) -> Self {
        Self {
            name: ServerName::unlisted(id),
            uuid: None,
            listed: false,
            machine: None,
            accepts_own: None,
            votes: false,
            durable: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Has transactions that our store lacks: it waits until capture or a failover has settled it.
    Held { reason: String },
    /// Asked for something we can never send; an operator has to act.
    Refused { reason: String },
    /// Sent up to here.
    Streaming { sent: StorePosition },
}

#[derive(Clone, Debug)]
pub struct Reader {
    pub connection: u32,
    pub server_id: ServerId,
    pub identity: Identity,
    pub peer: String,
    pub semi_sync: bool,
    pub progress: Progress,
    /// The last position it acknowledged on this connection.
    pub acked: Option<StorePosition>,
}

/// All dump connections, by connection id.
#[derive(Clone, Default)]
pub struct Readers(Arc<Mutex<BTreeMap<u32, Reader>>>);

impl Readers {
    pub fn enter(&self, reader: Reader) -> Entered {
        let connection = reader.connection;
        self.0.lock().insert(connection, reader);
        Entered {
            readers: self.clone(),
            connection,
        }
    }

    pub fn list(&self) -> Vec<Reader> {
        self.0.lock().values().cloned().collect()
    }
}

/// A reader's row; gone with its connection.
pub struct Entered {
    readers: Readers,
    connection: u32,
}

impl Entered {
    pub fn update(&self, change: impl FnOnce(&mut Reader)) {
        if let Some(reader) = self.readers.0.lock().get_mut(&self.connection) {
            change(reader);
        }
    }

    /// The last position acknowledged on this connection.
    pub fn acked(&self) -> Option<StorePosition> {
        self.readers.0.lock().get(&self.connection)?.acked
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.readers.0.lock().remove(&self.connection);
    }
}

//! A session that reads our binlog, see [`super::guest`].

use std::sync::Arc;

use crate::ship::Ship;
use crate::ship::questions::Asked;

/// What a session needs to be one.
pub struct Reader {
    pub ship: Arc<Ship>,
    pub asked: Asked,
    /// The command that asked for events.
    pub dump: Vec<u8>,
}

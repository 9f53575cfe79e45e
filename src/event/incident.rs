//! INCIDENT (26): the server could not log what it changed. It stands between transactions (MariaDB) or is one
//! (MySQL), and a replica's applier stops there (1590).
//!
//! `incident u16 | message, behind its length u8` (`Incident_event` in the servers' sources).

use super::{Error, EventType};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident<'a> {
    /// 1: LOST_EVENTS, the only one there is.
    pub number: u16,
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    pub fn parse(event: &'a [u8]) -> Result<Self, Error> {
        let mut body = super::body(event, EventType::INCIDENT)?;
        let number = body.u16()?;
        let length = body.u8()?.into();
        Ok(Self {
            number,
            message: body.take(length)?,
        })
    }
}

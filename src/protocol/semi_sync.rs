//! Semi-sync on the dump connection: two bytes before an event, and the acknowledgement.

use super::Error;
use super::fields::Fields;
use crate::ids::Flavor;

/// What the flavors call the variables and counters of semi-sync.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    pub enabled: &'static str,
    pub timeout: &'static str,
    pub wait_point: &'static str,
    pub wait_no_replica: &'static str,
    pub replica_enabled: &'static str,
    /// Counters, in lower case: the servers write their first letter large.
    pub clients: &'static str,
    pub active: &'static str,
    pub no_tx: &'static str,
    pub waiting: &'static str,
    pub replica_active: &'static str,
    /// The user variable by which a replica announces itself on its dump connection.
    pub announced: &'static str,
}

impl Names {
    pub fn of(flavor: Flavor) -> &'static Self {
        match flavor {
            Flavor::MariaDb => &Self {
                enabled: "rpl_semi_sync_master_enabled",
                timeout: "rpl_semi_sync_master_timeout",
                wait_point: "rpl_semi_sync_master_wait_point",
                wait_no_replica: "rpl_semi_sync_master_wait_no_slave",
                replica_enabled: "rpl_semi_sync_slave_enabled",
                clients: "rpl_semi_sync_master_clients",
                active: "rpl_semi_sync_master_status",
                no_tx: "rpl_semi_sync_master_no_tx",
                waiting: "rpl_semi_sync_master_wait_sessions",
                replica_active: "rpl_semi_sync_slave_status",
                announced: "rpl_semi_sync_slave",
            },
            Flavor::MySql => &Self {
                enabled: "rpl_semi_sync_source_enabled",
                timeout: "rpl_semi_sync_source_timeout",
                wait_point: "rpl_semi_sync_source_wait_point",
                wait_no_replica: "rpl_semi_sync_source_wait_no_replica",
                replica_enabled: "rpl_semi_sync_replica_enabled",
                clients: "rpl_semi_sync_source_clients",
                active: "rpl_semi_sync_source_status",
                no_tx: "rpl_semi_sync_source_no_tx",
                waiting: "rpl_semi_sync_source_wait_sessions",
                replica_active: "rpl_semi_sync_replica_status",
                announced: "rpl_semi_sync_replica",
            },
        }
    }
}

/// First byte of both, as the servers define it (`kPacketMagicNum`).
pub const MAGIC: u8 = 0xEF;

/// An event packet's payload, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket<'a> {
    /// The source waits until this event is acknowledged. False where semi-sync is off.
    pub ack_wanted: bool,
    pub event: &'a [u8],
}

impl<'a> EventPacket<'a> {
    /// The payload of a packet on a dump connection that begins with 0x00. `semi_sync` says whether
    /// the connection announced itself as a semi-sync replica and the source has semi-sync: only
    /// then the two bytes are there.
    pub fn parse(payload: &'a [u8], semi_sync: bool) -> Result<Self, Error> {
        const WHAT: &str = "an event packet";
        let mut fields = Fields::new(payload, WHAT);
        if fields.u8()? != 0 {
            return Err(Error::Malformed {
                what: WHAT,
                why: "it begins with another byte than 0",
            });
        }
        let mut ack_wanted = false;
        if semi_sync {
            if fields.u8()? != MAGIC {
                return Err(Error::Malformed {
                    what: WHAT,
                    why: "the semi-sync mark is missing",
                });
            }
            ack_wanted = fields.u8()? != 0;
        }
        Ok(Self {
            ack_wanted,
            event: fields.rest(),
        })
    }

    /// The bytes in front of an event that this packet's payload begins with.
    pub fn prefix(semi_sync: bool, ack_wanted: bool) -> &'static [u8] {
        match (semi_sync, ack_wanted) {
            (false, _) => &[0],
            (true, false) => &[0, MAGIC, 0],
            (true, true) => &[0, MAGIC, 1],
        }
    }
}

/// A replica's acknowledgement. It travels in a packet with **sequence 0**; an ack with another
/// number is ignored (MariaDB), or all later ones are too (MySQL). See FACTS.md section 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// End of the acknowledged event in the sender's file.
    pub position: u64,
    pub file: &'a [u8],
}

impl<'a> Ack<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        const WHAT: &str = "a semi-sync acknowledgement";
        let mut fields = Fields::new(payload, WHAT);
        if fields.u8()? != MAGIC {
            return Err(Error::Malformed {
                what: WHAT,
                why: "it begins with another byte",
            });
        }
        Ok(Self {
            position: fields.u64()?,
            file: fields.until_nul_or_end(),
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(MAGIC);
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_ack() {
        // FACTS.md section 1, without the packet header 13 00 00 00.
        let golden = b"\xef\x95\x07\0\0\0\0\0\0bin.000001";
        let ack = Ack::parse(golden).unwrap();
        assert_eq!((ack.position, ack.file), (0x795, &b"bin.000001"[..]));
        let mut bytes = Vec::new();
        ack.write(&mut bytes);
        assert_eq!(bytes, golden);
        assert!(Ack::parse(&golden[..5]).is_err());
    }

    #[test]
    fn event_packets() {
        let packet = EventPacket::parse(b"\0\xef\x01event", true).unwrap();
        assert!(packet.ack_wanted);
        assert_eq!(packet.event, b"event");
        let plain = EventPacket::parse(b"\0event", false).unwrap();
        assert!(!plain.ack_wanted);
        assert!(EventPacket::parse(b"\0event", true).is_err());
        assert!(EventPacket::parse(b"\0\xef", true).is_err());
        assert!(EventPacket::parse(b"", true).is_err());
    }
}

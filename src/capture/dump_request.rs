//! What a replica says to its source before the first event: the statements, and the request.

use std::time::Duration;

use crate::gtid::{GtidSet, Position};
use crate::ids::{Flavor, ServerId};
use crate::protocol::binlog_dump::BinlogDump;
use crate::protocol::binlog_dump_gtid::BinlogDumpGtid;
use crate::protocol::semi_sync::Names;

pub(super) struct DumpRequest<'a> {
    pub flavor: Flavor,
    pub server_id: ServerId,
    pub heartbeat: Duration,
    /// What follows is wanted.
    pub from: &'a Position,
    /// Where that begins in a MariaDB source's binlog, if it is known: one that begins behind a position (after
    /// RESET MASTER, in a restored copy) skips the first transaction behind it.
    pub place: Option<(&'a str, u32)>,
    /// We acknowledge what we have.
    pub semi_sync: bool,
}

impl DumpRequest<'_> {
    /// To be run in this order, before COM_REGISTER_SLAVE. The other flavor's names are taken silently
    /// and without effect, so each gets its own.
    pub fn statements(&self) -> Vec<String> {
        let nanoseconds = self.heartbeat.as_nanos();
        let word = match self.flavor {
            Flavor::MariaDb => "master",
            Flavor::MySql => "source",
        };
        let mut statements = vec![
            format!("SET @{word}_heartbeat_period={nanoseconds}"),
            format!("SET @{word}_binlog_checksum=@@global.binlog_checksum"),
        ];
        if self.flavor == Flavor::MariaDb {
            statements.push("SET @mariadb_slave_capability=4".to_owned());
            if self.place.is_none() {
                statements.push(format!("SET @slave_connect_state='{}'", self.from));
            }
            statements.push("SET @slave_gtid_strict_mode=1".to_owned());
        }
        if self.semi_sync {
            let announced = Names::of(self.flavor).announced;
            statements.push(format!("SET @{announced}=1"));
        }
        statements
    }

    /// COM_BINLOG_DUMP with no file and the first position, which `@slave_connect_state` makes one by
    /// GTID; or COM_BINLOG_DUMP_GTID.
    pub fn command(&self) -> Vec<u8> {
        let mut command = Vec::new();
        match (self.flavor, self.from) {
            (Flavor::MariaDb, _) => {
                let (position, file) = match self.place {
                    Some((file, offset)) => (offset, file.as_bytes().to_vec()),
                    None => (4, Vec::new()),
                };
                BinlogDump {
                    position,
                    flags: BinlogDump::SEND_ANNOTATE_ROWS,
                    server_id: self.server_id,
                    file,
                }
                .write(&mut command);
            }
            (Flavor::MySql, Position::MySql(executed)) => {
                BinlogDumpGtid::new(self.server_id, executed.clone()).write(&mut command);
            }
            // Of an empty store that has no flavor yet: from the beginning.
            (Flavor::MySql, Position::MariaDb(_)) => {
                BinlogDumpGtid::new(self.server_id, GtidSet::new()).write(&mut command);
            }
        }
        command
    }
}

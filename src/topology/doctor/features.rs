//! What newer servers can do that we cannot follow yet.

use crate::ids::Flavor;
use crate::net;
use crate::net::admin::Admin;
use crate::topology::report::is_denied;

/// What lets our account see which APPLIER_VERSION a channel has.
pub(super) const SEES_APPLIERS: &str =
    "GRANT SELECT ON performance_schema.replication_applier_configuration";

/// Of servers that may be newer than what we know; with older ones nothing is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// MariaDB's `binlog_storage_engine` (12.3).
    pub binlog_engine: Option<String>,
    /// Channel and its APPLIER_VERSION. None where our account may not see that.
    pub appliers: Option<Vec<(String, String)>>,
}

impl Features {
    pub(super) async fn ask(admin: &mut Admin) -> Result<Self, net::Error> {
        match admin.flavor() {
            Flavor::MariaDb => {
                let statement = "SHOW GLOBAL VARIABLES LIKE 'binlog_storage_engine'";
                let rows = admin.query(statement).await?;
                let value = rows.first().and_then(|row| row.text("Value"));
                Ok(Self {
                    binlog_engine: value.map(str::to_owned),
                    appliers: None,
                })
            }
            Flavor::MySql => {
                // All columns, since that one is not there before 26.7.
                let statement =
                    "SELECT * FROM performance_schema.replication_applier_configuration";
                let rows = match admin.query(statement).await {
                    Ok(rows) => rows,
                    Err(error) if is_denied(&error) => return Ok(Self::default()),
                    Err(error) => return Err(error),
                };
                let appliers = rows.iter().filter_map(|row| {
                    let channel = row.text("CHANNEL_NAME").unwrap_or_default();
                    let version = row.text("APPLIER_VERSION")?;
                    Some((channel.to_owned(), version.to_owned()))
                });
                Ok(Self {
                    binlog_engine: None,
                    appliers: Some(appliers.collect()),
                })
            }
        }
    }
}

//! The statement that makes a native replica follow our replication port.

use crate::ids::Flavor;
use crate::net::admin::literal;

/// Where replicas reach us, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// None where we listen on every address: only the operator knows by which one a replica comes.
    pub host: Option<String>,
    pub port: u16,
    pub user: String,
    /// The port offers TLS.
    pub tls: bool,
}

/// Stands for the password of `[replication]`, which is printed nowhere.
pub const PASSWORD: &str = "<password of [replication]>";
const HOST: &str = "<this proxy's address, as the replica reaches it>";

impl Endpoint {
    /// From an address of `[listen] replication`.
    pub fn new(address: &str, port: u16, user: &str) -> Self {
        let every = matches!(address, "0.0.0.0" | "::" | "[::]" | "");
        Self {
            host: (!every).then(|| address.to_owned()),
            port,
            user: user.to_owned(),
            tls: false,
        }
    }

    /// The replica shall come encrypted. Whom it shall believe is a file of its own.
    #[must_use]
    pub fn encrypted(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// In the order in which they are to be run.
    pub fn statements(&self, flavor: Flavor) -> [String; 3] {
        let host = literal(self.host.as_deref().unwrap_or(HOST));
        let (port, user) = (self.port, literal(&self.user));
        match flavor {
            Flavor::MariaDb => [
                "STOP SLAVE".to_owned(),
                format!(
                    "CHANGE MASTER TO MASTER_HOST={host}, MASTER_PORT={port}, MASTER_USER={user}, \
                     MASTER_PASSWORD='{PASSWORD}', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos{}",
                    if self.tls { ", MASTER_SSL=1" } else { "" }
                ),
                "START SLAVE".to_owned(),
            ],
            // Retrying for ever: the default gives up after ten times.
            Flavor::MySql => [
                "STOP REPLICA".to_owned(),
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST={host}, SOURCE_PORT={port}, \
                     SOURCE_USER={user}, SOURCE_PASSWORD='{PASSWORD}', SOURCE_CONNECT_RETRY=1, \
                     SOURCE_RETRY_COUNT=0, SOURCE_AUTO_POSITION=1, SOURCE_SSL={}",
                    u8::from(self.tls)
                ),
                "START REPLICA".to_owned(),
            ],
        }
    }

    pub fn address(&self) -> String {
        let host = self.host.as_deref().unwrap_or("this proxy");
        format!("{host}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stays_out() {
        let [stop, change, start] =
            Endpoint::new("10.0.0.1", 3308, "repl").statements(Flavor::MariaDb);
        assert_eq!(
            (stop.as_str(), start.as_str()),
            ("STOP SLAVE", "START SLAVE")
        );
        assert_eq!(
            change,
            "CHANGE MASTER TO MASTER_HOST='10.0.0.1', MASTER_PORT=3308, MASTER_USER='repl', \
             MASTER_PASSWORD='<password of [replication]>', MASTER_CONNECT_RETRY=1, \
             MASTER_USE_GTID=slave_pos"
        );
        let every = Endpoint::new("0.0.0.0", 3308, "repl").encrypted(true);
        assert!(every.statements(Flavor::MariaDb)[1].ends_with("slave_pos, MASTER_SSL=1"));
        assert!(every.statements(Flavor::MySql)[1].contains("<this proxy''s address"));
    }
}

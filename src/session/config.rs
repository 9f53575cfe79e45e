//! Limits of sessions, and how clients may come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::net::tls::Acceptor;
use crate::protocol::password::Password;

#[derive(Clone, Debug)]
pub struct Config {
    /// What clients are offered; changes while we run.
    pub tls: Acceptor,
    /// Who passes clients on and says so: a connection from there begins with a PROXY header.
    pub proxy_protocol_from: Vec<IpNet>,
    /// `[[user]]`: for those whose login teaches nothing.
    pub users: HashMap<Vec<u8>, Arc<Password>>,
    /// One attempt to connect to the source.
    pub connect_timeout: Duration,
    /// How long a new connection is held while there is no source, or a hold is in force.
    pub login_hold: Duration,
    /// For the greeting's answer as a whole, and then for each answer in the login's dialogue.
    pub login_timeout: Duration,
    /// How long a command is held before it is refused; its session goes on.
    pub command_hold: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tls: Acceptor::default(),
            proxy_protocol_from: Vec::new(),
            users: HashMap::new(),
            connect_timeout: Duration::from_secs(3),
            // Most drivers give up on a connect after 10 s; then they should see why.
            login_hold: Duration::from_secs(9),
            // Before the source's own connect_timeout (10 s) strikes: its host cache counts those as
            // connect errors of ours, and blocks us for everybody's sake after max_connect_errors.
            login_timeout: Duration::from_secs(8),
            command_hold: Duration::from_secs(30),
        }
    }
}

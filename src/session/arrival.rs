//! Who a client is: the address it comes from, or the one that whoever passes it on says it has.

use std::io;

use tokio::time::timeout;

use super::peers::Peer;
use super::{Config, End};
use crate::protocol::proxy_header::{self, Ends, Front};

/// Reads the PROXY header where one is due. None: by unix socket.
pub async fn ends(client: &mut Peer, config: &Config) -> Result<Option<Ends>, End> {
    let own = client
        .stream
        .peer_addr()
        .zip(client.stream.local_addr())
        .map(|(client, server)| Ends { client, server });
    let is_due = own.is_some_and(|ends| {
        let ip = ends.client.ip().to_canonical();
        config
            .proxy_protocol_from
            .iter()
            .any(|net| net.contains(&ip))
    });
    if !is_due {
        return Ok(own);
    }
    let told = timeout(config.login_timeout, header(client)).await;
    let told = told.map_err(|_| End::client(io::ErrorKind::TimedOut.into()))??;
    Ok(told.or(own))
}

async fn header(client: &mut Peer) -> Result<Option<Ends>, End> {
    loop {
        match proxy_header::front(client.inbound.unread()).map_err(End::client_protocol)? {
            Front::NeedMore => client.fill().await.map_err(End::client)?,
            Front::Header { length, ends } => {
                client.inbound.consume(length);
                return Ok(ends);
            }
        }
    }
}

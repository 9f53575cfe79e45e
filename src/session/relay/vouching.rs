//! Towards a client that was shown a certificate of our own making: proof that whoever shows it knows the
//! hash of the client's password, which MariaDB's clients since 11.4 take for a signature. The source's own proof, if
//! it sends one, is about its certificate and not ours.

use std::time::Duration;

use tokio::time::timeout;

use super::Relay;
use crate::net::tls::Fingerprint;
use crate::protocol::Capabilities;
use crate::protocol::auth;
use crate::protocol::ok::OkPacket;
use crate::protocol::packet::{HEADER, Header};
use crate::session::credentials::Lesson;

/// For what stands in `mysql.user`; a login does not wait longer for it.
const PATIENCE: Duration = Duration::from_secs(2);

impl Relay {
    /// The login has succeeded, and its OK is the last packet that is not shown yet.
    pub(super) async fn vouch(&mut self, lesson: &Lesson) {
        let Some(fingerprint) = self.agreed.own_certificate.filter(|_| self.agreed.mariadb) else {
            return;
        };
        let info = match timeout(PATIENCE, self.proof(lesson, &fingerprint)).await {
            Ok(Some(info)) => info,
            _ => Vec::new(),
        };
        put_info(&mut self.passage.front, self.agreed.client, &info);
    }

    async fn proof(&self, lesson: &Lesson, fingerprint: &Fingerprint) -> Option<Vec<u8>> {
        if !lesson.can_be_vouched() {
            return None;
        }
        for again in [false, true] {
            let user = lesson.user().to_vec();
            let hashes = self.shared.gate.stored_hashes(user, again).await;
            if let Some(hash) = hashes.iter().find(|hash| lesson.fits(hash)) {
                let scramble = lesson.vouched_scramble();
                return Some(auth::vouch(hash.bytes(), scramble, fingerprint));
            }
        }
        None
    }
}

/// Writes the last packet anew, with this info.
fn put_info(packets: &mut Vec<u8>, capabilities: Capabilities, info: &[u8]) {
    let mut at = 0;
    while let Some(header) = packets.get(at..).and_then(Header::parse) {
        let end = at + HEADER + header.length;
        if end < packets.len() {
            at = end;
            continue;
        }
        let Some(Ok(ok)) = packets
            .get(at + HEADER..end)
            .map(|payload| OkPacket::parse(payload, capabilities))
        else {
            return;
        };
        let mut payload = Vec::new();
        OkPacket { info, ..ok }.write(&mut payload, capabilities);
        let length = (payload.len() as u32).to_le_bytes();
        packets.truncate(at);
        packets.extend_from_slice(&length[..3]);
        packets.push(header.sequence);
        packets.extend_from_slice(&payload);
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_packet_gets_the_info() {
        let capabilities = Capabilities::PROTOCOL_41;
        let mut payload = Vec::new();
        OkPacket::plain(2).write(&mut payload, capabilities);
        let mut packets = vec![2, 0, 0, 3, 1, 3];
        packets.extend_from_slice(&[payload.len() as u8, 0, 0, 4]);
        packets.extend_from_slice(&payload);
        let plain = packets.clone();
        put_info(&mut packets, capabilities, b"\x01AB");
        assert_eq!(packets[..6], plain[..6]);
        assert_eq!(packets[6..10], [payload.len() as u8 + 4, 0, 0, 4]);
        let ok = OkPacket::parse(&packets[10..], capabilities).unwrap();
        assert_eq!((ok.info, ok.status), (&b"\x01AB"[..], 2));
        put_info(&mut packets, capabilities, b"");
        assert_eq!(packets, plain);
        // What is no OK stays.
        for mut other in [vec![], vec![1, 0, 0, 2, 0xff], vec![9, 0, 0, 2, 0]] {
            let before = other.clone();
            put_info(&mut other, capabilities, b"x");
            assert_eq!(other, before);
        }
    }
}

//! The PROXY protocol: what stands in front of a connection that somebody passes on, so that the
//! client's own address is not lost. Version 1 is a line of text, version 2 is binary (HAProxy's
//! `doc/proxy-protocol.txt`). Both are read; version 2 is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Error;

const WHAT: &str = "a PROXY header";
const V1: &[u8] = b"PROXY ";
/// With its CRLF, by the specification.
const V1_LONGEST: usize = 107;
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;
/// Addresses and what senders put behind them; the protocol would allow 64 KiB.
const V2_LONGEST: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Both ends of a client's connection, as the client sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
}

/// What the front of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    NeedMore,
    Header {
        /// In bytes; what follows is the client's.
        length: usize,
        /// None: the sender speaks for itself (a health check), or does not know.
        ends: Option<Ends>,
    },
}

fn malformed(why: &'static str) -> Error {
    Error::Malformed { what: WHAT, why }
}

/// Reads the front of a connection on which a header is due.
pub fn front(bytes: &[u8]) -> Result<Front, Error> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(V1) {
        version_1(bytes)
    } else if begins(V2) {
        version_2(bytes)
    } else {
        Err(malformed("it is none"))
    }
}

fn version_1(bytes: &[u8]) -> Result<Front, Error> {
    let within = &bytes[..bytes.len().min(V1_LONGEST)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < V1_LONGEST {
            true => Ok(Front::NeedMore),
            false => Err(malformed("its line does not end")),
        };
    };
    let line = std::str::from_utf8(&within[..end]).map_err(|_| malformed("it is no text"))?;
    let length = end + 2;
    let words: Vec<&str> = line.split(' ').collect();
    let ends = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        [
            "PROXY",
            family @ ("TCP4" | "TCP6"),
            client,
            server,
            from,
            to,
        ] => {
            let address = |ip: &str, port: &str| {
                let ip: IpAddr = ip
                    .parse()
                    .ok()
                    .filter(|ip: &IpAddr| ip.is_ipv4() == (family == "TCP4"))?;
                let plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|_| plain)?;
                Some(SocketAddr::new(ip, port))
            };
            let both = address(client, from).zip(address(server, to));
            let (client, server) = both.ok_or_else(|| malformed("its addresses cannot be read"))?;
            Some(Ends { client, server })
        }
        _ => return Err(malformed("its words cannot be read")),
    };
    Ok(Front::Header { length, ends })
}

fn version_2(bytes: &[u8]) -> Result<Front, Error> {
    let Some((head, rest)) = bytes.split_at_checked(V2_HEAD) else {
        return Ok(Front::NeedMore);
    };
    let (command, family) = (head[12], head[13]);
    if !matches!(command, LOCAL | PROXY) {
        return Err(malformed("another version or command"));
    }
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > V2_LONGEST {
        return Err(malformed("it is too long"));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Front::NeedMore);
    };
    let ends = match (command, family) {
        (LOCAL, _) | (_, UNSPECIFIED) => None,
        (_, TCP4) => Some(ends::<4, Ipv4Addr>(body)?),
        (_, TCP6) => Some(ends::<16, Ipv6Addr>(body)?),
        _ => return Err(malformed("neither TCP over IPv4 nor over IPv6")),
    };
    Ok(Front::Header {
        length: V2_HEAD + length,
        ends,
    })
}

/// Client, server, client's port, server's port; senders may put more behind them.
fn ends<const N: usize, Ip: From<[u8; N]> + Into<IpAddr>>(body: &[u8]) -> Result<Ends, Error> {
    let truncated = || malformed("its addresses end too early");
    let (client, rest) = body.split_first_chunk::<N>().ok_or_else(truncated)?;
    let (server, rest) = rest.split_first_chunk::<N>().ok_or_else(truncated)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
    let (to, _) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
    let address =
        |ip: [u8; N], port| SocketAddr::new(Ip::from(ip).into(), u16::from_be_bytes(port));
    Ok(Ends {
        client: address(*client, *from),
        server: address(*server, *to),
    })
}

/// Appends a header of version 2. Without ends (the client came by unix socket) the receiver takes us
/// for the client.
pub fn write(out: &mut Vec<u8>, ends: Option<Ends>) {
    out.extend_from_slice(V2);
    let Some(Ends { client, server }) = ends else {
        out.extend_from_slice(&[LOCAL, UNSPECIFIED, 0, 0]);
        return;
    };
    let ports = [client.port().to_be_bytes(), server.port().to_be_bytes()];
    match (client.ip(), server.ip()) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            out.extend_from_slice(&[PROXY, TCP4, 0, 12]);
            out.extend_from_slice(&client.octets());
            out.extend_from_slice(&server.octets());
        }
        (client, server) => {
            out.extend_from_slice(&[PROXY, TCP6, 0, 36]);
            for ip in [client, server] {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                out.extend_from_slice(&ip.octets());
            }
        }
    }
    out.extend_from_slice(ports.as_flattened());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(client: &str, server: &str) -> Option<Ends> {
        Some(Ends {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
        })
    }

    fn header(length: usize, ends: Option<Ends>) -> Result<Front, Error> {
        Ok(Front::Header { length, ends })
    }

    #[test]
    fn lines() {
        let four = b"PROXY TCP4 10.0.0.1 10.0.0.2 5 3307\r\nrest";
        assert_eq!(front(four), header(37, of("10.0.0.1:5", "10.0.0.2:3307")));
        let six = b"PROXY TCP6 fd00::1 ::1 5 3307\r\n";
        assert_eq!(front(six), header(31, of("[fd00::1]:5", "[::1]:3307")));
        assert_eq!(front(b"PROXY UNKNOWN\r\n"), header(15, None));
        assert_eq!(front(b"PROXY UNKNOWN ffff:: x y z\r\n"), header(28, None));
        for cut in 0..37 {
            assert_eq!(front(&four[..cut]), Ok(Front::NeedMore), "{cut}");
        }
        for broken in [
            &b"PROXY TCP4 ::1 ::1 5 6\r\n"[..],
            b"PROXY TCP4 10.0.0.1 10.0.0.2 5\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 5 65536\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 +5 6\r\n",
            b"PROXY TCP4  10.0.0.1 10.0.0.2 5 6\r\n",
            b"PROXY UDP4 10.0.0.1 10.0.0.2 5 6\r\n",
            b"PROXY \xff\r\n",
            b"GET / HTTP/1.1\r\n",
            b"\x20\0\0\x01",
            &[b"PROXY TCP4 ", &[b'1'; 200][..]].concat(),
        ] {
            assert!(front(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn binary() {
        for (client, server, length) in [
            ("10.0.0.1:5", "10.0.0.2:3307", 28),
            ("[fd00::1]:5", "[::1]:3307", 52),
        ] {
            let mut bytes = Vec::new();
            write(&mut bytes, of(client, server));
            for cut in 0..length {
                assert_eq!(front(&bytes[..cut]), Ok(Front::NeedMore), "{cut}");
            }
            bytes.extend_from_slice(b"rest");
            assert_eq!(front(&bytes), header(length, of(client, server)));
            // What senders add behind the addresses.
            bytes[15] += 4;
            assert_eq!(front(&bytes), header(length + 4, of(client, server)));
            // Addresses longer than the whole.
            bytes[15] = 4;
            assert!(front(&bytes).is_err());
            bytes[14] = 0x40;
            assert!(front(&bytes).is_err());
            bytes[12] = 0x11;
            assert!(front(&bytes).is_err());
        }
        let mut bytes = Vec::new();
        write(&mut bytes, None);
        assert_eq!(front(&bytes), header(16, None));
        // Ends of two families.
        bytes.clear();
        write(&mut bytes, of("10.0.0.1:5", "[::1]:6"));
        let mixed = header(52, of("[::ffff:10.0.0.1]:5", "[::1]:6"));
        assert_eq!(front(&bytes), mixed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(mut bytes: Vec<u8>, version in 0..3) {
            match version {
                1 => drop(bytes.splice(..0, V1.iter().copied())),
                2 => drop(bytes.splice(..0, V2.iter().copied().chain([PROXY]))),
                _ => {}
            }
            if let Ok(Front::Header { length, .. }) = front(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}

//! Which accounts do not fit the address that our sessions come from.
//!
//! The source sees every application at our address. An account whose host part was made for the
//! applications' own addresses refuses them then (error 1045), unless the source is told those
//! (`send_proxy_protocol`).

use std::net::IpAddr;

use super::{Check, Fix};
use crate::ids::{Flavor, ServerName};
use crate::net;
use crate::net::admin::Admin;
use crate::topology::report::is_denied;

/// Accounts of the servers' own, which no application uses.
const SYSTEM: [&str; 6] = [
    "root",
    "mysql",
    "mariadb.sys",
    "mysql.sys",
    "mysql.session",
    "mysql.infoschema",
];
/// More names than these are counted only.
const NAMED: usize = 12;

/// What the source says of accounts and of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Our host, as the source sees it: a name where it resolves names, and its addresses.
    pub ours: Vec<String>,
    /// User and host part. None where our account may not read them.
    pub listed: Option<Vec<(String, String)>>,
    /// MariaDB's `proxy_protocol_networks`.
    pub proxy_networks: Option<String>,
}

impl Accounts {
    pub(super) async fn ask(admin: &mut Admin) -> Result<Self, net::Error> {
        let host = admin
            .value("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
            .await?;
        let host = host.unwrap_or_default();
        let mut ours = net::connect::addresses_of(&host).await;
        ours.insert(0, host);
        ours.dedup();
        // Roles have no host part.
        let listed = admin.query("SELECT User AS user, Host AS host FROM mysql.user WHERE Host <> '' ORDER BY User, Host");
        let listed = match listed.await {
            Ok(rows) => Some(rows),
            Err(error) if is_denied(&error) => None,
            Err(error) => return Err(error),
        };
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let listed = listed.map(|rows| {
            let pairs = rows.iter();
            pairs
                .map(|row| (text(row.text("user")), text(row.text("host"))))
                .collect()
        });
        let proxy_networks = match admin.flavor() {
            Flavor::MariaDb => {
                admin
                    .value("SELECT @@global.proxy_protocol_networks")
                    .await?
            }
            Flavor::MySql => None,
        };
        Ok(Self {
            ours,
            listed,
            proxy_networks,
        })
    }

    /// Nobody is wrong here by himself, so this only says what there is to know.
    pub(super) fn check_hosts(&self, server: &ServerName) -> Check {
        let us = self.ours.join(", ");
        let check = |found: String| Check::new(server, "accounts", found, format!("match {us}"));
        let Some(listed) = &self.listed else {
            return check("may not be read".to_owned()).note(
                "with GRANT SELECT ON mysql.user this says which accounts our address does not fit",
            );
        };
        let others: Vec<String> = listed
            .iter()
            .filter(|(user, _)| !SYSTEM.contains(&user.as_str()))
            .filter(|(_, pattern)| !self.ours.iter().any(|host| matches(pattern, host)))
            .map(|(user, host)| format!("'{user}'@'{host}'"))
            .collect();
        if others.is_empty() {
            return check("all match".to_owned());
        }
        let named = others[..others.len().min(NAMED)].join(", ");
        let more = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        check(format!("{} do not match", others.len())).note(format!(
            "through this proxy nobody can log in as {named}{more}: create them for its address, \
             or set send_proxy_protocol (MariaDB)"
        ))
    }

    /// With `send_proxy_protocol`.
    pub(super) fn check_networks(&self, server: &ServerName) -> Check {
        const NAME: &str = "proxy_protocol_networks";
        let us = self.ours.iter().find(|host| host.parse::<IpAddr>().is_ok());
        let us = us.or(self.ours.first()).cloned().unwrap_or_default();
        let Some(networks) = &self.proxy_networks else {
            let how = "remove send_proxy_protocol from its [[server]]: MySQL takes no PROXY header";
            return Check::new(server, NAME, "no such variable", &us)
                .fails(Fix::ByHand(how.to_owned()));
        };
        let check = Check::new(server, NAME, networks.as_str(), &us);
        if self.ours.iter().any(|host| is_within(networks, host)) {
            return check;
        }
        let joined = match networks.trim() {
            "" => us,
            some => format!("{some},{us}"),
        };
        let quoted = joined.replace('\'', "''");
        check
            .lines(&[&format!("{NAME} = {joined}")])
            .fails(Fix::Sql(vec![format!("SET GLOBAL {NAME}='{quoted}'")]))
    }
}

/// Whether a host part fits a host: a pattern with `%` and `_`, an address with a netmask or (MySQL) a
/// prefix length, or the very name.
fn matches(pattern: &str, host: &str) -> bool {
    if let (Some((net, mask)), Ok(host)) = (pattern.split_once('/'), host.parse::<IpAddr>()) {
        return in_network(net, mask, host);
    }
    like(pattern.as_bytes(), host.as_bytes())
}

fn in_network(net: &str, mask: &str, host: IpAddr) -> bool {
    let net: Option<IpAddr> = net.parse().ok();
    let masked = |net: IpAddr, mask: IpAddr| match (net, mask, host) {
        (IpAddr::V4(net), IpAddr::V4(mask), IpAddr::V4(host)) => host & mask == net,
        (IpAddr::V6(net), IpAddr::V6(mask), IpAddr::V6(host)) => host & mask == net,
        _ => false,
    };
    match (net, mask.parse::<IpAddr>(), mask.parse::<u8>()) {
        (Some(net), Ok(mask), _) => masked(net, mask),
        (Some(net), _, Ok(length)) => {
            ipnet::IpNet::new(net, length).is_ok_and(|net| net.contains(&host))
        }
        _ => false,
    }
}

fn like(pattern: &[u8], text: &[u8]) -> bool {
    // From the end back to the last `%` that may take one byte more: linear in practice, no recursion.
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'%') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(b'_') => (p, t) = (p + 1, t + 1),
            Some(byte) if byte.eq_ignore_ascii_case(&text[t]) => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((at, taken)) => {
                    retry = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'%')
}

/// MariaDB's list of networks, addresses, `*` and `localhost`.
fn is_within(networks: &str, host: &str) -> bool {
    let ip = host.parse::<IpAddr>().ok();
    networks
        .split([',', ' '])
        .filter(|net| !net.is_empty())
        .any(|net| match (net, ip) {
            ("*", _) => true,
            (net, Some(ip)) => {
                let one = net.parse::<IpAddr>().map(ipnet::IpNet::from);
                let net = net.parse::<ipnet::IpNet>().or(one.map_err(|_| ()));
                net.is_ok_and(|net| net.contains(&ip))
            }
            (net, None) => net.eq_ignore_ascii_case(host),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(hosts: &[&str]) -> Accounts {
        let listed = hosts.iter().map(|host| ("app".into(), (*host).into()));
        Accounts {
            ours: vec!["proxy.example.org".into(), "10.1.2.3".into()],
            listed: Some(listed.collect()),
            proxy_networks: Some(String::new()),
        }
    }

    #[test]
    fn host_parts() {
        for fits in [
            "%",
            "10.1.2.3",
            "10.1.%",
            "10.1.2._",
            "%.example.org",
            "PROXY.example.org",
            "%2%3%",
            "10.1.0.0/255.255.0.0",
            "10.1.0.0/16",
        ] {
            let check = accounts(&[fits]).check_hosts(&ServerName::new("db1"));
            assert_eq!(check.found, "all match", "{fits}");
        }
        for other in [
            "localhost",
            "10.2.%",
            "10.1.2.3_",
            "10.1.2",
            "10.2.0.0/255.255.0.0",
            "10.2.0.0/16",
            "fd00::/8",
            "x/y",
            "",
        ] {
            let check = accounts(&["%", other]).check_hosts(&ServerName::new("db1"));
            assert_eq!(check.found, "1 do not match", "{other}");
            assert!(check.ok && check.note.unwrap().contains(&format!("'app'@'{other}'")));
        }
        let many = accounts(&["10.9.9.9"; 20]).check_hosts(&ServerName::new("db1"));
        assert!(many.note.unwrap().contains("and 8 more"));
        let mut system = accounts(&[]);
        system.listed = Some(vec![("root".into(), "localhost".into())]);
        assert_eq!(
            system.check_hosts(&ServerName::new("db1")).found,
            "all match"
        );
        system.listed = None;
        assert!(system.check_hosts(&ServerName::new("db1")).ok);
    }

    #[test]
    fn networks() {
        let db1 = ServerName::new("db1");
        let with = |networks: Option<&str>| {
            let mut accounts = accounts(&[]);
            accounts.proxy_networks = networks.map(str::to_owned);
            accounts.check_networks(&db1)
        };
        for good in [
            "*",
            "10.1.2.3",
            "192.168.0.0/16, 10.0.0.0/8",
            "localhost,10.1.2.0/24",
        ] {
            assert!(with(Some(good)).ok, "{good}");
        }
        let empty = with(Some(""));
        assert_eq!(
            empty.fix_sql(),
            ["SET GLOBAL proxy_protocol_networks='10.1.2.3'"]
        );
        let other = with(Some("192.168.0.0/16"));
        assert_eq!(
            other.fix_sql(),
            ["SET GLOBAL proxy_protocol_networks='192.168.0.0/16,10.1.2.3'"]
        );
        assert!(matches!(with(None).fix, Fix::ByHand(_)));
    }
}

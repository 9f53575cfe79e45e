//! Addresses as they are written: a host, by name or number, and a port.

/// Checks `text` and completes it with the port; what comes out is `host:port` or `[v6]:port`.
pub(super) fn read(text: &str, default_port: u16) -> Result<String, String> {
    let advice = || {
        format!(
            "'{text}' is no address: write \"host:port\", \"192.0.2.1:{default_port}\" or \"[2001:db8::1]:{default_port}\""
        )
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(advice)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| advice())?;
        return match rest.strip_prefix(':') {
            Some(port) if is_port(port) => Ok(text.to_owned()),
            None if rest.is_empty() => Ok(format!("{text}:{default_port}")),
            _ => Err(advice()),
        };
    }
    // A bare IPv6 address, with its many colons, leaves open what is its port.
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_host = |c: char| c.is_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(advice());
    }
    match port {
        Some(port) if is_port(port) => Ok(text.to_owned()),
        None => Ok(format!("{text}:{default_port}")),
        _ => Err(advice()),
    }
}

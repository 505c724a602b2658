//! Addresses with ports, and what people write instead.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An address without a port.
    #[error("the address `{0}` has no port")]
    NoPort(IpAddr),
    /// An IPv6 address with a port and without brackets, or without a port: nobody can tell.
    #[error("the IPv6 address `{0}` has no brackets")]
    NoBrackets(String),
    /// A port that is none.
    #[error("`{port}` is no port")]
    Port {
        /// The host.
        host: String,
        /// What stands for the port.
        port: String,
    },
    /// A host that is no address.
    #[error("`{0}` is no IP address")]
    Host(String),
}

impl AddressError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::NoPort(IpAddr::V4(ip)) => format!("add the port, as in \"{ip}:80\""),
            Self::NoPort(IpAddr::V6(ip)) => format!("add the port, as in \"[{ip}]:80\""),
            Self::NoBrackets(text) => match split_port(text) {
                Some((ip, port)) => format!("write \"[{ip}]:{port}\" or \"[{text}]:80\""),
                None => "put the address into brackets, as in \"[2001:db8::10]:80\"".into(),
            },
            Self::Port { .. } => "write a port from 1 to 65535".into(),
            Self::Host(_) => {
                "write an address and a port, as in \"192.0.2.10:80\" or \"[2001:db8::10]:80\""
                    .into()
            }
        }
    }
}

/// Reads an address with its port.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        // "2001:db8::10:80" is an address, too; its author most likely meant a port.
        return Err(match ip {
            IpAddr::V4(_) => AddressError::NoPort(ip),
            IpAddr::V6(_) => AddressError::NoBrackets(text.to_owned()),
        });
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(ip) = bare.and_then(|ip| ip.parse::<Ipv6Addr>().ok()) {
        return Err(AddressError::NoPort(ip.into()));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(AddressError::Host(text.to_owned()));
    };
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match (inner, host.parse::<IpAddr>()) {
        (None, Ok(IpAddr::V6(_))) => Err(AddressError::NoBrackets(text.to_owned())),
        (None, Ok(IpAddr::V4(_))) => Err(bad_port(host, port)),
        (Some(inner), _) if inner.parse::<Ipv6Addr>().is_ok() => Err(bad_port(host, port)),
        (Some(_), _) | (None, Err(_)) => Err(AddressError::Host(host.to_owned())),
    }
}

fn bad_port(host: &str, port: &str) -> AddressError {
    AddressError::Port { host: host.to_owned(), port: port.to_owned() }
}

/// The address and the port that an unbracketed text may mean.
fn split_port(text: &str) -> Option<(Ipv6Addr, u16)> {
    let (ip, port) = text.rsplit_once(':')?;
    Some((ip.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_wrong() {
        assert!(parse("192.0.2.10:80").is_ok());
        assert!(parse("[2001:db8::10]:80").is_ok());
        for (text, message, remedy) in [
            ("192.0.2.300:80", "`192.0.2.300` is no IP address", "write an address and a port"),
            ("192.0.2.10", "the address `192.0.2.10` has no port", "\"192.0.2.10:80\""),
            ("[2001:db8::1]", "the address `2001:db8::1` has no port", "\"[2001:db8::1]:80\""),
            (
                "2001:db8::10:80",
                "the IPv6 address `2001:db8::10:80` has no brackets",
                "write \"[2001:db8::10]:80\" or \"[2001:db8::10:80]:80\"",
            ),
            ("192.0.2.10:70000", "`70000` is no port", "from 1 to 65535"),
            ("[2001:db8::1]:http", "`http` is no port", "from 1 to 65535"),
            ("1:2:3:4:5:6:7:8:80", "the IPv6 address `1:2:3:4:5:6:7:8:80` has no brackets", "["),
            ("example.org:80", "`example.org` is no IP address", "write an address"),
            ("", "`` is no IP address", "write an address"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.remedy().contains(remedy), "{text}: {}", error.remedy());
        }
    }
}

//! A server's address: `https://host:8200/prefix`, `http://…`, `unix:///run/vault.sock`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Where a server listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    pub(crate) endpoint: Endpoint,
    /// Path before `/v1`, for servers behind a gateway; empty or starting with a slash.
    pub(crate) prefix: String,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Endpoint {
    Tcp { tls: bool, host: String, port: u16 },
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum AddressError {
    /// Neither `http`, `https` nor `unix`.
    #[error("unsupported scheme {0:?} in the address; use https://, http:// or unix://")]
    Scheme(String),
    /// Nothing names the server.
    #[error("the address has no host")]
    NoHost,
    /// The part behind the last colon is no port.
    #[error("invalid port {0:?} in the address")]
    Port(String),
    /// A character that no host or path can hold.
    #[error("the address holds white space or a control character")]
    Character,
}

impl Address {
    /// Whether requests to it travel through TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.endpoint, Endpoint::Tcp { tls: true, .. })
    }

    /// Whether it can only be this machine: a loopback literal, `localhost` or a unix socket.
    pub fn is_local(&self) -> bool {
        match &self.endpoint {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp { host, .. } => {
                host == "localhost"
                    || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// `host:port` as it goes into the `Host` header.
    pub fn authority(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp { host, port, .. } => format!("{host}:{port}"),
            Endpoint::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// A bare `host:port` is taken as `https://`, the official client's default scheme aside (it wants one):
    /// being strict about it would help nobody.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        // A socket's path may hold spaces.
        let is_path = scheme.eq_ignore_ascii_case("unix");
        if text.contains(|c: char| c.is_control() || c.is_whitespace() && !is_path) {
            return Err(AddressError::Character);
        }
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            "unix" => {
                let path = PathBuf::from(rest);
                return match rest {
                    "" => Err(AddressError::NoHost),
                    _ => Ok(Self { endpoint: Endpoint::Unix(path), prefix: String::new() }),
                };
            }
            _ => return Err(AddressError::Scheme(scheme.to_owned())),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, prefix) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        // A user name in an address has no meaning for these servers.
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { endpoint: Endpoint::Tcp { tls, host: host.to_owned(), port }, prefix: prefix.to_owned() })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), AddressError> {
    let parse = |port: &str| port.parse().map(Some).map_err(|_| AddressError::Port(port.to_owned()));
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(AddressError::NoHost)?;
        return match port.strip_prefix(':') {
            None => Ok((host, None)),
            Some(port) => Ok((host, parse(port)?)),
        };
    }
    match authority.matches(':').count() {
        0 => Ok((authority, None)),
        1 => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            Ok((host, if port.is_empty() { None } else { parse(port)? }))
        }
        _ if authority.parse::<std::net::Ipv6Addr>().is_ok() => Ok((authority, None)),
        _ => Err(AddressError::Port(authority.rsplit(':').next().unwrap_or_default().to_owned())),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Tcp { tls, .. } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
            }
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, shown) in [
            ("https://vault:8200", "https://vault:8200"),
            ("https://vault", "https://vault:443"),
            ("http://127.0.0.1:8200/", "http://127.0.0.1:8200"),
            ("http://[::1]:8200/gw/", "http://[::1]:8200/gw"),
            ("unix:///run/v.sock", "unix:///run/v.sock"),
            ("HTTPS://vault:8200", "https://vault:8200"),
            ("unix:///run/our vault/\"v\".sock", "unix:///run/our vault/\"v\".sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, error) in [
            ("ftp://x", AddressError::Scheme("ftp".into())),
            ("https://:8200", AddressError::NoHost),
            ("http://a:b", AddressError::Port("b".into())),
            ("foo:bar:baz", AddressError::Port("baz".into())),
            ("http://a b", AddressError::Character),
            ("unix:///run/v\n.sock", AddressError::Character),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }
}

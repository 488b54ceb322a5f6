//! HTTP proxies on the way to the server, and who is asked without one: pure. The rules of the variables are those of
//! Go's `golang.org/x/net/http/httpproxy`, so that what works for the official clients works here.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;

use crate::address::{Address, Endpoint};

/// Which proxy a server is reached through. Servers on this machine never are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxies {
    /// For servers spoken to without TLS, and with it.
    plain: Option<Arc<Proxy>>,
    tls: Option<Arc<Proxy>>,
    except: Exceptions,
}

/// A proxy. Shows its credentials to nobody.
#[derive(Clone, Eq, PartialEq)]
pub struct Proxy {
    tls: bool,
    host: String,
    port: u16,
    /// `Proxy-Authorization`.
    authorization: Option<HeaderValue>,
}

impl Proxies {
    /// One for every server: `VAULT_PROXY_ADDR` or `VAULT_HTTP_PROXY`. `NO_PROXY` does not count.
    pub fn always(proxy: Proxy) -> Self {
        let proxy = Some(Arc::new(proxy));
        Self { plain: proxy.clone(), tls: proxy, except: Exceptions::default() }
    }

    /// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    pub fn of(plain: Option<Proxy>, tls: Option<Proxy>, no_proxy: &str) -> Self {
        Self { plain: plain.map(Arc::new), tls: tls.map(Arc::new), except: Exceptions::parse(no_proxy) }
    }

    /// The proxy for a server; none for one on this machine, one that `NO_PROXY` names, or without a proxy.
    pub fn way_to(&self, address: &Address) -> Option<&Arc<Proxy>> {
        let Endpoint::Tcp { tls, host, port } = &address.endpoint else { return None };
        if address.is_local() || self.except.names(host, *port) {
            return None;
        }
        if *tls { self.tls.as_ref() } else { self.plain.as_ref() }
    }

    /// Whether TLS is spoken with one of them.
    pub(crate) fn any_tls(&self) -> bool {
        [&self.plain, &self.tls].into_iter().flatten().any(|proxy| proxy.tls)
    }
}

impl Proxy {
    /// `http://user:password@host:port`; without a scheme: http. Ports 80 and 443 need not be said.
    ///
    /// # Errors
    /// What is wrong with it, without what is secret in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(match scheme.as_str() {
                "socks5" | "socks5h" => {
                    "SOCKS proxies are not built yet in this version of Sidekey".to_owned()
                }
                _ => format!("unsupported scheme {scheme:?}; use http:// or https://"),
            });
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let address: Address = format!("{scheme}://{place}").parse().map_err(|why| format!("{why}"))?;
        let Endpoint::Tcp { tls, host, port } = address.endpoint else {
            return Err("it has no host".to_owned());
        };
        Ok(Self { tls, host, port, authorization: user.map(authorization).transpose()? })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port, .. } = self;
        let scheme = if *tls { "https" } else { "http" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// RFC 7617, from the part of a URL before the `@`.
fn authorization(user: &str) -> Result<HeaderValue, String> {
    let bad = || "the user or the password is not percent-encoded as it should be".to_owned();
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain = decode(name).ok_or_else(bad)?;
    plain.push(b':');
    plain.extend(decode(password).ok_or_else(bad)?);
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(plain))).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok(value)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(bytes)
}

/// What `NO_PROXY` says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Exceptions {
    /// `*`.
    everything: bool,
    all: Vec<Exception>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Exception {
    /// `10.0.0.0/8`: network and number of bits.
    Network(IpAddr, u8),
    /// One address, at one port or at any.
    Address(IpAddr, Option<String>),
    /// `example.com` and what is below it; with a dot in front only what is below it.
    Domain { below: String, itself: bool, port: Option<String> },
}

impl Exceptions {
    fn parse(text: &str) -> Self {
        let mut all = Vec::new();
        for entry in text.split(',') {
            let entry = entry.trim().to_lowercase();
            if entry == "*" {
                return Self { everything: true, all: Vec::new() };
            }
            all.extend(Exception::parse(&entry));
        }
        Self { everything: false, all }
    }

    fn names(&self, host: &str, port: u16) -> bool {
        if self.everything {
            return true;
        }
        let host = host.trim().to_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let port = port.to_string();
        let any_or = |own: &Option<String>| own.as_ref().is_none_or(|own| own.is_empty() || *own == port);
        self.all.iter().any(|exception| match exception {
            Exception::Network(network, bits) => {
                address.is_some_and(|address| is_within(address, *network, *bits))
            }
            Exception::Address(own, at) => address == Some(*own) && any_or(at),
            Exception::Domain { below, itself, port: at } => {
                let named = host.ends_with(below.as_str()) || (*itself && below.get(1..) == Some(&host));
                named && any_or(at)
            }
        })
    }
}

impl Exception {
    /// What makes no sense is passed over, as Go does.
    fn parse(entry: &str) -> Option<Self> {
        if let Some((network, bits)) = entry.split_once('/')
            && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u8>())
            && bits <= if network.is_ipv4() { 32 } else { 128 }
        {
            return Some(Self::Network(network, bits));
        }
        let (host, port) = split_port(entry);
        if host.is_empty() {
            return None;
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let itself = !host.starts_with('.');
        let below = if itself { format!(".{host}") } else { host.to_owned() };
        Some(Self::Domain { below, itself, port })
    }
}

/// `host:port` and `[v6]:port`; anything else is a host.
fn split_port(entry: &str) -> (&str, Option<String>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once("]:") {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (entry, None),
        };
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port.to_owned())),
        _ => (entry, None),
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `httpproxy`'s own tests, and the words of its documentation.
    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        const LIST: &str = "foobar.com, .barbaz.net, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, \
                            2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64, \
                            *.star.org, port.org:8443, :80, 300.0.0.0/8,";
        for (list, to, direct) in [
            (LIST, "http://localhost:80", true),
            (LIST, "http://127.0.0.1", true),
            (LIST, "http://127.0.0.2:8200", true),
            (LIST, "http://[::1]:80", true),
            (LIST, "http://localhost.evil", false),
            (LIST, "http://192.168.1.1", true),
            (LIST, "http://192.168.1.2:80", false),
            (LIST, "http://192.168.1.2:81", true),
            (LIST, "http://192.168.1.3:80", true),
            (LIST, "http://192.168.1.3:81", false),
            (LIST, "http://192.168.1.4", false),
            (LIST, "http://10.0.0.2", true),
            (LIST, "http://10.0.0.4", false),
            (LIST, "http://[2001:db8::52:0:1]", true),
            (LIST, "https://[2001:db8::52:0:2]", true),
            (LIST, "http://[2001:db8::52:0:2]:80", false),
            (LIST, "http://[2001:db8::52:0:3]:80", true),
            (LIST, "http://[2002:db8:a::123]", true),
            (LIST, "http://[fe80::424b:c8be:1643:a1b6]", false),
            (LIST, "http://www.barbaz.net", true),
            (LIST, "http://barbaz.net", false),
            (LIST, "http://foobar.com", true),
            (LIST, "http://WWW.FOOBAR.com", true),
            (LIST, "http://foofoobar.com", false),
            (LIST, "http://baz.com", false),
            (LIST, "http://localhost.net", false),
            (LIST, "http://a.star.org", true),
            (LIST, "http://star.org", false),
            (LIST, "https://port.org:8443", true),
            (LIST, "https://port.org:8444", false),
            (LIST, "unix:///run/x.sock", true),
            ("foo, *", "http://baz.com", true),
            ("0.0.0.0/0", "http://8.8.8.8", true),
            ("", "http://baz.com", false),
        ] {
            let proxy = Some(Proxy::parse("proxy:3128").unwrap());
            let proxies = Proxies::of(proxy.clone(), proxy, list);
            assert_eq!(proxies.way_to(&to.parse().unwrap()).is_none(), direct, "{to} with {list:?}");
        }
    }

    #[test]
    fn each_scheme_has_its_own_and_one_may_be_for_all() {
        let (plain, tls) = (Proxy::parse("a").unwrap(), Proxy::parse("https://b").unwrap());
        let proxies = Proxies::of(Some(plain.clone()), Some(tls), "");
        let way =
            |proxies: &Proxies, to: &str| proxies.way_to(&to.parse().unwrap()).map(|way| way.to_string());
        assert_eq!(way(&proxies, "http://v").as_deref(), Some("http://a:80"));
        assert_eq!(way(&proxies, "https://v").as_deref(), Some("https://b:443"));
        assert_eq!(way(&Proxies::of(Some(plain.clone()), None, ""), "https://v"), None);
        let always = Proxies::always(plain);
        assert_eq!(way(&always, "https://v").as_deref(), Some("http://a:80"));
        assert_eq!(way(&always, "https://127.0.0.1:8200"), None, "S33: this machine is asked directly");
        assert_eq!(way(&Proxies::default(), "https://v"), None);
    }

    #[test]
    fn a_proxys_credentials_are_sent_and_not_shown() {
        let proxy = Proxy::parse("http://us%40er:p%3Ass@proxy.example:3128/").unwrap();
        assert_eq!(proxy.authorization().unwrap(), "Basic dXNAZXI6cDpzcw==");
        let shown = format!("{proxy} {proxy:?} {:?}", Proxies::always(proxy.clone()));
        assert!(shown.starts_with("http://proxy.example:3128 http://proxy.example:3128 "), "{shown}");
        for secret in ["us@er", "us%40er", "p:ss", "p%3Ass", "dXNA"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for (text, why) in [
            ("socks5://p:1", "SOCKS proxies are not built yet"),
            ("ftp://p", "unsupported scheme"),
            ("http://", "has no host"),
            ("http://user:s3cret@", "has no host"),
            ("http://user:s3cret@p:port", "invalid port"),
            ("http://user:%zz@p", "percent-encoded"),
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}

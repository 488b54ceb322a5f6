//! Where an answer sends us, and whether we go: pure.

use http::{StatusCode, Uri, header};

use crate::address::{Address, Endpoint};
use crate::token_state::SHORTEST_SOUGHT;
use crate::{Needles, Request, Response, SendError};

/// The hosts that a redirect may lead to. Token and body go along, so a host that is none of these is not asked at all:
/// the redirect itself is the answer then.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum RedirectHosts {
    /// Any, as the official clients do it: a standby names the active node by an address that nobody configured.
    #[default]
    Any,
    /// The host that was asked, those of the other configured servers, and these.
    Known(Vec<HostPattern>),
}

/// `host`, `host:port`, or `*.domain` for all hosts below it. Case does not matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPattern {
    /// In lower case; with a dot in front when it stands for what is below it.
    host: String,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") || text.contains('/') {
            return Err("a host is wanted, without scheme and path".to_owned());
        }
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (".", rest),
            None => ("", text),
        };
        // The reader of addresses knows what a host looks like.
        let address: Address = format!("http://{rest}").parse().map_err(|why| format!("{why}"))?;
        let Endpoint::Tcp { host, port, .. } = address.endpoint else {
            return Err("it is no host".to_owned());
        };
        if host.contains(['*', '@', '%', ',']) || rest.contains('@') {
            return Err("a host, host:port or *.domain is wanted".to_owned());
        }
        let has_port = rest.ends_with(&format!(":{port}")) && rest.parse::<std::net::Ipv6Addr>().is_err();
        Ok(Self { host: format!("{below}{}", host.to_ascii_lowercase()), port: has_port.then_some(port) })
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        let name = if self.host.starts_with('.') { host.ends_with(&self.host) } else { host == self.host };
        name && self.port.is_none_or(|own| own == port)
    }
}

impl RedirectHosts {
    /// Whether `to` may be asked what `from` was asked. `servers` are all that are configured.
    pub(crate) fn allow<'a>(
        &self,
        from: &Address,
        to: &Address,
        servers: impl IntoIterator<Item = &'a Address>,
    ) -> bool {
        let Self::Known(patterns) = self else { return true };
        let Some((host, port)) = place_of(to) else { return false };
        let same = |address: &Address| place_of(address).is_some_and(|(own, _)| own == host);
        same(from)
            || servers.into_iter().any(same)
            || patterns.iter().any(|pattern| pattern.matches(&host, port))
    }
}

fn place_of(address: &Address) -> Option<(String, u16)> {
    match &address.endpoint {
        Endpoint::Tcp { host, port, .. } => Some((host.to_ascii_lowercase(), *port)),
        Endpoint::Unix(_) => None,
    }
}

/// Whether a server's address has the token in its name that `request` travels with: whoever looks the name up would
/// be told it, and so would errors that say which server did not answer.
pub(crate) fn names_token(address: &Address, request: &Request) -> bool {
    let token = request.token_sent().filter(|token| token.len() >= SHORTEST_SOUGHT);
    let needles = token.map(|token| Needles::in_names(token, None));
    needles.is_some_and(|needles| needles.are_in(address.to_string().to_ascii_lowercase().as_bytes()))
}

/// Where a 301, 302, 307 or 308 points, if it is a place we can go to: server and target.
///
/// # Errors
/// From TLS to none: the token would travel in the open.
pub(crate) fn redirect(response: &Response, from: &Address) -> Result<Option<(Address, String)>, SendError> {
    let Some((address, target)) = place(response, from) else { return Ok(None) };
    if from.is_tls() && !address.is_tls() {
        return Err(SendError::Downgrade);
    }
    Ok(Some((address, target)))
}

fn place(response: &Response, from: &Address) -> Option<(Address, String)> {
    let follow = matches!(
        response.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !follow {
        return None;
    }
    let location: Uri = response.headers.get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    let target = match location.path_and_query()?.as_str() {
        query if query.starts_with('?') => format!("/{query}"),
        target => target.to_owned(),
    };
    match (location.scheme_str(), location.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            Some((format!("{scheme}://{authority}").parse().ok()?, target))
        }
        // `//host/…` would be another server; `*` is no place.
        (None, None) if target.starts_with('/') && !target.starts_with("//") => {
            Some((Address { prefix: String::new(), ..from.clone() }, target))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::Body;

    fn from(address: &str, status: u16, location: &str) -> Result<Option<String>, SendError> {
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_str(location).unwrap())]);
        let response =
            Response { status: StatusCode::from_u16(status).unwrap(), headers, body: Body::empty() };
        let found = redirect(&response, &address.parse().unwrap())?;
        Ok(found.map(|(address, target)| format!("{address} {target}")))
    }

    #[test]
    fn s31_where_redirects_may_lead() {
        for (status, location, to) in [
            (307, "https://b:8200/v1/x?y=1", Some("https://b:8200 /v1/x?y=1")),
            (308, "https://b:8200/v1/x", Some("https://b:8200 /v1/x")),
            (301, "/v1/y", Some("https://a:8200 /v1/y")),
            (303, "https://b:8200/v1/x", None),
            (200, "https://b:8200/v1/x", None),
            (307, "ftp://b/x", None),
            (307, "//b/v1/x", None),
            (307, "unix://b/x", None),
            (307, "*", None),
            (307, "y", None),
            (307, "https://b:8200?y=1", Some("https://b:8200 /?y=1")),
        ] {
            assert_eq!(
                from("https://a:8200/gw", status, location).unwrap().as_deref(),
                to,
                "{status} {location}"
            );
        }
        assert!(matches!(from("https://a:8200", 307, "http://b:8200/v1/x"), Err(SendError::Downgrade)));
        assert!(from("http://a:8200", 307, "https://b:8200/v1/x").unwrap().is_some());
    }

    #[test]
    fn s31_hosts_that_were_not_named_are_not_asked() {
        let known = |patterns: &[&str]| {
            RedirectHosts::Known(patterns.iter().map(|text| HostPattern::parse(text).unwrap()).collect())
        };
        let address = |text: &str| text.parse::<Address>().unwrap();
        let servers = [address("https://a.example:8200"), address("https://b.example:8200")];
        let own = |to: &str, hosts: &RedirectHosts| hosts.allow(&servers[0], &address(to), &servers);
        for (patterns, to, allowed) in [
            (&[][..], "https://a.example:8200", true),
            (&[], "https://A.example:9200", true),
            (&[], "https://b.example:8200", true),
            (&[], "https://c.example:8200", false),
            (&[], "https://a.example.evil:8200", false),
            (&[], "https://a.example:8200@evil:8200", false),
            (&["C.example"], "https://c.example:1", true),
            (&["c.example:8200"], "https://c.example:8200", true),
            (&["c.example:8200"], "https://c.example:8201", false),
            (&["c.example"], "https://xc.example:8200", false),
            (&["*.internal"], "https://vault-0.vault.internal:8200", true),
            (&["*.internal"], "https://internal:8200", false),
            (&["*.internal"], "https://evilinternal:8200", false),
            (&["[::1]:8200"], "https://[::1]:8200", true),
            (&["::1"], "https://[::1]:8200", true),
            (&["10.0.0.1"], "https://10.0.0.1:8200", true),
        ] {
            assert_eq!(own(to, &known(patterns)), allowed, "{patterns:?} {to}");
        }
        assert!(own("https://c.example:8200", &RedirectHosts::Any));
        let socket = address("unix:///run/v.sock");
        assert!(!known(&[]).allow(&socket, &servers[1], [&socket]));
        assert!(known(&["b.example"]).allow(&socket, &servers[1], [&socket]));
    }

    #[test]
    fn s2_a_host_with_the_token_in_its_name_is_told() {
        for (token, to, told) in [
            ("s.Canary-Canary", "http://S.canary-canary.example:8200", true),
            ("s.Canary-Canary", "http://a.example:8200", false),
            ("s.Canary-Canary", "http://x%73.canary-canary.example:8200", true),
            ("root", "http://root.example:8200", false),
            ("", "http://a.example:8200", false),
        ] {
            let mut request = Request::new(http::Method::GET, "sys/health");
            request.headers.insert("x-vault-token", HeaderValue::from_static(token));
            assert_eq!(names_token(&to.parse().unwrap(), &request), told, "{to}");
        }
    }

    #[test]
    fn what_is_no_host_is_told() {
        for text in ["", "https://a", "a/b", "a b", "*", "*.", "a.*.b", "u@a", "a:port", "a,b"] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }
}

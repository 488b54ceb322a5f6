//! May this client ask at all? Checks of the head of a request, before anything looks at its meaning.

use std::net::IpAddr;

use config::{Endpoint, Listener, Role};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use vault::headers;

/// What a browser says of where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A refusal: status and words.
pub(crate) type Refusal = (StatusCode, &'static str);

/// The question of a browser before what a page may not simply do.
const PREFLIGHT: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;

const OF_A_PAGE: Refusal = (StatusCode::FORBIDDEN, "requests of web pages are not served here");

const NOT_JSON: Refusal = (
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "with allowed_hosts = [\"*\"] this needs \"Content-Type: application/json\"; see lenient_control_content_type",
);

const MISDIRECTED: Refusal =
    (StatusCode::MISDIRECTED_REQUEST, "this host name is not served here; see allowed_hosts");

/// What a listener asks of its clients.
#[derive(Debug)]
pub(crate) struct Guard {
    require_request_header: bool,
    /// Names a `Host` may have; `None` accepts any.
    hosts: Option<Vec<String>>,
    /// Turn web pages away.
    no_pages: bool,
    /// What changes something here has to be sent as JSON: pages are not turned away by what they say of themselves.
    needs_json: bool,
    quits: bool,
    reloads: bool,
}

impl Guard {
    pub(crate) fn new(listener: &Listener) -> Self {
        let any = listener.allowed_hosts.iter().any(|host| host == "*");
        let named = !listener.allowed_hosts.is_empty();
        // A page in somebody's browser can reach a loopback listener under any name it makes up; the name in
        // the Host header gives it away. Other listeners have names we cannot know.
        let hosts = match &listener.endpoint {
            _ if any => None,
            Endpoint::Systemd { .. } | Endpoint::Unix { .. } => None,
            Endpoint::Tcp(address) if address.ip().to_canonical().is_loopback() || named => {
                let mut hosts = listener.allowed_hosts.clone();
                hosts.push(address.ip().to_string());
                Some(hosts)
            }
            Endpoint::Tcp(_) => None,
        };
        Self {
            // Whoever only reads numbers cannot be made to do anything.
            require_request_header: listener.require_request_header && listener.role != Role::MetricsOnly,
            hosts,
            no_pages: !any,
            needs_json: any && !listener.access.lenient_control_content_type,
            quits: listener.enable_quit,
            reloads: listener.enable_reload,
        }
    }

    /// Checks framing, host, origin and the request header, in this order. `authority` is that of a target in
    /// absolute form; it counts before the `Host` header then.
    pub(crate) fn check(
        &self,
        version: Version,
        method: &Method,
        authority: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        if version == Version::HTTP_2 {
            framing(headers)?;
        }
        if *method == Method::CONNECT {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here"));
        }
        if let Some(hosts) = &self.hosts {
            let named = authority.is_none_or(|authority| is_allowed(hosts, without_port(authority)));
            match headers.get(header::HOST) {
                _ if !named => return Err(MISDIRECTED),
                Some(host) if allowed(hosts, host) => {}
                None if version < Version::HTTP_11 => {}
                // HTTP/2 says it in the target.
                None if version == Version::HTTP_2 && authority.is_some() => {}
                _ => return Err(MISDIRECTED),
            }
        }
        if self.no_pages && self.is_of_a_page(method, authority, headers) {
            return Err(OF_A_PAGE);
        }
        if self.require_request_header {
            let mut values = headers.get_all(headers::REQUEST).iter();
            if values.next().map(HeaderValue::as_bytes) != Some(b"true") || values.next().is_some() {
                return Err((StatusCode::PRECONDITION_FAILED, "missing \"X-Vault-Request\" header"));
            }
        }
        if headers.get_all(headers::TOKEN).iter().nth(1).is_some() {
            return Err((StatusCode::BAD_REQUEST, "more than one X-Vault-Token header"));
        }
        Ok(())
    }
}

impl Guard {
    /// Whether a browser sends it for a page that is not ours.
    fn is_of_a_page(&self, method: &Method, authority: Option<&str>, headers: &HeaderMap) -> bool {
        let own = |origin: &HeaderValue| match &self.hosts {
            Some(hosts) => allowed_origin(hosts, origin),
            // Our names are unknown here, but pages of our own come from the host they ask.
            None => {
                let host = authority
                    .or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()))
                    .map(without_port);
                let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
                matches!((origin, host), (Some((_, origin)), Some(host)) if without_port(origin).eq_ignore_ascii_case(host))
            }
        };
        // All of them: the server would look at one of several.
        headers.get_all(header::ORIGIN).iter().any(|origin| !own(origin))
            || headers
                .get_all(SEC_FETCH_SITE)
                .iter()
                .any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
            || *method == Method::OPTIONS && headers.contains_key(PREFLIGHT)
    }

    /// Checks a request to an endpoint of ours, by its name. Where pages are not turned away, what changes something
    /// must be sent as JSON, which a form on a page cannot do.
    pub(crate) fn check_own(&self, name: &str, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let changes = match name {
            "cache-clear" => matches!(*method, Method::POST | Method::PUT),
            "quit" => self.quits && *method == Method::POST,
            "reload" => self.reloads && *method == Method::POST,
            _ => false,
        };
        if !self.needs_json || !changes {
            return Ok(());
        }
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        match (types.next(), types.next()) {
            (Some(one), None) if is_json(one) => Ok(()),
            // Nothing is sent, and nothing is said of it: `curl -X POST …/quit`. A page's script can do that, too, but
            // its browser says where it comes from.
            (None, _)
                if matches!(name, "quit" | "reload") && is_bodiless(headers) && !is_of_a_browser(headers) =>
            {
                Ok(())
            }
            _ => Err(NOT_JSON),
        }
    }
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn is_of_a_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

fn is_bodiless(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::TRANSFER_ENCODING)
        && headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
}

/// What a second reader could read differently, and the library of HTTP/2 lets pass. Our reader of HTTP/1 does not.
fn framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let bad = |what| Err((StatusCode::BAD_REQUEST, what));
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|length| !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return bad("a Content-Length that is no number");
    }
    if lengths.next().is_some() || headers.contains_key(header::TRANSFER_ENCODING) {
        return bad("more than one Content-Length or Transfer-Encoding");
    }
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        return bad("more than one Host header");
    }
    Ok(())
}

fn allowed(hosts: &[String], value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|host| is_allowed(hosts, without_port(host)))
}

fn allowed_origin(hosts: &[String], value: &HeaderValue) -> bool {
    let origin = value.to_str().unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, host)| is_allowed(hosts, without_port(host)))
}

fn is_allowed(hosts: &[String], host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(bare))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // `[::1]:8200`, `[::1]`, `::1` and `localhost:8200` alike.
        Some((name, port)) if !name.ends_with(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str, allowed_hosts: &[&str], require_request_header: bool) -> Guard {
        Guard::new(&Listener {
            access: config::ListenerAccess::default(),
            endpoint: Endpoint::Tcp(address.parse().unwrap()),
            tls: None,
            role: config::Role::Default,
            require_request_header,
            enable_quit: false,
            enable_reload: false,
            auto_auth: None,
            allowed_hosts: allowed_hosts.iter().map(|host| (*host).to_owned()).collect(),
            limits: config::ListenerLimits::default(),
        })
    }

    fn check(guard: &Guard, pairs: &[(&'static str, &'static str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        match guard.check(Version::HTTP_11, &Method::GET, None, &headers) {
            Ok(()) => 200,
            Err((status, _)) => status.as_u16(),
        }
    }

    #[test]
    fn a_loopback_listener_knows_its_names() {
        let guard = listener("127.0.0.1:8200", &["vault.local"], false);
        for host in [
            "127.0.0.1:8200",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8200",
            "127.8.8.8",
            "vault.local:80",
        ] {
            assert_eq!(check(&guard, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "evil.example:8200", "localhost.evil.example", "10.0.0.1", ""] {
            assert_eq!(check(&guard, &[("host", host)]), 421, "{host}");
        }
        assert_eq!(check(&listener("127.0.0.1:1", &["*"], false), &[("host", "evil.example")]), 200);
        assert_eq!(check(&listener("0.0.0.0:1", &[], false), &[("host", "any.example")]), 200);
        assert_eq!(check(&listener("0.0.0.0:1", &["a.example"], false), &[("host", "b.example")]), 421);
    }

    #[test]
    fn the_authority_of_the_target_counts_too() {
        let guard = listener("127.0.0.1:8200", &[], false);
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        let check = |authority| guard.check(Version::HTTP_11, &Method::GET, Some(authority), &headers);
        assert!(check("localhost:8200").is_ok());
        assert_eq!(check("evil.example").unwrap_err().0, StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn web_pages_are_turned_away() {
        let guard = listener("127.0.0.1:8200", &[], false);
        assert_eq!(check(&guard, &[("host", "localhost"), ("origin", "https://evil.example")]), 403);
        assert_eq!(check(&guard, &[("host", "localhost"), ("origin", "null")]), 403);
        assert_eq!(check(&guard, &[("host", "localhost"), ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(check(&guard, &[("host", "localhost"), ("origin", "http://localhost:8200")]), 200);
    }

    #[test]
    fn the_request_header_is_exactly_one_true() {
        let guard = listener("127.0.0.1:8200", &[], true);
        let host = ("host", "localhost");
        assert_eq!(check(&guard, &[host, ("x-vault-request", "true")]), 200);
        for wrong in ["false", "True", "true ", "1", ""] {
            assert_eq!(check(&guard, &[host, ("x-vault-request", wrong)]), 412, "{wrong}");
        }
        assert_eq!(check(&guard, &[host]), 412);
        assert_eq!(check(&guard, &[host, ("x-vault-request", "true"), ("x-vault-request", "true")]), 412);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let guard = listener("127.0.0.1:8200", &[], false);
        let host = ("host", "localhost");
        for bad in [
            &[host, ("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[host, ("content-length", "5"), ("content-length", "5")],
            &[host, ("content-length", "+5")],
            &[host, ("host", "localhost")],
            &[host, ("x-vault-token", "a"), ("x-vault-token", "b")],
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in bad {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let refused = guard.check(Version::HTTP_2, &Method::GET, Some("localhost"), &headers);
            assert_eq!(refused.unwrap_err().0, StatusCode::BAD_REQUEST, "{bad:?}");
        }
    }
}

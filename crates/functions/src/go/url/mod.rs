//! `net/url`: URLs taken apart.

mod address;
mod escape;

use gotemplate::quoted;

pub use self::escape::{Part, escaped, unescaped};

/// The parts of a URL, unescaped but for the query. It may hold a password, so it has no `Debug`.
#[derive(Default)]
pub struct Url {
    /// `https`, in small letters; empty if there is none.
    pub scheme: String,
    /// What follows the scheme if that is no slash: `x` of `mailto:x`.
    pub opaque: Vec<u8>,
    /// What stands before an `@`.
    pub user: Option<User>,
    /// With the port, if there is one.
    pub host: Vec<u8>,
    /// From the first slash behind the host.
    pub path: Vec<u8>,
    /// What follows the question mark.
    pub query: Vec<u8>,
    /// What follows the hash.
    pub fragment: Vec<u8>,
}

/// Who asks.
pub struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

impl User {
    /// As it stands in a URL.
    pub fn text(&self) -> Vec<u8> {
        let mut out = escaped(&self.name, Part::User);
        if let Some(password) = &self.password {
            out.push(b':');
            out.extend(escaped(password, Part::User));
        }
        out
    }
}

/// The parts of `text`.
///
/// # Errors
/// Go's words, with the URL.
pub fn parse(text: &[u8]) -> Result<Url, String> {
    let (rest, fragment) = cut(text, b'#');
    let told = |shown: &[u8], why: String| format!("parse {}: {why}", quoted(shown));
    let mut url = without_fragment(rest).map_err(|why| told(rest, why))?;
    url.fragment = unescaped(fragment.unwrap_or_default(), Part::Fragment).map_err(|why| told(text, why))?;
    Ok(url)
}

/// What stands before and behind the first `separator`.
fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

fn without_fragment(text: &[u8]) -> Result<Url, String> {
    if text.iter().any(u8::is_ascii_control) {
        return Err("net/url: invalid control character in URL".into());
    }
    let mut url = Url::default();
    if text == b"*" {
        url.path = text.to_vec();
        return Ok(url);
    }
    let (scheme, rest) = scheme(text)?;
    url.scheme = scheme;
    let (rest, query) = cut(rest, b'?');
    url.query = query.unwrap_or_default().to_vec();
    if !rest.starts_with(b"/") {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_vec();
            return Ok(url);
        }
        if cut(rest, b'/').0.contains(&b':') {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    let authority = rest.strip_prefix(b"//").filter(|rest| !url.scheme.is_empty() || !rest.starts_with(b"/"));
    let path = match authority {
        Some(rest) => {
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, b""));
            (url.user, url.host) = self::authority(&url.scheme, authority)?;
            path
        }
        None => rest,
    };
    url.path = unescaped(path, Part::Path)?;
    Ok(url)
}

fn scheme(text: &[u8]) -> Result<(String, &[u8]), String> {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".into()),
            b':' => {
                let (scheme, rest) = cut(text, b':');
                let scheme = String::from_utf8_lossy(scheme).to_ascii_lowercase();
                return Ok((scheme, rest.unwrap_or_default()));
            }
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn authority(scheme: &str, text: &[u8]) -> Result<(Option<User>, Vec<u8>), String> {
    let Some(at) = text.iter().rposition(|byte| *byte == b'@') else {
        return Ok((None, host(scheme, text)?));
    };
    let host = host(scheme, text.get(at + 1..).unwrap_or_default())?;
    let info = text.get(..at).unwrap_or_default();
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
    if !info.iter().all(valid) {
        return Err("net/url: invalid userinfo".into());
    }
    let (name, password) = cut(info, b':');
    let name = unescaped(name, Part::User)?;
    let password = password.map(|password| unescaped(password, Part::User)).transpose()?;
    Ok((Some(User { name, password }), host))
}

fn host(scheme: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    let wrong_port = |port: &[u8]| format!("invalid port {} after host", quoted(port));
    match text.iter().rposition(|byte| *byte == b'[') {
        Some(0) => {}
        Some(_) => return Err("invalid IP-literal".into()),
        None => {
            let is_colon = |byte: &u8| *byte == b':';
            // Databases are given lists of hosts with ports; the web knows one.
            let colon = match scheme {
                "http" | "https" => text.iter().position(is_colon),
                _ => text.iter().rposition(is_colon),
            };
            let port = colon.and_then(|at| text.get(at..)).unwrap_or_default();
            if !is_port(port) {
                return Err(wrong_port(port));
            }
            return unescaped(text, Part::Host);
        }
    }
    let end = text.iter().rposition(|byte| *byte == b']').ok_or("missing ']' in host")?;
    let port = text.get(end + 1..).unwrap_or_default();
    if !is_port(port) {
        return Err(wrong_port(port));
    }
    let port = unescaped(port, Part::Host)?;
    let name = text.get(1..end).unwrap_or_default();
    let zone = name.windows(3).position(|window| window == b"%25").unwrap_or(name.len());
    let (address, zone) = name.split_at_checked(zone).unwrap_or((name, b""));
    let name = [unescaped(address, Part::Host)?, unescaped(zone, Part::Zone)?].concat();
    match address::check(&name).map_err(|why| format!("invalid host: {why}"))? {
        address::Version::Four => Err("invalid IP-literal".into()),
        address::Version::Six => Ok([b"[".as_slice(), &name, b"]", &port].concat()),
    }
}

/// Nothing, or a colon and perhaps digits.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The host without its port and without brackets.
pub fn host_name(host: &[u8]) -> &[u8] {
    let port = host.iter().rposition(|byte| *byte == b':');
    let split = port.and_then(|at| host.split_at_checked(at));
    let name = split.filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    match name {
        [b'[', inner @ .., b']'] => inner,
        _ => name,
    }
}

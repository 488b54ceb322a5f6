//! Paths of secrets, which upstream reads as URLs: `secret/my%20app?version=3`.

use crate::words::quoted;

/// What counts of a URL. Scheme, host and fragment are dropped, as upstream drops them.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Url {
    /// Decoded.
    pub(crate) path: String,
    /// Encoded anew, sorted by key.
    pub(crate) query: String,
}

/// Go's `url.Parse`.
///
/// # Errors
/// Go's words.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let whole = text.split('#').next().unwrap_or_default();
    parts(whole).map_err(|why| format!("parse {}: {why}", quoted(whole)))
}

fn parts(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (scheme, rest) = scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match rest.strip_prefix("//") {
        _ if scheme && !rest.starts_with('/') => "",
        Some(authority) if scheme => authority.find('/').map_or("", |at| &authority[at..]),
        _ => rest,
    };
    if !scheme && !rest.starts_with('/') && rest.split('/').next().unwrap_or_default().contains(':') {
        return Err("first path segment in URL cannot contain colon".to_owned());
    }
    Ok(Url { path: unescape(path, false)?, query: sorted(query) })
}

/// Whether it begins with a scheme, and what is behind that.
fn scheme(text: &str) -> Result<(bool, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((true, text.get(at + 1..).unwrap_or_default())),
            _ => break,
        }
    }
    Ok((false, text))
}

/// `%41` decoded, and in queries `+`.
fn unescape(text: &str, in_query: bool) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'%' => {
                let digit = |nth: usize| char::from(*behind.get(nth)?).to_digit(16);
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    let bad = String::from_utf8_lossy(behind.get(..2).unwrap_or(behind)).into_owned();
                    return Err(format!("invalid URL escape {}", quoted(&format!("%{bad}"))));
                };
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = behind.get(2..).unwrap_or_default();
            }
            b'+' if in_query => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A query without its faulty parts, sorted by key.
fn sorted(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key, true).ok()?, unescape(value, true).ok()?))
        })
        .collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let encoded = pairs.iter().map(|(key, value)| format!("{}={}", escape(key, ""), escape(value, "")));
    encoded.collect::<Vec<_>>().join("&").replace("%20", "+")
}

/// A path as it goes on the wire.
pub(crate) fn escape_path(path: &str) -> String {
    escape(path, "$&+,/:;=@")
}

fn escape(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric() || "-_.~".contains(character) || kept.contains(character) {
            out.push(character);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, path, query) in [
            ("secret/app", "secret/app", ""),
            ("kv/a%20b", "kv/a b", ""),
            ("kv/a b+c", "kv/a b+c", ""),
            ("secret/app?version=3", "secret/app", "version=3"),
            ("kv/app?b=2&a=1&a=0&c;d=3&e=%zz&f", "kv/app", "a=1&a=0&b=2&f="),
            ("kv/app?a=x+y%2Fz", "kv/app", "a=x+y%2Fz"),
            ("kv/app#fragment?a=b", "kv/app", ""),
            ("https://host:8200/kv/app", "/kv/app", ""),
            ("mailto:x", "", ""),
            ("a/b:c", "a/b:c", ""),
        ] {
            assert_eq!(parse(text), Ok(Url { path: path.into(), query: query.into() }), "{text}");
        }
        for (text, why) in [
            ("a%zz", r#"parse "a%zz": invalid URL escape "%zz""#),
            ("a%4", r#"parse "a%4": invalid URL escape "%4""#),
            ("a b:c", r#"parse "a b:c": first path segment in URL cannot contain colon"#),
            ("1a:b", r#"parse "1a:b": first path segment in URL cannot contain colon"#),
            (":x", r#"parse ":x": missing protocol scheme"#),
            ("a\nb", r#"parse "a\nb": net/url: invalid control character in URL"#),
        ] {
            assert_eq!(parse(text).unwrap_err(), why);
        }
    }

    #[test]
    fn what_a_path_cannot_carry_is_escaped() {
        assert_eq!(escape_path("kv/a b?c%d=e:@$&+,;é*"), "kv/a%20b%3Fc%25d=e:@$&+,;%C3%A9%2A");
    }
}

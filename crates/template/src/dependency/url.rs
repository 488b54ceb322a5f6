//! Paths of secrets, which upstream reads as URLs: `secret/my%20app?version=3`.

use functions::go::url::{self, Part, escaped, unescaped};

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
    let url = url::parse(text.as_bytes())?;
    Ok(Url { path: lossy(&url.path), query: lossy(&sorted(&url.query)) })
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// A query without its faulty parts, sorted by key.
fn sorted(query: &[u8]) -> Vec<u8> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty() && !pair.contains(&b';'))
        .filter_map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let mut part = || unescaped(parts.next().unwrap_or_default(), Part::Query).ok();
            Some((part()?, part()?))
        })
        .collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let pair = |(key, value)| [escaped(key, Part::Query), escaped(value, Part::Query)].join(&b'=');
    pairs.iter().map(|(key, value)| pair((key, value))).collect::<Vec<_>>().join(&b'&')
}

/// A path as it goes on the wire.
pub fn escape_path(path: &str) -> String {
    lossy(&escaped(path.as_bytes(), Part::Path))
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
            ("*", "*", ""),
            ("//host/kv/app", "/kv/app", ""),
        ] {
            assert_eq!(parse(text), Ok(Url { path: path.into(), query: query.into() }), "{text}");
        }
        for (text, why) in [
            ("a%zz", r#"parse "a%zz": invalid URL escape "%zz""#),
            ("a%4", r#"parse "a%4": invalid URL escape "%4""#),
            ("a b:c", r#"parse "a b:c": first path segment in URL cannot contain colon"#),
            ("1a:b", r#"parse "1a:b": first path segment in URL cannot contain colon"#),
            ("a#%zz", r#"parse "a#%zz": invalid URL escape "%zz""#),
            ("http://h:p/a", r#"parse "http://h:p/a": invalid port ":p" after host"#),
            ("http://u ser@h/a", r#"parse "http://u ser@h/a": net/url: invalid userinfo"#),
            ("http://[::1/a", r#"parse "http://[::1/a": missing ']' in host"#),
            ("//a b/c", r#"parse "//a b/c": invalid character " " in host name"#),
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

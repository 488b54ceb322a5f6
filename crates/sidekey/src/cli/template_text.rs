//! Template text that names a secret and a field, whatever characters stand in them.

use std::fmt::Write as _;

/// A text of a template: in quotes, escaped as Go reads it. `${` does not appear in it, for HCL has a meaning for it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '$' | '%' if chars.peek() == Some(&'{') => {
                let _ = write!(out, "\\x{:02x}", u32::from(char));
            }
            char if char.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// `secret "PATH"`. A template reads its path as a URL; here it is a path and nothing else.
pub(super) fn secret(path: &str, version: Option<u64>) -> String {
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
    format!("secret {}", quoted(&format!("{path}{query}")))
}

/// Where the fields of a secret are.
pub(super) fn data(versioned: bool) -> &'static str {
    if versioned { ".Data.data" } else { ".Data" }
}

/// A field by its key. As `.Data.key` where Go can read it so: then a key that vanishes is noticed.
pub(super) fn field(versioned: bool, key: &str) -> String {
    let data = data(versioned);
    let first = key.chars().next().is_some_and(|char| char == '_' || char.is_alphabetic());
    if first && key.chars().all(|char| char == '_' || char.is_alphanumeric()) {
        format!("{data}.{key}")
    } else {
        format!("index {data} {}", quoted(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_can_be_named() {
        for (key, want) in [
            ("user", ".Data.data.user"),
            ("_9x", ".Data.data._9x"),
            ("é", ".Data.data.é"),
            ("b-c", r#"index .Data.data "b-c""#),
            ("9x", r#"index .Data.data "9x""#),
            ("a.b", r#"index .Data.data "a.b""#),
            ("", r#"index .Data.data """#),
            ("a\"b\\\n${x}", r#"index .Data.data "a\"b\\\x0a\x24{x}""#),
        ] {
            assert_eq!(field(true, key), want);
        }
        assert_eq!(field(false, "user"), ".Data.user");
        assert_eq!(secret("kv/a?b#c%", Some(2)), r#"secret "kv/a%3Fb%23c%25?version=2""#);
    }
}

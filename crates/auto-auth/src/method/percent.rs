//! Percent encoding, as forms and signatures want it.

use std::fmt::Write as _;

/// All but letters, digits and `-_.~` as `%XX`: RFC 3986, section 2.3.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `name=value` pairs, joined by `&`.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_only_the_unreserved() {
        assert_eq!(form(&[("a b", "x+/=~*é")]), "a%20b=x%2B%2F%3D~%2A%C3%A9");
    }
}

//! Percent encoding (RFC 3986): values of forms and queries, and pieces of paths.

use std::fmt::Write as _;

use super::LoginError;

/// All but letters, digits and `-_.~` as `%XX` (section 2.3), as forms, queries and signatures want it.
pub(super) fn encoded(text: &str) -> String {
    escaped(text, b"-_.~")
}

/// `name=value` pairs, joined by `&`: a form or a query.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// One piece of a path: whatever the text holds must not end it, begin a query or lead elsewhere. `what` names it in
/// the error: `username`.
///
/// # Errors
/// It is empty, `.` or `..`. The last two stand for other places however they are written (section 5.2.4), so that
/// the credential would be sent there.
pub(super) fn segment(what: &str, text: &str) -> Result<String, LoginError> {
    if matches!(text, "" | "." | "..") {
        return Err(LoginError::NoCredentials(format!("the {what} {text:?} cannot stand in a path")));
    }
    // What a path allows besides, and upstream leaves as it is.
    Ok(escaped(text, b"-_.~@"))
}

fn escaped(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_leave_only_the_unreserved() {
        assert_eq!(form(&[("a b", "x+/=~*é@")]), "a%20b=x%2B%2F%3D~%2A%C3%A9%40");
        assert_eq!(form(&[("a", "x y&z=1"), ("b", "")]), "a=x%20y%26z%3D1&b=");
    }

    #[test]
    fn a_name_is_one_piece_of_a_path_or_refused() {
        for (name, path) in [
            ("ann.b@example.org", "ann.b@example.org"),
            ("a b", "a%20b"),
            ("../../sys/x?y#z", "..%2F..%2Fsys%2Fx%3Fy%23z"),
            ("...", "..."),
            ("CORP\\ann", "CORP%5Cann"),
            ("%2e%2e", "%252e%252e"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(segment("username", name).unwrap(), path);
        }
        for name in ["", ".", ".."] {
            let error = segment("username", name).unwrap_err().to_string();
            assert_eq!(error, format!("the username {name:?} cannot stand in a path"));
        }
    }
}

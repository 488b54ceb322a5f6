//! JSON Web Tokens: signed by us to say who we are (RFC 7523), and looked at when they come from others.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::rsa::{KeyProblem, RsaKey};

/// The longest token that is sent on, in bytes: as much as a credential file may hold.
const MAX_TOKEN: usize = atomic_file::MAX_SMALL_FILE;

/// Signs claims with RS256. `header` is added to `alg` and `typ`.
///
/// # Errors
/// The key cannot sign.
pub(super) fn sign(key: &RsaKey, header: &[(&str, Value)], claims: &Value) -> Result<String, KeyProblem> {
    let mut head = serde_json::Map::new();
    head.insert("alg".to_owned(), "RS256".into());
    head.insert("typ".to_owned(), "JWT".into());
    head.extend(header.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(Value::Object(head).to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", encode(&signature)))
}

/// Whether a text has the form of a signed token. An error page has not.
pub(super) fn is_token(text: &str) -> bool {
    let of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let parts = text.split('.').filter(|part| !part.is_empty()).count();
    text.len() <= MAX_TOKEN && parts == 3 && text.split('.').count() == 3 && text.chars().all(of_token)
}

/// When a token ends, as it says itself; nobody checked its signature.
pub(super) fn expires_at(token: &str) -> Option<SystemTime> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let seconds = claims.get("exp")?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
    UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds))
}

/// Seconds since 1970, `later` from now.
pub(super) fn unix_time(later: Duration) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(later).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_have_a_tokens_form() {
        assert!(is_token("eyJh.eyJz-_.c2ln"));
        let long = format!("a.b.{}", "c".repeat(MAX_TOKEN));
        for text in ["", "a.b", "a.b.", "a..b", "a.b.c.d", "<html>a.b.c</html>", "a.b.c\n", long.as_str()] {
            assert!(!is_token(text), "{}", text.len());
        }
    }

    #[test]
    fn the_end_is_read_and_nonsense_has_none() {
        let token = |claims: &str| format!("x.{}.y", BASE64_URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(expires_at(&token("{\"exp\":90}")), Some(UNIX_EPOCH + Duration::from_secs(90)));
        for claims in
            ["", "[]", "{}", "{\"exp\":\"90\"}", "{\"exp\":-1}", "{\"exp\":1e300}", "{\"exp\":null}"]
        {
            assert_eq!(expires_at(&token(claims)), None, "{claims}");
        }
        assert_eq!(expires_at("x"), None);
    }
}

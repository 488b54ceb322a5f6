//! A key bound to a Kubernetes service account. Its tokens change every hour; who it is does not. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use vault::SecretString;

use super::seal::KeyMaterial;

/// Key material of the service account that `token` is of, and of `secret` where the operator gives one.
///
/// Without a secret it tells one account's file from another's, and hides nothing from those who know the account's
/// name. A token that is no JWT stands for itself.
pub fn service_account_key(token: &SecretString, secret: Option<KeyMaterial>) -> KeyMaterial {
    let token = token.expose().trim();
    let identity = identity(token).unwrap_or_else(|| vec![token.to_owned()]);
    let mut material = b"kubernetes service account".to_vec();
    for part in identity.iter().map(String::as_bytes).chain(secret.iter().map(KeyMaterial::bytes)) {
        material.extend_from_slice(&(part.len() as u64).to_le_bytes());
        material.extend_from_slice(part);
    }
    KeyMaterial::key(material)
}

/// Issuer, namespace and name.
fn identity(token: &str) -> Option<Vec<String>> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let of = |namespace, name| Some((text(namespace)?, text(name)?));
    let (namespace, name) = of(
        claims.pointer("/kubernetes.io/namespace").unwrap_or(&Value::Null),
        claims.pointer("/kubernetes.io/serviceaccount/name").unwrap_or(&Value::Null),
    )
    // Tokens of secrets, as they were before they had an end.
    .or_else(|| {
        of(
            &claims["kubernetes.io/serviceaccount/namespace"],
            &claims["kubernetes.io/serviceaccount/service-account.name"],
        )
    })?;
    Some(vec![text(&claims["iss"])?, namespace, name])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::disk::seal::KeyKey;

    fn token(claims: &Value) -> SecretString {
        format!("{}.{}.sig", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims.to_string())).into()
    }

    fn projected(name: &str, exp: u64) -> SecretString {
        token(&json!({"iss": "https://k", "exp": exp, "jti": exp.to_string(), "kubernetes.io": {
            "namespace": "ns", "pod": {"name": "p"}, "serviceaccount": {"name": name, "uid": "u"}}}))
    }

    #[test]
    fn a_rotated_token_is_the_same_account_and_another_account_is_not() {
        let print = |token: &SecretString, secret: Option<&[u8]>| {
            let secret = secret.map(|secret| KeyMaterial::key(secret.to_vec()));
            KeyKey::new(&service_account_key(token, secret), b"salt", 0).fingerprint().unwrap()
        };
        let first = print(&projected("app", 1), None);
        assert_eq!(print(&projected("app", 2), None), first);
        assert_ne!(print(&projected("other", 1), None), first);
        assert_ne!(print(&projected("app", 1), Some(b"0123456789abcdef")), first);
        let legacy = |name: &str, salt: u8| {
            token(
                &json!({"iss": "kubernetes/serviceaccount", "n": salt, "kubernetes.io/serviceaccount/namespace": "ns",
                "kubernetes.io/serviceaccount/service-account.name": name}),
            )
        };
        assert_eq!(print(&legacy("app", 1), None), print(&legacy("app", 2), None));
        assert_ne!(print(&legacy("app", 1), None), print(&legacy("b", 1), None));
        // No JWT, or one of somebody else.
        assert_ne!(print(&"opaque".into(), None), print(&"other".into(), None));
        assert_eq!(print(&"opaque\n".into(), None), print(&"opaque".into(), None));
        assert_ne!(print(&"a.b.c".into(), None), print(&"a.b.d".into(), None));
    }
}

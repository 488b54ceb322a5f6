//! Alibaba Cloud's RPC signature, version 1.0, of a `POST` whose parameters stand in its query.
//!
//! The rules are those of "Request signatures" in the documentation of its RPC APIs.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use vault::SecretString;

use crate::method::LoginError;
use crate::method::instance::TemporaryKeys;
use crate::method::percent::{encoded, form};
use crate::method::rsa::RsaKey;

/// What signs a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    /// Beside temporary keys.
    pub(super) token: Option<SecretString>,
    /// None for keys that last.
    pub(super) expires: Option<Timestamp>,
}

/// How it signs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Secret {
    /// HMAC-SHA1 with an access key's secret.
    AccessKey(SecretString),
    /// RSA with SHA-256 and a private key: base64 of PKCS#8, or PEM.
    PrivateKey(SecretString),
}

impl Keys {
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl From<TemporaryKeys> for Keys {
    fn from(keys: TemporaryKeys) -> Self {
        let TemporaryKeys { id, secret, token, expires } = keys;
        Self { id, secret: Secret::AccessKey(secret), token, expires }
    }
}

/// `/?…` with the parameters given, those every request to STS has, and the signature.
pub(super) fn signed_target(
    question: &[(&str, &str)],
    keys: &Keys,
    now: Timestamp,
) -> Result<String, LoginError> {
    let mut bytes = [0; 16];
    let failed =
        |_| LoginError::NoCredentials("the system gives no random numbers for a signature".to_owned());
    rand::fill(&mut bytes).map_err(failed)?;
    let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    target(question, keys, &time, &nonce)
}

fn target(question: &[(&str, &str)], keys: &Keys, time: &str, nonce: &str) -> Result<String, LoginError> {
    let mut parameters = vec![
        ("AccessKeyId", keys.id.as_str()),
        ("Format", "JSON"),
        ("SignatureNonce", nonce),
        ("SignatureVersion", "1.0"),
        ("Timestamp", time),
        ("Version", "2015-04-01"),
    ];
    match &keys.secret {
        Secret::AccessKey(_) => parameters.push(("SignatureMethod", "HMAC-SHA1")),
        Secret::PrivateKey(_) => {
            parameters.extend([("SignatureMethod", "SHA256withRSA"), ("SignatureType", "PRIVATEKEY")]);
        }
    }
    if let Some(token) = &keys.token {
        parameters.push(("SecurityToken", token.expose()));
    }
    parameters.extend_from_slice(question);
    parameters.sort_unstable();
    let query = form(&parameters);
    let to_sign = format!("POST&%2F&{}", encoded(&query));
    let signature = sign(&keys.secret, to_sign.as_bytes())?;
    Ok(format!("/?{query}&Signature={}", encoded(&signature)))
}

fn sign(secret: &Secret, to_sign: &[u8]) -> Result<String, LoginError> {
    match secret {
        Secret::AccessKey(secret) => {
            let secret = SecretString::from(format!("{}&", secret.expose()));
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes());
            Ok(STANDARD.encode(hmac::sign(&key, to_sign)))
        }
        Secret::PrivateKey(text) => {
            let text = text.expose().trim();
            let key = if text.starts_with("-----") {
                RsaKey::from_pem(text)
            } else {
                let joined: String = text.split_ascii_whitespace().collect();
                STANDARD
                    .decode(joined)
                    .map_err(|_| "it is neither base64 nor PEM")
                    .and_then(|der| RsaKey::from_pkcs8(&der))
            };
            key.and_then(|key| key.sign(to_sign)).map(|signature| STANDARD.encode(signature)).map_err(
                |reason| LoginError::NoCredentials(format!("the private key cannot be used: {reason}")),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` and `urllib` after the documentation, apart from this code; `aliyunsdkcore`
    /// gives the same.
    #[test]
    fn signs_as_the_documentation_says() {
        let keys = Keys {
            id: "testid".into(),
            secret: Secret::AccessKey("testsecret".into()),
            token: Some("tok+en/=*~ x".into()),
            expires: None,
        };
        let question = [("Action", "GetCallerIdentity"), ("RegionId", "cn-hangzhou")];
        let target = target(&question, &keys, "2026-01-02T03:04:05Z", "n0nce").unwrap();
        assert_eq!(target, include_str!("signed_target.txt").trim());
    }
}

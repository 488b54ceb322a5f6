//! The service of Oracle that changes an instance's certificate into a token.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, Method, header};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::outside::{FAR, Outside};
use super::super::rsa::RsaKey;
use super::super::{LoginError, assertion, oauth};
use super::instance::{Identity, Session};
use super::signature::Signer;

/// A token that does not say when it ends is taken for this long; Oracle's live 20 minutes.
const UNTOLD_LIFETIME: Duration = Duration::from_secs(300);

const PATH: &str = "/v1/x509";

/// Asks for a session with the instance's certificate.
///
/// # Errors
/// Certificate or key cannot be used, or the service does not take them.
pub(super) async fn session(identity: &Identity) -> Result<Session, LoginError> {
    let leaf = certificate(&identity.certificate)?;
    let intermediate = certificate(&identity.intermediate)?;
    let tenancy = tenancy(&leaf)?;
    let leaf_key = RsaKey::from_pem(identity.key.expose()).map_err(|why| unusable("key", why))?;
    let fingerprint = fingerprint(&digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf.as_ref()));
    let key = RsaKey::generate().await.map_err(|why| unusable("session key", why))?;
    let public = key.public_der().map_err(|why| unusable("session key", why))?;
    let body = json!({
        "certificate": BASE64_STANDARD.encode(&leaf),
        "publicKey": BASE64_STANDARD.encode(public),
        "intermediateCertificates": [BASE64_STANDARD.encode(&intermediate)],
    })
    .to_string();

    let date = httpdate::fmt_http_date(SystemTime::now());
    let sha256 = BASE64_STANDARD.encode(digest(&SHA256, body.as_bytes()));
    let signer = Signer { key_id: &format!("{tenancy}/fed-x509/{fingerprint}"), key: &leaf_key };
    // The path as it goes out: a gateway may have put its own before it.
    let (base, prefix) = oauth::split_url(&identity.endpoint);
    let target = format!("{}{PATH}", prefix.trim_end_matches('/'));
    let authorization = signer
        .authorization(&[
            ("date", &date),
            ("(request-target)", &format!("post {target}")),
            ("content-length", &body.len().to_string()),
            ("content-type", "application/json"),
            ("x-content-sha256", &sha256),
        ])
        .map_err(|why| unusable("key", why))?;
    let headers = [
        (header::DATE, date.as_str()),
        (header::CONTENT_TYPE, "application/json"),
        (HeaderName::from_static("x-content-sha256"), &sha256),
        (header::AUTHORIZATION, &authorization),
    ];
    let service = Outside::new("federation endpoint", base, FAR)?;
    let answer = service.send(Method::POST, &target, &headers, Bytes::from(body)).await?;
    let token = oauth::token(&service, &target, &answer, "token")?;
    let expires_at = assertion::expires_at(token.expose());
    let expires_at = expires_at.unwrap_or_else(|| SystemTime::now() + UNTOLD_LIFETIME);
    Ok(Session { key_id: format!("ST${}", token.expose()).into(), key, expires_at })
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, LoginError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| unusable("certificate", "it is no certificate in PEM"))
}

/// The tenancy that the certificate's subject names.
fn tenancy(certificate: &CertificateDer<'_>) -> Result<String, LoginError> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Err(unusable("certificate", "it cannot be read"));
    };
    let subject = || parsed.subject().iter_attributes().filter_map(|attribute| attribute.as_str().ok());
    // The second is what the certificates of some services say instead.
    let named = |prefix: &str| subject().find_map(|text| text.strip_prefix(prefix).map(str::to_owned));
    let of_id = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let tenancy = named("opc-tenant:").or_else(|| named("opc-identity:")).filter(of_id);
    tenancy.ok_or_else(|| unusable("certificate", "its subject names no tenancy"))
}

/// `aa:bb:…`.
fn fingerprint(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn unusable(what: &str, why: &str) -> LoginError {
    LoginError::NoCredentials(format!("the {what} of this instance of Oracle Cloud: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::loopback::{Do, Loopback};
    use super::*;

    fn certificate_of(unit: &str) -> rcgen::Certificate {
        let mut wish = rcgen::CertificateParams::default();
        wish.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, unit);
        wish.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_gateways_path_is_asked_and_signed_and_a_jwt_comes_back() {
        let pem = include_str!("../testdata/rsa-pkcs8.pem");
        let certificate = certificate_of("opc-tenant:t").pem();
        for (prefix, target, token) in [
            ("", "/v1/x509", "a.b.c"),
            ("/gateway/", "/gateway/v1/x509", "a.b.c"),
            ("", "/v1/x509", "<html>CANARY</html>"),
        ] {
            let service =
                Loopback::start(move |_| Do::Answer(200, json!({"token": token}).to_string())).await;
            let identity = Identity {
                certificate: certificate.clone(),
                key: pem.into(),
                intermediate: certificate.clone(),
                endpoint: format!("{}{prefix}", service.address),
            };
            let done = session(&identity).await.map(|session| session.key_id.expose().to_owned());
            let asked = service.asked().pop().unwrap();
            assert_eq!(asked.line, format!("POST {target}"));
            // The same key signs the same text alike.
            let header = |name| asked.header(name).unwrap();
            let sent = header("authorization");
            let key_id = sent.split("keyId=\"").nth(1).unwrap().split('"').next().unwrap();
            let signer = Signer { key_id, key: &RsaKey::from_pem(pem).unwrap() };
            let request = format!("post {target}");
            let signed = [
                ("date", header("date")),
                ("(request-target)", &request),
                ("content-length", header("content-length")),
                ("content-type", header("content-type")),
                ("x-content-sha256", header("x-content-sha256")),
            ];
            assert_eq!(sent, signer.authorization(&signed).unwrap());
            match done {
                Ok(key_id) => assert!(token == "a.b.c" && key_id == "ST$a.b.c", "{key_id}"),
                Err(error) => {
                    let place = format!("federation endpoint at {}{target}", service.address);
                    let why = "the answer's token is no signed JWT";
                    assert_eq!(error.to_string(), format!("{place}: {why}"));
                    assert_ne!(token, "a.b.c");
                }
            }
        }
    }

    #[test]
    fn a_tenancy_is_a_name_and_nothing_that_leads_elsewhere() {
        for (unit, good) in [
            ("opc-tenant:ocid1.tenancy.oc1..aaaa", true),
            ("opc-identity:ocid1.tenancy.oc1..aaaa", true),
            ("opc-tenant:a/b", false),
            ("opc-tenant:a\" b", false),
            ("ocid1.tenancy.oc1..aaaa", false),
        ] {
            match tenancy(certificate_of(unit).der()) {
                Ok(tenancy) => assert!(good && tenancy == "ocid1.tenancy.oc1..aaaa", "{unit}: {tenancy}"),
                Err(error) => {
                    assert!(!good, "{error}");
                    assert!(error.to_string().ends_with("its subject names no tenancy"), "{error}");
                }
            }
        }
    }
}

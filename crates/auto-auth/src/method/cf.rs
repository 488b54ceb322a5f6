//! `cf`, once called `pcf`: the certificate that Cloud Foundry gives each instance, and a signature by its key.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaPssSaltLength, RsaSignatureEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::Environment;
use jiff::Timestamp;
use serde_json::json;
use vault::{BoxFuture, SecretString};

use super::credential::warn_if_world_readable;
use super::rsa::RsaKey;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

const CERTIFICATE: &str = "CF_INSTANCE_CERT";
const KEY: &str = "CF_INSTANCE_KEY";

/// Certificates are replaced once a day; one that was is looked for so often.
const LOOK: Duration = Duration::from_secs(60);

/// PSS with the longest salt, 222 bytes for a key of 2048 bits: what upstream sends. The server finds the length out.
static ENCODING: RsaSignatureEncoding = RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

/// The role, and the certificate of the last login.
pub(super) struct Cf {
    role: String,
    last: Option<Seen>,
}

struct Seen {
    certificate: String,
    files: Vec<PathBuf>,
}

/// The files of an instance, read.
struct Papers {
    certificate: String,
    key: RsaKey,
}

impl Cf {
    pub(super) fn new(keys: &config::Cf) -> Self {
        Self { role: keys.role.clone(), last: None }
    }

    fn attempt(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let Papers { certificate, key } = papers(scene.environment)?;
        let signing_time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let signed = format!("{signing_time}{certificate}{}", self.role);
        let signature = key
            .sign_as(&ENCODING, signed.as_bytes())
            .map_err(|reason| refused(KEY, scene.environment, reason))?;
        let body = json!({
            "role": self.role,
            "cf_instance_cert": certificate,
            "signing_time": signing_time,
            "signature": format!("v1:{}", STANDARD.encode(signature)),
        });
        let files =
            [CERTIFICATE, KEY].iter().filter_map(|name| scene.environment.exact(name)).map(PathBuf::from);
        self.last = Some(Seen { certificate, files: files.collect() });
        Ok(Attempt::login(scene.mount, body))
    }
}

impl Method for Cf {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(std::future::ready(self.attempt(scene)))
    }

    fn watch(&self) -> Option<Watch> {
        let files = self.last.as_ref().map(|seen| seen.files.clone()).unwrap_or_default();
        Some(Watch { every: LOOK, files })
    }

    fn has_new_credentials<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        // A pair that cannot be used, as while it is being replaced, is no news.
        let news = papers(scene.environment)
            .is_ok_and(|papers| self.last.as_ref().is_none_or(|seen| seen.certificate != papers.certificate));
        Box::pin(std::future::ready(news))
    }
}

fn papers(environment: &Environment) -> Result<Papers, LoginError> {
    let certificate = String::from_utf8(read(CERTIFICATE, environment)?)
        .map_err(|_| refused(CERTIFICATE, environment, "it is not text"))?;
    if !certificate.contains("-----BEGIN CERTIFICATE-----") {
        return Err(refused(CERTIFICATE, environment, "it holds no certificate in PEM"));
    }
    let pem = read(KEY, environment)?;
    // Wiped when done.
    let pem = SecretString::from(
        String::from_utf8(pem).map_err(|_| refused(KEY, environment, "it holds no private key in PEM"))?,
    );
    let path = environment.exact(KEY).unwrap_or_default();
    warn_if_world_readable(KEY, path.as_ref());
    let key = RsaKey::from_pem(pem.expose()).map_err(|reason| refused(KEY, environment, reason))?;
    Ok(Papers { certificate, key })
}

/// The file a variable names.
fn read(variable: &'static str, environment: &Environment) -> Result<Vec<u8>, LoginError> {
    let path = environment.exact(variable).filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| LoginError::NoCredentials(format!("missing {variable:?} value")))?;
    atomic_file::read_small(path.as_ref()).map_err(|error| refused(variable, environment, error.reason()))
}

fn refused(variable: &'static str, environment: &Environment, reason: impl Into<String>) -> LoginError {
    let path = environment.exact(variable).unwrap_or_default().to_owned();
    LoginError::Credential { what: variable, path, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey};

    use rustls::pki_types::pem::PemObject as _;

    use super::super::loopback::{news, prepared};
    use super::*;

    // Made by openssl genrsa, the second the same key in PKCS#8.
    const PKCS1: &str = include_str!("testdata/rsa-pkcs1.pem");
    const PKCS8: &str = include_str!("testdata/rsa-pkcs8.pem");
    const PUBLIC: &str = include_str!("testdata/rsa-public.pem");
    const CERTIFICATE_TEXT: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\n";

    static LONGEST_SALT: RsaParameters = RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(certificate: &str, key: &str) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.put("cert", certificate);
            folder.put("key", key);
            folder
        }

        fn put(&self, name: &str, text: &str) {
            let attributes = atomic_file::Attributes::new(0o600);
            atomic_file::write(&self.0.path().join(name), text.as_bytes(), &attributes).unwrap();
        }

        async fn login(&self) -> Result<(String, serde_json::Value), LoginError> {
            let mut method = Cf::new(&config::Cf { role: "r".into() });
            let path = |name| self.0.path().join(name).display().to_string();
            let (cert, key) = (path("cert"), path("key"));
            prepared(&mut method, &[(CERTIFICATE, &cert), (KEY, &key)]).await
        }
    }

    #[tokio::test]
    async fn signs_time_certificate_and_role_with_either_kind_of_key() {
        let public = rustls::pki_types::SubjectPublicKeyInfoDer::from_pem_slice(PUBLIC.as_bytes()).unwrap();
        for key in [PKCS1, PKCS8] {
            let (path, body) = Folder::with(CERTIFICATE_TEXT, key).login().await.unwrap();
            assert_eq!(path, "auth/here/login");
            assert_eq!(body["cf_instance_cert"], CERTIFICATE_TEXT);
            let time = body["signing_time"].as_str().unwrap();
            assert_eq!(time.len(), "2026-01-02T03:04:05Z".len());
            let signature = body["signature"].as_str().unwrap().strip_prefix("v1:").unwrap();
            let signature = STANDARD.decode(signature).unwrap();
            let key = UnparsedPublicKey::new(&LONGEST_SALT, public.as_ref());
            key.verify(format!("{time}{CERTIFICATE_TEXT}r").as_bytes(), &signature).unwrap();
        }
    }

    #[tokio::test]
    async fn says_what_is_wrong_with_files_and_shows_nothing_of_them() {
        let elliptic = include_str!("testdata/ec.pem");
        for (certificate, key, reason) in [
            ("", PKCS1, "it holds no certificate in PEM"),
            ("<html>", PKCS1, "it holds no certificate in PEM"),
            (CERTIFICATE_TEXT, "", "it holds no private key in PEM"),
            (CERTIFICATE_TEXT, "-----BEGIN RSA PRIVATE KEY-----\nMIIE", "it holds no private key in PEM"),
            (CERTIFICATE_TEXT, elliptic, "its private key is no RSA key"),
            (
                CERTIFICATE_TEXT,
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE",
                "its private key is encrypted; decrypt it",
            ),
            (
                CERTIFICATE_TEXT,
                "-----BEGIN RSA PRIVATE KEY-----\nTUlJRQ==\n-----END RSA PRIVATE KEY-----\n",
                "its private key is no RSA key of at least 2048 bits",
            ),
        ] {
            let error = Folder::with(certificate, key).login().await.unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("CF_INSTANCE_"), "{error}");
            assert!(!error.contains("MIIE") && !error.contains("html"), "{error}");
        }
        let mut method = Cf::new(&config::Cf { role: "r".into() });
        let missing = prepared(&mut method, &[]).await.unwrap_err().to_string();
        assert_eq!(missing, "missing \"CF_INSTANCE_CERT\" value");
    }

    #[tokio::test]
    async fn a_new_certificate_is_news_and_half_a_one_is_not() {
        let folder = Folder::with(CERTIFICATE_TEXT, PKCS8);
        let path = |name| folder.0.path().join(name).display().to_string();
        let (cert, key) = (path("cert"), path("key"));
        let environment = [(CERTIFICATE, cert.as_str()), (KEY, key.as_str())];
        let mut method = Cf::new(&config::Cf { role: "r".into() });
        prepared(&mut method, &environment).await.unwrap();
        assert_eq!(method.watch().unwrap().files.len(), 2);
        assert!(!news(&mut method, &environment).await);
        folder.put("cert", "");
        assert!(!news(&mut method, &environment).await);
        folder.put("cert", &CERTIFICATE_TEXT.replace("MIIB", "MIIC"));
        assert!(news(&mut method, &environment).await);
    }
}

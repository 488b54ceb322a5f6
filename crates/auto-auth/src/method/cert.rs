//! `cert`: a TLS client certificate. The login itself says hardly more than the role's name.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::json;
use tracing::warn;
use vault::{BoxFuture, Client, ClientSettings, Pem, RetryPolicy, Roots, SecretString, Upstream};

use super::credential::warn_if_world_readable;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

/// Files of certificates are smaller than this, in bytes; a system's whole bundle has a quarter of it.
const MAX_PEM: usize = 1 << 20;

/// The files, and the connection made with them.
pub(super) struct Cert {
    keys: config::Cert,
    /// How the server is reached otherwise; `None` until somebody says.
    base: Option<ClientSettings>,
    own: Option<Own>,
    /// The files as they were last looked at.
    seen: Option<Fingerprint>,
}

/// A connection with what it was made from. Renewals use it until the next login: the server wants them to come with
/// the certificate of the login.
struct Own {
    client: Arc<Client>,
    made_from: Fingerprint,
}

type Fingerprint = Vec<u8>;

impl Cert {
    pub(super) fn new(keys: &config::Cert) -> Self {
        Self { keys: keys.clone(), base: None, own: None, seen: None }
    }

    /// Without files of its own the method speaks as everybody does, with the certificate of the `vault` stanza.
    fn has_files(&self) -> bool {
        self.keys.ca_cert.is_some() || self.keys.identity.is_some()
    }

    fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        if self.has_files() && (self.own.is_none() || self.keys.reload.is_some()) {
            match (self.load(), &self.own) {
                (Ok(own), _) => self.own = Some(own),
                // Files are mostly replaced one after the other, and do not fit in between.
                (Err(error), Some(_)) => {
                    warn!(target: "auth.handler", error = %error, "the certificate files cannot be used; those read before still serve");
                }
                (Err(error), None) => return Err(error),
            }
        }
        let body = self.keys.name.as_ref().map_or_else(|| json!({}), |name| json!({"name": name}));
        Ok(Attempt::login(scene.mount, body))
    }

    /// Reads the files and makes a connection from them.
    fn load(&mut self) -> Result<Own, LoginError> {
        let made_from = self.fingerprint()?;
        self.seen = Some(made_from.clone());
        if let Some(own) = &self.own
            && own.made_from == made_from
        {
            return Ok(Own { client: Arc::clone(&own.client), made_from });
        }
        let base = self.base.as_ref();
        let base =
            base.ok_or_else(|| LoginError::NoCredentials("the server's address is not known".to_owned()))?;
        let mut settings = ClientSettings { retry: RetryPolicy::Never, ..base.clone() };
        if let Some(ca_cert) = &self.keys.ca_cert {
            settings.tls.roots = Roots::File(ca_cert.clone());
        }
        if let Some((certificate, key)) = &self.keys.identity {
            settings.tls.identity = Some((Pem::File(certificate.clone()), Pem::File(key.clone())));
        }
        Ok(Own { client: Arc::new(Client::new(&settings)?), made_from })
    }

    /// Reads the files with care: they must be files, of PEM, and the key must not need a password.
    fn fingerprint(&mut self) -> Result<Fingerprint, LoginError> {
        let mut context = Context::new(&SHA256);
        let mut add = |what, path: &Path, kind: &str| {
            let text = read(what, path, kind)?;
            context.update(&text.expose().len().to_le_bytes());
            context.update(text.expose().as_bytes());
            Ok::<(), LoginError>(())
        };
        if let Some(path) = &self.keys.ca_cert {
            add("CA certificate", path, "CERTIFICATE")?;
        }
        if let Some((certificate, key)) = &self.keys.identity {
            add("client certificate", certificate, "CERTIFICATE")?;
            add("client key", key, "PRIVATE KEY")?;
            warn_if_world_readable("client key", key);
        }
        Ok(context.finish().as_ref().to_vec())
    }

    fn has_news(&mut self) -> bool {
        let before = self.seen.clone();
        let Ok(now) = self.fingerprint() else { return false };
        if before.as_ref() == Some(&now) {
            return false;
        }
        // A certificate whose key is still on its way is no news yet: the key will be.
        self.load().is_ok()
    }
}

impl Method for Cert {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(std::future::ready(self.prepare(scene)))
    }

    fn use_client(&mut self, settings: &ClientSettings) {
        self.base = Some(settings.clone());
    }

    fn server(&self) -> Option<Arc<dyn Upstream>> {
        self.own.as_ref().map(|own| Arc::clone(&own.client) as Arc<dyn Upstream>)
    }

    fn watch(&self) -> Option<Watch> {
        let every = self.keys.reload.filter(|_| self.has_files())?;
        let identity = self.keys.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        Some(Watch { every, files: self.keys.ca_cert.iter().chain(identity).cloned().collect() })
    }

    fn has_new_credentials<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(self.has_news()))
    }
}

/// A file of PEM that holds a `kind`.
fn read(what: &'static str, path: &Path, kind: &str) -> Result<SecretString, LoginError> {
    let refused = |reason: String| LoginError::Credential { what, path: path.display().to_string(), reason };
    let bytes = atomic_file::read_regular(path, MAX_PEM).map_err(|error| refused(error.reason()))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not text; PEM is needed".to_owned()))?;
    let text = SecretString::from(text);
    let has = |words: &str| text.expose().contains(words);
    if has("-----BEGIN ENCRYPTED") || has("Proc-Type: 4,ENCRYPTED") {
        return Err(refused(
            "it is encrypted, and there is nobody to ask for its password; decrypt it: openssl pkey -in FILE -out NEWFILE".to_owned(),
        ));
    }
    let begins = text.expose().lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(kind));
    let ends = text.expose().lines().any(|line| line.starts_with("-----END ") && line.contains(kind));
    match (text.expose().trim().is_empty(), begins, ends) {
        (true, ..) => Err(refused("it is empty".to_owned())),
        (_, false, _) => Err(refused(format!("it holds no PEM {}", kind.to_lowercase()))),
        (_, _, false) => Err(refused(format!("its PEM {} breaks off", kind.to_lowercase()))),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests;

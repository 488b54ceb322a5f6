//! TLS of listeners: what the files say, replaceable while we serve.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use config::{ListenerTls, TlsChoice};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::client_name::NamedClients;

/// Why a listener's TLS cannot be set up.
#[derive(Debug, Error)]
pub enum ListenerTlsError {
    /// A file cannot be read.
    #[error("error loading TLS cert: open {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing usable is in it.
    #[error("error loading TLS cert: {path} holds no PEM {what}")]
    Empty {
        /// Which file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// rustls refused it: the key does not fit the certificate, say.
    #[error("error loading TLS cert: {path}: {reason}")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Puts new files into a running listener: certificate, key and the CA of client certificates.
#[derive(Clone)]
pub struct CertificateReloader(Arc<Shared>);

struct Shared {
    settings: ListenerTls,
    current: ArcSwap<ServerConfig>,
    /// What the files looked like when they were last read.
    seen: Mutex<Vec<Look>>,
}

/// Time of change, size and inode; `None` for a file that is not there.
type Look = Option<(SystemTime, u64, u64)>;

impl CertificateReloader {
    /// Reads the files.
    pub(crate) fn new(settings: &ListenerTls) -> Result<Self, ListenerTlsError> {
        let seen = Mutex::new(look(settings));
        let current = ArcSwap::new(server_config(settings)?);
        Ok(Self(Arc::new(Shared { settings: settings.clone(), current, seen })))
    }

    /// Reads the files again; new connections go by them.
    ///
    /// # Errors
    /// A file that cannot be used; the old ones stay in service.
    pub fn reload(&self) -> Result<(), ListenerTlsError> {
        // Before they are read: what changes meanwhile is read once more.
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) = look(&self.0.settings);
        self.0.current.store(server_config(&self.0.settings)?);
        Ok(())
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current.load_full())
    }

    fn has_changed(&self) -> bool {
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) != look(&self.0.settings)
    }

    /// Looks after the files for as long as it is polled.
    pub(crate) async fn watch(self) {
        let Some(pause) = self.0.settings.reload else { return std::future::pending().await };
        let mut looks = interval(pause);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if !self.has_changed() {
                continue;
            }
            let path = self.0.settings.cert_file.display();
            match self.reload() {
                Ok(()) => {
                    info!(target: "listener", %path, "a listener's certificate has changed and is in service");
                }
                Err(error) => {
                    error!(target: "listener", error = %error, "a listener's certificate has changed and cannot be used, the old one stays");
                }
            }
        }
    }
}

fn look(settings: &ListenerTls) -> Vec<Look> {
    use std::os::unix::fs::MetadataExt as _;
    let files = [Some(&settings.cert_file), Some(&settings.key_file), settings.client_ca_file.as_ref()];
    let look = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    files.into_iter().flatten().map(look).collect()
}

/// Reads the files.
fn server_config(settings: &ListenerTls) -> Result<Arc<ServerConfig>, ListenerTlsError> {
    let refused = |path: &PathBuf, why: String| ListenerTlsError::Refused { path: path.clone(), reason: why };
    let key = certified_key(settings)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match (settings.only_tls12, settings.only_tls13) {
        (true, _) => &[&rustls::version::TLS12],
        (_, true) => &[&rustls::version::TLS13],
        _ => rustls::ALL_VERSIONS,
    };
    let provider = Arc::new(provider(&settings.choice));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| refused(&settings.cert_file, error.to_string()))?;
    let builder = match &settings.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| refused(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier =
                if settings.require_client_cert { verifier } else { verifier.allow_unauthenticated() };
            let verifier: Arc<dyn ClientCertVerifier> =
                verifier.build().map_err(|e| refused(path, e.to_string()))?;
            builder.with_client_cert_verifier(match settings.allowed_client_names.is_empty() {
                true => verifier,
                false => Arc::new(NamedClients::new(verifier, settings)),
            })
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if settings.client_ca_file.is_some() {
        // A resumed session is not asked for its certificate: one that has expired meanwhile, or whose CA is trusted
        // no more, would still come in.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// What is agreed on in a handshake. Suites of TLS 1.3 are all there, whatever was chosen.
fn provider(choice: &TlsChoice) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !choice.suites.is_empty() {
        provider.cipher_suites.retain(|suite| match suite {
            SupportedCipherSuite::Tls12(_) => {
                suite.suite().as_str().is_some_and(|name| choice.suites.contains(&name))
            }
            SupportedCipherSuite::Tls13(_) => true,
        });
    }
    if !choice.key_exchanges.is_empty() {
        let all = aws_lc_rs::ALL_KX_GROUPS.iter();
        let group = |name: &&str| all.clone().copied().find(|group| group.name().as_str() == Some(name));
        provider.kx_groups = choice.key_exchanges.iter().filter_map(group).collect();
    }
    provider
}

fn certified_key(settings: &ListenerTls) -> Result<CertifiedKey, ListenerTlsError> {
    let chain = certificates(&settings.cert_file)?;
    let pem = read(&settings.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| ListenerTlsError::Empty { path: settings.key_file.clone(), what: "private key" })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("it is not the key of the certificate in {}", settings.cert_file.display())
            }
            error => error.to_string(),
        };
        ListenerTlsError::Refused { path: settings.key_file.clone(), reason }
    })
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, ListenerTlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?).filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(ListenerTlsError::Empty { path: path.clone(), what: "certificate" });
    }
    Ok(found)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, ListenerTlsError> {
    std::fs::read(path).map_err(|source| ListenerTlsError::Read { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_that_may_be_chosen_is_spoken() {
        let all = TlsChoice::all();
        let provider = provider(&all);
        let is_older = |suite: &&SupportedCipherSuite| matches!(suite, SupportedCipherSuite::Tls12(_));
        assert_eq!(provider.cipher_suites.iter().filter(is_older).count(), all.suites.len());
        assert_eq!(provider.kx_groups.len(), all.key_exchanges.len());
    }
}

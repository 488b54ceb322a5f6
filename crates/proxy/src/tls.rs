//! Certificates of listeners, replaceable while we serve.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::ListenerTls;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

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

/// Puts new certificates into a running listener.
#[derive(Clone)]
pub struct CertificateReloader {
    settings: ListenerTls,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl CertificateReloader {
    /// Reads certificate and key again; new connections get them.
    ///
    /// # Errors
    /// A file that cannot be used; the old ones stay in service.
    pub fn reload(&self) -> Result<(), ListenerTlsError> {
        self.current.0.store(Arc::new(certified_key(&self.settings)?));
        Ok(())
    }
}

/// Reads the files.
pub(crate) fn server_config(
    settings: &ListenerTls,
) -> Result<(Arc<ServerConfig>, CertificateReloader), ListenerTlsError> {
    let refused = |path: &PathBuf, why: String| ListenerTlsError::Refused { path: path.clone(), reason: why };
    let current = Arc::new(Current(ArcSwap::from_pointee(certified_key(settings)?)));
    let versions: &[&rustls::SupportedProtocolVersion] = match (settings.only_tls12, settings.only_tls13) {
        (true, _) => &[&rustls::version::TLS12],
        (_, true) => &[&rustls::version::TLS13],
        _ => rustls::ALL_VERSIONS,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
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
            builder.with_client_cert_verifier(verifier.build().map_err(|e| refused(path, e.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(&current) as _);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), CertificateReloader { settings: settings.clone(), current }))
}

fn certified_key(settings: &ListenerTls) -> Result<CertifiedKey, ListenerTlsError> {
    let chain = certificates(&settings.cert_file)?;
    let pem = read(&settings.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| ListenerTlsError::Empty { path: settings.key_file.clone(), what: "private key" })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        ListenerTlsError::Refused { path: settings.key_file.clone(), reason: error.to_string() }
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

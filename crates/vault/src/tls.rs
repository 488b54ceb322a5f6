//! TLS towards the server. The one module that names a rustls provider for clients.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

/// Which certificates are trusted to sign the server's. A configured CA replaces the system's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Roots {
    /// The system's bundle, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[default]
    System,
    /// A file with one or more PEM certificates.
    File(PathBuf),
    /// PEM text, from `VAULT_CACERT_BYTES`.
    Bytes(Vec<u8>),
    /// Every file of a folder, those without certificates passed over.
    Folder(PathBuf),
}

/// PEM text, or where it lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pem {
    /// In a file, read anew for every reload.
    File(PathBuf),
    /// Given as it is.
    Bytes(Vec<u8>),
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verify {
    /// Always.
    #[default]
    Yes,
    /// `tls_skip_verify = true`: whoever answers is believed.
    Skip,
}

/// The TLS keys of the `vault` stanza.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsSettings {
    /// Whom to trust.
    pub roots: Roots,
    /// Client certificate chain and its key.
    pub identity: Option<(Pem, Pem)>,
    /// Name to verify the certificate against, if other than the address's host.
    pub server_name: Option<String>,
    /// Whether to verify at all.
    pub verify: Verify,
}

/// Why TLS could not be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing usable is in it.
    #[error("{path} holds no PEM {what}")]
    Empty {
        /// Which file, or what stands for it.
        path: String,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// rustls refused it.
    #[error("{path}: {source}")]
    Refused {
        /// Which file, or what stands for it.
        path: String,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The machine has no bundle.
    #[error("no trusted certificates found on this machine; set ca_cert or ca_path")]
    NoSystemRoots,
}

impl Pem {
    fn read(&self) -> Result<(Vec<u8>, String), TlsError> {
        match self {
            Self::Bytes(bytes) => Ok((bytes.clone(), "the given bytes".to_owned())),
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok((bytes, path.display().to_string())),
                Err(source) => Err(TlsError::Read { path: path.clone(), source }),
            },
        }
    }
}

impl TlsSettings {
    /// Reads the files and makes rustls' configuration.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing usable, and a key that does not fit its certificate.
    pub(crate) fn build(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Refused { path: "TLS".to_owned(), source })?;
        let builder = match self.verify {
            Verify::Yes => builder.with_root_certificates(self.root_store()?),
            Verify::Skip => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            }
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, _) = certificates(certificate)?;
                let (key_pem, path) = key.read()?;
                let key = PrivateKeyDer::from_pem_slice(&key_pem)
                    .map_err(|_| TlsError::Empty { path: path.clone(), what: "private key" })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|source| TlsError::Refused { path, source })?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn root_store(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Roots::System => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if store.is_empty() {
                    return Err(TlsError::NoSystemRoots);
                }
            }
            Roots::File(path) => add(&mut store, &Pem::File(path.clone()))?,
            Roots::Bytes(bytes) => add(&mut store, &Pem::Bytes(bytes.clone()))?,
            Roots::Folder(folder) => {
                for path in files(folder)? {
                    // Folders hold links and notes beside certificates, as for every other TLS program.
                    let _ = add(&mut store, &Pem::File(path));
                }
                if store.is_empty() {
                    return Err(TlsError::Empty { path: folder.display().to_string(), what: "certificate" });
                }
            }
        }
        Ok(store)
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let read = |source| TlsError::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(read)?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn certificates(pem: &Pem) -> Result<(Vec<CertificateDer<'static>>, String), TlsError> {
    let (bytes, path) = pem.read()?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect();
    if found.is_empty() { Err(TlsError::Empty { path, what: "certificate" }) } else { Ok((found, path)) }
}

fn add(store: &mut RootCertStore, pem: &Pem) -> Result<(), TlsError> {
    let (found, path) = certificates(pem)?;
    for certificate in found {
        store.add(certificate).map_err(|source| TlsError::Refused { path: path.clone(), source })?;
    }
    Ok(())
}

/// `tls_skip_verify`: signatures are checked, because nothing else would work, names and issuers are not.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_quantum_key_exchange_comes_first() {
        let groups: Vec<_> = aws_lc_rs::default_provider().kx_groups.iter().map(|g| g.name()).collect();
        assert_eq!(groups.first(), Some(&rustls::NamedGroup::X25519MLKEM768), "{groups:?}");
    }

    #[test]
    fn says_which_file_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |roots| TlsSettings { roots, ..TlsSettings::default() };
        let missing = settings(Roots::File("/nonexistent/ca.pem".into())).build().unwrap_err();
        assert!(missing.to_string().starts_with("cannot read /nonexistent/ca.pem"), "{missing}");
        let empty = settings(Roots::Folder(folder.path().into())).build().unwrap_err();
        assert!(empty.to_string().contains("holds no PEM certificate"), "{empty}");
    }
}

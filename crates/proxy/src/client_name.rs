//! What a client's certificate calls it, and whether such a client may come in.

use std::sync::Arc;

use config::{ListenerTls, Pattern};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The names in a certificate: those of its subject's alternative names that are URIs, hosts or mail addresses, then
/// the common name. None for one that cannot be read.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let mut names = alternatives(&certificate);
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    names.extend(common.map(str::to_owned));
    names
}

fn alternatives(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::URI(name) | GeneralName::RFC822Name(name) => names.push((*name).to_owned()),
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
                _ => {}
            }
        }
    }
    names
}

/// Verifies client certificates, and that they say one of some names.
#[derive(Debug)]
pub(crate) struct NamedClients {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<Pattern>,
    /// The common name is none of them.
    only_alternatives: bool,
}

impl NamedClients {
    pub(crate) fn new(inner: Arc<dyn ClientCertVerifier>, settings: &ListenerTls) -> Self {
        let names = settings.allowed_client_names.clone();
        Self { inner, names, only_alternatives: settings.only_alternative_names }
    }

    fn names_of(&self, certificate: &CertificateDer<'_>) -> Vec<String> {
        match self.only_alternatives {
            false => names(certificate),
            true => X509Certificate::from_der(certificate)
                .map_or_else(|_| Vec::new(), |(_, read)| alternatives(&read)),
        }
    }
}

/// A certificate that may be anybody's but who may come in.
#[derive(Debug, Error)]
#[error("`{}` has none of its names {names:?}", if *only_alternatives { "tls_allowed_client_san" } else { "tls_allowed_client_names" })]
struct NotAllowed {
    names: Vec<String>,
    only_alternatives: bool,
}

impl ClientCertVerifier for NamedClients {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let allowed = |name: &String| self.names.iter().any(|pattern| pattern.matches(name));
        let names = self.names_of(end_entity);
        if names.iter().any(allowed) {
            return Ok(verified);
        }
        // For the log, where nothing that looks like a token belongs.
        let names = names.iter().map(|name| vault::shown(name).to_owned()).collect();
        let error = OtherError(Arc::new(NotAllowed { names, only_alternatives: self.only_alternatives }));
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(error)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether a handshake ended because of the client's certificate, its name included, or because it showed none.
pub(crate) fn is_about_the_certificate(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

/// Why a handshake ended, for the log.
pub(crate) fn reason(error: &std::io::Error) -> String {
    not_allowed(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether a handshake ended because of the name.
pub(crate) fn is_about_the_name(error: &std::io::Error) -> bool {
    not_allowed(error).is_some()
}

fn not_allowed(error: &std::io::Error) -> Option<&NotAllowed> {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = error else {
        return None;
    };
    why.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_the_log_sees_which_name_and_which_rule() {
        let refused =
            |only_alternatives| NotAllowed { names: vec!["a.example".to_owned()], only_alternatives };
        assert_eq!(
            refused(false).to_string(),
            "`tls_allowed_client_names` has none of its names [\"a.example\"]"
        );
        assert_eq!(
            refused(true).to_string(),
            "`tls_allowed_client_san` has none of its names [\"a.example\"]"
        );
        let error = OtherError(Arc::new(refused(false)));
        let error = rustls::Error::InvalidCertificate(CertificateError::Other(error));
        let error = std::io::Error::other(error);
        assert!(is_about_the_name(&error));
        assert_eq!(reason(&error), refused(false).to_string());
    }
}

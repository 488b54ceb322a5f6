//! RSA keys that sign: mostly RSASSA-PKCS1-v1_5 with SHA-256, which JWT calls RS256 and HTTP signatures `rsa-sha256`.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

/// A private key.
pub(super) struct RsaKey(RsaKeyPair);

/// Why there is no key, for the end of a sentence that names its place. Never a part of the text.
pub(super) type KeyProblem = &'static str;

const NO_KEY: KeyProblem = "its private key is no RSA key of at least 2048 bits";

impl RsaKey {
    /// From the first private key in PEM, PKCS#1 or PKCS#8.
    ///
    /// # Errors
    /// There is none, it is encrypted, it is no RSA key, or it is shorter than 2048 bits.
    pub(super) fn from_pem(pem: &str) -> Result<Self, KeyProblem> {
        let encrypted = pem.contains("ENCRYPTED");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            if encrypted {
                "its private key is encrypted; decrypt it"
            } else {
                "it holds no private key in PEM"
            }
        })?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(_) if encrypted => return Err("its private key is encrypted; decrypt it"),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => return Self::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err("its private key is no RSA key"),
        };
        pair.map(Self).map_err(|_| NO_KEY)
    }

    /// From the bytes of PKCS#8.
    ///
    /// # Errors
    /// It is no RSA key, or it is shorter than 2048 bits.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyProblem> {
        RsaKeyPair::from_pkcs8(der).map(Self).map_err(|_| NO_KEY)
    }

    /// A new one of 2048 bits. Takes a tenth of a second and more, so it is made away from the thread that serves
    /// everything else.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub(super) async fn generate() -> Result<Self, KeyProblem> {
        let made = tokio::task::spawn_blocking(|| RsaKeyPair::generate(KeySize::Rsa2048)).await;
        match made {
            Ok(Ok(pair)) => Ok(Self(pair)),
            _ => Err("no session key could be made"),
        }
    }

    /// The public half as SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// Never in practice.
    pub(super) fn public_der(&self) -> Result<Vec<u8>, KeyProblem> {
        let der: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().map_err(|_| "its public half cannot be written")?;
        Ok(der.as_ref().to_vec())
    }

    /// The signature of a message.
    ///
    /// # Errors
    /// Never in practice.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyProblem> {
        self.sign_as(&RSA_PKCS1_SHA256, message)
    }

    /// The signature of another kind.
    ///
    /// # Errors
    /// The key does not suit that kind.
    pub(super) fn sign_as(
        &self,
        kind: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyProblem> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(kind, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| "its private key cannot sign")?;
        Ok(signature)
    }
}

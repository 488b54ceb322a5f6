//! RSA private keys as people have them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RsaEncoding;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// From PEM: PKCS#1 (`RSA PRIVATE KEY`) or PKCS#8 (`PRIVATE KEY`).
///
/// # Errors
/// It is something else; says what, and nothing of the key.
pub(super) fn from_pem(pem: &[u8]) -> Result<KeyPair, &'static str> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(PrivateKeyDer::Pkcs1(der)) => {
            KeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| "it holds no usable RSA private key")
        }
        Ok(PrivateKeyDer::Pkcs8(der)) => from_pkcs8(der.secret_pkcs8_der()),
        Ok(_) => Err("it holds a key that is not RSA"),
        Err(_) if contains(pem, b"ENCRYPTED") => Err("it holds an encrypted key; store it decrypted"),
        Err(_) => Err("it holds no private key in PEM"),
    }
}

/// From the bytes of PKCS#8.
///
/// # Errors
/// It is no such RSA key.
pub(super) fn from_pkcs8(der: &[u8]) -> Result<KeyPair, &'static str> {
    KeyPair::from_pkcs8(der).map_err(|_| "it holds no usable RSA private key")
}

/// Signs.
///
/// # Errors
/// The key does not suit the kind of signature.
pub(super) fn sign(
    key: &KeyPair,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| "the private key cannot make this signature")?;
    Ok(signature)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

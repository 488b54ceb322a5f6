//! Private keys: made, read from PEM, written to it, and used to sign.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};

use super::der::{INTEGER, OCTETS, OID, Reader, SEQUENCE};
use crate::go::pem;

/// A private key. It has no `Debug`, so that none is shown by chance.
pub(super) enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    /// Read and written, but not used; with its PKCS#1-like form.
    Dsa(Vec<u8>),
    /// X25519, which signs nothing.
    Agreement,
}

const NO_SIGNER: &str = "x509: certificate private key does not implement crypto.Signer";
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const ED25519: &[u8] = b"\x2b\x65\x70";
const X25519: &[u8] = b"\x2b\x65\x6e";

impl Key {
    pub(super) fn generate_rsa(size: KeySize) -> Result<Self, String> {
        RsaKeyPair::generate(size).map(Self::Rsa).map_err(|_| "error generating rsa key".into())
    }

    pub(super) fn generate_ec() -> Result<Self, String> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Self::Ec)
            .map_err(|_| "failed to generate private key".into())
    }

    pub(super) fn generate_ed() -> Result<Self, String> {
        Ed25519KeyPair::generate().map(Self::Ed).map_err(|_| "failed to generate private key".into())
    }

    /// The key of the first block in a text.
    ///
    /// # Errors
    /// Upstream's text; faults deep inside a key are told in general words.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let Some(block) = pem::blocks(text).next() else { return Err("no PEM data in input".into()) };
        if block.kind == "PRIVATE KEY" {
            return Self::from_pkcs8(&block.der).map_err(|why| format!("decoding PEM as PKCS#8: {why}"));
        }
        let Some(form) = block.kind.strip_suffix(" PRIVATE KEY") else {
            return Err(format!("no private key data in PEM block of type {}", block.kind));
        };
        let (key, name) = match form {
            "RSA" => (Self::from_pkcs1(&block.der), "RSA"),
            "EC" => (Self::from_sec1(&block.der), "EC"),
            "DSA" => (Self::from_dsa(block.der), "DSA"),
            _ => return Err(format!("invalid private key type {}", block.kind)),
        };
        key.map_err(|why| format!("parsing {name} private key from PEM: {why}"))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let Some(algorithm) = pkcs8_algorithm(der) else {
            return Err(other_form(der, Form::Pkcs8).unwrap_or_else(|| fault(der, "pkcs8")));
        };
        let rejected = || "x509: failed to parse private key".to_owned();
        match algorithm {
            RSA_ENCRYPTION => RsaKeyPair::from_pkcs8(der).map(Self::Rsa).map_err(|_| rejected()),
            EC_PUBLIC_KEY => ec(der).ok_or_else(rejected),
            ED25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self::Ed).map_err(|_| rejected()),
            X25519 => Ok(Self::Agreement),
            _ => Err("x509: PKCS#8 wrapping contained private key with unknown algorithm".into()),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, String> {
        if !is_pkcs1(der) {
            return Err(other_form(der, Form::Pkcs1).unwrap_or_else(|| fault(der, "pkcs1PrivateKey")));
        }
        RsaKeyPair::from_der(der).map(Self::Rsa).map_err(|_| "x509: invalid or unsupported RSA key".into())
    }

    fn from_sec1(der: &[u8]) -> Result<Self, String> {
        if !is_sec1(der) {
            return Err(other_form(der, Form::Sec1).unwrap_or_else(|| {
                format!("x509: failed to parse EC private key: {}", fault(der, "ecPrivateKey"))
            }));
        }
        ec(der).ok_or_else(|| "x509: unknown elliptic curve".into())
    }

    fn from_dsa(der: Vec<u8>) -> Result<Self, String> {
        let integers =
            Reader(&der).enter(SEQUENCE).map(|mut key| (0..6).all(|_| key.expect(INTEGER).is_some()));
        if integers == Some(true) { Ok(Self::Dsa(der)) } else { Err(fault(&der, "DSAKeyFormat")) }
    }

    /// As PKCS#1, SEC 1 or PKCS#8, whichever upstream writes for its kind.
    pub(super) fn to_pem(&self) -> Result<Vec<u8>, String> {
        let lost = |_| "the private key cannot be written".to_owned();
        Ok(match self {
            Self::Rsa(pair) => {
                let pkcs8 = pair.as_der().map_err(lost)?;
                let inner = pkcs8_key(pkcs8.as_ref()).ok_or("the private key cannot be written")?;
                pem::encode("RSA PRIVATE KEY", inner)
            }
            Self::Ec(pair) => {
                let sec1 = pair.private_key().as_der().map_err(lost)?;
                pem::encode("EC PRIVATE KEY", sec1.as_ref())
            }
            Self::Ed(pair) => pem::encode("PRIVATE KEY", pair.to_pkcs8v1().map_err(lost)?.as_ref()),
            Self::Dsa(der) => pem::encode("DSA PRIVATE KEY", der),
            Self::Agreement => return Err("x509: unsupported public key type: *ecdh.PublicKey".into()),
        })
    }

    /// The public half as a certificate has it.
    pub(super) fn public_info(&self) -> Result<Vec<u8>, String> {
        let lost = |_| "the public key cannot be written".to_owned();
        Ok(match self {
            Self::Rsa(pair) => pair.public_key().as_der().map_err(lost)?.as_ref().to_vec(),
            Self::Ec(pair) => pair.public_key().as_der().map_err(lost)?.as_ref().to_vec(),
            Self::Ed(pair) => pair.public_key().as_der().map_err(lost)?.as_ref().to_vec(),
            Self::Dsa(_) => return Err("x509: unsupported public key type: *dsa.PublicKey".into()),
            Self::Agreement => return Err("x509: unsupported public key type: *ecdh.PublicKey".into()),
        })
    }

    /// The public half alone, from which a key identifier is made.
    pub(super) fn public_bits(&self) -> &[u8] {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Ec(pair) => pair.public_key().as_ref(),
            Self::Ed(pair) => pair.public_key().as_ref(),
            Self::Dsa(_) | Self::Agreement => &[],
        }
    }

    /// The DER of the algorithm that [`sign`](Self::sign) uses.
    pub(super) fn algorithm(&self) -> Result<&'static [u8], String> {
        Ok(match self {
            Self::Rsa(_) => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
            Self::Ec(pair) if *pair.algorithm() == ECDSA_P256_SHA256_ASN1_SIGNING => {
                b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
            }
            Self::Ec(pair) if *pair.algorithm() == ECDSA_P384_SHA384_ASN1_SIGNING => {
                b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"
            }
            Self::Ec(_) => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
            Self::Ed(_) => b"\x30\x05\x06\x03\x2b\x65\x70",
            Self::Dsa(_) | Self::Agreement => return Err(NO_SIGNER.into()),
        })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let chance = SystemRandom::new();
        let failed = |_| "x509: signing failed".to_owned();
        Ok(match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &chance, message, &mut signature).map_err(failed)?;
                signature
            }
            Self::Ec(pair) => pair.sign(&chance, message).map_err(failed)?.as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Dsa(_) | Self::Agreement => return Err(NO_SIGNER.into()),
        })
    }
}

/// A key on one of the curves that both Go and aws-lc know.
fn ec(der: &[u8]) -> Option<Key> {
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING]
        .into_iter()
        .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())
        .map(Key::Ec)
}

/// Where a key of PKCS#8 has its algorithm and its own form.
fn pkcs8(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Reader(der).enter(SEQUENCE)?;
    info.expect(INTEGER)?;
    let algorithm = info.enter(SEQUENCE)?.expect(OID)?;
    Some((algorithm.content, info.expect(OCTETS)?.content))
}

fn pkcs8_algorithm(der: &[u8]) -> Option<&[u8]> {
    pkcs8(der).map(|(algorithm, _)| algorithm)
}

fn pkcs8_key(der: &[u8]) -> Option<&[u8]> {
    pkcs8(der).map(|(_, key)| key)
}

fn is_pkcs1(der: &[u8]) -> bool {
    Reader(der).enter(SEQUENCE).is_some_and(|mut key| (0..9).all(|_| key.expect(INTEGER).is_some()))
}

fn is_sec1(der: &[u8]) -> bool {
    Reader(der)
        .enter(SEQUENCE)
        .is_some_and(|mut key| key.expect(INTEGER).is_some() && key.expect(OCTETS).is_some())
}

#[derive(PartialEq, Eq)]
enum Form {
    Pkcs8,
    Pkcs1,
    Sec1,
}

/// What Go says of a key that is in another form than its label.
fn other_form(der: &[u8], expected: Form) -> Option<String> {
    let function = if expected != Form::Sec1 && is_sec1(der) {
        "ParseECPrivateKey"
    } else if expected != Form::Pkcs8 && pkcs8_algorithm(der).is_some() {
        "ParsePKCS8PrivateKey"
    } else if expected != Form::Pkcs1 && is_pkcs1(der) {
        "ParsePKCS1PrivateKey"
    } else {
        return None;
    };
    Some(format!("x509: failed to parse private key (use {function} instead for this key format)"))
}

/// What Go's reader of DER says of what is no `SEQUENCE`, read as the struct of a name.
fn fault(der: &[u8], name: &str) -> String {
    match Reader(der).next() {
        Some(element) if element.tag != SEQUENCE && element.tag & 0x1f != 0x1f => {
            let (class, compound, tag) = (element.tag >> 6, element.tag & 0x20 != 0, element.tag & 0x1f);
            let length = element.content.len();
            let offset = element.whole.len() - length;
            format!(
                "asn1: structure error: tags don't match (16 vs {{class:{class} tag:{tag} length:{length} \
                 isCompound:{compound}}}) {{optional:false explicit:false application:false private:false \
                 defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}} {name} @{offset}"
            )
        }
        None if !der.is_empty() => "asn1: syntax error: data truncated".into(),
        _ => "asn1: syntax error: sequence truncated".into(),
    }
}

//! Keys and certificates.

use std::any::Any;
use std::borrow::Cow;

use aws_lc_rs::rsa::KeySize;
use gotemplate::{Func, FuncError, Object, Param, Shape, Value};

use super::issue::{Parent, Request, issue};
use super::key::Key;
use crate::arguments::{any, bytes, int, items};
use crate::go::{base64, pem};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_buildCustomCert", &[Param::Str, Param::Str], build_custom_cert),
        "sprig_buildCustomCert certificate key",
        "An object with `.Cert` and `.Key` from two PEM texts in base64, to sign others with.",
        r#"{{ $a := sprig_genCA "a" 1 }}{{ eq $a (sprig_buildCustomCert (base64Encode $a.Cert) (base64Encode $a.Key)) }}"#,
        "true",
    )
    .slow(),
    entry(
        Func::pure("sprig_genCA", &[Param::Str, Param::Int], gen_ca),
        "sprig_genCA name days",
        "A new authority with an RSA key of 2048 bits, as PEM in `.Cert` and `.Key`; another in each pass.",
        r#"{{ slice (sprig_genCA "my-ca" 365).Cert 0 27 }}"#,
        "-----BEGIN CERTIFICATE-----",
    )
    .slow(),
    entry(
        Func::pure("sprig_genCAWithKey", &[Param::Str, Param::Int, Param::Str], gen_ca_with_key),
        "sprig_genCAWithKey name days key",
        "A new authority with the private key of a PEM text.",
        r#"{{ slice (sprig_genCAWithKey "my-ca" 365 (sprig_genPrivateKey "ecdsa")).Key 0 30 }}"#,
        "-----BEGIN EC PRIVATE KEY-----",
    )
    .slow(),
    entry(
        Func::pure("sprig_genPrivateKey", &[Param::Str], gen_private_key),
        "sprig_genPrivateKey type",
        "A new private key as PEM: `rsa` (4096 bits, may take seconds), `ecdsa` (P-256) or `ed25519`; no `dsa`.",
        r#"{{ sprig_genPrivateKey "ed25519" | len }}"#,
        "119",
    )
    .slow(),
    entry(
        Func::pure(
            "sprig_genSelfSignedCert",
            &[Param::Str, Param::Anys, Param::Anys, Param::Int],
            gen_self_signed_cert,
        ),
        "sprig_genSelfSignedCert name ips names days",
        "A certificate signed by its own new RSA key, for lists of addresses and of DNS names, or nil.",
        r#"{{ slice (sprig_genSelfSignedCert "host" nil nil 365).Key 0 31 }}"#,
        "-----BEGIN RSA PRIVATE KEY-----",
    )
    .slow(),
    entry(
        Func::pure(
            "sprig_genSelfSignedCertWithKey",
            &[Param::Str, Param::Anys, Param::Anys, Param::Int, Param::Str],
            gen_self_signed_cert_with_key,
        ),
        "sprig_genSelfSignedCertWithKey name ips names days key",
        "The same with the private key of a PEM text.",
        r#"{{ $k := sprig_genPrivateKey "ecdsa" }}{{ eq $k (sprig_genSelfSignedCertWithKey "h" nil nil 1 $k).Key }}"#,
        "true",
    )
    .slow(),
    entry(
        Func::pure(
            "sprig_genSignedCert",
            &[Param::Str, Param::Anys, Param::Anys, Param::Int, CERTIFICATE],
            gen_signed_cert,
        ),
        "sprig_genSignedCert name ips names days authority",
        "A certificate with a new RSA key, signed by what `sprig_genCA` or `sprig_buildCustomCert` gave.",
        r#"{{ $a := sprig_genCA "a" 1 }}{{ slice (sprig_genSignedCert "host" nil nil 1 $a).Cert 0 27 }}"#,
        "-----BEGIN CERTIFICATE-----",
    )
    .slow(),
    entry(
        Func::pure(
            "sprig_genSignedCertWithKey",
            &[Param::Str, Param::Anys, Param::Anys, Param::Int, CERTIFICATE, Param::Str],
            gen_signed_cert_with_key,
        ),
        "sprig_genSignedCertWithKey name ips names days authority key",
        "The same with the private key of a PEM text.",
        r#"{{ $a := sprig_genCA "a" 1 }}{{ slice (sprig_genSignedCertWithKey "h" nil nil 1 $a $a.Key).Cert 0 27 }}"#,
        "-----BEGIN CERTIFICATE-----",
    )
    .slow(),
];

const CERTIFICATE: Param = Param::Named("sprig.certificate");

/// A certificate and its private key, both as PEM. Without `Debug`, for the key's sake.
#[derive(Clone, Default, PartialEq, Eq)]
struct Certificate {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Object for Certificate {
    fn type_name(&self) -> Cow<'static, str> {
        "sprig.certificate".into()
    }

    fn shape(&self) -> Shape {
        Shape::Struct
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Cert", Value::from(self.cert.as_slice())), ("Key", Value::from(self.key.as_slice()))]
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().and_then(|any| any.downcast_ref()) == Some(self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

/// The argument that is a certificate.
fn certificate(arguments: &[Value], nth: usize) -> Certificate {
    match any(arguments, nth) {
        Value::Object(object) => {
            object.as_any().and_then(|any| any.downcast_ref()).cloned().unwrap_or_default()
        }
        _ => Certificate::default(),
    }
}

fn gen_private_key(arguments: &[Value]) -> Result<Value, FuncError> {
    let key = match bytes(arguments, 0) {
        b"" | b"rsa" => Key::generate_rsa(KeySize::Rsa4096)?,
        b"ecdsa" => Key::generate_ec()?,
        b"ed25519" => Key::generate_ed()?,
        // What could sign with it is gone everywhere; no library kept up makes one.
        b"dsa" => return Err("DSA keys cannot be made; take rsa, ecdsa or ed25519".into()),
        kind => return Ok(Value::from([b"Unknown type ", kind].concat())),
    };
    Ok(Value::from(key.to_pem()?))
}

/// The key of a PEM text given by the template.
fn given_key(arguments: &[Value], nth: usize) -> Result<Key, String> {
    Key::from_pem(bytes(arguments, nth)).map_err(|why| format!("parsing private key: {why}"))
}

fn new_key() -> Result<Key, String> {
    Key::generate_rsa(KeySize::Rsa2048)
}

/// The first four arguments of a certificate for a host.
fn leaf(arguments: &[Value]) -> Result<Request, String> {
    Request::leaf(bytes(arguments, 0), items(arguments, 1), items(arguments, 2), int(arguments, 3))
}

fn made(request: &Request, key: &Key, parent: Option<(&Parent, &Key)>) -> Result<Value, FuncError> {
    let (parent, signer) = match parent {
        Some((parent, signer)) => (Some(parent), signer),
        None => (None, key),
    };
    let der =
        issue(request, key, parent, signer).map_err(|why| format!("error creating certificate: {why}"))?;
    Ok(Value::object(Certificate { cert: pem::encode("CERTIFICATE", &der), key: key.to_pem()? }))
}

fn gen_ca(arguments: &[Value]) -> Result<Value, FuncError> {
    made(&Request::authority(bytes(arguments, 0), int(arguments, 1)), &new_key()?, None)
}

fn gen_ca_with_key(arguments: &[Value]) -> Result<Value, FuncError> {
    let key = given_key(arguments, 2)?;
    made(&Request::authority(bytes(arguments, 0), int(arguments, 1)), &key, None)
}

fn gen_self_signed_cert(arguments: &[Value]) -> Result<Value, FuncError> {
    let request = leaf(arguments)?;
    made(&request, &new_key()?, None)
}

fn gen_self_signed_cert_with_key(arguments: &[Value]) -> Result<Value, FuncError> {
    let key = given_key(arguments, 4)?;
    made(&leaf(arguments)?, &key, None)
}

fn gen_signed_cert(arguments: &[Value]) -> Result<Value, FuncError> {
    let (parent, signer) = authority(arguments)?;
    let request = leaf(arguments)?;
    made(&request, &new_key()?, Some((&parent, &signer)))
}

fn gen_signed_cert_with_key(arguments: &[Value]) -> Result<Value, FuncError> {
    let key = given_key(arguments, 5)?;
    let (parent, signer) = authority(arguments)?;
    made(&leaf(arguments)?, &key, Some((&parent, &signer)))
}

/// The authority among the arguments of a signed certificate.
fn authority(arguments: &[Value]) -> Result<(Parent, Key), String> {
    let authority = certificate(arguments, 4);
    let block = pem::blocks(&authority.cert).next().ok_or("unable to decode certificate")?;
    let parent = Parent::read(&block.der)
        .map_err(|why| format!("error parsing certificate: decodedSignerCert.Bytes: {why}"))?;
    let signer = Key::from_pem(&authority.key).map_err(|why| format!("error parsing private key: {why}"))?;
    Ok((parent, signer))
}

fn build_custom_cert(arguments: &[Value]) -> Result<Value, FuncError> {
    let decoded = |nth, what: &str| {
        base64::STANDARD.decode(bytes(arguments, nth)).map_err(|_| format!("unable to decode base64 {what}"))
    };
    let (cert, key) = (decoded(0, "certificate")?, decoded(1, "private key")?);
    let block = pem::blocks(&cert).next().ok_or("unable to decode certificate")?;
    Parent::read(&block.der).map_err(|why| format!("error parsing certificate: decodedCert.Bytes: {why}"))?;
    Key::from_pem(&key).map_err(|why| format!("error parsing private key: {why}"))?;
    Ok(Value::object(Certificate { cert, key }))
}

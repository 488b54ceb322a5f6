//! `type = "ec2"`: the instance's identity document with a signature of AWS's.
//!
//! The server binds an instance to the nonce of its first login (trust on first use). Whoever comes later with another
//! one is refused, this program after a restart included; so the nonce can be given, or kept in a file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::AwsNonce;
use serde_json::{Value, json};
use vault::{BoxFuture, SecretString};

use super::Metadata;
use crate::method::{Attempt, LoginError, Method, Scene};

const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
const SIGNATURE: &str = "/latest/dynamic/instance-identity/signature";
const PKCS7: &str = "/latest/dynamic/instance-identity/pkcs7";

/// The kept nonce is for its owner alone.
const NONCE_MODE: u32 = 0o600;

/// The instance's papers and the nonce.
pub(super) struct Ec2 {
    role: String,
    pkcs7: bool,
    metadata: Metadata,
    /// Known already, or made at the first login.
    nonce: Option<SecretString>,
    kept: Option<PathBuf>,
}

impl Ec2 {
    pub(super) fn new(role: String, keys: &config::AwsEc2, metadata: Metadata) -> Self {
        let (nonce, kept) = match &keys.nonce {
            AwsNonce::Fresh => (None, None),
            AwsNonce::Given(nonce) => (Some(nonce.clone()), None),
            AwsNonce::Kept(path) => (None, Some(path.clone())),
        };
        Self { role, pkcs7: keys.pkcs7, metadata, nonce, kept }
    }

    async fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let mut body = self.papers(scene).await?;
        body["role"] = json!(self.role);
        body["nonce"] = json!(self.nonce()?.expose());
        Ok(Attempt::login(scene.mount, body))
    }

    async fn papers(&self, scene: &Scene<'_>) -> Result<Value, LoginError> {
        let instance = self.metadata.open(scene.environment).await?;
        if self.pkcs7 {
            let answer = instance.get(PKCS7).await?;
            let signature = answer.text().and_then(base64_text);
            let signature =
                signature.ok_or_else(|| instance.refused(PKCS7, "what it answered is no base64"))?;
            return Ok(json!({"pkcs7": signature}));
        }
        let document = instance.get(DOCUMENT).await?;
        let fields = document.json();
        if fields.as_ref().and_then(|fields| fields.get("instanceId")?.as_str()).is_none() {
            return Err(instance.refused(DOCUMENT, "what it answered is no identity document"));
        }
        let signature = instance.get(SIGNATURE).await?;
        let text = signature.text().filter(|text| base64_text(text).is_some());
        let text = text.ok_or_else(|| instance.refused(SIGNATURE, "what it answered is no base64"))?;
        // Byte for byte: the signature is over exactly these.
        Ok(json!({"identity": STANDARD.encode(&document.body), "signature": text}))
    }

    fn nonce(&mut self) -> Result<SecretString, LoginError> {
        if let Some(nonce) = &self.nonce {
            return Ok(nonce.clone());
        }
        let nonce = match &self.kept {
            None => fresh()?,
            Some(path) => kept(path)?,
        };
        self.nonce = Some(nonce.clone());
        Ok(nonce)
    }
}

impl Method for Ec2 {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(self.prepare(scene))
    }
}

/// The nonce in the file, or a new one that is in the file before anybody hears of it: once the server knows it, it
/// must not get lost.
fn kept(path: &Path) -> Result<SecretString, LoginError> {
    let refused =
        |reason: String| LoginError::Credential { what: "nonce", path: path.display().to_string(), reason };
    match atomic_file::read_small(path) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| refused("it is not text".into()))?;
            match text.trim() {
                "" => Err(refused("it is empty; remove it to have a new nonce made".into())),
                text if text.contains(['\n', '\r']) => Err(refused("it holds more than one line".into())),
                text => Ok(text.into()),
            }
        }
        Err(error) if error.is_missing() => {
            let nonce = fresh()?;
            let attributes = atomic_file::Attributes::new(NONCE_MODE);
            atomic_file::write(path, nonce.expose().as_bytes(), &attributes)
                .map_err(|error| refused(format!("it cannot be kept: {}", error.reason())))?;
            Ok(nonce)
        }
        Err(error) => Err(refused(error.reason())),
    }
}

/// A random UUID.
fn fresh() -> Result<SecretString, LoginError> {
    let mut bytes = [0; 16];
    let failed = |_| LoginError::NoCredentials("the system gives no random numbers for a nonce".to_owned());
    rand::fill(&mut bytes).map_err(failed)?;
    // Version 4, variant 1: RFC 9562, section 5.4.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text.into())
}

/// Base64 in lines, put into one.
fn base64_text(text: &str) -> Option<String> {
    let joined: String = text.split_ascii_whitespace().collect();
    (!joined.is_empty() && STANDARD.decode(&joined).is_ok()).then_some(joined)
}

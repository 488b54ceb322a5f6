//! `dh_type` and its companions: the token encrypted for one reader.

use std::path::PathBuf;

use crate::decode::Fields;
use crate::environment::Environment;

/// Diffie-Hellman over Curve25519, then AES-256-GCM.
#[derive(Clone, Debug, PartialEq)]
pub struct Encryption {
    /// File with the reader's public key.
    pub public_key_file: PathBuf,
    /// Read it again when it changes; else the first key that was read counts until the end.
    pub repin: bool,
    /// The shared secret goes through HKDF-SHA256 before it is the key.
    pub derive_key: bool,
    /// Additional authenticated data; may be empty.
    pub aad: String,
}

/// With upstream's checks.
pub(super) fn read(fields: &Fields<'_>, named: &Fields<'_>, environment: &Environment) -> Option<Encryption> {
    let dh_type = fields.filled("dh_type");
    let dh_path = fields.filled("dh_path");
    let repin = fields.lax_bool("dh_repin").unwrap_or(false);
    let derive_key = fields.strict_bool("derive_key").unwrap_or(false);
    let mut aad = fields.text("aad").unwrap_or_default();
    if let Some(value) = fields.filled("aad_env_var").and_then(|name| environment.exact(&name)) {
        aad = value.to_owned();
    }
    match dh_type.as_deref() {
        None | Some("curve25519") => {}
        Some(_) => {
            named.refuse_with(
                fields.span_of("dh_type"),
                "invalid value for 'dh_type'",
                "the only type is \"curve25519\"",
            );
            return None;
        }
    }
    if dh_type.is_some() != dh_path.is_some() {
        let given = if dh_type.is_some() { "dh_type" } else { "dh_path" };
        named.refuse(fields.span_of(given), "'dh_type' and 'dh_path' must be specified together");
        return None;
    }
    let Some(public_key_file) = dh_path.map(PathBuf::from) else {
        if !aad.is_empty() {
            let given = if fields.has("aad_env_var") { "aad_env_var" } else { "aad" };
            named.refuse(fields.span_of(given), "specifying AAD data without 'dh_type' does not make sense");
        }
        for (key, given) in [("derive_key", derive_key), ("dh_repin", repin)] {
            if given {
                let message = format!("specifying '{key}' data without 'dh_type' does not make sense");
                named.refuse(fields.span_of(key), message);
            }
        }
        return None;
    };
    Some(Encryption { public_key_file, repin, derive_key, aad })
}

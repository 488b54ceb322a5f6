//! `method "cert"`.

use std::path::PathBuf;
use std::time::Duration;

use hcl1::Kind;

use super::keys::{optional, period};
use crate::decode::Fields;

/// How often the files are looked at if nobody says; upstream's number.
const DEFAULT_RELOAD_PERIOD: Duration = Duration::from_secs(60);

/// A TLS client certificate. What is not given here comes from the `vault` stanza.
#[derive(Clone, Debug, PartialEq)]
pub struct Cert {
    /// The role to log in to; none: whichever fits.
    pub name: Option<String>,
    /// File with the certificates that may have signed the server's.
    pub ca_cert: Option<PathBuf>,
    /// Files with the certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Read the files again when they change, and how often to look at least.
    pub reload: Option<Duration>,
}

pub(super) fn read(config: &Fields<'_>) -> Option<Cert> {
    let name = optional(config, "name");
    let file = |key| optional(config, key).map(PathBuf::from);
    let ca_cert = file("ca_cert");
    let (certificate, key) =
        (named(config, "client_cert", "cert_file"), named(config, "client_key", "cert_key"));
    for (one, other, first, second) in
        [(&certificate, &key, "client_cert", "client_key"), (&key, &certificate, "client_key", "client_cert")]
    {
        if one.is_some() && other.is_none() {
            let message = format!("`{first}` without `{second}` has no effect");
            config.warn(config.span_of(first), message, format!("add `{second}`"));
        }
    }
    let reload = strict_bool(config, "reload");
    let period = period(config, "reload_period").unwrap_or(DEFAULT_RELOAD_PERIOD);
    let identity = certificate.zip(key);
    Some(Cert { name, ca_cert, identity, reload: reload.then_some(period) })
}

/// A path. Upstream calls it by another name in its message.
fn named(config: &Fields<'_>, key: &'static str, upstreams: &str) -> Option<PathBuf> {
    match config.value(key).map(|value| &value.kind) {
        None => None,
        Some(Kind::String(_)) => optional(config, key).map(PathBuf::from),
        Some(_) => {
            let message = format!("could not convert '{upstreams}' config value to string");
            config.refuse_with(config.span_of(key), message, format!("`{key}` is the path of a file"));
            None
        }
    }
}

/// Here alone upstream takes no text for a boolean.
fn strict_bool(config: &Fields<'_>, key: &'static str) -> bool {
    match config.value(key).map(|value| &value.kind) {
        None => false,
        Some(Kind::Bool(value)) => *value,
        Some(_) => {
            let message = format!("could not convert '{key}' config value to bool");
            config.refuse_with(config.span_of(key), message, "write true or false, without quotes");
            false
        }
    }
}

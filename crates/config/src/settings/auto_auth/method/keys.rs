//! Kinds of keys that the `config` of several methods have.

use std::path::PathBuf;
use std::time::Duration;

use hcl1::Kind;
use vault::SecretString;

use crate::decode::Fields;

/// A path that must be given.
pub(super) fn required_path(config: &Fields<'_>, key: &'static str) -> Option<PathBuf> {
    required(config, key).map(PathBuf::from)
}

/// Text that must be given and not be empty.
pub(super) fn required(config: &Fields<'_>, key: &'static str) -> Option<String> {
    if !config.has(key) {
        config.refuse(config.span, format!("missing '{key}' value"));
        return None;
    }
    match string(config, key) {
        Some(text) if text.is_empty() => {
            config.refuse(config.span_of(key), format!("'{key}' value is empty"));
            None
        }
        text => text,
    }
}

/// Text that must be a string: here alone upstream takes no number for it.
pub(super) fn string(config: &Fields<'_>, key: &'static str) -> Option<String> {
    if let Some(Kind::String(_)) = config.value(key).map(|value| &value.kind) {
        return config.text(key);
    }
    if config.has(key) {
        config.refuse(config.span_of(key), format!("could not convert '{key}' config value to string"));
    }
    None
}

/// A secret text, if it is not empty.
pub(super) fn secret(config: &Fields<'_>, key: &'static str) -> Option<SecretString> {
    string(config, key).filter(|text| !text.is_empty()).map(SecretString::from)
}

/// How often a cloud's credentials are looked at when nothing is given: once a minute, upstream's.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// `credential_poll_interval`, in seconds.
pub(super) fn poll_interval(config: &Fields<'_>) -> Duration {
    const KEY: &str = "credential_poll_interval";
    match config.integer(KEY).map(u64::try_from) {
        None => DEFAULT_POLL_INTERVAL,
        Some(Ok(seconds)) if seconds > 0 => Duration::from_secs(seconds),
        Some(_) => {
            let message = format!("could not convert '{KEY}' config value to positive int");
            config.refuse(config.span_of(KEY), message);
            DEFAULT_POLL_INTERVAL
        }
    }
}

//! Kinds of keys that the `config` of several methods have.

use std::path::PathBuf;

use hcl1::Kind;

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

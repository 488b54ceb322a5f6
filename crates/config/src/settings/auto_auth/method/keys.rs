//! Kinds of keys that the `config` of several methods have.

use std::path::PathBuf;
use std::time::Duration;

use hcl1::Kind;
use vault::SecretString;

use crate::decode::Fields;
use crate::go_duration::GoDuration;

/// How often a credential file is looked at if nobody says. Changes are mostly seen at once; this is for file
/// systems that do not tell of them. Upstream's number.
pub const DEFAULT_READ_PERIOD: Duration = Duration::from_secs(60);

/// The same for a file that is removed after reading: it is there for a moment only. Upstream's number.
pub const DEFAULT_READ_PERIOD_WHEN_REMOVED: Duration = Duration::from_millis(500);

/// A credential in a file that is looked at again and again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialFile {
    /// The file.
    pub path: PathBuf,
    /// What is removed once it was read.
    pub removal: Removal,
    /// How often to look for a new one, at least.
    pub read_period: Duration,
}

/// What is removed once a credential file was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// Nothing.
    Never,
    /// What lies at the path: the file, or the symbolic link.
    Link,
    /// The file, and if the path is a symbolic link, what it leads to.
    Target,
}

impl CredentialFile {
    /// The same, left where it is.
    #[must_use]
    pub(super) fn kept(&self) -> Self {
        Self { removal: Removal::Never, ..self.clone() }
    }
}

/// The keys of a [`CredentialFile`] that go with its path.
pub(super) struct FileKeys {
    /// Whether to remove it; default true.
    pub(super) remove: &'static str,
    /// Whether to remove what a link leads to; default false.
    pub(super) follow: &'static str,
    /// How often to look.
    pub(super) period: &'static str,
}

impl FileKeys {
    /// How to treat the file at `path`.
    pub(super) fn read(&self, config: &Fields<'_>, path: PathBuf) -> CredentialFile {
        let removal = match (lax_bool(config, self.remove), lax_bool(config, self.follow)) {
            (Some(false), _) => Removal::Never,
            (_, Some(true)) => Removal::Target,
            _ => Removal::Link,
        };
        let default = match removal {
            Removal::Never => DEFAULT_READ_PERIOD,
            _ => DEFAULT_READ_PERIOD_WHEN_REMOVED,
        };
        CredentialFile { path, removal, read_period: period(config, self.period).unwrap_or(default) }
    }
}

/// True, false, or what can pass for it, worded as the methods word it.
pub(super) fn lax_bool(config: &Fields<'_>, key: &'static str) -> Option<bool> {
    let value = config.with_more_prefix(&format!("error parsing '{key}' value: ")).lax_bool(key);
    config.ignore(&[key]);
    value
}

/// A duration that must be longer than nothing.
pub(super) fn period(config: &Fields<'_>, key: &'static str) -> Option<Duration> {
    let value = config.with_more_prefix(&format!("error parsing '{key}' value: ")).duration(key);
    config.ignore(&[key]);
    let period = value.and_then(GoDuration::positive);
    if value.is_some() && period.is_none() {
        let message = format!("error parsing '{key}' value into a positive value");
        config.refuse_with(config.span_of(key), message, "how often to look, \"30s\"");
    }
    period
}

/// Text that may be missing; empty is the same.
pub(super) fn optional(config: &Fields<'_>, key: &'static str) -> Option<String> {
    string(config, key).filter(|text| !text.is_empty())
}

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

/// Text of which a login makes a piece of its path. `.` and `..` stand for other places however they are written
/// (RFC 3986, section 5.2.4): the credential would be sent there.
pub(super) fn piece(config: &Fields<'_>, key: &'static str, text: Option<String>) -> Option<String> {
    text.filter(|text| {
        let leads_elsewhere = matches!(text.as_str(), "." | "..");
        if leads_elsewhere {
            let message = format!("'{key}' value {text:?} cannot stand in a path");
            config.refuse_with(config.span_of(key), message, "it is part of the URL of the login");
        }
        !leads_elsewhere
    })
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

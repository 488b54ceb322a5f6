//! `sink "systemd_credential"`: systemd fetches the token for the units named.

use std::path::PathBuf;

use super::file::read_path;
use super::socket::read_access;
use crate::decode::Fields;
use crate::settings::SocketAccess;

/// Mode of the socket when none is given: systemd runs as root, or as the user whose manager it is.
pub const DEFAULT_CREDENTIAL_MODE: u32 = 0o600;

/// A unix socket for systemd's `LoadCredential=`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemdSink {
    /// Its path.
    pub path: PathBuf,
    /// Mode and owner of the socket's file.
    pub access: SocketAccess,
    /// Which units may have it, and under which name.
    pub credentials: Vec<CredentialPattern>,
}

/// `app@*.service/vault-token`: a unit and a credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialPattern {
    /// Of the unit's name.
    pub unit: Pattern,
    /// Of the credential's name.
    pub credential: Pattern,
}

impl CredentialPattern {
    /// From `UNIT/CREDENTIAL`; `None` when it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, credential) = text.split_once('/')?;
        let is_name = |name: &str| !name.is_empty() && !name.contains('/');
        (is_name(unit) && is_name(credential))
            .then(|| Self { unit: Pattern::new(unit), credential: Pattern::new(credential) })
    }

    /// Whether this credential of this unit is meant.
    pub fn matches(&self, unit: &str, credential: &str) -> bool {
        self.unit.matches(unit) && self.credential.matches(credential)
    }
}

/// A name in which each `*` stands for any number of characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(String);

impl Pattern {
    /// Of such a name.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the whole name fits.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(first) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return name.ends_with(part);
            }
            // The earliest place leaves most for the others.
            let Some(at) = name.find(part) else { return false };
            name = name.get(at + part.len()..).unwrap_or_default();
        }
        true
    }
}

pub(super) fn read(config: &Fields<'_>) -> SystemdSink {
    SystemdSink {
        path: read_path(config, "systemd_credential"),
        access: read_access(config, DEFAULT_CREDENTIAL_MODE),
        credentials: read_credentials(config),
    }
}

fn read_credentials(config: &Fields<'_>) -> Vec<CredentialPattern> {
    const KEY: &str = "credentials";
    const HINT: &str = "name unit and credential: credentials = [\"app.service/vault-token\"]; `*` stands for any characters";
    let names = config.strings(KEY).unwrap_or_default();
    if names.is_empty() {
        config.refuse_with(
            config.span_of(KEY),
            "'credentials' not specified for systemd_credential sink",
            HINT,
        );
    }
    let parse = |name: &String| {
        let pattern = CredentialPattern::parse(name);
        if pattern.is_none() {
            let message = format!("'credentials' {name:?} is no unit and credential");
            config.refuse_with(config.span_of(KEY), message, HINT);
        }
        pattern
    };
    names.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, fits, not) in [
            ("app.service", vec!["app.service"], vec!["app.service.d", "xapp.service", ""]),
            ("app@*.service", vec!["app@1.service", "app@.service"], vec!["app.service", "app@1.socket"]),
            ("*", vec!["", "a"], vec![]),
            ("a*b*c", vec!["abc", "aXbYc", "abbcc"], vec!["ab", "acb", "xabc"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
        ] {
            let pattern = Pattern(pattern.to_owned());
            for name in fits {
                assert!(pattern.matches(name), "{pattern:?} {name}");
            }
            for name in not {
                assert!(!pattern.matches(name), "{pattern:?} {name}");
            }
        }
    }
}

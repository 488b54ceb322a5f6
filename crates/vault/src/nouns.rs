//! Token, accessor, lease, TTL, namespace, mount.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::SecretString;

/// A client token. Masked in `Debug`, zeroed on drop.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Token(SecretString);

impl Token {
    /// Takes over a token's text, or says why it cannot be one.
    ///
    /// # Errors
    /// An empty text, and one with characters that no HTTP header may carry (a newline inside a token file,
    /// say), worded as the official client words it.
    pub fn new(text: impl Into<SecretString>) -> Result<Self, &'static str> {
        let text = text.into();
        if text.is_empty() {
            return Err("the token is empty");
        }
        if !text.expose().bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err("configured Vault token contains non-printable characters and cannot be used");
        }
        Ok(Self(text))
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A token's accessor. Treated as a secret here: it can revoke its token.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Accessor(SecretString);

impl Accessor {
    /// Takes over an accessor's text; `None` when it is empty (batch tokens have none).
    pub fn new(text: impl Into<SecretString>) -> Option<Self> {
        let text = text.into();
        if text.is_empty() { None } else { Some(Self(text)) }
    }

    /// The accessor itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The id of a lease: `database/creds/app/…`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LeaseId(Box<str>);

impl LeaseId {
    /// Takes over a lease id; `None` when it is empty (nothing was leased).
    pub fn new(text: impl Into<Box<str>>) -> Option<Self> {
        let text = text.into();
        if text.is_empty() { None } else { Some(Self(text)) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Time to live of a token or a lease. The server's zero means "does not expire", so it is a variant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ttl {
    /// Does not expire.
    Never,
    /// Whole seconds from the moment the server said so.
    Seconds(NonZeroU64),
}

impl Ttl {
    /// The longest life there is: a hundred years, in seconds. Whatever a server says, a moment so far away can still
    /// be reckoned with.
    const LONGEST: u64 = 100 * 365 * 24 * 3600;

    /// From the server's number.
    pub fn from_seconds(seconds: u64) -> Self {
        NonZeroU64::new(seconds.min(Self::LONGEST)).map_or(Self::Never, Self::Seconds)
    }

    /// As a duration; `None` when it does not expire.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds.get())),
        }
    }
}

/// A namespace, in the one spelling the servers use in headers: no leading slash, one trailing slash.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Namespace(Box<str>);

impl Namespace {
    /// From any spelling (`a/b`, `/a/b/`, `a//b`); `None` for the root namespace.
    pub fn new(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.is_empty() || parts == ["root"] {
            return None;
        }
        Some(Self(format!("{}/", parts.join("/")).into()))
    }

    /// With its trailing slash, as it goes into `X-Vault-Namespace`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an auth method or a secrets engine is mounted: `auth/approle`. No slash at either end.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Mount(Box<str>);

impl Mount {
    /// From any spelling; slashes at the ends are dropped.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches('/').into())
    }

    /// Without slashes at the ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_one_spelling() {
        for text in ["a/b", "/a/b/", "a//b", "./a/b"] {
            assert_eq!(Namespace::new(text).unwrap().as_str(), "a/b/", "{text}");
        }
        for root in ["", "/", "root", "root/"] {
            assert_eq!(Namespace::new(root), None, "{root}");
        }
    }

    #[test]
    fn a_token_fits_into_a_header() {
        assert!(Token::new("s.abc").is_ok());
        assert!(Token::new("s.abc\nx").is_err());
        assert!(Token::new("").is_err());
    }
}

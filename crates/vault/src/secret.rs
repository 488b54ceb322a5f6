//! Values that must not reach logs.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text: a token, an accessor, a secret id, a password.
///
/// `Debug` prints `***`, there is no `Display` and no `Serialize`, and the memory is zeroed on drop.
/// Search for `expose` to audit where it leaves this type.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretString(Zeroizing<Box<str>>);

impl SecretString {
    /// Takes over `text`. The caller's copy, if it has one, stays as it is.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::hash::Hash for SecretString {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<'de> serde::Deserialize<'de> for SecretString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", SecretString::from("s.canary")), "***");
    }
}

//! Access keys, whatever their source.

use jiff::Timestamp;
use vault::SecretString;

use crate::method::instance::TemporaryKeys;

/// What signs a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: SecretString,
    pub(super) session_token: Option<SecretString>,
    /// None for keys that last.
    pub(super) expires: Option<Timestamp>,
}

impl Keys {
    /// Keys that last, or whose end nobody told.
    pub(super) fn lasting(
        access_key: impl Into<String>,
        secret_key: SecretString,
        session_token: Option<SecretString>,
    ) -> Self {
        Self { access_key: access_key.into(), secret_key, session_token, expires: None }
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl From<TemporaryKeys> for Keys {
    fn from(keys: TemporaryKeys) -> Self {
        let TemporaryKeys { id, secret, token, expires } = keys;
        Self { access_key: id, secret_key: secret, session_token: token, expires }
    }
}

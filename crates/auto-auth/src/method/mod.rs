//! How to log in. One file a method.
//!
//! A method reads its credentials afresh for every login and keeps the last ones it saw, so that a file that
//! was removed after reading, or is being replaced at this moment, does not end the token's life.

mod approle;
mod credential;
mod token_file;

use std::time::Duration;

use thiserror::Error;
use vault::api::{ApiError, Caller};
use vault::{Accessor, Mount, Secret, Token, Ttl, Upstream};

use crate::lifecycle::Grant;

/// The auth methods. The set is closed, so it is an enum.
#[derive(Debug)]
pub enum Method {
    /// A role id and mostly a secret id, from files.
    AppRole(approle::AppRole),
    /// A token somebody else put into a file.
    TokenFile(token_file::TokenFile),
}

/// A successful login.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) token: Token,
    pub(crate) accessor: Option<Accessor>,
    pub(crate) grant: Grant,
}

/// Why a login failed, for the person who must act.
#[derive(Debug, Error)]
pub enum LoginError {
    /// A credential file is missing, unreadable or unusable, and nothing was read from it before.
    #[error("{what} file {path}: {reason}")]
    Credential {
        /// `role ID`, `secret ID` or `token`.
        what: &'static str,
        /// The file.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The wrapping token was made somewhere else than the configuration says: perhaps somebody unwrapped
    /// the secret id and wrapped it again.
    #[error(
        "SECURITY: unable to validate wrapping token creation path: expected {expected:?}, found {found:?}"
    )]
    CreationPath {
        /// From the configuration.
        expected: String,
        /// From the server.
        found: String,
    },
    /// The server refused, or could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server said yes and gave no token.
    #[error("the server's answer holds no usable token: {0}")]
    NoToken(&'static str),
}

impl LoginError {
    /// When the server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(ApiError::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

impl Method {
    /// From the stanza. Reads nothing yet.
    pub fn new(settings: &config::Method) -> Self {
        match &settings.kind {
            config::MethodKind::AppRole(keys) => Self::AppRole(approle::AppRole::new(keys.clone())),
            config::MethodKind::TokenFile(keys) => Self::TokenFile(token_file::TokenFile::new(keys.clone())),
        }
    }

    pub(crate) async fn login(
        &mut self,
        mount: &Mount,
        upstream: &dyn Upstream,
        caller: &Caller,
    ) -> Result<Login, LoginError> {
        match self {
            Self::AppRole(method) => method.login(mount, upstream, caller).await,
            Self::TokenFile(method) => method.login(upstream, caller).await,
        }
    }
}

/// The token in a login's answer.
fn from_auth(secret: Secret) -> Result<Login, LoginError> {
    let auth = secret.auth.ok_or(LoginError::NoToken("it has no auth object"))?;
    let token = Token::new(auth.client_token).map_err(LoginError::NoToken)?;
    let ttl = u64::try_from(auth.lease_duration).map_err(|_| LoginError::NoToken("its TTL is negative"))?;
    Ok(Login {
        token,
        accessor: Accessor::new(auth.accessor),
        grant: Grant {
            ttl: Ttl::from_seconds(ttl),
            renewable: auth.renewable,
            num_uses: auth.num_uses,
            fresh: true,
        },
    })
}

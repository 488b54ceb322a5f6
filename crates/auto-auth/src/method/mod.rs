//! How to log in. One file a method.
//!
//! A method reads its credentials afresh for every login and says what to send; sending, wrapping and reading the
//! answer is the same for all (`attempt.rs`). It keeps the credentials it saw last, so that a file that was removed
//! after reading, or is being replaced at this moment, does not end the token's life.
//!
//! To add one: its stanza in `config`, a file here that implements [`Method`], a line in [`new`]. Credentials in files
//! come through [`credential::Credential`], whatever is asked outside the server through [`outside::Outside`].

mod alicloud;
mod approle;
mod assertion;
mod attempt;
mod aws;
mod azure;
mod cert;
mod cf;
mod credential;
mod gcp;
mod instance;
mod jwt;
mod kerberos;
mod kubernetes;
#[cfg(test)]
mod loopback;
mod oauth;
mod oci;
mod outside;
mod password;
mod percent;
mod rsa;
mod shape;
mod spiffe;
mod token_file;

use std::sync::Arc;
use std::time::Duration;

use config::Environment;
use thiserror::Error;
use vault::api::{ApiError, Caller};
use vault::{BoxFuture, ClientSettings, Mount, TlsError, Upstream};

pub(crate) use attempt::{Attempt, Given, Login};

use crate::watch::Watch;

/// What a method may use while it gets its credentials ready.
pub(crate) struct Scene<'a> {
    /// Where the method is mounted, `auth/approle`.
    pub(crate) mount: &'a Mount,
    /// The server, for what is asked before the login.
    pub(crate) server: &'a dyn Upstream,
    /// Whom we speak as, and at which address the server is.
    pub(crate) caller: &'a Caller,
    /// The environment as it was at start.
    pub(crate) environment: &'a Environment,
}

/// A way to log in.
pub(crate) trait Method: Send {
    /// Reads the credentials afresh and says how to log in with them.
    ///
    /// # Errors
    /// A credential is missing or unusable, or a service that gives it cannot be asked.
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>>;

    /// How the server is reached, for a method that has a way of its own there. Called once, before all else.
    fn use_client(&mut self, settings: &ClientSettings) {
        let _ = settings;
    }

    /// The server for logins and renewals, where it is spoken to in a way of the method's own: with a client
    /// certificate. Called after [`Self::prepare`].
    fn server(&self) -> Option<Arc<dyn Upstream>> {
        None
    }

    /// When to look for new credentials; never without. Asked anew after each look.
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// Looks for new credentials, and keeps them for the next login. True when they are others than those of the
    /// last login. What cannot be read now is no news.
    fn has_new_credentials<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        let _ = scene;
        Box::pin(std::future::ready(false))
    }
}

/// The method of a stanza. Reads nothing yet.
pub(crate) fn new(settings: &config::Method) -> Box<dyn Method> {
    match &settings.kind {
        config::MethodKind::AliCloud(keys) => Box::new(alicloud::AliCloud::new(keys)),
        config::MethodKind::AppRole(keys) => Box::new(approle::AppRole::new(keys)),
        config::MethodKind::Aws(keys) => aws::new(keys),
        config::MethodKind::Azure(keys) => Box::new(azure::Azure::new(keys)),
        config::MethodKind::Cert(keys) => Box::new(cert::Cert::new(keys)),
        config::MethodKind::Cf(keys) => Box::new(cf::Cf::new(keys)),
        config::MethodKind::Gcp(keys) => Box::new(gcp::Gcp::new(keys)),
        config::MethodKind::Jwt(keys) => Box::new(jwt::JwtFile::new(keys)),
        config::MethodKind::Kerberos(keys) => Box::new(kerberos::Kerberos::new(keys)),
        config::MethodKind::Kubernetes(keys) => Box::new(kubernetes::new(keys)),
        config::MethodKind::Ldap(keys) => Box::new(password::Password::new(keys)),
        config::MethodKind::Oci(keys) => Box::new(oci::Oci::new(keys)),
        config::MethodKind::Okta(keys) => Box::new(password::Password::new(keys)),
        config::MethodKind::Radius(keys) => Box::new(password::Password::new(keys)),
        config::MethodKind::Spiffe(keys) => Box::new(spiffe::new(keys)),
        config::MethodKind::TokenFile(keys) => Box::new(token_file::TokenFile::new(keys)),
        config::MethodKind::Userpass(keys) => Box::new(password::Password::new(keys)),
    }
}

/// Why a login failed, for the person who must act. No text holds a credential.
#[derive(Debug, Error)]
pub enum LoginError {
    /// A credential file is missing, unreadable or unusable, and nothing was read from it before.
    #[error("{what} file {path}: {reason}")]
    Credential {
        /// `role ID`, `secret ID`, `token`, …
        what: &'static str,
        /// The file.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// Credentials were found nowhere, or they contradict each other.
    #[error("{0}")]
    NoCredentials(String),
    /// A service that gives credentials could not be asked, or what it said is of no use.
    #[error("{what} at {url}: {reason}")]
    Outside {
        /// `instance metadata`, `token endpoint`, …
        what: &'static str,
        /// What was asked, without its query.
        url: String,
        /// Why there is nothing of use.
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
    /// The method's own way to the server cannot be.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server refused, or could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server said yes and gave nothing of use.
    #[error("the server's answer at {url} holds no usable {what}: {reason}")]
    Answer {
        /// `token`, `secret ID`.
        what: &'static str,
        /// What was asked.
        url: String,
        /// Why it is of no use.
        reason: &'static str,
    },
}

impl Scene<'_> {
    /// The server's address as people write it and upstream sends it: without the port that its scheme has anyhow.
    pub(crate) fn short_address(&self) -> String {
        let address = self.caller.address.as_str();
        let usual = match address.split_once("://") {
            Some(("https", _)) => ":443",
            Some(("http", _)) => ":80",
            _ => return address.to_owned(),
        };
        let (base, path) = oauth::split_url(address);
        match base.strip_suffix(usual) {
            // The host of an address without any path has none here either.
            Some(base) => format!("{base}{}", path.trim_end_matches('/')),
            None => address.to_owned(),
        }
    }
}

impl LoginError {
    /// One word for what went wrong, for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Credential { .. } | Self::NoCredentials(_) => "credentials",
            Self::Outside { .. } => "credential_source",
            Self::CreationPath { .. } => "creation_path",
            Self::Tls(_) => "tls",
            Self::Api(error) => error.kind(),
            Self::Answer { .. } => "malformed",
        }
    }

    /// Somebody is there and says no, or has nothing for us: no outage.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Api(error) => {
                error.status().is_some_and(|status| status.is_client_error() && status.as_u16() != 429)
            }
            Self::Outside { .. } | Self::Tls(_) => false,
            _ => true,
        }
    }

    /// When the server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(ApiError::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

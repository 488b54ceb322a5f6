//! `method "ldap"`, `"okta"`, `"radius"` and `"userpass"`: a user's name and password. Upstream has the first alone.

use super::keys::{CredentialFile, FileKeys, optional, piece, required};
use crate::decode::Fields;

/// A user's name and password.
#[derive(Clone, Debug, PartialEq)]
pub struct Password {
    /// The user.
    pub username: String,
    /// Where the password comes from.
    pub source: PasswordSource,
}

/// Where a password comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum PasswordSource {
    /// A file.
    File(CredentialFile),
    /// The environment variable of this name.
    Variable(String),
}

const FILE: FileKeys = FileKeys {
    remove: "remove_password_after_reading",
    follow: "remove_password_follows_symlinks",
    period: "password_read_period",
};

const PATH: &str = "password_file_path";
const VARIABLE: &str = "password_env_var";

pub(super) fn read(config: &Fields<'_>) -> Option<Password> {
    let username = piece(config, "username", required(config, "username"));
    let variable = optional(config, VARIABLE);
    let source = match variable {
        Some(variable) => {
            if config.has(PATH) {
                let message = format!("'{PATH}' and '{VARIABLE}' are both given");
                config.refuse_with(config.span_of(VARIABLE), message, "the password comes from one of them");
            }
            config.ignore(&[PATH]);
            Some(PasswordSource::Variable(variable))
        }
        None => required(config, PATH).map(|path| PasswordSource::File(FILE.read(config, path.into()))),
    };
    if !matches!(source, Some(PasswordSource::File(_))) {
        config.ignore(&[FILE.remove, FILE.follow, FILE.period]);
    }
    Some(Password { username: username?, source: source? })
}

impl Password {
    pub(super) fn sparing(&self) -> Self {
        match &self.source {
            PasswordSource::File(file) => Self { source: PasswordSource::File(file.kept()), ..self.clone() },
            PasswordSource::Variable(_) => self.clone(),
        }
    }
}

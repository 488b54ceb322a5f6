//! `method "jwt"`.

use super::keys::{CredentialFile, FileKeys, required, required_path};
use crate::decode::Fields;

/// A JWT from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// The file.
    pub file: CredentialFile,
    /// The role to log in to.
    pub role: String,
}

const FILE: FileKeys = FileKeys {
    remove: "remove_jwt_after_reading",
    follow: "remove_jwt_follows_symlinks",
    period: "jwt_read_period",
};

pub(super) fn read(config: &Fields<'_>) -> Option<Jwt> {
    let path = required_path(config, "path");
    let role = required(config, "role");
    let file = FILE.read(config, path.clone().unwrap_or_default());
    path.and(role).map(|role| Jwt { file, role })
}

impl Jwt {
    pub(super) fn sparing(&self) -> Self {
        Self { file: self.file.kept(), ..self.clone() }
    }
}

//! `method "approle"`.

use std::path::PathBuf;

use super::keys::{lax_bool, required_path, string};
use crate::decode::Fields;

/// A role id and mostly a secret id, from files.
#[derive(Clone, Debug, PartialEq)]
pub struct AppRole {
    /// File with the role id.
    pub role_id_file: PathBuf,
    /// File with the secret id; none for roles that need no secret.
    pub secret_id_file: Option<PathBuf>,
    /// Remove the secret id's file once it was read; default true.
    pub remove_secret_id_file: bool,
    /// The secret id's file holds a wrapping token, and its content must have been made at this path.
    pub wrapping_path: Option<String>,
}

pub(super) fn read(config: &Fields<'_>) -> Option<AppRole> {
    let role_id_file = required_path(config, "role_id_file_path");
    let secret_id_file = string(config, "secret_id_file_path").filter(|path| !path.is_empty());
    let remove = lax_bool(config, "remove_secret_id_file_after_reading");
    let wrapping_path = string(config, "secret_id_response_wrapping_path");
    if wrapping_path.as_deref() == Some("") {
        const KEY: &str = "secret_id_response_wrapping_path";
        config.refuse(config.span_of(KEY), format!("'{KEY}' value is empty"));
    }
    Some(AppRole {
        role_id_file: role_id_file?,
        secret_id_file: secret_id_file.map(PathBuf::from),
        remove_secret_id_file: remove.unwrap_or(true),
        wrapping_path,
    })
}

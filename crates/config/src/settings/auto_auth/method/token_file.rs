//! `method "token_file"`.

use std::path::PathBuf;

use super::keys::required_path;
use crate::decode::Fields;

/// A token somebody else put into a file.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenFile {
    /// The file.
    pub path: PathBuf,
}

pub(super) fn read(config: &Fields<'_>) -> Option<TokenFile> {
    required_path(config, "token_file_path").map(|path| TokenFile { path })
}

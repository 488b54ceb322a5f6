//! `token_store { … }`: a sealed copy of the token on disk, for the next start. None of the others has it.

use std::path::PathBuf;

use atomic_file::KeySource;

use crate::decode::{Fields, Labels};

/// A sealed copy of the token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenStore {
    /// The file.
    pub path: PathBuf,
    /// What the sealing key is made of.
    pub key: KeySource,
}

pub(super) fn read(auto_auth: &Fields<'_>) -> Option<TokenStore> {
    const PREFIX: &str = "error parsing 'auto_auth': error parsing 'token_store': ";
    let only_one = "only one \"token_store\" block is allowed";
    let block = auto_auth.single("token_store", Labels::Wanted(&[]), PREFIX, only_one)?;
    let fields = auto_auth.inside("token_store", &block, PREFIX);
    block.object?;
    let path = fields.file("path");
    if path.is_none() {
        fields.refuse_with(
            block.span,
            "'path' is missing",
            "name the file that keeps the token between two runs",
        );
    }
    let (file, credential) = (fields.file("key_file"), fields.filled("credential"));
    let key = match (file, credential) {
        (Some(file), None) => Some(KeySource::File(file)),
        (None, Some(name)) if name.contains('/') || name == "." || name == ".." => {
            let hint = "as in LoadCredential=NAME:PATH of the service";
            fields.refuse_with(
                fields.span_of("credential"),
                "'credential' is the name of a systemd credential, not a path",
                hint,
            );
            None
        }
        (None, Some(name)) => Some(KeySource::Credential(name)),
        (Some(_), Some(_)) => {
            fields.refuse(fields.span_of("credential"), "'key_file' and 'credential' exclude each other");
            None
        }
        (None, None) => {
            let hint = "name a file of random bytes that only this user may read: key_file = \"…\"";
            fields.refuse_with(block.span, "a 'key_file' or a 'credential' is needed", hint);
            None
        }
    };
    fields.finish();
    Some(TokenStore { path: path?, key: key? })
}

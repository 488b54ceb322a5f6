//! A credential in a file: read with care, remembered, perhaps removed.

use std::path::Path;

use tracing::{error, warn};
use vault::SecretString;

use super::LoginError;

/// What a method last read from a file.
#[derive(Debug)]
pub(super) struct Credential {
    what: &'static str,
    last: Option<SecretString>,
}

impl Credential {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, last: None }
    }

    /// Reads the file; white space around is trimmed. `None` when it is missing, empty or half written but
    /// something was read from it before: then [`Credential::last`] still serves.
    ///
    /// # Errors
    /// It cannot be used and there is nothing to fall back on.
    pub(super) fn read(&self, path: &Path) -> Result<Option<SecretString>, LoginError> {
        let problem = match atomic_file::read_small(path) {
            Ok(bytes) => match usable(bytes) {
                Ok(credential) => return Ok(Some(credential)),
                Err(problem) => problem.to_owned(),
            },
            Err(error) => error.reason(),
        };
        if self.last.is_some() {
            return Ok(None);
        }
        Err(LoginError::Credential { what: self.what, path: path.display().to_string(), reason: problem })
    }

    pub(super) fn remember(&mut self, credential: SecretString) {
        self.last = Some(credential);
    }

    pub(super) fn last(&self) -> Option<&SecretString> {
        self.last.as_ref()
    }

    /// Removes the file that was read. A failure is told and does not stop the login: the file may lie on a
    /// read-only mount.
    pub(super) fn remove(&self, path: &Path) {
        if let Err(error) = atomic_file::remove(path) {
            error!(target: "auth.approle", error = %error, "error removing {} file after reading", self.what);
        }
    }

    /// Says once that others may read the file.
    pub(super) fn warn_if_world_readable(&self, path: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0) {
            warn!(target: "auth.approle", path = %path.display(), "the {} file can be read by every user of this machine", self.what);
        }
    }
}

fn usable(bytes: Vec<u8>) -> Result<SecretString, &'static str> {
    let Ok(text) = String::from_utf8(bytes) else { return Err("it is not text") };
    match text.trim() {
        "" => Err("it is empty"),
        trimmed if trimmed.contains(['\n', '\r']) => Err("it holds more than one line"),
        trimmed => Ok(SecretString::new(trimmed)),
    }
}

//! A credential in a file: read with care, remembered, perhaps removed.

use std::path::{Path, PathBuf};

use tracing::{error, warn};
use vault::SecretString;

use super::LoginError;

/// A credential file and what was last read from it.
#[derive(Debug)]
pub(crate) struct Credential {
    what: &'static str,
    path: PathBuf,
    removal: Option<Links>,
    last: Option<SecretString>,
    warned: bool,
}

/// What is removed where the path is a symbolic link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Links {
    /// The link.
    Keep,
    /// What it leads to.
    Follow,
}

impl Credential {
    /// `what` names it in messages: `secret ID`, `token`.
    pub(super) fn new(what: &'static str, path: PathBuf) -> Self {
        Self { what, path, removal: None, last: None, warned: false }
    }

    /// The same, removed once it was read.
    #[must_use]
    pub(super) fn removed(mut self, links: Links) -> Self {
        self.removal = Some(links);
        self
    }

    /// Reads it, remembers it, and removes the file if that is wanted. A file that is missing, empty or half
    /// written is no failure once something was read from it.
    ///
    /// # Errors
    /// It cannot be used and there is nothing to fall back on.
    pub(super) fn fetch(&mut self) -> Result<&SecretString, LoginError> {
        if let Some(credential) = self.read()? {
            self.remember(credential);
        }
        self.last.as_ref().ok_or(LoginError::NoToken("nothing was read"))
    }

    /// Whether the file holds something else than what was last read; takes it over.
    pub(super) fn has_changed(&mut self) -> bool {
        let Ok(Some(credential)) = self.read() else { return false };
        let changed = self.last.as_ref() != Some(&credential);
        self.remember(credential);
        changed
    }

    /// Reads the file; white space around is trimmed. `None` when it cannot be used but something was read from
    /// it before: then [`Credential::last`] still serves.
    ///
    /// # Errors
    /// It cannot be used and there is nothing to fall back on.
    pub(super) fn read(&mut self) -> Result<Option<SecretString>, LoginError> {
        let problem = match atomic_file::read_small(&self.path) {
            Ok(bytes) => match usable(bytes) {
                Ok(credential) => {
                    self.warn_if_world_readable();
                    return Ok(Some(credential));
                }
                Err(problem) => problem.to_owned(),
            },
            Err(error) => error.reason(),
        };
        if self.last.is_some() {
            return Ok(None);
        }
        let path = self.path.display().to_string();
        Err(LoginError::Credential { what: self.what, path, reason: problem })
    }

    /// It is safely ours: remembers it, and removes the file if that is wanted. A failure to do so is told and
    /// does not stop the login: the file may lie on a read-only mount.
    pub(super) fn remember(&mut self, credential: SecretString) {
        self.last = Some(credential);
        let Some(links) = self.removal else { return };
        let path = match links {
            Links::Keep => Ok(self.path.clone()),
            Links::Follow => std::fs::canonicalize(&self.path),
        };
        let removed = path.map_err(|error| error.to_string());
        let removed = removed.and_then(|path| atomic_file::remove(&path).map_err(|error| error.to_string()));
        if let Err(error) = removed {
            error!(target: "auth.handler", error, "error removing {} file after reading", self.what);
        }
    }

    /// What was last read.
    pub(super) fn last(&self) -> Option<&SecretString> {
        self.last.as_ref()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says once that others may read the file.
    fn warn_if_world_readable(&mut self) {
        if !std::mem::replace(&mut self.warned, true) && is_world_readable(&self.path) {
            warn!(target: "auth.handler", path = %self.path.display(), "the {} file can be read by every user of this machine", self.what);
        }
    }
}

/// Whether every user of the machine may read a file.
pub(super) fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

fn usable(bytes: Vec<u8>) -> Result<SecretString, &'static str> {
    let Ok(text) = String::from_utf8(bytes) else { return Err("it is not text") };
    match text.trim() {
        "" => Err("it is empty"),
        trimmed if trimmed.contains(['\n', '\r']) => Err("it holds more than one line"),
        trimmed => Ok(SecretString::new(trimmed)),
    }
}

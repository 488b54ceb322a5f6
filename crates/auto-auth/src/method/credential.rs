//! A credential in a file: read with care, remembered, perhaps removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use config::{CredentialFile, Removal};
use tracing::{debug, error, warn};
use vault::SecretString;

use super::LoginError;
use super::shape::Shape;

/// A credential file and what was last read from it.
#[derive(Debug)]
pub(crate) struct Credential {
    what: &'static str,
    path: PathBuf,
    shape: Shape,
    removal: Option<Links>,
    /// What serves for the login.
    last: Option<SecretString>,
    /// What the file held when it could last be used: the same, or what it came from.
    seen: Option<SecretString>,
    /// Why it cannot be used, as it was last said, while there is nothing to fall back on.
    problem: Option<String>,
    warned: Warned,
}

/// What was said already: each is said once, not at each look.
#[derive(Debug, Default)]
struct Warned {
    unusable: bool,
    stays: bool,
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
        Self {
            what,
            path,
            shape: Shape::Line,
            removal: None,
            last: None,
            seen: None,
            problem: None,
            warned: Warned::default(),
        }
    }

    /// The same from a stanza that says whether to remove it.
    pub(super) fn of_file(what: &'static str, file: &CredentialFile) -> Self {
        let credential = Self::new(what, file.path.clone());
        match file.removal {
            Removal::Never => credential,
            Removal::Link => credential.removed(Links::Keep),
            Removal::Target => credential.removed(Links::Follow),
        }
    }

    /// The same with another content than one line.
    #[must_use]
    pub(super) fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
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
        self.last.as_ref().ok_or_else(|| self.unusable("nothing was read"))
    }

    /// Whether the file holds something else than what was last read; takes it over.
    pub(super) fn has_changed(&mut self) -> bool {
        let (changed, credential) = self.look();
        if let Some(credential) = credential {
            self.remember(credential);
        }
        changed
    }

    /// Whether the file holds something else than what was last read; leaves it for the next login.
    pub(super) fn has_news(&mut self) -> bool {
        self.look().0
    }

    fn look(&mut self) -> (bool, Option<SecretString>) {
        let before = self.seen.clone();
        let told = self.problem.clone();
        match self.read() {
            Ok(Some(credential)) => (before.as_ref() != Some(&credential), Some(credential)),
            Ok(None) => (false, None),
            Err(error) => {
                // The next login may be minutes away, and somebody has just put something else there.
                if self.problem != told {
                    warn!(target: "auth.handler", error = %error, "new credentials cannot be used");
                }
                (false, None)
            }
        }
    }

    /// Reads the file and what is around its credential away. `None` when it cannot be used but something was read
    /// from it before: then [`Credential::last`] still serves.
    ///
    /// # Errors
    /// It cannot be used and there is nothing to fall back on.
    pub(super) fn read(&mut self) -> Result<Option<SecretString>, LoginError> {
        let (problem, missing) = match atomic_file::read_small(&self.path) {
            Ok(bytes) => match self.shape.take(bytes) {
                Ok(credential) => {
                    warn_if_world_readable(self.what, &self.path);
                    self.warned.unusable = false;
                    self.problem = None;
                    self.seen = Some(credential.clone());
                    return Ok(Some(credential));
                }
                Err(problem) => (problem, false),
            },
            Err(error) => (error.reason(), error.is_missing()),
        };
        if self.last.is_none() {
            let error = self.unusable(&problem);
            self.problem = Some(problem);
            return Err(error);
        }
        let path = self.path.display().to_string();
        // A file that is gone was mostly removed by us.
        if !missing && !std::mem::replace(&mut self.warned.unusable, true) {
            warn!(target: "auth.handler", path, reason = problem, "the {} file cannot be used; what was read from it before still serves", self.what);
        }
        Ok(None)
    }

    /// It is safely ours: remembers it, and removes the file if that is wanted. A failure to do so is told once and
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
        match removed {
            Ok(()) => {
                debug!(target: "auth.handler", path = %self.path.display(), "removed the {} file after reading", self.what);
                self.warned.stays = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.warned.stays, true) {
                    error!(target: "auth.handler", error, "error removing {} file after reading", self.what);
                }
            }
        }
    }

    /// An error about what the file holds.
    pub(super) fn unusable(&self, reason: &str) -> LoginError {
        let path = self.path.display().to_string();
        LoginError::Credential { what: self.what, path, reason: reason.to_owned() }
    }

    /// What was last read.
    pub(super) fn last(&self) -> Option<&SecretString> {
        self.last.as_ref()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Files of which it was said.
static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Says that others may read a file, once while the program runs: files are read for each login.
pub(super) fn warn_if_world_readable(what: &str, path: &Path) {
    let is_new = || SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    if atomic_file::is_world_readable(path) && is_new() {
        warn!(target: "auth.handler", path = %path.display(), "the {what} file can be read by every user of this machine");
    }
}

#[cfg(test)]
mod tests;

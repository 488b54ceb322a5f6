//! The pid file: our process id while we run.

use std::path::{Path, PathBuf};

use atomic_file::{Attributes, FileError};

/// Removed on drop.
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it, mode 0600, decimal, no newline, as upstream does.
    pub(super) fn write(path: &Path) -> Result<Self, FileError> {
        let pid = std::process::id().to_string();
        atomic_file::write(path, pid.as_bytes(), &Attributes::new(0o600))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = atomic_file::remove(&self.0);
    }
}

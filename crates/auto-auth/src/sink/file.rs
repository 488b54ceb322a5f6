//! `sink "file"`: the bare token in a file, written whole (no trailing newline).

use std::path::{Path, PathBuf};

use atomic_file::{Attributes, FileError, Mode};
use config::Identity;
use thiserror::Error;
use tracing::{error, info, warn};
use vault::Token;

/// A file that holds the token.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    attributes: Attributes,
}

/// Why a sink cannot be.
#[derive(Debug, Error)]
pub enum SinkError {
    /// Nothing can be written there.
    #[error("error creating file sink: error during write check: {0}")]
    WriteCheck(#[source] FileError),
    /// Its owner or group does not exist.
    #[error("error creating file sink: {0}")]
    Identity(#[source] FileError),
}

impl FileSink {
    /// Looks up owner and group, removes what a crash left, and checks that the folder can be written to.
    ///
    /// # Errors
    /// An unknown owner, or a folder that is missing or cannot be written to. Something in the way at the
    /// path itself (a folder, a FIFO) is told and tried again with each token: it may go away.
    pub fn new(settings: &config::FileSink) -> Result<Self, SinkError> {
        let attributes = Attributes {
            mode: Mode::Exact(settings.mode),
            owner: settings.owner.as_ref().map(Identity::user_id).transpose().map_err(SinkError::Identity)?,
            group: settings
                .group
                .as_ref()
                .map(Identity::group_id)
                .transpose()
                .map_err(SinkError::Identity)?,
            backup: false,
        };
        atomic_file::remove_stale_temporaries([settings.path.as_path()]);
        match atomic_file::check_writable(&settings.path) {
            Ok(()) => {}
            Err(error @ FileError::NotRegular { .. }) => {
                error!(target: "sink.file", error = %error, "the sink cannot be written; trying again with each token");
            }
            Err(error) => return Err(SinkError::WriteCheck(error)),
        }
        if settings.mode & 0o004 != 0 {
            warn!(target: "sink.file", path = %settings.path.display(), "the token file can be read by every user of this machine");
        }
        let mode = mode_text(settings.mode);
        info!(target: "sink.file", path = %settings.path.display(), mode, "file sink configured");
        Ok(Self { path: settings.path.clone(), attributes })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the token.
    ///
    /// # Errors
    /// The file system's; the old file is as it was.
    pub fn write(&self, token: &Token) -> Result<(), FileError> {
        atomic_file::write(&self.path, token.expose().as_bytes(), &self.attributes)?;
        info!(target: "sink.file", path = %self.path.display(), "token written");
        Ok(())
    }
}

/// `-rw-r-----`, as Go prints a mode.
fn mode_text(mode: u32) -> String {
    let bit = |at: u32| if mode & (1 << at) != 0 { b"xwr"[at as usize % 3] as char } else { '-' };
    std::iter::once('-').chain((0..9).rev().map(bit)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn settings(path: &Path) -> config::FileSink {
        config::FileSink { path: path.to_owned(), mode: 0o640, owner: None, group: None }
    }

    #[test]
    fn writes_the_bare_token_with_mode_and_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut wanted = settings(&path);
        if rustix_is_root() {
            (wanted.owner, wanted.group) = (Some(Identity::Id(1000)), Some(Identity::Name("root".into())));
        }
        FileSink::new(&wanted).unwrap().write(&Token::new("s.one").unwrap()).unwrap();
        let data = std::fs::metadata(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"s.one");
        assert_eq!(data.permissions().mode() & 0o7777, 0o640);
        if rustix_is_root() {
            assert_eq!((data.uid(), data.gid()), (1000, 0));
        }
    }

    fn rustix_is_root() -> bool {
        std::fs::metadata("/proc/self").unwrap().uid() == 0
    }

    #[test]
    fn a_missing_folder_is_told_at_start() {
        let error = FileSink::new(&settings(Path::new("/nonexistent/token"))).unwrap_err().to_string();
        assert!(
            error.starts_with("error creating file sink: error during write check: cannot open"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_in_the_way_is_no_reason_to_die() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        atomic_file::create_folders(&path).unwrap();
        let sink = FileSink::new(&settings(&path)).unwrap();
        assert!(sink.write(&Token::new("s.one").unwrap()).is_err());
    }

    #[test]
    fn modes_read_as_in_a_listing() {
        assert_eq!((mode_text(0o640), mode_text(0o777)), ("-rw-r-----".into(), "-rwxrwxrwx".into()));
    }
}

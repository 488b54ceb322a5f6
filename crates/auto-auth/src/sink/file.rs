//! `sink "file"`: the token in a file, written whole.

use std::path::{Path, PathBuf};

use atomic_file::{Attributes, FileError, Mode, Written};
use config::Identity;
use tracing::{error, info, warn};

use super::{SinkError, mode_text};

/// A file that holds the token.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    attributes: Attributes,
    restore: bool,
}

impl FileSink {
    /// Looks up owner and group, removes what a crash left, and checks that the folder can be written to.
    ///
    /// # Errors
    /// An unknown owner, or a folder that is missing or cannot be written to. Something in the way at the
    /// path itself (a folder, a FIFO, a mount) is told and tried again with each token: it may go away.
    pub(super) fn new(settings: &config::FileSink) -> Result<Self, SinkError> {
        let unknown = |source| SinkError::Identity { kind: "file", source };
        let attributes = Attributes {
            mode: Mode::Exact(settings.mode),
            owner: settings.owner.as_ref().map(Identity::user_id).transpose().map_err(unknown)?,
            group: settings.group.as_ref().map(Identity::group_id).transpose().map_err(unknown)?,
            backup: false,
        };
        atomic_file::remove_stale_temporaries([settings.path.as_path()]);
        match atomic_file::check_writable(&settings.path) {
            Ok(()) => {}
            Err(error @ (FileError::NotRegular { .. } | FileError::Mounted(_))) => {
                error!(target: "sink.file", error = %error, "the sink cannot be written; trying again with each token");
            }
            Err(error) => return Err(SinkError::WriteCheck(error)),
        }
        let path = settings.path.display();
        if settings.mode & 0o004 != 0 {
            warn!(target: "sink.file", %path, "the token file can be read by every user of this machine");
        }
        if let Some(reason) = atomic_file::endangered(&settings.path) {
            warn!(target: "sink.file", %path, reason, "others can replace the token file");
        }
        let mode = mode_text(settings.mode);
        info!(target: "sink.file", %path, mode, "file sink configured");
        Ok(Self { path: settings.path.clone(), attributes, restore: settings.restore })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is put back when somebody removes or changes it.
    pub(super) fn restores(&self) -> bool {
        self.restore
    }

    /// Writes the content, unless the file is just so already.
    ///
    /// # Errors
    /// The file system's; the old file is as it was.
    pub(super) fn write(&self, content: &[u8]) -> Result<(), FileError> {
        atomic_file::write_if_changed(&self.path, content, &self.attributes)?;
        info!(target: "sink.file", path = %self.path.display(), "token written");
        Ok(())
    }

    /// Puts the file back if it is no longer as [`FileSink::write`] left it.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn put_back(&self, content: &[u8]) -> Result<(), FileError> {
        if atomic_file::write_if_changed(&self.path, content, &self.attributes)? == Written::Changed {
            warn!(target: "sink.file", path = %self.path.display(), "the token file was removed or changed by somebody, and is put back");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn settings(path: &Path) -> config::FileSink {
        config::FileSink { path: path.to_owned(), ..config::FileSink::default() }
    }

    #[test]
    fn writes_with_mode_and_owner_and_not_without_need() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut wanted = settings(&path);
        if are_root() {
            (wanted.owner, wanted.group) = (Some(Identity::Id(1000)), Some(Identity::Name("root".into())));
        }
        let sink = FileSink::new(&wanted).unwrap();
        sink.write(b"s.one").unwrap();
        let data = std::fs::metadata(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"s.one");
        assert_eq!(data.permissions().mode() & 0o7777, 0o640);
        if are_root() {
            assert_eq!((data.uid(), data.gid()), (1000, 0));
        }
        sink.write(b"s.one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), data.ino(), "written again for nothing");
    }

    fn are_root() -> bool {
        std::fs::metadata("/proc/self").unwrap().uid() == 0
    }

    #[test]
    fn a_missing_folder_or_owner_is_told_at_start() {
        let error = FileSink::new(&settings(Path::new("/nonexistent/token"))).unwrap_err().to_string();
        let start = "error creating file sink: error during write check: cannot open";
        assert!(error.starts_with(start), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let nobody = Some(Identity::Name("no such user".into()));
        let unknown = config::FileSink { owner: nobody, ..settings(&folder.path().join("token")) };
        let error = FileSink::new(&unknown).unwrap_err().to_string();
        assert_eq!(error, "error creating file sink: failed to look up user \"no such user\"");
    }

    #[test]
    fn a_folder_in_the_way_is_no_reason_to_die() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        atomic_file::create_folders(&path).unwrap();
        let sink = FileSink::new(&settings(&path)).unwrap();
        assert!(sink.write(b"s.one").is_err());
    }

    #[test]
    fn what_all_may_read_is_told_and_what_a_crash_left_is_removed() {
        let (told, _guard) = crate::told::listen();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let left = folder.path().join(".token.0123456789abcdef.tmp");
        atomic_file::write(&left, b"s.old", &atomic_file::Attributes::new(0o600)).unwrap();
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        std::fs::File::open(&left).unwrap().set_modified(long_ago).unwrap();
        FileSink::new(&config::FileSink { mode: 0o640, ..settings(&path) }).unwrap();
        assert!(!left.exists());
        assert_eq!(told.times("can be read by every user"), 0);
        FileSink::new(&config::FileSink { mode: 0o644, ..settings(&path) }).unwrap();
        assert_eq!(told.times("WARN message=the token file can be read by every user"), 1);
    }
}

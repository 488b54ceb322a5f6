//! A folder held open: what is done in it is done there, whatever its path leads to meanwhile.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode as RawMode, OFlags, StatxAttributes, StatxFlags, Uid};
use rustix::io::Errno;

use crate::read::{READING, kind_name, read_opened};
use crate::write::{Temporary, back_up};
use crate::{Attributes, FileError, Mode, Written};

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    pub(crate) fd: OwnedFd,
    /// For messages.
    pub(crate) path: PathBuf,
}

/// What lies under a name.
pub(crate) struct Found {
    pub(crate) kind: FileType,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    size: u64,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens a folder; links on the way are followed.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let fd = rustix::fs::open(path, FOLDER, RawMode::empty())
            .map_err(|e| FileError::io("open the folder", path, e))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Whether a symbolic link has this name.
    pub fn has_link(&self, name: &OsStr) -> bool {
        let found = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_symlink())
    }

    /// Whether there is a file of this name that is not empty.
    ///
    /// # Errors
    /// Something else lies there, or the system's.
    pub fn is_filled(&self, name: &OsStr) -> Result<bool, FileError> {
        Ok(self.found(name)?.is_some_and(|found| found.size > 0))
    }

    /// [`crate::write`] of a file in this folder.
    ///
    /// # Errors
    /// Every step's, with the path. The temporary file is gone in each case.
    pub fn write(&self, name: &OsStr, bytes: &[u8], attributes: &Attributes) -> Result<(), FileError> {
        self.replace(name, bytes, attributes).map_err(|error| self.explain(name, error))
    }

    fn replace(&self, name: &OsStr, bytes: &[u8], attributes: &Attributes) -> Result<(), FileError> {
        let path = self.path.join(name);
        let found = self.found(name)?;
        let temporary = Temporary::create(&self.fd, &self.path, name)?;
        temporary.fill(bytes, attributes, found.as_ref())?;
        temporary.sync()?;
        if attributes.backup && found.is_some() {
            back_up(&self.fd, &self.path, name)?;
        }
        temporary.rename_to(name, &path)?;
        rustix::fs::fsync(&self.fd).map_err(|e| FileError::io("sync the folder of", &path, e))
    }

    /// What is behind a failure: a file that is mounted by itself fails to be replaced in several ways. Where its folder
    /// is another file system's, often nothing can be made beside it; a backup cannot be linked; at last it is busy.
    pub(crate) fn explain(&self, name: &OsStr, error: FileError) -> FileError {
        match error {
            FileError::Io { .. } if self.is_mounted(name) => FileError::Mounted(self.path.join(name)),
            error => error,
        }
    }

    /// Whether what has this name is mounted there. `false` where the system does not tell (Linux before 5.8).
    pub(crate) fn is_mounted(&self, name: &OsStr) -> bool {
        let found = rustix::fs::statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
        let mark = StatxAttributes::MOUNT_ROOT;
        found.is_ok_and(|found| {
            found.stx_attributes_mask.contains(mark) && found.stx_attributes.contains(mark)
        })
    }

    /// [`crate::write_if_changed`] of a file in this folder.
    ///
    /// # Errors
    /// As [`Folder::write`].
    pub fn write_if_changed(
        &self,
        name: &OsStr,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<Written, FileError> {
        let (written, fits) = self.compare(name, bytes, attributes)?;
        if !fits {
            self.write(name, bytes, attributes)?;
        }
        Ok(written)
    }

    /// Whether the file has just these bytes, and whether everything about it is as wanted.
    pub(crate) fn compare(
        &self,
        name: &OsStr,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(Written, bool), FileError> {
        let found = self.found(name)?.filter(|found| found.kind.is_file());
        let Some(found) = found.filter(|found| self.holds(name, found, bytes)) else {
            return Ok((Written::Changed, false));
        };
        let mode_fits = match attributes.mode {
            Mode::Exact(mode) => found.mode == mode,
            Mode::KeepOr(_) => true,
        };
        let owner_fits = attributes.owner.is_none_or(|owner| found.owner == owner)
            && attributes.group.is_none_or(|group| found.group == group);
        Ok((Written::Unchanged, mode_fits && owner_fits))
    }

    /// Adds bytes at the end of a file, which is made if it is not there. This alone is not done whole or not
    /// at all. A link is an error, and so is anything that is no regular file.
    ///
    /// # Errors
    /// Every step's, with the path.
    pub fn append(&self, name: &OsStr, bytes: &[u8], attributes: &Attributes) -> Result<(), FileError> {
        let path = self.path.join(name);
        if self.has_link(name) {
            return Err(FileError::Link(path));
        }
        let io = |action| {
            let path = path.clone();
            move |error: Errno| FileError::io(action, &path, error)
        };
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.fd, name, flags, RawMode::RUSR | RawMode::WUSR);
        let opened = opened.map_err(io("open"))?;
        let found = rustix::fs::fstat(&opened).map_err(io("stat"))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if !kind.is_file() {
            return Err(FileError::NotRegular { path, kind: kind_name(kind) });
        }
        let file = std::fs::File::from(opened);
        (&file).write_all(bytes).map_err(|e| FileError::io("write", &path, e))?;
        if attributes.owner.is_some() || attributes.group.is_some() {
            let (owner, group) = (attributes.owner.map(Uid::from_raw), attributes.group.map(Gid::from_raw));
            rustix::fs::fchown(&file, owner, group).map_err(io("set the owner of"))?;
        }
        if let Mode::Exact(mode) = attributes.mode {
            rustix::fs::fchmod(&file, RawMode::from_raw_mode(mode & 0o7777))
                .map_err(io("set the mode of"))?;
        }
        rustix::fs::fsync(&file).map_err(io("sync"))
    }

    /// What lies under the name: a regular file, a link (to be replaced), nothing, or an error.
    pub(crate) fn found(&self, name: &OsStr) -> Result<Option<Found>, FileError> {
        let path = || self.path.join(name);
        let found = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(FileError::io("stat", &path(), error)),
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        if !kind.is_file() && !kind.is_symlink() {
            return Err(FileError::NotRegular { path: path(), kind: kind_name(kind) });
        }
        Ok(Some(Found {
            kind,
            mode: found.st_mode & 0o7777,
            owner: found.st_uid,
            group: found.st_gid,
            size: u64::try_from(found.st_size).unwrap_or_default(),
        }))
    }

    /// Whether the file has just these bytes. One that cannot be read has not.
    fn holds(&self, name: &OsStr, found: &Found, bytes: &[u8]) -> bool {
        if found.size != bytes.len() as u64 {
            return false;
        }
        let opened = rustix::fs::openat(&self.fd, name, READING | OFlags::NOFOLLOW, RawMode::empty());
        opened.is_ok_and(|opened| read_opened(opened, &self.path, bytes.len()).is_ok_and(|old| old == bytes))
    }
}

/// How folders are opened.
pub(crate) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Why others could put something of theirs in the place of the file at `path`, if they could.
pub fn endangered(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let (folder, _) = split(path).ok()?;
    let found = std::fs::metadata(folder).ok()?;
    const ALL_MAY_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    if found.mode() & ALL_MAY_WRITE != 0 && found.mode() & STICKY == 0 {
        return Some(format!("its folder {} can be written to by every user", folder.display()));
    }
    let owner = found.uid();
    let is_foreign = owner != 0 && owner != rustix::process::geteuid().as_raw();
    is_foreign.then(|| format!("its folder {} belongs to another user ({owner})", folder.display()))
}

/// A path's folder and its last component.
pub(crate) fn split(path: &Path) -> Result<(&Path, &OsStr), FileError> {
    let name = path.file_name().ok_or_else(|| FileError::NoName(path.to_owned()))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok((folder, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    /// No test may mount; what is mounted everywhere is told apart. Files are tested with the whole program.
    #[test]
    fn what_is_mounted_is_known_and_explains_a_failure() {
        let root = Folder::open(Path::new("/")).unwrap();
        assert!(root.is_mounted(OsStr::new("proc")) && !root.is_mounted(OsStr::new("etc")));
        let busy = || FileError::io("rename to", Path::new("/x"), Errno::BUSY);
        assert!(
            matches!(root.explain(OsStr::new("proc"), busy()), FileError::Mounted(path) if path == Path::new("/proc"))
        );
        assert!(matches!(root.explain(OsStr::new("etc"), busy()), FileError::Io { .. }));
        let other = FileError::NotRegular { path: "/proc".into(), kind: "directory" };
        assert!(matches!(root.explain(OsStr::new("proc"), other), FileError::NotRegular { .. }));
    }

    #[test]
    fn what_is_appended_comes_last_and_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        let attributes = Attributes::new(0o640);
        for bytes in [b"one\n", b"two\n"] {
            opened.append(OsStr::new("log"), bytes, &attributes).unwrap();
        }
        let path = folder.path().join("log");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        symlink(&path, folder.path().join("link")).unwrap();
        let error = opened.append(OsStr::new("link"), b"x", &attributes).unwrap_err();
        assert!(error.to_string().ends_with("link is a symbolic link, which is not followed for writing"));
        rustix::fs::mknodat(&opened.fd, "fifo", FileType::Fifo, RawMode::RWXU, 0).unwrap();
        assert!(opened.append(OsStr::new("fifo"), b"x", &attributes).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }
}

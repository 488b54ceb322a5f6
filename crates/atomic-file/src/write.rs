//! Writing: a file is replaced as a whole by a temporary one beside it, which has its mode, its owner and its content
//! on the disk before it has the name.
//!
//! Who reads sees the old content or the new. The destination is never opened for writing; whatever fails leaves it
//! as it was and takes the temporary file away. Nothing here knows what is written or why. The order of the steps is
//! the promise: change it only with the tests about crashes and about who sees what.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Gid, Mode as RawMode, OFlags, Uid};

use crate::FileError;
use crate::folder::{Folder, Found, split};

/// Which mode the file gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// This one, whatever the umask and whatever was there.
    Exact(u32),
    /// That of the file being replaced, or this one for a new file.
    KeepOr(u32),
}

/// Mode and owner of a written file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// Its mode.
    pub mode: Mode,
    /// Its owner, if it is to be set.
    pub owner: Option<u32>,
    /// Its group, if it is to be set.
    pub group: Option<u32>,
    /// Keep the replaced file as `<path>.bak`.
    pub backup: bool,
}

impl Attributes {
    /// An exact mode and the process's own owner.
    pub fn new(mode: u32) -> Self {
        Self { mode: Mode::Exact(mode), owner: None, group: None, backup: false }
    }
}

/// What a write did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written {
    /// The file is new or has new content.
    Changed,
    /// The content was there already; nothing was touched.
    Unchanged,
}

/// Writes a file whole: after it, the path holds all of `bytes` or what it held before.
///
/// A symbolic or hard link at the path is replaced, its target untouched; anything else that is no regular
/// file is an error and stays.
///
/// # Errors
/// Every step's, with the path. The temporary file is gone in each case.
pub fn write(path: &Path, bytes: &[u8], attributes: &Attributes) -> Result<(), FileError> {
    let (folder, name) = split(path)?;
    Folder::open(folder)?.write(name, bytes, attributes)
}

/// [`write`], unless the file holds just these bytes already. Mode and owner of an unchanged file are put
/// right if they were asked for exactly.
///
/// # Errors
/// As [`write`].
pub fn write_if_changed(path: &Path, bytes: &[u8], attributes: &Attributes) -> Result<Written, FileError> {
    let (folder, name) = split(path)?;
    Folder::open(folder)?.write_if_changed(name, bytes, attributes)
}

/// Whether a file could be written at `path` now: makes a temporary file beside it and removes it again.
///
/// # Errors
/// Why not.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let (folder, name) = split(path)?;
    let folder = Folder::open(folder)?;
    folder.found(name)?;
    if folder.is_mounted(name) {
        return Err(FileError::Mounted(path.to_owned()));
    }
    Temporary::create(&folder.fd, &folder.path, name).map(drop)
}

/// Writes a new file whole; what lies there already, whatever it is, stays and is an error.
///
/// # Errors
/// Something lies there ([`FileError::Exists`]), or every step's, with the path.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let (folder, name) = split(path)?;
    let folder = Folder::open(folder)?;
    let temporary = Temporary::create(&folder.fd, &folder.path, name)?;
    temporary.fill(bytes, &Attributes::new(mode), None)?;
    temporary.sync()?;
    let linked =
        rustix::fs::linkat(&folder.fd, temporary.name.as_slice(), &folder.fd, name, AtFlags::empty());
    match linked {
        Ok(()) => rustix::fs::fsync(&folder.fd).map_err(|e| FileError::io("sync the folder of", path, e)),
        Err(rustix::io::Errno::EXIST) => Err(FileError::Exists(path.to_owned())),
        Err(error) => Err(FileError::io("create", path, error)),
    }
}

/// Makes a folder and what is missing above it, mode 0755 less the umask.
///
/// # Errors
/// The system's, with the path.
pub fn create_folders(path: &Path) -> Result<(), FileError> {
    create_folders_as(path, 0o755)
}

/// The same with a mode of the caller's, less the umask.
///
/// # Errors
/// The system's, with the path.
pub fn create_folders_as(path: &Path, mode: u32) -> Result<(), FileError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| FileError::io("create the folder", path, e))
}

/// Removes a file or a link, never what a link points to.
///
/// # Errors
/// The system's, with the path.
#[expect(clippy::disallowed_methods, reason = "this crate is where files are removed")]
pub fn remove(path: &Path) -> Result<(), FileError> {
    std::fs::remove_file(path).map_err(|e| FileError::io("remove", path, e))
}

/// Renames a file that is of no use to `<name>.damaged` beside it, in place of an earlier one, for whoever wants to
/// know what became of it. Returns the new path.
///
/// # Errors
/// The system's, with the path.
#[expect(clippy::disallowed_methods, reason = "this crate is where files are renamed")]
pub fn move_aside(path: &Path) -> Result<PathBuf, FileError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    std::fs::rename(path, &aside).map_err(|e| FileError::io("move aside", path, e))?;
    Ok(aside.into())
}

/// A temporary file older than this was left by a crash.
const STALE: Duration = Duration::from_secs(60);

/// Removes what a crash left beside these files: our own temporary files of their names, regular, of our own user,
/// older than a minute. Each folder is read once. Returns how many were removed.
pub fn remove_stale_temporaries<'a>(paths: impl IntoIterator<Item = &'a Path>) -> usize {
    let mut folders: BTreeMap<&Path, HashSet<&OsStr>> = BTreeMap::new();
    for (folder, name) in paths.into_iter().filter_map(|path| split(path).ok()) {
        folders.entry(folder).or_default().insert(beginning(name));
    }
    let mine = rustix::process::geteuid().as_raw();
    let is_stale = |entry: &std::fs::DirEntry| {
        let data = entry.metadata().ok()?;
        let age = SystemTime::now().duration_since(data.modified().ok()?).ok()?;
        Some(data.is_file() && data.uid() == mine && age > STALE)
    };
    let mut removed = 0;
    for (folder, names) in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_ours = temporary_of(&name).is_some_and(|of| names.contains(of));
            if is_ours && is_stale(&entry) == Some(true) && remove(&entry.path()).is_ok() {
                removed += 1;
            }
        }
    }
    removed
}

/// Longest name of a file, in bytes: `NAME_MAX` of Linux.
const LONGEST: usize = 255;

/// As much of a file's name as has room in the name of its temporary file.
fn beginning(name: &OsStr) -> &OsStr {
    let most = LONGEST - "..0123456789abcdef.tmp".len();
    OsStr::from_bytes(name.as_bytes().get(..most).unwrap_or(name.as_bytes()))
}

/// `NAME` of `.NAME.<16 hex digits>.tmp`.
fn temporary_of(candidate: &OsStr) -> Option<&OsStr> {
    let middle = candidate.as_bytes().strip_prefix(b".")?.strip_suffix(b".tmp")?;
    let (name, digits) = middle.split_at_checked(middle.len().checked_sub(17)?)?;
    let digits = digits.strip_prefix(b".")?;
    digits.iter().all(u8::is_ascii_hexdigit).then(|| OsStr::from_bytes(name))
}

/// A temporary file; removed on drop unless it was renamed.
pub(crate) struct Temporary<F: AsFd> {
    folder: F,
    file: std::fs::File,
    name: Vec<u8>,
    path: PathBuf,
    renamed: std::cell::Cell<bool>,
}

impl<F: AsFd> Temporary<F> {
    pub(crate) fn create(folder: F, folder_path: &Path, name: &OsStr) -> Result<Self, FileError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let mut temporary = b".".to_vec();
            temporary.extend_from_slice(beginning(name).as_bytes());
            temporary.extend_from_slice(format!(".{:016x}.tmp", fastrand::u64(..)).as_bytes());
            let path = folder_path.join(OsStr::from_bytes(&temporary));
            // Nobody else may read it before it has its final mode and owner.
            match rustix::fs::openat(&folder, temporary.as_slice(), flags, RawMode::RUSR | RawMode::WUSR) {
                Ok(file) => {
                    let renamed = std::cell::Cell::new(false);
                    return Ok(Self { folder, file: file.into(), name: temporary, path, renamed });
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(FileError::io("create", &path, error)),
            }
        }
    }

    /// Content, owner and mode; not yet on the disk.
    pub(crate) fn fill(
        &self,
        bytes: &[u8],
        attributes: &Attributes,
        existing: Option<&Found>,
    ) -> Result<(), FileError> {
        (&self.file).write_all(bytes).map_err(|e| FileError::io("write", &self.path, e))?;
        let regular = existing.filter(|found| found.kind.is_file());
        let fd = self.file.as_fd();
        if attributes.owner.is_some() || attributes.group.is_some() {
            let (owner, group) = (attributes.owner.map(Uid::from_raw), attributes.group.map(Gid::from_raw));
            rustix::fs::fchown(fd, owner, group)
                .map_err(|e| FileError::io("set the owner of", &self.path, e))?;
        } else if let (Some(old), Mode::KeepOr(_)) = (regular, attributes.mode) {
            // Keeping the owner is a courtesy that only root can pay in full.
            let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(old.owner)), Some(Gid::from_raw(old.group)));
        }
        let mode = match (attributes.mode, regular) {
            (Mode::Exact(mode), _) | (Mode::KeepOr(mode), None) => mode,
            (Mode::KeepOr(_), Some(old)) => old.mode,
        };
        rustix::fs::fchmod(fd, RawMode::from_raw_mode(mode & 0o7777))
            .map_err(|e| FileError::io("set the mode of", &self.path, e))
    }

    /// Starts to write the content to the disk, without waiting for it. Only a hint, so it cannot fail.
    pub(crate) fn hurry(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Waits until everything is on the disk.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        rustix::fs::fsync(&self.file).map_err(|e| FileError::io("sync", &self.path, e))
    }

    pub(crate) fn rename_to(&self, name: &OsStr, path: &Path) -> Result<(), FileError> {
        rustix::fs::renameat(&self.folder, self.name.as_slice(), &self.folder, name)
            .map_err(|e| FileError::io("rename to", path, e))?;
        self.renamed.set(true);
        Ok(())
    }
}

impl<F: AsFd> Drop for Temporary<F> {
    fn drop(&mut self) {
        if !self.renamed.get() {
            let _ = rustix::fs::unlinkat(&self.folder, self.name.as_slice(), AtFlags::empty());
        }
    }
}

/// Keeps the current file as `NAME.bak` by a second link to it, so that there is no moment without either.
pub(crate) fn back_up(folder: &OwnedFd, folder_path: &Path, name: &OsStr) -> Result<(), FileError> {
    let mut backup = name.as_bytes().to_vec();
    backup.extend_from_slice(b".bak");
    let path = folder_path.join(OsStr::from_bytes(&backup));
    match rustix::fs::unlinkat(folder, backup.as_slice(), AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(FileError::io("remove the old backup", &path, error)),
    }
    rustix::fs::linkat(folder, name, folder, backup.as_slice(), AtFlags::empty())
        .map_err(|e| FileError::io("link the backup", &path, e))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn names_may_be_as_long_as_the_system_allows() {
        let folder = tempfile::tempdir().unwrap();
        for length in [233, 234, 255] {
            let path = folder.path().join("n".repeat(length));
            write(&path, b"one", &Attributes::new(0o600)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"one");
            // What a crash left of it is found.
            let left = folder.path().join(format!(".{}.0123456789abcdef.tmp", "n".repeat(length.min(233))));
            write(&left, b"", &Attributes::new(0o600)).unwrap();
            std::fs::File::open(&left).unwrap().set_modified(SystemTime::now() - STALE * 2).unwrap();
            assert_eq!(remove_stale_temporaries([path.as_path()]), 1, "{length}");
        }
        assert!(write(&folder.path().join("n".repeat(256)), b"", &Attributes::new(0o600)).is_err());
    }

    #[test]
    fn content_and_mode_are_exact_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (bytes, wanted) in [(&b"one"[..], 0o640), (b"two", 0o666), (b"", 0o400)] {
            write(&path, bytes, &Attributes::new(wanted)).unwrap();
            assert_eq!((std::fs::read(&path).unwrap().as_slice(), mode(&path)), (bytes, wanted));
        }
        assert_eq!(names(folder.path()), ["token"]);
    }

    #[test]
    fn links_are_replaced_and_their_targets_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link, hard) =
            (folder.path().join("victim"), folder.path().join("link"), folder.path().join("hard"));
        write(&victim, b"precious", &Attributes::new(0o604)).unwrap();
        symlink(&victim, &link).unwrap();
        std::fs::hard_link(&victim, &hard).unwrap();
        for planted in [&link, &hard] {
            write(planted, b"secret", &Attributes::new(0o600)).unwrap();
            assert_eq!(std::fs::read(planted).unwrap(), b"secret");
            assert!(std::fs::symlink_metadata(planted).unwrap().is_file());
        }
        assert_eq!((std::fs::read(&victim).unwrap().as_slice(), mode(&victim)), (&b"precious"[..], 0o604));
    }

    #[test]
    fn folders_and_fifos_are_errors_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (sub, fifo) = (folder.path().join("sub"), folder.path().join("fifo"));
        create_folders(&sub).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, RawMode::RWXU, 0).unwrap();
        for path in [&sub, &fifo] {
            assert!(matches!(write(path, b"x", &Attributes::new(0o600)), Err(FileError::NotRegular { .. })));
        }
        assert_eq!(names(folder.path()), ["fifo", "sub"]);
    }

    #[test]
    fn unchanged_content_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let attributes = Attributes { mode: Mode::KeepOr(0o644), ..Attributes::new(0) };
        assert_eq!(write_if_changed(&path, b"a", &attributes).unwrap(), Written::Changed);
        let inode = std::fs::metadata(&path).unwrap().ino();
        assert_eq!(write_if_changed(&path, b"a", &attributes).unwrap(), Written::Unchanged);
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
        // Drifted mode is put right when one was asked for, and that is no change of content.
        assert_eq!(write_if_changed(&path, b"a", &Attributes::new(0o600)).unwrap(), Written::Unchanged);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(write_if_changed(&path, b"b", &attributes).unwrap(), Written::Changed);
        assert_eq!(mode(&path), 0o600, "the mode of the replaced file is kept");
    }

    #[test]
    fn a_backup_keeps_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let attributes = Attributes { backup: true, ..Attributes::new(0o600) };
        for content in [b"1", b"2", b"3"] {
            write(&path, content, &attributes).unwrap();
        }
        assert_eq!(std::fs::read(folder.path().join("file.bak")).unwrap(), b"2");
        assert_eq!(names(folder.path()), ["file", "file.bak"]);
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"one", 0o600).unwrap();
        assert!(matches!(create(&path, b"two", 0o600), Err(FileError::Exists(_))));
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"one"[..], 0o600));
        let link = folder.path().join("link");
        symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(matches!(create(&link, b"two", 0o600), Err(FileError::Exists(_))));
        assert_eq!(names(folder.path()), ["key", "link"]);
    }

    #[test]
    fn only_our_own_stale_temporaries_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let old = folder.path().join(".token.0123456789abcdef.tmp");
        let fresh = folder.path().join(".token.0123456789abcde0.tmp");
        let foreign = folder.path().join(".token.backup.tmp");
        for file in [&old, &fresh, &foreign] {
            write(file, b"", &Attributes::new(0o600)).unwrap();
        }
        let past = SystemTime::now() - Duration::from_secs(3600);
        for file in [&old, &foreign] {
            std::fs::File::options().write(true).open(file).unwrap().set_modified(past).unwrap();
        }
        assert_eq!(remove_stale_temporaries([path.as_path()]), 1);
        assert!(!old.exists() && fresh.exists() && foreign.exists());
    }

    #[test]
    fn errors_name_the_path_and_the_reason() {
        let error = write(Path::new("/nonexistent/dir/token"), b"x", &Attributes::new(0o600)).unwrap_err();
        let text = error.to_string();
        assert_eq!(text, "cannot open the folder /nonexistent/dir: No such file or directory (os error 2)");
    }
}

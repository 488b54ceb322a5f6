//! Credential files: small, regular, and perhaps replaced at this very moment.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::FileError;

/// Credential files larger than this are refused (64 KiB): no token, secret id or JWT comes near it.
pub const MAX_SMALL_FILE: usize = 64 * 1024;

/// Reads a small file whole. Links are followed (Kubernetes mounts credentials as links); what they lead to
/// must be a regular file, checked on the opened file. A FIFO or device cannot block or act: it is opened
/// without waiting, and not read.
///
/// # Errors
/// Missing, unreadable, not a regular file, or larger than [`MAX_SMALL_FILE`].
pub fn read_small(path: &Path) -> Result<Vec<u8>, FileError> {
    read_regular(path, MAX_SMALL_FILE)
}

/// The same with a limit of the caller's, in bytes.
///
/// # Errors
/// Missing, unreadable, not a regular file, or larger than `limit`.
pub fn read_regular(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let opened =
        rustix::fs::open(path, READING, Mode::empty()).map_err(|e| FileError::io("open", path, e))?;
    read_opened(opened, path, limit)
}

/// Reads to its end what somebody named on the command line, a FIFO as well: shells make one for `<(…)`. It is waited
/// for until it ends, or is longer than `limit` bytes.
///
/// # Errors
/// Missing, unreadable, a directory or socket, or larger than `limit`.
pub fn read_stream(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, how, Mode::empty()).map_err(|e| FileError::io("open", path, e))?;
    let kind = kind_of(&opened, path)?;
    if kind.is_dir() {
        return Err(FileError::NotRegular { path: path.to_owned(), kind: kind_name(kind) });
    }
    read_to_end(opened, path, limit)
}

/// Opened without waiting for a FIFO's writer.
pub(crate) const READING: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Reads what was opened, if it is a regular file; `path` is for messages.
pub(crate) fn read_opened(opened: OwnedFd, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let kind = kind_of(&opened, path)?;
    if !kind.is_file() {
        return Err(FileError::NotRegular { path: path.to_owned(), kind: kind_name(kind) });
    }
    read_to_end(opened, path, limit)
}

fn kind_of(opened: &OwnedFd, path: &Path) -> Result<FileType, FileError> {
    let found = rustix::fs::fstat(opened).map_err(|e| FileError::io("stat", path, e))?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

fn read_to_end(opened: OwnedFd, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = std::fs::File::from(opened);
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|e| FileError::io("read", path, e))?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symbolic link",
        kind if kind.is_fifo() => "FIFO",
        kind if kind.is_socket() => "socket",
        _ => "device",
    }
}

/// Whether every user of the machine may read a file; not, if that cannot be told.
pub fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_folder_nor_fifo_nor_device_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        for (path, kind) in
            [(folder.path(), "directory"), (&fifo, "FIFO"), (Path::new("/dev/zero"), "device")]
        {
            let error = read_small(path).unwrap_err().to_string();
            assert!(error.ends_with(&format!("is a {kind}, not a regular file")), "{error}");
        }
    }

    #[test]
    fn what_shells_make_is_read_to_its_end() {
        use std::os::fd::AsRawFd as _;

        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let written = std::thread::spawn(move || {
            for part in ["one ", "two"] {
                std::io::Write::write_all(&mut writer, part.as_bytes()).unwrap();
            }
        });
        assert_eq!(read_stream(Path::new(&path), 7).unwrap(), b"one two");
        written.join().unwrap();
        assert!(matches!(read_stream(Path::new("/dev/zero"), 7), Err(FileError::TooLarge { .. })));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_stream(folder.path(), 7), Err(FileError::NotRegular { .. })));
        assert!(read_stream(&folder.path().join("none"), 7).unwrap_err().is_missing());
    }

    #[test]
    fn links_are_followed_and_size_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("..data");
        crate::write(&target, b"s.token", &crate::Attributes::new(0o600)).unwrap();
        let link = folder.path().join("token");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(read_small(&link).unwrap(), b"s.token");

        let large = folder.path().join("large");
        crate::write(&large, &vec![b'x'; MAX_SMALL_FILE + 1], &crate::Attributes::new(0o600)).unwrap();
        assert!(matches!(read_small(&large), Err(FileError::TooLarge { .. })));
        assert!(read_small(&folder.path().join("none")).unwrap_err().is_missing());
    }
}

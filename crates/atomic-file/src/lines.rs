//! Files that only grow: a line is added at their end in one piece.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::FileError;
use crate::read::kind_name;

/// Not following a link in the last place, and not waiting for a FIFO's reader.
const ADDING: OFlags = OFlags::WRONLY
    .union(OFlags::APPEND)
    .union(OFlags::CREATE)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Opens a file to add lines to, made with this mode if it is not there. The one way of writing that is not whole or
/// nothing: logs are read by people, and nobody acts on half a line.
///
/// # Errors
/// It cannot be opened, is a link, or no regular file.
pub fn open_to_add(path: &Path, mode: u32) -> Result<File, FileError> {
    let opened = rustix::fs::open(path, ADDING, Mode::from_raw_mode(mode))
        .map_err(|error| FileError::io("open", path, error))?;
    let found = rustix::fs::fstat(&opened).map_err(|error| FileError::io("stat", path, error))?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if !kind.is_file() {
        return Err(FileError::NotRegular { path: path.to_owned(), kind: kind_name(kind) });
    }
    Ok(File::from(opened))
}

/// Opens whatever is there for the output of a program, to add to it: a file, made with this mode if it is not there,
/// a device, a pipe that somebody reads, or a link to one of them.
///
/// # Errors
/// It cannot be opened, or nobody reads it.
pub fn open_for_output(path: &Path, mode: u32) -> Result<File, FileError> {
    let opened = rustix::fs::open(path, ADDING.difference(OFlags::NOFOLLOW), Mode::from_raw_mode(mode))
        .map_err(|error| FileError::io("open", path, error))?;
    // Not waiting was for us. Programs expect to wait.
    rustix::fs::fcntl_getfl(&opened)
        .and_then(|flags| rustix::fs::fcntl_setfl(&opened, flags.difference(OFlags::NONBLOCK)))
        .map_err(|error| FileError::io("open", path, error))?;
    Ok(File::from(opened))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_added_to_regular_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for line in ["one\n", "two\n"] {
            open_to_add(&path, 0o640).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open_to_add(&link, 0o640).is_err(), "a link was followed");
        assert!(open_to_add(folder.path(), 0o640).is_err());
        assert!(matches!(open_to_add(Path::new("/dev/null"), 0o640), Err(FileError::NotRegular { .. })));
    }

    #[test]
    fn output_goes_wherever_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out"), folder.path().join("link"));
        open_for_output(&path, 0o640).unwrap().write_all(b"one\n").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = open_for_output(&link, 0o640).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert!(!rustix::fs::fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));
        assert!(open_for_output(Path::new("/dev/null"), 0o640).is_ok());
        assert!(open_for_output(folder.path(), 0o640).is_err());
    }
}

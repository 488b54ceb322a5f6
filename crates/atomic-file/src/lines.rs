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
}

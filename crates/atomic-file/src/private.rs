//! Files that this program alone reads and writes, again and again, in place: a store with an order of its own.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::FileError;
use crate::read::kind_name;

/// Not following a link in the last place, and not waiting for a FIFO.
const OWNING: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Opens a file that is nobody else's to read and write, made with mode 0600 if it is not there.
///
/// # Errors
/// It cannot be opened, is a link or no regular file, belongs to somebody else, may be read by others, or has a second
/// name somewhere.
pub fn open_private(path: &Path) -> Result<File, FileError> {
    let opened = rustix::fs::open(path, OWNING, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
        rustix::io::Errno::LOOP => FileError::Link(path.to_owned()),
        error => FileError::io("open", path, error),
    })?;
    let found = rustix::fs::fstat(&opened).map_err(|error| FileError::io("stat", path, error))?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if !kind.is_file() {
        return Err(FileError::NotRegular { path: path.to_owned(), kind: kind_name(kind) });
    }
    let exposed = |why: String| Err(FileError::Exposed { path: path.to_owned(), why });
    let own = rustix::process::geteuid().as_raw();
    if found.st_uid != own {
        return exposed(format!("belongs to another user ({}), not to ours ({own})", found.st_uid));
    }
    if found.st_mode & 0o077 != 0 {
        let mode = found.st_mode & 0o777;
        return exposed(format!("has mode {mode:04o}, so that others may use it; it must be 0600"));
    }
    if found.st_nlink != 1 {
        return exposed("has a second name (a hard link)".to_owned());
    }
    Ok(File::from(opened))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_others_can_reach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(open_private(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(open_private(&path).is_ok());
        let said = |path: &Path| open_private(path).unwrap_err().to_string();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(said(&link).contains("symbolic link"));
        std::fs::hard_link(&path, folder.path().join("second")).unwrap();
        assert!(said(&path).contains("hard link"));
        let open = folder.path().join("open");
        crate::write(&open, b"", &crate::Attributes::new(0o640)).unwrap();
        assert!(said(&open).ends_with("has mode 0640, so that others may use it; it must be 0600"));
        assert!(said(folder.path()).contains("directory"));
    }
}

//! Where a template's own text comes from.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use atomic_file::FileError;
use config::Contents;

use crate::fetch::MAX_FILE;
use crate::words::read_words;

/// A template's text.
///
/// # Errors
/// Upstream's words, with the path.
pub(crate) fn read(contents: &Contents) -> Result<Vec<u8>, String> {
    let path = match contents {
        Contents::Inline(text) => return Ok(text.clone()),
        Contents::File(path) => path,
    };
    match atomic_file::read_regular(path, MAX_FILE) {
        Err(FileError::NotRegular { .. }) if is_null(path) => Ok(Vec::new()),
        read => {
            read.map_err(|error| format!("failed to read template: {}", read_words("open", path, &error)))
        }
    }
}

/// Whether it is `/dev/null`, which people name for "nothing". No other device is read.
fn is_null(path: &Path) -> bool {
    /// Major 1, minor 3; see the kernel's `admin-guide/devices.txt`.
    const NULL: u64 = 0x103;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device() && found.rdev() == NULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_devices_only_the_one_that_holds_nothing_is_read() {
        let read = |path: &str| read(&Contents::File(path.into()));
        assert_eq!(read("/dev/null"), Ok(Vec::new()));
        assert_eq!(
            read("/dev/zero"),
            Err("failed to read template: /dev/zero is a device, not a regular file".to_owned())
        );
        assert_eq!(
            read("/nonexistent/x"),
            Err("failed to read template: open /nonexistent/x: no such file or directory".to_owned())
        );
        assert_eq!(read("/proc"), Err("failed to read template: read /proc: is a directory".to_owned()));
    }
}

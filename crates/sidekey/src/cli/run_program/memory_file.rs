//! A secret of the environment as a file that is in no folder: methods read credentials from files, and no disk should
//! see this one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use vault::SecretString;

/// The file; it is gone with this value. No program that we start inherits it.
#[derive(Debug)]
pub(super) struct MemoryFile(File);

impl MemoryFile {
    /// # Errors
    /// The system gives none.
    pub(super) fn new(name: &str, secret: &SecretString) -> io::Result<Self> {
        let file = memfd_create(name, MemfdFlags::CLOEXEC)?;
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        file.write_all(secret.expose().as_bytes())?;
        Ok(Self(file))
    }

    /// Where we can open it, and nobody else.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_read_twice_and_has_no_other_name() {
        let file = MemoryFile::new("token", &SecretString::new("s.x")).unwrap();
        for _ in 0..2 {
            assert_eq!(atomic_file::read_small(&file.path()).unwrap(), b"s.x");
        }
        let path = file.path();
        drop(file);
        assert!(atomic_file::read_small(&path).is_err());
    }
}

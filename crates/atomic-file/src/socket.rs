//! Unix sockets, made in private and shown when their mode is right.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode as RawMode, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::folder::split;
use crate::{FileError, remove};

/// Connections that wait to be accepted, at most; more are told to come again. As in std.
const BACKLOG: i32 = 128;

/// `sun_path` of unix(7) less the zero that clients put at the end.
const LONGEST: usize = 107;

/// Mode and owner of a socket's file, each applied if given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SocketAttributes {
    /// Its mode; else 0777 less the umask.
    pub mode: Option<u32>,
    /// Its owner.
    pub owner: Option<u32>,
    /// Its group.
    pub group: Option<u32>,
}

/// The file of a bound socket. It goes when this is dropped, if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

/// Binds a socket at `path`, without blocking mode. A dead socket of our own is replaced; a live one, and anything
/// that is no socket, is an error and stays. Nobody can connect before mode and owner are right.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] for a live socket; the system's; each step's, with the path.
pub fn bind_socket(path: &Path, attributes: &SocketAttributes) -> io::Result<(UnixListener, SocketFile)> {
    let (folder, _) = split(path).map_err(io::Error::other)?;
    if path.as_os_str().len() > LONGEST {
        let message = format!("the path of a socket can have {LONGEST} bytes at most");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    clear_the_way(path, attributes)?;
    // Longer names than the final one would not fit where that one just does.
    let temporary = folder.join(format!(".{:08x}", fastrand::u32(..)));
    let socket = new_socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&temporary)?)?;
    let published = publish(&socket, &temporary, path, attributes);
    if let Err(error) = published {
        let _ = rustix::fs::unlink(&temporary);
        return Err(io::Error::other(error));
    }
    let found = std::fs::symlink_metadata(path)?;
    Ok((UnixListener::from(socket), SocketFile { path: path.to_owned(), inode: (found.dev(), found.ino()) }))
}

/// Mode and owner, and only then it listens and has its real name.
fn publish(
    socket: &OwnedFd,
    temporary: &Path,
    path: &Path,
    attributes: &SocketAttributes,
) -> Result<(), FileError> {
    let failed = |action| move |error: Errno| FileError::io(action, path, error);
    if attributes.owner.is_some() || attributes.group.is_some() {
        let (owner, group) = (attributes.owner.map(Uid::from_raw), attributes.group.map(Gid::from_raw));
        rustix::fs::chown(temporary, owner, group).map_err(failed("set the owner of"))?;
    }
    if let Some(mode) = attributes.mode {
        let mode = RawMode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmod(temporary, mode).map_err(failed("set the mode of"))?;
    }
    rustix::net::listen(socket, BACKLOG).map_err(failed("listen on"))?;
    rustix::fs::rename(temporary, path).map_err(failed("rename to"))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn clear_the_way(path: &Path, attributes: &SocketAttributes) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other("what lies there is no socket, and was left alone"));
    }
    let us = rustix::process::geteuid().as_raw();
    if us != 0 && found.uid() != us && Some(found.uid()) != attributes.owner {
        return Err(io::Error::other("the socket there belongs to another user, and was left alone"));
    }
    // Without waiting: the listener's queue may be full.
    match rustix::net::connect(&new_socket()?, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => Ok(()),
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "bind: address already in use"))
        }
        Err(error) => Err(error.into()),
    }
}

impl SocketFile {
    /// Gives it another mode and owner, if it is still ours. What is not given stays.
    ///
    /// # Errors
    /// The system's.
    pub fn set(&self, attributes: &SocketAttributes) -> Result<(), FileError> {
        if !self.is_ours() {
            return Ok(());
        }
        let failed = |action| move |error: Errno| FileError::io(action, &self.path, error);
        if attributes.owner.is_some() || attributes.group.is_some() {
            let (owner, group) = (attributes.owner.map(Uid::from_raw), attributes.group.map(Gid::from_raw));
            rustix::fs::chown(&self.path, owner, group).map_err(failed("set the owner of"))?;
        }
        let Some(mode) = attributes.mode else { return Ok(()) };
        let mode = RawMode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmod(&self.path, mode).map_err(failed("set the mode of"))
    }

    fn is_ours(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.path);
        found.is_ok_and(|found| (found.dev(), found.ino()) == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn with_mode(mode: u32) -> SocketAttributes {
        SocketAttributes { mode: Some(mode), ..SocketAttributes::default() }
    }

    #[test]
    fn each_of_mode_and_owner_works_alone_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let bound = bind_socket(&path, &with_mode(0o660)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        let error = bind_socket(&path, &with_mode(0o660)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "a live socket was taken over");
        drop(bound);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_live_socket_that_answers_nobody_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        let _full = bind_socket(&path, &with_mode(0o600)).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = new_socket().unwrap();
            match rustix::net::connect(&client, &SocketAddrUnix::new(&path).unwrap()) {
                Ok(()) => waiting.push(client),
                Err(error) => break assert_eq!(error, Errno::AGAIN),
            }
        }
        let error = bind_socket(&path, &with_mode(0o600)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn only_dead_sockets_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, dead) = (folder.path().join("file"), folder.path().join("dead"));
        crate::write(&file, b"precious", &crate::Attributes::new(0o600)).unwrap();
        assert!(bind_socket(&file, &with_mode(0o600)).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        drop(UnixListener::bind(&dead).unwrap());
        bind_socket(&dead, &with_mode(0o600)).unwrap();
    }

    #[test]
    fn a_path_that_just_fits_is_bound_and_longer_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let room = LONGEST - folder.path().as_os_str().len() - 1;
        let (fits, long) = (folder.path().join("x".repeat(room)), folder.path().join("x".repeat(room + 1)));
        bind_socket(&fits, &with_mode(0o600)).unwrap();
        assert!(bind_socket(&long, &with_mode(0o600)).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

//! Unix sockets, made in private and shown when their mode is right.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};

use atomic_file::FileError;
use config::{Identity, SocketAccess};
use tokio::net::UnixListener;

/// A bound socket; its file goes when it is dropped, if it is still ours.
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// Binds a socket at `path`. A dead socket of our own user is replaced; a live one, and anything that is no
/// socket, is an error and stays.
pub(crate) fn bind(path: &Path, access: &SocketAccess) -> Result<Socket, io::Error> {
    clear_the_way(path)?;
    let unknown = |error: FileError| {
        io::Error::other(format!("failed to set file system permissions on the socket file: {error}"))
    };
    let owner = access.owner.as_ref().map(Identity::user_id).transpose().map_err(unknown)?;
    let group = access.group.as_ref().map(Identity::group_id).transpose().map_err(unknown)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{:08x}", fastrand::u32(..)));
    let temporary = PathBuf::from(temporary);
    let listener = UnixListener::bind(&temporary)?;
    atomic_file::publish_socket(&temporary, path, access.mode, owner, group).map_err(io::Error::other)?;
    let inode = std::fs::symlink_metadata(path)?.ino();
    Ok(Socket { listener, path: path.to_owned(), inode })
}

fn clear_the_way(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other("what lies there is no socket, and was left alone"));
    }
    match Probe::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "bind: address already in use")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = atomic_file::remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn each_of_mode_and_owner_works_alone_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let access = SocketAccess { mode: Some(0o660), ..SocketAccess::default() };
        let socket = bind(&path, &access).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(bind(&path, &access).is_err(), "a live socket was taken over");
        drop(socket);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn only_dead_sockets_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, dead) = (folder.path().join("file"), folder.path().join("dead"));
        atomic_file::write(&file, b"precious", &atomic_file::Attributes::new(0o600)).unwrap();
        assert!(bind(&file, &SocketAccess::default()).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        bind(&dead, &SocketAccess::default()).unwrap();
        let unknown =
            SocketAccess { owner: Some(Identity::Name("no such user".into())), ..SocketAccess::default() };
        let error = bind(&folder.path().join("new"), &unknown).err().unwrap().to_string();
        assert!(error.contains("failed to look up user \"no such user\""), "{error}");
        assert!(!folder.path().join("new").exists());
    }
}

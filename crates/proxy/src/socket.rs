//! Unix sockets of listeners.

use std::io;
use std::path::Path;

use atomic_file::SocketFile;
use config::SocketAccess;
use tokio::net::UnixListener;

/// A bound socket; its file goes when it is dropped, if it is still ours.
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    _file: SocketFile,
}

/// Binds a socket at `path`, as [`atomic_file::bind_socket`] does.
pub(crate) fn bind(path: &Path, access: &SocketAccess) -> Result<Socket, io::Error> {
    let attributes = access.attributes().map_err(|error| {
        io::Error::other(format!("failed to set file system permissions on the socket file: {error}"))
    })?;
    let (listener, file) = atomic_file::bind_socket(path, &attributes)?;
    Ok(Socket { listener: UnixListener::from_std(listener)?, _file: file })
}

#[cfg(test)]
mod tests {
    use config::Identity;

    use super::*;

    #[tokio::test]
    async fn an_unknown_owner_is_told_and_nothing_is_bound() {
        let folder = tempfile::tempdir().unwrap();
        let unknown =
            SocketAccess { owner: Some(Identity::Name("no such user".into())), ..SocketAccess::default() };
        let error = bind(&folder.path().join("new"), &unknown).err().unwrap().to_string();
        assert!(error.contains("failed to look up user \"no such user\""), "{error}");
        assert!(!folder.path().join("new").exists());
    }
}

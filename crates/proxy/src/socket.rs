//! Unix sockets of listeners.

use std::io;
use std::path::Path;
use std::sync::Arc;

use atomic_file::SocketFile;
use config::{AllowedPeers, SocketAccess};
use rustix::net::{SocketFlags, accept_with};
use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

use crate::peer::{Denied, PeerRule, Process};
use crate::rate::Rates;

/// Between two lines about one user who is not served, and the like.
pub(crate) const COMPLAINTS: std::time::Duration = std::time::Duration::from_secs(60);

/// A bound socket; its file goes when it is dropped, if it is still ours.
pub(crate) struct Socket {
    bound: Arc<(UnixListener, Option<SocketFile>)>,
    peers: PeerRule,
    complaints: Rates<Option<u32>>,
}

impl Socket {
    /// Binds one at `path`, as [`atomic_file::bind_socket`] does.
    pub(crate) fn bind(path: &Path, access: &SocketAccess, peers: &AllowedPeers) -> io::Result<Self> {
        let attributes = access.attributes().map_err(|error| {
            io::Error::other(format!("failed to set file system permissions on the socket file: {error}"))
        })?;
        // Before anything is bound.
        let rule = rule(peers)?;
        let (listener, file) = atomic_file::bind_socket(path, &attributes)?;
        Self::new(listener, rule, Some(file))
    }

    /// One that somebody else has bound.
    pub(crate) fn passed(
        listener: std::os::unix::net::UnixListener,
        peers: &AllowedPeers,
    ) -> io::Result<Self> {
        Self::new(listener, rule(peers)?, None)
    }

    fn new(
        listener: std::os::unix::net::UnixListener,
        peers: PeerRule,
        file: Option<SocketFile>,
    ) -> io::Result<Self> {
        let complaints = Rates::new(COMPLAINTS, 1);
        Ok(Self { bound: Arc::new((UnixListener::from_std(listener)?, file)), peers, complaints })
    }

    /// The same socket with another rule.
    pub(crate) fn succeeded(&self, peers: &AllowedPeers) -> io::Result<Self> {
        let (peers, complaints) = (rule(peers)?, Rates::new(COMPLAINTS, 1));
        Ok(Self { bound: Arc::clone(&self.bound), peers, complaints })
    }

    /// Gives its file another mode and owner.
    pub(crate) fn set(&self, access: &SocketAccess) -> io::Result<()> {
        let attributes = access.attributes().map_err(io::Error::other)?;
        match &self.bound.1 {
            Some(file) => file.set(&attributes).map_err(io::Error::other),
            None => Ok(()),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.bound.0.accept().await?.0)
    }

    /// Somebody who has connected already, where nobody else accepts here: the socket is about to be closed, and whoever
    /// waits there would be lost with it.
    pub(crate) fn last(&self) -> Option<UnixStream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let alone = Arc::strong_count(&self.bound) == 1;
        // The runtime has not heard of all of them yet.
        let stream = alone.then(|| accept_with(&self.bound.0, flags).ok())??;
        UnixStream::from_std(stream.into()).ok()
    }

    /// The process at the other end, where it matters; `None` for one that is not served.
    pub(crate) fn admit(&self, stream: &UnixStream) -> Option<Option<Process>> {
        match self.peers.admit(stream) {
            Ok(process) => Some(process),
            Err(denied) => {
                let Denied { uid, gid, pid, why } = *denied;
                // Nobody can fill the log.
                if self.complaints.take(&uid) {
                    warn!(target: "listener", uid, gid, pid, reason = why, "a process that connected was turned away");
                }
                None
            }
        }
    }
}

fn rule(peers: &AllowedPeers) -> io::Result<PeerRule> {
    for path in peers.executables.iter().filter(|path| !path.is_file()) {
        let path = path.display();
        warn!(target: "listener", %path, "a program of `allowed_executables` does not exist, or is no file; until it is, nobody is let in as it");
    }
    PeerRule::of(peers).map_err(|error| io::Error::other(format!("who may use the socket: {error}")))
}

#[cfg(test)]
mod tests {
    use config::Identity;

    use super::*;

    #[tokio::test]
    async fn an_unknown_owner_is_told_and_nothing_is_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let name = || Identity::Name("no such user".into());
        let owned = SocketAccess { owner: Some(name()), ..SocketAccess::default() };
        let served = AllowedPeers { uids: vec![name()], ..AllowedPeers::default() };
        for (access, peers) in [(&owned, &AllowedPeers::default()), (&SocketAccess::default(), &served)] {
            let error = Socket::bind(&path, access, peers).err().unwrap().to_string();
            assert!(error.contains("failed to look up user \"no such user\""), "{error}");
            assert!(!path.exists());
        }
    }
}

//! Who is at the other end of a sink's socket, and whether it may have the token.

use std::collections::HashMap;
use std::time::Duration;

use config::{CredentialPattern, Identity};
use tokio::net::UnixStream;
use tokio::net::unix::SocketAddr;
use tokio::time::Instant;

use super::SinkError;

/// Whom a sink serves.
#[derive(Debug)]
pub(super) enum Rule {
    /// Everybody who can connect.
    Anybody,
    /// Processes of these users, and of these groups by the group they run as.
    Some { uids: Vec<u32>, gids: Vec<u32> },
    /// systemd, for these credentials.
    Systemd { managers: Vec<u32>, credentials: Vec<CredentialPattern> },
}

/// A process that connected, as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    gid: u32,
    /// Unknown in another namespace of processes.
    pub(super) pid: i32,
}

impl Peer {
    /// As it was when it connected.
    pub(super) fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let found = stream.peer_cred()?;
        Ok(Self { uid: found.uid(), gid: found.gid(), pid: found.pid().unwrap_or_default() })
    }
}

impl Rule {
    /// Of a socket's users and groups, looked up now.
    pub(super) fn of(socket: &config::SocketSink) -> Result<Self, SinkError> {
        let unknown = |source| SinkError::Identity { kind: "socket", source };
        let uids: Result<Vec<u32>, _> = socket.allowed_uids.iter().map(Identity::user_id).collect();
        let gids: Result<Vec<u32>, _> = socket.allowed_gids.iter().map(Identity::group_id).collect();
        let (uids, gids) = (uids.map_err(unknown)?, gids.map_err(unknown)?);
        Ok(if uids.is_empty() && gids.is_empty() { Self::Anybody } else { Self::Some { uids, gids } })
    }

    /// Any process can claim any address of its own, so that alone says nothing: it must be root's, or of the user
    /// whose own manager we run under.
    pub(super) fn systemd(credentials: Vec<CredentialPattern>) -> Self {
        Self::Systemd { managers: vec![0, rustix::process::geteuid().as_raw()], credentials }
    }

    /// What it wants, for the log.
    ///
    /// # Errors
    /// Why it gets nothing.
    pub(super) fn admit(&self, peer: Peer, address: &SocketAddr) -> Result<String, String> {
        match self {
            Self::Anybody => Ok(String::new()),
            Self::Some { uids, gids } if uids.contains(&peer.uid) || gids.contains(&peer.gid) => {
                Ok(String::new())
            }
            Self::Some { .. } => {
                Err("neither its user nor its group is in `allowed_uids` or `allowed_gids`".into())
            }
            Self::Systemd { managers, .. } if !managers.contains(&peer.uid) => {
                Err("it is not systemd: its user is neither root nor ours".into())
            }
            Self::Systemd { credentials, .. } => {
                let asked = address.as_abstract_name().and_then(parse_address);
                let (unit, credential) = asked.ok_or(
                    "its address names no unit and credential, as systemd's does for `LoadCredential=`",
                )?;
                let wanted = format!("{unit}/{credential}");
                if credentials.iter().any(|pattern| pattern.matches(unit, credential)) {
                    Ok(wanted)
                } else {
                    Err(format!("{wanted} is not in `credentials`"))
                }
            }
        }
    }
}

/// Unit and credential in the abstract address systemd connects from: `<hex digits>/unit/<unit>/<credential>`
/// (systemd.exec(5), `LoadCredential=`).
fn parse_address(address: &[u8]) -> Option<(&str, &str)> {
    let (random, rest) = std::str::from_utf8(address).ok()?.split_once("/unit/")?;
    let (unit, credential) = rest.split_once('/')?;
    let is_random = !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_name = |name: &str| !name.is_empty() && !name.contains('/') && !name.contains(char::is_control);
    (is_random && is_name(unit) && is_name(credential)).then_some((unit, credential))
}

/// Lets one line a minute through for each user, so that nobody can fill the log.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<u32, Instant>);

impl Complaints {
    const PAUSE: Duration = Duration::from_secs(60);
    /// Users remembered at once; when there are more, all are forgotten.
    const MOST: usize = 1024;

    pub(super) fn may_tell(&mut self, uid: u32) -> bool {
        let now = Instant::now();
        if self.0.get(&uid).is_some_and(|told| now.duration_since(*told) < Self::PAUSE) {
            return false;
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(uid, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_address_is_read_and_nothing_else() {
        let parsed =
            |address: &str| parse_address(address.as_bytes()).map(|(unit, name)| format!("{unit} {name}"));
        let good = parsed("adf9d86b6eda275e/unit/foobar.service/credx");
        assert_eq!(good.as_deref(), Some("foobar.service credx"));
        assert_eq!(parsed("0/unit/a@b-c.service/d.e").as_deref(), Some("a@b-c.service d.e"));
        for bad in [
            "",
            "/unit/a.service/b",
            "x/unit/a.service/b",
            "ad/unit/a.service",
            "ad/unit//b",
            "ad/unit/a.service/",
            "ad/unit/a.service/b/c",
            "ad/units/a.service/b",
            "ad/unit/a.service/b\nc",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        assert_eq!(parse_address(b"ad/unit/\xff/b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_are_one_a_minute_for_each_user() {
        let mut complaints = Complaints::default();
        assert!(complaints.may_tell(1) && complaints.may_tell(2) && !complaints.may_tell(1));
        tokio::time::advance(Complaints::PAUSE).await;
        assert!(complaints.may_tell(1));
        for uid in 0..10_000 {
            complaints.may_tell(uid);
        }
        assert!(complaints.0.len() <= Complaints::MOST);
    }

    #[tokio::test]
    async fn a_user_a_group_or_systemds_user_is_let_in_and_nobody_else() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let address = SocketAddr::from(ours.peer_addr().unwrap());
        drop(theirs);
        let peer = |uid, gid| Peer { uid, gid, pid: 1 };
        let some = Rule::Some { uids: vec![7], gids: vec![8] };
        assert!(some.admit(peer(7, 1), &address).is_ok());
        assert!(some.admit(peer(1, 8), &address).is_ok());
        for stranger in [peer(8, 7), peer(0, 0)] {
            let reason = some.admit(stranger, &address).unwrap_err();
            assert!(reason.contains("neither its user nor its group"), "{reason}");
        }
        let systemd = Rule::Systemd { managers: vec![0, 7], credentials: Vec::new() };
        let reason = systemd.admit(peer(8, 0), &address).unwrap_err();
        assert_eq!(reason, "it is not systemd: its user is neither root nor ours");
        let reason = systemd.admit(peer(7, 0), &address).unwrap_err();
        assert!(reason.contains("names no unit"), "{reason}");
    }
}

//! `sink "socket"`: whoever may connect is given the token.

use std::path::PathBuf;

use super::file::{read_owner, read_path};
use crate::decode::Fields;
use crate::settings::SocketAccess;
use crate::settings::file_access::{Identity, read_identities, read_mode};

/// Mode of the socket when none is given: owner and group, as for a sink's file.
pub const DEFAULT_SOCKET_MODE: u32 = 0o660;

/// A unix socket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketSink {
    /// Its path.
    pub path: PathBuf,
    /// Mode and owner of the socket's file.
    pub access: SocketAccess,
    /// Users that are served. With neither users nor groups, all who can connect are.
    pub allowed_uids: Vec<Identity>,
    /// Groups whose members are served, by the group a process runs as.
    pub allowed_gids: Vec<Identity>,
}

pub(super) fn read(config: &Fields<'_>) -> SocketSink {
    SocketSink {
        path: read_path(config, "socket"),
        access: read_access(config, DEFAULT_SOCKET_MODE),
        allowed_uids: read_identities(config, "allowed_uids"),
        allowed_gids: read_identities(config, "allowed_gids"),
    }
}

/// `mode`, owner and group of a socket's file.
pub(super) fn read_access(config: &Fields<'_>, mode: u32) -> SocketAccess {
    let (owner, group) = read_owner(config);
    SocketAccess { mode: Some(read_mode(config, "mode").unwrap_or(mode)), owner, group }
}

//! `sink "file"`.

use std::path::PathBuf;

use crate::decode::Fields;
use crate::settings::file_access::{Identity, read_id, read_identity, read_mode};

/// Mode of a sink's file when none is given; upstream's.
pub const DEFAULT_SINK_MODE: u32 = 0o640;

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSink {
    /// The file.
    pub path: PathBuf,
    /// Its mode, whatever the umask says.
    pub mode: u32,
    /// Its owner, if it is to be changed.
    pub owner: Option<Identity>,
    /// Its group, if it is to be changed.
    pub group: Option<Identity>,
    /// Put it back when somebody removes or changes it.
    pub restore: bool,
}

impl Default for FileSink {
    fn default() -> Self {
        Self { path: PathBuf::new(), mode: DEFAULT_SINK_MODE, owner: None, group: None, restore: false }
    }
}

pub(super) fn read(config: &Fields<'_>) -> FileSink {
    let (owner, group) = read_owner(config);
    FileSink {
        path: read_path(config, "file"),
        mode: read_mode(config, "mode").unwrap_or(DEFAULT_SINK_MODE),
        owner,
        group,
        restore: config.lax_bool("restore").unwrap_or(false),
    }
}

pub(super) fn read_path(config: &Fields<'_>, kind: &str) -> PathBuf {
    match config.text("path") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => {
            config.refuse(config.span, format!("'path' not specified for {kind} sink"));
            PathBuf::new()
        }
    }
}

/// Owner and group by Vault's keys, or else by OpenBao's.
pub(super) fn read_owner(config: &Fields<'_>) -> (Option<Identity>, Option<Identity>) {
    let owner = read_identity(config, "owner").or_else(|| read_id(config, "uid"));
    let group = read_identity(config, "group").or_else(|| read_id(config, "gid"));
    config.ignore(&["uid", "gid"]);
    (owner, group)
}

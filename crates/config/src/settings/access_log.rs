//! `access_log { path = "…" }`: a line for each request that a client makes.

use std::path::PathBuf;

use crate::decode::{Block, Fields};

/// Where access lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccessLog {
    /// Standard error, between the lines of the log.
    StandardError,
    /// A file, which is added to. SIGHUP opens it anew.
    File(PathBuf),
}

pub(crate) const PREFIX: &str = "error parsing 'access_log': ";

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> AccessLog {
    let fields = file.inside("access_log", block, PREFIX);
    let path = fields.file("path").unwrap_or_else(|| {
        if block.object.is_some() {
            let hint = "path = \"/var/log/sidekey-access.log\", or path = \"stderr\"";
            fields.refuse_with(block.span, "an access log needs a `path`", hint);
        }
        PathBuf::new()
    });
    fields.finish();
    if path.as_os_str() == "stderr" { AccessLog::StandardError } else { AccessLog::File(path) }
}

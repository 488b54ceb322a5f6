//! Where a rendered text goes.

use std::os::unix::fs::PermissionsExt as _;

use atomic_file::{Attributes, FileError, Mode, Written};
use config::{Contents, Identity, Template};
use tracing::{info, warn};

/// Writes `text` to the template's file, if it is not there already.
///
/// # Errors
/// The file system's; what was there before stays.
pub(crate) fn write(settings: &Template, default_perms: u32, text: &[u8]) -> Result<Written, FileError> {
    let path = &settings.destination;
    let attributes = Attributes {
        mode: settings.perms.map_or(Mode::KeepOr(default_perms), Mode::Exact),
        owner: settings.owner.as_ref().map(Identity::user_id).transpose()?,
        group: settings.group.as_ref().map(Identity::group_id).transpose()?,
        backup: settings.backup,
    };
    if let Some(folder) = path.parent()
        && settings.create_dest_dirs
        && !folder.as_os_str().is_empty()
        && !folder.exists()
    {
        atomic_file::create_folders(folder)?;
    }
    let is_new = !path.exists();
    let written = atomic_file::write_if_changed(path, text, &attributes)?;
    if written == Written::Changed {
        info!(target: "", "(runner) rendered \"{}\" => \"{}\"", source(settings), path.display());
        let mode = std::fs::metadata(path).map(|data| data.permissions().mode()).unwrap_or_default();
        if is_new && mode & 0o004 != 0 {
            warn!(target: "template.server", path = %path.display(), "the rendered file can be read by every user of this machine; set perms");
        }
    }
    Ok(written)
}

/// How upstream names a template in its lines.
pub(crate) fn source(settings: &Template) -> String {
    match &settings.contents {
        Contents::Inline(_) => "(dynamic)".to_owned(),
        Contents::File(path) => path.display().to_string(),
    }
}

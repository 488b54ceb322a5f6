//! Where rendered texts go: into the files of their templates, each whole or not at all, with mode and owner.
//!
//! It decides nothing: who calls has a complete text. Several files are written together, because the disk is what
//! takes time; a file that holds the text already is left alone, and the caller is told, for commands run after
//! changes only. The line about a written file is upstream's, and tools match on it. What `writeToFile` writes is
//! not written here but in `writes.rs`, under other rules.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atomic_file::{Attributes, FileError, Folder, Mode, Staged, Written};
use config::{Contents, Identity, Template};
use tracing::{info, warn};

use crate::words::{read_words, write_words};

/// Files written together: each is open until all are on the disk, and open files are few on some machines.
const TOGETHER: usize = 64;

/// Writes texts to their templates' files, those that are not there already. The disk is waited for once in a
/// while, not once a file.
///
/// # Errors
/// Each file's own, of the file system; what was there before stays.
pub(crate) fn write(finished: &[(&Template, &[u8])], default_perms: u32) -> Vec<Result<Written, FileError>> {
    let mut folders = Folders::default();
    let mut outcomes = Vec::with_capacity(finished.len());
    let mut rest = finished;
    while !rest.is_empty() {
        // What goes to one file twice is written one after the other.
        let mut seen = HashSet::new();
        let alone = rest.iter().take(TOGETHER).take_while(|(settings, _)| seen.insert(&settings.destination));
        let (together, later) = rest.split_at(alone.count());
        outcomes.extend(write_together(together, default_perms, &mut folders));
        rest = later;
    }
    outcomes
}

/// How a file looks from outside: otherwise once anybody has touched it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Look {
    device: u64,
    inode: u64,
    /// Of the content, the mode or the owner.
    changed: (i64, i64),
}

impl Look {
    /// `None` where there is no file.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let data = std::fs::symlink_metadata(path).ok()?;
        Some(Self { device: data.dev(), inode: data.ino(), changed: (data.ctime(), data.ctime_nsec()) })
    }
}

type Folders = HashMap<PathBuf, Arc<Folder>>;

fn write_together(
    finished: &[(&Template, &[u8])],
    default_perms: u32,
    folders: &mut Folders,
) -> Vec<Result<Written, FileError>> {
    let (mut staged, mut numbers) = (Vec::new(), Vec::new());
    let mut outcomes = Vec::with_capacity(finished.len());
    for (nth, (settings, text)) in finished.iter().enumerate() {
        let is_new = !settings.destination.exists();
        outcomes.push(stage(settings, default_perms, text, folders).map(|(written, file)| {
            if let Some(file) = file {
                staged.push(file);
                numbers.push((nth, is_new));
            }
            written
        }));
    }
    for (&(nth, is_new), outcome) in numbers.iter().zip(atomic_file::publish(staged)) {
        let Some((settings, _)) = finished.get(nth) else { continue };
        match (outcome, outcomes.get_mut(nth)) {
            (Err(error), Some(slot)) => *slot = Err(error),
            (Ok(()), Some(Ok(Written::Changed))) => tell(settings, is_new),
            _ => {}
        }
    }
    outcomes
}

fn stage(
    settings: &Template,
    default_perms: u32,
    text: &[u8],
    folders: &mut Folders,
) -> Result<(Written, Option<Staged>), FileError> {
    let path = &settings.destination;
    let name = path.file_name().ok_or_else(|| FileError::NoName(path.clone()))?;
    let attributes = Attributes {
        // As upstream: 0 counts as not set, and a file of secrets is no program to be run as somebody else.
        mode: match settings.perms.unwrap_or_default() & 0o777 {
            0 => Mode::KeepOr(default_perms),
            perms => Mode::Exact(perms),
        },
        owner: settings.owner.as_ref().map(Identity::user_id).transpose()?,
        group: settings.group.as_ref().map(Identity::group_id).transpose()?,
        backup: settings.backup,
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = match folders.get(parent) {
        Some(folder) => Arc::clone(folder),
        None => {
            if settings.create_dest_dirs && !parent.exists() {
                atomic_file::create_folders(parent)?;
            }
            let folder = Arc::new(Folder::open(parent)?);
            folders.insert(parent.to_owned(), Arc::clone(&folder));
            folder
        }
    };
    folder.stage(name, text, &attributes)
}

fn tell(settings: &Template, is_new: bool) {
    let path = &settings.destination;
    info!(target: "", "(runner) rendered \"{}\" => \"{}\"", source(settings), path.display());
    let mode = std::fs::metadata(path).map(|data| data.permissions().mode()).unwrap_or_default();
    if is_new && mode & 0o004 != 0 {
        warn!(target: "template.server", path = %path.display(), "the rendered file can be read by every user of this machine; set perms");
    }
}

/// Why a template's file cannot be written, in upstream's words. They are all its line has: which template, and where
/// to.
pub(crate) fn failed(settings: &Template, error: &FileError) -> String {
    let path = &settings.destination;
    let why = match error {
        FileError::UnknownIdentity { what, name } => {
            format!("failed looking up {what}: {what}: unknown {what} {name}")
        }
        FileError::Io { action: "open the folder", .. } if error.is_missing() => {
            "failed writing file: parent directory is missing".to_owned()
        }
        FileError::Io { action: "open the folder" | "stat", .. } | FileError::NotRegular { .. } => {
            format!("failed reading file: {}", read_words("open", path, error))
        }
        error @ FileError::Mounted(_) => format!("failed writing file: {}", error.reason()),
        error => format!("failed writing file: {}", write_words(path, error)),
    };
    format!("error rendering \"{}\" => \"{}\": {why}", source(settings), path.display())
}

/// How upstream names a template in its lines.
pub(crate) fn source(settings: &Template) -> String {
    match &settings.contents {
        Contents::Inline(_) => "(dynamic)".to_owned(),
        Contents::File(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_template_and_its_file_in_upstreams_words() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().display().to_string();
        atomic_file::create_folders(&place.path().join("folder")).unwrap();
        atomic_file::write(&place.path().join("file"), b"", &Attributes::new(0o600)).unwrap();
        let told = |name: &str, user: Option<&str>| {
            let settings = Template {
                contents: Contents::File("/t.ctmpl".into()),
                destination: place.path().join(name),
                create_dest_dirs: false,
                owner: user.map(|name| Identity::Name(name.to_owned())),
                ..Template::default()
            };
            let error = write(&[(&settings, b"x")], 0o644).remove(0).unwrap_err();
            failed(&settings, &error).replace(&folder, "DIR")
        };
        for (name, user, why) in [
            ("a/b", None, "failed writing file: parent directory is missing"),
            ("folder", None, "failed reading file: read DIR/folder: is a directory"),
            ("file/b", None, "failed reading file: open DIR/file/b: not a directory"),
            ("a\0b", None, "failed reading file: open DIR/a\0b: invalid argument"),
            ("x", Some("no such user"), "failed looking up user: user: unknown user no such user"),
        ] {
            assert_eq!(told(name, user), format!("error rendering \"/t.ctmpl\" => \"DIR/{name}\": {why}"));
        }
    }
}

//! What `writeToFile` writes: noted during the evaluation, carried out when nothing is missing.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use atomic_file::{Attributes, FileError, Folder, Sandbox};

use crate::words::write_words;

/// A file to write.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct FileWrite {
    pub(crate) path: PathBuf,
    /// The folder it must not leave.
    pub(crate) sandbox: Option<PathBuf>,
    pub(crate) content: Vec<u8>,
    /// Behind what is there, instead of in its place.
    pub(crate) append: bool,
    /// There is no content: leave a file that has some alone.
    pub(crate) keep_filled: bool,
    /// Make missing folders.
    pub(crate) create: bool,
    pub(crate) attributes: Attributes,
}

/// Where and how much; what is written may be secret.
impl fmt::Debug for FileWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWrite")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .field("append", &self.append)
            .finish_non_exhaustive()
    }
}

/// Mode of the folders made on the way, less the umask; upstream's.
const FOLDER_MODE: u32 = 0o777;

impl FileWrite {
    /// Writes it, unless it is there already. Neither the file nor its folder may be a symbolic link, as in
    /// Vault's agent: OpenBao's writes through a planted one.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub(crate) fn carry_out(&self) -> Result<(), FileError> {
        let name = self.path.file_name().ok_or_else(|| FileError::NoName(self.path.clone()))?;
        let folder = self.folder()?;
        if folder.has_link(name) {
            return Err(FileError::Link(self.path.clone()));
        }
        if self.keep_filled && folder.is_filled(name)? {
            return Ok(());
        }
        if self.append {
            return folder.append(name, &self.content, &self.attributes);
        }
        folder.write_if_changed(name, &self.content, &self.attributes).map(drop)
    }

    fn folder(&self) -> Result<Folder, FileError> {
        let parent = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if let (Some(name), Some(above)) = (parent.file_name(), parent.parent()) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            if is_link(above, name) {
                return Err(FileError::Link(parent.to_owned()));
            }
        }
        if let Some(sandbox) = &self.sandbox {
            return Sandbox::new(sandbox).folder_of(&self.path, self.create.then_some(FOLDER_MODE));
        }
        if self.create && !parent.exists() {
            atomic_file::create_folders_as(parent, FOLDER_MODE)?;
        }
        Folder::open(parent)
    }
}

/// Carries out what `writeToFile` noted. What is appended is appended once: only other content than in `appended`,
/// which is kept up to date, is written behind it.
///
/// # Errors
/// The first that fails, with its path and why.
pub(crate) fn carry_out(writes: Vec<FileWrite>, appended: &mut Vec<FileWrite>) -> Result<(), String> {
    let (appends, others): (Vec<_>, Vec<_>) = writes.into_iter().partition(|write| write.append);
    let failed = |write: &FileWrite, error: FileError| write_words(&write.path, &error);
    for write in &others {
        write.carry_out().map_err(|error| failed(write, error))?;
    }
    // Each is remembered as soon as it is done, so that one that fails does not repeat those before it.
    let mut before = std::mem::take(appended);
    for write in appends {
        match before.iter().position(|done| *done == write) {
            Some(nth) => drop(before.swap_remove(nth)),
            None => {
                if let Err(error) = write.carry_out() {
                    appended.append(&mut before);
                    return Err(failed(&write, error));
                }
            }
        }
        appended.push(write);
    }
    Ok(())
}

fn is_link(folder: &Path, name: &OsStr) -> bool {
    Folder::open(folder).is_ok_and(|folder| folder.has_link(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn write(path: PathBuf, content: &str) -> FileWrite {
        FileWrite {
            path,
            sandbox: None,
            content: content.into(),
            append: false,
            keep_filled: false,
            create: true,
            attributes: Attributes::new(0o640),
        }
    }

    #[test]
    fn files_are_replaced_or_grow_and_folders_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        write(path.clone(), "one").carry_out().unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        write(path.clone(), "one").carry_out().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode, "written although unchanged");
        FileWrite { append: true, ..write(path.clone(), "two") }.carry_out().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwo");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        FileWrite { keep_filled: true, ..write(path.clone(), "") }.carry_out().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwo", "emptied");
        let fresh = folder.path().join("fresh");
        FileWrite { keep_filled: true, ..write(fresh.clone(), "") }.carry_out().unwrap();
        assert_eq!(std::fs::read(&fresh).unwrap(), b"");
        let careful = FileWrite { create: false, ..write(folder.path().join("none/file"), "x") };
        assert!(careful.carry_out().unwrap_err().is_missing());
    }

    #[test]
    fn what_is_appended_is_appended_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = |text: &str| FileWrite { append: true, ..write(path.clone(), text) };
        let broken = FileWrite { append: true, create: false, ..write(folder.path().join("none/x"), "x") };
        let mut done = Vec::new();
        let mut run = |lines: Vec<FileWrite>| carry_out(lines, &mut done).is_ok();
        assert!(!run(vec![line("a"), broken.clone(), line("b")]));
        assert!(!run(vec![line("a"), broken, line("b")]), "a is not repeated");
        assert!(run(vec![line("a"), line("b"), line("b")]));
        assert!(run(vec![line("a"), line("b"), line("c")]));
        assert_eq!(std::fs::read(&path).unwrap(), b"abbc");
        assert!(!format!("{:?}", line("hunter2")).contains("hunter2"));
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        write(victim.clone(), "precious").carry_out().unwrap();
        symlink(&victim, &link).unwrap();
        symlink(folder.path(), folder.path().join("door")).unwrap();
        for path in [link, folder.path().join("door/victim")] {
            for append in [false, true] {
                let write = FileWrite { append, ..write(path.clone(), "x") };
                assert!(matches!(write.carry_out(), Err(FileError::Link(_))), "{path:?}");
            }
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_sandbox_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Some(folder.path().join("box"));
        atomic_file::create_folders(sandbox.as_ref().unwrap()).unwrap();
        let inside = folder.path().join("box/new/file");
        FileWrite { sandbox: sandbox.clone(), ..write(inside.clone(), "x") }.carry_out().unwrap();
        assert_eq!(std::fs::read(inside).unwrap(), b"x");
        for path in ["file", "box/../file", "boxer/file"] {
            let write = FileWrite { sandbox: sandbox.clone(), ..write(folder.path().join(path), "x") };
            assert!(matches!(write.carry_out(), Err(FileError::Outside(_))), "{path}");
        }
    }
}

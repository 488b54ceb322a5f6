//! A folder that must not be left: what is read or written there is opened by the kernel with that promise.
//!
//! A path is resolved first, with all links, as people mean it; whether the result lies in the folder decides
//! what is said. Then it is opened from the folder's own descriptor with `openat2`, which follows no link any
//! more, and what was opened is what is read: nothing can be swapped in between.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode as RawMode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::FileError;
use crate::folder::{FOLDER, Folder, split};
use crate::read::{READING, read_opened};

/// A folder that must not be left.
#[derive(Clone, Debug)]
pub struct Sandbox {
    path: PathBuf,
}

/// Who swaps links just now is done after so many looks.
const LOOKS: usize = 4;

const CONFINED: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

impl Sandbox {
    /// The sandbox of a folder, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether a path leads into the sandbox now.
    ///
    /// # Errors
    /// [`FileError::Outside`]; what cannot be resolved.
    pub fn check(&self, path: &Path) -> Result<(), FileError> {
        self.resolve(path).map(drop)
    }

    /// Whether a file at this path would be written into the sandbox now, its missing folders made.
    ///
    /// # Errors
    /// As [`Sandbox::check`].
    pub fn check_new(&self, path: &Path) -> Result<(), FileError> {
        let absolute = absolute(path)?;
        let (folder, _) = split(&absolute)?;
        let (there, _) = existing_part(folder)?;
        self.check(there).map_err(|error| of(path, error))
    }

    /// [`crate::read_regular`] of a file in the sandbox.
    ///
    /// # Errors
    /// As there, and [`FileError::Outside`], [`FileError::NoSandbox`].
    pub fn read_regular(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
        self.several(path, |root, inside| {
            let opened = rustix::fs::openat2(root, inside, READING, RawMode::empty(), CONFINED)?;
            Ok(read_opened(opened, path, limit))
        })?
    }

    /// The folder of a file that is to be written into the sandbox; with a mode, what is missing of it is made.
    /// The path's own `..` are not understood where folders are missing.
    ///
    /// # Errors
    /// As for reading.
    pub fn folder_of(&self, path: &Path, create: Option<u32>) -> Result<Folder, FileError> {
        let absolute = absolute(path)?;
        let (folder, _) = split(&absolute)?;
        let (there, missing) = existing_part(folder)?;
        if !missing.is_empty() && create.is_none() {
            return Err(FileError::io("open the folder", folder, Errno::NOENT));
        }
        let open = |root: &OwnedFd, inside: &Path| {
            rustix::fs::openat2(root, inside, FOLDER, RawMode::empty(), CONFINED)
        };
        let mut fd = self.several(there, open).map_err(|error| of(path, error))?;
        for name in &missing {
            fd = make(&fd, name, create.unwrap_or_default())
                .map_err(|e| FileError::io("create", folder, e))?;
        }
        Ok(Folder { fd, path: folder.to_owned() })
    }

    /// Opens by `open` what a path leads to; looks again while somebody changes the way.
    fn several<T>(
        &self,
        path: &Path,
        open: impl Fn(&OwnedFd, &Path) -> Result<T, Errno>,
    ) -> Result<T, FileError> {
        let mut looks = 0;
        loop {
            looks += 1;
            let (root, inside) = self.resolve(path)?;
            match open(&root, &inside) {
                Ok(opened) => return Ok(opened),
                Err(Errno::NOSYS) => return Err(FileError::NoSandbox(path.to_owned())),
                Err(Errno::XDEV | Errno::LOOP | Errno::AGAIN | Errno::NOENT) if looks < LOOKS => {}
                Err(Errno::XDEV | Errno::LOOP) => return Err(FileError::Outside(path.to_owned())),
                Err(error) => return Err(FileError::io("open", path, error)),
            }
        }
    }

    /// The sandbox's folder, opened, and the way from there.
    fn resolve(&self, path: &Path) -> Result<(OwnedFd, PathBuf), FileError> {
        let real = path.canonicalize().map_err(|e| FileError::io("stat", path, e))?;
        let folder =
            self.path.canonicalize().map_err(|e| FileError::io("open the sandbox", &self.path, e))?;
        let inside = real.strip_prefix(&folder).map_err(|_| FileError::Outside(path.to_owned()))?;
        let root = rustix::fs::open(&folder, FOLDER | OFlags::NOFOLLOW, RawMode::empty())
            .map_err(|e| FileError::io("open the sandbox", &self.path, e))?;
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        Ok((root, inside.to_owned()))
    }
}

/// The answer names what was asked for, not its folder.
fn of(path: &Path, error: FileError) -> FileError {
    match error {
        FileError::Outside(_) => FileError::Outside(path.to_owned()),
        error => error,
    }
}

fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    std::path::absolute(path).map_err(|e| FileError::io("find", path, e))
}

/// As much of a folder's path as is there, and the names behind it.
fn existing_part(folder: &Path) -> Result<(&Path, Vec<OsString>), FileError> {
    let mut missing = Vec::new();
    let mut there = folder;
    while rustix::fs::lstat(there).is_err_and(|error| error == Errno::NOENT) {
        match (there.components().next_back(), there.parent()) {
            (Some(Component::Normal(name)), Some(parent)) => {
                missing.push(name.to_owned());
                there = parent;
            }
            _ => return Err(FileError::io("open the folder", folder, Errno::NOENT)),
        }
    }
    missing.reverse();
    Ok((there, missing))
}

/// Makes a folder and opens it; never through a link.
fn make(parent: impl AsFd, name: &OsStr, mode: u32) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(&parent, name, RawMode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::openat(&parent, name, FOLDER | OFlags::NOFOLLOW, RawMode::empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{Attributes, create_folders, write};

    struct Scene {
        folder: tempfile::TempDir,
        sandbox: Sandbox,
    }

    /// `box/` with a file and links, and a file beside it.
    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        create_folders(&top.join("box/sub")).unwrap();
        write(&top.join("box/sub/file"), b"inside", &Attributes::new(0o600)).unwrap();
        write(&top.join("secret"), b"outside", &Attributes::new(0o600)).unwrap();
        create_folders(&top.join("boxer")).unwrap();
        write(&top.join("boxer/file"), b"outside", &Attributes::new(0o600)).unwrap();
        symlink(top.join("box/sub"), top.join("box/absolute")).unwrap();
        symlink("sub/file", top.join("box/relative")).unwrap();
        symlink("../secret", top.join("box/out")).unwrap();
        symlink(top.join("boxer"), top.join("box/away")).unwrap();
        symlink(top.join("box"), top.join("door")).unwrap();
        let sandbox = Sandbox::new(top.join("box"));
        Scene { folder, sandbox }
    }

    impl Scene {
        fn read(&self, path: &str) -> Result<String, String> {
            let path = self.folder.path().join(path);
            let read = self.sandbox.read_regular(&path, 100);
            read.map(|b| String::from_utf8(b).unwrap()).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn what_stays_inside_is_read_and_what_leaves_is_not() {
        let scene = scene();
        for path in [
            "box/sub/file",
            "box/sub/../sub/file",
            "box/absolute/file",
            "box/relative",
            "door/relative",
            "door/sub/file",
        ] {
            assert_eq!(scene.read(path).as_deref(), Ok("inside"), "{path}");
        }
        for path in ["secret", "box/../secret", "box/out", "box/away/file", "boxer/file", "door/out"] {
            let error = scene.read(path).unwrap_err();
            assert!(error.ends_with(&format!("{path}' is outside of sandbox")), "{error}");
        }
        assert!(scene.read("box/sub").unwrap_err().ends_with("is a directory, not a regular file"));
        // Names are taken as they are.
        assert!(scene.read("box/sub/file ").unwrap_err().contains("No such file"));
        // Through a link of its own.
        let through = Sandbox::new(scene.folder.path().join("door"));
        let path = scene.folder.path().join("box/sub/file");
        assert_eq!(through.read_regular(&path, 100).unwrap(), b"inside");
    }

    #[test]
    fn folders_are_made_inside_alone() {
        let scene = scene();
        let top = scene.folder.path();
        let folder = scene.sandbox.folder_of(&top.join("box/new/er/file"), Some(0o700)).unwrap();
        folder.write(OsStr::new("file"), b"x", &Attributes::new(0o600)).unwrap();
        assert_eq!(std::fs::read(top.join("box/new/er/file")).unwrap(), b"x");
        assert!(scene.sandbox.folder_of(&top.join("box/none/file"), None).is_err());
        for path in ["file", "boxer/new/file", "box/away/new/file", "box/away/file", "box/../file"] {
            let error = scene.sandbox.folder_of(&top.join(path), Some(0o700)).unwrap_err();
            assert!(matches!(error, FileError::Outside(_)), "{path}: {error}");
            let error = scene.sandbox.check_new(&top.join(path)).unwrap_err().to_string();
            assert!(error.ends_with(&format!("{path}' is outside of sandbox")), "{error}");
        }
        assert!(scene.sandbox.check_new(&top.join("box/not/yet/there")).is_ok());
        assert!(scene.sandbox.folder_of(&top.join("box/none/../../file"), Some(0o700)).is_err());
        assert!(!top.join("boxer/new").exists());
    }
}

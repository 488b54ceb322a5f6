//! Go's way to put things.

use std::io;
use std::path::{Component, Path, PathBuf};

use atomic_file::FileError;

/// `%q`.
pub(crate) fn quoted(text: &str) -> String {
    gotemplate::quoted(text)
}

/// The system's error in lower case, without its number.
pub(crate) fn errno(error: &io::Error) -> String {
    // A NUL byte does not get as far as the system.
    if error.raw_os_error().is_none() && error.kind() == io::ErrorKind::InvalidInput {
        return "invalid argument".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// A path without `.` and `..`, by its text alone.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match (part, clean.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(clean.pop()),
            _ => clean.push(part),
        }
    }
    if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean }
}

/// Why the file at `path` cannot be opened, read or written. Whatever is wrong with its name or its folder is told
/// of the path, as by Go, which opens it in one step. `first` is that step: `open`, or `stat` where it looks first.
pub(crate) fn file_words(first: &str, path: &Path, error: &FileError) -> String {
    let path = path.display();
    match error {
        FileError::Io { action: "open" | "open the folder" | "stat", source, .. } => {
            let found = matches!(source.kind(), io::ErrorKind::PermissionDenied);
            format!("{} {path}: {}", if found { "open" } else { first }, errno(source))
        }
        FileError::Io { action: "create the folder", path, source } => {
            format!("mkdir {}: {}", path.display(), errno(source))
        }
        FileError::Io { action, source, .. } => format!("{action} {path}: {}", errno(source)),
        other => other.to_string(),
    }
}

/// The same of a file to be read.
pub(crate) fn read_words(first: &str, path: &Path, error: &FileError) -> String {
    match error {
        FileError::NotRegular { kind: "directory", .. } => format!("read {}: is a directory", path.display()),
        error => file_words(first, path, error),
    }
}

/// The same of a file to be written.
pub(crate) fn write_words(path: &Path, error: &FileError) -> String {
    match error {
        FileError::NotRegular { kind: "directory", .. } => format!("open {}: is a directory", path.display()),
        error => file_words("open", path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fail_in_gos_words() {
        let io = |action, kind: i32| FileError::Io {
            action,
            path: "/elsewhere".into(),
            source: io::Error::from_raw_os_error(kind),
        };
        let path = Path::new("/a/b");
        for (error, read, written) in [
            (io("open", 2), "stat /a/b: no such file or directory", "open /a/b: no such file or directory"),
            (io("open the folder", 20), "stat /a/b: not a directory", "open /a/b: not a directory"),
            (io("open", 13), "open /a/b: permission denied", "open /a/b: permission denied"),
            (
                io("create the folder", 13),
                "mkdir /elsewhere: permission denied",
                "mkdir /elsewhere: permission denied",
            ),
            (io("write", 28), "write /a/b: no space left on device", "write /a/b: no space left on device"),
            (
                FileError::NotRegular { path: "/a/b".into(), kind: "directory" },
                "read /a/b: is a directory",
                "open /a/b: is a directory",
            ),
        ] {
            assert_eq!(read_words("stat", path, &error), read);
            assert_eq!(write_words(path, &error), written);
        }
        for (path, clean) in [("./in", "in"), ("a/../../b/", "../b"), ("/../a/.", "/a"), ("a/..", ".")] {
            assert_eq!(cleaned(Path::new(path)), Path::new(clean));
        }
        let nul = std::fs::metadata("a\0b").unwrap_err();
        assert_eq!(errno(&nul), "invalid argument");
    }
}

//! Errors that name the path.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `open`, `write`, `rename`, …
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What lies there is no regular file, and was not touched.
    #[error("{path} is a {kind}, not a regular file")]
    NotRegular {
        /// Which path.
        path: PathBuf,
        /// `directory`, `FIFO`, `socket` or `device`.
        kind: &'static str,
    },
    /// The path has no last component.
    #[error("{0} names no file")]
    NoName(PathBuf),
    /// Longer than a credential can be.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// Which path.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Something lies where a new file should be made; it was not touched.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// Not below the folder that it must not leave. Upstream's words.
    #[error("'{0}' is outside of sandbox")]
    Outside(PathBuf),
    /// Others could read it or put something in its place.
    #[error("{path} {why}")]
    Exposed {
        /// Which path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that is mounted by itself (`docker run -v FILE:FILE`, `subPath`) cannot be replaced, only be written into,
    /// and who reads it then would see half of it.
    #[error("{0} is mounted by itself, so it cannot be replaced; mount the folder that it lies in instead")]
    Mounted(PathBuf),
    /// Writing would go through a symbolic link.
    #[error("{0} is a symbolic link, which is not followed for writing")]
    Link(PathBuf),
    /// The system call that confines is not there (Linux before 5.6, or a filter that forbids it).
    #[error("{0} cannot be opened in its sandbox: the system has no openat2")]
    NoSandbox(PathBuf),
    /// No such user or group.
    #[error("failed to look up {what} {name:?}")]
    UnknownIdentity {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

impl FileError {
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// What is wrong, without the path, for messages that name it already.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { action, source, .. } => format!("cannot {action} it: {source}"),
            Self::NotRegular { kind, .. } => format!("it is a {kind}, not a regular file"),
            Self::TooLarge { limit, .. } => format!("it is larger than {limit} bytes"),
            Self::Exposed { why, .. } => format!("it {why}"),
            Self::Mounted(_) => {
                "it is mounted by itself, so it cannot be replaced; mount the folder that it lies in instead"
                    .to_owned()
            }
            other => other.to_string(),
        }
    }

    /// Whether the file or its folder is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

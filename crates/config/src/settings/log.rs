//! The `log_*` keys: which lines, how they look, and where they go.

use std::path::PathBuf;
use std::time::Duration;

use ::vault::Product;

use crate::decode::Fields;
use crate::go_duration::GoDuration;
use crate::problem::Placed;

/// Which lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Level {
    /// Everything, frames included; never a secret.
    Trace,
    /// Decisions.
    Debug,
    /// Steps finished.
    #[default]
    Info,
    /// We coped; look.
    Warn,
    /// Act now.
    Error,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// `2026-11-21T21:55:30.784Z [INFO]  agent.sink.file: …`
    #[default]
    Standard,
    /// A JSON object a line.
    Json,
}

/// Where log lines go and which.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Log {
    /// `None` when nobody said: info, and the banner shows an empty level.
    pub level: Option<Level>,
    /// How lines look.
    pub format: Format,
    /// Where they go beside standard error.
    pub file: Option<LogFile>,
}

/// A file of lines that is put aside now and then.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogFile {
    /// Where.
    pub path: PathBuf,
    /// `log_rotate_bytes`: before a line, once it is so long; 0: whatever its length.
    pub bytes: u64,
    /// `log_rotate_duration`: before a line, once it has been open so long; the longest there is where nobody
    /// wants that.
    pub age: Duration,
    /// `log_rotate_max_files`: how many are kept beside it; 0: all, below: none.
    pub keep: i64,
}

/// Upstream's age of a file (`log_rotate_duration`).
pub(crate) const AGE: Duration = Duration::from_secs(24 * 3600);

/// What is said of a log file, by a file or by flags.
#[derive(Debug, Default)]
pub(crate) struct RawLogFile {
    pub(crate) path: Option<Placed<String>>,
    pub(crate) age: Option<Placed<String>>,
    pub(crate) bytes: Option<i64>,
    pub(crate) keep: Option<i64>,
}

impl RawLogFile {
    pub(crate) fn read(file: &Fields<'_>) -> Self {
        let filled = |key| file.placed(key).filter(|text| !text.value.is_empty());
        Self {
            path: filled("log_file"),
            age: filled("log_rotate_duration"),
            bytes: file.integer("log_rotate_bytes"),
            keep: file.integer("log_rotate_max_files"),
        }
    }

    /// Key by key, the later file counts.
    pub(crate) fn merge(self, later: Self) -> Self {
        Self {
            path: later.path.or(self.path),
            age: later.age.or(self.age),
            bytes: later.bytes.or(self.bytes),
            keep: later.keep.or(self.keep),
        }
    }
}

impl LogFile {
    /// A path that ends with a slash gets a name there.
    ///
    /// # Errors
    /// What is wrong, in upstream's words, and what would be right.
    pub(crate) fn path(path: &str, product: Product) -> Result<PathBuf, (String, &'static str)> {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let has_glob = |text: &str| text.contains(['*', '?', '[']);
        let bad = |what: &str| Err((what.to_owned(), "a path without *, ? and ["));
        if has_glob(folder) {
            return bad("directory contains glob character");
        }
        if has_glob(name) {
            return bad("file name contains globbing character");
        }
        let path = if name.is_empty() { format!("{path}{}.log", product.word()) } else { path.to_owned() };
        Ok(path.into())
    }

    /// How old a file gets.
    ///
    /// # Errors
    /// As for the path.
    pub(crate) fn age(text: &str) -> Result<Duration, (String, &'static str)> {
        match GoDuration::parse_lax(text) {
            // Upstream would put it aside before every line.
            Ok(age) => Ok(age.positive().unwrap_or(Duration::MAX)),
            Err(why) => Err((why, "text like \"24h\", or a number of seconds")),
        }
    }
}

impl Level {
    /// Our name for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Upstream's names, in any case, with white space around.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "trace" => Some(Self::Trace),
            "debug" => Some(Self::Debug),
            "info" | "notice" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" | "err" => Some(Self::Error),
            _ => None,
        }
    }
}

impl Format {
    /// Upstream's names, in any case, with white space around.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "standard" => Some(Self::Standard),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

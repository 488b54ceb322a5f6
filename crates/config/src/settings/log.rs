//! The `log_*` keys: which lines, and how they look.

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
}

/// Where a log goes and when it is rotated.
pub(crate) const NOT_BUILT: &[&str] =
    &["log_file", "log_rotate_bytes", "log_rotate_duration", "log_rotate_max_files"];

impl Level {
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

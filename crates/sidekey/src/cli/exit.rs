//! Exit codes, decided in one place.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Done, or stopped by a signal or a quit request: 0.
    Success,
    /// Bad flags or configuration, a start that failed, or `exit_on_err` and `exit_on_retry_failure`: 1. The
    /// agents we stand in for know no other code here.
    Failure,
    /// `template render -diff` found a difference: 2.
    Differs,
    /// `generate-config` could not ask the server: 2, as upstream's.
    NotAsked,
    /// `generate-config` could not write its file: 3, as upstream's.
    NotWritten,
    /// The child's, or 1 where none says more.
    Mirrored(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::Differs => Self::from(2),
            Exit::NotAsked => Self::from(2),
            Exit::NotWritten => Self::from(3),
            Exit::Mirrored(code) => Self::from(code),
        }
    }
}

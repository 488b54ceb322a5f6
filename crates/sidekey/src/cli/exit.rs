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
    /// The child's, or 1 where none says more.
    Mirrored(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::Differs => Self::from(2),
            Exit::Mirrored(code) => Self::from(code),
        }
    }
}

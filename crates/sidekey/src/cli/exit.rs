//! Exit codes, decided in one place.

use std::process::ExitCode;

use template::FailureClass;

use crate::daemon::{RunError, StartError, TaskError};

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Done, or stopped by a signal or a quit request: 0.
    Success,
    /// Bad flags or configuration, a start that failed, or `exit_on_err`: 1. The agents we stand in for know no other
    /// code for any failure.
    Failure,
    /// Templates failed for good, with `exit_on_retry_failure` or `exit_after_auth`. The codes are those of BSD's
    /// `sysexits.h`, so that whoever knows them knows these.
    Templates(FailureClass),
    /// `startup_timeout` is over: 75, `EX_TEMPFAIL`.
    Late,
    /// `template render -diff` found a difference: 2.
    Differs,
    /// `generate-config` could not ask the server: 2, as upstream's.
    NotAsked,
    /// `generate-config` could not write its file: 3, as upstream's.
    NotWritten,
    /// The child's.
    Mirrored(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Exit {
    /// The code itself.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Differs | Self::NotAsked => 2,
            Self::NotWritten => 3,
            Self::Late => 75,
            Self::Mirrored(code) => code,
            Self::Templates(class) => match class {
                // EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_SOFTWARE, EX_IOERR, EX_NOPERM.
                FailureClass::Template => 65,
                FailureClass::Absent => 66,
                FailureClass::Unreachable => 69,
                FailureClass::Command => 70,
                FailureClass::Local => 74,
                FailureClass::Denied => 77,
            },
        }
    }
}

impl From<&TaskError> for Exit {
    fn from(error: &TaskError) -> Self {
        match error {
            TaskError::Panicked(_) | TaskError::Failed(_) => Self::Failure,
            TaskError::Late { .. } => Self::Late,
            TaskError::Templates { class, .. } => Self::Templates(*class),
        }
    }
}

impl From<&RunError> for Exit {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Task(error) => Self::from(error),
            RunError::Child(ending) => Self::Mirrored(ending.code()),
            RunError::NoChild(_) => Self::Failure,
        }
    }
}

impl From<&StartError> for Exit {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Template(error) => Self::Templates(error.class()),
            _ => Self::Failure,
        }
    }
}

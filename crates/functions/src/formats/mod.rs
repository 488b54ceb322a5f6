//! Values to text and back, byte for byte as Go's libraries write them.

pub mod json;
pub(crate) mod toml;
mod walk;
pub(crate) mod yaml;

use std::fmt;

use gotemplate::FuncError;

/// Why a text was not read or a value not written.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What Go's library says.
    Said(String),
    /// A bound of ours. Functions that make nothing of Go's errors still tell this one.
    Bound(FuncError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => f.write_str(text),
            Self::Bound(why) => why.fmt(f),
        }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::Said(text)
    }
}

impl From<FuncError> for Fault {
    fn from(why: FuncError) -> Self {
        Self::Bound(why)
    }
}

impl From<Fault> for FuncError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Said(text) => Self::new(text),
            Fault::Bound(why) => why,
        }
    }
}

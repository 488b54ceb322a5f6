//! The parser held against the real agent's verdicts, and against arbitrary bytes.

#![expect(clippy::unwrap_used, reason = "tests may be blunt")]

mod corpus;
mod diagnostics;
mod properties;

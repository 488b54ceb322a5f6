//! The parser held against the real agent's verdicts, and against arbitrary bytes.

mod corpus;
mod diagnostics;
mod properties;

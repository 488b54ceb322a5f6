//! Sinks: where a fresh token is delivered.
//!
//! A sink only receives. It never logs in, never reads the cache, never decides when. Each has a task of its
//! own, so that one that fails delays nobody else. To add a kind: a file here and a case in `config`.

mod deliver;
mod file;

pub use deliver::deliver;
pub use file::{FileSink, SinkError};

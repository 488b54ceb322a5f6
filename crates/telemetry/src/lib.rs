//! Log lines, in the format that users' tools know from the agents this program replaces.
//!
//! Rooms log with `tracing`, the module name as the target (`agent.sink.file`), a constant message and
//! fields: `info!(target: "sink.file", path = %path, "token written")`. The product's name (`agent`, `proxy`)
//! is put in front here, so that no room needs to know it. Nothing here knows a room.
//!
//! [`metrics`] puts the numbers that the rooms keep into the forms that others read.

mod format;
pub mod metrics;
mod setup;

pub use format::Style;
pub use setup::{Also, LevelHandle, init};

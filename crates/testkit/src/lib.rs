//! The real server and the real program on free ports, ended in `Drop`.
//!
//! Integration tests and `sidekey demo` stand on this crate: both want a server that is not a fake, and a
//! story that reads as one. Builders first ([`Server::dev`], [`Server::raft`], [`Cluster`],
//! [`Program`]), waiting is
//! [`eventually`] with one knob, never a sleep.

mod api;
mod cluster;
mod eventually;
mod ports;
mod process;
mod program;
mod server;

pub use api::{Answer, Api, KitError};
pub use cluster::Cluster;
pub use eventually::{PATIENCE, eventually};
pub use ports::free_pair;
pub use process::Process;
pub use program::Program;
pub use server::{Server, server_binary};

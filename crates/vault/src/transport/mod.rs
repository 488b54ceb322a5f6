//! From an address to an HTTP connection, and keeping it for the next request.

mod connect;
mod pool;
mod stream;

pub(crate) use connect::{Connector, Sender};
pub(crate) use pool::Pool;

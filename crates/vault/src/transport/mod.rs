//! From an address to an HTTP connection, a request and its answer on it, and keeping it for the next one.

mod alarm;
mod arriving;
mod connect;
mod connection;
mod decode;
mod detour;
mod head;
mod pool;
mod stream;
mod tunnel;

pub use alarm::Alarm;
pub use arriving::Arriving;
pub(crate) use arriving::body;
pub(crate) use connect::Connector;
pub(crate) use connection::{Connection, Failure};
pub(crate) use head::{Framed, RequestHead};
pub(crate) use pool::Pool;
pub use stream::{Both, Stream};
pub use tunnel::Tunnel;

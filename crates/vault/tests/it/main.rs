//! One program for all integration tests of this crate: linking is what takes time.

mod tls;
mod wire;

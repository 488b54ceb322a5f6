//! Answers remembered, leases kept alive, evictions.
//!
//! [`Cache::send`] is the one door to the server, for the proxy and for templates alike; without a `cache`
//! stanza it only passes on. What is remembered is decided in `policy.rs`, under which key in `key.rs`, what
//! makes it forgotten in `observe.rs`: three pure files. One task (`renewals.rs`) keeps everything alive.
//! Nothing here knows listeners, configuration or auto-auth.

mod answer;
mod cache;
mod clear;
pub mod disk;
mod flight;
mod json;
mod key;
mod left;
mod observe;
mod policy;
mod renewals;
mod store;

pub use answer::{Answer, Origin};
pub use cache::{Cache, Mode, Numbers};
pub use clear::{Clear, ClearError};
pub use store::Held;

//! Answers remembered, leases kept alive, evictions.
//!
//! [`Cache::send`] is the one door to the server, for the proxy and for templates alike; without a `cache`
//! stanza it only passes on. What is remembered is decided in `policy.rs`, under which key in `key.rs`, what
//! makes it forgotten in `observe.rs`, when it is looked at in `life.rs`: pure files. One task (`renewals.rs`) keeps
//! everything alive. An entry comes, changes and goes in few places of the store only: `insert`, `live`,
//! `withhold` and `remove`, where what is on disk (`disk/`) is told as well.
//! Nothing here knows listeners, configuration or auto-auth.

mod answer;
mod cache;
mod clear;
mod clock;
pub mod disk;
mod flight;
mod holdings;
mod json;
mod key;
mod kv;
mod left;
mod life;
mod observe;
mod options;
mod pace;
mod policy;
mod region;
mod renewals;
mod store;
mod wish;

pub use answer::{Answer, Origin};
pub use cache::{Cache, Mode, Numbers};
pub use clear::{Clear, ClearError, ClearRequest, Cleared};
pub use holdings::{Holding, HoldingKind, Holdings, HoldingsWanted, SecretHolding, SecretState};
pub use kv::{KvVersion, Revalidate, StaticNumbers, StaticSecrets};
pub use options::Options;
pub use store::Held;

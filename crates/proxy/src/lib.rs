//! Listeners, who may ask, which token a request travels with, and the agent's own API.
//!
//! A request's way is one direction: `listener` (accept, TLS; `doors`: is there room? `plain`: is it TLS at all?) → `http1`, `http2` (bytes in
//! order and in time?) → `serve` (within the bounds?) → `guard` (may this client ask at all?) → `route` (ours or the server's?) → `target` (one canonical path for every decision) → `token`
//! (whose?) → `forward` (through the cache to the server) → `replay` (our token had died) → `redact` (our token does not leave). What a client is told
//! when the server gave no answer of use: `unanswered`.
//! Nothing here knows auto-auth or templates: the token comes as a `watch<TokenState>`, and what a refused
//! token or a quit request means is a handle given from above.

mod access;
mod body;
mod breach;
mod client_name;
mod control;
mod counters;
mod doors;
mod filter;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod guard;
mod holdings;
mod http1;
mod http2;
mod inbound;
mod link;
mod listener;
mod listening;
mod overlap;
mod peer;
mod plain;
mod rate;
mod redact;
mod replay;
mod report;
mod route;
mod rules;
mod serve;
mod socket;
#[cfg(any(test, feature = "fuzzing"))]
mod stand;
mod systemd;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod tunnel;
mod unanswered;

pub use access::{AccessLog, AccessTarget};
pub use breach::Breach;
pub use counters::{Counters, Passed};
pub use listener::{Bound, ListenError};
pub use listening::Listening;
pub use overlap::Beside;
pub use replay::{Refusal, WaitingRoom};
pub use report::Report;
pub use route::{Context, Handles};
pub use tls::{CertificateReloader, ListenerTlsError};
pub use tunnel::Tunnels;

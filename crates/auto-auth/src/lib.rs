//! A token: logging in by a method, keeping it alive, handing it to sinks.
//!
//! [`AutoAuth::run`] drives the pure state machine in `lifecycle.rs` and publishes each token in a
//! `watch<TokenState>`; sinks, proxy and templates only subscribe. The one arrow back is [`Reauth`]: somebody
//! saw our token refused. Nothing here knows the cache, the proxy or templates.
//!
//! To add a method: see `method/mod.rs`.

mod driver;
mod lifecycle;
mod method;
mod reauth;
mod record;
pub mod sink;
#[cfg(test)]
mod told;
mod watch;

pub use driver::{AutoAuth, AutoAuthError, LoggedIn};
pub use method::LoginError;
pub use reauth::{Reauth, ReauthRequests, Refused};
pub use record::{Life, Record};

//! One request to one Vault or OpenBao server, well, and the nouns of the field.
//!
//! Every other room speaks to the server through [`Upstream`], which [`Client`] implements with pooled
//! connections, TLS, one redirect and retries. It is also the one seam for tests: a fake `Upstream` runs a
//! whole lifecycle under a paused clock. Nothing here knows configuration files, listeners or caches.

mod address;
pub mod api;
mod body;
mod client;
mod consistency;
mod envelope;
mod error;
mod escape;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod headers;
mod needles;
mod nouns;
mod own_places;
mod proxies;
mod rate_limit;
mod redirect;
mod request;
mod retry;
mod rhythm;
mod secret;
mod server;
mod servers;
mod tls;
mod token_state;
mod traffic;
mod transport;
mod turn;
mod upload;
mod user_agent;
pub mod websocket;

pub use address::{Address, AddressError};
pub use body::{Body, BodyError, Gathered};
pub use client::{Client, ClientSettings};
pub use consistency::{Consistent, WhenInconsistent};
pub use envelope::{Auth, Secret, ServerErrors, WrapInfo};
pub use error::{SendError, Sent};
pub use needles::Needles;
pub use nouns::{Accessor, LeaseId, Mount, Namespace, Token, Ttl};
pub use own_places::OwnPlaces;
pub use proxies::{Proxies, Proxy};
pub use rate_limit::RateLimit;
pub use redirect::{HostPattern, RedirectHosts};
pub use request::{BoxFuture, Request, Response, Upstream, shown, shown_path};
pub use retry::{Retry, RetryPolicy};
pub use rhythm::Rhythm;
pub use secret::SecretString;
pub use tls::{Pem, Roots, TlsError, TlsSettings, Verify};
pub use token_state::{Instead, LastToken, SHORTEST_SOUGHT, TokenForms, TokenState};
pub use traffic::{BOUNDS as TIME_BOUNDS, Contact, Times, Traffic};
pub use transport::{Alarm, Arriving, Both, Stream, Tunnel};
pub use turn::turn;
pub use upload::Upload;
pub use user_agent::{Product, Subsystem, user_agent};

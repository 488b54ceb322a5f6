//! "Somebody saw our token refused": one arrow back up from the proxy, templates and sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Handed to whoever uses the token. Any number of calls while one check is due are one check.
#[derive(Clone, Debug, Default)]
pub struct Reauth(Arc<Shared>);

/// The receiving end, kept by the driver.
#[derive(Debug)]
pub struct ReauthRequests(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The newest token that was refused, by its generation; 0 is none.
    refused: AtomicU64,
    asked: Notify,
}

impl Reauth {
    /// Both ends.
    pub fn new() -> (Self, ReauthRequests) {
        let shared = Arc::new(Shared::default());
        (Self(Arc::clone(&shared)), ReauthRequests(shared))
    }

    /// Asks for a check whether the token of this generation ([`vault::TokenState`]) is still alive. Returns
    /// at once; late news of a token that was replaced meanwhile does nothing.
    pub fn ask(&self, generation: u64) {
        self.0.refused.fetch_max(generation, Ordering::Relaxed);
        self.0.asked.notify_one();
    }
}

impl ReauthRequests {
    /// Waits until the token of `generation` was refused somewhere.
    pub(crate) async fn asked(&self, generation: u64) {
        while self.0.refused.load(Ordering::Relaxed) != generation {
            self.0.asked.notified().await;
        }
        // One check for all who asked so far.
        self.0.refused.store(0, Ordering::Relaxed);
    }
}

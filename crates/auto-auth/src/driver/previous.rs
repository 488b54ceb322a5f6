//! Tokens that were replaced, and are revoked when everybody has had time to take the new one
//! (`revoke_previous_token`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use vault::api::Caller;
use vault::{Token, Upstream};

use super::clock::Clock;

/// How long a replaced token serves on. Sinks and proxy switch at once; readers of a sink's file, requests under way
/// and templates that fetch new leases need a moment, and a revocation takes their leases with it.
const GRACE: Duration = Duration::from_secs(30);

/// A revocation may take this long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tokens on their way out, the next first.
#[derive(Default)]
pub(super) struct Previous {
    due: Mutex<VecDeque<(Instant, Arc<Token>)>>,
    dead: Mutex<Option<Arc<Token>>>,
}

impl Previous {
    fn due(&self) -> MutexGuard<'_, VecDeque<(Instant, Arc<Token>)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server no longer knows it: there is nothing to revoke.
    pub(super) fn is_dead(&self, token: Option<Arc<Token>>) {
        *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// There is a new one in its place.
    pub(super) fn replaced(&self, token: Arc<Token>, now: Instant) {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner).take();
        if dead.as_ref() != Some(&token) {
            self.due().push_back((now + GRACE, token));
        }
    }

    /// Revokes each when its time comes. Never ends; dropped and called again it goes on.
    pub(super) async fn revoke(&self, clock: &Clock, server: &dyn Upstream, caller: &Caller) {
        loop {
            let Some((at, token)) = self.due().front().cloned() else { return std::future::pending().await };
            clock.sleep_until(at).await;
            match timeout(TIMEOUT, caller.revoke_self(server, &token)).await {
                Ok(Ok(())) => info!(target: "auth.handler", "previous token revoked"),
                // It dies by itself at its end.
                Ok(Err(error)) => {
                    warn!(target: "auth.handler", error = %error, "the previous token was not revoked")
                }
                Err(_) => warn!(target: "auth.handler", "the previous token was not revoked in time"),
            }
            self.due().pop_front();
        }
    }
}

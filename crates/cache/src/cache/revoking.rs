//! Revocations on their way to the server: what they are about is forgotten unless the server refuses.

use http::StatusCode;
use vault::{SendError, Sent};

use super::Inner;
use crate::observe::Observation;
use crate::policy::may_have_acted;

/// A revocation under way. Dropped without a word from the server (its client left, no answer came), it has what it is
/// about forgotten: that may be gone.
pub(super) struct Revoking<'a> {
    inner: &'a Inner,
    observation: Option<&'a Observation>,
}

impl<'a> Revoking<'a> {
    /// With nothing to do for any other request.
    pub(super) fn begin(inner: &'a Inner, observation: Option<&'a Observation>) -> Self {
        Self { inner, observation: observation.filter(|observation| !observation.is_renewal()) }
    }

    /// The server has spoken. True: something is forgotten.
    pub(super) fn answered(mut self, status: StatusCode) -> bool {
        if !may_have_acted(status) {
            self.observation = None;
        }
        self.observation.is_some()
    }

    /// No answer came.
    pub(super) fn failed(mut self, error: &SendError) {
        if error.sent() == Sent::No {
            self.observation = None;
        }
    }
}

impl Drop for Revoking<'_> {
    fn drop(&mut self) {
        if let Some(observation) = self.observation {
            self.inner.forget(observation);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::time::{sleep, timeout};

    use super::super::tests::{door, get, put};
    use super::super::*;
    use crate::left::MOST_LEFT;

    /// What may be gone is not handed out, though nobody heard that its revocation was done.
    #[tokio::test(start_paused = true)]
    async fn a_revocation_without_an_answer_counts() {
        let revoke = |lease: &Value| put("sys/leases/revoke", &json!({"lease_id": lease["lease_id"]}));
        for (status, word) in [(500, "MISS"), (504, "MISS"), (503, "HIT"), (403, "HIT")] {
            let door = door(3600);
            let (_, lease) = door.ask(get("database/creds/app")).await;
            door.server.refuse("sys/leases/revoke", status);
            door.ask(revoke(&lease)).await;
            assert_eq!(door.origin(get("database/creds/app")).await, word, "{status}");
        }
        let door = door(3600);
        let (_, lease) = door.ask(get("database/creds/app")).await;
        // No request goes on without its client any more.
        let hanging = (0..MOST_LEFT).map(|n| door.cache.send(get(&format!("database/creds/{n}"))));
        let all = futures_util::future::join_all(hanging);
        assert!(timeout(Duration::from_millis(10), all).await.is_err());
        assert!(timeout(Duration::from_millis(10), door.ask(revoke(&lease))).await.is_err());
        sleep(Duration::from_millis(1)).await;
        assert_eq!(door.origin(get("database/creds/app")).await, "MISS");
    }
}

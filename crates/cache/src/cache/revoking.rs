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

//! Waiting for something to become true.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::KitError;

/// The one knob: how long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Tries until `attempt` gives something, for [`PATIENCE`].
///
/// # Errors
/// [`KitError::TimedOut`] with `what`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, KitError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(KitError::TimedOut(what.to_owned()));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

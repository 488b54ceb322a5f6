//! When to look for new credentials.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

/// When to look for new credentials.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Watch {
    /// At least so often.
    pub(crate) every: Duration,
    /// And soon after one of these files changed.
    pub(crate) files: Vec<PathBuf>,
}

impl Watch {
    /// Waits until it is time to look again.
    pub(crate) async fn look_again(&self) {
        sleep(self.every).await;
    }
}

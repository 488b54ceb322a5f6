//! Idle connections, the last one used first, so that spare ones grow old and close.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::Sender;

/// More idle connections than this are closed; each costs some 20 KiB.
const MAX_IDLE: usize = 128;

/// An idle connection older than this is not used again: whatever stands between may have forgotten it.
const MAX_IDLE_AGE: Duration = Duration::from_secs(60);

/// Connections that wait for a request.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Sender, Instant)>>,
}

impl Pool {
    /// A connection that can take a request now.
    pub(crate) fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut busy = Vec::new();
        let mut found = None;
        while let Some((sender, since)) = idle.pop() {
            if sender.is_closed() || since.elapsed() > MAX_IDLE_AGE {
                continue;
            }
            if sender.is_ready() {
                found = Some(sender);
                break;
            }
            // Its last answer's body is still arriving, or its task has not run since.
            busy.push((sender, since));
        }
        if !busy.is_empty() {
            idle.extend(busy.into_iter().rev());
        }
        found
    }

    /// Takes a connection back, its answer's body perhaps still arriving.
    pub(crate) fn put(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // The oldest are at the front.
        let worn =
            idle.iter().take_while(|(old, since)| old.is_closed() || since.elapsed() > MAX_IDLE_AGE).count();
        idle.drain(..worn);
        if idle.len() < MAX_IDLE {
            idle.push((sender, Instant::now()));
        }
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }
}

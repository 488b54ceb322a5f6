//! Idle connections, the last one used first, so that spare ones grow old and close.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::Connection;

/// More idle connections than this are closed; each costs a kilobyte or two.
const MAX_IDLE: usize = 256;

/// An idle connection older than this is not used again: whatever stands between may have forgotten it.
const MAX_IDLE_AGE: Duration = Duration::from_secs(60);

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(15);

/// Connections that wait for a request.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    #[expect(clippy::vec_box, reason = "handed from pool to request to body and back, as a pointer")]
    connections: Vec<Box<Connection>>,
    /// Somebody looks through them now and then.
    swept: bool,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A connection that can take a request now.
    pub(crate) fn take(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle();
        while let Some(mut connection) = idle.connections.pop() {
            if connection.is_quiet() && connection.idle_since.elapsed() <= MAX_IDLE_AGE {
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection back after its answer.
    pub(crate) fn put(self: &Arc<Self>, mut connection: Box<Connection>) {
        connection.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.connections.len() >= MAX_IDLE {
            return;
        }
        idle.connections.push(connection);
        if !idle.swept {
            idle.swept = true;
            // Ends by itself when nothing is idle any more; nobody needs to join it.
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.idle().connections.clear();
    }

    /// Closes what is too old or was closed by the server, and takes spare memory from the rest. Whether any is left.
    fn tidy(&self) -> bool {
        let mut idle = self.idle();
        idle.connections.retain_mut(|connection| {
            let age = connection.idle_since.elapsed();
            let keep = age <= MAX_IDLE_AGE && connection.is_quiet();
            if keep && age > SWEEP {
                connection.shrink();
            }
            keep
        });
        if idle.connections.is_empty() {
            idle.connections.shrink_to_fit();
            idle.swept = false;
        }
        idle.swept
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.tidy() {
            return;
        }
    }
}

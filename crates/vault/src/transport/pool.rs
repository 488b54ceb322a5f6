//! Idle connections, the last one used first, so that spare ones grow old and close.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::Connection;

/// More idle connections than this are closed; each costs a kilobyte or two.
const MAX_IDLE: usize = 256;

/// An idle connection older than this is not used again: whatever stands between may have forgotten it.
const MAX_IDLE_AGE: Duration = Duration::from_secs(60);

/// So many idle connections grow that old: enough for the odd request of a quiet time.
const WARM: usize = 8;

/// All others, which only a burst needed, are closed after this time: memory and descriptors here and at the server.
const SPARE_AGE: Duration = Duration::from_secs(15);

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
        // The ones used last stand at the end.
        let mut spare = idle.connections.len().saturating_sub(WARM);
        idle.connections.retain_mut(|connection| {
            let age = connection.idle_since.elapsed();
            let longest = if spare > 0 { SPARE_AGE } else { MAX_IDLE_AGE };
            spare = spare.saturating_sub(1);
            let keep = age <= longest && connection.is_quiet();
            if keep && age > SWEEP {
                connection.shrink();
            }
            keep
        });
        idle.connections.shrink_to(WARM);
        if idle.connections.is_empty() {
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

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;
    use crate::transport::stream::Stream;

    #[tokio::test(start_paused = true)]
    async fn what_only_a_burst_needed_goes_soon() {
        let pool = Arc::new(Pool::default());
        let mut servers = Vec::new();
        for _ in 0..20 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            servers.push(theirs);
            pool.put(Box::new(Connection::new(Stream::Unix(ours))));
        }
        let left = |pool: &Pool| pool.idle().connections.len();
        sleep(SWEEP / 2).await;
        assert_eq!(left(&pool), 20);
        sleep(SPARE_AGE + SWEEP).await;
        assert_eq!(left(&pool), WARM);
        assert!(pool.take().is_some());
        sleep(MAX_IDLE_AGE + SWEEP).await;
        assert_eq!(left(&pool), 0);
    }
}

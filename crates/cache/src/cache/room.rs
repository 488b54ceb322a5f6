//! Room for answers that are read whole. A client that does not take its answer keeps it in memory, and clients may have
//! many requests under way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use vault::{Body, BodyError, Gathered};

use super::MAX_BODY;

/// All long answers that are held at the same time, in bytes: as much as the bodies of requests may take.
const ROOM: usize = 64 * 1024 * 1024;

/// Shorter ones count as nothing: a request that waits costs as much.
const SHORT: usize = 64 * 1024;

/// Room for answers.
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl Room {
    /// Reads a body as [`Body::gather`] does, up to [`MAX_BODY`] or as far as there is room; what was read counts until
    /// it is dropped. The bytes that are returned do not count: they are for those who count what they keep.
    ///
    /// # Errors
    /// It breaks off.
    pub(super) async fn gather(&self, body: &mut Body, patience: Duration) -> Result<Gathered, BodyError> {
        let deadline = Instant::now().checked_add(patience);
        let (mut limit, mut held) = (SHORT, None);
        loop {
            let left =
                deadline.map_or(patience, |deadline| deadline.saturating_duration_since(Instant::now()));
            let gathered = body.gather(limit, left).await?;
            // Twice as much, if there is room for it.
            let more = match gathered {
                Gathered::TooLong if limit < MAX_BODY => {
                    self.take(limit.saturating_mul(2).min(MAX_BODY), &mut held)
                }
                _ => None,
            };
            match more {
                Some(more) => limit = more,
                None => {
                    count(body, held);
                    return Ok(gathered);
                }
            }
        }
    }

    /// Makes `held` room for so many bytes in all, and says how many.
    fn take(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Option<usize> {
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = u32::try_from(bytes.saturating_sub(has)).ok()?;
        let more = Arc::clone(&self.0).try_acquire_many_owned(wanted).ok()?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Some(bytes)
    }
}

/// From now on what was read of a body holds its room.
fn count(body: &mut Body, held: Option<OwnedSemaphorePermit>) {
    let Some(mut held) = held else { return };
    if let Body::Full(Some(read)) | Body::Continued(Some(read), _) = body {
        drop(held.split(held.num_permits().saturating_sub(read.len())));
        *read = Bytes::from_owner(Counted { read: read.clone(), _held: held });
    }
}

struct Counted {
    read: Bytes,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.read
    }
}

//! Work for clients that goes on when they leave, within bounds.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

/// So many requests go on after their clients have left, so that no lease is lost; with bodies of up to 64 KiB they
/// hold 16 MiB at most. Clients that leave while that many hang end their requests.
pub(crate) const MOST_LEFT: usize = 256;

/// Room for requests whose clients have left.
#[derive(Debug)]
pub(crate) struct Left(Arc<Semaphore>);

impl Default for Left {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_LEFT)))
    }
}

impl Left {
    /// Does `work` in a task of its own. When its client leaves, which drops what is returned here, it goes on if it
    /// finds a place among the tasks without one; else it ends with its client, as everything does without a cache.
    ///
    /// # Errors
    /// The task panicked, or the runtime ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let place = Place::default();
        let held = place.clone();
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(held);
            done
        });
        let mut working = Working { task, place, left: Arc::clone(&self.0) };
        (&mut working.task).await
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }
}

/// Where a task without a client has its place.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

/// A task, and the client it works for.
struct Working<T> {
    task: JoinHandle<T>,
    place: Place,
    left: Arc<Semaphore>,
}

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        if self.task.is_finished() {
            return;
        }
        match Arc::clone(&self.left).try_acquire_owned() {
            // It is the task's from now on, and free again when that is over.
            Ok(place) => {
                *self.place.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(place);
            }
            Err(_) => self.task.abort(),
        }
    }
}

//! Equal requests under way become one: the first asks the server, the others wait for its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use vault::SendError;

use crate::answer::Kept;
use crate::key::Key;

/// What the first tells those who waited.
#[derive(Clone)]
pub(crate) enum Landing {
    /// The answer is remembered now: look again.
    Remembered,
    /// A read's answer, for everybody with the same key.
    Shared(Kept),
    /// A read that failed.
    Failed(SendError),
    /// The answer was for the first alone.
    Alone,
}

/// Requests under way.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, Slot>>>);

struct Slot {
    path: u64,
    kind: Kind,
    waiters: Vec<oneshot::Sender<Landing>>,
    /// Something was written at this path since the first one asked: its answer may be older than the write.
    overtaken: bool,
}

/// What a request does at the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// It changes nothing.
    Read,
    /// It may.
    Write,
}

/// What a request becomes.
pub(crate) enum Joined {
    /// The first of its kind.
    First(Flight),
    /// One of several.
    Waiting(oneshot::Receiver<Landing>),
    /// There is one under way that must not be joined.
    Alone,
}

impl Flights {
    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Joins the request under way, or becomes it. `path` is a hash of the path it is for.
    pub(crate) fn join(&self, key: Key, path: u64, kind: Kind) -> Joined {
        let mut slots = self.slots();
        match slots.get_mut(&key) {
            Some(slot) if slot.overtaken => Joined::Alone,
            Some(slot) => {
                let (sender, receiver) = oneshot::channel();
                if slot.waiters.len() == slot.waiters.capacity() {
                    // Those who come and go must not pile up while the first one waits.
                    slot.waiters.retain(|waiter| !waiter.is_closed());
                }
                slot.waiters.push(sender);
                Joined::Waiting(receiver)
            }
            None => {
                slots.insert(key, Slot { path, kind, waiters: Vec::new(), overtaken: false });
                Joined::First(Flight { key, flights: self.clone(), landed: false })
            }
        }
    }

    /// Something is being written at `path`: reads that started before are joined no longer.
    pub(crate) fn overtake(&self, path: u64) {
        for slot in self.slots().values_mut().filter(|slot| slot.path == path && slot.kind == Kind::Read) {
            slot.overtaken = true;
        }
    }
}

/// The duty to tell the others. Dropped without [`Flight::land`] (its task was cancelled or panicked) it tells
/// them to ask for themselves.
pub(crate) struct Flight {
    key: Key,
    flights: Flights,
    landed: bool,
}

impl Flight {
    /// Whether anybody still waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.flights
            .slots()
            .get(&self.key)
            .is_some_and(|slot| slot.waiters.iter().any(|waiter| !waiter.is_closed()))
    }

    /// Tells everybody.
    pub(crate) fn land(mut self, landing: &Landing) {
        self.tell(landing);
    }

    fn tell(&mut self, landing: &Landing) {
        self.landed = true;
        let slot = self.flights.slots().remove(&self.key);
        for waiter in slot.into_iter().flat_map(|slot| slot.waiters) {
            // One that has left needs no answer.
            let _ = waiter.send(landing.clone());
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.tell(&Landing::Alone);
        }
    }
}

#[cfg(test)]
mod tests {
    use vault::Request;

    use super::*;
    use crate::key::Keys;

    #[test]
    fn those_who_left_wait_no_longer() {
        let (flights, key) = (Flights::default(), Keys::new().key(&Request::default()));
        let Joined::First(flight) = flights.join(key, 1, Kind::Read) else { unreachable!() };
        assert!(!flight.is_awaited());
        for _ in 0..1000 {
            assert!(matches!(flights.join(key, 1, Kind::Read), Joined::Waiting(_)));
        }
        assert!(!flight.is_awaited());
        assert!(flights.slots()[&key].waiters.len() < 10);
        let waiting = flights.join(key, 1, Kind::Read);
        assert!(flight.is_awaited());
        drop(waiting);
    }
}

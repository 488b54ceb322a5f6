//! Equal requests under way become one: the first asks the server, the others wait for its answer. One that hangs is
//! waited for a while only; then one of those who wait asks as well, and all wait for whichever answers first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use vault::SendError;

use crate::answer::Kept;
use crate::key::Key;
use crate::region::Region;

/// So many wait for one; more ask for themselves. A listener takes fewer requests at a time unless it is told to.
const MOST_WAITING: usize = 4096;

/// What the first tells those who waited.
#[derive(Clone)]
pub(crate) enum Landing {
    /// The answer is remembered now: look again.
    Remembered,
    /// A read's answer, for everybody with the same key.
    Shared(Kept),
    /// A read that failed.
    Failed(SendError),
    /// The answer was for the first alone: so it will be for everybody.
    Alone,
    /// The first went away without an answer: somebody else has to ask.
    Abandoned,
}

/// Requests under way.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, Slot>>>);

/// Those who wait for one key. They are told by whichever of the flights they may wait for lands first.
type Group = Arc<Mutex<Vec<oneshot::Sender<Landing>>>>;

struct Slot {
    region: Region,
    kind: Kind,
    group: Group,
    /// How many flights the group has seen; the last one is the one to wait for.
    round: u32,
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
    /// The one that asks.
    First(Flight),
    /// One of several, in this round.
    Waiting(oneshot::Receiver<Landing>, u32),
    /// There are too many already.
    Alone,
}

impl Flights {
    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Joins the request under way, or becomes it. Who has waited for a round
    /// in vain names it: the first to do so asks as well.
    pub(crate) fn join(&self, key: Key, region: Region, kind: Kind, in_vain: Option<u32>) -> Joined {
        let mut slots = self.slots();
        let slot =
            slots.entry(key).or_insert_with(|| Slot { region, kind, group: Group::default(), round: 0 });
        if slot.round == 0 || in_vain == Some(slot.round) {
            slot.round += 1;
            let (group, round) = (Arc::clone(&slot.group), slot.round);
            return Joined::First(Flight { key, group, round, flights: self.clone(), landed: false });
        }
        let mut waiting = lock(&slot.group);
        if waiting.len() == waiting.capacity() {
            // Those who come and go must not pile up while the first one waits.
            waiting.retain(|waiter| !waiter.is_closed());
        }
        if waiting.len() >= MOST_WAITING {
            return Joined::Alone;
        }
        let (sender, receiver) = oneshot::channel();
        waiting.push(sender);
        Joined::Waiting(receiver, slot.round)
    }

    /// What was asked for until now is nobody's answer who asks from now on.
    pub(crate) fn overtake_all(&self) {
        self.slots().clear();
    }

    /// Something was written: reads of what it `touches` that started before are joined no longer, and land for those
    /// who wait already.
    pub(crate) fn overtake(&self, touches: impl Fn(Region) -> bool) {
        self.slots().retain(|_, slot| slot.kind != Kind::Read || !touches(slot.region));
    }
}

fn lock(group: &Group) -> MutexGuard<'_, Vec<oneshot::Sender<Landing>>> {
    group.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The duty to tell the others. Dropped without [`Flight::land`] (its task was cancelled or panicked) it tells
/// them that somebody else has to ask.
pub(crate) struct Flight {
    key: Key,
    group: Group,
    round: u32,
    flights: Flights,
    landed: bool,
}

impl Flight {
    /// Whether anybody still waits.
    pub(crate) fn is_awaited(&self) -> bool {
        lock(&self.group).iter().any(|waiter| !waiter.is_closed())
    }

    /// Tells everybody.
    pub(crate) fn land(mut self, landing: &Landing) {
        self.tell(landing);
    }

    fn tell(&mut self, landing: &Landing) {
        self.landed = true;
        {
            let mut slots = self.flights.slots();
            let ours = slots.get(&self.key).filter(|slot| Arc::ptr_eq(&slot.group, &self.group));
            let is_last = ours.is_none_or(|slot| slot.round == self.round);
            let no_answer = matches!(landing, Landing::Failed(_) | Landing::Abandoned);
            // A later one is under way, and may fare better.
            if no_answer && !is_last {
                return;
            }
            if ours.is_some() {
                slots.remove(&self.key);
            }
        }
        for waiter in std::mem::take(&mut *lock(&self.group)) {
            // One that has left needs no answer.
            let _ = waiter.send(landing.clone());
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.tell(&Landing::Abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use vault::Request;

    use super::*;
    use crate::key::Keys;

    struct Sky {
        flights: Flights,
        key: Key,
    }

    impl Sky {
        fn new() -> Self {
            let key = Keys::new(&crate::Options::default(), None).key(&Request::default());
            Self { flights: Flights::default(), key }
        }

        fn first(&self, in_vain: Option<u32>) -> Flight {
            match self.flights.join(self.key, Region::default(), Kind::Read, in_vain) {
                Joined::First(flight) => flight,
                _ => panic!("somebody else is first"),
            }
        }

        fn waits(&self) -> (oneshot::Receiver<Landing>, u32) {
            match self.flights.join(self.key, Region::default(), Kind::Read, None) {
                Joined::Waiting(landing, round) => (landing, round),
                _ => panic!("nobody to wait for"),
            }
        }
    }

    #[test]
    fn those_who_left_wait_no_longer() {
        let sky = Sky::new();
        let flight = sky.first(None);
        assert!(!flight.is_awaited());
        for _ in 0..1000 {
            sky.waits();
        }
        assert!(!flight.is_awaited());
        assert!(lock(&flight.group).len() < 10);
        let waiting = sky.waits();
        assert!(flight.is_awaited());
        drop(waiting);
    }

    #[test]
    fn one_of_those_who_waited_in_vain_asks_and_all_take_what_comes_first() {
        let sky = Sky::new();
        let hung = sky.first(None);
        let ((mut patient, round), (_, same)) = (sky.waits(), sky.waits());
        assert_eq!(round, same);
        let second = sky.first(Some(round));
        // The next in vain waits for the second.
        let Joined::Waiting(mut late, _) =
            sky.flights.join(sky.key, Region::default(), Kind::Read, Some(round))
        else {
            panic!("two at once")
        };
        // The hung one fails: the second is still under way.
        hung.land(&Landing::Abandoned);
        assert!(patient.try_recv().is_err());
        second.land(&Landing::Remembered);
        assert!(matches!(patient.try_recv(), Ok(Landing::Remembered)));
        assert!(matches!(late.try_recv(), Ok(Landing::Remembered)));
        assert!(sky.flights.slots().is_empty());
    }

    #[test]
    fn a_read_from_before_a_write_lands_for_those_from_before_it() {
        let sky = Sky::new();
        let before = sky.first(None);
        let (mut early, _) = sky.waits();
        sky.flights.overtake(|_| true);
        let after = sky.first(None);
        let (mut late, _) = sky.waits();
        before.land(&Landing::Remembered);
        assert!(early.try_recv().is_ok() && late.try_recv().is_err());
        after.land(&Landing::Remembered);
        assert!(late.try_recv().is_ok());
    }

    #[test]
    fn there_is_an_end_to_those_who_wait() {
        let sky = Sky::new();
        let _flight = sky.first(None);
        let waiting: Vec<_> = (0..MOST_WAITING).map(|_| sky.waits()).collect();
        assert!(matches!(sky.flights.join(sky.key, Region::default(), Kind::Read, None), Joined::Alone));
        drop(waiting);
        sky.waits();
    }
}

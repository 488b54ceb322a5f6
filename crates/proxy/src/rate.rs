//! How often: a token bucket for each caller, in a table that has an end.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// Callers remembered at a time. Those beyond share one bucket.
const MOST: usize = 16 * 1024;

/// Between two looks for callers that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Buckets that fill at the same pace.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    /// Time in which a bucket gains one.
    gain: Duration,
    /// Time in which an empty bucket, less one, becomes full.
    room: Duration,
    most: usize,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    /// When each one's bucket is full again. One that is full now says nothing and can be forgotten.
    full_at: HashMap<K, Instant>,
    others_full_at: Option<Instant>,
    swept: Option<Instant>,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    /// One each `gain`, and `burst` at once after a while without any.
    pub(crate) fn new(gain: Duration, burst: u32) -> Self {
        let table = Table { full_at: HashMap::new(), others_full_at: None, swept: None };
        Self { gain, room: gain * burst.saturating_sub(1), most: MOST, table: Mutex::new(table) }
    }

    /// Takes one out of the bucket of `who`; `false` when there is none.
    pub(crate) fn take(&self, who: &K) -> bool {
        let now = Instant::now();
        let mut guard = self.table();
        let table = &mut *guard;
        let place = if let Some(known) = table.full_at.get_mut(who) {
            known
        } else if self.has_room(table, now) {
            table.full_at.entry(who.clone()).or_insert(now)
        } else {
            // Whoever comes under ever new names gains nothing by it, and harms those only who are new too.
            table.others_full_at.get_or_insert(now)
        };
        let full_at = (*place).max(now);
        if full_at - now > self.room {
            return false;
        }
        *place = full_at + self.gain;
        true
    }

    fn has_room(&self, table: &mut Table<K>, now: Instant) -> bool {
        if table.full_at.len() < self.most {
            return true;
        }
        if table.swept.is_none_or(|swept| now - swept >= SWEEP) {
            table.swept = Some(now);
            table.full_at.retain(|_, full_at| *full_at > now);
        }
        table.full_at.len() < self.most
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn taken(rates: &Rates<u32>, who: u32, times: usize) -> usize {
        (0..times).filter(|_| rates.take(&who)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn s26_a_burst_and_then_the_pace() {
        let rates = Rates::new(Duration::from_millis(100), 5);
        assert_eq!(taken(&rates, 1, 20), 5);
        assert_eq!(taken(&rates, 2, 20), 5, "another one's bucket is his own");
        advance(Duration::from_millis(99)).await;
        assert_eq!(taken(&rates, 1, 20), 0);
        advance(Duration::from_millis(1)).await;
        assert_eq!(taken(&rates, 1, 20), 1);
        advance(Duration::from_millis(250)).await;
        assert_eq!(taken(&rates, 1, 20), 2);
        advance(Duration::from_secs(60)).await;
        assert_eq!(taken(&rates, 1, 20), 5, "it does not grow beyond its burst");
    }

    #[tokio::test(start_paused = true)]
    async fn s26_the_table_has_an_end_and_does_not_forget_who_asks_too_much() {
        let rates = Rates { most: 10, ..Rates::new(Duration::from_secs(1), 2) };
        assert_eq!(taken(&rates, 0, 5), 2);
        for who in 1..1000 {
            rates.take(&who);
        }
        assert_eq!(rates.table().full_at.len(), 10);
        assert_eq!(taken(&rates, 0, 5), 0, "still known");
        assert_eq!(taken(&rates, 5000, 5), 0, "those who are too many share one");
        advance(Duration::from_secs(2)).await;
        assert_eq!(taken(&rates, 6000, 5), 2, "those who are full again made room");
        assert!(rates.table().full_at.len() <= 10);
    }
}

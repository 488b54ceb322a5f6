//! What a listener counts, for whoever reports it. Plain numbers in one place.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::breach::Breach;

/// Counted since the listener was bound.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open now.
    pub connections: AtomicUsize,
    /// Requests whose head was accepted.
    pub requests: AtomicU64,
    /// Requests under way now, from the head to the end of the answer.
    pub in_flight: AtomicUsize,
    /// Bytes of request bodies held now.
    pub buffered: AtomicUsize,
    breaches: [AtomicU64; Breach::KINDS],
}

impl Counters {
    /// Counts a breach.
    pub(crate) fn count(&self, breach: Breach) {
        if let Some(counter) = self.breaches.get(breach.index()) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// How often one kind of breach was seen.
    pub fn breaches(&self, kind: Breach) -> u64 {
        self.breaches.get(kind.index()).map_or(0, |counter| counter.load(Relaxed))
    }
}

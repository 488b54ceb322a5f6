//! What a listener counts, for whoever reports it. Plain numbers in one place.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use vault::Times;

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
    /// Times from a request's head to that of its answer, of requests that were let in.
    pub times: Times,
    /// Bytes of request bodies held now.
    pub buffered: AtomicUsize,
    breaches: [AtomicU64; Breach::KINDS],
    /// Of those that were seen.
    names: [OnceLock<&'static str>; Breach::KINDS],
}

/// What became of requests that were passed on. Upstream counts the same.
#[derive(Debug, Default)]
pub struct Passed {
    /// The server answered with less than 400.
    pub success: AtomicU64,
    /// The server answered with 400 or more.
    pub client_error: AtomicU64,
    /// No answer came.
    pub error: AtomicU64,
    /// Of the successes, those answered from the cache.
    pub hits: AtomicU64,
    /// And those that were not, with or without a cache.
    pub misses: AtomicU64,
}

impl Passed {
    /// Counts an answer.
    pub(crate) fn answered(&self, status: u16, hit: bool) {
        if status >= 400 {
            self.client_error.fetch_add(1, Relaxed);
            return;
        }
        self.success.fetch_add(1, Relaxed);
        let verdict = if hit { &self.hits } else { &self.misses };
        verdict.fetch_add(1, Relaxed);
    }
}

impl Counters {
    /// Counts a breach.
    pub(crate) fn count(&self, breach: Breach) {
        if let Some(counter) = self.breaches.get(breach.index()) {
            counter.fetch_add(1, Relaxed);
        }
        if let Some(name) = self.names.get(breach.index()) {
            name.get_or_init(|| breach.name());
        }
    }

    /// Every kind that was seen, and how often.
    pub fn seen(&self) -> Vec<(&'static str, u64)> {
        let counts = self.breaches.iter().map(|count| count.load(Relaxed));
        self.names.iter().zip(counts).filter_map(|(name, count)| Some((*name.get()?, count))).collect()
    }

    /// How often one kind of breach was seen.
    pub fn breaches(&self, kind: Breach) -> u64 {
        self.breaches.get(kind.index()).map_or(0, |counter| counter.load(Relaxed))
    }
}

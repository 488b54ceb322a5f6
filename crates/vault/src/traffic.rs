//! What requests to the server led to, counted: plain numbers for whoever reports them.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::{Response, SendError};

/// Upper bounds of the buckets of [`Traffic::times`] but for the last one, in microseconds: a local server answers in
/// less than a millisecond, and half a minute is what the patient wait for.
pub const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 30_000_000,
];

/// Statuses are from 100 to 599.
const STATUSES: usize = 500;

/// How long things took, counted.
#[derive(Debug, Default)]
pub struct Times {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Times {
    /// Counts one.
    pub fn note(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        add(self.counts.get(bucket), 1);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// How many were within each of [`BOUNDS`] and beyond, and all together.
    pub fn read(&self) -> (Vec<u64>, Duration) {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        (counts, Duration::from_micros(self.micros.load(Relaxed)))
    }
}

/// Tries of a client since it was made, retries counted each.
#[derive(Debug)]
pub struct Traffic {
    made: Instant,
    statuses: [AtomicU64; STATUSES],
    errors: [AtomicU64; SendError::KINDS.len()],
    times: Times,
    /// Milliseconds since it was made, and one more; 0 for never.
    answered: AtomicU64,
    status: AtomicU16,
    /// The place of the last error among the kinds, and one more; 0 when the last try was answered.
    failing: AtomicU8,
}

/// How the server stands, as the last try tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contact {
    /// How long ago an answer came; `None` for never.
    pub answered: Option<Duration>,
    /// Its status.
    pub status: Option<u16>,
    /// Why the last try got no answer; `None` when it got one, or there was none yet.
    pub failing: Option<&'static str>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            statuses: [const { AtomicU64::new(0) }; STATUSES],
            errors: Default::default(),
            times: Times::default(),
            answered: AtomicU64::new(0),
            status: AtomicU16::new(0),
            failing: AtomicU8::new(0),
        }
    }
}

impl Traffic {
    /// Counts a try.
    pub(crate) fn note(&self, began: Instant, result: &Result<Response, SendError>) {
        match result {
            Ok(response) => {
                let now = Instant::now();
                self.times.note(now - began);
                let status = response.status.as_u16();
                add(self.statuses.get(usize::from(status).wrapping_sub(100)), 1);
                let age = u64::try_from((now - self.made).as_millis()).unwrap_or(u64::MAX - 1);
                self.answered.store(age + 1, Relaxed);
                self.status.store(status, Relaxed);
                self.failing.store(0, Relaxed);
            }
            Err(error) => {
                let kind = error.place();
                add(self.errors.get(kind), 1);
                self.failing.store(u8::try_from(kind + 1).unwrap_or(u8::MAX), Relaxed);
            }
        }
    }

    /// Answers by their status, those that came.
    pub fn statuses(&self) -> Vec<(StatusCode, u64)> {
        let seen = (100..).zip(&self.statuses).map(|(status, count)| (status, count.load(Relaxed)));
        let seen = seen.filter(|(_, count)| *count > 0);
        seen.filter_map(|(status, count)| Some((StatusCode::from_u16(status).ok()?, count))).collect()
    }

    /// Tries without an answer by [`SendError::kind`], every kind.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SendError::KINDS.into_iter().zip(self.errors.iter().map(|count| count.load(Relaxed)))
    }

    /// Times until the heads of answers came: how many were within each of [`BOUNDS`] and beyond, and all together.
    pub fn times(&self) -> (Vec<u64>, Duration) {
        self.times.read()
    }

    /// How the server stands.
    pub fn contact(&self) -> Contact {
        let age = self.answered.load(Relaxed).checked_sub(1).map(Duration::from_millis);
        let failing = usize::from(self.failing.load(Relaxed)).checked_sub(1);
        Contact {
            answered: age.map(|age| self.made.elapsed().saturating_sub(age)),
            status: Some(self.status.load(Relaxed)).filter(|status| *status > 0),
            failing: failing.and_then(|kind| SendError::KINDS.get(kind).copied()),
        }
    }
}

fn add(counter: Option<&AtomicU64>, number: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(number, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    #[tokio::test(start_paused = true)]
    async fn what_came_is_counted_and_what_did_not_is_told() {
        let traffic = Traffic::default();
        assert_eq!(traffic.contact(), Contact { answered: None, status: None, failing: None });
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(3)).await;
        let answer = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Response { status, headers: http::HeaderMap::new(), body: Body::empty() })
        };
        traffic.note(began, &answer(200));
        traffic.note(began, &answer(503));
        traffic.note(began, &Err(SendError::TimedOut(Duration::ZERO)));
        tokio::time::advance(Duration::from_secs(2)).await;
        let counted: Vec<_> = traffic.statuses().iter().map(|(s, n)| (s.as_u16(), *n)).collect();
        assert_eq!(counted, [(200, 1), (503, 1)]);
        assert_eq!(traffic.errors().filter(|(_, n)| *n > 0).collect::<Vec<_>>(), [("timeout", 1)]);
        let (times, sum) = traffic.times();
        assert_eq!((times[3], times.iter().sum::<u64>(), sum), (2, 2, Duration::from_millis(6)));
        let contact = traffic.contact();
        assert_eq!((contact.status, contact.failing), (Some(503), Some("timeout")));
        assert_eq!(contact.answered, Some(Duration::from_secs(2)));
    }
}

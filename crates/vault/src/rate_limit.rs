//! How often we ask, where the user has set a bound (`VAULT_RATE_LIMIT`).

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// So many requests a second, and some at once after a while without any. Those beyond wait for their turn.
///
/// Clones share the bound, so that a program that is bound asks no more often by asking through several clients. Equal
/// are those of the same numbers.
#[derive(Clone)]
pub struct RateLimit {
    /// Time in which one more may be sent.
    gain: Duration,
    /// How far ahead of that pace a burst may be.
    room: Duration,
    /// When everything sent so far would have been sent at an even pace.
    even_at: Arc<Mutex<Option<Instant>>>,
}

/// Slower is nothing that anybody means: a request in a day.
const SLOWEST: Duration = Duration::from_secs(86_400);

impl RateLimit {
    /// `per_second` requests in the long run, `burst` at once; a burst of less than one is one. `None` where it says
    /// nothing that can be kept: not above zero, or not a number.
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        let gain = Duration::try_from_secs_f64(per_second.recip()).ok().filter(|_| per_second > 0.0)?;
        let gain = gain.min(SLOWEST);
        let room = gain.saturating_mul(burst.max(1) - 1);
        Some(Self { gain, room, even_at: Arc::default() })
    }

    /// Takes a turn; gives when it comes. `None`, and none taken, when that is after `deadline`.
    pub(crate) fn take(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let mut even_at = self.even_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let even = even_at.unwrap_or(now).max(now);
        let turn = now.max(even.checked_sub(self.room).unwrap_or(now));
        if turn > deadline {
            return None;
        }
        *even_at = Some(even + self.gain);
        Some(turn)
    }
}

impl PartialEq for RateLimit {
    fn eq(&self, other: &Self) -> bool {
        (self.gain, self.room) == (other.gain, other.room)
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("gain", &self.gain).field("room", &self.room).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let (now, far) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let limit = RateLimit::new(2.0, 3).unwrap();
        let shared = limit.clone();
        let turns: Vec<_> = (0..6).map(|_| shared.take(now, far).unwrap() - now).collect();
        let ms = Duration::from_millis;
        assert_eq!(turns, [ms(0), ms(0), ms(0), ms(500), ms(1000), ms(1500)]);
        // Three seconds later everything has been sent, and three more may go.
        let later = now + Duration::from_secs(3);
        assert_eq!(limit.take(later, far), Some(later));
        assert_eq!(limit.take(later, far), Some(later));
        assert_eq!(limit.take(later, far), Some(later));
        assert_eq!(limit.take(later, later + ms(499)), None);
        assert_eq!(limit.take(later, later + ms(500)), Some(later + ms(500)));
    }

    #[test]
    fn numbers_that_say_nothing_are_none() {
        for per_second in [0.0, -1.0, f64::NAN, -0.0] {
            assert_eq!(RateLimit::new(per_second, 1), None, "{per_second}");
        }
        assert!(RateLimit::new(1e-300, 0).is_none_or(|limit| limit.gain == SLOWEST));
        assert_eq!(RateLimit::new(f64::INFINITY, 0).unwrap().gain, Duration::ZERO);
    }
}

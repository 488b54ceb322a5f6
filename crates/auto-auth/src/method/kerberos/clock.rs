//! Times as Kerberos writes them: UTC, whole seconds, microseconds apart.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const FORMAT: &str = "%Y%m%d%H%M%SZ";

/// A moment.
pub(super) struct Moment {
    /// `20261122065510Z`.
    pub(super) text: String,
    /// Behind the second.
    pub(super) micros: i64,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self::of(Timestamp::now())
    }

    /// From now on; the end of time where there is none so late.
    pub(super) fn later(by: SignedDuration) -> Self {
        Self::of(Timestamp::now().checked_add(by).unwrap_or(Timestamp::MAX))
    }

    fn of(at: Timestamp) -> Self {
        let micros = i64::from(at.subsec_microsecond());
        Self { text: at.strftime(FORMAT).to_string(), micros }
    }
}

/// The seconds since 1970 of what a KDC wrote.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let at = DateTime::strptime(FORMAT, text).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_second())
}

/// The same of our clock.
pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_in_utc() {
        let at: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        let moment = Moment::of(at);
        assert_eq!((moment.text.as_str(), moment.micros), ("20260102030405Z", 678_901));
        assert_eq!(seconds(&moment.text), Some(at.as_second()));
        assert_eq!(seconds("yesterday"), None);
    }
}

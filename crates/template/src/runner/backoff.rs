//! Pauses after failures, by what kind of failure it is: pure.

use std::time::Duration;

use http::StatusCode;
use vault::api::ApiError;

use crate::dependency::Dependency;
use crate::fetch::FetchError;

/// A kind of failure: how soon another try may help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureClass {
    /// The answer says that nothing is there.
    Absent,
    /// A command failed.
    Command,
    /// The token may not. Only a new token or somebody's new rule helps.
    Denied,
    /// A file cannot be read or written.
    Local,
    /// The template fails with what it was given, or the server does not take what it asks for or writes.
    Template,
    /// The server cannot be asked, or cannot answer now, or what answers is no server.
    Unreachable,
}

impl FailureClass {
    /// Of a failed fetch.
    pub(super) fn of(error: &FetchError) -> Self {
        match error {
            FetchError::Absent { .. } => Self::Absent,
            FetchError::Unusable { dependency: Dependency::File { .. }, .. } => Self::Local,
            // Something on the way answers for the server.
            FetchError::Unusable { .. } => Self::Unreachable,
            FetchError::Api { source, .. } => match (source.kind(), source.status()) {
                ("denied", _) => Self::Denied,
                ("refused", Some(StatusCode::NOT_FOUND)) => Self::Absent,
                // A server that is behind what it was asked for.
                ("refused", Some(StatusCode::PRECONDITION_FAILED)) => Self::Unreachable,
                // What the template asks for, or writes, is what the server does not like.
                ("refused", _) => Self::Template,
                _ => Self::Unreachable,
            },
        }
    }
}

/// How long the server asked us to stay away.
pub(super) fn asked_to_wait(error: &FetchError) -> Duration {
    match error {
        FetchError::Api { source: ApiError::Refused { retry_after, .. }, .. } => {
            retry_after.unwrap_or_default().min(LONGEST_ASKED)
        }
        _ => Duration::ZERO,
    }
}

/// A server that asks for more than this is not believed.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Local files are looked at this often; a look costs nothing.
pub(super) const LOCAL: Duration = Duration::from_secs(2);

/// First pause after a refused token: each refusal is a line in the server's audit log.
const DENIED_FIRST: Duration = Duration::from_secs(1);

/// Longest pause after a refused token, once the tries that count are used up.
const DENIED_LONGEST: Duration = Duration::from_secs(300);

/// Pauses after failed fetches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    /// After the first failure.
    pub(super) first: Duration,
    /// At most.
    pub(super) longest: Duration,
    /// Tries that count for `exit_on_retry_failure`.
    pub(super) attempts: u32,
}

impl Backoff {
    /// The pause after so many failures in a row before this one: it doubles, and up to a quarter of it is
    /// taken off by `jitter` in 0..1.
    pub(super) fn pause(self, class: FailureClass, failures: u32, jitter: f64) -> Duration {
        let Self { first, longest, attempts } = self;
        let (first, longest) = match class {
            FailureClass::Local => (first, LOCAL),
            FailureClass::Denied if failures > attempts => (DENIED_FIRST, DENIED_LONGEST.max(longest)),
            FailureClass::Denied => (DENIED_FIRST.max(first), longest),
            _ => (first, longest),
        };
        let full = first.saturating_mul(1 << failures.min(20)).min(longest);
        full.mul_f64(0.75 + 0.25 * jitter)
    }
}

/// Whether the `failures`-th failure in a row (from 1) is worth a line in the log: the first three, and then ever
/// fewer.
pub(super) fn is_worth_telling(failures: u32) -> bool {
    failures <= 3 || failures.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_what_the_kind_of_failure_is_worth() {
        let backoff =
            Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(60), attempts: 12 };
        let pauses = |class| -> Vec<u64> {
            let after = |failures| backoff.pause(class, failures, 1.0).as_millis() as u64;
            [0, 1, 2, 3, 8, 12, 13, 40].into_iter().map(after).collect()
        };
        let usual = [250, 500, 1000, 2000, 60_000, 60_000, 60_000, 60_000];
        assert_eq!(pauses(FailureClass::Unreachable), usual);
        assert_eq!(pauses(FailureClass::Absent), usual);
        assert_eq!(pauses(FailureClass::Local), [250, 500, 1000, 2000, 2000, 2000, 2000, 2000]);
        let denied = [1000, 2000, 4000, 8000, 60_000, 60_000, 300_000, 300_000];
        assert_eq!(pauses(FailureClass::Denied), denied);
        assert_eq!(backoff.pause(FailureClass::Absent, 8, 0.0), Duration::from_secs(45));
    }

    #[test]
    fn what_goes_on_failing_is_told_ever_more_rarely() {
        let told: Vec<u32> = (1..100).filter(|nth| is_worth_telling(*nth)).collect();
        assert_eq!(told, [1, 2, 3, 4, 8, 16, 32, 64]);
    }
}

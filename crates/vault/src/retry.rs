//! When to ask again: a pure decision.
//!
//! The rules, and why they differ from upstream's (which repeats writes that may have been carried out and
//! then hides the server's last answer behind a time-out):
//! - What never left may always be sent again; a server that cannot be reached, or a cluster without an active node,
//!   is waited for up to the client timeout, so that a restart or an election loses no request.
//! - A read is repeated after a broken connection and after 412, 429, 500, 502, 503, 504; a write only after
//!   412, 429 and 503, where the server did not act.
//! - An answer that says no is retried for [`ANSWERED_PATIENCE`] and then handed on as it is.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::{SendError, Sent};

/// How long an answer that says no is retried before it is handed on.
pub(crate) const ANSWERED_PATIENCE: Duration = Duration::from_secs(5);

/// Upstream's default for `retry.num_retries`.
const DEFAULT_RETRIES: u32 = 12;

/// How stubborn a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryPolicy {
    /// One try. For callers with a back-off of their own.
    Never,
    /// At most so many repetitions.
    AtMost(u32),
    /// [`DEFAULT_RETRIES`] after answers, any number while the server cannot be reached.
    Patient,
}

impl RetryPolicy {
    /// From `retry.num_retries`: 0 is the default, negative is never.
    pub fn from_config(num_retries: i64) -> Self {
        match num_retries {
            0 => Self::Patient,
            n if n < 0 => Self::Never,
            n => Self::AtMost(u32::try_from(n).unwrap_or(u32::MAX)),
        }
    }

    fn allows(self, tries: Tries, reached: bool) -> bool {
        match self {
            Self::Never => false,
            Self::AtMost(most) => tries.repetitions < most,
            Self::Patient => !reached || tries.after_answers < DEFAULT_RETRIES,
        }
    }
}

/// How often was asked again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tries {
    /// In all.
    pub(crate) repetitions: u32,
    /// After answers: an outage that was waited out is no reason to give up at the first answer that says no, which
    /// a server gives while it starts.
    pub(crate) after_answers: u32,
}

/// What to do after a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Hand it on.
    No,
    /// Wait and ask again.
    After(Duration),
}

/// What a try ended with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    Answer {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    /// The cluster elects its active node; nobody acted, unless the active one died after it had.
    Leaderless,
    Error(&'a SendError),
}

/// Decides after a try. `answered_for` is the time since the first answer that said
/// no; `random` is uniform in 0..1.
pub(crate) fn decide(
    policy: RetryPolicy,
    method: &Method,
    outcome: Outcome<'_>,
    tries: Tries,
    answered_for: Duration,
    random: f64,
) -> Retry {
    let safe = crate::request::is_safe(method);
    let (again, reached) = match outcome {
        Outcome::Answer { status, .. } => {
            let again = match status.as_u16() {
                412 | 429 | 503 => true,
                500 | 502 | 504 => safe,
                _ => false,
            };
            (again && answered_for < ANSWERED_PATIENCE, true)
        }
        Outcome::Leaderless | Outcome::Error(SendError::Unreachable { .. }) => (true, false),
        Outcome::Error(error @ SendError::Broken { .. }) => (safe || error.sent() == Sent::No, false),
        Outcome::Error(
            SendError::Tls { .. }
            | SendError::TimedOut(_)
            | SendError::Downgrade
            | SendError::Loop { .. }
            | SendError::Malformed { .. }
            | SendError::Upload(_),
        ) => (false, false),
    };
    if !again || !policy.allows(tries, reached) {
        return Retry::No;
    }
    if let Outcome::Answer { retry_after: Some(wait), .. } = outcome {
        // The server said when; a fleet told the same second is spread a little behind it.
        return match wait {
            wait if answered_for + wait > ANSWERED_PATIENCE => Retry::No,
            wait => Retry::After(wait + Duration::from_secs_f64(random * 0.25)),
        };
    }
    // Doubling from a quarter second to at most one, half of it random: a server that is back is noticed
    // within a second and a half, and not by everybody at once.
    let full = Duration::from_millis(250 << tries.repetitions.min(2));
    let wait = full.mul_f64(0.5 + random * 0.5);
    // The last answer is in hand when the patience ends, not a second later.
    Retry::After(if reached { wait.min(ANSWERED_PATIENCE.saturating_sub(answered_for)) } else { wait })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Outcome<'static> {
        Outcome::Answer { status: StatusCode::from_u16(status).unwrap(), retry_after: None }
    }

    fn again(method: Method, outcome: Outcome<'_>, policy: RetryPolicy, repetitions: u32) -> bool {
        decide(policy, &method, outcome, tries(repetitions), Duration::ZERO, 0.5) != Retry::No
    }

    fn tries(repetitions: u32) -> Tries {
        Tries { repetitions, after_answers: repetitions }
    }

    fn broken(sent: Sent) -> SendError {
        SendError::Broken {
            method: Method::PUT,
            address: String::new(),
            reason: String::new(),
            sent,
            began: false,
        }
    }

    #[test]
    fn reads_are_repeated_and_writes_only_where_the_server_did_not_act() {
        for status in [412, 429, 500, 502, 503, 504] {
            assert!(again(Method::GET, answer(status), RetryPolicy::Patient, 0), "GET {status}");
        }
        for status in [200, 204, 400, 403, 404, 472, 473, 501] {
            assert!(!again(Method::GET, answer(status), RetryPolicy::Patient, 0), "GET {status}");
        }
        for status in [412, 429, 503] {
            assert!(again(Method::PUT, answer(status), RetryPolicy::Patient, 0), "PUT {status}");
        }
        for status in [500, 502, 504] {
            assert!(!again(Method::PUT, answer(status), RetryPolicy::Patient, 0), "PUT {status}");
        }
        assert!(again(Method::PUT, Outcome::Error(&broken(Sent::No)), RetryPolicy::Patient, 0));
        assert!(!again(Method::PUT, Outcome::Error(&broken(Sent::Maybe)), RetryPolicy::Patient, 0));
        assert!(again(Method::GET, Outcome::Error(&broken(Sent::Maybe)), RetryPolicy::Patient, 0));
    }

    #[test]
    fn num_retries_counts_repetitions() {
        assert_eq!(RetryPolicy::from_config(0), RetryPolicy::Patient);
        assert!(!again(Method::GET, answer(503), RetryPolicy::from_config(-1), 0));
        assert!(again(Method::GET, answer(503), RetryPolicy::from_config(2), 1));
        assert!(!again(Method::GET, answer(503), RetryPolicy::from_config(2), 2));
        assert!(again(Method::GET, answer(503), RetryPolicy::Patient, 11));
        assert!(!again(Method::GET, answer(503), RetryPolicy::Patient, 12));
    }

    #[test]
    fn an_unreachable_server_is_waited_for_an_unwilling_one_is_not() {
        let gone =
            SendError::Unreachable { method: Method::PUT, address: String::new(), reason: String::new() };
        assert!(again(Method::PUT, Outcome::Error(&gone), RetryPolicy::Patient, 500));
        let late = decide(RetryPolicy::Patient, &Method::GET, answer(503), tries(3), ANSWERED_PATIENCE, 0.5);
        assert_eq!(late, Retry::No);
        assert!(again(Method::PUT, Outcome::Leaderless, RetryPolicy::Patient, 500), "an election");
        let starting = Tries { repetitions: 500, after_answers: 0 };
        let sealed = decide(RetryPolicy::Patient, &Method::GET, answer(503), starting, Duration::ZERO, 0.5);
        assert_ne!(sealed, Retry::No, "the outage was waited out, the unsealing is as well");
    }

    #[test]
    fn f03_an_answer_that_says_no_is_handed_on_after_five_seconds() {
        let after = |answered_for: f64, outcome| {
            let answered_for = Duration::from_secs_f64(answered_for);
            decide(RetryPolicy::Patient, &Method::GET, outcome, tries(5), answered_for, 1.0)
        };
        assert_eq!(after(4.0, answer(503)), Retry::After(Duration::from_secs(1)));
        assert_eq!(after(4.75, answer(503)), Retry::After(Duration::from_millis(250)), "the last one");
        let told = |seconds| Outcome::Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(after(0.5, told(4)), Retry::After(Duration::from_millis(4250)));
        assert_eq!(after(1.5, told(4)), Retry::No);
    }

    #[test]
    fn waits_grow_to_a_second_and_have_jitter() {
        let wait = |repetitions, random| {
            decide(
                RetryPolicy::Patient,
                &Method::GET,
                answer(503),
                tries(repetitions),
                Duration::ZERO,
                random,
            )
        };
        assert_eq!(wait(0, 0.0), Retry::After(Duration::from_millis(125)));
        assert_eq!(wait(0, 1.0), Retry::After(Duration::from_millis(250)));
        assert_eq!(wait(9, 1.0), Retry::After(Duration::from_secs(1)));
    }
}

//! What a function sees and touches beside its arguments: the clock, the standard output, and how long it may take.
//!
//! All belong to the thread's evaluation. Without one around, the clock is the system's, what is printed goes out at
//! once, and a call may take five seconds. Whoever evaluates templates gives times and gets what was printed.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::Duration;

use gotemplate::FuncError;
use jiff::Timestamp;

use crate::arguments::bounded;
use crate::patience::processor_time;

thread_local! {
    static NOW: Cell<Option<Timestamp>> = const { Cell::new(None) };
    /// By the thread's processor time.
    static DEADLINE: Cell<Duration> = const { Cell::new(Duration::MAX) };
    static PRINTED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Runs an evaluation whose functions take `now` for the time, if it is given, and of which no call that takes long
/// goes on once all of it has taken `most` of processor time. Gives its result, and what its functions wanted on the
/// standard output: nothing is there yet.
pub fn within<R>(now: Option<Timestamp>, most: Duration, evaluation: impl FnOnce() -> R) -> (R, Vec<u8>) {
    let _around = Around {
        now: NOW.replace(now),
        deadline: DEADLINE.replace(processor_time().saturating_add(most)),
        printed: PRINTED.replace(Some(Vec::new())),
    };
    let result = evaluation();
    (result, PRINTED.take().unwrap_or_default())
}

/// What was there before; it is back after a panic, too.
struct Around {
    now: Option<Timestamp>,
    deadline: Duration,
    printed: Option<Vec<u8>>,
}

impl Drop for Around {
    fn drop(&mut self) {
        NOW.set(self.now);
        DEADLINE.set(self.deadline);
        PRINTED.set(self.printed.take());
    }
}

pub(crate) fn now() -> Timestamp {
    NOW.get().unwrap_or_else(Timestamp::now)
}

/// Processor time that the evaluation may still take.
pub(crate) fn patience(now: Duration) -> Duration {
    DEADLINE.get().saturating_sub(now)
}

/// Prints for whoever runs the program.
///
/// # Errors
/// More than one evaluation may print.
pub(crate) fn print(text: &[u8]) -> Result<(), FuncError> {
    PRINTED.with_borrow_mut(|printed| match printed {
        Some(printed) => {
            bounded(printed.len().saturating_add(text.len()))?;
            printed.extend_from_slice(text);
            Ok(())
        }
        None => {
            // Nobody to tell if it cannot be written; upstream does not look either.
            let _ = std::io::stdout().write_all(text);
            Ok(())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_evaluation_has_its_own_and_leaves_what_was_there() {
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let (one, two) = (time("2001-02-03T04:05:06Z"), time("2007-08-09T01:02:03Z"));
        let ((inner, lost), outer) = within(one, Duration::MAX, || {
            print(b"a").unwrap();
            let inner = within(two, Duration::MAX, || print(b"b").map(|()| now()).unwrap());
            assert_eq!(Some(now()), one);
            let failed = std::panic::catch_unwind(|| within(two, Duration::MAX, || panic!("lost")));
            assert!(failed.is_err() && Some(now()) == one);
            print(b"c").unwrap();
            inner
        });
        assert_eq!((Some(inner), lost.as_slice(), outer.as_slice()), (two, &b"b"[..], &b"ac"[..]));
        assert!(now() > two.unwrap());
        let (refused, _) = within(None, Duration::MAX, || print(&vec![b'x'; crate::MAX_RESULT + 1]));
        assert!(refused.is_err());
    }
}

//! What a function sees and touches beside its arguments: the clock, and the standard output.
//!
//! Both belong to the thread's evaluation. Without one around, the clock is the system's and what is printed goes
//! out at once. Whoever evaluates templates gives the time and gets what was printed, and decides on both.

use std::cell::{Cell, RefCell};
use std::io::Write as _;

use gotemplate::FuncError;
use jiff::Timestamp;

use crate::arguments::bounded;

thread_local! {
    static NOW: Cell<Option<Timestamp>> = const { Cell::new(None) };
    static PRINTED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Runs an evaluation whose functions take `now` for the time, if it is given. Gives its result, and what they
/// wanted on the standard output: nothing is there yet.
pub fn within<R>(now: Option<Timestamp>, evaluation: impl FnOnce() -> R) -> (R, Vec<u8>) {
    let _around = Around { now: NOW.replace(now), printed: PRINTED.replace(Some(Vec::new())) };
    let result = evaluation();
    (result, PRINTED.take().unwrap_or_default())
}

/// What was there before; it is back after a panic, too.
struct Around {
    now: Option<Timestamp>,
    printed: Option<Vec<u8>>,
}

impl Drop for Around {
    fn drop(&mut self) {
        NOW.set(self.now);
        PRINTED.set(self.printed.take());
    }
}

pub(crate) fn now() -> Timestamp {
    NOW.get().unwrap_or_else(Timestamp::now)
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
        let ((inner, lost), outer) = within(one, || {
            print(b"a").unwrap();
            let inner = within(two, || print(b"b").map(|()| now()).unwrap());
            assert_eq!(Some(now()), one);
            let failed = std::panic::catch_unwind(|| within(two, || panic!("lost")));
            assert!(failed.is_err() && Some(now()) == one);
            print(b"c").unwrap();
            inner
        });
        assert_eq!((Some(inner), lost.as_slice(), outer.as_slice()), (two, &b"b"[..], &b"ac"[..]));
        assert!(now() > two.unwrap());
        let (refused, _) = within(None, || print(&vec![b'x'; crate::MAX_RESULT + 1]));
        assert!(refused.is_err());
    }
}

//! Whether something that was fetched again is news.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dependency::Dependency;
use crate::evaluate::{Knowledge, Known};

/// Whether something of `needed` has come, or changed, since `then`: an evaluation with that knowledge is late.
pub(super) fn is_late(needed: &BTreeSet<Dependency>, then: &Knowledge, now: &Knowledge) -> bool {
    needed.iter().any(|dependency| match (then.get(dependency), now.get(dependency)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(known), Some(current)) => !is_identical(known, current),
    })
}

/// Whether both are one answer, not only equal ones.
fn is_identical(one: &Known, other: &Known) -> bool {
    match (one, other) {
        (Known::Secret(Some(one)), Known::Secret(Some(other))) => Arc::ptr_eq(one, other),
        (Known::List(Some(one)), Known::List(Some(other))) => Arc::ptr_eq(one, other),
        (Known::Certificate(one), Known::Certificate(other)) => Arc::ptr_eq(one, other),
        (Known::File(one), Known::File(other)) => Arc::ptr_eq(one, other),
        (Known::Secret(None), Known::Secret(None)) | (Known::List(None), Known::List(None)) => true,
        _ => false,
    }
}

/// Whether `new` holds the same content as `old`. Leases and request ids differ with every answer: a template
/// sees a lease's id, so a new lease is news; a request id alone is not.
pub(super) fn same(old: Option<&Known>, new: &Known) -> bool {
    match (old, new) {
        (Some(Known::File(old)), Known::File(new)) => old == new,
        (Some(Known::List(old)), Known::List(new)) => old == new,
        (Some(Known::Certificate(old)), Known::Certificate(new)) => old == new,
        (Some(Known::Secret(Some(old))), Known::Secret(Some(new))) => {
            old.data == new.data
                && old.lease_id == new.lease_id
                && old.lease_duration == new.lease_duration
                && old.auth.is_none()
                && new.auth.is_none()
                && old.wrap_info.is_none()
                && new.wrap_info.is_none()
        }
        (Some(Known::Secret(None)), Known::Secret(None)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_during_an_evaluation_makes_it_late_and_what_it_knew_does_not() {
        let dependency = Dependency::List { path: "secret".to_owned() };
        let needed = BTreeSet::from([dependency.clone()]);
        let answer = || Known::List(Some(Arc::new(vec!["app".to_owned()])));
        let none = Knowledge::new();
        let then = Knowledge::from([(dependency.clone(), answer())]);
        assert!(is_late(&needed, &none, &then), "it was not there yet");
        assert!(!is_late(&needed, &then, &then.clone()));
        assert!(!is_late(&needed, &none, &none), "it is still on its way");
        assert!(is_late(&needed, &then, &Knowledge::from([(dependency, answer())])), "it was read again");
        assert!(!is_late(&BTreeSet::new(), &none, &then), "others asked for it");
    }
}

//! Whether something that was fetched again is news.

use crate::evaluate::Known;

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

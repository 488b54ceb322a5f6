//! Room for connections: how many files this process may have open (`RLIMIT_NOFILE`).
//!
//! The soft limit is low by tradition (1024), for programs that wait with `select` and break beyond it. We do not, so we
//! take all that the hard limit allows, as systemd recommends and Go's runtime does. The programs we start may be of the
//! old kind: they get back what we were started with.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Raises the soft limit to the hard one. Once, and before anything is bound: listeners reckon with the limit they find.
pub(crate) fn raise() {
    let original = getrlimit(Resource::Nofile);
    if let Some(soft) = original.current {
        supervisor::programs_may_open(soft);
    }
    if original.current == original.maximum {
        return;
    }
    let raised = Rlimit { current: original.maximum, maximum: original.maximum };
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let (from, to) = (shown(original.current), shown(raised.current));
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => debug!(target: "", from, to, "raised the limit of open files"),
        Err(error) => {
            debug!(target: "", from, to, error = %error, "the limit of open files could not be raised")
        }
    }
}

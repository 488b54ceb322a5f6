//! What keeps secrets out of files that nobody meant to write.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing::debug;

/// No core dumps, and no other process of the same user reads our memory.
pub(crate) fn forbid_core_dumps() {
    let limits = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limits.and(dumpable) {
        debug!(target: "", error = %error, "core dumps could not be forbidden");
    }
}

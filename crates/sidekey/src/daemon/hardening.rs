//! What keeps secrets out of files and lines that nobody meant to write.

use std::backtrace::{Backtrace, BacktraceStatus};

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

/// A panic tells where it was, and not what about: that may be a secret. Where a damaged file is what it means, the file is
/// told of instead.
pub(crate) fn tell_only_where_a_panic_was() {
    std::panic::set_hook(Box::new(|panic| {
        if cache::disk::expects_panic() {
            return;
        }
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        errln!(
            "internal error at {place}: a fault of sidekey, please report it; what it happened to fails, the rest goes on"
        );
        // With RUST_BACKTRACE=1.
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            errln!("{trace}");
        }
    }));
}

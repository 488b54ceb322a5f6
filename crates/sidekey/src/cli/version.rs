//! `sidekey version`.

use super::Exit;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn version() -> Exit {
    outln!("Sidekey v{VERSION}");
    Exit::Success
}

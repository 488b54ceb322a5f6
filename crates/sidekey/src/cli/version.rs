//! `sidekey version`.

use super::Exit;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[expect(clippy::print_stdout, reason = "the command line speaks here")]
pub(super) fn version() -> Exit {
    println!("Sidekey v{VERSION}");
    Exit::Success
}

//! The guard of a child (`supervisor::stand_guard`): this program once more, by the file that runs, whatever stands at its
//! path now.

use std::ffi::OsString;
use std::process::ExitCode;

/// What tells it from us: nobody asks for it on the command line. It is in no message, for it has nothing to say.
const WORD: &str = "exec-guard";

/// The same as the name of the process, so that those who end `sidekey` by its name do not end it.
const NAME: &std::ffi::CStr = c"exec-guard";

/// Program and arguments.
pub(super) fn command() -> Vec<OsString> {
    vec!["/proc/self/exe".into(), WORD.into()]
}

/// Whether these arguments are those of a guard.
pub(crate) fn is_guard(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|word| word == WORD)
}

/// Waits for the end of whoever has started us, and ends what he leaves behind.
pub(crate) fn stand() -> ExitCode {
    let _ = rustix::thread::set_name(NAME);
    supervisor::stand_guard(std::io::stdin().lock());
    ExitCode::SUCCESS
}

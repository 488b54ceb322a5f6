//! All that the command line prints goes through here, and clippy sees to it (`print_stdout`, `print_stderr`).
//!
//! A reader that has gone away is no error: what it did not want is dropped, and we end as if it had read all. Anything
//! else, a full disk for instance, is told once, at the end ([`outcome`]). What goes to standard error is lost where
//! nobody takes it: there is no other place to tell of it.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use crate::cli::Exit;

/// Why something did not reach standard output.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// To standard output.
macro_rules! out {
    ($($what:tt)*) => { $crate::print::out(format_args!($($what)*)) };
}

/// To standard output, with the end of a line.
macro_rules! outln {
    ($($what:tt)*) => { $crate::print::out(format_args!("{}\n", format_args!($($what)*))) };
}

/// To standard error, with the end of a line.
macro_rules! errln {
    ($($what:tt)*) => { $crate::print::err(format_args!("{}\n", format_args!($($what)*))) };
}

pub(crate) fn out(what: Arguments<'_>) {
    note(io::stdout().lock().write_fmt(what));
}

/// To standard output, whatever bytes they are, and at once.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    note(out.write_all(bytes).and_then(|()| out.flush()));
}

/// In one piece, so that it does not mix with what others write there.
pub(crate) fn err(what: Arguments<'_>) {
    err_bytes(what.to_string().as_bytes());
}

/// To standard error, whatever bytes they are.
pub(crate) fn err_bytes(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

fn note(written: io::Result<()>) {
    if let Err(error) = written {
        // The first one tells most.
        let _ = LOST.set(error);
    }
}

/// How a command ends whose purpose is what it prints: not well if that was lost.
pub(crate) fn outcome(exit: Exit) -> Exit {
    note(io::stdout().lock().flush());
    match LOST.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            errln!("error: cannot write to standard output: {error}");
            Exit::Failure
        }
        _ => exit,
    }
}

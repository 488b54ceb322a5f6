//! The running program: [`Daemon::build`] makes every room (binds, runs nothing), [`Daemon::run`] runs them
//! until a signal, a quit request, the end of the work (`exit_after_auth`) or a failure that ends it.
//!
//! Only this module knows all rooms. Five arrows run back up, all made in `build.rs`: a refused token
//! (`auto_auth::Reauth`), a quit request, the end of the work, the failure of a task, and the end of the child.

mod build;
mod child;
mod give_back;
mod guard;
mod hardening;
mod identity;
mod notify;
mod once;
mod open_files;
mod persist;
mod pid_file;
mod reload;
mod report;
mod run;
mod session;
mod signals;
mod tasks;
mod units;

pub(crate) use build::{Daemon, StartError};
pub(crate) use guard::{is_guard, stand as stand_guard};
pub(crate) use hardening::{forbid_core_dumps, tell_only_where_a_panic_was};
pub(crate) use once::{OnceError, render_once};
pub(crate) use open_files::raise as raise_open_files;
pub(crate) use reload::Reload;
pub(crate) use run::RunError;
pub(crate) use session::{OpenSession, Session, with_session};
pub(crate) use tasks::TaskError;

/// One thread runs everything; a few more, for a few seconds, do what blocks (name look-ups).
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(std::time::Duration::from_secs(5))
        .build()
}

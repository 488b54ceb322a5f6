//! One child process, as init would keep it: started when what it waits for is there, signalled, stopped with patience,
//! started again when its variables change, and mirrored when it ends.
//!
//! What to do when is a pure state machine (`state.rs`); a small driver acts and waits (`driver.rs`); what the system is
//! asked for stands in `process.rs`, and what every program of ours needs in `program.rs`. Orphans that become ours are buried in `orphans.rs`, and `guard.rs` sees to it that none lives on when we are killed. Where variables come from, and
//! what is in them, nobody here knows.

mod driver;
mod guard;
mod orphans;
mod process;
mod program;
mod record;
mod settings;
mod state;
mod variables;

pub use driver::{Asked, run};
pub use guard::stand_guard;
pub use orphans::{adopt, bury};
pub use process::why_not_started;
pub use program::{Group, command, has_format, is_shell_line, prepare, program_is_there, programs_may_open};
pub use record::Record;
pub use rustix::process::Signal;
pub use settings::{OnChange, OnExit, Settings};
pub use state::{Ending, Outcome};
pub use variables::Variables;

//! Secrets rendered into files: the functions of the agents' templates on `gotemplate`, and the loop that
//! keeps outputs fresh.
//!
//! A template is evaluated with what is known; what it asks for and is not known yet is fetched through the
//! cache (`fetch.rs`), and it is evaluated again, until nothing is missing and its file can be written
//! (`output.rs`, `writes.rs`). When a secret is read again is a pure rule (`refresh.rs`). Each template fails
//! alone: its neighbours, their files and their commands are untouched (`runner/`). The command line renders
//! once, against the server or with fixtures, and writes nothing (`once.rs`).
//! Nothing here knows auto-auth or the proxy: the token comes as a `watch<TokenState>`.

mod command;
mod dependency;
mod environment;
mod evaluate;
mod fetch;
mod fixtures;
mod functions;
mod kv;
mod once;
mod output;
mod pki;
mod prepared;
mod processes;
mod redact;
mod refresh;
mod runner;
mod secret;
mod source;
mod versions;
mod words;
mod world;
mod writes;

pub use ::functions::address;
pub use dependency::url::escape_path;
pub use environment::{Values, Variables};
pub use fetch::MAX_FILE;
pub use fixtures::{Fixtures, FixturesError};
pub use functions::{Listed, catalogue};
pub use gotemplate::{ExecError, ParseError};
pub use kv::{Mount, data_path, list_path};
pub use once::{OnceSettings, RenderError, Rendered, Written, render_once, render_with};
pub use prepared::Prepared;
pub use runner::{ChildAction, FailureClass, Runner, RunnerError, RunnerSettings, Standing, Update};

//! Configuration of the agent and the proxy: files, flags and environment into checked settings.
//!
//! Three steps, one direction:
//! 1. Text to raw. [`hcl1`] parses; `raw` and the `read` functions beside each type in [`settings`] decode one
//!    file, stanza by stanza, through the accessors in `decode`. Raw values know their places.
//! 2. Raw to one raw. `merge` lays several files over one another.
//! 3. Raw to [`Settings`]. `compile` overlays flags and environment, `check` asks whether the stanzas fit
//!    together. Settings are plain data: no places, no texts still to be parsed.
//!
//! Nothing stops at the first mistake: a [`Failure`] holds every [`Problem`], each with its place, a hint, and
//! the words upstream would have used, because tools match on them. What upstream has and we have not yet is
//! refused with one wording and never passed over. Only this crate looks at configuration files, and only
//! [`Environment::capture`] at the process's environment; nothing here opens a socket or a token file.
//!
//! To add a key: the field in its stanza's type, a line in that file's `read`, and the case in `tests/it`.
//! Compatibility: `tests/corpus` holds what the real binary said to 1183 configurations.
//!
//! ```
//! use config::{Environment, Flags, Loader, UnknownKeys};
//!
//! let loader = Loader {
//!     product: vault::Product::Agent,
//!     flags: &Flags::default(),
//!     environment: &Environment::default(),
//!     unknown_keys: UnknownKeys::Warn,
//! };
//! let loaded = loader.load_texts([("agent.hcl", "listener \"tcp\" { tls_disable = true }")]).unwrap();
//! assert_eq!(loaded.settings.listeners.len(), 1);
//! ```

mod check;
mod compile;
mod decode;
mod environment;
mod flags;
mod go_duration;
mod go_scalar;
mod load;
mod merge;
mod nearest;
mod problem;
mod proxies;
mod raw;
pub mod settings;

pub use atomic_file::KeySource;
pub use environment::Environment;
pub use flags::Flags;
pub use go_duration::GoDuration;
pub use load::{Loaded, Loader};
pub use problem::{Failure, Problem, UnknownKeys};
pub use settings::*;

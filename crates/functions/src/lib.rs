//! What the agents' templates may call: their own functions and all of sprig, as tables for [`gotemplate`].
//!
//! Here is everything that needs its arguments only, a clock, chance, or a place to print. What needs a secret, a
//! file, the environment or a program is not here: this crate knows no server and opens no file. The one exception
//! is `sockaddr`, which asks the kernel for the addresses of this machine. Clock and standard output are what
//! [`within`] says: the caller of an evaluation gives the one and gets what was meant for the other.
//!
//! Each function stands in a table of [`Entry`]s with its signature, one sentence and an example. The list of
//! `sidekey template functions`, `docs/templates.md` and a test that runs every example come from there.

pub mod formats;
pub mod go;

mod agent;
mod arguments;
mod help;
mod patience;
mod sprig;
mod surroundings;
mod walk;

pub use agent::sockaddr::{address, sockaddr};
pub use help::{Entry, Help, Profile, entry};
pub use surroundings::within;

/// All functions of this crate that `profile` has.
pub fn entries(profile: Profile) -> impl Iterator<Item = &'static Entry<()>> {
    agent::TABLES
        .iter()
        .chain(sprig::TABLES)
        .copied()
        .flatten()
        .filter(move |entry| entry.help.only.is_none_or(|only| only == profile))
}

/// The longest text that a function makes, in bytes; more is an error of that call. Go has no such bound: there a
/// template takes what memory there is.
pub const MAX_RESULT: usize = 16 << 20;

/// The most elements of a list or map that a function makes, and the most nodes of a document that it reads or
/// writes.
///
/// An element takes up to 200 bytes: a key and its text, a value and its own, and their share of a tree. So a call
/// needs some 200 MB at the most, where as many elements as [`MAX_RESULT`] has bytes would need gigabytes.
pub const MAX_ELEMENTS: usize = 1 << 20;

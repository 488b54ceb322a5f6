//! Pieces of Go's standard library whose behaviour templates can see.

pub mod duration;
pub mod layout;
pub mod regex;
pub(crate) mod strconv;
pub mod time;

//! Pieces of Go's standard library whose behaviour templates can see.

pub(crate) mod base64;
pub mod duration;
pub mod layout;
pub mod regex;
pub(crate) mod strconv;
pub(crate) mod strings;
pub mod time;
pub(crate) mod unicode;

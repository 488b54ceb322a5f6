//! Pieces of Go's standard library whose behaviour templates can see.

pub(crate) mod base64;
pub mod duration;
pub mod hex;
pub mod layout;
pub(crate) mod mergo;
pub mod pem;
pub mod regex;
pub(crate) mod strconv;
pub(crate) mod strings;
pub mod time;
pub(crate) mod unicode;
pub mod url;

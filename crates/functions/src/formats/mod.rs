//! Values to text and back, byte for byte as Go's libraries write them.

pub mod json;
pub(crate) mod toml;
pub(crate) mod yaml;

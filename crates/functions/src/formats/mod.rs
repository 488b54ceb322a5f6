//! Values to text and back, byte for byte as Go's libraries write them.

pub mod json;
mod text;
pub(crate) mod toml;
mod walk;
pub(crate) mod yaml;

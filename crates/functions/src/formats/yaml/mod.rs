//! YAML as yaml.v2 2.4 reads and writes it: version 1.1 of the language, with that library's choices.
//!
//! Reading goes from bytes to tokens ([`scan`]), events ([`events`]), nodes and values ([`decode`]); writing from a
//! value ([`write`](mod@write)) through [`emit`]. What a plain scalar means is [`resolve`]'s, for both. No part
//! recurses, so depth costs no stack.

mod characters;
mod decode;
mod emit;
mod events;
mod order;
mod resolve;
mod scan;
mod write;

pub(crate) use decode::parse;
pub(crate) use write::write;

#[cfg(test)]
pub(super) mod tests;

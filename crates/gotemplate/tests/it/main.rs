//! The library held against the real agent's renderings, and against arbitrary bytes.

mod corpus;
mod functions;
mod limits;
mod objects;
mod properties;
mod robustness;

//! The library held against the real agent's renderings, and against arbitrary bytes.

mod corpus;
mod functions;
mod objects;
mod robustness;

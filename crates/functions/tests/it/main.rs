//! All functions together: their examples, and what the real agent made of the corpora.

mod bounds;
mod corpus;
mod examples;

//! Regular expressions in Go's dialect (RE2), on the `regex` crate.

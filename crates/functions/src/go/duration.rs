//! `time.Duration`: reading and writing `1h30m`.

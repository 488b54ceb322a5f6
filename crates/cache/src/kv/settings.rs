//! How secrets are kept.

use std::time::Duration;

use super::reading::{Engine, Facts};

/// What becomes of a body whose time is over, when it is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Revalidate {
    /// It is read anew.
    #[default]
    None,
    /// Its metadata are read; if they name the same version, it is good for another `ttl`.
    Metadata,
    /// It is read anew, and said to be the same when it is.
    Full,
}

/// Which KV the mounts are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KvVersion {
    /// The server is asked.
    #[default]
    Auto,
    /// All are version 1.
    One,
    /// All are version 2.
    Two,
}

/// How secrets are kept; checked by whoever made them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StaticSecrets {
    /// Paths that may be kept, as policies name them, with the namespace in front.
    pub paths: Vec<String>,
    /// How long a body is fresh.
    pub ttl: Duration,
    /// How much longer it is served while the server fails.
    pub stale_if_error: Duration,
    /// How long "nothing there" is kept, for the token that was told so.
    pub negative_ttl: Duration,
    /// What becomes of a body whose time is over.
    pub revalidate: Revalidate,
    /// How long a token's permission to read a path is taken for granted.
    pub capability_ttl: Duration,
    /// How much longer than `ttl` and that, while the server fails.
    pub capability_stale_if_error: Duration,
    /// Whether permissions that could not be looked at again are kept until their time is over; else they go.
    pub optimistic: bool,
    /// Bodies kept at most.
    pub max_entries: usize,
    /// Their bytes at most.
    pub max_bytes: usize,
    /// Longer bodies are not kept.
    pub max_entry_bytes: usize,
    /// Which KV the mounts are.
    pub kv_version: KvVersion,
    /// Whether the server is asked to tell of changes, with our own token.
    pub events: bool,
}

/// The part that the state needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) revalidate: Revalidate,
    pub(crate) capability_ttl: Duration,
    pub(crate) capability_stale_if_error: Duration,
    pub(crate) max_entries: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_entry_bytes: usize,
    pub(crate) engine: Option<Engine>,
}

impl Settings {
    /// How long a body is fresh.
    pub(super) fn fresh_for(&self, facts: &Facts) -> Duration {
        facts.at_most.map_or(self.ttl, |most| most.min(self.ttl))
    }

    /// How long a permission is taken for granted while the server fails; `None`: nothing is served then.
    pub(super) fn longest_grant(&self) -> Option<Duration> {
        (!self.stale_if_error.is_zero())
            .then(|| self.ttl + self.capability_ttl + self.capability_stale_if_error)
    }
}

impl From<&StaticSecrets> for Settings {
    fn from(all: &StaticSecrets) -> Self {
        Self {
            ttl: all.ttl,
            stale_if_error: all.stale_if_error,
            negative_ttl: all.negative_ttl,
            revalidate: all.revalidate,
            capability_ttl: all.capability_ttl,
            capability_stale_if_error: all.capability_stale_if_error,
            max_entries: all.max_entries,
            max_bytes: all.max_bytes,
            max_entry_bytes: all.max_entry_bytes,
            engine: match all.kv_version {
                KvVersion::Auto => None,
                KvVersion::One => Some(Engine::V1),
                KvVersion::Two => Some(Engine::V2),
            },
        }
    }
}

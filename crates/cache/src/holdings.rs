//! What is remembered, told without what it says: no value, token, accessor or lease id.

use std::time::Duration;

/// What an entry is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HoldingKind {
    /// Our own token, below which others hang.
    Own,
    /// A token that was handed out.
    Token,
    /// A lease.
    Lease,
    /// A secret of a KV mount.
    Secret,
}

impl HoldingKind {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Token => "token",
            Self::Lease => "lease",
            Self::Secret => "secret",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holding {
    /// What it is about.
    pub kind: HoldingKind,
    /// A name for it as long as this process runs; nothing can be told from it. Empty for a secret.
    pub handle: String,
    /// The handle of the token it hangs below.
    pub below: Option<String>,
    /// The path that was asked for, with `/v1`; empty for our own token.
    pub path: String,
    /// The namespace of the request's header.
    pub namespace: Option<String>,
    /// How long ago the server gave it.
    pub age: Option<Duration>,
    /// How long it lives if nobody renews it; of a secret, how long it is fresh.
    pub left: Option<Duration>,
    /// When it is renewed, checked or let go.
    pub due: Option<Duration>,
    /// Whether it is renewed no more, only served to its end.
    pub fading: bool,
    /// What hangs directly below it.
    pub children: usize,
    /// Bytes of the answer; `None` when none is handed out.
    pub bytes: Option<usize>,
    /// Of a secret alone.
    pub secret: Option<SecretHolding>,
}

/// What is told of a secret besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecretHolding {
    /// Its version, if it has one.
    pub version: Option<u64>,
    /// Tokens that have read it and may be answered with it.
    pub readers: usize,
    /// How it may be served.
    pub state: SecretState,
}

/// How a secret may be served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecretState {
    /// To its readers.
    Fresh,
    /// The same, while the server fails; otherwise it is read anew.
    Stale,
    /// An earlier run left it: the same as stale, until it is read anew.
    Unchecked,
}

impl SecretState {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Unchecked => "unchecked",
        }
    }
}

/// Some of what is remembered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Holdings {
    /// In no order that means anything; what stays keeps its place.
    pub entries: Vec<Holding>,
    /// Where to go on; `None` when there is no more.
    pub next: Option<usize>,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HoldingsWanted {
    /// Where to begin: what [`Holdings::next`] said, or 0.
    pub from: usize,
    /// How many at most.
    pub most: usize,
    /// Only those whose path begins so; all for an empty text.
    pub path: String,
}

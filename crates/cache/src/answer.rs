//! What comes back through the cache.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use vault::headers::is_hop_by_hop;
use vault::{Body, Response};

/// An answer, and where it came from.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The server, for this request or for an equal one that was under way.
    Upstream,
    /// Memory.
    Cache {
        /// How long ago the server gave it.
        age: Duration,
    },
    /// Memory, after the server said that it is still right.
    Revalidated {
        /// How long ago the server said so.
        age: Duration,
    },
    /// Memory, past its time, because the server failed.
    Stale {
        /// How long ago the server gave it.
        age: Duration,
    },
}

impl Origin {
    /// How old an answer from memory is; `None`: it is the server's.
    pub fn age(self) -> Option<Duration> {
        match self {
            Self::Upstream => None,
            Self::Cache { age } | Self::Revalidated { age } | Self::Stale { age } => Some(age),
        }
    }

    /// The value of `X-Cache`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upstream => "MISS",
            Self::Cache { .. } => "HIT",
            Self::Revalidated { .. } => "REVALIDATED",
            Self::Stale { .. } => "STALE",
        }
    }
}

/// An answer kept whole: small, because there may be a hundred thousand of them.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) status: StatusCode,
    /// Shared between entries: the servers send the same headers with every answer.
    pub(crate) headers: Arc<HeaderMap>,
    pub(crate) body: Bytes,
    pub(crate) since: Instant,
}

impl Kept {
    pub(crate) fn response(&self) -> Response {
        Response {
            status: self.status,
            headers: HeaderMap::clone(&self.headers),
            body: Body::full(self.body.clone()),
        }
    }
}

/// Headers about one message or one moment; with those about one connection they are no part of the answer.
const OF_THE_MOMENT: &[&str] = &["content-length", "date"];

/// The headers that a remembered answer keeps, shared with earlier answers where they are equal.
#[derive(Default)]
pub(crate) struct HeaderSets(Vec<Arc<HeaderMap>>);

/// More different sets than this are not looked through.
const MAX_SETS: usize = 8;

impl HeaderSets {
    pub(crate) fn share(&mut self, headers: &HeaderMap) -> Arc<HeaderMap> {
        let unwanted = |name: &str| is_hop_by_hop(name) || OF_THE_MOMENT.contains(&name);
        let mut kept = headers.clone();
        while let Some(name) = kept.keys().find(|name| unwanted(name.as_str())).cloned() {
            kept.remove(name);
        }
        if let Some(known) = self.0.iter().find(|known| ***known == kept) {
            return Arc::clone(known);
        }
        if self.0.len() == MAX_SETS {
            self.0.remove(0);
        }
        let kept = Arc::new(kept);
        self.0.push(Arc::clone(&kept));
        kept
    }
}

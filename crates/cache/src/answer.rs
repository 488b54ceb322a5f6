//! What comes back through the cache.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;
use vault::headers::is_hop_by_hop;
use vault::{Body, Response};

use crate::policy::Span;

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
    /// Nowhere: it is not in memory, and the client wanted nothing else (`only-if-cached`).
    Absent,
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
            Self::Upstream | Self::Absent => None,
            Self::Cache { age } | Self::Revalidated { age } | Self::Stale { age } => Some(age),
        }
    }

    /// The value of `X-Cache`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upstream | Self::Absent => "MISS",
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

    /// The same with the seconds that it still lives where the body told how long it lives, and in a header. Whole
    /// seconds, never too many but for the last one: 0 would say that it never ends. All other bytes stay.
    pub(crate) fn response_with(&self, told: Span, remaining: Duration) -> Response {
        let mut response = self.response();
        let (start, seconds) = (told.start as usize, remaining.as_secs().max(1));
        response.headers.insert(LEASE_REMAINING, HeaderValue::from(seconds));
        if let (Some(before), Some(after)) =
            (self.body.get(..start), self.body.get(start + told.length as usize..))
            && told.length > 0
        {
            let mut body = BytesMut::with_capacity(self.body.len() + 20);
            body.extend_from_slice(before);
            body.extend_from_slice(seconds.to_string().as_bytes());
            body.extend_from_slice(after);
            response.body = Body::full(body.freeze());
        }
        response
    }
}

/// How many seconds a lease or token from memory still lives.
pub(crate) const LEASE_REMAINING: HeaderName = HeaderName::from_static("x-cache-lease-remaining");

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

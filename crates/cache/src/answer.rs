//! What comes back through the cache.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
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

/// Headers about one connection, one message or one moment; the rest is part of the answer.
const OF_THE_MOMENT: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers that a remembered answer keeps, shared with earlier answers where they are equal.
#[derive(Default)]
pub(crate) struct HeaderSets(Vec<Arc<HeaderMap>>);

/// More different sets than this are not looked through.
const MAX_SETS: usize = 8;

impl HeaderSets {
    pub(crate) fn share(&mut self, headers: &HeaderMap) -> Arc<HeaderMap> {
        let mut kept = headers.clone();
        for name in OF_THE_MOMENT {
            kept.remove(*name);
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

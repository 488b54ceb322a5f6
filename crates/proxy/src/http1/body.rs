//! The body of a request, read from its connection as somebody asks for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Shared;
use super::framing::Fault;

/// What is to come of one request's body.
pub(crate) struct Body {
    connection: Shared,
    request: u64,
}

impl Body {
    pub(super) fn new(connection: Shared, request: u64) -> Self {
        Self { connection, request }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let read = self.connection.lock().poll_body(self.request, cx);
        read.map(|read| read.map(|read| read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.connection.lock().length(self.request) == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.connection.lock().length(self.request).map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

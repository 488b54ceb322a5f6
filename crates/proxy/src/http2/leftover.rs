//! Bodies that nobody reads to their end. Let go of, they would have their stream reset, and a client that is still
//! sending takes that for the end of everything: it does not read the answer that came before (curl 7.88). So what it
//! sends is thrown away for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// So long at most, so long without news, and so many bytes.
const WHOLE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(1);
const BYTES: usize = 64 * 1024 * 1024;

/// Where leftovers are read: among the tasks of the connection, until it ends.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// A request's body as it arrives.
pub(crate) struct Body {
    incoming: Option<Incoming>,
    sink: Sink,
}

impl Body {
    pub(super) fn new(incoming: Incoming, sink: &Sink) -> Self {
        Self { incoming: Some(incoming), sink: sink.clone() }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(rest) = self.incoming.take().filter(|rest| !rest.is_end_stream()) else { return };
        let stop = self.sink.stop.clone();
        drop(self.sink.tasks.spawn(async move { stop.run_until_cancelled(throw_away(rest)).await }));
    }
}

async fn throw_away(mut rest: Incoming) {
    let mut left = BYTES;
    let reading = async {
        while let Ok(Some(Ok(frame))) = timeout(SILENCE, rest.frame()).await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(length) else { return };
            left = less;
        }
    };
    // Whether it came to its end is nobody's concern.
    let _ = timeout(WHOLE, reading).await;
}

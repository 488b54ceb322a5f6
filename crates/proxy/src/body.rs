//! A client's request body: short ones are kept, so that a request can be sent again; long ones pass through.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout};
use vault::Upload;

/// Longest request body (32 MiB): the servers' own limit.
pub(crate) const MAX_BODY: usize = 32 * 1024 * 1024;

/// Bodies up to this length are kept whole, so that what the server refused for its own reasons can be sent again.
const MAX_KEPT: usize = 64 * 1024;

/// Longest pause inside a request's body.
const BODY_PAUSE: Duration = Duration::from_secs(10);

/// Status and words for a body that is none.
pub(crate) type Refusal = (StatusCode, &'static str);

const TOO_LARGE: Refusal = (StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than 32 MiB");
const TOO_SLOW: Refusal = (StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time");
const BROKEN: Refusal = (StatusCode::BAD_REQUEST, "failed to read request body");

/// A body as it goes on.
#[derive(Default)]
pub(crate) struct Received {
    /// All of it, or its beginning.
    pub(crate) begun: Bytes,
    /// The rest, and where is said what was wrong with it.
    pub(crate) rest: Option<(Upload, Arc<OnceLock<Refusal>>)>,
}

/// Reads a body, all of it with `whole`.
pub(crate) async fn receive(
    mut incoming: Incoming,
    headers: &HeaderMap,
    whole: bool,
) -> Result<Received, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(TOO_LARGE);
    }
    let keep = if whole { MAX_BODY } else { MAX_KEPT };
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    let mut short = announced.is_none_or(|length| length <= keep as u64);
    while short {
        let frame = match timeout(BODY_PAUSE, incoming.frame()).await {
            Err(_) => return Err(TOO_SLOW),
            Ok(None) => {
                return Ok(Received { begun: if all.is_empty() { first } else { all.freeze() }, rest: None });
            }
            Ok(Some(Err(_))) => return Err(BROKEN),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        short = all.len().max(first.len()) <= keep;
    }
    let begun = if all.is_empty() { first } else { all.freeze() };
    if begun.len() > MAX_BODY || whole {
        return Err(TOO_LARGE);
    }
    let wrong = Arc::new(OnceLock::new());
    let rest = Rest {
        incoming,
        left: MAX_BODY - begun.len(),
        pause: Box::pin(sleep(BODY_PAUSE)),
        wrong: Arc::clone(&wrong),
    };
    Ok(Received { begun, rest: Some((Upload::new(rest), wrong)) })
}

/// What is still arriving of a long body.
struct Rest {
    incoming: Incoming,
    /// Bytes that may still come.
    left: usize,
    pause: Pin<Box<Sleep>>,
    wrong: Arc<OnceLock<Refusal>>,
}

impl Rest {
    fn refuse(&self, why: Refusal) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let _ = self.wrong.set(why);
        Poll::Ready(Some(Err(why.1.to_owned())))
    }
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let Poll::Ready(frame) = http_body::Body::poll_frame(Pin::new(&mut self.incoming), cx) else {
            ready!(self.pause.as_mut().poll(cx));
            return self.refuse(TOO_SLOW);
        };
        self.pause.as_mut().reset(Instant::now() + BODY_PAUSE);
        match frame {
            None => Poll::Ready(None),
            Some(Err(_)) => self.refuse(BROKEN),
            Some(Ok(frame)) => match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                None => self.refuse(TOO_LARGE),
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(frame)))
                }
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.incoming)
    }
}

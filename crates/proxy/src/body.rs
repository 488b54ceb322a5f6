//! A client's request body as it goes on: short ones are kept, so that a request can be sent again; long ones pass
//! through. How long, how slowly and how many at a time is settled by [`Inbound`].

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use vault::{Body, Upload};

use crate::http1::Fault;
use crate::inbound::Inbound;
use crate::route::error;

/// Bodies up to this length are kept whole, so that what the server refused for its own reasons can be sent again.
const MAX_KEPT: usize = 64 * 1024;

/// A body as it goes on.
#[derive(Default)]
pub(crate) struct Received {
    /// All of it, or its beginning.
    pub(crate) begun: Bytes,
    /// What is still arriving of a long one.
    pub(crate) rest: Option<Upload>,
}

/// Reads a body, all of a long one if it is `wanted`.
///
/// # Errors
/// The answer to give instead.
pub(crate) async fn receive(
    mut incoming: Inbound,
    wanted: impl Fn() -> bool,
) -> Result<Received, Response<Body>> {
    let keeps = |length: u64| length <= MAX_KEPT as u64 || wanted();
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    // One that is announced as long is not begun at all.
    let mut short = keeps(incoming.size_hint().lower());
    while short {
        let Some(frame) = incoming.frame().await else {
            let begun = if all.is_empty() { first } else { all.freeze() };
            return Ok(Received { begun, rest: None });
        };
        let frame = frame.map_err(|why| match why {
            Fault::Refused(breach) => error(breach.status(), breach.why()),
            Fault::Left | Fault::Over => error(StatusCode::BAD_REQUEST, &why.to_string()),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        short = keeps(all.len().max(first.len()) as u64);
    }
    let begun = if all.is_empty() { first } else { all.freeze() };
    incoming.pass_through();
    Ok(Received { begun, rest: Some(Upload::new(Rest(incoming))) })
}

/// What is still arriving, its faults as words.
struct Rest(Inbound);

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let frame = Pin::new(&mut self.get_mut().0).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(|why| why.to_string())))
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

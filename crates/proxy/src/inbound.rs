//! A request's body on its way in: how much, how slowly, how much of all bodies at a time.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::breach::Breach;
use crate::http1::{self, Fault};
use crate::http2;
use crate::link::Link;

/// Bytes that buy a whole body another second.
const BYTES_PER_SECOND: u64 = 64 * 1024;

/// A request on its way through the rooms: it is handed on many times, so as a pointer.
pub(crate) type Asking = Box<Request<Inbound>>;

/// Where a body comes from.
pub(crate) enum Source {
    /// There is none.
    Nothing,
    Http1(http1::Body),
    Http2(http2::Body),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self {
            Self::Nothing => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| Fault::Left)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// A request's body. What is read from it counts as held until the request has its answer; see
/// [`Inbound::pass_through`] for readers that hold nothing.
pub(crate) struct Inbound(Option<Box<Arriving>>);

struct Arriving {
    source: Source,
    exchange: Arc<Exchange>,
    received: u64,
    passes_through: bool,
    began: Option<Instant>,
    progress: Option<Instant>,
    /// Since when the reader has not asked for more.
    handed: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a request's body and its answer share.
pub(crate) struct Exchange {
    link: Arc<Link>,
    held: AtomicUsize,
    fault: OnceLock<Breach>,
}

impl Exchange {
    /// What was wrong with the body, if anything was.
    pub(crate) fn fault(&self) -> Option<Breach> {
        self.fault.get().copied()
    }

    fn fail(&self, breach: Breach) -> Fault {
        if self.fault.set(breach).is_ok() {
            self.link.count(breach);
        }
        Fault::Refused(breach)
    }

    fn hold(&self, bytes: usize) -> Result<(), Fault> {
        if !self.link.doors.hold(bytes) {
            return Err(self.fail(Breach::BufferedBodies));
        }
        self.held.fetch_add(bytes, Relaxed);
        Ok(())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.link.doors.release(self.held.load(Relaxed));
    }
}

impl Inbound {
    /// A body of a request on `link`.
    pub(crate) fn new(source: Source, link: &Arc<Link>) -> Self {
        if source.is_end_stream() {
            return Self(None);
        }
        let exchange =
            Arc::new(Exchange { link: Arc::clone(link), held: AtomicUsize::new(0), fault: OnceLock::new() });
        if source.size_hint().lower() > link.limits().body as u64 {
            exchange.fail(Breach::BodySize);
        }
        let arriving = Arriving {
            source,
            exchange,
            received: 0,
            passes_through: false,
            began: None,
            progress: None,
            handed: None,
            timer: None,
        };
        Self(Some(Box::new(arriving)))
    }

    /// What its answer shares with it, if there is one.
    pub(crate) fn exchange(&self) -> Option<Arc<Exchange>> {
        self.0.as_ref().map(|arriving| Arc::clone(&arriving.exchange))
    }

    /// The reader keeps nothing of it: it counts no longer as held.
    pub(crate) fn pass_through(&mut self) {
        if let Some(arriving) = &mut self.0 {
            arriving.passes_through = true;
        }
    }
}

impl Arriving {
    fn took(&mut self, frame: &Frame<Bytes>) -> Result<(), Fault> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.received += bytes as u64;
        self.progress = None;
        if self.received > self.exchange.link.limits().body as u64 {
            return Err(self.exchange.fail(Breach::BodySize));
        }
        if !self.passes_through {
            return self.exchange.hold(bytes);
        }
        self.handed = Some(Instant::now());
        Ok(())
    }

    /// The reader asks for more. How long it took for what it has is not the client's time.
    fn asked(&mut self) {
        if let (Some(handed), Some(began)) = (self.handed.take(), &mut self.began) {
            *began += handed.elapsed();
        }
    }

    /// Nothing came: for how long now, and for how long in all?
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Breach> {
        let limits = self.exchange.link.limits();
        let progress = *self.progress.get_or_insert_with(Instant::now);
        let began = *self.began.get_or_insert(progress);
        let bought = Duration::from_secs(self.received / BYTES_PER_SECOND);
        let (pause, whole) = (progress + limits.body_pause, began + limits.body_timeout + bought);
        let deadline = pause.min(whole);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| if whole < pause { Breach::BodyTime } else { Breach::BodyPause })
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(arriving) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        if let Some(breach) = arriving.exchange.fault() {
            return Poll::Ready(Some(Err(Fault::Refused(breach))));
        }
        arriving.asked();
        match arriving.source.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(arriving.took(&frame).map(|()| frame))),
            Poll::Ready(Some(Err(Fault::Refused(breach)))) => {
                Poll::Ready(Some(Err(arriving.exchange.fail(breach))))
            }
            Poll::Ready(Some(Err(why))) => Poll::Ready(Some(Err(why))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => arriving.poll_late(cx).map(|breach| Some(Err(arriving.exchange.fail(breach)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|arriving| arriving.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |arriving| arriving.source.size_hint())
    }
}

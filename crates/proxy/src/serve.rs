//! HTTP on one accepted connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::access::{AccessLog, Line};
use crate::breach::Breach;
use crate::inbound::Inbound;
use crate::link::{InFlight, Link};
use crate::route::{Site, error};
use crate::wire::Wire;

/// Room in the library's buffer behind the longest head.
const BEHIND_HEAD: usize = 16 * 1024;

/// What a client may send on one stream and on one HTTP/2 connection before we have taken it.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// What waits for a slow client on one stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that were reset before we looked at them, and that we reset ourselves: a connection that has more of them
/// at a time is up to no good (CVE-2023-44487, CVE-2025-8671).
const RESET_STREAMS: usize = 20;

/// Speaks HTTP/1 until the client leaves or `stop` is cancelled; then the requests under way are finished.
///
/// What waits here for the next request is kept small: there are many of these, and most of them wait.
pub(crate) async fn serve_http1(
    site: Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    link: &Arc<Link>,
    stop: &CancellationToken,
) {
    let ours = Arc::clone(link);
    let service = service_fn(move |request| boxed(&site, &ours, request));
    let mut builder = http1::Builder::new();
    // Time is kept on the wire, where the bytes are.
    // One piece of memory for head and body: writing two costs more than copying the shorter one.
    builder.writev(false).header_read_timeout(None).max_buf_size(link.limits().header_size + BEHIND_HEAD);
    if link.limits().headers > 100 {
        // Beyond the library's own number it allocates for each request.
        builder.max_headers(link.limits().headers);
    }
    let io = TokioIo::new(Wire::http1(stream, Arc::clone(link)));
    let connection = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
    drive(connection, link, stop, |connection| connection.graceful_shutdown()).await;
}

/// The same for HTTP/2. The tasks of its streams are started among `tasks`.
pub(crate) async fn serve_http2(
    site: Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    link: &Arc<Link>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let ours = Arc::clone(link);
    let service = service_fn(move |request| boxed(&site, &ours, request));
    let mut builder = http2::Builder::new(Streams(tasks.clone()));
    builder
        .max_concurrent_streams(u32::try_from(link.limits().streams).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(link.limits().header_size).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let io = TokioIo::new(Wire::http2(stream, Arc::clone(link)));
    let connection = std::pin::pin!(builder.serve_connection(io, service));
    drive(connection, link, stop, |connection| connection.graceful_shutdown()).await;
}

/// An answer under way is kilobytes, which the library would keep room for as long as the connection lives.
fn boxed(
    site: &Arc<Site>,
    link: &Arc<Link>,
    request: Request<Incoming>,
) -> Pin<Box<impl Future<Output = Result<Response<Outbound>, Infallible>> + use<>>> {
    let (site, link) = (Arc::clone(site), Arc::clone(link));
    Box::pin(async move { Ok(answer(&site, link, request).await) })
}

/// Runs a connection; `shut` is called once when it is to end behind the requests under way.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    link: &Link,
    stop: &CancellationToken,
    shut: impl FnOnce(Pin<&mut C>),
) {
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = link.kicked() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            link.leave();
            shut(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(target: "listener", error = %error, "connection ended");
    }
}

/// Starts the tasks of HTTP/2 streams among the connections, which the listener waits for at its end.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        drop(self.0.spawn(stream));
    }
}

/// Answers one request, within the bounds.
async fn answer(site: &Site, link: Arc<Link>, request: Request<Incoming>) -> Response<Outbound> {
    let Some(log) = &site.context.access else { return answer_bounded(site, link, request).await };
    let mut line = Line::new(&site.name, peer(&link), request.method().clone());
    let mut response = Box::pin(answer_bounded(site, link, request)).await;
    line.answered(&mut response);
    response.body_mut().line = Some((line, log.clone()));
    response
}

/// Who asks, for the access log.
fn peer(link: &Link) -> serde_json::Value {
    link.client.get().cloned().unwrap_or_default()
}

async fn answer_bounded(site: &Site, link: Arc<Link>, request: Request<Incoming>) -> Response<Outbound> {
    let version = request.version();
    if version == Version::HTTP_2 {
        // On HTTP/1 the wire has counted it.
        link.begin(1);
    }
    let number = link.next();
    let refuse = |breach| refusal(breach, version, InFlight::refused(Arc::clone(&link)));
    if let Some(breach) = link.fault(number) {
        return refuse(breach);
    }
    if version == Version::HTTP_2 && request.headers().len() > link.limits().headers {
        link.count(Breach::HeaderCount);
        return refuse(Breach::HeaderCount);
    }
    let in_flight = match link.doors.admit(&link) {
        Ok(in_flight) => in_flight,
        Err(breach) => {
            link.count(breach);
            return refuse(breach);
        }
    };
    let (head, incoming) = request.into_parts();
    let (inbound, exchange) = Inbound::new(incoming, &link);
    let fault = || exchange.as_ref().and_then(|exchange| exchange.fault()).or_else(|| link.fault(number));
    if let Some(breach) = fault() {
        return refusal(breach, version, in_flight);
    }
    let response = site.answer(Request::from_parts(head, inbound)).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        link.upgrade();
    }
    match fault() {
        // Whatever was made of half a request: the client is told what was wrong with it.
        Some(breach) => refusal(breach, version, in_flight),
        None => response.map(|body| Outbound { body, in_flight: Some(in_flight), line: None }),
    }
}

fn refusal(breach: Breach, version: Version, in_flight: InFlight) -> Response<Outbound> {
    debug!(target: "listener", kind = breach.name(), "{}", breach.why());
    let mut response = error(breach.status(), breach.why());
    let headers = response.headers_mut();
    if breach.passes() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if breach.ends_connection() && version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Outbound { body, in_flight: Some(in_flight), line: None })
}

/// An answer's body; the request is under way until it ends.
struct Outbound {
    body: vault::Body,
    in_flight: Option<InFlight>,
    line: Option<(Box<Line>, AccessLog)>,
}

impl Drop for Outbound {
    fn drop(&mut self) {
        if let Some((line, log)) = self.line.take() {
            line.end(&log);
        }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = vault::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, vault::BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some((line, _))) = (&frame, &mut self.line)
            && let Some(data) = frame.data_ref()
        {
            line.sent(data);
        }
        if matches!(frame, Poll::Ready(None)) {
            self.in_flight = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

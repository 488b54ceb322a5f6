//! HTTP/2 with clients, by the library; time is kept around it.

mod leftover;
mod paced;
mod timed;

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http::{Method, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use vault::Stream;

use crate::breach::Breach;
use crate::inbound::{Inbound, Source};
use crate::link::Link;
use crate::route::Sites;
use crate::serve::answer;
pub(crate) use leftover::Body;
use leftover::Sink;
use paced::{Pace, Paced};
use timed::Timed;

/// What a client may send on one stream and on one connection before we have taken it.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// What waits for a slow client on one stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that were reset before we looked at them: a connection that has more of them at a time is up to no good
/// (CVE-2023-44487).
const RESET_STREAMS: usize = 20;

/// Streams that we reset ourselves (CVE-2025-8671). A client that opens many at once before it has read how many it may
/// open is none of those.
const OUR_RESETS: usize = 256;

/// Serves a connection until the client leaves or `stop` is cancelled; then the requests under way are finished. The
/// tasks of its streams are started among `tasks`.
pub(crate) async fn serve_http2(
    sites: Sites,
    stream: Stream,
    link: &Arc<Link>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let pace = Arc::new(Pace::new(link.limits().write_timeout));
    let (ours, theirs) = (Arc::clone(link), Arc::clone(&pace));
    let leftovers = CancellationToken::new();
    let _end = leftovers.clone().drop_guard();
    let sink = Sink { tasks: tasks.clone(), stop: leftovers.clone() };
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, link, pace) = (sites.now(), Arc::clone(&ours), Arc::clone(&theirs));
        let head_alone = *request.method() == Method::HEAD;
        let request = request.map(|body| Inbound::new(Source::Http2(Body::new(body, &sink)), &link));
        let answered = async move {
            let mut response = answer(&site, link, Box::new(request)).await;
            if head_alone && let Some(length @ 1..) = response.body().size_hint().exact() {
                response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
            }
            Ok::<_, Infallible>(response.map(|body| Paced::new(body, &pace, head_alone)))
        };
        // An answer under way is kilobytes, which the library would move about.
        Box::pin(answered) as Pin<Box<dyn Future<Output = Result<Response<Paced>, Infallible>> + Send>>
    });
    let mut builder = http2::Builder::new(Streams(tasks.clone()));
    builder
        .max_concurrent_streams(u32::try_from(link.limits().streams).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(link.limits().header_size).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(OUR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let io = TokioIo::new(Timed::new(stream, Arc::clone(link)));
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut late = pin!(pace.late());
    let mut leaving = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = &mut late => {
                link.count(Breach::WriteTime);
                return;
            }
            () = stop.cancelled(), if !leaving => {}
            () = link.kicked(), if !leaving => {}
        }
        leaving = true;
        // Nor is what nobody reads waited for.
        leftovers.cancel();
        link.leave();
        connection.as_mut().graceful_shutdown();
    };
    if let Err(error) = ended {
        debug!(target: "listener", error = %error, "connection ended");
    }
}

/// Starts the tasks of streams among the connections, which the listener waits for at its end.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        drop(self.0.spawn(stream));
    }
}

//! One request on any connection: the bounds, the answer, and what is counted until it has left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tracing::debug;

use crate::access::Entry;
use crate::breach::Breach;
use crate::inbound::Asking;
use crate::link::{InFlight, Link};
use crate::route::{Site, error};

/// Answers one request, within the bounds.
pub(crate) async fn answer(site: &Site, link: Arc<Link>, request: Asking) -> Response<Outbound> {
    link.begin();
    let Some(log) = &site.context.access else { return answer_bounded(site, link, request).await };
    // Before anything is waited for: a client that leaves has its line too.
    let entry = Entry::new(log, &site.name, peer(&link), &request);
    let response = Box::pin(answer_bounded(site, link, request)).await;
    logged(response, entry)
}

/// The answer to a request of which nothing is known but what is wrong with it.
pub(crate) fn refuse(site: &Site, link: Arc<Link>, breach: Breach) -> Response<Outbound> {
    link.begin();
    let log = site.context.access.as_ref();
    let entry = log.map(|log| Entry::refused(log, &site.name, peer(&link)));
    let response = refusal(breach, Version::HTTP_11, InFlight::refused(link));
    match entry {
        Some(entry) => logged(response, entry),
        None => response,
    }
}

fn logged(mut response: Response<Outbound>, mut entry: Entry) -> Response<Outbound> {
    entry.answered(&mut response);
    response.body_mut().entry = Some(entry);
    response
}

/// Who asks, for the access log.
fn peer(link: &Link) -> serde_json::Value {
    let mut peer = link.client.get().cloned().unwrap_or_default();
    if let (Some(name), Some(peer)) = (link.name(), peer.as_object_mut()) {
        // Of its certificate.
        peer.insert("name".to_owned(), name.into());
    }
    peer
}

async fn answer_bounded(site: &Site, link: Arc<Link>, request: Asking) -> Response<Outbound> {
    let version = request.version();
    if request.headers().len() > link.limits().headers {
        // On HTTP/1 the reader of heads has counted them.
        link.count(Breach::HeaderCount);
        return refusal(Breach::HeaderCount, version, InFlight::refused(link));
    }
    let in_flight = match link.doors.admit(&link) {
        Ok(in_flight) => in_flight,
        Err(breach) => {
            link.count(breach);
            return refusal(breach, version, InFlight::refused(link));
        }
    };
    let exchange = request.body().exchange();
    let fault = || exchange.as_ref().and_then(|exchange| exchange.fault());
    if let Some(breach) = fault() {
        return refusal(breach, version, in_flight);
    }
    let began = Instant::now();
    let response = site.answer(request).await;
    site.doors.counters.times.note(began.elapsed());
    match fault() {
        // Whatever was made of half a request: the client is told what was wrong with it.
        Some(breach) => refusal(breach, version, in_flight),
        None => response.map(|body| Outbound { body, in_flight: Some(in_flight), entry: None }),
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
    response.map(|body| Outbound { body, in_flight: Some(in_flight), entry: None })
}

/// An answer's body; the request is under way until it ends.
pub(crate) struct Outbound {
    body: vault::Body,
    in_flight: Option<InFlight>,
    entry: Option<Entry>,
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = vault::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, vault::BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(entry)) = (&frame, &mut self.entry)
            && let Some(data) = frame.data_ref()
        {
            entry.sent(data);
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

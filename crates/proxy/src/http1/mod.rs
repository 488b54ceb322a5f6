//! HTTP/1 as it is spoken with clients: read strictly, one request at a time, one task a connection.
//!
//! A library stood here before. It read more kindly than others do, so that everything had to be read twice, and it
//! kept 8 KiB for each connection that waits; see `docs/benchmarks.md` for what its absence brought.
//!
//! `head` and `chunks` are the strict readers and know nothing of sockets; `connection` keeps the time; what an
//! answer looks like on the wire is in `answer`.

mod answer;
mod body;
mod chunks;
mod connection;
mod framing;
mod head;
mod request;
#[cfg(test)]
mod tests;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use http::{Method, Request};
use tokio_util::sync::CancellationToken;
use vault::{Stream, turn};

use crate::breach::Breach;
use crate::inbound::{Asking, Inbound, Source};
use crate::link::Link;
use crate::route::{Site, Sites};
use crate::serve::{Outbound, answer, refuse};
use crate::tunnel::{Relay, RelaySlot};
use answer::{Answer, Asked};
pub(crate) use body::Body;
use connection::{Connection, Next};
pub(crate) use framing::Fault;
use head::Head;

/// A connection, shared with the body of the request under way. Nobody waits while it is locked.
#[derive(Clone)]
struct Shared(Arc<Mutex<Connection>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What is to be done behind an answer.
enum After {
    Keep,
    Close {
        /// The client may still be sending.
        linger: bool,
    },
    /// Nothing can be said any more.
    Drop,
}

/// Serves a connection until the client leaves or `stop` is cancelled; then the request under way is finished.
///
/// What waits here for the next request is kept small: there are many of these, and most of them wait.
pub(crate) async fn serve_http1(sites: Sites, stream: Stream, link: &Arc<Link>, stop: &CancellationToken) {
    let connection = Shared(Arc::new(Mutex::new(Connection::new(stream, Arc::clone(link)))));
    let mut leave = pin!(async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = link.kicked() => {}
        }
    });
    loop {
        let next = poll_fn(|cx| match connection.lock().poll_head(cx) {
            Poll::Pending => leave.as_mut().poll(cx).map(|()| Next::End),
            next => next,
        });
        let next = next.await;
        turn().await;
        let after = match next {
            Next::End => After::Close { linger: false },
            // Kilobytes, and only while it lasts: most connections wait.
            next => Box::pin(exchange(&sites.now(), link, &connection, next, stop)).await,
        };
        match after {
            After::Keep => {}
            After::Close { linger } => {
                return poll_fn(|cx| connection.lock().poll_close(linger, cx)).await;
            }
            After::Drop => return,
        }
    }
}

/// One request and its answer.
async fn exchange(
    site: &Site,
    link: &Arc<Link>,
    connection: &Shared,
    next: Next,
    stop: &CancellationToken,
) -> After {
    let (head, bytes) = match next {
        Next::Request(head, bytes) => (head, bytes),
        Next::Refused(breach) => return Box::pin(refused(site, link, connection, breach)).await,
        Next::End => return After::Drop,
    };
    let request = match request::request(&head, &bytes) {
        Ok(request) => request,
        Err(breach) => return Box::pin(refused(site, link, connection, breach)).await,
    };
    drop(bytes);
    let asked = Asked { modern: head.modern, head_alone: *request.method() == Method::HEAD };
    let (request, relay) = begin(connection, link, &head, request);
    let response = {
        let mut answering = pin!(answer(site, Arc::clone(link), request));
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => connection.lock().poll_gone(cx).map(|()| None),
        })
        .await
    };
    // A client that has left takes its request along.
    let Some(response) = response else { return After::Drop };
    let ends = stop.is_cancelled() || site.doors.retired.is_cancelled();
    let keep = head.keep && connection.lock().is_read() && !ends;
    let mut answer = Answer::new(response, asked, keep);
    if !send(connection, &mut answer).await {
        connection.lock().abort();
        return After::Drop;
    }
    if let Some(relay) = relay.and_then(|relay| relay.take()) {
        // It counts as under way until it ends, and ends with the listener.
        Box::pin(carry(relay, connection, stop)).await;
        return After::Drop;
    }
    match connection.lock().finish() {
        true if answer.keep => After::Keep,
        read => After::Close { linger: !read },
    }
}

/// Seldom, and large: apart from the way everything goes.
async fn carry(relay: Relay, connection: &Shared, stop: &CancellationToken) {
    let client = connection.lock().upgrade();
    relay.run(client, stop).await;
}

async fn refused(site: &Site, link: &Arc<Link>, connection: &Shared, breach: Breach) -> After {
    link.count(breach);
    let response = refuse(site, Arc::clone(link), breach);
    let asked = Asked { modern: true, head_alone: false };
    match send(connection, &mut Answer::new(response, asked, false)).await {
        true => After::Close { linger: true },
        false => After::Drop,
    }
}

/// Adds to a request what is still to come: its body, and what the connection may become.
fn begin(
    connection: &Shared,
    link: &Arc<Link>,
    head: &Head,
    mut request: Request<()>,
) -> (Asking, Option<RelaySlot>) {
    let number = connection.lock().begin(head);
    let source = match head.body {
        head::Body::Length(0) => Source::Nothing,
        _ => Source::Http1(Body::new(connection.clone(), number)),
    };
    let relay = (head.upgrade && head.modern && matches!(source, Source::Nothing)).then(RelaySlot::default);
    if let Some(relay) = &relay {
        request.extensions_mut().insert(relay.clone());
    }
    (Box::new(request.map(|()| Inbound::new(source, link))), relay)
}

/// Sends an answer; `false` when it did not arrive whole.
async fn send(connection: &Shared, answer: &mut Answer<Outbound>) -> bool {
    poll_fn(|cx| answer.poll_send(&mut connection.lock(), cx)).await.is_ok()
}

#[cfg(test)]
mod size {
    use super::*;

    fn size_of_future<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// It is made and moved for every request.
    #[test]
    fn a_request_under_way_is_small() {
        let size = size_of_future::<
            &'static Site,
            &'static Arc<Link>,
            &'static Shared,
            Next,
            &'static CancellationToken,
            _,
        >(exchange);
        assert!(size <= 3072, "{size}");
    }
}

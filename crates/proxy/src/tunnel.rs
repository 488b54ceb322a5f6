//! A WebSocket between a client and the server, for the server's events and for nothing else.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::debug;
use vault::{Body, Tunnel};

use crate::filter::Filter;

/// Open at a time; more are answered with 503.
const MOST_OPEN: usize = 256;

/// How long a piece may wait for a reader who does not read.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// Room for WebSockets.
#[derive(Clone, Debug)]
pub struct Tunnels(Arc<Semaphore>);

impl Default for Tunnels {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_OPEN)))
    }
}

impl Tunnels {
    /// A place, while there is one.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Whether a request to the canonical `path` may change to another protocol: WebSocket, and where events are told.
pub(crate) fn is_wanted(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    const EVENTS: &str = "/sys/events/subscribe/";
    *method == Method::GET
        && headers.contains_key(header::UPGRADE)
        && path.starts_with("/v1/")
        && path.contains(EVENTS)
        && names(headers, header::CONNECTION, "upgrade")
        && is_websocket(headers)
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Whether `Upgrade` says so.
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    names(headers, header::UPGRADE, "websocket")
}

/// Whether `word` is in the list of that name.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// A server that has changed over, waiting for the client to do so.
pub(crate) struct Relay {
    server: Tunnel,
    filter: Option<Filter>,
    _place: OwnedSemaphorePermit,
}

impl Relay {
    /// Until either side ends it.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite) {
        let ended = relay(client, self.server, self.filter).await;
        debug!(target: "apiproxy", why = ended, "WebSocket closed");
    }
}

/// In the extensions of a request whose connection can change over: where the other end is put.
#[derive(Clone, Default)]
pub(crate) struct RelaySlot(Arc<Mutex<Option<Relay>>>);

impl RelaySlot {
    fn lock(&self) -> MutexGuard<'_, Option<Relay>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The other end, if there is one.
    pub(crate) fn take(&self) -> Option<Relay> {
        self.lock().take()
    }
}

/// Puts the server's end into the client's slot, and gives the answer that makes the client change over. `filter`
/// looks at what the server says when it was asked with our token.
pub(crate) fn join(
    server: Tunnel,
    slot: &RelaySlot,
    place: OwnedSemaphorePermit,
    filter: Option<Filter>,
    mut headers: HeaderMap,
) -> Response<Body> {
    *slot.lock() = Some(Relay { server, filter, _place: place });
    headers.insert(header::CONNECTION, http::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

async fn relay(client: impl AsyncRead + AsyncWrite, server: Tunnel, filter: Option<Filter>) -> &'static str {
    let (client_reads, client_writes) = tokio::io::split(client);
    let (server_reads, server_writes) = tokio::io::split(server);
    // A WebSocket is over when one side is.
    tokio::select! {
        why = copy(client_reads, server_writes, None) => why,
        why = copy(server_reads, client_writes, filter) => why,
    }
}

async fn copy(from: impl AsyncRead, to: impl AsyncWrite, mut filter: Option<Filter>) -> &'static str {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let mut buffer = bytes::BytesMut::new();
    loop {
        buffer.reserve(8 * 1024);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let piece = buffer.split().freeze();
        if let Some(filter) = &mut filter {
            drop(filter.push(piece.clone()));
            if filter.found > 0 {
                return "the server said our own token";
            }
        }
        match timeout(WRITE_PATIENCE, to.write_all(&piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => return "the reader did not read",
        }
    }
    let _ = timeout(WRITE_PATIENCE, to.shutdown()).await;
    "one side closed"
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn s4_only_events_are_upgraded() {
        let both = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (method, path, pairs, wanted) in [
            (Method::GET, "/v1/sys/events/subscribe/kv*", &both[..], true),
            (Method::GET, "/v1/ns1/sys/events/subscribe/kv*", &both, true),
            (Method::POST, "/v1/sys/events/subscribe/kv*", &both, false),
            (Method::GET, "/v1/secret/data/app", &both, false),
            (Method::GET, "/ui/sys/events/subscribe/kv", &both, false),
            (Method::GET, "/v1/sys/events/subscribe", &both, false),
            (Method::GET, "/v1/sys/events/subscribe/kv*", &both[1..], false),
            (Method::GET, "/v1/sys/events/subscribe/kv*", &both[..2], false),
            (
                Method::GET,
                "/v1/sys/events/subscribe/kv*",
                &[("connection", "upgrade"), ("upgrade", "h2c")],
                false,
            ),
        ] {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_wanted(&method, path, &headers), wanted, "{method} {path} {pairs:?}");
        }
    }
}

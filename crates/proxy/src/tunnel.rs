//! A WebSocket between a client and the server, for the server's events and for nothing else.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use vault::websocket::{Frames, NoFrame};
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
    *method == Method::GET
        && headers.contains_key(header::UPGRADE)
        && is_of_events(path)
        && names(headers, header::CONNECTION, "upgrade")
        && is_websocket(headers)
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Whether events are told at the canonical `path`: `/v1/NAMESPACE/sys/events/subscribe/TYPE`. No namespace is called
/// like what the servers have at the root of each, so the first such segment ends it.
fn is_of_events(path: &str) -> bool {
    const AT_ROOT: [&str; 5] = ["audit", "auth", "cubbyhole", "identity", "sys"];
    let Some(path) = path.strip_prefix("/v1/") else { return false };
    let mut segments = path.split('/').skip_while(|segment| !AT_ROOT.contains(segment));
    ["sys", "events", "subscribe"].iter().all(|wanted| segments.next() == Some(wanted))
        && segments.next().is_some_and(|kind| !kind.is_empty())
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
    /// Until either side ends it, or `stop` is cancelled.
    pub(crate) async fn run(self, mut client: Tunnel, stop: &CancellationToken) {
        let ended = stop.run_until_cancelled(relay(&mut client, self.server, self.filter)).await;
        debug!(target: "apiproxy", why = ended.unwrap_or("the listener ends"), "WebSocket closed");
        let _ = timeout(WRITE_PATIENCE, client.shutdown()).await;
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

async fn relay(client: &mut Tunnel, server: Tunnel, filter: Option<Filter>) -> &'static str {
    let (client_reads, client_writes) = tokio::io::split(client);
    let (server_reads, server_writes) = tokio::io::split(server);
    let watch = filter.map(Watch::new);
    // A WebSocket is over when one side is.
    tokio::select! {
        why = copy(client_reads, server_writes, None) => why,
        why = copy(server_reads, client_writes, watch) => why,
    }
}

/// Looks for our token in what a server says: in its bytes as they are, and in its messages, which may hold parts of
/// it with the head of a frame between them.
struct Watch {
    bytes: Filter,
    messages: Filter,
    frames: Frames,
}

impl Watch {
    fn new(filter: Filter) -> Self {
        let messages = filter.again();
        Self { bytes: filter, messages, frames: Frames::default() }
    }

    /// Why what comes now must not pass, if so.
    fn objects(&mut self, piece: &Bytes) -> Option<&'static str> {
        drop(self.bytes.push(piece.clone()));
        let read = self.read(piece);
        match read {
            _ if self.bytes.found + self.messages.found > 0 => Some("the server said our own token"),
            Err(NoFrame(_)) => Some("the server said what is no WebSocket"),
            Ok(()) => None,
        }
    }

    /// Looks at what belongs to messages, in order and without what frames them.
    fn read(&mut self, piece: &Bytes) -> Result<(), NoFrame> {
        let mut rest = &piece[..];
        while let Some(part) = self.frames.next(&mut rest)? {
            if part.frame.speaks() {
                drop(self.messages.push(piece.slice_ref(part.payload)));
            }
        }
        Ok(())
    }
}

async fn copy(from: impl AsyncRead, to: impl AsyncWrite, mut watch: Option<Watch>) -> &'static str {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let mut buffer = bytes::BytesMut::new();
    loop {
        buffer.reserve(8 * 1024);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let piece = buffer.split().freeze();
        if let Some(why) = watch.as_mut().and_then(|watch| watch.objects(&piece)) {
            return why;
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
            (Method::GET, "/v1/ns1/ns2/sys/events/subscribe/kv-v2/data-write", &both, true),
            (Method::GET, "/v1/sys/events/subscribed/kv", &both, false),
            (Method::GET, "/v1/xsys/events/subscribe/kv", &both, false),
            (Method::GET, "/v1/auth/a/sys/events/subscribe/kv", &both, false),
            (Method::GET, "/v1/sys/raw/sys/events/subscribe/kv", &both, false),
            (Method::GET, "/v1/cubbyhole/sys/events/subscribe/kv", &both, false),
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

    #[test]
    fn s2_a_token_in_parts_of_two_messages_is_found() {
        let ours = vault::TokenState {
            token: Some(vault::Token::new("s.canary").unwrap().into()),
            ..vault::TokenState::default()
        };
        let found = "the server said our own token";
        for (bytes, why) in [
            (&b"\x81\x0as.can is it"[..], None),
            (b"\x81\x0aa s.canary", Some(found)),
            // Two messages; two parts of one; a ping between them; in the payload of a ping.
            (b"\x81\x05s.can\x81\x03ary", Some(found)),
            (b"\x01\x05s.can\x80\x03ary", Some(found)),
            (b"\x81\x05s.can\x89\x01x\x81\x03ary", Some(found)),
            (b"\x89\x08s.canary", Some(found)),
            (b"\x81\x05s.can\x81\x02dy", None),
            (b"\x81\x83abcdefg", Some("the server said what is no WebSocket")),
        ] {
            for size in [1, 3, 100] {
                let mut watch = Watch::new(Filter::new(ours.clone()).unwrap());
                let said = bytes.chunks(size).find_map(|piece| watch.objects(&Bytes::copy_from_slice(piece)));
                assert_eq!(said, why, "{} by {size}", bytes.escape_ascii());
            }
        }
    }
}

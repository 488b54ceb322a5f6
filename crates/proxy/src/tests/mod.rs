//! Raw bytes in, raw bytes out, and what the server saw: the rules of `docs/listener.md`, each by its id.

mod broken;
mod certificates;
mod http;
mod left;
mod limits;
mod rules;
mod smuggling;
mod sockets;
mod successors;
mod targets;
mod times;
mod who;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use config::Listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::{Body, BoxFuture, Request, Response, SendError, Stream, Token, TokenState, Upstream};

use crate::counters::Counters;
use crate::doors::{Descriptors, Doors, Who};
use crate::http1::serve_http1;
use crate::http2::serve_http2;
use crate::route::{Context, Site, Sites};
use crate::stand;

/// Our own token in these tests.
const OURS: &str = "s.ours";

/// Status, headers and body of an answer.
type Told = (u16, Vec<(&'static str, &'static str)>, String);

/// The server: remembers what it was sent, and answers what it was told to.
pub(super) struct Recorder {
    pub(super) seen: Mutex<Vec<Request>>,
    answer: Mutex<Told>,
    delay: AtomicU64,
}

impl Upstream for Recorder {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        // What it counts against ends with its answer.
        self.seen.lock().unwrap().push(Request { guard: None, ..request.clone() });
        Box::pin(async move {
            if let Some(upload) = &request.upload {
                upload.collect().await.map_err(SendError::Upload)?;
            }
            sleep(Duration::from_millis(self.delay.load(Relaxed))).await;
            let (status, pairs, body) = self.answer.lock().unwrap().clone();
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body: Body::full(body) })
        })
    }
}

/// A listener before that server, without a socket.
pub(super) struct Front {
    pub(super) recorder: Arc<Recorder>,
    pub(super) doors: Arc<Doors>,
    pub(super) stop: CancellationToken,
    site: Arc<Site>,
    tasks: TaskTracker,
}

impl Front {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Listener)) -> Self {
        Self::short_of(100_000, change)
    }

    /// With an access log.
    pub(super) fn logging(log: crate::AccessLog) -> Self {
        let mut front = Self::new();
        let site = Arc::get_mut(&mut front.site).unwrap();
        Arc::get_mut(&mut site.context).unwrap().access = Some(log);
        front
    }

    /// What a real listener needs.
    pub(super) fn parts() -> (Arc<Context>, Listener) {
        let mut kept = None;
        let front = Self::with(|listener| kept = Some(listener.clone()));
        (Arc::clone(&front.site.context), kept.unwrap())
    }

    /// With so many file descriptors for the process.
    pub(super) fn short_of(descriptors: usize, change: impl FnOnce(&mut Listener)) -> Self {
        let mut listener = stand::listener();
        change(&mut listener);
        let recorder = Arc::new(Recorder {
            seen: Mutex::default(),
            answer: Mutex::new((200, vec![("content-type", "application/json")], "{\"data\":{}}".to_owned())),
            delay: AtomicU64::new(0),
        });
        let state = TokenState {
            token: Some(Arc::new(Token::new(OURS.to_owned()).unwrap())),
            ..TokenState::default()
        };
        let context = Arc::new(stand::context(Arc::clone(&recorder) as _, state));
        let descriptors = Arc::new(Descriptors::new(descriptors));
        let doors = Arc::new(Doors::with(listener.limits.clone(), listener.access.rate, descriptors));
        let site = Arc::new(Site::new(context, &listener, Arc::clone(&doors)));
        Self { recorder, doors, stop: CancellationToken::new(), site, tasks: TaskTracker::new() }
    }

    /// Another server behind the same listener.
    pub(super) fn before(&mut self, context: Context) {
        self.site = Arc::new(Site::new(Arc::new(context), &stand::listener(), Arc::clone(&self.doors)));
    }

    pub(super) fn answers(&self, status: u16, headers: &[(&'static str, &'static str)], body: &str) {
        *self.recorder.answer.lock().unwrap() = (status, headers.to_vec(), body.to_owned());
    }

    /// The server takes its time from now on.
    pub(super) fn takes(&self, time: Duration) {
        self.recorder.delay.store(u64::try_from(time.as_millis()).unwrap(), Relaxed);
    }

    /// What the server was asked: method, target and whose token was with it.
    pub(super) fn seen(&self) -> Vec<String> {
        let shown = |request: &Request| {
            let token = request.headers.get("x-vault-token").map(|token| token.to_str().unwrap());
            format!("{} {} {}", request.method, request.target, token.unwrap_or("-"))
        };
        self.recorder.seen.lock().unwrap().iter().map(shown).collect()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.doors.counters
    }

    pub(super) fn connect(&self) -> Client {
        self.connect_as(Who::User(1), 1 << 20).expect("let in")
    }

    /// With a network that holds so many bytes; `None` when the client is not let in.
    pub(super) fn connect_as(&self, who: Who, network: usize) -> Option<Client> {
        Some(Client(self.wire(who, network, Protocol::Http1)?))
    }

    pub(super) fn wire(&self, who: Who, network: usize, protocol: Protocol) -> Option<DuplexStream> {
        let entered = self.doors.enter(who)?;
        let (ours, theirs) = tokio::io::duplex(network);
        let theirs = Stream::other(theirs);
        let (site, tasks, stop) = (Sites::of(Arc::clone(&self.site)), self.tasks.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            match protocol {
                Protocol::Http2 => serve_http2(site, theirs, &entered.link, &tasks, &stop).await,
                Protocol::Http1 => serve_http1(site, theirs, &entered.link, &stop).await,
            }
        });
        Some(ours)
    }

    /// Sends raw bytes on a new connection and reads what comes back.
    pub(super) async fn ask(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(bytes).await;
        client.hear().await
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A client that writes bytes.
pub(super) struct Client(pub(super) DuplexStream);

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// The connection was closed behind it.
    pub(super) closed: bool,
}

impl Answer {
    /// The statuses of all answers in it.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let starts = self.text.match_indices("HTTP/1.");
        starts.filter_map(|(at, _)| self.text.get(at + 8..at + 12)?.strip_prefix(' ')?.parse().ok()).collect()
    }

    /// The lines before the body, in lower case.
    pub(super) fn head(&self) -> String {
        self.text.split("\r\n\r\n").next().unwrap().to_ascii_lowercase()
    }
}

impl Client {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever is refused early may not be read to the end.
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Reads until nothing comes for half a second, which passes at once.
    pub(super) async fn hear(&mut self) -> Answer {
        self.hear_for(Duration::from_millis(500)).await
    }

    pub(super) async fn hear_for(&mut self, quiet: Duration) -> Answer {
        let mut bytes = Vec::new();
        let closed = loop {
            match timeout(quiet, self.0.read_buf(&mut bytes)).await {
                Err(_) => break false,
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(_)) => {}
            }
        };
        Answer { text: String::from_utf8_lossy(&bytes).into_owned(), closed }
    }
}

/// A plain request for `target`.
pub(super) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

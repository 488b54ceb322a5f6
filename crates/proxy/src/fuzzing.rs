//! Doors for the fuzz targets, which are a workspace of their own. Not for anybody else.

mod rules;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::{Body, BoxFuture, Request, Response, SendError, Stream, TokenState, Upstream};

use crate::doors::{Descriptors, Doors, Who};
use crate::http1::serve_http1;
use crate::http2::serve_http2;
use crate::route::{Site, Sites};
use crate::stand;
use crate::target::Target;

pub use rules::{frames, header_rules, planted};

/// Canonical path and query of a target, if it has any; `most` bytes of it.
pub fn canonical(raw: &str, most: usize) -> Option<String> {
    Target::parse(raw, most).ok().map(|target| target.text().to_owned())
}

/// Remembers what reaches the server.
#[derive(Default)]
struct Recorder {
    targets: Mutex<Vec<String>>,
    bytes: AtomicUsize,
}

impl Upstream for Recorder {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        self.bytes.fetch_add(request.body.len(), Relaxed);
        if let Ok(mut targets) = self.targets.lock() {
            targets.push(request.target);
        }
        Box::pin(async move {
            if let Some(upload) = &request.upload {
                let rest = upload.collect().await.map_err(SendError::Upload)?;
                self.bytes.fetch_add(rest.len(), Relaxed);
            }
            Ok(Response { status: http::StatusCode::OK, headers: HeaderMap::new(), body: Body::full("{}") })
        })
    }
}

/// What became of the bytes of a connection.
#[derive(Debug)]
pub struct Outcome {
    /// Targets that reached the server.
    pub targets: Vec<String>,
    /// Bytes of bodies that did.
    pub bytes: usize,
    /// The connection was closed by us.
    pub closed: bool,
    /// What the client was sent.
    pub answers: Vec<u8>,
    /// Requests still counted as under way at the end, and bytes of bodies still counted as held.
    pub left_over: (usize, usize),
}

/// Serves a listener of `127.0.0.1` with default limits to a client that sends `pieces`, each at once, and then waits
/// for two minutes. To be run under a paused clock.
pub async fn connection(pieces: &[&[u8]], http2: bool) -> Outcome {
    let recorder = Arc::new(Recorder::default());
    let listener = stand::listener();
    let stop = CancellationToken::new();
    let context = Arc::new(stand::context(Arc::clone(&recorder) as _, TokenState::default()));
    let doors = Arc::new(Doors::with(listener.limits.clone(), None, Arc::new(Descriptors::new(1000))));
    let site = Sites::new(Site::new(context, &listener, Arc::clone(&doors)));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let server = Stream::other(server);
    let tasks = TaskTracker::new();
    if let Some(entered) = doors.enter(Who::Unknown) {
        let ours = tasks.clone();
        tasks.spawn(async move {
            match http2 {
                true => serve_http2(site, server, &entered.link, &ours, &stop).await,
                false => serve_http1(site, server, &entered.link, &stop).await,
            }
        });
    }
    for piece in pieces {
        if client.write_all(piece).await.is_err() {
            break;
        }
        // So that it is read before the next one comes.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut answers = Vec::new();
    let closed = loop {
        match timeout(Duration::from_secs(120), client.read_buf(&mut answers)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) => {}
        }
    };
    drop(client);
    tasks.close();
    tasks.wait().await;
    let counters = &doors.counters;
    Outcome {
        targets: recorder.targets.lock().map(|targets| targets.clone()).unwrap_or_default(),
        bytes: recorder.bytes.load(Relaxed),
        closed,
        answers,
        left_over: (counters.in_flight.load(Relaxed), counters.buffered.load(Relaxed)),
    }
}

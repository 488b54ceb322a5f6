//! S14: how much of an answer is read to be remembered. What is longer passes through, and nothing of it is kept.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use vault::{Body, BodyError};

use super::tests::{get, login};
use super::*;

const PIECE: usize = 64 * 1024;

const PATIENCE: Duration = Duration::from_secs(60);

const TOKEN: &str = "{\"auth\":{\"client_token\":\"s.x\",\"lease_duration\":3600,\"renewable\":true,\"orphan\":true},\"data\":{\"a\":\"";
const LEASE: &str = "{\"lease_id\":\"a/b/c\",\"lease_duration\":3600,\"renewable\":true,\"data\":{\"a\":\"";
const END: &str = "\"}}";

/// Answers of one length, in pieces as somebody wants them.
struct Long {
    length: AtomicUsize,
    asked: AtomicUsize,
    pieces: Arc<AtomicUsize>,
}

struct Pieces {
    text: Bytes,
    given: Arc<AtomicUsize>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let length = self.text.len().min(PIECE);
        if length == 0 {
            return Poll::Ready(None);
        }
        self.given.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(http_body::Frame::data(self.text.split_to(length)))))
    }
}

impl Upstream for Long {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let begin = if request.target.contains("login") { TOKEN } else { LEASE };
        let filling = "x".repeat(self.length.load(Ordering::Relaxed) - begin.len() - END.len());
        let text = Bytes::from(format!("{begin}{filling}{END}"));
        let headers = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]);
        let body = Body::Other(Box::pin(Pieces { text, given: Arc::clone(&self.pieces) }));
        Box::pin(async move { Ok(Response { status: StatusCode::OK, headers, body }) })
    }
}

#[tokio::test(start_paused = true)]
async fn s14_longer_answers_pass_through_and_are_not_remembered() {
    const MOST: usize = 32 << 20;
    for (length, remembered) in [(MOST, true), (MOST + 1, false), (MOST + 40 * PIECE, false)] {
        let server = Arc::new(Long {
            length: AtomicUsize::new(length),
            asked: AtomicUsize::new(0),
            pieces: Arc::default(),
        });
        let (upstream, stop) = (Arc::clone(&server) as _, CancellationToken::new());
        let (cache, keep_alive) = Cache::new(Mode::Remember, upstream, Caller::default(), stop);
        let keep_alive = tokio::spawn(keep_alive);
        cache.set_own_token(0, Arc::new(Token::new(super::tests::OWN).unwrap()));
        for (nth, request) in [login, || get("database/creds/app")].into_iter().enumerate() {
            server.pieces.store(0, Ordering::Relaxed);
            let first = cache.send(request()).await.unwrap();
            // No more is read ahead than is kept, and what came in one piece with the last of it.
            let read = server.pieces.load(Ordering::Relaxed);
            assert!(read <= MOST / PIECE + 1, "{length}: {read} pieces");
            let whole = first.response.body.collect(2 * MOST, PATIENCE).await.unwrap();
            assert_eq!(whole.len(), length);
            assert!(whole.starts_with(b"{\"") && whole.ends_with(END.as_bytes()));
            let again = cache.send(request()).await.unwrap();
            assert_eq!(matches!(again.origin, Origin::Cache { .. }), remembered, "{length}");
            assert_eq!(again.response.body.collect(2 * MOST, PATIENCE).await.unwrap(), whole);
            let asked = if remembered { nth + 1 } else { 2 * nth + 2 };
            assert_eq!(server.asked.load(Ordering::Relaxed), asked);
        }
        keep_alive.abort();
    }
}

/// Answers that clients do not take are not held beyond a bound: then the next ones pass through, short ones excepted.
#[tokio::test(start_paused = true)]
async fn s14_long_answers_are_held_up_to_a_bound() {
    const MOST: usize = 32 << 20;
    let server =
        Arc::new(Long { length: AtomicUsize::new(MOST), asked: AtomicUsize::new(0), pieces: Arc::default() });
    let (upstream, stop) = (Arc::clone(&server) as _, CancellationToken::new());
    let (cache, keep_alive) = Cache::new(Mode::Remember, upstream, Caller::default(), stop);
    let keep_alive = tokio::spawn(keep_alive);
    cache.set_own_token(0, Arc::new(Token::new(super::tests::OWN).unwrap()));
    let mut number = 0;
    let mut ask = async |length: usize| {
        number += 1;
        server.length.store(length, Ordering::Relaxed);
        server.pieces.store(0, Ordering::Relaxed);
        let answer = cache.send(get(&format!("secret/data/{number}"))).await.unwrap();
        (answer.response.body, server.pieces.load(Ordering::Relaxed))
    };
    let (first, read) = ask(MOST).await;
    assert_eq!(read, MOST / PIECE);
    let (second, _) = ask(MOST - PIECE).await;
    // Room for one piece more is left, and for nothing that is longer.
    let (third, read) = ask(MOST).await;
    assert!(read <= 3, "{read}");
    let (short, _) = ask(PIECE).await;
    assert!(matches!(short, Body::Full(_)));
    assert_eq!(third.collect(MOST, PATIENCE).await.unwrap().len(), MOST);
    drop(first);
    let (fourth, read) = ask(MOST).await;
    assert_eq!((read, matches!(fourth, Body::Full(_))), (MOST / PIECE, true));
    // One that is given up half-way frees its part as well.
    drop((second, fourth));
    for _ in 0..4 {
        let (fifth, read) = ask(MOST + 1).await;
        assert!(read >= MOST / PIECE, "{read}");
        drop(fifth);
    }
    keep_alive.abort();
}

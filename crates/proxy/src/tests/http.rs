//! HTTP done right: versions, keep-alive, bodies, HTTP/2.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Method, Request, StatusCode, Version};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;

use super::{Front, OURS, Protocol, get};
use crate::breach::Breach;
use crate::doors::Who;
use crate::stand;

#[tokio::test(start_paused = true)]
async fn head_has_a_length_and_no_body() {
    let front = Front::new();
    let answer = front.ask("HEAD /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.text.ends_with("\r\n\r\n") && answer.statuses() == [200], "{}", answer.text);
    assert_eq!(front.seen(), [format!("HEAD /v1/a {OURS}")]);
}

#[tokio::test(start_paused = true)]
async fn how_long_requests_take_is_counted() {
    let front = Front::with(|listener| listener.limits.headers = 10);
    front.takes(Duration::from_millis(30));
    for _ in 0..2 {
        assert_eq!(front.ask(get("/v1/a")).await.statuses(), [200]);
    }
    // Not let in.
    front.ask(format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(20))).await;
    let (counts, sum) = front.counters().times.read();
    let within = vault::TIME_BOUNDS.iter().position(|bound| *bound >= 30_000).unwrap();
    assert_eq!((counts.iter().sum::<u64>(), counts[within]), (2, 2), "{counts:?}");
    assert_eq!(sum.as_millis(), 60);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let front = Front::new();
    front.takes(Duration::from_millis(10));
    let post =
        "POST /v1/2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut client = front.connect();
    client.send(format!("{}{post}\r\n{}{}", get("/v1/1"), get("/v1/3"), get("/v1/4").trim_end())).await;
    let answer = client.hear().await;
    assert_eq!((answer.statuses(), answer.closed), (vec![200; 3], false), "{}", answer.text);
    // The rest of the fourth.
    client.send("\r\n\r\n").await;
    assert_eq!(client.hear().await.statuses(), [200]);
    let targets: Vec<_> =
        front.seen().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(targets, ["/v1/1", "/v1/2", "/v1/3", "/v1/4"]);
    assert_eq!(front.recorder.seen.lock().unwrap()[1].body, "abc");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_what_is_no_path_is_not_heard_again() {
    for line in ["OPTIONS *", "GET localhost:80", "GET ftp://localhost/v1/a", "GET /v1/%2e%2e"] {
        let front = Front::new();
        let answer = front.ask(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n{}", get("/v1/a"))).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![400], true), "{line} {}", answer.text);
        assert_eq!(front.seen().len(), 0);
    }
}

/// A server whose answers are `ab`, of this length or of none that is known.
struct Streaming(Option<u64>);

struct Arriving(&'static [u8], Option<u64>);

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = vault::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, vault::BodyError>>> {
        let Some((next, rest)) = self.0.split_at_checked(1) else { return Poll::Ready(None) };
        self.0 = rest;
        self.1 = self.1.map(|left| left.saturating_sub(1));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(next)))))
    }

    fn size_hint(&self) -> SizeHint {
        self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl vault::Upstream for Streaming {
    fn send(&self, _: vault::Request) -> vault::BoxFuture<'_, Result<vault::Response, vault::SendError>> {
        let body = vault::Body::Other(Box::pin(Arriving(b"ab", self.0)));
        let headers = ::http::HeaderMap::new();
        Box::pin(async move { Ok(vault::Response { status: StatusCode::OK, headers, body }) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_answers_body_is_framed_and_a_torn_one_never_looks_whole() {
    for (length, version, end, closed) in [
        (None, "1.1", "\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", false),
        (None, "1.0", "\r\n\r\nab", true),
        (Some(2), "1.1", "\r\n\r\nab", false),
        // It announces more than comes; what is too much the transport refuses.
        (Some(3), "1.1", "", true),
    ] {
        let context = stand::context(Arc::new(Streaming(length)), vault::TokenState::default());
        let mut front = Front::new();
        front.before(context);
        let keep = "Connection: keep-alive\r\n";
        let answer = front.ask(format!("GET /v1/a HTTP/{version}\r\nHost: localhost\r\n{keep}\r\n")).await;
        assert!(answer.text.ends_with(end), "{length:?} {version} {}", answer.text);
        assert_eq!(answer.closed, closed, "{length:?} {version} {}", answer.text);
        let announced = length.map(|length| format!("content-length: {length}\r\n"));
        assert!(
            announced.is_none_or(|line| end.is_empty() || answer.text.contains(&line)),
            "{}",
            answer.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_or_closed_as_the_client_says() {
    for (version, connection, closed) in [
        ("1.1", "", false),
        ("1.1", "Connection: close\r\n", true),
        ("1.1", "Connection: x, Close\r\n", true),
        ("1.0", "", true),
        ("1.0", "Connection: keep-alive\r\n", false),
    ] {
        let front = Front::new();
        let answer =
            front.ask(format!("GET /v1/a HTTP/{version}\r\nHost: localhost\r\n{connection}\r\n")).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![200], closed), "{version} {connection}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_asked_for_only_when_it_is_wanted() {
    let post = |path: &str, host: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    };
    let front = Front::new();
    let mut client = front.connect();
    client.send(post("/v1/a", "localhost")).await;
    assert_eq!(client.hear().await.statuses(), [100]);
    client.send("abc").await;
    assert_eq!(client.hear().await.statuses(), [200]);
    for (path, host, status) in [("/v1/a", "evil.example", 421), ("/v1/..", "localhost", 400)] {
        let answer = front.ask(post(path, host)).await;
        assert_eq!(answer.statuses(), [status], "{}", answer.text);
    }
    assert_eq!(front.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_with_its_body_leaves_nothing_behind() {
    // The body looks like a request. It is read as a body, or not at all.
    let front = Front::new();
    let inner = get("/v1/inner");
    let text = format!(
        "POST /v1/a HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let answer = front.ask(&text).await;
    assert_eq!((answer.statuses(), front.seen().len()), (vec![421], 0), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_its_request_along_whatever_it_sent_behind_it() {
    let front = Front::new();
    front.takes(Duration::from_secs(50));
    for behind in [String::new(), "G".to_owned(), get("/v1/b")] {
        let mut client = front.connect();
        client.send(format!("{}{behind}", get("/v1/a"))).await;
        assert_eq!(client.hear().await.text, "");
        assert_eq!(front.counters().in_flight.load(Relaxed), 1);
        drop(client);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(front.counters().in_flight.load(Relaxed), 0, "{behind}");
        assert_eq!(front.counters().connections.load(Relaxed), 0);
    }
    assert_eq!(front.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_end_lets_requests_finish_and_nobody_linger() {
    let front = Front::new();
    front.takes(Duration::from_secs(3));
    let (mut busy, mut idle, mut half) = (front.connect(), front.connect(), front.connect());
    busy.send(get("/v1/a")).await;
    half.send("GET /v1/").await;
    assert_eq!(busy.hear().await.text, "");
    front.stop.cancel();
    assert!(idle.hear().await.closed && half.hear().await.closed);
    let answer = busy.hear_for(Duration::from_secs(4)).await;
    assert_eq!((answer.statuses(), answer.closed), (vec![200], true));
    assert_eq!(front.counters().connections.load(Relaxed), 0);
}

async fn http2(front: &Front) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(front.wire(Who::User(1), 1 << 20, Protocol::Http2).unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(target: &str, body: usize) -> Request<Full<Bytes>> {
    let method = if body == 0 { "GET" } else { "POST" };
    let body = Full::new(Bytes::from(vec![b'x'; body]));
    Request::builder().method(method).uri(format!("https://localhost{target}")).body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn http2_requests_run_side_by_side_under_the_same_rules() {
    let front = Front::with(|listener| {
        listener.limits.body = 1000;
        listener.limits.requests_per_client = 40;
    });
    front.takes(Duration::from_secs(1));
    let mut sender = http2(&front).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..50 {
        asking.spawn(sender.send_request(request(&format!("/v1/{number}"), number % 2 * 10)));
    }
    let statuses: Vec<_> =
        asking.join_all().await.into_iter().map(|answer| answer.unwrap().status()).collect();
    let refused = statuses.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert_eq!((front.seen().len(), refused), (40, 10), "{statuses:?}");
    front.takes(Duration::ZERO);
    for (target, body, status) in [
        ("/v1/a/", 0, 200),
        ("/v1/%2e%2e", 0, 400),
        ("/v1//a", 0, 307),
        ("/v1/a?x=%zz", 0, 400),
        ("/v1/a", 1000, 200),
        ("/v1/a", 1001, 413),
    ] {
        let answer = sender.send_request(request(target, body)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (status, Version::HTTP_2), "{target}");
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(front.seen().last(), Some(&format!("POST /v1/a {OURS}")));
    let foreign = Request::builder().uri("https://evil.example/v1/a").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(foreign).await.unwrap().status(), 421);
    let mut two = request("/v1/a", 0);
    for token in ["a", "b"] {
        two.headers_mut().append("x-vault-token", token.parse().unwrap());
    }
    assert_eq!(sender.send_request(two).await.unwrap().status(), 400);
    let mut many = request("/v1/a", 0);
    for _ in 0..101 {
        many.headers_mut().append("a", "b".parse().unwrap());
    }
    assert_eq!(sender.send_request(many).await.unwrap().status(), 431);
    assert_eq!(front.counters().breaches(Breach::HeaderCount), 1);
    assert_eq!(front.counters().in_flight.load(Relaxed), 0);
}

/// The library would send the body of an answer to `HEAD`, which is an error of the protocol.
#[tokio::test(start_paused = true)]
async fn http2_answers_of_ours_to_head_have_no_body() {
    let front = Front::new();
    let mut sender = http2(&front).await;
    for (target, status) in [("/v1/a", 200), ("/v1/a?x=%zz", 400), ("/agent/v1/health", 503)] {
        let mut head = request(target, 0);
        *head.method_mut() = Method::HEAD;
        let answer = sender.send_request(head).await.unwrap();
        let length = answer.headers().get("content-length").cloned();
        assert_eq!(answer.status(), status, "{target}");
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), "{target}");
        let answer = sender.send_request(request(target, 0)).await.unwrap();
        let whole = answer.into_body().collect().await.unwrap().to_bytes().len();
        let said = length.map(|length| length.to_str().unwrap().parse().unwrap());
        assert_eq!(said, Some(whole), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn http2_idle_connections_end_politely() {
    let front = Front::new();
    let mut sender = http2(&front).await;
    for _ in 0..3 {
        assert_eq!(sender.send_request(request("/v1/a", 0)).await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert!(sender.is_ready());
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(sender.is_closed());
    assert_eq!(front.counters().breaches(Breach::Idle), 1);
    assert_eq!(front.counters().connections.load(Relaxed), 0);
}

/// Its other streams may do as they like.
#[tokio::test(start_paused = true)]
async fn http2_a_stream_that_is_not_read_ends_its_connection() {
    let front = Front::new();
    front.answers(200, &[], &"x".repeat(1 << 20));
    let io = TokioIo::new(front.wire(Who::User(1), 1 << 20, Protocol::Http2).unwrap());
    let mut client = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = client.initial_stream_window_size(1000).handshake(io).await.unwrap();
    tokio::spawn(connection);
    let unread = sender.send_request(request("/v1/a", 0)).await.unwrap();
    front.answers(200, &[], "{}");
    for _ in 0..5 {
        let answer = sender.send_request(request("/v1/b", 0)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(front.counters().in_flight.load(Relaxed), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(front.counters().breaches(Breach::WriteTime), 1);
    assert!(sender.is_closed());
    assert_eq!(front.counters().in_flight.load(Relaxed), 0);
    assert_eq!(front.counters().connections.load(Relaxed), 0);
    drop(unread);
    // One that is read slowly lives, and gets all of it.
    front.answers(200, &[], &"x".repeat(200_000));
    let mut sender = http2(&front).await;
    let mut slow = sender.send_request(request("/v1/a", 0)).await.unwrap().into_body();
    let mut length = 0;
    while let Some(frame) = slow.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert_eq!((length, front.counters().breaches(Breach::WriteTime)), (200_000, 1));
}

/// CVE-2023-44487: streams that are opened and reset at once cost the server nothing.
#[tokio::test(start_paused = true)]
async fn http2_rapid_resets_end_the_connection() {
    let front = Front::new();
    front.takes(Duration::from_secs(30));
    let mut client = front.wire(Who::User(1), 1 << 20, Protocol::Http2).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    for stream in (1..20_000_u32).step_by(2) {
        // :method GET, :scheme https, :path /, :authority localhost; then RST_STREAM, CANCEL.
        let head = b"\x82\x87\x84\x01\x09localhost";
        bytes.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 5]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(head);
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend([0, 0, 0, 8]);
    }
    let _ = client.write_all(&bytes).await;
    let answer = super::Client(client).hear().await;
    assert!(answer.closed, "{:?}", answer.text);
    assert!(front.seen().len() <= 200, "{}", front.seen().len());
    assert_eq!(front.counters().in_flight.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn http2_large_header_lists_are_refused() {
    let front = Front::new();
    let mut sender = http2(&front).await;
    let mut large = request("/v1/a", 0);
    large.headers_mut().insert("a", "b".repeat(70_000).parse().unwrap());
    // The client's library may refuse to send it at all.
    match sender.send_request(large).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(_) => assert!(!front.seen().iter().any(|line| line.contains("/v1/a"))),
    }
    assert_eq!(front.seen().len(), 0);
}

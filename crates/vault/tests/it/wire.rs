//! The client against servers that say exactly what they are told to: what is refused, what is repeated, what is kept.

#![expect(clippy::unwrap_used, reason = "tests may be blunt")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use vault::{Body, Client, ClientSettings, Request, Response, RetryPolicy, SendError, Upstream as _};

mod uploads;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that answers the n-th request of all (from 0) with bytes of its choice.
struct Raw {
    address: String,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What it does after its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Stay,
    Close,
}

impl Raw {
    async fn start(script: impl Fn(&str, usize) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (connections, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, seen, script) = (Arc::clone(&connections), Arc::clone(&asked), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { address, connections, asked }
    }

    fn client(&self) -> Client {
        self.client_with(|_| {})
    }

    fn client_with(&self, change: impl Fn(&mut ClientSettings)) -> Client {
        let mut settings = ClientSettings::new(self.address.parse().unwrap());
        settings.retry = RetryPolicy::Never;
        change(&mut settings);
        Client::new(&settings).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<impl Fn(&str, usize) -> (Vec<u8>, Then) + Send + Sync>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                return;
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            if !stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
        let body = String::from_utf8_lossy(&buffer.drain(..length).collect::<Vec<_>>()).into_owned();
        let nth = {
            let mut seen = seen.lock().unwrap();
            seen.push(format!("{head}{body}"));
            seen.len() - 1
        };
        let (answer, then) = script(&head, nth);
        if stream.write_all(&answer).await.is_err() || then == Then::Close {
            return;
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn status(code: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn get() -> Request {
    Request::new(Method::GET, "a")
}

fn put(body: &str) -> Request {
    Request { body: Bytes::copy_from_slice(body.as_bytes()), ..Request::new(Method::PUT, "a") }
}

async fn text(response: Response) -> String {
    String::from_utf8(response.body.collect(1 << 26, PATIENCE).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn s6_a_malformed_answer_is_refused_and_its_connection_never_used_again() {
    let flood =
        format!("{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 103 Early\r\n\r\n".repeat(9));
    let fields = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "a: b\r\n".repeat(100));
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(64 * 1024));
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(70 * 1024));
    let cases: Vec<(&str, String)> = vec![
        (
            "both",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n".into()),
        ("long chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n".into()),
        ("extra", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello".into()),
        ("a second answer", "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".into()),
        ("extra chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nextra".into()),
        ("flood", flood),
        ("fields", fields),
        ("long head", long),
        ("endless head", endless),
        ("unasked upgrade", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".into()),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n".into()),
    ];
    for (name, bytes) in cases {
        let raw = Raw::start(move |_, nth| {
            (if nth == 0 { bytes.clone().into_bytes() } else { ok("good") }, Then::Stay)
        })
        .await;
        let client = raw.client();
        let refused = match client.send(get()).await {
            Err(SendError::Malformed { .. }) => true,
            Ok(response) => response.body.collect(1 << 20, PATIENCE).await.is_err(),
            Err(other) => panic_with(name, &other),
        };
        assert!(refused, "{name}");
        assert_eq!(text(client.send(get()).await.unwrap()).await, "good", "{name}");
        assert_eq!((raw.connections(), raw.asked()), (2, 2), "{name}");
    }
}

#[expect(clippy::panic, reason = "tests may be blunt")]
fn panic_with(name: &str, error: &SendError) -> bool {
    panic!("{name}: {error}")
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_and_the_connection_is_kept() {
    let answers: [(&str, &str); 5] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n", "hello"),
        ("HTTP/1.1 204 No\r\n\r\n", ""),
        ("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    ];
    let raw = Raw::start(move |_, nth| (answers[nth].0.as_bytes().to_vec(), Then::Stay)).await;
    let client = raw.client();
    for (answer, body) in answers {
        assert_eq!(text(client.send(get()).await.unwrap()).await, body, "{answer}");
    }
    assert_eq!((raw.connections(), raw.asked()), (1, 5));

    let raw = Raw::start(|_, _| (b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec(), Then::Close)).await;
    assert_eq!(text(raw.client().send(get()).await.unwrap()).await, "until the end");
    let raw =
        Raw::start(|_, _| (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_vec(), Then::Close)).await;
    assert!(raw.client().send(get()).await.unwrap().body.collect(100, PATIENCE).await.is_err());
    // A long body in pieces, larger than any buffer.
    let long = "0123456789".repeat(300_000);
    let answer = ok(&long);
    let raw = Raw::start(move |_, _| (answer.clone(), Then::Stay)).await;
    let client = raw.client();
    for _ in 0..2 {
        assert!(text(client.send(get()).await.unwrap()).await == long);
    }
    assert_eq!(raw.connections(), 1);
    // Dropped half way it is closed, not kept.
    let response = client.send(get()).await.unwrap();
    drop(response);
    assert!(text(client.send(get()).await.unwrap()).await == long);
    assert_eq!(raw.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_silently() {
    let raw = Raw::start(|_, nth| (ok("x"), if nth % 2 == 0 { Then::Close } else { Then::Stay })).await;
    let client = raw.client();
    for method in [Method::GET, Method::PUT, Method::PUT, Method::GET] {
        let response = client.send(Request::new(method, "a")).await.unwrap();
        assert_eq!(text(response).await, "x");
        // The close must have arrived for a write to notice it beforehand.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(raw.asked(), 4);
}

#[tokio::test]
async fn p10_a_write_is_delivered_once_and_a_read_again() {
    for (write, deliveries) in [(true, 1), (false, 3)] {
        let raw =
            Raw::start(|_, nth| if nth < 2 { (Vec::new(), Then::Close) } else { (ok("x"), Then::Stay) })
                .await;
        let client = raw.client_with(|settings| settings.retry = RetryPolicy::Patient);
        let answer = client.send(if write { put("w") } else { get() }).await;
        assert_eq!(answer.is_err(), write);
        assert_eq!(raw.asked(), deliveries, "write: {write}");
    }
}

#[tokio::test]
async fn f20_a_server_that_says_nothing_is_given_up_and_its_connection_closed() {
    let raw = Raw::start(|_, nth| (if nth == 0 { Vec::new() } else { ok("x") }, Then::Stay)).await;
    let client = raw.client_with(|settings| settings.timeout = Duration::from_millis(300));
    let start = Instant::now();
    assert!(matches!(client.send(get()).await, Err(SendError::TimedOut(_))));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(text(client.send(get()).await.unwrap()).await, "x");
    assert_eq!(raw.connections(), 2);
}

/// A probe through us wants to know at once.
#[tokio::test]
async fn the_servers_health_is_an_answer_whatever_its_status() {
    let raw = Raw::start(|_, _| (status(429, "{}"), Then::Stay)).await;
    let client = raw.client_with(|settings| settings.retry = RetryPolicy::Patient);
    let mut request = get();
    request.target = "/v1/sys/health?perfstandbyok=true".to_owned();
    assert_eq!(client.send(request).await.unwrap().status, 429);
    assert_eq!(raw.asked(), 1);
}

#[tokio::test]
async fn the_last_real_answer_is_given_when_the_time_is_over() {
    let raw =
        Raw::start(
            |_, nth| if nth == 0 { (status(503, "sealed"), Then::Stay) } else { (Vec::new(), Then::Stay) },
        )
        .await;
    let client = raw.client_with(|settings| {
        settings.timeout = Duration::from_millis(800);
        settings.retry = RetryPolicy::Patient;
    });
    let response = client.send(get()).await.unwrap();
    assert_eq!(response.status.as_u16(), 503);
    assert_eq!(text(response).await, "sealed");
}

#[tokio::test]
async fn several_servers_stand_in_for_one_another() {
    let first = Raw::start(|head, nth| match nth {
        _ if head.contains("sys/health") => (ok(if nth < 4 { "" } else { "ok" }), Then::Stay),
        0 | 1 => (status(503, "{\"errors\":[\"Vault is sealed\"]}"), Then::Stay),
        _ => (ok("first"), Then::Stay),
    })
    .await;
    let second = Raw::start(|_, _| (ok("second"), Then::Stay)).await;
    let dead = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    // A dead one first: nothing is waited for, reads and writes alike.
    let client = second.client_with(|settings| {
        settings.address = dead.parse().unwrap();
        settings.others = vec![second.address.parse().unwrap()];
    });
    for request in [put("w"), get()] {
        let start = Instant::now();
        assert_eq!(text(client.send(request).await.unwrap()).await, "second");
        assert!(start.elapsed() < Duration::from_millis(500));
    }
    // A sealed one: the write goes to the other, which is used from then on; the first is asked whether it is back,
    // and is used again.
    let client = first.client_with(|settings| settings.others = vec![second.address.parse().unwrap()]);
    assert_eq!(text(client.send(put("w")).await.unwrap()).await, "second");
    let start = Instant::now();
    while text(client.send(get()).await.unwrap()).await == "second" {
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // All of them down: the reason is told.
    let client = first.client_with(|settings| {
        settings.address = dead.parse().unwrap();
        settings.others = vec![dead.parse().unwrap()];
    });
    assert!(matches!(client.send(get()).await, Err(SendError::Unreachable { .. })));
}

/// For all clones; what is kept is kept.
#[tokio::test]
async fn a_client_in_use_gets_other_manners() {
    let raw = Raw::start(|head, _| match head.starts_with("GET /v1/a ") {
        true => (status(500, "{}"), Then::Stay),
        false => (ok("x"), Then::Stay),
    })
    .await;
    let client = raw.client();
    let (clone, own) = (client.clone(), client.with_retry(RetryPolicy::AtMost(1)));
    let asks = async |client: &Client| {
        let before = raw.asked();
        assert_eq!(client.send(get()).await.unwrap().status, 500);
        raw.asked() - before
    };
    assert_eq!((asks(&clone).await, asks(&own).await, raw.connections()), (1, 2, 1));
    let mut settings = ClientSettings::new(raw.address.parse().unwrap());
    settings.retry = RetryPolicy::AtMost(2);
    client.set_manners(&settings);
    assert_eq!((asks(&clone).await, asks(&own).await, raw.connections()), (3, 2, 1));
    settings.keep_alive = false;
    client.set_manners(&settings);
    for connections in 2..5 {
        clone.send(Request::new(Method::GET, "b")).await.unwrap();
        assert_eq!(raw.connections(), connections);
    }
    settings.keep_alive = true;
    client.set_manners(&settings);
    for _ in 0..3 {
        text(clone.send(Request::new(Method::GET, "b")).await.unwrap()).await;
    }
    assert_eq!(raw.connections(), 5);
}

/// What comes with a request to log in is counted by the server as a login: a 500 that it leads to is told at once, and
/// asked for once. What nobody acted on may be asked for again.
#[tokio::test]
async fn a_login_within_a_request_is_not_repeated_after_a_500() {
    let raw = Raw::start(|head, nth| match head.starts_with("GET /v1/busy ") && nth % 2 == 1 {
        true => (ok("done"), Then::Stay),
        false if head.contains("/busy ") => (status(503, "{}"), Then::Stay),
        false => (status(500, "{\"errors\":[\"failed to perform inline authentication: …\"]}"), Then::Stay),
    })
    .await;
    let client = raw.client_with(|settings| settings.retry = RetryPolicy::AtMost(1));
    let ask = async |path: &str, inline: bool| {
        let request = Request::new(Method::GET, path);
        let request = match inline {
            true => request.header(vault::headers::INLINE_AUTH_PATH, "auth/userpass/login/bob"),
            false => request,
        };
        let before = raw.asked();
        (client.send(request).await.unwrap().status.as_u16(), raw.asked() - before)
    };
    assert_eq!(ask("busy", true).await, (200, 2));
    assert_eq!(ask("a", true).await, (500, 1));
    assert_eq!(ask("a", false).await, (500, 2));
}

/// S32: our own calls read so much and no more, however it is sent.
#[tokio::test]
async fn s32_an_answer_to_our_own_call_has_an_end() {
    const MOST: usize = 32 << 20;
    let [fits, too_long] = [0, 1].map(|more| {
        let around = "{\"request_id\":\"\"}".len();
        format!("{{\"request_id\":\"{}\"}}", "x".repeat(MOST - around + more))
    });
    let length = fits.len();
    let raw = Raw::start(move |head, _| {
        let body = if head.contains("sys/wrapping") { &fits } else { &too_long };
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        (if head.contains("renew") { chunked.into_bytes() } else { ok(body) }, Then::Stay)
    })
    .await;
    let client = raw.client();
    let caller = vault::api::Caller {
        user_agent: "test".to_owned(),
        namespace: None,
        address: raw.address.clone(),
        timeout: Duration::from_secs(60),
    };
    let token = vault::Token::new("s.t").unwrap();
    for why in [
        caller.lookup_self(&client, &token).await.unwrap_err(),
        caller.renew_self(&client, &token).await.unwrap_err(),
    ] {
        assert_eq!(why.to_string(), "the answer is longer than 33554432 bytes");
    }
    let whole = caller.wrapping_lookup(&client, &token).await.unwrap();
    assert_eq!((length, whole.request_id.len()), (MOST, MOST - 17));
}

#[tokio::test]
async fn s31_one_redirect_is_followed_a_second_is_handed_on() {
    let target = Raw::start(|_, _| {
        (b"HTTP/1.1 307 X\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_vec(), Then::Stay)
    })
    .await;
    let location = target.address.clone();
    let standby = Raw::start(move |_, _| {
        (
            format!("HTTP/1.1 307 X\r\nLocation: {location}/v1/b\r\nContent-Length: 0\r\n\r\n").into_bytes(),
            Then::Stay,
        )
    })
    .await;
    let client = standby.client();
    let response = client.send(put("body")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.headers["location"].to_str().unwrap()), (307, "/again"));
    let asked = target.asked.lock().unwrap();
    assert!(
        asked.len() == 1 && asked[0].starts_with("PUT /v1/b ") && asked[0].ends_with("body"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_upgrade_is_a_tunnel() {
    const SWITCH: &[u8] = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nfirst";
    let raw = Raw::start(|_, _| (SWITCH.to_vec(), Then::Stay)).await;
    let request = Request { upgrade: true, ..get() };
    let response = raw.client().send(request).await.unwrap();
    let Body::Tunnel(mut tunnel) = response.body else { unreachable!("no tunnel") };
    let mut said = [0; 5];
    tunnel.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"first");
    let head = raw.asked.lock().unwrap()[0].clone();
    assert!(head.contains("connection: upgrade\r\nupgrade: websocket\r\n"), "{head}");
    tunnel.write_all(b"GET /b HTTP/1.1\r\n\r\n").await.unwrap();
    tunnel.flush().await.unwrap();
    tunnel.read_exact(&mut said).await.unwrap();
    assert_eq!(raw.asked(), 2);
}

#[tokio::test]
async fn trailers_arrive() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
    let raw = Raw::start(|_, _| (answer.to_vec(), Then::Stay)).await;
    let body = raw.client().send(get()).await.unwrap().body;
    let body = BodyExt::collect(body).await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
}

/// F19: nobody acts while a cluster elects its active node, so that writes wait as well; and for longer than for an answer
/// that says no, for elections take longer.
#[tokio::test]
async fn f19_a_write_waits_for_the_election() {
    let text = "{\"errors\":[\"local node not active but active cluster node not found\"]}";
    let leaderless = format!("HTTP/1.1 500 X\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes();
    let raw =
        Raw::start(move |_, nth| (if nth < 12 { leaderless.clone() } else { ok("done") }, Then::Stay)).await;
    let began = Instant::now();
    let client = raw.client_with(|settings| settings.retry = RetryPolicy::Patient);
    let write = Request { method: Method::PUT, body: Bytes::from_static(b"{}"), ..get() };
    assert_eq!(self::text(client.send(write).await.unwrap()).await, "done");
    assert_eq!(raw.asked(), 13);
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
    // Any other 500 may come of what was done.
    let raw =
        Raw::start(|_, _| (b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}".to_vec(), Then::Stay)).await;
    let client = raw.client_with(|settings| settings.retry = RetryPolicy::Patient);
    let write = Request { method: Method::PUT, body: Bytes::from_static(b"{}"), ..get() };
    assert_eq!(client.send(write).await.unwrap().status, 500);
    assert_eq!(raw.asked(), 1);
}

/// Old forms of the API have a token in the path; errors are logged and told to clients.
#[tokio::test]
async fn a_token_in_a_path_is_in_no_error() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let garbage = Raw::start(|_, _| (b"nonsense\r\n\r\n".to_vec(), Then::Close)).await;
    let silent = Raw::start(|_, _| (Vec::new(), Then::Close)).await;
    for address in [address, garbage.address.clone(), silent.address.clone()] {
        let settings =
            ClientSettings { retry: RetryPolicy::Never, ..ClientSettings::new(address.parse().unwrap()) };
        let request = Request::new(Method::PUT, "auth/token/revoke/s.canary");
        let why = Client::new(&settings).unwrap().send(request).await.unwrap_err().to_string();
        assert!(why.contains("auth/token/revoke") && !why.contains("canary"), "{why}");
    }
}

#[tokio::test]
async fn who_has_a_bound_waits_for_its_turn_also_through_another_client() {
    let server = Raw::start(|_, _| (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Then::Stay)).await;
    let limit = vault::RateLimit::new(5.0, 2).unwrap();
    let client = || server.client_with(|settings| settings.rate_limit = Some(limit.clone()));
    let (one, other) = (client(), client());
    let began = Instant::now();
    for (client, at_least) in [(&one, 0), (&other, 0), (&one, 200), (&other, 400)] {
        client.send(Request::new(Method::GET, "sys/mounts")).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(at_least), "{:?}", began.elapsed());
    }

    // A turn after its time limit is none.
    let slow = vault::RateLimit::new(0.01, 1).unwrap();
    let hasty = server.client_with(|settings| settings.rate_limit = Some(slow.clone()));
    hasty.send(Request::new(Method::GET, "sys/mounts")).await.unwrap();
    let answer = hasty.send(Request::new(Method::GET, "sys/mounts")).await;
    assert!(matches!(answer, Err(SendError::TimedOut(_))), "{answer:?}");
    assert_eq!(server.asked(), 5);
}

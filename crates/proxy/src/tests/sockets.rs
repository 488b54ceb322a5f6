//! The same over real sockets: accept, TLS, the protocol that was agreed on, who the client is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use ::http::Version;
use bytes::Bytes;
use config::{Endpoint, Listener, ListenerTls};
use http_body::Frame;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{Front, get};
use crate::breach::Breach;
use crate::counters::Counters;
use crate::listener::Bound;
use crate::stand;

pub(super) async fn start(change: impl FnOnce(&mut Listener)) -> (String, Arc<Counters>, CancellationToken) {
    let (context, mut listener) = Front::parts();
    change(&mut listener);
    let bound = Bound::bind(&listener).await.unwrap();
    let (address, counters, stop) = (bound.address().to_owned(), bound.counters(), CancellationToken::new());
    tokio::spawn(bound.run(context, stop.clone()));
    (address, counters, stop)
}

/// The same before another server.
pub(super) async fn start_before(upstream: impl vault::Upstream + 'static) -> (String, CancellationToken) {
    start_both(upstream, any_port).await
}

pub(super) async fn start_both(
    upstream: impl vault::Upstream + 'static,
    change: impl FnOnce(&mut Listener),
) -> (String, CancellationToken) {
    let mut listener = stand::listener();
    change(&mut listener);
    let bound = Bound::bind(&listener).await.unwrap();
    let context = stand::context(Arc::new(upstream), vault::TokenState::default());
    let (address, stop) = (bound.address().to_owned(), CancellationToken::new());
    tokio::spawn(bound.run(Arc::new(context), stop.clone()));
    (address, stop)
}

/// A test that waits for what does not come fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that comes until the other side closes; a connection that breaks is an error.
pub(super) async fn try_hear_all(client: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, client.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    read.unwrap_or_else(|_| panic!("it was not closed, after {text:?}")).map(|_| text)
}

pub(super) async fn hear_all(client: &mut (impl AsyncRead + Unpin)) -> String {
    try_hear_all(client).await.unwrap()
}

/// What comes first.
pub(super) async fn hear_some(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::with_capacity(4096);
    timeout(PATIENCE, client.read_buf(&mut bytes)).await.expect("in time").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn tcp(address: &str) -> SocketAddr {
    address.split_once("://").unwrap().1.parse().unwrap()
}

pub(super) fn any_port(listener: &mut Listener) {
    listener.endpoint = Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
}

pub(super) async fn eventually(what: impl Fn() -> bool) {
    let reached = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), reached).await.expect("in time");
}

#[tokio::test]
async fn s05_and_s15_hold_on_a_socket() {
    let (address, counters, stop) = start(|listener| {
        any_port(listener);
        listener.limits.header_timeout = Duration::from_millis(200);
    })
    .await;
    let mut client = TcpStream::connect(tcp(&address)).await.unwrap();
    let mut silent = TcpStream::connect(tcp(&address)).await.unwrap();
    let bad =
        "POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(format!("{}{bad}0\r\n\r\n{}", get("/v1/a"), get("/v1/b")).as_bytes()).await.unwrap();
    let text = hear_all(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("HTTP/1.1 400"), "{text}");
    assert_eq!((counters.requests.load(Relaxed), counters.breaches(Breach::Framing(""))), (1, 1));
    assert_eq!(hear_all(&mut silent).await, "");
    assert_eq!(counters.breaches(Breach::HeaderTime), 1);
    eventually(|| counters.connections.load(Relaxed) == 0).await;
    stop.cancel();
}

#[tokio::test]
async fn tls_speaks_http2_and_http1_and_times_the_handshake() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = (folder.path().join("cert"), folder.path().join("key"));
    for (path, text) in [(&cert_file, made.cert.pem()), (&key_file, made.signing_key.serialize_pem())] {
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
    }
    let (address, counters, stop) = start(|listener| {
        any_port(listener);
        listener.limits.header_timeout = Duration::from_secs(2);
        listener.tls = Some(ListenerTls {
            cert_file,
            key_file,
            only_tls13: false,
            only_tls12: false,
            choice: config::TlsChoice::default(),
            only_alternative_names: false,
            client_ca_file: None,
            require_client_cert: false,
            allowed_client_names: Vec::new(),
            reload: None,
        });
    })
    .await;
    let mut silent = TcpStream::connect(tcp(&address)).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connect = async |protocols: &[&str]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(tcp(&address)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    };
    let stream = connect(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = ::http::Request::get("https://localhost/v1/a").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = connect(protocols).await;
        stream.write_all(get("/v1/a").replace("Host", "Connection: close\r\nHost").as_bytes()).await.unwrap();
        let text = hear_all(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    // No handshake at all, and something else.
    let tell = async |bytes: &[u8]| {
        let mut other = TcpStream::connect(tcp(&address)).await.unwrap();
        other.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        timeout(PATIENCE, other.read_to_end(&mut said)).await.expect("closed").unwrap();
        said
    };
    let long = format!(
        "POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{}",
        "x".repeat(99_999)
    );
    for plain in [get("/v1/a"), long, "G".to_owned()] {
        let said = String::from_utf8(tell(plain.as_bytes()).await).unwrap();
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "{said}");
    }
    // TLS 1.1 and 1.0 have nothing to agree on with us: a fatal alert, `handshake_failure`.
    for minor in [2, 1] {
        let hello = [&[1, 0, 0, 41, 3, minor][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
        let said = tell(&[&[22, 3, 1, 0, 45][..], &hello].concat()).await;
        assert_eq!((said.first(), said.get(5..)), (Some(&21), Some(&[2, 40][..])), "{said:?}");
    }
    assert_eq!(counters.breaches(Breach::Handshake), 5);
    assert_eq!(hear_all(&mut silent).await, "");
    assert_eq!(counters.breaches(Breach::HeaderTime), 1);
    assert_eq!(counters.requests.load(Relaxed), 3);
    stop.cancel();
}

#[tokio::test]
async fn s18_and_s19_count_the_users_of_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (_, counters, stop) = start(|listener| {
        listener.endpoint = Endpoint::Unix { path: path.clone(), access: config::SocketAccess::default() };
        listener.limits.connections_per_client = 2;
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(UnixStream::connect(&path).await.unwrap());
    }
    // All are this test's user; the oldest, idle, has made room.
    assert_eq!(hear_all(&mut clients[0]).await, "");
    assert_eq!(counters.breaches(Breach::ConnectionsPerClient), 1);
    clients[2].write_all(get("/v1/a").as_bytes()).await.unwrap();
    assert!(hear_some(&mut clients[2]).await.starts_with("HTTP/1.1 200"));
    stop.cancel();
}

/// Closing beside unread bytes would reset the connection, and the client would lose its answer.
#[tokio::test]
async fn a_refused_client_that_goes_on_sending_gets_its_answer() {
    let (address, counters, stop) = start(any_port).await;
    for head in [
        "GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n",
        "POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        "POST /v1/a HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 300000\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(tcp(&address)).await.unwrap();
        client.write_all(format!("{head}{}", "x".repeat(100_000)).as_bytes()).await.unwrap();
        // Until the answer was written and the connection given up, or nearly so.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.write_all("x".repeat(100_000).as_bytes()).await.unwrap();
        let text = hear_all(&mut client).await;
        assert!(text.starts_with("HTTP/1.1 4"), "{head}: {text}");
        drop(client);
    }
    eventually(|| counters.connections.load(Relaxed) == 0).await;
    stop.cancel();
}

/// A server whose answers are `ab` and then break, without saying how long they are.
pub(super) struct Torn;

struct TornBody(u8);

impl http_body::Body for TornBody {
    type Data = Bytes;
    type Error = vault::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, vault::BodyError>>> {
        self.0 += 1;
        match self.0 {
            1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"ab"))))),
            // The beginning leaves.
            2 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(vault::BodyError::Broken("unexpected EOF".to_owned())))),
        }
    }
}

impl vault::Upstream for Torn {
    fn send(&self, _: vault::Request) -> vault::BoxFuture<'_, Result<vault::Response, vault::SendError>> {
        let body = vault::Body::Other(Box::pin(TornBody(0)));
        let (status, headers) = (::http::StatusCode::OK, ::http::HeaderMap::new());
        Box::pin(async move { Ok(vault::Response { status, headers, body }) })
    }
}

/// To HTTP/1.0 the end of a connection is the end of an answer: a torn one must end otherwise.
#[tokio::test]
async fn s06_a_torn_answer_is_a_reset_to_http10_and_has_no_last_chunk_to_http11() {
    let (address, stop) = start_before(Torn).await;
    for version in ["1.0", "1.1"] {
        let mut client = TcpStream::connect(tcp(&address)).await.unwrap();
        client
            .write_all(format!("GET /v1/a HTTP/{version}\r\nHost: localhost\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let why = try_hear_all(&mut client).await.unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::ConnectionReset, "{version}");
    }
    stop.cancel();
}

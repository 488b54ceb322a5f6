//! A server that keeps every byte it gets, and answers by the path.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The token it gives to the program.
pub(super) const OURS: &str = "s.canary-token";
/// The token's accessor.
pub(super) const ACCESSOR: &str = "acc-canary";
/// The value of a header that belongs to its own connection.
pub(super) const HOP: &str = "of-one-connection";

const LOGIN: &str = r#"{"auth":{"client_token":"s.canary-token","accessor":"acc-canary","lease_duration":3600,"renewable":true,"orphan":true}}"#;
const LOOKUP: &str = r#"{"data":{"id":"s.canary-token","accessor":"acc-canary","ttl":3600}}"#;

/// The number of a connection, and a request on it: head and body in lower case.
type Seen = (usize, String);

pub(super) struct Recorder {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                tokio::spawn(serve(stream, number, Arc::clone(&kept)));
            }
        });
        Self { address, seen }
    }

    /// All requests but the program's own login.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, number: usize, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let end = head.len() + 4 + length.unwrap_or(0);
        if head.len() == text.len() || head.len() + 4 + body.len() < end {
            if stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                continue;
            }
            // What is no request was sent all the same.
            if !bytes.is_empty() {
                seen.lock().unwrap().push((number, text));
            }
            return;
        }
        bytes.drain(..end);
        if !head.contains("/approle/login") {
            seen.lock().unwrap().push((number, text[..end].to_owned()));
        }
        if stream.write_all(answer(head).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(head: &str) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let (status, body) = match path {
        "/v1/auth/approle/login" => (200, LOGIN),
        "/v1/auth/token/lookup-self" => (200, LOOKUP),
        "/v1/bad/lengths" => {
            return format!("{ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{{}}");
        }
        "/v1/bad/chunk" => return format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"),
        "/v1/bad/flood" => {
            let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50);
            return format!("{flood}{ok}Content-Length: 2\r\n\r\n{{}}");
        }
        "/v1/bad/fields" => return format!("{ok}{}Content-Length: 2\r\n\r\n{{}}", "A: b\r\n".repeat(150)),
        "/v1/bad/more" => return format!("{ok}Content-Length: 2\r\n\r\n{{}}HTTP/1.1 200 OK\r\n\r\n"),
        // Headers that belong to one connection.
        "/v1/hops" => {
            let hops =
                format!("Connection: X-Hop\r\nX-Hop: {HOP}\r\nKeep-Alive: {HOP}\r\nTrailer: {HOP}\r\n");
            return format!("{ok}{hops}Content-Length: 2\r\n\r\n{{}}");
        }
        _ if head.contains("s.other") => (403, r#"{"errors":["permission denied"]}"#),
        path if path.starts_with("/v1/") => (200, r#"{"data":{}}"#),
        _ => (404, "{}"),
    };
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

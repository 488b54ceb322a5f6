//! What is sent, and what is to come of it.

use std::time::Duration;

/// The request behind each row's own.
pub(super) const SECOND: &str = "GET /v1/secret/data/second HTTP/1.1\r\nHost: localhost\r\nX-Vault-Request: true\r\n\
                                 Connection: close\r\n\r\n";

/// The listeners over tcp without TLS, in the order of [`Door`].
pub(super) const LISTENERS: [&str; 10] = [
    "max_request_header_size = 4096\n max_request_headers = 30\n max_request_target = 1024\n \
     max_request_body = 2000\n max_buffered_bodies = 3000",
    "request_header_timeout = \"2s\"\n request_body_pause = \"1s\"\n request_body_timeout = \"2s\"\n idle_timeout = \"2s\"",
    "max_connections_per_client = 1",
    "max_connections = 1",
    "max_requests = 1",
    "max_requests_per_client = 1",
    "rate_limit = 1",
    "require_request_header = true",
    "allowed_hosts = [\"*\"]\n agent_api { enable_quit = true }",
    "role = \"metrics_only\"",
];

/// Which of the listeners.
#[derive(Clone, Copy)]
pub(super) enum Door {
    Main,
    Slow,
    Lone,
    Few,
    Busy,
    BusyClient,
    Rate,
    Header,
    Control,
    Metrics,
    Tls,
    /// A socket for us, and one that is not.
    Own,
    Denied,
}

/// What becomes of a request with [`SECOND`] behind it.
#[derive(Clone, Copy)]
pub(super) enum Becomes {
    /// It reaches the server, and the second one after it.
    Passed(u16),
    /// So before the recorder, and the real server is not asked.
    Recorded(u16),
    /// It reaches the server; the connection ends with its answer.
    PassedLast(u16),
    /// The server never sees it; the second one is served.
    Refused(u16),
    /// The server sees neither, and the connection is closed.
    Closed(u16),
    /// The same without a word.
    Denied,
}
use Becomes::{Closed, Denied, Passed, PassedLast, Recorded, Refused};

pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) door: Door,
    pub(super) bytes: String,
    pub(super) becomes: Becomes,
    /// What the server is sent holds these words, in lower case (`!`: does not hold them; `OURS` is our token).
    pub(super) sent: &'static [&'static str],
}

const BARE: &[&str] = &["!x-vault-token", "!OURS"];
const FIRST: &[&str] = &["get /v1/secret/data/first http/1.1\r\n", "x-vault-token: OURS"];

/// Of a plain `GET`.
const TARGETS: &[(&str, &str, Becomes, &[&str])] = &[
    ("S1 as it is", "/v1/secret/data/first", Passed(200), FIRST),
    ("S1 an encoded slash", "/v1/secret%2Fdata%2ffirst", Passed(200), FIRST),
    ("S1 encoded letters", "/%761/%73ecret/data/first", Passed(200), FIRST),
    ("S1 a slash at the end", "/v1/secret/data/first/", Passed(200), FIRST),
    ("S1 a query", "/v1/secret/data/first?version=1", Passed(200), &["get /v1/secret/data/first?version=1 "]),
    ("S1 absolute form", "http://localhost:1/v1/secret/data/first", Passed(200), FIRST),
    ("S1 absolute form, a foreign host", "http://evil.example/v1/secret/data/first", Refused(421), &[]),
    ("S1 absolute form, a user", "http://localhost@evil.example/v1/a", Refused(421), &[]),
    ("S1 an empty segment", "/v1//secret/data/first", Refused(307), &[]),
    ("S1 an encoded empty segment", "/v1/secret%2F%2fdata", Refused(307), &[]),
    ("S1 dots", "/v1/secret/../sys/seal", Closed(400), &[]),
    ("S1 one dot", "/v1/./secret", Closed(400), &[]),
    ("S1 encoded dots", "/v1/%2e%2E/sys", Closed(400), &[]),
    ("S1 dots between encoded slashes", "/v1/a%2f..%2fb", Closed(400), &[]),
    ("S1 an encoded NUL", "/v1/secret/data/first%00", Closed(400), &[]),
    ("S1 encoded line ends", "/v1/a%0d%0aX:y", Closed(400), &[]),
    ("S1 another control character", "/v1/a%1b", Closed(400), &[]),
    ("S1 a tab as it is", "/v1/a\tb", Closed(400), &[]),
    ("S1 a bad escape", "/v1/a%zz", Closed(400), &[]),
    ("S1 a bad escape in the query", "/v1/a?x=%zz", Closed(400), &[]),
    ("S1 a semicolon in the query", "/v1/a?x=a;b", Closed(400), &[]),
    ("S1 a star", "*", Closed(400), &[]),
    ("S1 authority form", "localhost:8200", Closed(400), &[]),
    ("S1 no slash", "v1/secret/data/first", Closed(400), &[]),
    ("S1 outside of the API", "/v2/secret/data/first", Passed(404), BARE),
    ("S1 what needs no token", "/v1/sys/health", Passed(200), BARE),
    ("S2 a look-up", "/v1/auth/token/lookup-self", Passed(200), &["x-vault-token: OURS"]),
    ("S2 a look-up, spelt otherwise", "/v1/auth/token/%6cookup-self/", Passed(200), &["x-vault-token: OURS"]),
    ("S4 the answer's own hops", "/v1/hops", Recorded(200), &[]),
    ("S6 two lengths", "/v1/bad/lengths", Recorded(502), &[]),
    ("S6 a chunk that is none", "/v1/bad/chunk", Recorded(502), &[]),
    ("S6 a flood of 1xx", "/v1/bad/flood", Recorded(502), &[]),
    ("S6 150 fields", "/v1/bad/fields", Recorded(502), &[]),
    ("S6 more than its length", "/v1/bad/more", Recorded(502), &[]),
];

/// More lines in the head of a `GET`.
const HEADS: &[(&str, Door, &str, Becomes, &[&str])] = &[
    ("S3 two tokens", Door::Main, "X-Vault-Token: a\r\nX-Vault-Token: b", Closed(400), &[]),
    ("S3 two tokens, one empty", Door::Main, "X-Vault-Token:\r\nX-Vault-Token: b", Closed(400), &[]),
    ("S3 a token", Door::Main, "X-Vault-Token: s.other", Passed(403), &["x-vault-token: s.other", "!OURS"]),
    ("S3 a bearer", Door::Main, "Authorization: Bearer s.other", Passed(403), &["s.other", "!OURS"]),
    ("S3 an empty token", Door::Main, "X-Vault-Token:", Passed(200), FIRST),
    ("S4 our token named", Door::Main, "Connection: X-Vault-Token", Passed(200), FIRST),
    (
        "S4 another protocol",
        Door::Main,
        "Connection: Upgrade\r\nUpgrade: h2c",
        Passed(200),
        &["!upgrade", "!h2c"],
    ),
    ("S4 nobody is introduced", Door::Main, "A: b", Passed(200), &["a: b", "!forwarded"]),
    ("S5 two hosts", Door::Main, "Host: localhost", Closed(400), &[]),
    ("S21 a page", Door::Main, "Origin: https://evil.example", Refused(403), &[]),
    ("S21 a page of nowhere", Door::Main, "Origin: null", Refused(403), &[]),
    ("S21 an own page", Door::Main, "Origin: http://localhost:3000", Passed(200), FIRST),
    ("S21 another site", Door::Main, "Sec-Fetch-Site: cross-site", Refused(403), &[]),
    ("S21 any page, where they may", Door::Control, "Origin: https://evil.example", Passed(200), FIRST),
    ("S22 no header", Door::Header, "A: b", Refused(412), &[]),
    ("S22 another value", Door::Header, "X-Vault-Request: True", Refused(412), &[]),
    ("S22 twice", Door::Header, "X-Vault-Request: true\r\nX-Vault-Request: true", Refused(412), &[]),
    ("S22 the header", Door::Header, "X-Vault-Request: true", Passed(200), FIRST),
    ("S24 our user", Door::Own, "A: b", Passed(200), FIRST),
    ("S24 another user", Door::Denied, "A: b", Denied, &[]),
];

/// S5: lines in the head of a `POST`, and what follows. All are 400, and closed.
const FRAMING: &[(&str, &str, &str)] = &[
    ("S5 both lengths", "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    ("S5 both lengths, the other way", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
    ("S5 two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    ("S5 a list of codings", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
    ("S5 an unknown coding", "Transfer-Encoding: xchunked", "0\r\n\r\n"),
    ("S5 two lengths", "Content-Length: 0\r\nContent-Length: 5", "hello"),
    ("S5 a list of lengths", "Content-Length: 5, 5", "hello"),
    ("S5 a sign", "Content-Length: +5", "hello"),
    ("S5 a space in a length", "Content-Length: 1 0", "hello"),
    ("S5 a space before the colon", "Content-Length : 0", ""),
    ("S5 a folded header", "X: a\r\n Transfer-Encoding: chunked", "0\r\n\r\n"),
    ("S5 a bare line feed", "X: a\nContent-Length: 5", "hello"),
    ("S5 a bare carriage return", "X: a\rContent-Length: 5", "hello"),
    ("S5 a NUL", "X: a\0b", ""),
    ("S5 a chunk that is none", "Transfer-Encoding: chunked", "x\r\n"),
    (
        "S5 a chunk size that overflows",
        "Transfer-Encoding: chunked",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("S5 a signed chunk size", "Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n"),
    ("S5 a chunk longer than it says", "Transfer-Encoding: chunked", "4\r\nhello\r\n0\r\n\r\n"),
    ("S5 a chunk size and a line feed", "Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n"),
    ("S5 a trailer that is none", "Transfer-Encoding: chunked", "0\r\nGET / HTTP/1.1\r\n\r\n"),
];

/// The table.
pub(super) fn rows() -> Vec<Row> {
    let row = |id, door, bytes, becomes| Row { id, door, bytes, becomes, sent: &[] };
    let main = |id, bytes: &str, becomes| row(id, Door::Main, bytes.to_owned(), becomes);
    let mut rows: Vec<Row> = TARGETS
        .iter()
        .map(|(id, target, becomes, sent)| Row { sent, ..main(id, &get(target), *becomes) })
        .collect();
    rows.extend(HEADS.iter().map(|(id, door, lines, becomes, sent)| {
        let bytes = format!("GET /v1/secret/data/first HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n");
        Row { sent, ..row(id, *door, bytes, *becomes) }
    }));
    rows.extend(FRAMING.iter().map(|(id, lines, body)| main(id, &post(lines, body), Closed(400))));
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    let sized = |size: usize| post(&format!("Content-Length: {size}"), "");
    let control = |name: &str, lines: &str| format!("{name} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    let clear = "Content-Type: text/plain\r\nContent-Length: 14\r\n\r\n{\"type\":\"all\"}";
    rows.extend([
        main("S1 CONNECT", "CONNECT localhost:8200 HTTP/1.1\r\nHost: localhost\r\n\r\n", Closed(405)),
        main("S1 OPTIONS of everything", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", Closed(400)),
        main("S2 a wrapped look-up", &control("GET /v1/auth/token/lookup-self", "X-Vault-Wrap-TTL: 60s\r\n"), Refused(403)),
        main("S5 no host", "GET /v1/secret/data/first HTTP/1.1\r\n\r\n", Closed(400)),
        main("S5 old and chunked", "POST /v1/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Closed(400)),
        main("S5 old", "GET /v1/secret/data/first HTTP/1.0\r\n\r\n", PassedLast(200)),
        main("S5 a newer version", "GET /v1/secret/data/first HTTP/2.0\r\nHost: localhost\r\n\r\n", Closed(505)),
        main("S5 a long extension", &chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(257))), Closed(400)),
        main("S5 long trailers", &chunked(&format!("0\r\nA: {}\r\n\r\n", "a".repeat(9000))), Closed(400)),
        main("S10 a long head", &control("GET /v1/a", &format!("A: {}\r\n", "a".repeat(4096))), Closed(431)),
        main("S10 many fields", &control("GET /v1/a", &"A: b\r\n".repeat(30)), Closed(431)),
        main("S11 a long target", &get(&format!("/v1/{}", "a".repeat(1021))), Closed(414)),
        main("S12 a long body, announced", &sized(2001), Closed(413)),
        main("S12 an endless body, announced", &sized(10_000_000_000), Closed(413)),
        main("S12 a long body in chunks", &chunked(&format!("7d1\r\n{}\r\n0\r\n\r\n", "x".repeat(2001))), Closed(413)),
        main("S20 a foreign host", "GET /v1/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", Refused(421)),
        main("S20 a foreign host like ours", "GET /v1/a HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", Refused(421)),
        main("S20 an address", "GET /v1/secret/data/first HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", Passed(200)),
        main("S21 a preflight", &control("OPTIONS /v1/a", "Access-Control-Request-Method: PUT\r\n"), Refused(403)),
        main("S23 quit, not offered", &control("POST /agent/v1/quit", ""), Refused(404)),
        main("S23 cache-clear for a page", &control("POST /agent/v1/cache-clear", "Origin: null\r\n"), Refused(403)),
        row("S22 own endpoints", Door::Header, control("POST /agent/v1/cache-clear", ""), Refused(412)),
        row("S23 quit by GET", Door::Control, control("GET /agent/v1/quit", ""), Refused(405)),
        row("S23 quit for a form", Door::Control, control("POST /agent/v1/quit", "Content-Type: text/plain\r\n"), Refused(415)),
        row("S23 cache-clear for a form", Door::Control, format!("POST /agent/v1/cache-clear HTTP/1.1\r\nHost: localhost\r\n{clear}"), Closed(415)),
        Row {
            sent: &["x-vault-token: OURS", "!x-named", "!keep-alive", "!\nte:", "!transfer-encoding", "!proxy-", "!trailer", "{\"data\":{}}"],
            ..main(
                "S4 hops",
                "POST /v1/secret/data/first HTTP/1.1\r\nHost: localhost\r\nConnection: X-Named\r\nX-Named: 1\r\n\
                 Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n\
                 b\r\n{\"data\":{}}\r\n0\r\nX: y\r\n\r\n",
                Passed(200),
            )
        },
    ]);
    rows
}

/// What is sent at once, and byte by byte with a pause before each; the statuses, and how long the connection lives at
/// least.
pub(super) type Slow = (&'static str, &'static str, &'static str, &'static [u16], Duration);

const ONE: Duration = Duration::from_secs(1);
const TWO: Duration = Duration::from_secs(2);
const IDLE: &str = "GET /v1/secret/data/first HTTP/1.1\r\nHost: localhost\r\n\r\n";
const BODY: &str = "POST /v1/secret/data/first HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n";

pub(super) const SLOW: &[Slow] = &[
    ("S15 nothing", "", "", &[], TWO),
    ("S15 half a head", "GET /v1/secret/da", "", &[], TWO),
    ("S15 a head byte by byte", "", "GET /", &[], TWO),
    ("S16 a body that pauses", BODY, "", &[408], ONE),
    ("S16 a body byte by byte", BODY, "{\"data\"", &[408], TWO),
    ("S17 an idle connection", IDLE, "", &[200], TWO),
];

/// A plain request for `target`.
pub(super) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// One with a body.
pub(super) fn post(lines: &str, body: &str) -> String {
    format!("POST /v1/secret/data/first HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n{body}")
}

/// A greeting of TLS 1.`minor - 1` with what 1.2 needs, so that the version alone makes a difference.
pub(super) fn hello(minor: u8) -> Vec<u8> {
    // Suites, one compression, and the extensions: curves, forms of points, signatures.
    const REST: &[u8] = b"\0\x04\xc0\x2b\xc0\x2f\x01\0\0\x16\0\x0a\0\x04\0\x02\0\x17\0\x0b\0\x02\x01\0\0\x0d\0\x04\0\x02\x04\x03";
    let body = [&[3, minor][..], &[7; 32], &[0], REST].concat();
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body[..]].concat()
}

//! S5: bytes that two readers could read differently are refused, and nothing behind them is read.

use super::{Front, get};
use crate::breach::Breach;

/// Behind a head `POST /v1/first`: the other headers, and the body up to the second request.
const SHAPES: &[(&str, &str, &str)] = &[
    ("both lengths", "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    ("both lengths, the other way", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
    ("two lengths", "Content-Length: 0\r\nContent-Length: 5", "hello"),
    ("two equal lengths", "Content-Length: 5\r\nContent-Length: 5", "hello"),
    ("a list of lengths", "Content-Length: 5, 5", "hello"),
    ("a plus sign", "Content-Length: +5", "hello"),
    ("a minus sign", "Content-Length: -5", "hello"),
    ("a hexadecimal length", "Content-Length: 0x5", "hello"),
    ("a space in a length", "Content-Length: 1 0", "hello"),
    ("no length", "Content-Length:", ""),
    ("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    (
        "two codings, one of them none",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "0\r\n\r\n",
    ),
    ("a list of codings", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
    ("chunked not last", "Transfer-Encoding: chunked, gzip", "0\r\n\r\n"),
    ("an empty coding in the list", "Transfer-Encoding: ,chunked", "0\r\n\r\n"),
    ("identity", "Transfer-Encoding: identity", ""),
    ("an unknown coding", "Transfer-Encoding: xchunked", "0\r\n\r\n"),
    ("a quoted coding", "Transfer-Encoding: \"chunked\"", "0\r\n\r\n"),
    ("a vertical tab", "Transfer-Encoding: \u{b}chunked", "0\r\n\r\n"),
    ("a space before the colon", "Content-Length : 0", ""),
    ("a tab before the colon", "Transfer-Encoding\t: chunked", "0\r\n\r\n"),
    ("a folded header", "X: a\r\n Transfer-Encoding: chunked", "0\r\n\r\n"),
    ("a folded header, tab", "Transfer-Encoding:\r\n\tchunked", "0\r\n\r\n"),
    ("a leading space", " Content-Length: 0", ""),
    ("a bare carriage return", "X: a\rContent-Length: 5", "hello"),
    ("a bare line feed", "X: a\nContent-Length: 5", "hello"),
    ("a NUL", "X: a\0b", ""),
    ("another control character", "X: a\u{1}b", ""),
    ("a header without a name", ": x", ""),
    ("a header without a colon", "Content-Length", ""),
    ("a NUL in a name", "Content\0-Length: 5", "hello"),
    ("a name beyond ASCII", "Content-L\u{e9}ngth: 5", "hello"),
    ("two hosts", "Host: localhost", ""),
    ("a chunk that is none", "Transfer-Encoding: chunked", "x\r\n"),
    ("an empty chunk size", "Transfer-Encoding: chunked", "\r\nhello\r\n0\r\n\r\n"),
    ("a signed chunk size", "Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size of 0x", "Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a space before a chunk size", "Transfer-Encoding: chunked", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a space behind a chunk size", "Transfer-Encoding: chunked", "5 \r\nhello\r\n0\r\n\r\n"),
    ("a chunk size that overflows", "Transfer-Encoding: chunked", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size full of zeros", "Transfer-Encoding: chunked", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size behind a line feed", "Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n"),
    ("a chunk longer than it says", "Transfer-Encoding: chunked", "4\r\nhello\r\n0\r\n\r\n"),
    ("a chunk that ends in a line feed", "Transfer-Encoding: chunked", "5\r\nhello\n0\r\n\r\n"),
    ("a chunk that ends in nothing", "Transfer-Encoding: chunked", "5\r\nhello0\r\n\r\n"),
    ("a line feed in an extension", "Transfer-Encoding: chunked", "5;a\nhello\r\n0\r\n\r\n"),
    ("the end behind a line feed", "Transfer-Encoding: chunked", "0\r\n\n"),
    ("a folded trailer", "Transfer-Encoding: chunked", "0\r\nA: b\r\n c\r\n\r\n"),
    ("a trailer without a colon", "Transfer-Encoding: chunked", "0\r\nGET / HTTP/1.1\r\n\r\n"),
    ("a trailer with a line feed", "Transfer-Encoding: chunked", "0\r\nA: b\n\r\n"),
];

#[tokio::test(start_paused = true)]
async fn s05_the_second_request_is_never_seen() {
    assert!(SHAPES.len() >= 25);
    for (what, headers, body) in SHAPES {
        let front = Front::new();
        let second = get("/v1/second");
        let text =
            format!("POST /v1/first HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}{second}{second}");
        // At once, and byte by byte.
        let mut drip = front.connect();
        for byte in text.as_bytes() {
            drip.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        for answer in [front.ask(&text).await, drip.hear().await] {
            assert_eq!((answer.statuses(), answer.closed), (vec![400], true), "{what}: {}", answer.text);
        }
        // A request whose body is broken did not arrive.
        assert_eq!(front.seen(), Vec::<String>::new(), "{what}");
        assert_eq!(front.counters().breaches(Breach::Framing("")), 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn s05_request_lines_are_strict() {
    for line in [
        "GET /v1/first HTTP/1.1 ",
        " GET /v1/first HTTP/1.1",
        "GET  /v1/first HTTP/1.1",
        "GET\t/v1/first HTTP/1.1",
        "GET /v1/first",
        "GET /v1/first HTTP/1.",
        "GET /v1/first http/1.1",
        "GET /v1/first HTTP/1.1\r",
        "GET /v1/first XTTP/1.1",
        "G(T /v1/first HTTP/1.1",
        "GET",
        "",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        let front = Front::new();
        let text = format!("\r\n{line}\r\nHost: localhost\r\n\r\n{}", get("/v1/second"));
        let answer = front.ask(text).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![400], true), "{line:?}: {}", answer.text);
        assert_eq!(front.seen(), Vec::<String>::new(), "{line:?}");
    }
    for (line, status) in [("GET /v1/first HTTP/2.0", 505), ("PRI * HTTP/2.0", 505), ("GET / HTTP/0.9", 505)]
    {
        let answer = Front::new().ask(format!("{line}\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![status], true), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s05_hosts_and_old_versions() {
    for (head, status) in [
        ("GET /v1/first HTTP/1.1\r\n\r\n", 400),
        ("POST /v1/first HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /v1/first HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /v1/first HTTP/1.0\r\n\r\n", 200),
        ("GET /v1/first HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
    ] {
        let front = Front::new();
        let answer = front.ask(format!("{head}{}", get("/v1/second"))).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![status], true), "{head:?}");
        assert_eq!(front.seen().len(), usize::from(status == 200), "{head:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s05_answers_to_earlier_requests_are_kept() {
    let front = Front::new();
    front.takes(std::time::Duration::from_millis(100));
    let bad = "GET /v1/bad HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n";
    let answer = front.ask(format!("{}{}{bad}{}", get("/v1/1"), get("/v1/2"), get("/v1/3"))).await;
    assert_eq!((answer.statuses(), answer.closed), (vec![200, 200, 400], true), "{}", answer.text);
    assert_eq!(front.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn s05_extensions_and_trailers_have_their_bounds() {
    let post = "POST /v1/first HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, status) in [
        (format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(255)), 200),
        (format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(256)), 400),
        (format!("5\r\nhello\r\n0;{}\r\n\r\n", "a".repeat(256)), 400),
        (format!("0\r\nA: {}\r\n\r\n", "a".repeat(8000)), 200),
        (format!("0\r\nA: {}\r\n\r\n", "a".repeat(8 * 1024)), 400),
        (format!("0\r\n{}\r\n", "A: b\r\n".repeat(1400)), 400),
    ] {
        let front = Front::new();
        let answer = front.ask(format!("{post}{body}{}", get("/v1/second"))).await;
        let want = if status == 200 { vec![200, 200] } else { vec![status] };
        assert_eq!(answer.statuses(), want, "{}: {}", &body[..20], answer.text);
        assert_eq!(front.seen().len(), if status == 200 { 2 } else { 0 });
    }
}

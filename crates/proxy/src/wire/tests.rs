//! The strict reader alone: shapes, and that cutting the bytes differently changes nothing.

use proptest::prelude::*;

use super::framing::Taken;
use super::{Framing, Limits};
use crate::breach::Breach;

const LIMITS: Limits = Limits { header_size: 4096, headers: 10, target: 512, body: 1000 };

/// Feeds `bytes` in the given cuts; what was handed on, how many heads, what was wrong.
fn feed(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, u64, Option<Breach>) {
    let mut framing = Framing::new(LIMITS);
    let (mut held, mut out, mut heads, mut at) = (Vec::new(), Vec::new(), 0, 0);
    let ends = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]);
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable();
    for end in ends {
        held.extend_from_slice(&bytes[at..end]);
        at = end;
        let Taken { ready, heads: more, breach, .. } = framing.take(&held);
        out.extend(held.drain(..ready));
        heads += more;
        if breach.is_some() {
            return (out, heads, breach);
        }
    }
    (out, heads, None)
}

#[test]
fn requests_in_order_pass() {
    let get = "GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n";
    for (text, heads) in [
        (get.to_owned(), 1),
        (get.repeat(3), 3),
        (format!("\r\n{get}"), 1),
        (format!("POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello{get}"), 2),
        (format!("POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length:\t 0 \r\n\r\n{get}"), 2),
        (
            format!(
                "PUT /v1/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n00A;x=y\r\n0123456789\r\n0\r\nA: b\r\nC: \r\n\r\n{get}"
            ),
            2,
        ),
        ("GET /v1/a HTTP/1.0\r\n\r\n".to_owned(), 1),
        ("GET http://x/v1/\u{e9} HTTP/1.1\r\nHost: x\r\nA: \u{e9}\t\r\nEmpty:\r\n\r\n".to_owned(), 1),
    ] {
        assert_eq!(feed(text.as_bytes(), &[]), (text.clone().into_bytes(), heads, None), "{text:?}");
    }
}

#[test]
fn a_head_is_handed_on_whole() {
    let mut framing = Framing::new(LIMITS);
    let text = b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n";
    for end in 1..text.len() {
        assert_eq!(framing.take(&text[..end]), Taken::default(), "{end}");
        assert!(framing.head_has_begun());
    }
    assert_eq!(framing.take(text), Taken { ready: text.len(), heads: 1, ..Taken::default() });
    assert!(!framing.head_has_begun());
}

#[test]
fn sizes_are_bounded_to_the_byte() {
    let head = |filler: usize| format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(filler));
    let most = LIMITS.header_size - head(0).len();
    assert_eq!(feed(head(most).as_bytes(), &[]).2, None);
    for cuts in [&[][..], &[100, 4000]] {
        assert_eq!(feed(head(most + 1).as_bytes(), cuts).2, Some(Breach::HeaderSize));
    }
    // It need not end for that.
    assert_eq!(feed(&head(most + 9).as_bytes()[..LIMITS.header_size + 1], &[]).2, Some(Breach::HeaderSize));

    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(length - 1));
    assert_eq!(feed(target(LIMITS.target).as_bytes(), &[]).2, None);
    assert_eq!(feed(target(LIMITS.target + 1).as_bytes(), &[]).2, Some(Breach::TargetSize));
    assert_eq!(feed(&target(600).as_bytes()[..590], &[]).2, Some(Breach::TargetSize));

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(feed(fields(LIMITS.headers).as_bytes(), &[]).2, None);
    assert_eq!(feed(fields(LIMITS.headers + 1).as_bytes(), &[]).2, Some(Breach::HeaderCount));

    let length = |length: &str| format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(feed(length("1000").as_bytes(), &[]).2, None);
    for too_much in ["1001", "18446744073709551617", "99999999999999999999999999"] {
        assert_eq!(feed(length(too_much).as_bytes(), &[]).2, Some(Breach::BodySize));
    }
    let chunks = |size: usize| {
        format!(
            "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1F4\r\n{}\r\n{size:x}\r\n",
            "a".repeat(500)
        )
    };
    assert_eq!(feed(chunks(500).as_bytes(), &[]).2, None);
    assert_eq!(feed(chunks(501).as_bytes(), &[]).2, Some(Breach::BodySize));
}

/// Pieces that make requests, good and bad ones.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "A: b\r\n",
        "\r\n",
        "abc",
        "3\r\nabc\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "2;x\r\nab\r\n",
        "T: v\r\n",
        "\n",
        " x",
        "\r",
        "Upgrade: websocket\r\n",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    /// Where the network cuts the bytes makes no difference.
    #[test]
    fn cuts_do_not_matter(bytes in pieces(), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        prop_assert_eq!(feed(&bytes, &cuts), feed(&bytes, &[]));
    }

    /// What is handed on is what came, in order, up to what was refused.
    #[test]
    fn bytes_are_not_changed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (out, _, _) = feed(&bytes, &[]);
        prop_assert!(bytes.starts_with(&out));
    }
}

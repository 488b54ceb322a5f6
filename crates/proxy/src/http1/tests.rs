//! The strict reader alone: shapes, and that cutting the bytes differently changes nothing.

use proptest::prelude::*;

use bytes::BytesMut;

use super::framing::{Fault, Framing};
use super::head::{Body, HeadScan, Limits};
use crate::breach::Breach;

const LIMITS: Limits = Limits { header_size: 4096, headers: 10, target: 512, body: 1000 };

/// Reads requests one behind the other, as a connection does.
#[derive(Default)]
struct Reader {
    input: BytesMut,
    scan: HeadScan,
    body: Option<Framing>,
    /// Heads and data of bodies.
    out: Vec<u8>,
    heads: u64,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        self.input.extend_from_slice(bytes);
        loop {
            if let Some(framing) = &mut self.body {
                match framing.next(&mut self.input, &LIMITS) {
                    Ok(Some(data)) => self.out.extend(data),
                    Ok(None) if framing.is_over() => self.body = None,
                    Ok(None) => return Ok(()),
                    Err(Fault::Refused(breach)) => return Err(breach),
                    Err(fault) => panic!("{fault}"),
                }
            } else {
                let Some(head) = self.scan.scan(&self.input, &LIMITS)? else { return Ok(()) };
                self.out.extend(self.input.split_to(head.end));
                self.heads += 1;
                self.scan = HeadScan::default();
                self.body = Some(match head.body {
                    Body::Length(0) => Framing::Over,
                    Body::Length(length) => Framing::Length(length),
                    Body::Chunked => Framing::chunked(),
                });
            }
        }
    }
}

/// Feeds `bytes` in the given cuts; what was read, how many heads, what was wrong.
fn feed(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, u64, Option<Breach>) {
    let (mut reader, mut at) = (Reader::default(), 0);
    let ends = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]);
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable();
    for end in ends {
        if let Err(breach) = reader.take(&bytes[at..end]) {
            return (reader.out, reader.heads, Some(breach));
        }
        at = end;
    }
    (reader.out, reader.heads, None)
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
        let (out, found, breach) = feed(text.as_bytes(), &[]);
        assert_eq!((found, breach), (heads, None), "{text:?}");
        let data = text.replace(
            "\r\n5\r\nhello\r\n00A;x=y\r\n0123456789\r\n0\r\nA: b\r\nC: \r\n\r\n",
            "\r\nhello0123456789",
        );
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(data.as_bytes()));
    }
}

#[test]
fn a_head_is_read_whole() {
    let mut scan = HeadScan::default();
    let text = b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n";
    for end in 1..text.len() {
        assert_eq!(scan.scan(&text[..end], &LIMITS), Ok(None), "{end}");
        assert!(scan.has_begun());
    }
    let head = scan.scan(text, &LIMITS).unwrap().unwrap();
    assert_eq!((head.start, head.end, head.fields, head.body), (0, text.len(), 1, Body::Length(0)));
    assert!(head.keep && head.modern && !head.upgrade && !head.expects);
    // What a client may send behind a body is not the beginning of a request.
    let mut scan = HeadScan::default();
    assert_eq!(scan.scan(b"\r\n", &LIMITS), Ok(None));
    assert!(!scan.has_begun());
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

    /// What is read is what came, in order.
    #[test]
    fn nothing_is_made_up(bytes in pieces()) {
        let (out, _, _) = feed(&bytes, &[]);
        let mut rest = bytes.iter();
        prop_assert!(out.iter().all(|byte| rest.any(|other| other == byte)));
    }
}

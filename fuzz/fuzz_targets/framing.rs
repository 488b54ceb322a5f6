//! A whole HTTP/1 connection: the server sees no more requests than a strict reader finds in the bytes, nothing stays
//! behind, and every connection ends.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::{Outcome, connection};

/// What smuggling is made of.
const PIECES: &[&str] = &[
    "GET /v1/a HTTP/1.1\r\n",
    "POST /v1/b HTTP/1.1\r\n",
    "PUT /v1/c HTTP/1.0\r\n",
    "HEAD http://localhost/v1/d?x=1 HTTP/1.1\r\n",
    "Host: localhost\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X-Vault-Token: s.x\r\n",
    "X-Long: ",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    "hello",
    "5\r\nhello\r\n",
    "5;a=b\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "ffffffffffffffff\r\n",
    "GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    "POST /v1/b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

#[derive(Debug)]
struct Stream(Vec<Vec<u8>>);

impl<'a> Arbitrary<'a> for Stream {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut writes = vec![Vec::new()];
        for _ in 0..bytes.int_in_range(1..=24)? {
            let piece = match bytes.int_in_range(0..=9)? {
                0 => bytes.arbitrary::<Vec<u8>>()?,
                1 => vec![b'x'; bytes.int_in_range(1..=70_000)?],
                _ => bytes.choose(PIECES)?.as_bytes().to_vec(),
            };
            if bytes.ratio(1, 4)? {
                writes.push(Vec::new());
            }
            if let Some(write) = writes.last_mut() {
                // A part of it, now and then: what is cut must come to the same.
                if bytes.ratio(1, 8)? {
                    let cut = bytes.int_in_range(0..=piece.len())?;
                    write.extend_from_slice(&piece[..cut]);
                    writes.push(piece[cut..].to_vec());
                } else {
                    write.extend_from_slice(&piece);
                }
            }
        }
        Ok(Self(writes))
    }
}

/// How many requests a strict reader finds, and how many bytes of bodies; it stops at the first doubt.
fn strict(mut rest: &[u8]) -> (usize, usize) {
    let (mut requests, mut bodies) = (0, 0);
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { return (requests, bodies) };
        let (head, behind) = (&rest[..end], &rest[end + 4..]);
        let Some(body) = delimited(head, behind) else { return (requests, bodies) };
        requests += 1;
        bodies += body.1;
        rest = &behind[body.0..];
    }
}

/// Length on the wire and as data of the body behind a head; `None` when it is in doubt or not all there.
fn delimited(head: &[u8], behind: &[u8]) -> Option<(usize, usize)> {
    let head = std::str::from_utf8(head).ok().map(str::to_owned).unwrap_or_else(|| {
        head.iter().map(|byte| char::from(*byte)).collect()
    });
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let [_, _, version] = words[..] else { return None };
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines {
        if line.contains(['\r', '\n', '\0']) {
            return None;
        }
        let (name, value) = line.split_once(':')?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return None;
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim_matches([' ', '\t']).to_owned()),
            "transfer-encoding" => codings.push(value.trim_matches([' ', '\t']).to_ascii_lowercase()),
            _ => {}
        }
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => Some((0, 0)),
        ([length], []) => {
            let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = length.parse::<usize>().ok().filter(|_| digits)?;
            (behind.len() >= length).then_some((length, length))
        }
        ([], [coding]) if coding == "chunked" && version == "HTTP/1.1" => chunked(behind),
        _ => None,
    }
}

fn chunked(body: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut data) = (0, 0);
    let line = |at: usize| {
        let rest = body.get(at..)?;
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        Some((&rest[..end], at + end + 2))
    };
    loop {
        let (size, next) = line(at)?;
        let size = std::str::from_utf8(size.split(|byte| *byte == b';').next()?).ok()?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        if body.get(at.checked_add(size)?..)?.get(..2)? != b"\r\n" {
            return None;
        }
        (at, data) = (at + size + 2, data + size);
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some((at, data));
        }
    }
}

fuzz_target!(|stream: Stream| {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let pieces: Vec<&[u8]> = stream.0.iter().map(Vec::as_slice).collect();
    let Outcome { targets, bytes, closed, answers, left_over } = runtime.block_on(connection(&pieces, false));
    let (requests, bodies) = strict(&pieces.concat());
    assert!(targets.len() <= requests, "{} requests seen, {requests} sent: {targets:?}", targets.len());
    assert!(bytes <= bodies, "{bytes} bytes seen, {bodies} sent");
    assert!(closed, "it never ends");
    assert_eq!(left_over, (0, 0));
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."));
});

//! The head of a request written and the head of an answer read: pure.
//!
//! Reading is strict: an answer that two readers could read differently is no answer, whoever sent it. See
//! [`AnswerHead::read`] for what is refused.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use memchr::{memchr, memchr_iter};
use thiserror::Error;

/// Longest head of an answer.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// Room for the fields that servers send, and one more; beyond it the map would double.
const USUAL_FIELDS: usize = 12;

/// Most fields in it.
pub(crate) const MAX_FIELDS: usize = 100;

/// What makes an answer none: the connection is in doubt from there on.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("malformed answer: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framed {
    /// There is none.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Until its last chunk.
    Chunked,
}

/// What a request's head is made of.
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    /// Path before the target, for servers behind a gateway.
    pub(crate) prefix: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a HeaderValue,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Framed,
    /// `Connection: close`.
    pub(crate) last: bool,
    /// Asks for a WebSocket.
    pub(crate) upgrade: bool,
}

impl RequestHead<'_> {
    /// Writes it to the end of `out`.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.extend_from_slice(b" ");
        write_target(out, self.prefix);
        write_target(out, self.target);
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(self.host.as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.headers {
            // Ours to say, whatever a caller put there.
            if matches!(*name, header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
                continue;
            }
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match self.body {
            Framed::Nothing => {}
            Framed::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Framed::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        if self.upgrade {
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        } else if self.last {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A target is a path and a query already; what would end it or the line is escaped, wherever it comes from.
fn write_target(out: &mut BytesMut, target: &str) {
    let bad = |byte: &u8| *byte <= b' ' || matches!(*byte, 0x7f | b'#');
    if !target.as_bytes().iter().any(bad) {
        out.extend_from_slice(target.as_bytes());
        return;
    }
    for byte in target.bytes() {
        if bad(&byte) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.extend_from_slice(&[byte]);
        }
    }
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// So many bytes; none for answers that cannot have a body.
    Length(u64),
    /// Until its last chunk.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// The connection may take another request afterwards.
    pub(crate) keep: bool,
}

impl AnswerHead {
    /// Takes a head from the front of `input`; `None` when it has not arrived whole.
    ///
    /// # Errors
    /// More than [`MAX_HEAD`] bytes or [`MAX_FIELDS`] fields; lines that do not end in CRLF; folded lines;
    /// `Content-Length` beside `Transfer-Encoding`, or more than one of either; another coding than `chunked`;
    /// a length that is no number.
    pub(crate) fn read(input: &mut BytesMut, asked: &Method) -> Result<Option<Self>, Malformed> {
        let Some(end) = end(input)? else {
            return if input.len() > MAX_HEAD {
                Err(Malformed("a head of more than 64 KiB"))
            } else {
                Ok(None)
            };
        };
        if end > MAX_HEAD {
            return Err(Malformed("a head of more than 64 KiB"));
        }
        // A copy of its own: the fields live longer than the buffer should wait for them, and it serves the next
        // request on this connection.
        let head = Bytes::copy_from_slice(input.get(..end).unwrap_or_default());
        input.advance(end);
        let mut lines =
            head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (modern, status) = status_line(lines.next().unwrap_or_default())?;
        let mut fields = Fields::default();
        let mut headers = HeaderMap::with_capacity(USUAL_FIELDS);
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = field(&head, line)?;
            if fields.note(&name, &value)? {
                headers.append(name, value);
            }
            if headers.len() > MAX_FIELDS {
                return Err(Malformed("more than 100 fields"));
            }
        }
        for name in &fields.named {
            headers.remove(name);
        }
        let framing = fields.framing(modern, status, asked)?;
        let keep = modern && framing != Framing::UntilClose && !fields.close;
        Ok(Some(Self { status, headers, framing, keep }))
    }
}

/// Where the head ends: behind its empty line. What will never be a head is told at once.
fn end(input: &[u8]) -> Result<Option<usize>, Malformed> {
    const START: &[u8] = b"HTTP/1.";
    if !input.iter().zip(START).all(|(byte, wanted)| byte == wanted) {
        return Err(Malformed("a head that is no HTTP"));
    }
    for at in memchr_iter(b'\n', input) {
        if at == 0 || input.get(at - 1) != Some(&b'\r') {
            return Err(Malformed("lines that do not end in CRLF"));
        }
        if input.get(at + 1..at + 3) == Some(b"\r\n") {
            return Ok(Some(at + 3));
        }
    }
    Ok(None)
}

/// `HTTP/1.1 200 OK`: whether it is 1.1, and the status.
fn status_line(line: &[u8]) -> Result<(bool, StatusCode), Malformed> {
    const BAD: Malformed = Malformed("a head that is no HTTP");
    let (version, rest) = line.split_at_checked(9).ok_or(BAD)?;
    let modern = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return Err(BAD),
    };
    let (code, reason) = rest.split_at_checked(3).ok_or(BAD)?;
    if !matches!(reason.first(), None | Some(b' '))
        || reason.iter().any(|byte| *byte < b' ' && *byte != b'\t')
    {
        return Err(BAD);
    }
    StatusCode::from_bytes(code).map(|status| (modern, status)).map_err(|_| Malformed("no status"))
}

/// One line: a name and a value, which is a part of the head, not a copy of it.
fn field(head: &Bytes, line: &[u8]) -> Result<(HeaderName, HeaderValue), Malformed> {
    let colon = memchr(b':', line).ok_or(Malformed("a field without a colon"))?;
    let name = HeaderName::from_bytes(line.get(..colon).unwrap_or_default());
    let value = match line.get(colon + 1..).unwrap_or_default().trim_ascii() {
        [] => HeaderValue::from_static(""),
        value => HeaderValue::from_maybe_shared(head.slice_ref(value))
            .map_err(|_| Malformed("a bad field value"))?,
    };
    Ok((name.map_err(|_| Malformed("a bad field name"))?, value))
}

/// What fields say of the body and of the connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    /// What else `Connection` names: it is about this connection, too.
    named: Vec<HeaderName>,
}

impl Fields {
    /// Says whether the field is of the answer: one that is about the connection ends here.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Malformed> {
        let value = value.as_bytes();
        match *name {
            header::CONTENT_LENGTH => {
                let length = number(value).ok_or(Malformed("a Content-Length that is no number"))?;
                if self.length.replace(length).is_some() {
                    return Err(Malformed("more than one Content-Length or Transfer-Encoding"));
                }
            }
            header::TRANSFER_ENCODING => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed("a Transfer-Encoding other than chunked"));
                }
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Malformed("more than one Content-Length or Transfer-Encoding"));
                }
            }
            header::CONNECTION => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if token.eq_ignore_ascii_case(b"close") {
                        self.close = true;
                    } else if !token.eq_ignore_ascii_case(b"keep-alive")
                        && !token.eq_ignore_ascii_case(b"upgrade")
                        && let Ok(name) = HeaderName::from_bytes(token)
                    {
                        self.named.push(name);
                    }
                }
                return Ok(false);
            }
            _ => return Ok(name.as_str() != "keep-alive"),
        }
        Ok(*name != header::TRANSFER_ENCODING)
    }

    fn framing(&self, modern: bool, status: StatusCode, asked: &Method) -> Result<Framing, Malformed> {
        if self.length.is_some() && self.chunked {
            return Err(Malformed("both Content-Length and Transfer-Encoding"));
        }
        if self.chunked && !modern {
            return Err(Malformed("a Transfer-Encoding other than chunked"));
        }
        let bodiless = *asked == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match self.length {
            _ if bodiless => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None if self.chunked => Framing::Chunked,
            None => Framing::UntilClose,
        })
    }
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().map(|digit| digit.is_ascii_digit().then(|| u64::from(digit - b'0')));
    let mut number = None;
    for digit in digits {
        number = Some(number.unwrap_or(0_u64).checked_mul(10)?.checked_add(digit?)?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<AnswerHead>, Malformed> {
        AnswerHead::read(&mut BytesMut::from(text), &Method::GET)
    }

    #[test]
    fn a_request_is_written_as_it_is_meant() {
        let mut headers = HeaderMap::new();
        headers.insert("x-vault-token", HeaderValue::from_static("s.t"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("99"));
        let host = HeaderValue::from_static("vault:8200");
        let mut out = BytesMut::new();
        RequestHead {
            method: &Method::PUT,
            prefix: "/gw",
            target: "/v1/a b\r\nx: y#z?q=1",
            host: &host,
            headers: &headers,
            body: Framed::Length(1234567890),
            last: false,
            upgrade: false,
        }
        .write(&mut out);
        let said = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(
            said,
            "PUT /gw/v1/a%20b%0D%0Ax:%20y%23z?q=1 HTTP/1.1\r\nhost: vault:8200\r\nx-vault-token: s.t\r\ncontent-length: 1234567890\r\n\r\n"
        );
    }

    #[test]
    fn heads_are_read() {
        let head = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA:  b \r\n\r\nhello").unwrap().unwrap();
        assert_eq!((head.status.as_u16(), head.framing, head.keep), (200, Framing::Length(5), true));
        assert_eq!(head.headers["a"], "b");
        let text = "HTTP/1.1 200 OK\r\nB: 1\r\nConnection: b, Keep-Alive\r\nKeep-Alive: 5\r\nA: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
        let names = |head: AnswerHead| head.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(read(text).unwrap().unwrap()), ["a"]);
        for (text, framing, keep) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Framing::Length(1), false),
            ("HTTP/1.1 204 No\r\n\r\n", Framing::Length(0), true),
            ("HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", Framing::Length(0), true),
            (
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n",
                Framing::Length(1),
                false,
            ),
        ] {
            let head = read(text).unwrap().unwrap();
            assert_eq!((head.framing, head.keep), (framing, keep), "{text}");
        }
        let head = AnswerHead::read(
            &mut BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            &Method::HEAD,
        );
        assert_eq!(head.unwrap().unwrap().framing, Framing::Length(0));
    }

    #[test]
    fn s6_what_two_could_read_differently_is_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 5\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nx\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0-OpenSSH_9\r\n",
            "HTTP/1.1 99 X\r\n\r\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}: {:?}", read(bad));
        }
        let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(read(&fields(100)).is_ok() && read(&fields(101)).is_err());
        let long = |bytes: usize| format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(bytes));
        assert!(read(&long(1000)).unwrap().is_none() && read(&long(MAX_HEAD)).is_err());
        assert!(read(&format!("{}\r\n\r\n", long(MAX_HEAD))).is_err());
    }
}

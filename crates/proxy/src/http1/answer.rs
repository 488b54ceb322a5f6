//! An answer on its way to the client: its head written, its body framed.

use std::cell::Cell;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;

use super::connection::Connection;

/// Pieces of a body up to this length are written together with what stands before them.
const TOGETHER: usize = 16 * 1024;

/// Room for a head.
const HEAD: usize = 768;

/// A buffer longer than this is not kept for the next answer.
const SPARE: usize = 64 * 1024;

thread_local! {
    /// The buffer of the last answer on this thread: few are on their way at a time, and none needs one of its own.
    static SPARES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What matters of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// HTTP/1.1, not 1.0.
    pub(super) modern: bool,
    /// It was a `HEAD`: the answer has no body.
    pub(super) head_alone: bool,
}

/// How the answer's body is framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// There is none.
    Nothing,
    /// So many bytes are to come.
    Length(u64),
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// An answer on its way.
pub(super) struct Answer<B> {
    body: B,
    framing: Framing,
    out: Vec<u8>,
    sent: usize,
    /// A piece too long to be copied, behind `out`.
    piece: Bytes,
    over: bool,
    /// The connection can be used again behind it.
    pub(super) keep: bool,
}

/// Why an answer was not sent whole.
pub(super) struct Torn;

impl<B: Body<Data = Bytes> + Unpin> Answer<B> {
    /// Behind an answer that is not to be kept the connection is closed; it says so.
    pub(super) fn new(response: http::Response<B>, asked: Asked, keep: bool) -> Self {
        let (head, body) = response.into_parts();
        let exact = body.size_hint().exact();
        let framing = match (head.status, exact) {
            (status, _) if is_bodiless(status) || asked.head_alone => Framing::Nothing,
            (_, Some(length)) => Framing::Length(length),
            (_, None) if asked.modern => Framing::Chunked,
            (_, None) => Framing::UntilClose,
        };
        let keep = keep && framing != Framing::UntilClose && !says_close(&head.headers);
        let short =
            exact.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= TOGETHER);
        let mut out = SPARES.take();
        out.reserve(HEAD + short.unwrap_or(0));
        write_status(&mut out, head.status, asked.modern);
        let upgrade = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut has_date = false;
        for (name, value) in &head.headers {
            match *name {
                header::CONTENT_LENGTH if !asked.head_alone => continue,
                header::TRANSFER_ENCODING => continue,
                header::CONNECTION if !upgrade => continue,
                header::DATE => has_date = true,
                _ => {}
            }
            field(&mut out, name.as_str(), value.as_bytes());
        }
        if !has_date {
            field(&mut out, "date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
        }
        match framing {
            Framing::Length(length) => length_field(&mut out, length),
            Framing::Nothing if asked.head_alone && !head.headers.contains_key(header::CONTENT_LENGTH) => {
                if let Some(length @ 1..) = exact {
                    length_field(&mut out, length);
                }
            }
            Framing::Chunked => field(&mut out, "transfer-encoding", b"chunked"),
            Framing::Nothing | Framing::UntilClose => {}
        }
        match (keep, asked.modern) {
            _ if upgrade => {}
            (false, true) => field(&mut out, "connection", b"close"),
            (true, false) => field(&mut out, "connection", b"keep-alive"),
            (true, true) | (false, false) => {}
        }
        out.extend_from_slice(b"\r\n");
        let over = framing == Framing::Nothing;
        Self { body, framing, out, sent: 0, piece: Bytes::new(), over, keep }
    }

    /// Sends all of it.
    pub(super) fn poll_send(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Torn>> {
        loop {
            let waits = self.gather(cx)?;
            ready!(connection.poll_send(&self.out, &mut self.sent, cx)).map_err(|_| Torn)?;
            self.out.clear();
            self.sent = 0;
            if !self.piece.is_empty() {
                let mut sent = 0;
                let result = connection.poll_send(&self.piece, &mut sent, cx);
                self.piece.advance(sent);
                ready!(result).map_err(|_| Torn)?;
                if self.framing == Framing::Chunked {
                    self.out.extend_from_slice(b"\r\n");
                }
                continue;
            }
            if self.over || waits {
                ready!(connection.poll_flush(cx)).map_err(|_| Torn)?;
            }
            if self.over {
                return Poll::Ready(Ok(()));
            }
            if waits {
                // Nobody waits for the rest of an answer if the client has left.
                return connection.poll_gone(cx).map(|()| Err(Torn));
            }
        }
    }

    /// Puts together what is there of the body. Says whether more has to be waited for.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, Torn> {
        while !self.over && self.piece.is_empty() && self.out.len() <= TOGETHER {
            let data = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Err(_))) => return Err(Torn),
                Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Poll::Ready(None) => {
                    match self.framing {
                        Framing::Chunked => self.out.extend_from_slice(b"0\r\n\r\n"),
                        Framing::Length(1..) => return Err(Torn),
                        _ => {}
                    }
                    self.over = true;
                    break;
                }
            };
            if data.is_empty() {
                continue;
            }
            match &mut self.framing {
                Framing::Length(left) => *left = left.checked_sub(data.len() as u64).ok_or(Torn)?,
                Framing::Chunked => {
                    // Writing into memory does not fail.
                    let _ = write!(self.out, "{:x}\r\n", data.len());
                }
                Framing::UntilClose | Framing::Nothing => {}
            }
            if data.len() > TOGETHER {
                self.piece = data;
            } else {
                self.out.extend_from_slice(&data);
                if self.framing == Framing::Chunked {
                    self.out.extend_from_slice(b"\r\n");
                }
            }
            // Asking a body that has told its length for more would be one look in vain.
            self.over = self.framing == Framing::Length(0) && self.piece.is_empty();
        }
        Ok(false)
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        if self.out.capacity() <= SPARE {
            self.out.clear();
            SPARES.set(std::mem::take(&mut self.out));
        }
    }
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn says_close(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn write_status(out: &mut Vec<u8>, status: StatusCode, modern: bool) {
    out.extend_from_slice(if modern { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn length_field(out: &mut Vec<u8>, length: u64) {
    field(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

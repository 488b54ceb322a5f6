//! One HTTP/1.1 connection to a server, taking one request at a time.
//!
//! It is driven by whoever waits for the answer, not by a task of its own: a task would be woken twice for every
//! request. What is read and written here is bytes; what they mean is in `head.rs` and `decode.rs`.

use std::future::{Future as _, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::head::{AnswerHead, Framed, Malformed, RequestHead};
use super::stream::Stream;
use super::tunnel::Tunnel;
use crate::upload::Sending;
use crate::{Sent, turn};

/// Room for what is read at once: most answers fit. It is on the stack; a connection keeps no more than an answer
/// needed.
const READ: usize = 8 * 1024;

/// The same for long bodies.
const READ_LONG: usize = 64 * 1024;

/// Bodies up to this length are written together with the head.
const TOGETHER: usize = 16 * 1024;

/// Interim answers (1xx) before the real one; more are a flood.
const MOST_INTERIM: usize = 8;

/// An open connection.
pub(crate) struct Connection {
    stream: Stream,
    pub(crate) input: BytesMut,
    output: BytesMut,
    alarm: Alarm,
    /// It has answered before: that the server closes it now is no failure of the server.
    pub(crate) used: bool,
    pub(crate) idle_since: Instant,
}

/// Why no head of an answer came.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection broke.
    Broken { reason: String, sent: Sent, started: bool },
    /// What came is no answer.
    Malformed(Malformed),
    /// The body that was to be sent ended early, or was refused on its way.
    Upload(String),
    /// The server did not answer in time.
    TimedOut,
}

/// A request on its way.
struct Exchange<'a> {
    method: &'a Method,
    upgrade: bool,
    body: Bytes,
    upload: Option<&'a mut Sending>,
    framed: Framed,
    /// A chunk is on its way and needs its end.
    in_chunk: bool,
    sent: bool,
    all_sent: bool,
    send_error: Option<String>,
    interim: usize,
    patience: Duration,
    deadline: Instant,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            alarm: Alarm::default(),
            used: false,
            idle_since: Instant::now(),
        }
    }

    /// Sends a request, whose body is `body` and then `upload`, and reads the head of its answer. Gives up at
    /// `deadline`; an upload that makes progress moves it on by `patience`.
    pub(crate) async fn exchange(
        &mut self,
        head: &RequestHead<'_>,
        body: &Bytes,
        upload: Option<&mut Sending>,
        patience: Duration,
        deadline: Instant,
    ) -> Result<AnswerHead, Failure> {
        self.output.clear();
        head.write(&mut self.output);
        let mut exchange = Exchange {
            method: head.method,
            upgrade: head.upgrade,
            body: Bytes::new(),
            upload,
            framed: head.body,
            in_chunk: false,
            sent: false,
            all_sent: false,
            send_error: None,
            interim: 0,
            patience,
            deadline,
        };
        if exchange.upload.is_none() && body.len() <= TOGETHER {
            self.output.extend_from_slice(body);
        } else if !body.is_empty() {
            exchange.start_part(&mut self.output, body.clone());
        }
        let answer = poll_fn(|cx| exchange.poll(self, cx)).await?;
        turn().await;
        self.used = true;
        Ok(answer)
    }

    /// Whether it can take a request: still open, and nothing came that nobody asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        // Nobody is to be woken for it. Without news from the system this asks nobody.
        let mut cx = Context::from_waker(Waker::noop());
        let mut byte = [0_u8; 1];
        Pin::new(&mut self.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// What it becomes when another protocol was agreed on.
    pub(crate) fn upgraded(self) -> Tunnel {
        Tunnel::new(self.input, self.stream)
    }

    /// Gives back memory that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.input = BytesMut::new();
        self.output = BytesMut::new();
    }

    /// Reads more; 0 is the end.
    pub(crate) fn poll_fill(&mut self, long: bool, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if long {
            if self.input.capacity() - self.input.len() < READ {
                self.input.reserve(READ_LONG);
            }
            return pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        }
        let mut room = [MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl Exchange<'_> {
    fn poll(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, Failure>> {
        if !self.all_sent && self.send_error.is_none() {
            match self.poll_send(connection, cx) {
                Poll::Ready(Ok(())) => self.all_sent = true,
                Poll::Ready(Err(Failure::Broken { reason, .. })) => {
                    // A server that has heard enough answers and closes; the answer may still be readable.
                    self.send_error = Some(reason);
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => {}
            }
        }
        match self.poll_head(connection, cx) {
            Poll::Ready(Ok(mut head)) => {
                head.keep &= self.all_sent;
                Poll::Ready(Ok(head))
            }
            Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
            Poll::Pending => match connection.alarm.poll(self.deadline, cx) {
                Poll::Ready(()) => Poll::Ready(Err(Failure::TimedOut)),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn sent(&self) -> Sent {
        if self.sent { Sent::Maybe } else { Sent::No }
    }

    /// What comes next of the body, with what frames it.
    fn start_part(&mut self, output: &mut BytesMut, part: Bytes) {
        if self.framed == Framed::Chunked {
            output.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            self.in_chunk = true;
        }
        self.body = part;
    }

    fn poll_send(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            while !connection.output.is_empty() {
                let written = Pin::new(&mut connection.stream).poll_write(cx, &connection.output);
                connection.output.advance(self.written(ready!(written))?);
            }
            while !self.body.is_empty() {
                let written = Pin::new(&mut connection.stream).poll_write(cx, &self.body);
                let count = self.written(ready!(written))?;
                self.body.advance(count);
            }
            if std::mem::take(&mut self.in_chunk) {
                connection.output.extend_from_slice(b"\r\n");
                continue;
            }
            let Some(upload) = &mut self.upload else { break };
            match ready!(upload.poll_part(cx)) {
                Some(Ok(part)) if part.is_empty() => {}
                Some(Ok(part)) => {
                    self.deadline = Instant::now() + self.patience;
                    self.start_part(&mut connection.output, part);
                }
                Some(Err(reason)) => return Poll::Ready(Err(Failure::Upload(reason))),
                None => {
                    self.upload = None;
                    if self.framed == Framed::Chunked {
                        connection.output.extend_from_slice(b"0\r\n\r\n");
                    }
                }
            }
        }
        let flushed = ready!(Pin::new(&mut connection.stream).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.broken(&error.to_string())))
    }

    fn written(&mut self, written: io::Result<usize>) -> Result<usize, Failure> {
        match written {
            Ok(0) => Err(self.broken("the connection takes no more")),
            Ok(count) => {
                self.sent = true;
                Ok(count)
            }
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    fn poll_head(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, Failure>> {
        loop {
            if !connection.input.is_empty() {
                let read =
                    AnswerHead::read(&mut connection.input, self.method).map_err(Failure::Malformed)?;
                match read {
                    None => {}
                    Some(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                        return Poll::Ready(match self.upgrade {
                            true => Ok(head),
                            false => Err(Failure::Malformed(Malformed("an upgrade nobody asked for"))),
                        });
                    }
                    Some(head) if head.status.is_informational() => {
                        self.interim += 1;
                        if self.interim > MOST_INTERIM {
                            return Poll::Ready(Err(Failure::Malformed(Malformed(
                                "a flood of interim answers",
                            ))));
                        }
                        continue;
                    }
                    Some(head) => return Poll::Ready(Ok(head)),
                }
            }
            let reason = match ready!(connection.poll_fill(false, cx)) {
                Ok(0) => "EOF".to_owned(),
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            let started = !connection.input.is_empty();
            let reason = self.send_error.take().filter(|_| !started).unwrap_or(reason);
            return Poll::Ready(Err(Failure::Broken { reason, sent: self.sent(), started }));
        }
    }

    fn broken(&self, reason: &str) -> Failure {
        Failure::Broken { reason: reason.to_owned(), sent: self.sent(), started: false }
    }
}

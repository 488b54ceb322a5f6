//! One client's connection: bytes in, bytes out, and how long either may take.

use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;
use vault::{Alarm, Stream, Tunnel};

use super::framing::{Fault, Framing};
use super::head::{Body, Head, HeadScan, Limits};
use crate::breach::Breach;
use crate::link::Link;

/// Room for what is read at once. It is on the stack: what waits for a request holds no buffer.
const READ: usize = 8 * 1024;

/// The same for long bodies.
const READ_LONG: usize = 64 * 1024;

/// So much of what comes behind a request is read before its answer has left, to see whether the client has.
const BEHIND: usize = 16 * 1024;

/// After a refusal the client may still be sending: closing at once would tear its answer from its hands.
const LINGER: (Duration, usize) = (Duration::from_secs(5), 64 * 1024 * 1024);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection, reading one request at a time.
pub(crate) struct Connection {
    stream: Stream,
    link: Arc<Link>,
    limits: Limits,
    /// What has come and was not used yet.
    input: BytesMut,
    scan: HeadScan,
    /// Of the body of the request under way.
    framing: Framing,
    /// The request under way, counted from 1: bodies of earlier ones read nothing.
    request: u64,
    /// What is left of [`CONTINUE`], said when the body is wanted.
    promise: &'static [u8],
    alarm: Alarm,
    idle_since: Instant,
    head_since: Option<Instant>,
    /// The client takes nothing of its answer.
    stalled_since: Option<Instant>,
    /// Our side is closed; the rest of theirs is thrown away until then, so many bytes at most.
    lingering: Option<(Instant, usize)>,
}

/// What came next.
pub(super) enum Next {
    /// A head, and its bytes.
    Request(Head, Bytes),
    /// A head that is refused; nothing behind it can be trusted.
    Refused(Breach),
    /// The client has left, or had no more time.
    End,
}

impl Connection {
    pub(super) fn new(stream: Stream, link: Arc<Link>) -> Self {
        Self {
            stream,
            limits: Limits::from(link.limits()),
            link,
            input: BytesMut::new(),
            scan: HeadScan::default(),
            framing: Framing::Over,
            request: 0,
            promise: &[],
            alarm: Alarm::default(),
            idle_since: Instant::now(),
            head_since: None,
            stalled_since: None,
            lingering: None,
        }
    }

    /// Reads some; 0 is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, long: bool) -> Poll<io::Result<usize>> {
        if long {
            self.input.reserve(READ_LONG);
            return std::pin::pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        }
        let mut room = [MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// The next head, all of it, in order and in time.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            match self.scan.scan(&self.input, &self.limits) {
                Ok(Some(head)) => {
                    let bytes = match head.end == self.input.len() {
                        true => std::mem::take(&mut self.input).freeze(),
                        false => self.input.split_to(head.end).freeze(),
                    };
                    (self.scan, self.head_since) = (HeadScan::default(), None);
                    return Poll::Ready(Next::Request(head, bytes));
                }
                Err(breach) => return Poll::Ready(Next::Refused(breach)),
                Ok(None) => {}
            }
            match self.poll_fill(cx, false) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let (deadline, breach) = self.deadline();
                    ready!(self.alarm.poll(deadline, cx));
                    self.link.count(breach);
                    return Poll::Ready(Next::End);
                }
            }
        }
    }

    /// Until when a head has to be here, and what it is called when it is not.
    fn deadline(&mut self) -> (Instant, Breach) {
        let limits = self.link.limits();
        if self.request == 0 {
            (self.link.accepted() + limits.header_timeout, Breach::HeaderTime)
        } else if self.scan.has_begun() {
            let since = *self.head_since.get_or_insert_with(Instant::now);
            (since + limits.header_timeout, Breach::HeaderTime)
        } else {
            (self.idle_since + limits.idle_timeout, Breach::Idle)
        }
    }

    /// Begins a request; its number.
    pub(super) fn begin(&mut self, head: &Head) -> u64 {
        self.request += 1;
        self.framing = match head.body {
            Body::Length(0) => Framing::Over,
            Body::Length(length) => Framing::Length(length),
            Body::Chunked => Framing::chunked(),
        };
        self.promise = if head.expects { CONTINUE } else { &[] };
        self.request
    }

    /// The next piece of the body of `request`.
    pub(super) fn poll_body(
        &mut self,
        request: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Fault>>> {
        if request != self.request {
            return Poll::Ready(Some(Err(Fault::Over)));
        }
        loop {
            match self.framing.next(&mut self.input, &self.limits) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if self.framing.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
            if let Err(fault) = ready!(self.poll_promise(cx)) {
                return Poll::Ready(Some(Err(fault)));
            }
            let long = self.framing.is_long();
            if !matches!(ready!(self.poll_fill(cx, long)), Ok(1..)) {
                self.framing = Framing::Broken(Fault::Left);
            }
        }
    }

    /// Says that the body is wanted, if the client waits for that. One that does not wait need not hear it.
    fn poll_promise(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.input.is_empty() {
            self.promise = &[];
        }
        while !self.promise.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, self.promise)) {
                Ok(written @ 1..) => self.promise.advance(written),
                Ok(0) | Err(_) => return Poll::Ready(Err(Fault::Left)),
            }
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|_| Fault::Left)?;
        }
        Poll::Ready(Ok(()))
    }

    /// How long the body under way is, if the client said.
    pub(super) fn length(&self, request: u64) -> Option<u64> {
        if request == self.request { self.framing.length() } else { None }
    }

    /// Whether all of the request has been read.
    pub(super) fn is_read(&self) -> bool {
        self.framing.is_over()
    }

    /// Whether the client has left, while its request is under way.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What comes behind the request waits, and more of it than this is not looked at.
        while self.is_read() && self.input.len() <= BEHIND {
            if !matches!(ready!(self.poll_fill(cx, false)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Writes all of `bytes`, of which `sent` were written already.
    pub(super) fn poll_send(
        &mut self,
        bytes: &[u8],
        sent: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = bytes.get(*sent..).filter(|rest| !rest.is_empty()) {
            let written = Pin::new(&mut self.stream).poll_write(cx, rest);
            match ready!(self.poll_stalled(cx, written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *sent += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the stream holds back.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_stalled(cx, flushed)
    }

    /// The client took some of its answer, or nothing: then only for so long.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        let deadline = since + self.link.limits().write_timeout;
        ready!(self.alarm.poll(deadline, cx));
        self.link.count(Breach::WriteTime);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The answer has left; the client may think of its next request. Says whether this one was read whole: nobody
    /// reads on in it.
    pub(super) fn finish(&mut self) -> bool {
        let read = self.is_read();
        if !read {
            self.framing = Framing::Broken(Fault::Over);
        }
        self.idle_since = Instant::now();
        read
    }

    /// What it becomes when another protocol was agreed on. Nothing is left of it here.
    pub(super) fn upgrade(&mut self) -> Tunnel {
        let stream = std::mem::replace(&mut self.stream, Stream::other(tokio::io::empty()));
        Tunnel::new(std::mem::take(&mut self.input), stream)
    }

    /// Ends it so that nobody takes what was sent for the whole.
    pub(super) fn abort(&mut self) {
        if let Stream::Tcp(tcp) = &self.stream {
            // Where the end of an answer is the end of its connection, a proper end would be a lie.
            let _ = tcp.set_zero_linger();
        }
    }

    /// Closes our side. With `linger`, what the client is still sending is thrown away for a while.
    pub(super) fn poll_close(&mut self, linger: bool, cx: &mut Context<'_>) -> Poll<()> {
        let (until, mut left) = match self.lingering {
            Some(lingering) => lingering,
            None => {
                let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
                let shut = ready!(self.poll_stalled(cx, shut));
                if shut.is_err() || !linger {
                    return Poll::Ready(());
                }
                (Instant::now() + LINGER.0, LINGER.1)
            }
        };
        let mut bin = [MaybeUninit::uninit(); READ];
        loop {
            self.lingering = Some((until, left));
            let mut read = ReadBuf::uninit(&mut bin);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() && left > 0 => {
                    left = left.saturating_sub(read.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.alarm.poll(until, cx),
            }
        }
    }
}

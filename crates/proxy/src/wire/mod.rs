//! The bytes of one connection, looked at before the HTTP library sees them.
//!
//! A head goes on only when all of it is here and in order: the library never waits for the rest of one, and what
//! it would read more kindly than others never reaches it. A head that is refused is replaced by one of ours, so that
//! its answer keeps its place behind the answers to earlier requests; nothing that follows it is read. Time is kept
//! here too, with one timer for all that can be late: the first head, a later one, the next request, the client
//! taking its answer.
//!
//! A request that arrives in one piece is looked at where it lies and copied nowhere.

mod chunks;
mod framing;
mod head;
#[cfg(test)]
mod tests;

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::breach::Breach;
use crate::link::Link;

pub(crate) use framing::Framing;
use framing::Taken;

/// The bounds that count here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) header_size: usize,
    pub(crate) headers: usize,
    pub(crate) target: usize,
    pub(crate) body: u64,
}

impl From<&config::ListenerLimits> for Limits {
    fn from(limits: &config::ListenerLimits) -> Self {
        Self {
            header_size: limits.header_size,
            headers: limits.headers,
            target: limits.target,
            body: limits.body as u64,
        }
    }
}

/// Stands in for a head that was refused; see [`Link::fault`].
const REFUSED: &[u8] = b"GET /refused HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// After a refusal the client may still be sending: closing at once would tear its answer from its hands.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 4 * 1024 * 1024);

/// A buffer this large is kept for the next head that arrives in pieces.
const KEPT: usize = 1024;

/// A stream with a reader's eye on it.
pub(crate) struct Wire<S> {
    inner: S,
    link: Arc<Link>,
    /// `None` where another protocol is spoken: HTTP/2, or what an upgrade led to.
    framing: Option<Framing>,
    /// Heads that arrive in pieces: first what is ready to be handed on, then the beginning of the next one.
    held: Vec<u8>,
    ready: usize,
    handed: usize,
    /// What is left of [`REFUSED`].
    refused: &'static [u8],
    state: State,
    head_since: Option<Instant>,
    /// The client takes nothing of its answer.
    stalled_since: Option<Instant>,
    /// The last time that it took some again.
    moved: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Reading,
    /// A head was refused: nothing more is read.
    Refused,
    /// A body is broken: the library is told.
    Broken,
    /// A deadline has passed.
    Late,
    /// Our side is closed; the rest of theirs is thrown away until then, so many bytes at most.
    Lingering(Instant, usize),
}

impl<S> Wire<S> {
    /// HTTP/1 with its framing checked.
    pub(crate) fn http1(inner: S, link: Arc<Link>) -> Self {
        let framing = Framing::new(Limits::from(link.limits()));
        Self { framing: Some(framing), ..Self::http2(inner, link) }
    }

    /// HTTP/2, whose library checks its own framing: time alone is kept.
    pub(crate) fn http2(inner: S, link: Arc<Link>) -> Self {
        Self {
            inner,
            link,
            framing: None,
            held: Vec::new(),
            ready: 0,
            handed: 0,
            refused: &[],
            state: State::Reading,
            head_since: None,
            stalled_since: None,
            moved: None,
            timer: None,
        }
    }

    /// What we wait for from the client now, and until when; nothing while a request is under way.
    fn deadline(&mut self) -> Option<(Instant, Breach)> {
        let limits = self.link.limits();
        let begun = self.framing.as_ref().is_some_and(Framing::head_has_begun);
        if !self.link.has_asked() {
            return Some((self.link.accepted() + limits.header_timeout, Breach::HeaderTime));
        }
        // An answer may be over for us and still on its way.
        let idle_since = self.link.idle_since().filter(|_| self.stalled_since.is_none())?;
        if begun {
            let since = *self.head_since.get_or_insert_with(Instant::now);
            return Some((since + limits.header_timeout, Breach::HeaderTime));
        }
        let since = self.moved.map_or(idle_since, |moved| moved.max(idle_since));
        let patience =
            if self.link.is_leaving() { LINGER.0.min(limits.idle_timeout) } else { limits.idle_timeout };
        Some((since + patience, Breach::Idle))
    }

    /// Nothing came. The end of the stream, as the library sees it, when it is too late for something to come.
    fn waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((deadline, breach)) = self.deadline() else { return self.poll_busy(cx) };
        ready!(self.poll_deadline(cx, deadline));
        self.link.count(breach);
        self.state = State::Late;
        Poll::Ready(Ok(()))
    }

    /// One timer for all: it is set anew only when it would ring too late, or has rung too early.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let mut wrong = timer.deadline() > deadline;
        // Whoever reads and whoever writes share it: that it rang says nothing of whose time is over.
        while wrong || timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
            wrong = false;
        }
        Poll::Pending
    }

    /// Nobody polls us when an answer is over. The timer, which never rings later than an idle connection has to end,
    /// is all that will.
    fn poll_busy(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.head_since = None;
        let patience = self.link.limits().idle_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(Instant::now() + patience);
        }
        Poll::Pending
    }

    /// The client took some of its answer, or nothing: then only for so long.
    fn watch_write<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(result) => {
                if self.stalled_since.take().is_some() {
                    // Idle counts from when the answer had left.
                    self.moved = Some(Instant::now());
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let since = *self.stalled_since.get_or_insert_with(Instant::now);
                let deadline = since + self.link.limits().write_timeout;
                ready!(self.poll_deadline(cx, deadline));
                self.link.count(Breach::WriteTime);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Looks at what just arrived, which lies behind the first `before` bytes of `buf`, and leaves there what may be
    /// handed on.
    fn look(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let Some(framing) = &mut self.framing else { return };
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if self.held.is_empty() {
            let taken = framing.take(fresh);
            if taken.breach.is_none() {
                self.held.extend_from_slice(fresh.get(taken.ready..).unwrap_or_default());
            }
            buf.set_filled(before + taken.ready);
            self.note(&taken);
        } else {
            self.held.extend_from_slice(fresh);
            buf.set_filled(before);
            self.look_at_held();
        }
    }

    /// Looks at what was held back, with more behind it now.
    fn look_at_held(&mut self) {
        let Some(framing) = &mut self.framing else { return };
        let taken = framing.take(&self.held);
        (self.ready, self.handed) = (taken.ready, 0);
        self.note(&taken);
    }

    fn note(&mut self, taken: &Taken) {
        if taken.heads > 0 {
            self.head_since = None;
            self.link.begin(taken.heads);
        }
        let Some(breach) = taken.breach else { return };
        self.held.truncate(self.ready);
        self.link.count(breach);
        if taken.in_head {
            self.link.begin(1);
            (self.state, self.refused) = (State::Refused, REFUSED);
        } else {
            self.state = State::Broken;
        }
        self.link.fail(breach);
    }

    /// Hands on what is ready, if anything is.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.handed < self.ready {
            let ready = self.held.get(self.handed..self.ready).unwrap_or_default();
            let some = ready.get(..buf.remaining().min(ready.len())).unwrap_or_default();
            buf.put_slice(some);
            self.handed += some.len();
            if self.handed == self.ready {
                self.held.drain(..self.ready);
                (self.ready, self.handed) = (0, 0);
                if self.held.is_empty() && self.held.capacity() > KEPT {
                    self.held = Vec::new();
                }
            }
            return true;
        }
        if !self.refused.is_empty() {
            let (some, rest) = self.refused.split_at(buf.remaining().min(self.refused.len()));
            buf.put_slice(some);
            self.refused = rest;
            return true;
        }
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.hand_on(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Reading => {}
                // The library has the stand-in and closes behind its answer.
                State::Refused => return Poll::Pending,
                State::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                State::Late | State::Lingering(..) => return Poll::Ready(Ok(())),
            }
            if this.framing.as_ref().is_some_and(Framing::awaits_upgrade) {
                if this.link.is_upgraded() {
                    this.framing = None;
                    this.ready = this.held.len();
                    continue;
                } else if this.link.is_busy() {
                    // Whether what follows is a request depends on the answer.
                    this.link.wake_when_over(cx.waker());
                    return Poll::Pending;
                } else if let Some(framing) = &mut this.framing {
                    framing.decline_upgrade();
                    this.look_at_held();
                    continue;
                }
            }
            let before = buf.filled().len();
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                Poll::Pending if this.link.is_upgraded() => return Poll::Pending,
                Poll::Pending => return this.waiting(cx),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if buf.filled().len() == before => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.look(buf, before),
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, data);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, data);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !matches!(this.state, State::Lingering(..)) {
            let shut = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.watch_write(cx, shut))?;
            let inside = this.framing.as_ref().is_some_and(|framing| !framing.in_head());
            if !inside && this.state != State::Refused {
                return Poll::Ready(Ok(()));
            }
            this.state = State::Lingering(Instant::now() + LINGER.0, LINGER.1);
        }
        let State::Lingering(until, mut left) = this.state else { return Poll::Ready(Ok(())) };
        let mut bin = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut bin);
            match Pin::new(&mut this.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && left > 0 => {
                    left = left.saturating_sub(buf.filled().len());
                    this.state = State::Lingering(until, left);
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(this.poll_deadline(cx, until));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

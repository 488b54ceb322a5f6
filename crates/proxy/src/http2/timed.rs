//! Time on a connection whose protocol the library knows: the first request, the next one, the client taking
//! anything at all.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use vault::{Alarm, Stream};

use crate::breach::Breach;
use crate::link::Link;

/// How long a client that was told to leave may take.
const LEAVE: Duration = Duration::from_secs(1);

/// So many bytes are read before others have their turn, and before the time is looked at: a client that never stops
/// sending gets no more than its share of either.
const TURN: usize = 32 * 1024;

/// A stream that ends when the client is late.
pub(super) struct Timed {
    inner: Stream,
    link: Arc<Link>,
    alarm: Alarm,
    /// The client takes nothing.
    stalled_since: Option<Instant>,
    /// The last time that it took some again.
    moved: Option<Instant>,
    late: bool,
    /// Bytes that were read in this turn.
    turn: usize,
}

impl Timed {
    pub(super) fn new(inner: Stream, link: Arc<Link>) -> Self {
        Self { inner, link, alarm: Alarm::default(), stalled_since: None, moved: None, late: false, turn: 0 }
    }

    /// What we wait for from the client now, and until when; nothing while a request is under way.
    fn deadline(&self) -> Option<(Instant, Breach)> {
        let limits = self.link.limits();
        if !self.link.has_asked() {
            return Some((self.link.accepted() + limits.header_timeout, Breach::HeaderTime));
        }
        // An answer may be over for us and still on its way.
        let idle_since = self.link.idle_since().filter(|_| self.stalled_since.is_none())?;
        let since = self.moved.map_or(idle_since, |moved| moved.max(idle_since));
        let patience =
            if self.link.is_leaving() { LEAVE.min(limits.idle_timeout) } else { limits.idle_timeout };
        Some((since + patience, Breach::Idle))
    }

    /// Nothing came. The end of the stream, as the library sees it, when it is too late for something to come.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((deadline, breach)) = self.deadline() else {
            // Nobody polls us when an answer is over: the alarm, which never rings later than an idle connection
            // has to end, is all that will.
            let _ = self.alarm.poll(Instant::now() + self.link.limits().idle_timeout, cx);
            return Poll::Pending;
        };
        ready!(self.alarm.poll(deadline, cx));
        self.link.count(breach);
        self.late = true;
        Poll::Ready(Ok(()))
    }

    /// The client took some, or nothing: then only for so long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled_since.take().is_some() {
                // Idle counts from when the answer had left.
                self.moved = Some(Instant::now());
            }
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.alarm.poll(since + self.link.limits().write_timeout, cx));
        self.link.count(Breach::WriteTime);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Timed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.late {
            return Poll::Ready(Ok(()));
        }
        if this.turn >= TURN {
            this.turn = 0;
            // Wakes us behind everybody who is waiting, and those whose sockets have something new.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
            return this.poll_late(cx);
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Pending => {
                this.turn = 0;
                this.poll_late(cx)
            }
            read => {
                this.turn += buf.filled().len().saturating_sub(before);
                read
            }
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, data);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, data);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, shut)
    }
}

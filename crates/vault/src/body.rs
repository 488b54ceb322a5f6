//! An answer's body: whole, or arriving, or begun to be read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::transport::{Arriving, Tunnel};

/// An answer's body.
pub enum Body {
    /// All of it; `None` once it was handed out.
    Full(Option<Bytes>),
    /// Still arriving.
    Stream(Arriving),
    /// A part that was read already, then the rest as it arrives.
    Continued(Option<Bytes>, Box<Body>),
    /// Any other.
    Other(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
    /// None: the server speaks another protocol on this connection now.
    Tunnel(Tunnel),
}

/// Why a body ended early.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The connection broke inside the body.
    #[error("the answer ended early: {0}")]
    Broken(String),
    /// What came is no body, or not the end of one.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// It is longer than the reader's limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It took longer than the reader's patience.
    #[error("the answer's body did not arrive within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// It holds what must not be handed on.
    #[error("{0}")]
    Withheld(&'static str),
}

impl Body {
    /// A whole body.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    /// No body.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Reads all of it: at most `limit` bytes, for at most `patience`.
    ///
    /// # Errors
    /// When it is longer, takes longer, or breaks off.
    pub async fn collect(mut self, limit: usize, patience: Duration) -> Result<Bytes, BodyError> {
        match self.gather(limit, patience).await? {
            Gathered::Whole(bytes) => Ok(bytes),
            Gathered::TooLong => Err(BodyError::TooLong(limit)),
            Gathered::TooSlow => Err(BodyError::TooSlow(patience)),
        }
    }

    /// Looks at the first piece, if it is there: what is no body is told before anything of it was handed on. What was
    /// read stays in the body.
    ///
    /// # Errors
    /// It breaks off within its first piece; nothing of it is left.
    pub fn begin(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if !matches!(self, Self::Stream(_) | Self::Other(_)) {
            return Ok(());
        }
        let Poll::Ready(Some(frame)) = Pin::new(&mut *self).poll_frame(cx)? else { return Ok(()) };
        if let Ok(data) = frame.into_data() {
            let rest = std::mem::replace(self, Self::empty());
            *self = match rest.is_end_stream() {
                true => Self::full(data),
                false => Self::Continued(Some(data), Box::new(rest)),
            };
        }
        Ok(())
    }

    /// Reads up to `limit` bytes (and what arrives in one piece with the last of them), for at most `patience`. What
    /// was read stays in the body: it can be handed on, whole or not.
    ///
    /// # Errors
    /// It breaks off; nothing of it is left.
    pub async fn gather(&mut self, limit: usize, patience: Duration) -> Result<Gathered, BodyError> {
        if let Self::Full(bytes) = self {
            let bytes = bytes.clone().unwrap_or_default();
            return Ok(if bytes.len() > limit { Gathered::TooLong } else { Gathered::Whole(bytes) });
        }
        let mut rest = std::mem::replace(self, Self::empty());
        let deadline = Instant::now().checked_add(patience);
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        let ended = loop {
            let frame = match deadline {
                Some(deadline) => timeout_at(deadline, rest.frame()).await,
                None => Ok(rest.frame().await),
            };
            let data = match frame {
                Err(_) => break Gathered::TooSlow,
                Ok(None) => break Gathered::Whole(Bytes::new()),
                Ok(Some(frame)) => frame?.into_data().unwrap_or_default(),
            };
            // Most bodies arrive in one piece, which is handed on without a copy.
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.reserve(first.len() + data.len());
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
            if all.len().max(first.len()) > limit {
                break Gathered::TooLong;
            }
        };
        let read = if all.is_empty() { first } else { all.freeze() };
        Ok(match ended {
            Gathered::Whole(_) => {
                *self = Self::full(read.clone());
                Gathered::Whole(read)
            }
            other => {
                *self = Self::Continued(Some(read), Box::new(rest));
                other
            }
        })
    }
}

/// What [`Body::gather`] found.
#[derive(Debug)]
pub enum Gathered {
    /// All of it.
    Whole(Bytes),
    /// More than the limit.
    TooLong,
    /// It was not over in time.
    TooSlow,
}

impl std::fmt::Debug for Body {
    /// Lengths alone: bodies hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Continued(..) => f.write_str("Continued"),
            Self::Other(_) => f.write_str("Other"),
            Self::Tunnel(_) => f.write_str("Tunnel"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Continued(read, rest) => match read.take().filter(|read| !read.is_empty()) {
                Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
                None => Pin::new(&mut **rest).poll_frame(cx),
            },
            Self::Stream(rest) => rest.poll_frame(cx),
            Self::Other(body) => body.as_mut().poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(rest) => rest.is_over(),
            Self::Continued(read, rest) => read.is_none() && rest.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream(rest) => rest.size_hint(),
            Self::Continued(read, rest) => {
                let read = read.as_ref().map_or(0, |read| read.len() as u64);
                let rest = rest.size_hint().exact();
                rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest.saturating_add(read)))
            }
            Self::Other(body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces a second apart; then nothing, for ever.
    struct Slow(Vec<&'static str>, Option<Pin<Box<tokio::time::Sleep>>>);

    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            let pause = self.1.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs(1))));
            std::task::ready!(pause.as_mut().poll(cx));
            self.1 = None;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(self.0.remove(0))))))
        }
    }

    fn slow() -> Body {
        Body::Other(Box::pin(Slow(vec!["one ", "two ", "three"], None)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let why = slow().collect(100, Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(why, BodyError::TooSlow(_)), "{why}");
        assert!(matches!(slow().collect(5, Duration::from_secs(60)).await, Err(BodyError::TooLong(5))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_gathered_is_still_there() {
        for (limit, patience, first) in [(3, 60, "one "), (5, 60, "one two "), (100, 2, "one ")] {
            let mut body = slow();
            let gathered = body.gather(limit, Duration::from_millis(patience * 1000 - 500)).await.unwrap();
            assert!(!matches!(gathered, Gathered::Whole(_)));
            let mut all = String::new();
            for _ in 0..4 {
                let Ok(frame) = tokio::time::timeout(Duration::from_secs(5), body.frame()).await else {
                    break;
                };
                let data = frame.unwrap().unwrap().into_data().unwrap();
                if all.is_empty() {
                    assert_eq!(data, first);
                }
                all.push_str(std::str::from_utf8(&data).unwrap());
            }
            assert_eq!(all, "one two three");
        }
    }
}

//! A connection on which another protocol is spoken from now on, whichever side of it we are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

/// Bytes in both directions, behind an answer of 101.
///
/// Boxed: answers are handed about, and few of them are one.
pub struct Tunnel(Box<Inner>);

struct Inner {
    /// Came with the last head, and is read first.
    early: BytesMut,
    stream: Stream,
}

impl Tunnel {
    /// Of a stream from which `early` was read already.
    pub fn new(early: BytesMut, stream: Stream) -> Self {
        Self(Box::new(Inner { early, stream }))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.get_mut().0;
        if this.early.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = this.early.len().min(buf.remaining());
        buf.put_slice(this.early.get(..count).unwrap_or_default());
        this.early.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_came_early_is_read_first() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut tunnel = Tunnel::new(BytesMut::from("one "), Stream::other(ours));
        theirs.write_all(b"two").await.unwrap();
        drop(theirs);
        let (mut first, mut text) = ([0; 2], String::new());
        tunnel.read_exact(&mut first).await.unwrap();
        tunnel.read_to_string(&mut text).await.unwrap();
        assert_eq!((&first, text.as_str()), (b"on", "e two"));
    }
}

//! As much of WebSocket (RFC 6455) as is needed to listen: text comes in, pings are answered.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use vault::websocket::{Frames, NoFrame, Piece};

/// Events are short; a longer message ends the connection.
const LONGEST: u64 = 1024 * 1024;

/// What came.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Message {
    /// A whole text.
    Text(Vec<u8>),
    /// Something that only shows that the other side is there.
    Alive,
}

/// Why nothing more comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server ended it.
    #[error("the server closed the subscription")]
    Closed,
    /// The server does not keep to the protocol.
    #[error("the server sent what is no WebSocket message: {0}")]
    Malformed(&'static str),
}

impl From<NoFrame> for Ended {
    fn from(NoFrame(why): NoFrame) -> Self {
        Self::Malformed(why)
    }
}

/// A value for `Sec-WebSocket-Key`: 16 bytes in base64.
pub(super) fn key() -> String {
    let bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    STANDARD.encode(bytes)
}

/// What the server is to answer to such a key, to show that it understood: `Sec-WebSocket-Accept` (section 4.2.2).
pub(super) fn accept(key: &str) -> String {
    const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{SALT}").as_bytes());
    STANDARD.encode(digest)
}

/// Reads messages, and answers pings.
pub(super) struct Messages<S> {
    stream: S,
    arrived: BytesMut,
    frames: Frames,
    /// A text so far, and whether more of it is to come.
    text: Vec<u8>,
    within: bool,
    /// What a ping says, so far.
    ping: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Messages<S> {
    pub(super) fn new(stream: S) -> Self {
        let (arrived, frames, text, within, ping) = Default::default();
        Self { stream, arrived, frames, text, within, ping }
    }

    /// Asks whether the other side is there.
    pub(super) async fn ping(&mut self) -> Result<(), Ended> {
        self.send(0x9, &[]).await
    }

    /// The next message. It may be given up, and asked for again: what was read is kept.
    pub(super) async fn next(&mut self) -> Result<Message, Ended> {
        loop {
            match self.take()? {
                Some((0x9, _)) => {
                    let payload = std::mem::take(&mut self.ping);
                    self.send(0xa, &payload).await?;
                    return Ok(Message::Alive);
                }
                Some((0xa, _)) => return Ok(Message::Alive),
                Some((0x8, _)) => return Err(Ended::Closed),
                Some((_, false)) => return Ok(Message::Alive),
                Some((_, true)) => return Ok(Message::Text(std::mem::take(&mut self.text))),
                None => {}
            }
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Err(Ended::Closed);
            }
        }
    }

    /// Reads to the end of a frame: what it is, and whether it is the last of its message. `None`: more is to come.
    fn take(&mut self) -> Result<Option<(u8, bool)>, Ended> {
        loop {
            let mut rest = &self.arrived[..];
            let before = rest.len();
            let Some(Piece { frame, payload, begins, ends }) = self.frames.next(&mut rest)? else {
                self.arrived.clear();
                return Ok(None);
            };
            if begins {
                let goes_on = frame.code == 0;
                match frame.code {
                    0x0..=0x2 if goes_on != self.within => {
                        return Err(Ended::Malformed("a message out of order"));
                    }
                    0x0..=0x2 if frame.length.saturating_add(self.text.len() as u64) > LONGEST => {
                        return Err(Ended::Malformed("a message that is too long"));
                    }
                    0x0..=0x2 => self.within = !frame.last,
                    0x8..=0xa if frame.length > 125 || !frame.last => {
                        return Err(Ended::Malformed("a control message that is too long"));
                    }
                    0x8..=0xa => self.ping.clear(),
                    _ => return Err(Ended::Malformed("a message of no kind")),
                }
            }
            if frame.speaks() { &mut self.text } else { &mut self.ping }.extend_from_slice(payload);
            let used = before - rest.len();
            self.arrived.advance(used);
            if ends {
                return Ok(Some((frame.code, frame.last)));
            }
        }
    }

    async fn send(&mut self, code: u8, payload: &[u8]) -> Result<(), Ended> {
        let mask: [u8; 4] = std::array::from_fn(|_| fastrand::u8(..));
        let length = u8::try_from(payload.len()).unwrap_or(125).min(125);
        let mut frame = vec![0x80 | code, 0x80 | length];
        frame.extend_from_slice(&mask);
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        frame.extend(masked.take(usize::from(length)));
        self.stream.write_all(&frame).await?;
        self.stream.flush().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<Result<Message, String>> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut frames = Messages::new(ours);
        let mut all = Vec::new();
        loop {
            let one = frames.next().await.map_err(|why| why.to_string());
            let over = one.is_err();
            all.push(one);
            if over {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn texts_in_one_piece_and_in_several() {
        let text = |text: &str| Ok(Message::Text(text.as_bytes().to_vec()));
        let mut long = vec![0x81, 126, 1, 0];
        long.extend_from_slice(&[b'x'; 256]);
        assert_eq!(read(b"\x81\x02hi").await[0], text("hi"));
        assert_eq!(read(&long).await[0], text(&"x".repeat(256)));
        let split = read(b"\x01\x01h\x89\x00\x80\x01i\x81\x01!").await;
        assert_eq!(split[..4], [Ok(Message::Alive), Ok(Message::Alive), text("hi"), text("!")]);
        for wrong in [
            &b"\x81\x82aaaahi"[..],
            b"\xc1\x00",
            b"\x80\x00",
            b"\x01\x00\x81\x00",
            b"\x89\x7e\x01\x00",
            b"\x83\x00",
            b"\x81\x7f\x00\x00\x00\x00\x7f\x00\x00\x00",
            b"\x88\x00",
            b"\x81\x05hi",
        ] {
            assert!(read(wrong).await.last().unwrap().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        for _ in 0..100 {
            let key = key();
            assert!(key.len() == 24 && key.ends_with("=="));
            assert!("AQgw".contains(key.as_bytes()[21] as char), "{key}");
        }
    }

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn what_is_to_be_answered_to_a_key() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

//! As much of WebSocket (RFC 6455) as is needed to listen: text comes in, pings are answered.

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Events are short; a longer message ends the connection.
const LONGEST: usize = 1024 * 1024;

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

/// A value for `Sec-WebSocket-Key`: 16 bytes in base64.
pub(super) fn key() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |n: usize| LETTERS.get(n % 64).map_or('A', |letter| char::from(*letter));
    let mut key: String = (0..21).map(|_| letter(fastrand::usize(..64))).collect();
    // The last one holds two bits of the sixteenth byte.
    key.push(letter(fastrand::usize(..4) * 16));
    key + "=="
}

/// Reads messages, and answers pings.
pub(super) struct Frames<S> {
    stream: S,
    arrived: BytesMut,
    text: Vec<u8>,
    within: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, arrived: BytesMut::new(), text: Vec::new(), within: false }
    }

    /// Asks whether the other side is there.
    pub(super) async fn ping(&mut self) -> Result<(), Ended> {
        self.send(0x9, &[]).await
    }

    /// The next message. It may be given up, and asked for again: what was read is kept.
    pub(super) async fn next(&mut self) -> Result<Message, Ended> {
        let (last, code, payload) = loop {
            if let Some(frame) = self.take()? {
                break frame;
            }
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Err(Ended::Closed);
            }
        };
        match code {
            0x9 => {
                self.send(0xa, &payload).await?;
                Ok(Message::Alive)
            }
            0xa => Ok(Message::Alive),
            0x8 => Err(Ended::Closed),
            0x0..=0x2 if (code == 0) == self.within => {
                self.text.extend_from_slice(&payload);
                self.within = !last;
                Ok(if last { Message::Text(std::mem::take(&mut self.text)) } else { Message::Alive })
            }
            _ => Err(Ended::Malformed("a message out of order")),
        }
    }

    /// A whole frame out of what has arrived: whether it is the last of its message, what it is, and what is in it.
    fn take(&mut self) -> Result<Option<(bool, u8, Vec<u8>)>, Ended> {
        let mut rest = &self.arrived[..];
        let Some(([first, second], behind)) = rest.split_first_chunk() else { return Ok(None) };
        rest = behind;
        if first & 0x70 != 0 {
            return Err(Ended::Malformed("an extension nobody asked for"));
        }
        if second & 0x80 != 0 {
            return Err(Ended::Malformed("a server's message must not be masked"));
        }
        let (last, code) = (first & 0x80 != 0, first & 0x0f);
        let length = match second & 0x7f {
            126 => {
                let Some((length, behind)) = rest.split_first_chunk() else { return Ok(None) };
                rest = behind;
                u64::from(u16::from_be_bytes(*length))
            }
            127 => {
                let Some((length, behind)) = rest.split_first_chunk() else { return Ok(None) };
                rest = behind;
                u64::from_be_bytes(*length)
            }
            short => u64::from(short),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if code >= 0x8 && (length > 125 || !last) {
            return Err(Ended::Malformed("a control message that is too long"));
        }
        if length.saturating_add(self.text.len()) > LONGEST {
            return Err(Ended::Malformed("a message that is too long"));
        }
        let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        let whole = self.arrived.len() - rest.len() + length;
        self.arrived.advance(whole);
        Ok(Some((last, code, payload)))
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
        let mut frames = Frames::new(ours);
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
}

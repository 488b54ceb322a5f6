//! The frames out of the bytes of a WebSocket, as a server writes them (RFC 6455 section 5.2): pure.

/// Longest head of a frame that is not masked.
const MOST_HEAD: usize = 10;

/// The server sends what is no WebSocket, or not one of a server: why.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NoFrame(pub &'static str);

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// What it is: 0 goes on with a message, 1 is a text, 2 are bytes; from 8 on they are about the connection (8: its
    /// end, 9: a ping, 10: the answer to one).
    pub code: u8,
    /// It ends its message.
    pub last: bool,
    /// Bytes of its payload, as it claims.
    pub length: u64,
}

impl Frame {
    /// Whether it is of a message, not about the connection.
    pub fn speaks(self) -> bool {
        self.code & 0x08 == 0
    }
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece<'a> {
    /// Whose part it is.
    pub frame: Frame,
    /// The next bytes of its payload.
    pub payload: &'a [u8],
    /// Nothing of this frame came before.
    pub begins: bool,
    /// Nothing more of it comes.
    pub ends: bool,
}

/// Bytes of a WebSocket under way.
#[derive(Debug, Default)]
pub struct Frames {
    /// Of a head that has not come whole.
    head: Vec<u8>,
    /// Whose payload comes, and how much of it is to come.
    frame: Frame,
    left: u64,
}

impl Frames {
    /// The next part, taken from the front of `bytes`; `None` when all of them are used up and more are needed. A
    /// frame without a payload is one empty part.
    ///
    /// # Errors
    /// The bytes are none; nothing behind them can be read.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a>>, NoFrame> {
        let mut begins = false;
        while self.left == 0 {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.head.push(*byte);
            *bytes = rest;
            let Some(frame) = head(&self.head)? else { continue };
            self.head.clear();
            (self.frame, self.left, begins) = (frame, frame.length, true);
            if self.left == 0 {
                return Ok(Some(Piece { frame, payload: &[], begins, ends: true }));
            }
        }
        if bytes.is_empty() {
            // What it is can be judged before any of it comes.
            return Ok(begins.then_some(Piece { frame: self.frame, payload: &[], begins, ends: false }));
        }
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(here);
        *bytes = rest;
        self.left -= here as u64;
        Ok(Some(Piece { frame: self.frame, payload, begins, ends: self.left == 0 }))
    }
}

/// `None` when it has not come whole.
fn head(bytes: &[u8]) -> Result<Option<Frame>, NoFrame> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(NoFrame("an extension nobody asked for"));
    }
    if second & 0x80 != 0 || bytes.len() > MOST_HEAD {
        return Err(NoFrame("a server's message must not be masked"));
    }
    let wanted = match second {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(length) = rest.get(..wanted) else { return Ok(None) };
    let length = match wanted {
        0 => u64::from(*second),
        _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    Ok(Some(Frame { code: first & 0x0f, last: first & 0x80 != 0, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payloads of all messages, one behind the other.
    fn read(bytes: &[u8], size: usize) -> Result<Vec<u8>, NoFrame> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for mut bytes in bytes.chunks(size) {
            while let Some(piece) = frames.next(&mut bytes)? {
                if piece.frame.speaks() {
                    out.extend_from_slice(piece.payload);
                }
            }
        }
        Ok(out)
    }

    #[test]
    fn payloads_follow_each_other_wherever_the_bytes_are_cut() {
        let long = [b"\x82\x7e\x01\x00".to_vec(), vec![b'x'; 256]].concat();
        let longer = [b"\x82\x7f\0\0\0\0\0\x01\0\0".to_vec(), vec![b'x'; 1 << 16]].concat();
        for (bytes, want) in [
            (b"\x81\x02ab\x81\x02cd".to_vec(), b"abcd".to_vec()),
            // In two parts, with a ping between them and an empty frame.
            (b"\x01\x02ab\x89\x04ping\x00\x00\x80\x02cd".to_vec(), b"abcd".to_vec()),
            (long, vec![b'x'; 256]),
            (longer, vec![b'x'; 1 << 16]),
        ] {
            for size in [1, 2, 3, 7, 1000, 1 << 20] {
                assert_eq!(read(&bytes, size).as_ref(), Ok(&want), "{size}");
            }
        }
    }

    #[test]
    fn every_frame_begins_once_and_ends_once() {
        let bytes = b"\x01\x02ab\x89\x04ping\x00\x00\x80\x02cd\x88\x00";
        for size in 1..bytes.len() {
            let (mut frames, mut begun, mut ended) = (Frames::default(), Vec::new(), Vec::new());
            for mut bytes in bytes.chunks(size) {
                while let Some(piece) = frames.next(&mut bytes).unwrap() {
                    begun.extend(piece.begins.then_some(piece.frame));
                    ended.extend(piece.ends.then_some(piece.frame));
                }
            }
            let frame = |code, last, length| Frame { code, last, length };
            let all = [
                frame(1, false, 2),
                frame(9, true, 4),
                frame(0, false, 0),
                frame(0, true, 2),
                frame(8, true, 0),
            ];
            assert_eq!((begun.as_slice(), ended.as_slice()), (&all[..], &all[..]), "{size}");
        }
    }

    #[test]
    fn what_is_no_frame_of_a_server_is_refused() {
        for bytes in [&b"\x81\x82abcdef"[..], b"\xc1\x02ab", b"HTTP/1.1 200 OK\r\n"] {
            assert!(read(bytes, 1).is_err(), "{bytes:?}");
        }
    }
}

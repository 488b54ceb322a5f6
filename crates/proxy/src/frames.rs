//! The payloads out of the bytes of a WebSocket, as a server writes them (RFC 6455 section 5.2): pure.

/// Longest head of a frame that is not masked.
const MOST_HEAD: usize = 10;

/// The server sends what is no WebSocket, or not one of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NoFrame;

/// Bytes of a WebSocket under way.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Of a head that has not come whole.
    head: Vec<u8>,
    /// So much of a payload is to come.
    left: u64,
    /// It is of a message, not of a ping or the like.
    speaks: bool,
}

impl Frames {
    /// Hands what belongs to messages to `message`, in order and without what frames them.
    ///
    /// # Errors
    /// The bytes are none; nothing behind them can be read.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut message: impl FnMut(&[u8])) -> Result<(), NoFrame> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(here);
                if self.speaks {
                    message(payload);
                }
                self.left -= here as u64;
                bytes = rest;
                continue;
            }
            let Some((byte, rest)) = bytes.split_first() else { break };
            self.head.push(*byte);
            bytes = rest;
            if let Some((speaks, left)) = head(&self.head)? {
                (self.speaks, self.left) = (speaks, left);
                self.head.clear();
            }
        }
        Ok(())
    }
}

/// Whether a frame is of a message, and how long its payload is; `None` when its head has not come whole.
fn head(bytes: &[u8]) -> Result<Option<(bool, u64)>, NoFrame> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    // Extensions were not agreed on, and a server does not mask.
    if first & 0x70 != 0 || second & 0x80 != 0 || bytes.len() > MOST_HEAD {
        return Err(NoFrame);
    }
    let speaks = first & 0x08 == 0;
    let wanted = match second {
        126 => 2,
        127 => 8,
        length => return Ok(Some((speaks, u64::from(*length)))),
    };
    if rest.len() < wanted {
        return Ok(None);
    }
    Ok(Some((speaks, rest.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], size: usize) -> Result<Vec<u8>, NoFrame> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(size) {
            frames.read(piece, |payload| out.extend_from_slice(payload))?;
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
    fn what_is_no_frame_of_a_server_is_refused() {
        for bytes in [&b"\x81\x82abcdef"[..], b"\xc1\x02ab", b"HTTP/1.1 200 OK\r\n"] {
            assert_eq!(read(bytes, 1), Err(NoFrame));
        }
    }
}

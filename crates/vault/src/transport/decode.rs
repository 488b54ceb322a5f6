//! An answer's body out of the bytes of its connection: pure.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::{Framing, Malformed};

/// Longest line with a chunk's size, extensions included.
const MAX_SIZE_LINE: usize = 256;

/// Trailers together.
const MAX_TRAILERS: usize = 8 * 1024;

/// Most trailers.
const MAX_TRAILER_FIELDS: usize = 32;

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A part of the body.
    Data(Bytes),
    /// What follows the last part; the body is at its end.
    Trailers(HeaderMap),
    /// Nothing before more bytes have arrived.
    More,
    /// Nothing more at all.
    End,
}

/// Where in the body we are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decoder {
    /// So many bytes to come.
    Length(u64),
    /// Before a line with a chunk's size.
    Size,
    /// So many bytes of a chunk to come.
    Chunk(u64),
    /// Before the line end behind a chunk.
    ChunkEnd,
    /// Before the trailers.
    Trailers,
    /// All until the connection closes.
    UntilClose,
    /// At the end.
    Done,
}

impl From<Framing> for Decoder {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Size,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl Decoder {
    /// How many bytes are still to come, if that was said.
    pub(crate) fn length(self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(length),
            Self::Done => Some(0),
            _ => None,
        }
    }

    /// Takes what it can from the front of `input`.
    ///
    /// # Errors
    /// Chunks that are none.
    pub(crate) fn step(&mut self, input: &mut BytesMut) -> Result<Step, Malformed> {
        loop {
            match *self {
                Self::Done => return Ok(Step::End),
                Self::UntilClose if input.is_empty() => return Ok(Step::More),
                Self::UntilClose => return Ok(Step::Data(input.split().freeze())),
                Self::Length(left) => {
                    let Some((data, left)) = take(input, left) else { return Ok(Step::More) };
                    *self = if left == 0 { Self::Done } else { Self::Length(left) };
                    return Ok(Step::Data(data));
                }
                Self::Chunk(left) => {
                    let Some((data, left)) = take(input, left) else { return Ok(Step::More) };
                    *self = if left == 0 { Self::ChunkEnd } else { Self::Chunk(left) };
                    return Ok(Step::Data(data));
                }
                Self::ChunkEnd => match input.get(..2) {
                    None => return Ok(Step::More),
                    Some(b"\r\n") => {
                        drop(input.split_to(2));
                        *self = Self::Size;
                    }
                    Some(_) => return Err(Malformed("a chunk that is longer than it said")),
                },
                Self::Size => {
                    let Some(end) = memchr::memchr(b'\n', input) else {
                        return if input.len() > MAX_SIZE_LINE { Err(BAD_SIZE) } else { Ok(Step::More) };
                    };
                    let line = input.split_to(end + 1);
                    let line = line.strip_suffix(b"\r\n").filter(|line| line.len() <= MAX_SIZE_LINE);
                    let size = chunk_size(line.ok_or(BAD_SIZE)?)?;
                    *self = if size == 0 { Self::Trailers } else { Self::Chunk(size) };
                }
                Self::Trailers => {
                    if input.starts_with(b"\r\n") {
                        drop(input.split_to(2));
                        *self = Self::Done;
                        return Ok(Step::End);
                    }
                    let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
                        return if input.len() > MAX_TRAILERS { Err(BAD_TRAILERS) } else { Ok(Step::More) };
                    };
                    let trailers = trailers(&input.split_to(end + 4))?;
                    *self = Self::Done;
                    return Ok(Step::Trailers(trailers));
                }
            }
        }
    }
}

const BAD_SIZE: Malformed = Malformed("a chunk without a size");
const BAD_TRAILERS: Malformed = Malformed("trailers that are none");

fn take(input: &mut BytesMut, left: u64) -> Option<(Bytes, u64)> {
    if input.is_empty() {
        return None;
    }
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    Some((input.split_to(length).freeze(), left - length as u64))
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    // Fifteen digits are a petabyte; more could overflow.
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BAD_SIZE);
    }
    let text = std::str::from_utf8(digits).map_err(|_| BAD_SIZE)?;
    u64::from_str_radix(text, 16).map_err(|_| BAD_SIZE)
}

fn trailers(bytes: &[u8]) -> Result<HeaderMap, Malformed> {
    if bytes.len() > MAX_TRAILERS {
        return Err(BAD_TRAILERS);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(bytes, &mut fields) else {
        return Err(BAD_TRAILERS);
    };
    let field = |field: &httparse::Header<'_>| {
        Some((
            HeaderName::from_bytes(field.name.as_bytes()).ok()?,
            HeaderValue::from_bytes(field.value).ok()?,
        ))
    };
    fields.iter().map(|one| field(one).ok_or(BAD_TRAILERS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body, trailers and what is left, when the bytes arrive in pieces of `size`.
    fn decode(framing: Framing, text: &str, size: usize) -> Result<(String, HeaderMap, usize), Malformed> {
        let (mut decoder, mut input) = (Decoder::from(framing), BytesMut::new());
        let (mut body, mut found) = (Vec::new(), HeaderMap::new());
        let mut pieces = text.as_bytes().chunks(size);
        loop {
            match decoder.step(&mut input)? {
                Step::Data(data) => body.extend_from_slice(&data),
                Step::Trailers(trailers) => found = trailers,
                Step::More => match pieces.next() {
                    Some(piece) => input.extend_from_slice(piece),
                    None => break,
                },
                Step::End => break,
            }
        }
        let left = input.len() + pieces.map(<[u8]>::len).sum::<usize>();
        let left = if decoder == Decoder::Done { left } else { usize::MAX };
        Ok((String::from_utf8(body).unwrap(), found, left))
    }

    #[test]
    fn bodies_arrive_in_any_pieces() {
        const CHUNKS: &str = "5;name=value\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nx-sum: 1\r\n\r\nrest";
        for size in [1, 2, 3, 7, 1000] {
            let (body, trailers, left) = decode(Framing::Chunked, CHUNKS, size).unwrap();
            assert_eq!((body.as_str(), left), ("hello, world!!!", 4), "{size}");
            assert_eq!(trailers["x-sum"], "1");
            let (body, _, left) = decode(Framing::Length(5), "hellorest", size).unwrap();
            assert_eq!((body.as_str(), left), ("hello", 4), "{size}");
            let (body, _, left) = decode(Framing::UntilClose, "hello", size).unwrap();
            assert_eq!((body.as_str(), left), ("hello", usize::MAX), "{size}");
        }
        assert_eq!(decode(Framing::Chunked, "0\r\n\r\n", 1).unwrap().2, 0);
        assert_eq!(decode(Framing::Length(0), "", 1).unwrap().2, 0);
    }

    #[test]
    fn s6_bad_chunks_are_refused() {
        for bad in [
            "zz\r\n",
            "\r\n",
            "-5\r\nhello",
            "0x5\r\nhello",
            "5\nhello",
            "5\r\nhelloX\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "0\r\nno field\r\n\r\n",
            &format!("5;{}\r\nhello", "x".repeat(300)),
            &format!("0\r\na: {}\r\n\r\n", "x".repeat(9000)),
            &"1".repeat(300),
        ] {
            for size in [1, 1000] {
                assert!(decode(Framing::Chunked, bad, size).is_err(), "{bad:?} in pieces of {size}");
            }
        }
    }
}

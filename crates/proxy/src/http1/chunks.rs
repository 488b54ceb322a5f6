//! A chunked body, read strictly, byte by byte where it is not data.

use bytes::{Buf as _, Bytes, BytesMut};

use super::head::{Limits, has_control, is_token};
use crate::breach::Breach;

/// Longest extension of a chunk, which nobody uses.
const EXTENSION: u16 = 256;

/// Longest trailers together.
const TRAILERS: u16 = 8 * 1024;

/// A chunked body under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Chunks {
    at: At,
    /// Data of the chunks so far, as announced.
    total: u64,
    trailers: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        length: u16,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataEnd,
    DataLineFeed,
    /// At the first byte of a trailer or of the empty line at the end.
    Line,
    Name,
    Value,
    LineEnd,
    LastLineFeed,
    Over,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { at: At::Size { size: 0, digits: 0 }, total: 0, trailers: 0 }
    }

    /// Whether the end has been read.
    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// The next data; `None` when more has to come first, or nothing will.
    pub(super) fn next(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<Option<Bytes>, Breach> {
        while !input.is_empty() && !self.is_over() {
            if let At::Data { left } = self.at {
                let here = left.min(input.len() as u64);
                self.at = if left == here { At::DataEnd } else { At::Data { left: left - here } };
                // No more than `input` holds, so it fits.
                return Ok(Some(input.split_to(here as usize).freeze()));
            }
            let mut read = 0;
            for byte in input.iter() {
                self.at = self.step(*byte, limits)?;
                read += 1;
                if matches!(self.at, At::Data { .. } | At::Over) {
                    break;
                }
            }
            input.advance(read);
        }
        Ok(None)
    }

    /// Whether much of a chunk is still to come.
    pub(super) fn left(&self) -> u64 {
        if let At::Data { left } = self.at { left } else { 0 }
    }

    fn step(&mut self, byte: u8, limits: &Limits) -> Result<At, Breach> {
        const FRAMING: Breach = Breach::Framing("a chunk of the request body is malformed");
        if matches!(self.at, At::Line | At::Name | At::Value | At::LineEnd) {
            self.trailers += 1;
            if self.trailers > TRAILERS {
                return Err(Breach::Framing("the trailers are too long"));
            }
        }
        Ok(match (self.at, byte) {
            (At::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                // Fifteen digits are more than anybody has; more of them could overflow a reader.
                if digits == 15 {
                    return Err(FRAMING);
                }
                At::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (At::Size { digits: 0, .. }, _) => return Err(FRAMING),
            (At::Size { size, .. }, b'\r') => At::SizeEnd { size },
            (At::Size { size, .. }, b';') => At::Extension { size, length: 1 },
            (At::Extension { size, .. }, b'\r') => At::SizeEnd { size },
            (At::Extension { length: EXTENSION, .. }, _) => {
                return Err(Breach::Framing("the extension of a chunk is too long"));
            }
            (At::Extension { .. }, byte) if has_control(&[byte]) => return Err(FRAMING),
            (At::Extension { size, length }, _) => At::Extension { size, length: length + 1 },
            (At::SizeEnd { size }, b'\n') => {
                self.total = self.total.saturating_add(size);
                if self.total > limits.body {
                    return Err(Breach::BodySize);
                }
                if size == 0 { At::Line } else { At::Data { left: size } }
            }
            (At::DataEnd, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size { size: 0, digits: 0 },
            (At::Line, b'\r') => At::LastLineFeed,
            (At::Line, byte) if is_token(byte) => At::Name,
            (At::Name, byte) if is_token(byte) => At::Name,
            (At::Name, b':') => At::Value,
            (At::Value, b'\r') => At::LineEnd,
            (At::Value, byte) if !has_control(&[byte]) => At::Value,
            (At::LineEnd, b'\n') => At::Line,
            (At::LastLineFeed, b'\n') => At::Over,
            (At::Line | At::Name | At::Value | At::LineEnd | At::LastLineFeed, _) => {
                return Err(Breach::Framing("a trailer is malformed"));
            }
            _ => return Err(FRAMING),
        })
    }
}

//! The body of a request as it lies between the heads. Pure: bytes in, data or a fault out.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::chunks::Chunks;
use super::head::Limits;
use crate::breach::Breach;

/// A body with more than this to come is read in large pieces.
const LONG: u64 = 32 * 1024;

/// Why a body ended early.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Fault {
    /// A rule was broken.
    #[error("{}", .0.why())]
    Refused(Breach),
    /// The client has left, or its connection broke.
    #[error("failed to read request body")]
    Left,
    /// The request has its answer already.
    #[error("the request is over")]
    Over,
}

/// What is to come of a body.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    Over,
    Length(u64),
    Chunked(Chunks),
    Broken(Fault),
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::new())
    }

    /// Whether all of it has been read.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Whether it is worth a large buffer.
    pub(super) fn is_long(&self) -> bool {
        match self {
            Self::Length(left) => *left > LONG,
            Self::Chunked(chunks) => chunks.left() > LONG,
            Self::Over | Self::Broken(_) => false,
        }
    }

    /// How much is to come, if the client said.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Over => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Broken(_) => None,
        }
    }

    /// The next data out of `input`; `None` when more has to come first, or when it is over.
    pub(super) fn next(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<Option<Bytes>, Fault> {
        let read = match self {
            Self::Over => return Ok(None),
            Self::Broken(fault) => return Err(*fault),
            Self::Length(_) if input.is_empty() => return Ok(None),
            Self::Length(left) => {
                let here = (*left).min(input.len() as u64);
                *left -= here;
                if *left == 0 {
                    *self = Self::Over;
                }
                // No more than `input` holds, so it fits.
                return Ok(Some(input.split_to(here as usize).freeze()));
            }
            Self::Chunked(chunks) => {
                let read = chunks.next(input, limits);
                if chunks.is_over() {
                    *self = Self::Over;
                }
                read
            }
        };
        read.map_err(|breach| {
            *self = Self::Broken(Fault::Refused(breach));
            Fault::Refused(breach)
        })
    }
}

//! The body of an answer while it arrives, and its connection with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::connection::Connection;
use super::decode::{Decoder, Step};
use super::head::{AnswerHead, Framing, Malformed};
use super::pool::Pool;
use crate::{Body, BodyError};

/// Chunks that are there whole are put together at once up to this many bytes.
const SMALL: usize = 16 * 1024;

/// Bodies up to this length are cheaper to copy than a new buffer is to make.
const SHORT: usize = 4 * 1024;

/// Bodies with more than this to come are read in large pieces.
const LONG: u64 = 32 * 1024;

/// A body that is read from its connection as somebody asks for it. When it ends the connection goes back to its
/// pool; dropped before, it closes the connection.
pub struct Arriving {
    connection: Option<Box<Connection>>,
    decoder: Decoder,
    pool: Option<Arc<Pool>>,
}

/// The body behind `head`: whole if it has arrived already, as most have. `pool` takes the connection back, if it
/// may be used again.
///
/// # Errors
/// More bytes have arrived than the answer has.
pub(crate) fn body(
    mut connection: Box<Connection>,
    head: &AnswerHead,
    pool: Option<Arc<Pool>>,
) -> Result<Body, Malformed> {
    let pool = pool.filter(|_| head.keep);
    let input = &mut connection.input;
    let whole = match head.framing {
        Framing::Length(length) if input.len() as u64 >= length => {
            Some(taken(input, usize::try_from(length).unwrap_or_default()))
        }
        Framing::Chunked if input.len() <= SMALL && input.ends_with(b"\r\n\r\n") => chunks_at_once(input)?,
        Framing::Length(_) | Framing::Chunked | Framing::UntilClose => None,
    };
    let Some(whole) = whole else {
        return Ok(Body::Stream(Arriving {
            connection: Some(connection),
            decoder: head.framing.into(),
            pool,
        }));
    };
    give_back(connection, pool)?;
    Ok(Body::full(whole))
}

/// The first bytes. Short ones are copied, so that the buffer serves the next request on this connection.
fn taken(input: &mut BytesMut, length: usize) -> Bytes {
    match input.get(..length) {
        Some(short) if length <= SHORT => {
            let copy = Bytes::copy_from_slice(short);
            input.advance(length);
            copy
        }
        _ => input.split_to(length).freeze(),
    }
}

/// All chunks, if they are there and no trailers are.
fn chunks_at_once(input: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
    let (mut rest, mut all, mut decoder) = (input.clone(), BytesMut::new(), Decoder::Size);
    loop {
        match decoder.step(&mut rest)? {
            Step::Data(data) => all.extend_from_slice(&data),
            Step::End => break,
            Step::Trailers(_) | Step::More => return Ok(None),
        }
    }
    *input = rest;
    Ok(Some(all.freeze()))
}

fn give_back(connection: Box<Connection>, pool: Option<Arc<Pool>>) -> Result<(), Malformed> {
    if !connection.input.is_empty() {
        return Err(Malformed("more bytes than the answer has"));
    }
    if let Some(pool) = pool {
        pool.put(connection);
    }
    Ok(())
}

impl Arriving {
    /// How much is to come, if the server said.
    pub(crate) fn length(&self) -> Option<u64> {
        self.decoder.length()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.decoder == Decoder::Done
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        loop {
            let frame = match self.decoder.step(&mut connection.input) {
                Ok(Step::Data(data)) => Frame::data(data),
                Ok(Step::Trailers(trailers)) => Frame::trailers(trailers),
                Ok(Step::End) => return Poll::Ready(self.end().err().map(Err)),
                Ok(Step::More) => {
                    let long = !matches!(self.decoder, Decoder::Length(left) if left < LONG);
                    match ready!(connection.poll_fill(long, cx)) {
                        Ok(0) if self.decoder == Decoder::UntilClose => {
                            self.decoder = Decoder::Done;
                            self.connection = None;
                            return Poll::Ready(None);
                        }
                        Ok(0) => return self.fail(BodyError::Broken("unexpected EOF".to_owned())),
                        Ok(_) => continue,
                        Err(error) => return self.fail(BodyError::Broken(error.to_string())),
                    }
                }
                Err(malformed) => return self.fail(BodyError::Malformed(malformed.0)),
            };
            if self.is_over() {
                // The connection is free before the last part is handed on.
                self.end()?;
            }
            return Poll::Ready(Some(Ok(frame)));
        }
    }

    fn end(&mut self) -> Result<(), BodyError> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        give_back(connection, self.pool.take()).map_err(|malformed| BodyError::Malformed(malformed.0))
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.connection = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Self::poll_frame(self.get_mut(), cx)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        Self::size_hint(self)
    }
}

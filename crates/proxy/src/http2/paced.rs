//! Answers that a client does not take: the library waits for it without an end, stream by stream.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::serve::Outbound;

/// Handed to the library at a time: it takes a piece whole, however little the client takes of it.
const PIECE: usize = 16 * 1024;

/// Since when which streams of one connection wait for the client.
pub(super) struct Pace {
    waiting: Mutex<(u64, HashMap<u64, Instant>)>,
    patience: Duration,
}

impl Pace {
    pub(super) fn new(patience: Duration) -> Self {
        Self { waiting: Mutex::default(), patience }
    }

    fn waiting(&self) -> MutexGuard<'_, (u64, HashMap<u64, Instant>)> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Ends when one has waited for too long.
    pub(super) async fn late(&self) {
        loop {
            let oldest = self.waiting().1.values().min().copied();
            let now = Instant::now();
            match oldest {
                Some(oldest) if oldest + self.patience <= now => return,
                Some(oldest) => sleep_until(oldest + self.patience).await,
                // One that begins to wait now is not late before.
                None => sleep_until(now + self.patience).await,
            }
        }
    }
}

/// An answer's body that is handed out in small pieces, and tells when nobody takes them.
pub(super) struct Paced {
    body: Outbound,
    /// What is left of a long piece.
    rest: Bytes,
    /// It is told how long it is, and not sent: the request was a `HEAD`. The library would send it.
    head_alone: bool,
    number: u64,
    pace: Arc<Pace>,
}

impl Paced {
    pub(super) fn new(body: Outbound, pace: &Arc<Pace>, head_alone: bool) -> Self {
        let mut waiting = pace.waiting();
        waiting.0 += 1;
        let number = waiting.0;
        waiting.1.insert(number, Instant::now());
        drop(waiting);
        Self { body, rest: Bytes::new(), head_alone, number, pace: Arc::clone(pace) }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.pace.waiting().1.remove(&self.number);
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = vault::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, vault::BodyError>>> {
        if self.head_alone {
            return Poll::Ready(None);
        }
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    // Trailers are dropped.
                    Err(_) => continue,
                },
                Poll::Pending => {
                    // It is the server that we wait for.
                    self.pace.waiting().1.remove(&self.number);
                    return Poll::Pending;
                }
                other => return other,
            }
        }
        self.pace.waiting().1.insert(self.number, Instant::now());
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.head_alone || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        match hint.exact() {
            Some(exact) => hint.set_exact(exact + rest),
            None => hint.set_lower(hint.lower() + rest),
        }
        hint
    }
}

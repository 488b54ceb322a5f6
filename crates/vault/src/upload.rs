//! A request's body that is too long to be kept: it goes out as it comes in, once.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;

type Source = Pin<Box<dyn Body<Data = Bytes, Error = String> + Send>>;

/// The rest of a body that is still arriving, behind what was read of it. Clones share it: whoever sends it first
/// has it, and nobody can send it again.
#[derive(Clone)]
pub struct Upload {
    source: Arc<Mutex<Option<Source>>>,
    /// Bytes to come, if the sender said.
    length: Option<u64>,
}

impl Upload {
    /// From a body whose errors are sentences.
    pub fn new(body: impl Body<Data = Bytes, Error = String> + Send + 'static) -> Self {
        let length = body.size_hint().exact();
        Self { source: Arc::new(Mutex::new(Some(Box::pin(body)))), length }
    }

    /// How many bytes are to come; `None` when that is known only at the end.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it was sent, or begun to be.
    pub(crate) fn is_taken(&self) -> bool {
        self.source.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).is_none()
    }

    /// All that is to come, for upstreams that need it whole.
    ///
    /// # Errors
    /// What was wrong with it, or that it was taken.
    pub async fn collect(&self) -> Result<Bytes, String> {
        let mut sending = self.take().ok_or("the body was sent already")?;
        let mut all = BytesMut::new();
        while let Some(part) = poll_fn(|cx| sending.poll_part(cx)).await {
            all.extend_from_slice(&part?);
        }
        Ok(all.freeze())
    }

    /// Takes the body, to send it; `None` when it was taken.
    pub(crate) fn take(&self) -> Option<Sending> {
        self.source.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take().map(Sending)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({:?} bytes)", self.length)
    }
}

/// A body on its way out.
pub(crate) struct Sending(Source);

impl Sending {
    /// The next part; trailers are dropped.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            return Poll::Ready(match ready!(self.0.as_mut().poll_frame(cx)) {
                None => None,
                Some(Err(reason)) => Some(Err(reason)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(part) => Some(Ok(part)),
                    Err(_) => continue,
                },
            });
        }
    }
}

//! Requests that were refused because our token had died: they wait for the next one and are sent once more.
//!
//! A server looks at the token before anything else, so a request refused for a dead token did nothing. Whether it was
//! that, the check says which whoever keeps the token makes, once for all; see `auto_auth::Reauth`. A write is sent
//! again only when the server's own words were those for a dead token as well: it might have been refused by what
//! stands behind the server, after that had acted, with the token dying in the meantime. Nothing waits without a
//! bound: not in time, not in number, not in bytes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache::Answer;
use http::StatusCode;
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::info;
use vault::{Gathered, Request, SendError, TokenState, shown};

use crate::forward::attach;
use crate::redact::BODY_PATIENCE;
use crate::route::Context;

/// How long a refused request waits for the verdict and for the next token. A check and a login take milliseconds; a
/// client's own patience is rarely shorter than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that wait at a time; more are answered with the refusal.
const MOST_WAITING: usize = 512;

/// Bodies of them together: 16 MiB.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A refusal's text is short; a longer one is none of the server's own and not looked into.
const MOST_TEXT: usize = 64 * 1024;

/// The server refused our token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Of the token, as [`TokenState`] counts.
    pub generation: u64,
    /// The words are those for a dead token.
    pub looks_dead: bool,
}

/// Room for requests that wait.
#[derive(Clone, Debug)]
pub struct WaitingRoom {
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Default for WaitingRoom {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_WAITING)), bytes: Arc::new(Semaphore::new(MOST_BYTES)) }
    }
}

impl WaitingRoom {
    fn admit(&self, bytes: usize) -> Option<[OwnedSemaphorePermit; 2]> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some([place, bytes])
    }
}

/// Sends a request that travels with our token `ours`, and once more with the next when that one was dead. Gives the
/// token that the answer is for.
pub(crate) async fn send(
    context: &Context,
    request: Request,
    ours: TokenState,
) -> Result<(Answer, TokenState), SendError> {
    // Lent: hardly any request is refused, and a copy of each would cost more than all the rest here.
    let answer = context.cache.lend(&request).await?;
    if answer.response.status != StatusCode::FORBIDDEN {
        return Ok((answer, ours));
    }
    Box::pin(refused(context, answer, request, ours)).await
}

/// The token was refused: asks whether it is dead, and sends the request again if another one comes.
async fn refused(
    context: &Context,
    answer: Answer,
    mut again: Request,
    ours: TokenState,
) -> Result<(Answer, TokenState), SendError> {
    let (answer, looks_dead) = look_into(answer, &again).await?;
    let comes = (context.handles.refused)(Refusal { generation: ours.generation, looks_dead });
    // What went out as it came in is gone.
    if again.upload.is_some() || (!again.is_safe() && !looks_dead) {
        return Ok((answer, ours));
    }
    let Some(_room) = context.waiting_room.admit(again.body.len()) else { return Ok((answer, ours)) };
    let mut tokens = context.tokens.clone();
    let newer = async move {
        let newer = tokens.wait_for(|state| state.generation > ours.generation).await;
        newer.ok().map(|state| state.clone())
    };
    let mut newer = pin!(newer);
    let next = timeout(PATIENCE, async {
        tokio::select! {
            biased;
            next = &mut newer => next,
            comes = comes => if comes { newer.await } else { None },
        }
    });
    let Ok(Some(next)) = next.await else { return Ok((answer, ours)) };
    info!(target: "apiproxy", method = shown(again.method.as_str()), "the token had died, sending the request again with the new one");
    attach(&mut again.headers, &next);
    Ok((context.cache.send(again).await?, next))
}

/// Reads a refusal whole, so that its connection is free while we wait; what is longer than the server's own words
/// stays as it is.
async fn look_into(mut answer: Answer, request: &Request) -> Result<(Answer, bool), SendError> {
    if answer.response.body.size_hint().lower() > MOST_TEXT as u64 {
        return Ok((answer, false));
    }
    match answer.response.body.gather(MOST_TEXT, BODY_PATIENCE).await {
        Ok(Gathered::Whole(text)) => Ok((answer, looks_dead(&text))),
        Ok(Gathered::TooLong) => Ok((answer, false)),
        Ok(Gathered::TooSlow) => Err(SendError::TimedOut(BODY_PATIENCE)),
        Err(why) => Err(SendError::of_body(request.method.clone(), why)),
    }
}

/// Whether a refusal has the words for a dead token: Vault's hold `invalid token`, OpenBao's are a bare `permission
/// denied` where a policy's denial is counted (`1 error occurred: …`). No words at all (`HEAD`) may mean either: what was
/// found in the last second will do for them.
fn looks_dead(body: &[u8]) -> bool {
    let errors = vault::ServerErrors::parse(body).errors;
    errors.iter().any(|error| error == "permission denied" || error.contains("invalid token"))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use bytes::Bytes;
    use http_body::Frame;
    use vault::{Body, BodyError};

    use super::*;

    #[test]
    fn the_servers_words() {
        for (body, dead) in [
            (r#"{"errors":["permission denied"]}"#, true),
            (r#"{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#, true),
            (r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, false),
            (
                r#"{"errors":["preflight capability check returned 403, please ensure client's policies grant access to path \"x/\""]}"#,
                false,
            ),
            (r#"{"errors":[]}"#, false),
            ("<html>Forbidden</html>", false),
            ("", false),
        ] {
            assert_eq!(looks_dead(body.as_bytes()), dead, "{body}");
        }
    }

    /// In pieces of 16 KiB, without saying how long it is.
    struct Chunks(usize);

    impl http_body::Body for Chunks {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(vec![b'x'; 16 * 1024].into()))))
        }
    }

    #[tokio::test]
    async fn a_long_refusal_is_neither_read_whole_nor_lost() {
        const CHUNKS: usize = 100;
        let response = vault::Response {
            status: StatusCode::FORBIDDEN,
            headers: http::HeaderMap::new(),
            body: Body::Other(Box::pin(Chunks(CHUNKS))),
        };
        let answer = Answer { response, origin: cache::Origin::Upstream };
        let (answer, looks_dead) = look_into(answer, &Request::default()).await.unwrap();
        assert!(!looks_dead);
        let Body::Continued(Some(read), _) = &answer.response.body else { unreachable!() };
        assert!(read.len() <= MOST_TEXT + 16 * 1024, "{}", read.len());
        let all = answer.response.body.collect(1 << 30, BODY_PATIENCE).await.unwrap();
        assert_eq!(all.len(), CHUNKS * 16 * 1024);
    }

    #[test]
    fn the_waiting_room_is_bounded_in_number_and_in_bytes() {
        let room = WaitingRoom::default();
        let guests: Vec<_> = (0..MOST_WAITING).map(|_| room.admit(10).unwrap()).collect();
        assert!(room.admit(0).is_none());
        drop(guests);
        let large = room.admit(MOST_BYTES - 1).unwrap();
        assert!(room.admit(2).is_none() && room.admit(1).is_some());
        drop(large);
        assert!(room.admit(MOST_BYTES).is_some() && room.admit(MOST_BYTES + 1).is_none());
    }
}

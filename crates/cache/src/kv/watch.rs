//! Every request and its answer on their way: what a read tells, and what a write, a revocation or a change of
//! policies makes wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use vault::{Gathered, Request, Response, SendError, Sent, Token};

use super::bodies::{Arrived, Wiped};
use super::driver::{Admission, News};
use super::meaning::{self, Reach};
use super::state::Learned;
use super::tokens::Standing;
use super::writes::Ticket;
use super::{Asked, Kv, TokenHash, reading, token_of};
use crate::answer::Kept;
use crate::observe::Observation;
use crate::policy::may_have_acted;

/// Eyes on one request. Dropped, it forgets what a write may have changed: also when no answer came, or when its
/// client left.
pub(crate) struct Watch {
    kv: Arc<Kv>,
    ticket: Ticket,
    read: Option<(Asked, Arc<Token>)>,
    write: Option<Write>,
    token: Option<TokenHash>,
}

struct Write {
    place: String,
    reach: Reach,
    observation: Option<Observation>,
    made: Option<(u64, String)>,
    /// The server said what became of it.
    answered: bool,
}

/// "Nothing there" is said in few words.
const MOST_ABSENT: usize = 4096;
const ABSENT_PATIENCE: Duration = Duration::from_secs(2);

impl Kv {
    /// To be called before a request is sent.
    pub(crate) fn watch(self: &Arc<Self>, request: &Request, observation: Option<&Observation>) -> Watch {
        let safe = request.is_safe();
        let read = if safe { self.asked(request).zip(token_of(request)) } else { None };
        let write = (!safe).then(|| {
            let (place, reach) = meaning::write(request);
            Write { place, reach, observation: observation.cloned(), made: None, answered: false }
        });
        let token = match &read {
            Some((asked, _)) => Some(asked.hash),
            None => request.token_sent().map(|token| self.hasher.hash(token)),
        };
        Watch { kv: Arc::clone(self), ticket: self.state().writes.ticket(self.now()), read, write, token }
    }

    /// What an answer to a read of ours or of a client's tells.
    pub(super) fn learn(
        &self,
        ticket: Ticket,
        asked: &Asked,
        token: &Arc<Token>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Kept> {
        let now = self.now();
        let mut state = self.state();
        let standing = state.standing(asked.hash, now);
        if standing == Standing::Never || body.len() > state.settings.max_entry_bytes {
            return None;
        }
        let arrived = Arrived { headers: headers.clone(), text: Wiped::new(body) };
        let learned = state.read(ticket, asked.hash, &asked.meaning, &arrived, now);
        let holds = state.permits(ticket, asked.hash);
        drop(state);
        let unknown_mount = matches!(learned, Learned::UnknownMount);
        if holds && (unknown_mount || standing == Standing::Unknown) {
            // Bodies that wait are few: the others come with the next read.
            let room = if unknown_mount { Arc::clone(&self.waiting).try_acquire_owned().ok() } else { None };
            let admission = Admission {
                ticket,
                hash: asked.hash,
                token: Arc::clone(token),
                meaning: asked.meaning.clone(),
                body: room.map(|room| (arrived, room)),
            };
            let _ = self.news.try_send(News::Admit(Box::new(admission)));
        }
        match learned {
            Learned::Older(kept) => Some(kept),
            _ => None,
        }
    }

    fn observe(&self, observation: &Observation) {
        let mut state = self.state();
        let hash = |token: &vault::SecretString| self.hasher.hash(token.expose());
        match observation {
            Observation::Token(token) => state.token_gone(hash(token), true),
            Observation::TokenOnly(token) => state.token_gone(hash(token), false),
            Observation::Accessor(accessor) => state.accessor_gone(accessor.expose()),
            // A login's lease is its token.
            Observation::Lease(lease) if lease.contains("auth/") => state.drop_grants(),
            // Of a mount, or of all logins of one, or of a namespace.
            Observation::Area(_) => {
                state.clear();
            }
            Observation::Lease(_) | Observation::LeaseRenewed(_) | Observation::TokenRenewed(_) => {}
        }
    }

    /// The same may come true later: nobody knows whether it has.
    fn expect(&self, observation: &Observation, now: Instant) {
        let mut state = self.state();
        match observation {
            Observation::Token(token) | Observation::TokenOnly(token) => {
                state.may_end(self.hasher.hash(token.expose()), now);
            }
            Observation::Lease(lease) if !lease.contains("auth/") => {}
            Observation::Accessor(_) | Observation::Lease(_) => state.writes.may_permit(now),
            Observation::Area(_) => state.may_all(now),
            Observation::LeaseRenewed(_) | Observation::TokenRenewed(_) => {}
        }
    }
}

impl Watch {
    /// The head of the answer came. What it makes wrong is forgotten; true: that is to be on the disk before the answer
    /// leaves.
    pub(crate) async fn head(&mut self, response: &mut Response) -> bool {
        let status = response.status;
        if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            // It was refused: nothing has changed.
            self.write = None;
        }
        if let Some(write) = &mut self.write {
            write.answered = status.is_success() || !may_have_acted(status);
        }
        if status == StatusCode::FORBIDDEN
            && let Some(token) = self.token
        {
            let _ = self.kv.news.try_send(News::Check(token));
            self.kv.state().doubt(token);
        }
        self.forget();
        let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        let Some((asked, _)) = &self.read else { return refused || self.write.is_some() };
        match status {
            StatusCode::FORBIDDEN => self.kv.state().refused(asked.hash, &asked.meaning.key),
            StatusCode::NOT_FOUND => {
                let wanted = !self.kv.state().settings.negative_ttl.is_zero();
                let body = match wanted {
                    true => response.body.gather(MOST_ABSENT, ABSENT_PATIENCE).await.ok(),
                    false => None,
                };
                let arrived = match body {
                    Some(Gathered::Whole(body)) => {
                        Some(Arrived { headers: response.headers.clone(), text: Wiped::new(&body) })
                    }
                    _ => None,
                };
                let now = self.kv.now();
                self.kv.state().absent(self.ticket, asked.hash, &asked.meaning, arrived.as_ref(), now);
            }
            _ => {}
        }
        refused
    }

    /// No answer came.
    pub(crate) fn failed(mut self, error: &SendError) {
        if error.sent() == Sent::No {
            // Nor did the request go out: nothing has changed.
            self.write = None;
        }
    }

    /// What a write may have changed.
    fn forget(&self) {
        let Some(write) = &self.write else { return };
        if let Some(observation) = &write.observation {
            self.kv.observe(observation);
        }
        let mut state = self.kv.state();
        if write.answered {
            state.wrote(&write.place, write.reach, write.made.clone());
            return;
        }
        let now = self.kv.now();
        state.may_write(&write.place, write.reach, now);
        drop(state);
        if let Some(observation) = &write.observation {
            self.kv.expect(observation, now);
        }
    }

    /// The whole body of an answer that may hold a secret came. What is to be answered in its place, if anything.
    pub(crate) fn body(&mut self, response: &Response, body: &Bytes) -> Option<Kept> {
        if let Some(write) = &mut self.write {
            write.made = reading::written(body);
        }
        let (asked, token) = self.read.as_ref().filter(|_| response.status == StatusCode::OK)?;
        self.kv.learn(self.ticket, asked, token, &response.headers, body)
    }
}

/// Once more: a read that was sent before the write was done is not kept.
impl Drop for Watch {
    fn drop(&mut self) {
        self.forget();
    }
}

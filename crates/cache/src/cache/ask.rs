//! Asking the server, and what is made of its answer.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::{debug, warn};
use vault::{
    Accessor, Body, Gathered, LeaseId, Request, Response, Secret, SecretString, SendError, Token, headers,
};

use super::overtaking::Overtaking;
use super::revoking::Revoking;
use super::{Inner, READ_PATIENCE, from_upstream};
use crate::answer::{Answer, Kept};
use crate::flight::{Flight, Landing};
use crate::key::Key;
use crate::life::{Life, bounded};
use crate::observe::{Observation, observe};
use crate::policy::{self, Decision};
use crate::renewals::News;
use crate::store::{After, NewEntry, Place, Subject};

impl Inner {
    /// Asks for what may be a lease in a task of its own: a client that leaves must not orphan it. The task
    /// ends with the answer; a flight tells the others if it does not.
    pub(super) async fn ask_apart(
        inner: &Arc<Self>,
        request: Cow<'_, Request>,
        key: Key,
        flight: Option<Flight>,
        path: u64,
        replaces: bool,
    ) -> Result<Answer, SendError> {
        if inner.is_plain(path) {
            return inner.ask(&request, Some(key), flight, replaces).await;
        }
        let (own, method) = (Arc::clone(inner), request.method.clone());
        let request = request.into_owned();
        let asked = inner.left.run(async move { own.ask(&request, Some(key), flight, replaces).await });
        // While we wait, only a panic or the runtime's end stops it.
        asked.await.unwrap_or_else(|_| Err(broken(method, "a bug in Sidekey (panic)".to_owned())))
    }

    /// Asks for something once more, on nobody's behalf.
    pub(super) async fn refetch(door: Weak<Self>, request: Arc<Request>) {
        let Some(inner) = door.upgrade() else { return };
        let key = inner.keys.key(&request);
        if let Err(error) = inner.ask(&request, Some(key), None, false).await {
            debug!(target: "cache.leasecache", %error, "no replacement came for what ends soon");
        }
    }

    /// Asks the server, looks at the answer, remembers, forgets, and tells whoever waits. `replaces` says that the
    /// client wants the answer in the place of the old one.
    pub(super) async fn ask(
        &self,
        request: &Request,
        key: Option<Key>,
        flight: Option<Flight>,
        replaces: bool,
    ) -> Result<Answer, SendError> {
        let path = self.path_hash(request);
        let safe = request.is_safe();
        let asked = Asked::of(request);
        // To its end, however it ends.
        let mut overtaking = (!safe)
            .then(|| Overtaking::begin(&self.flights, request, asked.observation.as_ref(), &self.hasher));
        let sent_at = self.shared.clock.now();
        let began = self.shared.store().marks.count();
        let mut watch = self.shared.kv().map(|kv| kv.watch(request, asked.observation.as_ref()));
        let revoking = Revoking::begin(self, asked.observation.as_ref());
        let mut response = match self.upstream.lend(request).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(watch) = watch.take() {
                    watch.failed(&error);
                }
                revoking.failed(&error);
                if !safe {
                    self.settle().await;
                }
                if let (Some(flight), true) = (flight, safe) {
                    flight.land(&Landing::Failed(error.clone()));
                }
                return Err(error);
            }
        };
        let mut forgot = match &mut watch {
            Some(watch) => watch.head(&mut response).await,
            None => false,
        };
        let looked_into = policy::may_hold_secret(response.status, &response.headers);
        // Reads that others wait for are read whole as well, whatever they hold.
        let shared = safe && flight.as_ref().is_some_and(Flight::is_awaited);
        let observed = if response.status.is_success() { asked.observation.as_ref() } else { None };
        forgot |= revoking.answered(response.status);
        if forgot {
            // Not to come back after a crash: before the answer leaves.
            self.settle().await;
        }
        // The server does not know any more what was to be renewed.
        if matches!(response.status.as_u16(), 400 | 404)
            && let Some(observation) = asked.observation.as_ref().filter(|renewal| renewal.is_renewal())
        {
            self.forget(observation);
        }
        if response.status == StatusCode::FORBIDDEN
            && let Some(token) = &asked.token
        {
            let doubted = self.shared.store().doubt(token.expose(), self.shared.clock.now());
            self.tell(doubted.map(News::Doubt));
        }
        if !looked_into && !shared {
            return Ok(from_upstream(response));
        }
        // Those who wait for a read wait no longer than this, and one that never ends (`sys/monitor`) goes on.
        let patience = if looked_into { self.body_timeout } else { READ_PATIENCE };
        let mut whole = match self.room.gather(&mut response.body, patience).await {
            Ok(Gathered::Whole(bytes)) => bytes,
            Ok(Gathered::TooSlow) if looked_into => return Err(SendError::TimedOut(patience)),
            Ok(Gathered::TooLong | Gathered::TooSlow) => return Ok(from_upstream(response)),
            Err(why) => return Err(SendError::of_body(asked.method, why)),
        };
        if looked_into && let Some(newer) = watch.as_mut().and_then(|watch| watch.body(&response, &whole)) {
            (whole, response) = (newer.body.clone(), newer.response());
        }
        if let Some(observation) = observed {
            self.note_renewal(observation, &whole, sent_at);
        }
        let remembered = match (key, looked_into) {
            (Some(key), true) if self.options.load().leases => {
                let again = self.options.load().refresh_ahead.then(|| Arc::new(unguarded(request)));
                let answered =
                    Answered { response: &response, body: &whole, sent_at, began, replaces, again };
                self.remember(key, &asked, answered)
            }
            _ => false,
        };
        self.note_plain(path, !remembered);
        if let Some(write) = overtaking.as_mut().filter(|_| looked_into && policy::gives_token(&whole)) {
            write.gave_token();
        }
        // Before anybody is told.
        drop(overtaking);
        if let Some(flight) = flight {
            flight.land(&match (remembered, safe) {
                (true, _) => Landing::Remembered,
                (false, true) => Landing::Shared(Kept {
                    status: response.status,
                    headers: Arc::new(response.headers.clone()),
                    // Counted for as long as anybody has it.
                    body: match &response.body {
                        Body::Full(Some(counted)) => counted.clone(),
                        _ => whole,
                    },
                    since: sent_at,
                }),
                (false, false) => Landing::Alone,
            });
        }
        Ok(from_upstream(response))
    }

    fn remember(&self, key: Key, asked: &Asked, answered: Answered<'_>) -> bool {
        let Answered { response, body, sent_at, began, replaces, again } = answered;
        let now = self.shared.clock.now();
        let mut store = self.shared.store();
        let asker = asked.token.as_ref().map(SecretString::expose);
        let above = asker.and_then(|token| store.managed(token));
        let (subject, parent, ttl, told) = match policy::decide(&asked.place.path, body, above.is_some()) {
            Decision::Pass => return false,
            Decision::Lease { lease_id, ttl, told } => match LeaseId::new(lease_id) {
                Some(lease) => (Subject::Lease { lease }, above, ttl, told),
                None => return false,
            },
            Decision::Token { token, accessor, ttl, told, child } => match Token::new(token) {
                Ok(token) => {
                    let accessor = accessor.and_then(Accessor::new);
                    (Subject::Issued { token: Arc::new(token), accessor }, above.filter(|_| child), ttl, told)
                }
                Err(_) => return false,
            },
        };
        // Revoked or cleared while the answer was under way: who asked has it, nobody else will.
        if store.marks.outdate(began, &subject, &asked.place, asker) {
            return false;
        }
        debug!(target: "cache.leasecache", path = %asked.place.path, ttl, "storing response into the cache");
        let inserted = store.insert(NewEntry {
            key,
            subject,
            parent,
            place: asked.place.clone(),
            status: response.status,
            headers: &response.headers,
            body,
            told,
            life: Life::new(bounded(ttl), sent_at, fastrand::f64()),
            now,
            asker,
            again,
        });
        self.tell(Some(News::At(inserted.id, inserted.at)));
        if let Some(replaced) = inserted.replaced.filter(|_| replaces && self.options.load().revoke_replaced)
        {
            let handle = store.handle(replaced);
            store.evict(replaced);
            self.tell(handle.map(News::Revoke));
        }
        drop(store);
        if inserted.dropped > 0 {
            self.dropped.fetch_add(inserted.dropped as u64, Relaxed);
            if !self.full.swap(true, Relaxed) {
                warn!(
                    target: "cache.leasecache",
                    "the cache is full (max_entries, max_bytes): what was used least lately is renewed no more and ends \
                     with its TTL; how much that was is counted, this is said once"
                );
            }
        }
        true
    }

    pub(super) fn forget(&self, observation: &Observation) {
        let gone = self.shared.store().forget(observation);
        if gone > 0 {
            debug!(target: "cache.leasecache", gone, "evicted after a revocation");
        }
    }

    /// A renewal by somebody else moves the entry's deadlines as our own would.
    fn note_renewal(&self, observation: &Observation, body: &[u8], sent_at: Instant) {
        let Ok(Some(secret)) = Secret::parse(body) else { return };
        let mut store = self.shared.store();
        let (id, seconds, again) = match observation {
            Observation::LeaseRenewed(lease) => (store.lease(lease), secret.lease_duration, secret.renewable),
            Observation::TokenRenewed(token) => {
                let (seconds, again) =
                    secret.auth.map(|auth| (auth.lease_duration, auth.renewable)).unwrap_or_default();
                (store.managed(token.expose()), seconds, again)
            }
            _ => return,
        };
        if let (Some(id), Ok(seconds)) = (id, u64::try_from(seconds)) {
            let After { at, .. } = store.renewed(id, bounded(seconds), sent_at, false, again);
            self.tell(at.map(|at| News::At(id, at)));
        }
    }
}

/// An answer, and what is known of how it came.
struct Answered<'a> {
    response: &'a Response,
    body: &'a [u8],
    sent_at: Instant,
    /// What had been forgotten when it was asked for.
    began: u64,
    replaces: bool,
    again: Option<Arc<Request>>,
}

/// To be sent again without the client that it counted against.
fn unguarded(request: &Request) -> Request {
    Request { guard: None, ..request.clone() }
}

/// What is needed of a request once it was sent.
struct Asked {
    method: Method,
    token: Option<SecretString>,
    place: Place,
    observation: Option<Observation>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let text = |name| Some(request.headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            method: request.method.clone(),
            token: request.token_sent().map(SecretString::from),
            place: Place { namespace: text(headers::NAMESPACE).map(Into::into), path: request.path().into() },
            observation: observe(request),
        }
    }
}

fn broken(method: Method, reason: String) -> SendError {
    SendError::Broken {
        method,
        address: "the server".to_owned(),
        reason,
        sent: vault::Sent::Maybe,
        began: false,
    }
}

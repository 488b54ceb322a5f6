//! The one door to the server.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{HeaderValue, Method, header};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use vault::api::Caller;
use vault::{
    Accessor, BoxFuture, Gathered, LeaseId, Request, Response, Secret, SecretString, SendError, Token,
    Upstream, headers,
};

use crate::answer::{Answer, Kept, Origin};
use crate::clear::{Clear, below};
use crate::disk::{self, Disk, Opened, SETTLE_PATIENCE};
use crate::flight::{Flight, Flights, Joined, Kind, Landing};
use crate::key::{Key, Keys, may_be_cached};
use crate::left::Left;
use crate::observe::{Observation, observe};
use crate::policy::{self, Decision};
use crate::renewals;
use crate::store::disk::Clocks;
use crate::store::{Held, Id, Life, NewEntry, Next, Place, Store, Subject};

/// Answers up to this size (32 MiB, the servers' own limit for bodies) are looked into; longer ones pass.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// How long a read waits for an equal one before it asks for itself: a hung one must not hold the others.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// Of a token that the server has not been asked about since the start (RFC 7234: revalidation failed).
const UNCONFIRMED: HeaderValue =
    HeaderValue::from_static("111 - \"the server could not be asked since the restart\"");

/// So many paths are known as never remembered; beyond it the knowledge starts anew.
const MAX_PLAIN_PATHS: usize = 4096;

/// Whether anything is remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// No `cache` stanza: everything is passed on as it is.
    PassOn,
    /// Remember.
    Remember,
}

/// What a cache did and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Requests answered from memory.
    pub hits: u64,
    /// Requests that could have been, and were not remembered.
    pub misses: u64,
    /// Renewals of leases and tokens that succeeded.
    pub renewals: u64,
    /// Those that failed.
    pub renewal_failures: u64,
    /// Answers remembered now.
    pub entries: usize,
    /// What is kept alive.
    pub held: Held,
}

/// The door to the server. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    mode: Mode,
    upstream: Arc<dyn Upstream>,
    shared: Arc<Shared>,
    keys: Keys,
    flights: Flights,
    hasher: RandomState,
    /// Paths whose answers were not worth remembering: writes there need not wait for one another.
    plain: Mutex<HashSet<u64>>,
    /// Room for requests whose clients have left.
    left: Left,
    scheduled: mpsc::UnboundedSender<(Id, Instant)>,
    /// Where it is kept between two runs.
    disk: Option<Disk>,
    /// Cancelled once the server was asked about what an earlier run left.
    settled: CancellationToken,
    /// How long an answer's body may take to arrive, when it has to be read whole.
    body_timeout: Duration,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the renewing task shares with the door.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Store>, pub(crate) Renewals);

/// Renewals of what is remembered.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    pub(crate) done: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Shared {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Cache {
    /// A cache before `upstream`, and the future that keeps its content alive, to be run by the caller.
    /// `caller` is whom renewals speak as.
    pub fn new(
        mode: Mode,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::kept(mode, upstream, caller, stop, None)
    }

    /// The same with a file that outlives the process: what is in it is taken in, and what changes is written to it.
    pub fn kept(
        mode: Mode,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        stop: CancellationToken,
        opened: Option<Opened>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (scheduled, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let keys = opened.as_ref().map_or_else(Keys::new, |opened| Keys::with_secret(&opened.request_secret));
        let (disk, news) = take_in(&shared, opened, &scheduled);
        let settled = CancellationToken::new();
        if shared.store().unconfirmed().is_empty() {
            settled.cancel();
        }
        let inner = Inner {
            mode,
            upstream: Arc::clone(&upstream),
            shared: Arc::clone(&shared),
            keys,
            flights: Flights::default(),
            hasher: RandomState::new(),
            plain: Mutex::default(),
            left: Left::default(),
            scheduled,
            disk: disk.clone(),
            settled: settled.clone(),
            body_timeout: caller.timeout,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        };
        let keep_alive = async move {
            let confirmed =
                disk::confirm(Arc::clone(&shared), Arc::clone(&upstream), caller.clone(), settled);
            let written = async {
                if let (Some(disk), Some(news)) = (&disk, news) {
                    disk.run(Arc::clone(&shared), news).await;
                }
            };
            let renewed = renewals::run(Arc::clone(&shared), upstream, caller, receiver);
            stop.run_until_cancelled(async { tokio::join!(Box::pin(confirmed), Box::pin(written), renewed) })
                .await;
            if let Some(disk) = disk {
                disk.finish(&shared).await;
            }
        };
        (Self(Arc::new(inner)), keep_alive)
    }

    /// Makes our own token known: leases and tokens made with it are remembered. `whose` tells our identities apart;
    /// a new token replaces the one before of the same identity.
    pub fn set_own_token(&self, whose: usize, token: Arc<Token>) {
        if self.0.mode == Mode::Remember {
            self.0.shared.store().set_own(whose, token);
        }
    }

    /// Forgets what `clear` names. Nothing is revoked. Returns how many answers went.
    pub fn clear(&self, clear: &Clear) -> usize {
        let mut store = self.0.shared.store();
        let own = store.own_tokens();
        let gone = clear.apply(&mut store);
        // Without them everything below would be asked for anew, for ever.
        for (whose, token) in own {
            store.set_own(whose, token);
        }
        gone
    }

    /// Returns when what was forgotten before is forgotten on disk as well.
    pub async fn settle(&self) {
        if let Some(disk) = &self.0.disk {
            Box::pin(disk.settle(&self.0.shared)).await;
        }
    }

    /// Writes all that waits, for tests that will not wait for it.
    #[cfg(test)]
    pub(crate) async fn write_now(&self) -> u64 {
        let Some(disk) = &self.0.disk else { return 0 };
        disk.finish(&self.0.shared).await;
        disk.commits()
    }

    /// What it did since it was made, and what it holds. Looks at everything it holds.
    pub fn numbers(&self) -> Numbers {
        let (hits, misses) = (self.0.hits.load(Relaxed), self.0.misses.load(Relaxed));
        let Renewals { done, failed } = &self.0.shared.1;
        let (renewals, renewal_failures) = (done.load(Relaxed), failed.load(Relaxed));
        let store = self.0.shared.store();
        let held = store.held(Instant::now());
        Numbers { hits, misses, renewals, renewal_failures, entries: store.len(), held }
    }

    /// Whether anything is remembered at all.
    pub fn remembers(&self) -> bool {
        self.0.mode == Mode::Remember
    }

    /// How many answers are remembered.
    pub fn len(&self) -> usize {
        self.0.shared.store().len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers from memory, from an equal request under way, or from the server. The token it travels with is in the
    /// request's headers ([`Request::token_sent`]); its path is canonical.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(&self, request: Request) -> Result<Answer, SendError> {
        if self.0.mode == Mode::PassOn {
            return self.0.upstream.send(request).await.map(from_upstream);
        }
        // Apart, so that the way without it stays small.
        Box::pin(self.remembering(Cow::Owned(request))).await
    }

    /// The same for a request that is lent; it is copied only where it has to outlive its client.
    ///
    /// # Errors
    /// No answer came.
    pub async fn lend(&self, request: &Request) -> Result<Answer, SendError> {
        if self.0.mode == Mode::PassOn {
            return self.0.upstream.lend(request).await.map(from_upstream);
        }
        Box::pin(self.remembering(Cow::Borrowed(request))).await
    }

    async fn remembering(&self, request: Cow<'_, Request>) -> Result<Answer, SendError> {
        let inner = &self.0;
        if !inner.settled.is_cancelled() {
            // Its end is not too far away, whatever the server does.
            let _ = timeout(SETTLE_PATIENCE, inner.settled.cancelled()).await;
        }
        if request.upload.is_some() || request.upgrade || !may_be_cached(&request) {
            return inner.ask(&request, None, None).await;
        }
        let key = inner.keys.key(&request);
        if let Some(answer) = inner.hit(&key) {
            return Ok(answer);
        }
        inner.misses.fetch_add(1, Relaxed);
        let path = inner.path_hash(&request);
        let safe = request.is_safe();
        if inner.is_plain(path) && !safe {
            return inner.ask(&request, Some(key), None).await;
        }
        match inner.flights.join(key, path, if safe { Kind::Read } else { Kind::Write }) {
            Joined::First(flight) => Inner::ask_apart(inner, request, key, Some(flight), path).await,
            Joined::Alone => Inner::ask_apart(inner, request, key, None, path).await,
            Joined::Waiting(landing) => {
                // A write waits for the first one's answer as long as that takes: asking twice is what a
                // cached login is there to avoid.
                let patience = if safe { READ_PATIENCE } else { Duration::MAX };
                match timeout(patience, landing).await {
                    Ok(Ok(Landing::Shared(kept))) => {
                        return Ok(Answer { response: kept.response(), origin: Origin::Upstream });
                    }
                    Ok(Ok(Landing::Failed(error))) => return Err(error),
                    Ok(Ok(Landing::Remembered)) => {
                        if let Some(answer) = inner.hit(&key) {
                            return Ok(answer);
                        }
                    }
                    Ok(Ok(Landing::Alone) | Err(_)) | Err(_) => {}
                }
                Inner::ask_apart(inner, request, key, None, path).await
            }
        }
    }
}

/// Callers who do not care where an answer came from see a server.
impl Upstream for Cache {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move { Ok(Self::send(self, request).await?.response) })
    }

    fn lend<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async move { Ok(Self::lend(self, request).await?.response) })
    }
}

fn from_upstream(response: Response) -> Answer {
    Answer { response, origin: Origin::Upstream }
}

impl Inner {
    fn hit(&self, key: &Key) -> Option<Answer> {
        let now = Instant::now();
        let store = self.shared.store();
        let kept = store.hit(key, now)?;
        self.hits.fetch_add(1, Relaxed);
        let mut response = kept.response();
        if store.is_unconfirmed(key) {
            response.headers.insert(header::WARNING, UNCONFIRMED);
        }
        Some(Answer { response, origin: Origin::Cache { age: now - kept.since } })
    }

    fn path_hash(&self, request: &Request) -> u64 {
        self.hasher
            .hash_one((request.path(), request.headers.get(headers::NAMESPACE).map(|value| value.as_bytes())))
    }

    fn plain(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.plain.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_plain(&self, path: u64) -> bool {
        self.plain().contains(&path)
    }

    fn note_plain(&self, path: u64, plain: bool) {
        let mut known = self.plain();
        if !plain {
            known.remove(&path);
        } else {
            if known.len() >= MAX_PLAIN_PATHS {
                known.clear();
            }
            known.insert(path);
        }
    }

    /// Asks for what may be a lease in a task of its own: a client that leaves must not orphan it. The task
    /// ends with the answer; a flight tells the others if it does not.
    async fn ask_apart(
        inner: &Arc<Self>,
        request: Cow<'_, Request>,
        key: Key,
        flight: Option<Flight>,
        path: u64,
    ) -> Result<Answer, SendError> {
        if inner.is_plain(path) {
            return inner.ask(&request, Some(key), flight).await;
        }
        let (own, method) = (Arc::clone(inner), request.method.clone());
        let request = request.into_owned();
        let asked = inner.left.run(async move { own.ask(&request, Some(key), flight).await });
        // While we wait, only a panic or the runtime's end stops it.
        asked.await.unwrap_or_else(|_| Err(broken(method, "a bug in Sidekey (panic)".to_owned())))
    }

    /// Asks the server, looks at the answer, remembers, forgets, and tells whoever waits.
    async fn ask(
        &self,
        request: &Request,
        key: Option<Key>,
        flight: Option<Flight>,
    ) -> Result<Answer, SendError> {
        let path = self.path_hash(request);
        let safe = request.is_safe();
        if !safe {
            self.flights.overtake(path);
        }
        let sent_at = Instant::now();
        let asked = Asked::of(request);
        let response = match self.upstream.lend(request).await {
            Ok(response) => response,
            Err(error) => {
                if let (Some(flight), true) = (flight, safe) {
                    flight.land(&Landing::Failed(error.clone()));
                }
                return Err(error);
            }
        };
        if !safe {
            self.flights.overtake(path);
        }
        let looked_into = policy::may_hold_secret(response.status, &response.headers);
        // Reads that others wait for are read whole as well, whatever they hold.
        let shared = safe && flight.as_ref().is_some_and(Flight::is_awaited);
        let observed = if response.status.is_success() { asked.observation.as_ref() } else { None };
        if let Some(observation) = observed
            && !matches!(observation, Observation::LeaseRenewed(_) | Observation::TokenRenewed(_))
        {
            self.forget(observation);
            // Not to come back after a crash: before the answer leaves.
            if let Some(disk) = &self.disk {
                Box::pin(disk.settle(&self.shared)).await;
            }
        }
        // The server does not know any more what was to be renewed.
        if matches!(response.status.as_u16(), 400 | 404)
            && let Some(observation @ (Observation::LeaseRenewed(_) | Observation::TokenRenewed(_))) =
                &asked.observation
        {
            self.forget(observation);
        }
        if !looked_into && !shared {
            return Ok(from_upstream(response));
        }
        let mut response = response;
        // Those who wait for a read wait no longer than this, and one that never ends (`sys/monitor`) goes on.
        let patience = if looked_into { self.body_timeout } else { READ_PATIENCE };
        let whole = match response.body.gather(MAX_BODY, patience).await {
            Ok(Gathered::Whole(bytes)) => bytes,
            Ok(Gathered::TooSlow) if looked_into => return Err(SendError::TimedOut(patience)),
            Ok(Gathered::TooLong | Gathered::TooSlow) => return Ok(from_upstream(response)),
            Err(why) => return Err(broken(asked.method, why.to_string())),
        };
        if let Some(observation) = observed {
            self.note_renewal(observation, &whole, sent_at);
        }
        let remembered = match (key, looked_into) {
            (Some(key), true) => self.remember(key, &asked, &response, &whole, sent_at),
            _ => false,
        };
        self.note_plain(path, !remembered);
        if let Some(flight) = flight {
            flight.land(&match (remembered, safe) {
                (true, _) => Landing::Remembered,
                (false, true) => Landing::Shared(Kept {
                    status: response.status,
                    headers: Arc::new(response.headers.clone()),
                    body: whole,
                    since: sent_at,
                }),
                (false, false) => Landing::Alone,
            });
        }
        Ok(from_upstream(response))
    }

    fn remember(&self, key: Key, asked: &Asked, response: &Response, body: &[u8], sent_at: Instant) -> bool {
        let mut store = self.shared.store();
        let above = asked.token.as_ref().and_then(|token| store.managed(token.expose()));
        let (subject, parent, ttl) = match policy::decide(&asked.place.path, body, above.is_some()) {
            Decision::Pass => return false,
            Decision::Lease { lease_id, ttl } => match LeaseId::new(lease_id) {
                Some(lease) => (Subject::Lease { lease }, above, ttl),
                None => return false,
            },
            Decision::Token { token, accessor, ttl, child } => match Token::new(token) {
                Ok(token) => {
                    let accessor = accessor.and_then(Accessor::new);
                    (Subject::Issued { token: Arc::new(token), accessor }, above.filter(|_| child), ttl)
                }
                Err(_) => return false,
            },
        };
        debug!(target: "cache.leasecache", path = %asked.place.path, ttl, "storing response into the cache");
        let (id, next) = store.insert(NewEntry {
            key,
            subject,
            parent,
            place: asked.place.clone(),
            status: response.status,
            headers: &response.headers,
            body,
            life: Life::new(Duration::from_secs(ttl), sent_at, fastrand::f64()),
            now: Instant::now(),
        });
        if let Next::At(at) = next {
            // Fails only at the end of the program.
            let _ = self.scheduled.send((id, at));
        }
        true
    }

    fn forget(&self, observation: &Observation) {
        let mut store = self.shared.store();
        let gone = match observation {
            Observation::Token(token) => store.managed(token.expose()).map_or(0, |id| store.evict(id)),
            Observation::Accessor(accessor) => {
                store.accessor(accessor.expose()).map_or(0, |id| store.evict(id))
            }
            Observation::TokenOnly(token) => {
                store.managed(token.expose()).map_or(0, |id| store.evict_token_only(id))
            }
            Observation::Lease(lease) => store.lease(lease).map_or(0, |id| store.evict(id)),
            Observation::Prefix(prefix) => {
                store.evict_where(|subject, place| below(subject, &place.path, prefix))
            }
            // A renewal that was refused.
            Observation::LeaseRenewed(lease) => store.lease(lease).map_or(0, |id| store.evict(id)),
            Observation::TokenRenewed(token) => store.managed(token.expose()).map_or(0, |id| store.evict(id)),
        };
        if gone > 0 {
            debug!(target: "cache.leasecache", gone, "evicted after a revocation");
        }
    }

    /// A renewal by somebody else moves the entry's deadlines as our own would.
    fn note_renewal(&self, observation: &Observation, body: &[u8], sent_at: Instant) {
        let Ok(Some(secret)) = Secret::parse(body) else { return };
        let mut store = self.shared.store();
        let (id, seconds) = match observation {
            Observation::LeaseRenewed(lease) => (store.lease(lease), secret.lease_duration),
            Observation::TokenRenewed(token) => (
                store.managed(token.expose()),
                secret.auth.map(|auth| auth.lease_duration).unwrap_or_default(),
            ),
            _ => return,
        };
        if let (Some(id), Ok(seconds)) = (id, u64::try_from(seconds))
            && let Some(Next::At(at)) = store.renewed(id, Duration::from_secs(seconds), sent_at)
        {
            let _ = self.scheduled.send((id, at));
        }
    }
}

/// Takes in what an earlier run left, and has changes noted from here on.
fn take_in(
    shared: &Shared,
    opened: Option<Opened>,
    scheduled: &mpsc::UnboundedSender<(Id, Instant)>,
) -> (Option<Disk>, Option<Arc<Notify>>) {
    let Some(Opened { disk, records, .. }) = opened else { return (None, None) };
    let mut store = shared.store();
    let news = disk.as_ref().map(|_| store.keep_journal());
    if !records.is_empty() {
        let restored = store.restore(records, Clocks::read(), fastrand::f64);
        for due in restored.due {
            // Fails only at the end of the program.
            let _ = scheduled.send(due);
        }
        let (entries, ended) = (restored.entries, restored.dropped);
        info!(target: "cache.persist", entries, ended, "the cache of the last run is taken in");
    }
    (disk, news)
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
    SendError::Broken { method, address: "the server".to_owned(), reason, sent: vault::Sent::Maybe }
}

#[cfg(test)]
mod tests;

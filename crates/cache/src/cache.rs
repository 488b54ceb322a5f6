//! The one door to the server.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, header};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vault::api::Caller;
use vault::{BoxFuture, Request, Response, SendError, Token, Upstream, headers};

use crate::Options;
use crate::answer::{Answer, Origin};
use crate::clear::Clear;
use crate::clock::Clock;
use crate::disk::{self, Disk, Opened, SETTLE_PATIENCE};
use crate::flight::{Flights, Joined, Kind, Landing};
use crate::holdings::{Holdings, HoldingsWanted};
use crate::key::{Key, Keys, Texts, may_be_cached};
use crate::kv::{Kv, Lasting, StaticNumbers, StaticSecrets};
use crate::left::Left;
use crate::region::Region;
use crate::renewals::{self, Keeper, News};
use crate::store::{Held, Store};
use crate::wish::{Wish, absent};

mod ask;
mod clearing;
mod overtaking;
mod revoking;
mod room;
mod take_in;

use self::take_in::{TakenIn, take_in};

/// Answers up to this size (32 MiB, the servers' own limit for bodies) are looked into; longer ones pass.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// How long a read waits for an equal one before it asks for itself: a hung one must not hold the others.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// The same for a write that may be remembered, such as a login, which takes longer and should not be made twice.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Each further one that asks is given twice as long as the one before, up to 16 times as long: a server that fails, and
/// is asked again and again by the first of them, must not be asked ever more.
fn lengthened(patience: Duration, round: u32) -> Duration {
    patience * (1 << round.saturating_sub(1).min(4))
}

/// So often a request waits for others in vain, or finds nothing afterwards; then it asks for itself.
const ROUNDS: usize = 12;

/// Of a token that the server has not been asked about since the start (RFC 7234: revalidation failed).
pub(crate) const UNCONFIRMED: HeaderValue =
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

/// Places of [`HoldingsWanted`] from here on are those of secrets; there are never so many leases and tokens.
const SECRETS_FROM: usize = 1 << 31;

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
    /// Leases and tokens that were let go because there was no more room.
    pub dropped: u64,
    /// What all that is remembered takes, reckoned, in bytes.
    pub bytes: usize,
    /// Answers remembered now.
    pub entries: usize,
    /// What is kept alive.
    pub held: Held,
    /// Secrets of KV mounts.
    pub static_secrets: StaticNumbers,
}

/// The door to the server. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    mode: Mode,
    options: ArcSwap<Options>,
    upstream: Arc<dyn Upstream>,
    shared: Arc<Shared>,
    keys: Keys,
    flights: Flights,
    hasher: RandomState,
    /// Paths whose answers were not worth remembering: writes there need not wait for one another.
    plain: Mutex<HashSet<u64>>,
    /// Room for requests whose clients have left.
    left: Left,
    /// Room for answers that are read whole.
    room: room::Room,
    news: mpsc::UnboundedSender<News>,
    /// Where it is kept between two runs.
    disk: Option<Disk>,
    /// What the last run left of secrets, until they are kept.
    lasting: Mutex<Option<Lasting>>,
    /// Cancelled once the server was asked about what an earlier run left.
    settled: CancellationToken,
    /// How long an answer's body may take to arrive, when it has to be read whole.
    body_timeout: Duration,
    hits: AtomicU64,
    misses: AtomicU64,
    dropped: AtomicU64,
    /// It was said that there is no more room.
    full: AtomicBool,
}

/// What the renewing task shares with the door.
pub(crate) struct Shared {
    store: Mutex<Store>,
    pub(crate) renewals: Renewals,
    /// Most renewals, look-ups and revocations in a second.
    pub(crate) per_second: AtomicU32,
    pub(crate) clock: Arc<Clock>,
    /// Set once, if they are kept at all.
    kv: OnceLock<Arc<Kv>>,
}

/// Renewals of what is remembered.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    pub(crate) done: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Shared {
    /// Secrets of KV mounts, if they are kept.
    pub(crate) fn kv(&self) -> Option<&Arc<Kv>> {
        self.kv.get()
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
        Self::with_options(mode, Options::default(), None, upstream, caller, stop)
    }

    /// The same with other options than the defaults, and with a file that outlives the process: what is in it is taken
    /// in, and what changes is written to it.
    pub fn with_options(
        mode: Mode,
        options: Options,
        file: Option<Opened>,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::with_clock(mode, options, file, upstream, caller, stop, Arc::default())
    }

    pub(crate) fn with_clock(
        mode: Mode,
        options: Options,
        file: Option<Opened>,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        stop: CancellationToken,
        clock: Arc<Clock>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (news, receiver) = mpsc::unbounded_channel();
        let options = Arc::new(options);
        let root = file.as_ref().map(|file| &file.root);
        let (keys, texts) = (Keys::new(&options, root), Texts::new(root));
        let store = Mutex::new(Store::new(Arc::clone(&options), texts));
        let shared = Arc::new(Shared {
            store,
            renewals: Renewals::default(),
            per_second: AtomicU32::new(options.renewals_per_second),
            clock,
            kv: OnceLock::new(),
        });
        let TakenIn { disk, changed, lasting } = take_in(&shared, file, &news);
        let settled = CancellationToken::new();
        if shared.store().unconfirmed().is_empty() {
            settled.cancel();
        }
        let inner = Arc::new(Inner {
            mode,
            keys,
            upstream: Arc::clone(&upstream),
            shared: Arc::clone(&shared),
            flights: Flights::default(),
            hasher: RandomState::new(),
            plain: Mutex::default(),
            left: Left::default(),
            news,
            disk: disk.clone(),
            lasting: Mutex::new(lasting),
            settled: settled.clone(),
            body_timeout: caller.timeout,
            room: room::Room::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            full: AtomicBool::new(false),
            options: ArcSwap::new(options),
        });
        let door = Arc::downgrade(&inner);
        let keeper = Keeper {
            shared,
            upstream,
            caller,
            refetch: Box::new(move |request| Box::pin(Inner::refetch(Weak::clone(&door), request))),
        };
        let keep_alive = async move {
            let confirmed = disk::confirm(
                Arc::clone(&keeper.shared),
                Arc::clone(&keeper.upstream),
                keeper.caller.clone(),
                settled,
            );
            let shared = Arc::clone(&keeper.shared);
            let beside = async {
                let written = async {
                    if let (Some(disk), Some(changed)) = (&disk, changed) {
                        disk.run(Arc::clone(&shared), changed).await;
                    }
                };
                tokio::join!(Box::pin(confirmed), written);
                std::future::pending::<()>().await;
            };
            let work = async {
                tokio::select! {
                    () = renewals::run(keeper, receiver) => {}
                    () = Box::pin(beside) => {}
                }
            };
            stop.run_until_cancelled(work).await;
            if let Some(disk) = disk {
                disk.finish(&shared).await;
            }
        };
        let cache = Self(inner);
        if !cache.0.options.load().leases {
            // What another configuration left on disk.
            cache.clear(&Clear::All);
        }
        (cache, keep_alive)
    }

    /// How the client spelled the head of its request, if this cache wants to know it, for [`Request::spelling`].
    pub fn spelling(&self, head: &http::request::Parts) -> Option<Box<[u8; 16]>> {
        let wanted = self.0.options.load().strict_keys && self.0.mode == Mode::Remember;
        wanted.then(|| Box::new(self.0.keys.spelling(head)))
    }

    /// Keeps secrets of KV mounts from now on. The future does what is to be asked besides and is to be run by the
    /// caller; `caller` is whom it speaks as.
    pub fn keep_static_secrets(
        &self,
        settings: &StaticSecrets,
        caller: Caller,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::downgrade(&self.0.shared);
        let own = move || Some(shared.upgrade()?.store().own_tokens().into_iter().next()?.1);
        let lasting = self.0.lasting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let (kv, run) = Kv::new(
            settings,
            self.0.options.load().client_control,
            lasting,
            Arc::clone(&self.0.shared.clock),
            Arc::clone(&self.0.upstream),
            caller,
            Box::new(own),
        );
        // Once: a second time changes nothing.
        let _ = self.0.shared.kv.set(kv);
        async move {
            stop.run_until_cancelled(run).await;
        }
    }

    /// Makes our own token known: leases and tokens made with it are remembered. `whose` tells our identities apart;
    /// a new token replaces the one before of the same identity, whose leases go on as long as it lives.
    pub fn set_own_token(&self, whose: usize, token: Arc<Token>) {
        if self.0.mode == Mode::Remember {
            let old = self.0.shared.store().set_own(whose, token);
            self.0.tell(old.map(News::Doubt));
        }
    }

    /// Goes by other options from now on. What makes up keys stays as it was ([`Options::strict_keys`],
    /// [`Options::key_extra_headers`]): under other keys nothing would be found again. What there is no more room for
    /// goes at once; how often entries are looked up counts for each from its next renewal on.
    pub fn set_options(&self, options: Options) {
        let old = self.0.options.load_full();
        let (strict_keys, key_extra_headers) = (old.strict_keys, old.key_extra_headers.clone());
        let options = Arc::new(Options { strict_keys, key_extra_headers, ..options });
        self.0.shared.per_second.store(options.renewals_per_second, Relaxed);
        if let Some(kv) = self.0.shared.kv() {
            kv.set_controlled(options.client_control);
        }
        let dropped = self.0.shared.store().set_options(Arc::clone(&options));
        self.0.dropped.fetch_add(dropped as u64, Relaxed);
        self.0.options.store(options);
    }

    /// Only these identities are ours from now on. What hangs on the token of another goes: it is not answered with
    /// and not renewed any more; nothing is revoked. Where clients got that token through us it stays, as theirs.
    pub fn forget_own_tokens_but(&self, whose: &[usize]) {
        self.0.shared.store().forget_own_but(whose);
    }

    /// Returns when what was forgotten before is forgotten on disk as well.
    pub async fn settle(&self) {
        self.0.settle().await;
    }

    /// Writes all that waits, for tests that will not wait for it.
    #[cfg(test)]
    pub(crate) async fn write_now(&self) -> u64 {
        let Some(disk) = &self.0.disk else { return 0 };
        disk.write_all(&self.0.shared).await;
        disk.commits()
    }

    /// What it did since it was made, and what it holds. Looks at everything it holds.
    pub fn numbers(&self) -> Numbers {
        let (hits, misses) = (self.0.hits.load(Relaxed), self.0.misses.load(Relaxed));
        let Renewals { done, failed } = &self.0.shared.renewals;
        let (renewals, renewal_failures) = (done.load(Relaxed), failed.load(Relaxed));
        let dropped = self.0.dropped.load(Relaxed);
        let store = self.0.shared.store();
        let held = store.held(self.0.shared.clock.now());
        let (entries, bytes) = (store.len(), store.bytes());
        let static_secrets = self.0.shared.kv().map(|kv| kv.numbers()).unwrap_or_default();
        Numbers { hits, misses, renewals, renewal_failures, dropped, bytes, entries, held, static_secrets }
    }

    /// What it holds, without what it says: leases and tokens, then secrets of KV mounts.
    pub fn holdings(&self, wanted: &HoldingsWanted) -> Holdings {
        let mut told = match wanted.from {
            0..SECRETS_FROM => self.0.shared.store().holdings(wanted, self.0.shared.clock.now()),
            _ => Holdings::default(),
        };
        if told.next.is_none()
            && let Some(kv) = self.0.shared.kv()
        {
            let from = wanted.from.saturating_sub(SECRETS_FROM) as u64;
            let most = wanted.most.saturating_sub(told.entries.len());
            let secrets = kv.holdings(from, &HoldingsWanted { most, ..wanted.clone() });
            told.next = secrets.next.map(|next| next.saturating_add(SECRETS_FROM));
            told.entries.extend(secrets.entries);
        }
        told
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
        match self.0.shared.kv() {
            Some(kv) => Box::pin(kv.answer(self, request)).await,
            None => self.leasing(request).await,
        }
    }

    /// The same without secrets of KV mounts.
    pub(crate) async fn leasing(&self, request: Cow<'_, Request>) -> Result<Answer, SendError> {
        let inner = &self.0;
        let (controlled, denied, leases) = {
            let options = inner.options.load();
            (options.client_control, options.denies(request.path()), options.leases)
        };
        let wish = if controlled { Wish::of(&request.headers) } else { Wish::default() };
        let passes = request.upload.is_some() || request.upgrade || !may_be_cached(&request);
        if passes || wish.no_store || denied {
            return match wish.only_if_cached {
                true => Ok(Answer { response: absent(), origin: Origin::Absent }),
                false => inner.ask(&request, None, None, false).await,
            };
        }
        if !inner.settled.is_cancelled() {
            // Its end is not too far away, whatever the server does.
            let _ = timeout(SETTLE_PATIENCE, inner.settled.cancelled()).await;
        }
        let key = inner.keys.key(&request);
        if !wish.no_cache
            && let Some(answer) = inner.hit(&key)
        {
            return Ok(answer);
        }
        inner.misses.fetch_add(1, Relaxed);
        if wish.only_if_cached {
            return Ok(Answer { response: absent(), origin: Origin::Absent });
        }
        let path = inner.path_hash(&request);
        let safe = request.is_safe();
        if !leases && !safe {
            // Nothing would be shared either.
            return inner.ask(&request, None, None, false).await;
        }
        if wish.no_cache {
            return Inner::ask_apart(inner, request, key, None, path, true).await;
        }
        if inner.is_plain(path) && !safe {
            return inner.ask(&request, Some(key), None, false).await;
        }
        let (kind, patience) = match safe {
            true => (Kind::Read, READ_PATIENCE),
            false => (Kind::Write, WRITE_PATIENCE),
        };
        let region = Region::of(&request, &inner.hasher);
        let mut in_vain = None;
        for _ in 0..ROUNDS {
            let (landing, round) = match inner.flights.join(key, region, kind, in_vain) {
                Joined::First(flight) => {
                    return Inner::ask_apart(inner, request, key, Some(flight), path, false).await;
                }
                Joined::Alone => break,
                Joined::Waiting(landing, round) => (landing, round),
            };
            in_vain = None;
            match timeout(lengthened(patience, round), landing).await {
                Ok(Ok(Landing::Shared(kept))) => {
                    return Ok(Answer { response: kept.response(), origin: Origin::Upstream });
                }
                Ok(Ok(Landing::Failed(error))) => return Err(error),
                Ok(Ok(Landing::Remembered)) => {
                    if let Some(answer) = inner.hit(&key) {
                        return Ok(answer);
                    }
                }
                Ok(Ok(Landing::Alone)) => break,
                Ok(Ok(Landing::Abandoned) | Err(_)) => {}
                // It hangs: one of those who waited for it asks as well.
                Err(_) => in_vain = Some(round),
            }
        }
        Inner::ask_apart(inner, request, key, None, path, false).await
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
        let hit = self.shared.store().hit(key, self.shared.clock.now())?;
        self.hits.fetch_add(1, Relaxed);
        self.tell(hit.wake.map(|(id, at)| News::At(id, at)));
        let mut response = hit.response;
        if hit.unconfirmed {
            response.headers.insert(header::WARNING, UNCONFIRMED);
        }
        Some(Answer { response, origin: Origin::Cache { age: hit.age } })
    }

    async fn settle(&self) {
        if let Some(disk) = &self.disk {
            Box::pin(disk.settle(&self.shared)).await;
        }
    }

    fn tell(&self, news: Option<News>) {
        if let Some(news) = news {
            // Fails only at the end of the program.
            let _ = self.news.send(news);
        }
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
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod long;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

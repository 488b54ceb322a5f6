//! Secrets of KV mounts kept in memory, for those who asked for it (`static_secrets`).
//!
//! Bodies are kept apart from who may have them: a token is answered from memory only with what it has read itself
//! (a grant), and only while that is known to hold. `state.rs` decides, purely; `watch.rs` sees every request and
//! answer on its way; `driver.rs` asks what has to be asked besides (mounts, tokens, capabilities, bodies in use whose
//! time is nearly up); `events.rs` listens
//! where the server tells of changes.

mod bodies;
mod disk;
mod driver;
mod events;
mod frames;
mod hash;
mod holdings;
mod meaning;
mod mounts;
mod patterns;
mod reading;
mod settings;
mod state;
mod tokens;
mod watch;
mod writes;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tracing::info;
use vault::api::Caller;
use vault::{Request, Secret, SendError, Token, Upstream};

pub use self::settings::{KvVersion, Revalidate, StaticSecrets};

use self::hash::{Hasher, TokenHash};
pub(crate) use self::meaning::decides_for_others;
use self::meaning::{Meaning, meaning};
use self::patterns::Patterns;
use self::reading::Verdict;
use self::settings::Settings;
use self::state::{Decision, Past, State};
pub(crate) use self::state::{MOST_TOKENS, most_grants};
use crate::answer::{Answer, Kept, Origin};
use crate::cache::{Cache, UNCONFIRMED};
use crate::clear::Clear;
use crate::clock::Clock;
use crate::disk::{Root, SecretChanges, StoredSecrets};
use crate::holdings::{Holdings, HoldingsWanted};
use crate::store::disk::Clocks;
use crate::wish::Wish;

/// What static secrets did, and what is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct StaticNumbers {
    /// Reads answered from memory.
    pub hits: u64,
    /// Reads answered from memory past their time, because the server failed.
    pub stale: u64,
    /// Reads of which the server said that what is kept is still right.
    pub revalidated: u64,
    /// Bodies kept now.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// News for the driver that wait at most; more are not told, and what they tell is learnt at the next read.
const MOST_NEWS: usize = 1024;

/// Secrets kept in memory.
pub(crate) struct Kv {
    state: Mutex<State>,
    allowed: Patterns,
    optimistic: bool,
    /// Clients may bypass the cache with `Cache-Control`.
    controlled: AtomicBool,
    hasher: Hasher,
    clock: Arc<Clock>,
    news: mpsc::Sender<driver::News>,
    /// Room for bodies that wait for the driver.
    waiting: Arc<tokio::sync::Semaphore>,
    hits: AtomicU64,
    stale: AtomicU64,
    revalidated: AtomicU64,
}

/// What outlives the process.
pub(crate) struct Lasting {
    pub(crate) root: Root,
    pub(crate) left: StoredSecrets,
    /// Who writes what has changed, if anybody does.
    pub(crate) news: Option<Arc<Notify>>,
}

/// A read that static secrets are about, and who asks.
pub(crate) struct Asked {
    meaning: Meaning,
    hash: TokenHash,
}

impl Kv {
    /// With the future that does what is to be done besides.
    pub(crate) fn new(
        settings: &StaticSecrets,
        controlled: bool,
        lasting: Option<Lasting>,
        clock: Arc<Clock>,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        own: events::OwnToken,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (news, receiver) = mpsc::channel(MOST_NEWS);
        let mut state = State::new(Settings::from(settings));
        let allowed = Patterns::new(&settings.paths);
        let hasher = Hasher::new(lasting.as_ref().map(|lasting| &lasting.root));
        if let Some(Lasting { left, news, .. }) = lasting {
            if let Some(news) = news {
                state.keep_journal(&news);
            }
            let secrets = state.restore(left, &allowed, &hasher, Clocks::read(&clock));
            if secrets > 0 {
                info!(target: "cache.persist", secrets, "secrets of the last run are taken in, for as long as the server cannot be asked");
            }
        }
        let kv = Arc::new(Self {
            state: Mutex::new(state),
            allowed,
            optimistic: settings.optimistic,
            controlled: AtomicBool::new(controlled),
            hasher,
            clock,
            news,
            waiting: Arc::new(tokio::sync::Semaphore::new(driver::MOST_WAITING)),
            hits: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            revalidated: AtomicU64::new(0),
        });
        let listening = settings
            .events
            .then(|| events::run(Arc::downgrade(&kv), Arc::clone(&upstream), caller.clone(), own));
        let driving = driver::run(Arc::clone(&kv), upstream, caller, receiver);
        let run = async move {
            tokio::join!(driving, async move {
                if let Some(listening) = listening {
                    listening.await;
                }
            });
        };
        (kv, run)
    }

    /// Whether clients may bypass the cache.
    pub(crate) fn set_controlled(&self, controlled: bool) {
        self.controlled.store(controlled, Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What time it is for all that is kept.
    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Some of the secrets, without what they say.
    pub(crate) fn holdings(&self, from: u64, wanted: &HoldingsWanted) -> Holdings {
        self.state().holdings(from, wanted, self.now())
    }

    // === On disk ===

    /// Whether something lies on the disk that should not.
    pub(crate) fn has_gone(&self) -> bool {
        self.state().has_gone()
    }

    /// What is to be written next.
    pub(crate) fn take_changes(&self, only_gone: bool, clocks: Clocks) -> SecretChanges {
        self.state().take_changes(only_gone, clocks, &self.hasher)
    }

    /// They could not be written.
    pub(crate) fn put_back(&self, changes: SecretChanges) {
        self.state().put_back(changes);
    }

    /// The file is another one.
    pub(crate) fn nothing_is_written(&self) {
        self.state().nothing_is_written();
    }

    /// All times are to be written as they are.
    pub(crate) fn note_times(&self) {
        self.state().note_times();
    }

    // === Answering ===

    pub(crate) fn numbers(&self) -> StaticNumbers {
        let (entries, bytes) = self.state().size();
        StaticNumbers {
            hits: self.hits.load(Relaxed),
            stale: self.stale.load(Relaxed),
            revalidated: self.revalidated.load(Relaxed),
            entries,
            bytes,
        }
    }

    fn asked(&self, request: &Request) -> Option<Asked> {
        let meaning = meaning(request, &self.allowed, self.controlled.load(Relaxed))?;
        let token = request.token_sent()?;
        Some(Asked { meaning, hash: self.hasher.hash(token) })
    }

    /// Forgets what a cache-clear names; how many bodies went.
    pub(crate) fn clear(&self, clear: &Clear) -> usize {
        let mut state = self.state();
        match clear {
            Clear::All => return state.clear(),
            Clear::RequestPath { path, namespace } => return state.clear_path(namespace, path),
            Clear::Mount { mount, namespace } => {
                let namespace = if namespace.is_empty() { "root/" } else { namespace };
                return state.clear_path(namespace, &format!("/v1/{}/", mount.trim_matches('/')));
            }
            Clear::Token(token) => state.token_gone(self.hasher.hash(token), true),
            Clear::TokenAccessor(accessor) => state.accessor_gone(accessor),
            Clear::Lease(_) => {}
        }
        0
    }

    /// A token turned out to be dead.
    pub(crate) fn token_gone(&self, token: &str) {
        self.state().token_gone(self.hasher.hash(token), true);
    }

    /// Answers from memory where that is allowed, else through `cache`; from memory again when the server fails.
    pub(crate) async fn answer(&self, cache: &Cache, request: Cow<'_, Request>) -> Result<Answer, SendError> {
        let Some(asked) = self.asked(&request) else { return cache.leasing(request).await };
        let now = self.now();
        let (decision, held) = {
            let mut state = self.state();
            let decision = state.decide(asked.hash, &asked.meaning, now);
            let full = state.settings.revalidate == Revalidate::Full;
            (decision, full.then(|| state.version(&asked.meaning.key)).flatten())
        };
        match decision {
            Decision::Serve(kept, age) => {
                self.hits.fetch_add(1, Relaxed);
                return Ok(from_memory(&kept, Origin::Cache { age }));
            }
            Decision::Stale(past) => return Ok(self.past_its_time(&past)),
            // Neither is the server asked, nor is what it does not say taken for a failure of its.
            _ if self.controlled.load(Relaxed) && Wish::of(&request.headers).only_if_cached => {
                return cache.leasing(request).await;
            }
            Decision::Revalidate => {
                let asking = self.revalidate(cache, &request, &asked);
                if let Ok(Some(answer)) = timeout(STALE_PATIENCE, asking).await {
                    return Ok(answer);
                }
            }
            Decision::Fetch => {}
        }
        // A server that is away is waited for, longer than somebody would wait who can be answered otherwise.
        let otherwise = self.state().may_be_stale(asked.hash, &asked.meaning, now);
        let asking = cache.leasing(request);
        let answered = match otherwise {
            true => {
                let late = SendError::TimedOut(STALE_PATIENCE);
                timeout(STALE_PATIENCE, asking).await.unwrap_or(Err(late))
            }
            false => asking.await,
        };
        let failed = match &answered {
            Ok(answer) => is_outage(answer.response.status),
            Err(error) => {
                !matches!(error, SendError::Upload(_) | SendError::Downgrade | SendError::Loop { .. })
            }
        };
        if failed {
            let stale = self.state().stale(asked.hash, &asked.meaning, self.now());
            if let Some(past) = stale {
                return Ok(self.past_its_time(&past));
            }
        }
        let mut answer = answered?;
        if held.is_some() && answer.response.status == StatusCode::OK && answer.origin == Origin::Upstream {
            let same = self.state().version(&asked.meaning.key) == held;
            if same {
                self.revalidated.fetch_add(1, Relaxed);
                answer.origin = Origin::Revalidated { age: Duration::ZERO };
            }
        }
        Ok(answer)
    }

    fn past_its_time(&self, past: &Past) -> Answer {
        self.stale.fetch_add(1, Relaxed);
        let mut answer = from_memory(&past.kept, Origin::Stale { age: past.age });
        let warning = HeaderValue::from_static("110 - \"Response is Stale\"");
        answer.response.headers.insert(header::WARNING, warning);
        if past.unchecked {
            answer.response.headers.append(header::WARNING, UNCONFIRMED);
        }
        answer
    }

    /// Asks for the metadata of what is kept, with the reader's own token. Equal questions under way are one.
    async fn revalidate(&self, cache: &Cache, request: &Request, asked: &Asked) -> Option<Answer> {
        let (ticket, path) = {
            let state = self.state();
            let now = self.now();
            (state.writes.ticket(now), state.mounts.metadata_path(&asked.meaning, now)?)
        };
        let target = format!("/v1/{path}");
        let question =
            Request { method: Method::GET, target, headers: request.headers.clone(), ..Request::default() };
        let answer = cache.leasing(Cow::Owned(question)).await.ok()?;
        if answer.response.status != StatusCode::OK {
            return None;
        }
        let body = answer.response.body.collect(MOST_METADATA, METADATA_PATIENCE).await.ok()?;
        let data = Secret::parse(&body).ok()??.data?;
        let now = self.now();
        let (kept, verdict) = self.state().compared(ticket, asked.hash, &asked.meaning, &data, now)?;
        let age = now.saturating_duration_since(kept.since);
        Some(match verdict {
            Verdict::Same => {
                self.revalidated.fetch_add(1, Relaxed);
                from_memory(&kept, Origin::Revalidated { age })
            }
            _ => {
                self.hits.fetch_add(1, Relaxed);
                from_memory(&kept, Origin::Cache { age })
            }
        })
    }
}

/// Who can be answered past the time of what is kept waits for the server no longer than this.
const STALE_PATIENCE: Duration = Duration::from_secs(2);

/// Metadata of a secret with as many versions as there may be are shorter.
const MOST_METADATA: usize = 4 * 1024 * 1024;
const METADATA_PATIENCE: Duration = Duration::from_secs(10);

/// Whether a status says that the server itself cannot answer now: 5xx (sealed is 503), and 429.
fn is_outage(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn from_memory(kept: &Kept, origin: Origin) -> Answer {
    Answer { response: kept.response(), origin }
}

/// What the driver needs of a token that a request carried.
fn token_of(request: &Request) -> Option<Arc<Token>> {
    Token::new(request.token_sent()?).ok().map(Arc::new)
}

#[cfg(test)]
mod tests;

//! One task that keeps everything remembered alive: a queue of deadlines, a bounded number of renewals at a
//! time and in a second, and evictions when a renewal says that there is nothing left to renew. What ends first is
//! renewed first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};
use vault::api::{ApiError, Caller};
use vault::{BoxFuture, LeaseId, Request, Token, Upstream};

use crate::cache::Shared;
use crate::life::bounded;
use crate::observe::Observation;
use crate::pace::Pace;
use crate::store::{After, Id, Renewable, Renewal, Task};

/// Renewals under way at a time: an agent with ten thousand leases stays a polite client.
const AT_ONCE: usize = 16;

/// How often the clock is looked at while something is remembered: timers stand still in a suspend.
const TICK: Duration = Duration::from_secs(10);

/// Timers count milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

/// So much else may wait to be done; more doubts are forgotten, more revocations as well, with a line in the log.
const MOST_ERRANDS: usize = 100_000;

/// What the task is told.
pub(crate) enum News {
    /// Look at an entry at a time.
    At(Id, Instant),
    /// The token of an entry may be dead.
    Doubt(Id),
    /// Revoke what was let go.
    Revoke(Renewal),
}

/// What it needs.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) caller: Caller,
    /// Asks for something once more and remembers the answer.
    pub(crate) refetch: Box<dyn Fn(Arc<Request>) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Something to be done for an entry, or about one that is gone.
enum Job {
    Entry(Id, Task),
    Doubt(Id),
    Revoke(Renewal),
    Again(Arc<Request>),
}

/// What came of it.
#[derive(Default)]
struct Done {
    id: Option<Id>,
    after: After,
    /// The server wants to be left alone for so long.
    hold: Option<Duration>,
}

/// Runs until the cache and all its handles are gone.
pub(crate) async fn run(keeper: Keeper, mut news: mpsc::UnboundedReceiver<News>) {
    let shared = &keeper.shared;
    let mut timers = BinaryHeap::new();
    let mut due = BinaryHeap::new();
    let mut errands = VecDeque::new();
    let mut busy = HashSet::new();
    let mut under_way = FuturesUnordered::new();
    let mut pace = Pace::new(shared.per_second.load(Relaxed), AT_ONCE, Instant::now());
    loop {
        pace.set(shared.per_second.load(Relaxed), AT_ONCE);
        let now = shared.clock.now();
        while let Some(Reverse((at, id))) =
            timers.peek().copied().filter(|Reverse((at, _))| *at <= now + GRAIN)
        {
            timers.pop();
            if let Some(end) = shared.store().fired(id, at) {
                due.push(Reverse((end, id)));
            }
        }
        let mut waits = None;
        while under_way.len() < AT_ONCE && !(errands.is_empty() && due.is_empty()) {
            let real = Instant::now();
            if !pace.allows(real) {
                waits = Some(pace.next(real));
                break;
            }
            let job = match errands.pop_front() {
                Some(job) => job,
                None => {
                    let Some(Reverse((_, id))) = due.pop() else { break };
                    if busy.contains(&id) {
                        continue;
                    }
                    let task = shared.store().due(id, now);
                    match task {
                        None => continue,
                        Some(Task::Wait(at)) => {
                            arm(shared, &mut timers, id, at);
                            continue;
                        }
                        Some(task) => {
                            busy.insert(id);
                            Job::Entry(id, task)
                        }
                    }
                }
            };
            pace.spend();
            under_way.push(keeper.work(job));
        }
        let next_timer = timers.peek().map(|Reverse((at, _))| shared.clock.timer(*at));
        let tick = Instant::now() + TICK;
        let wake = [next_timer.map(|at| at.min(tick)), waits].into_iter().flatten().min();
        tokio::select! {
            told = news.recv() => match told {
                Some(News::At(id, at)) => arm(shared, &mut timers, id, at),
                Some(_) if errands.len() >= MOST_ERRANDS => {
                    warn!(target: "cache.leasecache", "too much to revoke or to look at, leaving some of it");
                }
                Some(News::Doubt(id)) => errands.push_back(Job::Doubt(id)),
                Some(News::Revoke(what)) => errands.push_back(Job::Revoke(what)),
                None => return,
            },
            Some(done) = under_way.next() => {
                let Done { id, after: After { at, again }, hold } = done;
                if let Some(id) = id {
                    busy.remove(&id);
                    if let Some(at) = at {
                        arm(shared, &mut timers, id, at);
                    }
                }
                errands.extend(again.map(Job::Again));
                if let Some(pause) = hold {
                    pace.hold(Instant::now(), pause);
                }
            }
            () = sleep_until(wake.unwrap_or(tick)), if wake.is_some() => {}
        }
    }
}

/// One timer an entry: where there is an earlier one already, that one will do.
fn arm(shared: &Shared, timers: &mut BinaryHeap<Reverse<(Instant, Id)>>, id: Id, at: Instant) {
    if shared.store().arm(id, at) {
        timers.push(Reverse((at, id)));
    }
}

impl Keeper {
    async fn work(&self, job: Job) -> Done {
        match job {
            Job::Entry(id, Task::Renew(what)) => self.renew(id, what).await,
            Job::Entry(id, Task::Check(what)) => self.check(id, what).await,
            Job::Entry(id, Task::Wait(at)) => {
                Done { id: Some(id), after: After { at: Some(at), again: None }, hold: None }
            }
            Job::Doubt(id) => self.doubt(id).await,
            Job::Revoke(what) => self.revoke(what).await,
            Job::Again(request) => {
                (self.refetch)(request).await;
                Done::default()
            }
        }
    }

    fn caller(&self, what: &Renewal) -> Caller {
        Caller {
            namespace: what.namespace.clone().or_else(|| self.caller.namespace.clone()),
            ..self.caller.clone()
        }
    }

    async fn renew(&self, id: Id, what: Renewal) -> Done {
        let (shared, upstream, caller) = (&self.shared, self.upstream.as_ref(), &self.caller(&what));
        let sent_at = shared.clock.now();
        let answer = match &what.subject {
            Renewable::Token(token) => caller.renew_self(upstream, token).await.map(|secret| {
                secret.auth.map(|auth| (auth.lease_duration, auth.renewable)).unwrap_or_default()
            }),
            Renewable::Lease(token, lease) => caller
                .renew_lease(upstream, token, lease)
                .await
                .map(|secret| (secret.lease_duration, secret.renewable)),
        };
        let failure = match answer {
            Ok((seconds, again)) => {
                let ttl = bounded(u64::try_from(seconds).unwrap_or_default());
                shared.renewals.done.fetch_add(1, Relaxed);
                debug!(target: "cache.leasecache", ?ttl, "renewed");
                let after = shared.store().renewed(id, ttl, sent_at, true, again);
                return Done { id: Some(id), after, hold: None };
            }
            Err(error) => {
                shared.renewals.failed.fetch_add(1, Relaxed);
                self.verdict(&error, &what, caller).await
            }
        };
        let now = shared.clock.now();
        let mut hold = None;
        let after = match failure {
            Verdict::Gone => self.forget_gone(&what),
            Verdict::TokenGone => self.forget_token(&what),
            Verdict::Denied => shared.store().fade(id, now),
            Verdict::Unavailable(error, retry_after) => {
                warn!(target: "cache.leasecache", error = %error, "renewal failed, trying again while it lives");
                hold = retry_after;
                let pause = retry_after.unwrap_or_default();
                shared.store().renewal_failed(id, now, fastrand::f64(), pause)
            }
        };
        Done { id: Some(id), after, hold }
    }

    /// Whether the server still knows an entry.
    async fn check(&self, id: Id, what: Renewal) -> Done {
        let (upstream, caller) = (self.upstream.as_ref(), &self.caller(&what));
        let after = match &what.subject {
            Renewable::Token(token) => match caller.is_alive(upstream, token).await {
                Some(false) => self.forget_token(&what),
                _ => After::default(),
            },
            Renewable::Lease(token, lease) => match look_up(caller, upstream, token, lease).await {
                Ok(()) => After::default(),
                Err(error) => match self.verdict(&error, &what, caller).await {
                    Verdict::Gone => self.forget_gone(&what),
                    Verdict::TokenGone => self.forget_token(&what),
                    Verdict::Denied | Verdict::Unavailable(..) => After::default(),
                },
            },
        };
        let at = self.shared.store().checked(id, self.shared.clock.now());
        Done { id: Some(id), after: After { at, ..after }, hold: None }
    }

    /// Whether a token that was refused something, or that nobody renews any more, still lives.
    async fn doubt(&self, id: Id) -> Done {
        let Some(what) = self.shared.store().handle(id) else { return Done::default() };
        let (Renewable::Token(token) | Renewable::Lease(token, _)) = &what.subject;
        if self.caller(&what).is_alive(self.upstream.as_ref(), token).await == Some(false) {
            self.forget_token(&what);
        }
        Done::default()
    }

    async fn revoke(&self, what: Renewal) -> Done {
        let (upstream, caller) = (self.upstream.as_ref(), &self.caller(&what));
        let revoked = match &what.subject {
            Renewable::Token(token) => caller.revoke_self(upstream, token).await,
            Renewable::Lease(token, lease) => {
                let body = json!({"lease_id": lease.as_str()});
                let request = caller.request(Method::PUT, "sys/leases/revoke").token(token).json(&body);
                caller.call(upstream, request).await.map(drop)
            }
        };
        if let Err(error) = revoked {
            warn!(target: "cache.leasecache", error = %error, "what was forgotten could not be revoked");
        }
        Done::default()
    }

    fn forget_gone(&self, what: &Renewal) -> After {
        debug!(target: "cache.leasecache", "the server does not know it any more, evicting");
        self.shared.store().forget(&match &what.subject {
            Renewable::Token(token) => Observation::Token(token.expose().into()),
            Renewable::Lease(_, lease) => Observation::Lease(lease.as_str().to_owned()),
        });
        After::default()
    }

    fn forget_token(&self, what: &Renewal) -> After {
        debug!(target: "cache.leasecache", "the token is gone, evicting it with its leases");
        let (Renewable::Token(token) | Renewable::Lease(token, _)) = &what.subject;
        let mut store = self.shared.store();
        if let Renewable::Lease(_, lease) = &what.subject {
            store.forget(&Observation::Lease(lease.as_str().to_owned()));
        }
        store.forget(&Observation::Token(token.expose().into()));
        drop(store);
        self.shared.kv().inspect(|kv| kv.token_gone(token.expose()));
        After::default()
    }

    async fn verdict(&self, error: &ApiError, what: &Renewal, caller: &Caller) -> Verdict {
        let (Renewable::Token(token) | Renewable::Lease(token, _)) = &what.subject;
        let unavailable = || {
            let retry_after = match error {
                ApiError::Refused { retry_after, .. } => *retry_after,
                _ => None,
            };
            Verdict::Unavailable(error.to_string(), retry_after)
        };
        match error.status() {
            Some(StatusCode::FORBIDDEN) => match caller.is_alive(self.upstream.as_ref(), token).await {
                Some(false) => Verdict::TokenGone,
                Some(true) => Verdict::Denied,
                None => unavailable(),
            },
            Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) => Verdict::Gone,
            _ => unavailable(),
        }
    }
}

/// What a failed renewal means.
enum Verdict {
    /// The server does not know it any more.
    Gone,
    /// The token itself is dead.
    TokenGone,
    /// It lives and may not be renewed.
    Denied,
    /// The server has its own trouble, and may say when it wants to be asked again.
    Unavailable(String, Option<Duration>),
}

async fn look_up(
    caller: &Caller,
    upstream: &dyn Upstream,
    token: &Token,
    lease: &LeaseId,
) -> Result<(), ApiError> {
    let body = json!({"lease_id": lease.as_str()});
    let request = caller.request(Method::PUT, "sys/leases/lookup").token(token).json(&body);
    caller.call(upstream, request).await.map(drop)
}

//! One task that keeps everything remembered alive: a queue of deadlines, a bounded number of renewals at a
//! time, and evictions when a renewal says that there is nothing left to renew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tracing::{debug, warn};
use vault::api::{ApiError, Caller};
use vault::{Token, Upstream};

use crate::cache::Shared;
use crate::store::{Id, Next, Renewable, Renewal};

/// Renewals under way at a time: an agent with ten thousand leases stays a polite client.
const AT_ONCE: usize = 16;

/// The timer's range is about two years; longer lives are looked at once a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs until the cache and all its handles are gone.
pub(crate) async fn run(
    shared: Arc<Shared>,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    mut scheduled: mpsc::UnboundedReceiver<(Id, Instant)>,
) {
    let mut queue = DelayQueue::new();
    let mut due = VecDeque::new();
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(id) = due.pop_front()
        {
            under_way.push(renew(&shared, upstream.as_ref(), &caller, id));
        }
        tokio::select! {
            news = scheduled.recv() => match news {
                Some((id, at)) => {
                    queue.insert_at(id, at.min(Instant::now() + LONGEST));
                }
                None => return,
            },
            Some(expired) = queue.next() => due.push_back(expired.into_inner()),
            Some((id, next)) = under_way.next() => {
                if let Some(Next::At(at)) = next {
                    queue.insert_at(id, at.min(Instant::now() + LONGEST));
                }
            }
        }
    }
}

async fn renew(shared: &Shared, upstream: &dyn Upstream, caller: &Caller, id: Id) -> (Id, Option<Next>) {
    let Some(due) = shared.store().due(id, Instant::now()) else { return (id, None) };
    let Renewal { subject, namespace } = due;
    let caller = &Caller { namespace, ..caller.clone() };
    let sent_at = Instant::now();
    let answer = match &subject {
        Renewable::Token(token) => caller
            .renew_self(upstream, token)
            .await
            .map(|secret| secret.auth.map(|auth| auth.lease_duration).unwrap_or_default()),
        Renewable::Lease(token, lease) => {
            caller.renew_lease(upstream, token, lease).await.map(|secret| secret.lease_duration)
        }
    };
    let failure = match answer {
        Ok(seconds) => {
            let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            shared.1.done.fetch_add(1, Relaxed);
            debug!(target: "cache.leasecache", ?ttl, "renewed");
            return (id, shared.store().renewed(id, ttl, sent_at));
        }
        Err(error) => {
            shared.1.failed.fetch_add(1, Relaxed);
            verdict(&error, &subject, upstream, caller).await
        }
    };
    let mut store = shared.store();
    let next = match failure {
        Verdict::Gone => {
            debug!(target: "cache.leasecache", "nothing left to renew, evicting");
            store.evict(id);
            None
        }
        Verdict::TokenGone(token) => {
            debug!(target: "cache.leasecache", "the token is gone, evicting it with its leases");
            shared.kv().inspect(|kv| kv.token_gone(token.expose()));
            let above = store.managed(token.expose());
            store.evict(id);
            above.map(|above| store.evict(above));
            None
        }
        Verdict::Denied => store.fade(id, Instant::now()),
        Verdict::Unavailable(error) => {
            warn!(target: "cache.leasecache", error = %error, "renewal failed, trying again while it lives");
            store.renewal_failed(id, Instant::now(), fastrand::f64())
        }
    };
    (id, next)
}

/// What a failed renewal means.
enum Verdict {
    /// The server does not know it any more.
    Gone,
    /// The token itself is dead.
    TokenGone(Arc<Token>),
    /// It lives and may not be renewed.
    Denied,
    /// The server has its own trouble.
    Unavailable(String),
}

async fn verdict(error: &ApiError, subject: &Renewable, upstream: &dyn Upstream, caller: &Caller) -> Verdict {
    let (Renewable::Token(token) | Renewable::Lease(token, _)) = subject;
    match (error.status(), subject) {
        (Some(StatusCode::FORBIDDEN), _) => match caller.is_alive(upstream, token).await {
            Some(false) => Verdict::TokenGone(Arc::clone(token)),
            Some(true) => Verdict::Denied,
            None => Verdict::Unavailable(error.to_string()),
        },
        (Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND), _) => Verdict::Gone,
        _ => Verdict::Unavailable(error.to_string()),
    }
}

//! What has to be asked besides what clients ask: what a mount is, whether a token lives and for how long, whether
//! it may still read what it has read, and secrets in use whose time is nearly up. All of it with the tokens of those
//! who read.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use vault::api::{ApiError, Caller};
use vault::{BoxFuture, Namespace, Request, Token, Upstream};

use super::bodies::Arrived;
use super::hash::TokenHash;
use super::meaning::{Meaning, Variant};
use super::settings::Revalidate;
use super::state::Refresh;
use super::tokens::{Due, Standing};
use super::writes::Ticket;
use super::{Asked, Kv, reading};
use crate::policy::may_hold_secret;

/// Questions under way at a time.
const AT_ONCE: usize = 8;

/// Bodies that wait until it is known what they are.
pub(crate) const MOST_WAITING: usize = 32;

/// More than this does not wait to be done.
const MOST_PENDING: usize = 4096;

/// Something for the driver.
pub(crate) enum News {
    /// A read succeeded whose token or mount is not known.
    Admit(Box<Admission>),
    /// A token was refused something.
    Check(TokenHash),
}

/// A read that succeeded.
pub(crate) struct Admission {
    pub(crate) ticket: Ticket,
    pub(crate) hash: TokenHash,
    pub(crate) token: Arc<Token>,
    pub(crate) meaning: Meaning,
    pub(crate) body: Option<(Arrived, OwnedSemaphorePermit)>,
}

/// One question or a few that belong together.
enum Job {
    News(News),
    Grants(Due),
    Body(Refresh),
}

struct Driver {
    kv: Arc<Kv>,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    /// Held while something is learnt with a token, by a byte of its hash: whoever reads several secrets at once is
    /// looked up once, and its mount as well.
    learning: [tokio::sync::Mutex<()>; 16],
}

/// Runs until it is dropped.
pub(super) async fn run(
    kv: Arc<Kv>,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    mut news: mpsc::Receiver<News>,
) {
    let driver = Driver { kv, upstream, caller, learning: Default::default() };
    let mut pending: VecDeque<Job> = VecDeque::new();
    let mut under_way = FuturesUnordered::new();
    let mut looked_at = Instant::now();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(job) = pending.pop_front()
        {
            under_way.push(driver.job(job));
        }
        let rhythm = driver.kv.state().rhythm();
        let next = looked_at + rhythm.unwrap_or_default();
        tokio::select! {
            one = news.recv(), if pending.len() < MOST_PENDING => match one {
                Some(one) => pending.push_back(Job::News(one)),
                None => return,
            },
            () = sleep_until(next), if rhythm.is_some() => {
                looked_at = Instant::now();
                let now = driver.kv.now();
                let mut state = driver.kv.state();
                state.sweep(now);
                let grants = state.due_grants(now).into_iter().map(Job::Grants);
                let bodies = state.due_bodies(now).into_iter().map(Job::Body);
                let room = MOST_PENDING.saturating_sub(pending.len());
                pending.extend(grants.chain(bodies).take(room));
            }
            Some(()) = under_way.next() => {}
        }
    }
}

/// The data of an answer, or that there was none to be had.
type Data = Result<Map<String, Value>, ApiError>;

fn is_refusal(error: &ApiError) -> bool {
    error.status().is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}

impl Driver {
    fn job(&self, job: Job) -> BoxFuture<'_, ()> {
        match job {
            Job::News(News::Admit(admission)) => Box::pin(self.admit(admission)),
            Job::News(News::Check(hash)) => Box::pin(self.check(hash)),
            Job::Grants(due) => Box::pin(self.look_at_grants(due)),
            Job::Body(refresh) => Box::pin(self.refresh(refresh)),
        }
    }

    async fn ask(&self, namespace: Option<&Namespace>, token: &Token, request: Request) -> Data {
        let caller = Caller { namespace: namespace.cloned(), ..self.caller.clone() };
        let request = request.namespace(namespace).token(token);
        let secret = caller.call(self.upstream.as_ref(), request).await?;
        Ok(secret.and_then(|secret| secret.data).unwrap_or_default())
    }

    fn get(&self, path: &str) -> Request {
        let caller = Caller { namespace: None, ..self.caller.clone() };
        caller.request(Method::GET, path)
    }

    /// Makes a token and a mount known, then keeps what was read.
    async fn admit(&self, admission: Box<Admission>) {
        let Admission { ticket, hash, token, meaning, body } = *admission;
        let place = usize::from(hash.to_bytes()[0]) % self.learning.len();
        let learning = match self.learning.get(place) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let known = self.kv.state().mounts.find(&meaning.key.place, self.kv.now()).is_some();
        if !known && !self.learn_mount(ticket, &meaning, &token).await {
            return;
        }
        if self.kv.state().standing(hash, self.kv.now()) == Standing::Unknown
            && !self.learn_token(hash, &token, meaning.namespace.as_ref()).await
        {
            return;
        }
        drop(learning);
        let mut state = self.kv.state();
        let now = self.kv.now();
        match body {
            Some((arrived, _room)) => {
                state.read(ticket, hash, &meaning, &arrived, now);
            }
            None => state.give(ticket, hash, &meaning, now),
        }
    }

    /// False: nothing was learnt.
    async fn learn_mount(&self, ticket: Ticket, meaning: &Meaning, token: &Token) -> bool {
        let path = format!("sys/internal/ui/mounts/{}", meaning.path.trim_end_matches('/'));
        let found = match self.ask(meaning.namespace.as_ref(), token, self.get(&path)).await {
            Ok(data) => reading::mount(&data),
            Err(error) if is_refusal(&error) => None,
            Err(_) => return false,
        };
        let mut state = self.kv.state();
        // What lies where may have changed since it was asked.
        let holds = state.writes.permits(ticket);
        if holds {
            state.mounts.learn(meaning, found, self.kv.now());
        }
        holds
    }

    /// False: nothing was learnt.
    async fn learn_token(&self, hash: TokenHash, token: &Arc<Token>, namespace: Option<&Namespace>) -> bool {
        let ticket = self.kv.state().writes.ticket(self.kv.now());
        let mut answer = self.ask(namespace, token, self.get("auth/token/lookup-self")).await;
        if namespace.is_some() && answer.as_ref().is_err_and(is_refusal) {
            // A token of a namespace above looks at itself there.
            answer = self.ask(None, token, self.get("auth/token/lookup-self")).await;
        }
        let looked = match answer {
            Ok(data) => reading::token(&data, ticket.sent_at),
            Err(error) if is_refusal(&error) => None,
            Err(_) => return false,
        };
        self.kv.state().looked(ticket, hash, Arc::clone(token), looked, self.kv.now())
    }

    /// A token that was refused something may be dead.
    async fn check(&self, hash: TokenHash) {
        let Some(token) = self.kv.state().check(hash, self.kv.now()) else { return };
        if let Err(error) = self.ask(None, &token, self.get("auth/token/lookup-self")).await
            && error.status() == Some(StatusCode::FORBIDDEN)
        {
            debug!(target: "cache.static", "a token is not valid any more");
            self.kv.state().token_gone(hash, true);
        }
    }

    async fn look_at_grants(&self, due: Due) {
        let Due { hash, token, namespace, what } = due;
        let ticket = self.kv.state().writes.ticket(self.kv.now());
        let mut paths: Vec<&str> = what.iter().map(|meaning| &*meaning.path).collect();
        paths.dedup();
        let request = self.get("sys/capabilities-self").json(&json!({ "paths": paths }));
        let request = Request { method: Method::POST, ..request };
        let answer = self.ask(namespace.as_ref(), &token, request).await;
        let mut state = self.kv.state();
        match answer {
            Ok(data) => {
                for meaning in &what {
                    let may = reading::may(&data, &meaning.path, meaning.key.variant);
                    state.capable(ticket, hash, meaning, may);
                }
            }
            // In a namespace below its own a living token may be refused this.
            Err(error) if error.status() == Some(StatusCode::FORBIDDEN) && namespace.is_none() => {
                state.token_gone(hash, true);
            }
            Err(error) if is_refusal(&error) || !self.kv.optimistic => {
                for meaning in &what {
                    state.capable(ticket, hash, meaning, false);
                }
            }
            // They hold until their time is over, and are tried again before.
            Err(error) => debug!(target: "cache.static", %error, "permissions could not be looked at"),
        }
    }

    async fn refresh(&self, refresh: Refresh) {
        let Refresh { hash, token, meaning } = refresh;
        let (ticket, metadata) = {
            let (state, now) = (self.kv.state(), self.kv.now());
            let by_metadata = state.settings.revalidate == Revalidate::Metadata;
            let versioned = state.version(&meaning.key).is_some();
            let path =
                if by_metadata && versioned { state.mounts.metadata_path(&meaning, now) } else { None };
            (state.writes.ticket(now), path)
        };
        let namespace = meaning.namespace.clone();
        if let Some(path) = metadata
            && let Ok(data) = self.ask(namespace.as_ref(), &token, self.get(&path)).await
            && self.kv.state().compared(ticket, hash, &meaning, &data, self.kv.now()).is_some()
        {
            return;
        }
        let path = match meaning.key.variant {
            Variant::Version(version) => format!("{}?version={version}", meaning.path),
            Variant::Latest => meaning.path.to_string(),
            Variant::List => format!("{}?list=true", meaning.path),
        };
        let ticket = self.kv.state().writes.ticket(self.kv.now());
        let request = self.get(&path).namespace(namespace.as_ref()).token(&token);
        let most = self.kv.state().settings.max_entry_bytes;
        let sent = tokio::time::timeout(self.caller.timeout, self.upstream.send(request)).await;
        let Ok(Ok(response)) = sent else { return };
        match response.status {
            StatusCode::FORBIDDEN => self.kv.state().refused(hash, &meaning.key),
            StatusCode::NOT_FOUND => {
                self.kv.state().absent(ticket, hash, &meaning, None, self.kv.now());
            }
            status if may_hold_secret(status, &response.headers) => {
                let headers = response.headers;
                if let Ok(body) = response.body.collect(most, self.caller.timeout).await {
                    self.kv.learn(ticket, &Asked { meaning, hash }, &token, &headers, &body);
                }
            }
            _ => {}
        }
    }
}

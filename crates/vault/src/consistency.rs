//! Read your writes in a cluster with replicas: how new an answer was is remembered and asked for with the next
//! request. Vault's `enforce_consistency`; OpenBao sends no such header, and nothing happens.

use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};

use crate::{BoxFuture, Request, Response, SendError, Upstream, headers};

/// Two states are unordered when each is ahead of the other in something; more than two are not kept, as upstream
/// keeps them.
const MOST_STATES: usize = 2;

/// What a server is to do that is not as new as asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenInconsistent {
    /// Say so (412).
    #[default]
    Fail,
    /// Say so, and we ask again.
    Retry,
    /// Ask the active node.
    Forward,
}

/// An upstream that is never asked for older answers than it has given.
pub struct Consistent {
    upstream: Arc<dyn Upstream>,
    /// `None`: it only passes on.
    action: ArcSwap<Option<WhenInconsistent>>,
    states: Mutex<Vec<State>>,
}

impl Consistent {
    /// Before `upstream`. Whether it repeats a 412 is its own setting.
    pub fn new(upstream: Arc<dyn Upstream>, action: Option<WhenInconsistent>) -> Self {
        Self { upstream, action: ArcSwap::from_pointee(action), states: Mutex::default() }
    }

    /// What counts from the next request on; `None` for nothing at all.
    pub fn set(&self, action: Option<WhenInconsistent>) {
        self.action.store(Arc::new(action));
        if action.is_none() {
            self.states().clear();
        }
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether the client sees to it, with headers of its own.
    fn is_clients(request: &Request) -> bool {
        let own = [headers::INDEX, headers::FORWARD, headers::INCONSISTENT];
        request.method == Method::OPTIONS || own.iter().any(|name| request.headers.contains_key(name))
    }

    async fn consistently(
        &self,
        mut request: Request,
        action: WhenInconsistent,
    ) -> Result<Response, SendError> {
        if Self::is_clients(&request) {
            return self.upstream.send(request).await;
        }
        for state in self.states().iter() {
            request.headers.append(headers::INDEX, state.text.clone());
        }
        if action == WhenInconsistent::Forward {
            request.headers.insert(headers::INCONSISTENT, HeaderValue::from_static("forward-active-node"));
        }
        Ok(self.noted(self.upstream.send(request).await?))
    }

    async fn lent(&self, request: &Request, action: WhenInconsistent) -> Result<Response, SendError> {
        if Self::is_clients(request) {
            return self.upstream.lend(request).await;
        }
        let as_it_is = action != WhenInconsistent::Forward && self.states().is_empty();
        if as_it_is {
            return Ok(self.noted(self.upstream.lend(request).await?));
        }
        self.consistently(request.clone(), action).await
    }

    /// Remembers how new an answer is.
    fn noted(&self, response: Response) -> Response {
        if let Some(state) = response.headers.get(headers::INDEX).and_then(State::parse) {
            merge(&mut self.states(), state);
        }
        response
    }
}

impl Upstream for Consistent {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        match **self.action.load() {
            None => self.upstream.send(request),
            Some(action) => Box::pin(self.consistently(request, action)),
        }
    }

    fn lend<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, SendError>> {
        match **self.action.load() {
            None => self.upstream.lend(request),
            Some(action) => Box::pin(self.lent(request, action)),
        }
    }
}

/// `v1:<cluster>:<local index>:<replicated index>:<hmac>` in base64, as the server sends it.
#[derive(Clone, Debug)]
struct State {
    text: HeaderValue,
    cluster: String,
    local: u64,
    replicated: u64,
}

impl State {
    fn parse(text: &HeaderValue) -> Option<Self> {
        let plain = String::from_utf8(STANDARD.decode(text.as_bytes()).ok()?).ok()?;
        let mut parts = plain.split(':');
        if parts.next()? != "v1" {
            return None;
        }
        let cluster = parts.next().filter(|cluster| !cluster.is_empty())?.to_owned();
        let (local, replicated) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { text: text.clone(), cluster, local, replicated })
    }

    /// Nothing in `other` is newer.
    fn covers(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.local >= other.local && self.replicated >= other.replicated
    }
}

/// Adds `new`, and drops what it makes superfluous.
fn merge(states: &mut Vec<State>, new: State) {
    if states.iter().any(|known| known.covers(&new)) {
        return;
    }
    states.retain(|known| !new.covers(known));
    if states.len() >= MOST_STATES {
        states.remove(0);
    }
    states.push(new);
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::Body;

    fn index(local: u64, replicated: u64) -> HeaderValue {
        HeaderValue::from_str(&STANDARD.encode(format!("v1:c:{local}:{replicated}:mac"))).unwrap()
    }

    #[test]
    fn the_newest_states_are_kept() {
        let mut states = Vec::new();
        for ((local, replicated), kept) in
            [((1, 1), 1), ((2, 1), 1), ((1, 1), 1), ((1, 2), 2), ((3, 3), 1), ((4, 2), 2), ((2, 4), 2)]
        {
            merge(&mut states, State::parse(&index(local, replicated)).unwrap());
            assert_eq!(states.len(), kept, "{local} {replicated}: {states:?}");
        }
        for bad in ["", "%%", "djE6Yzox", "djI6YzoxOjI6bQ=="] {
            assert!(State::parse(&HeaderValue::from_static(bad)).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_lent_asks_for_the_same() {
        let replica = Arc::new(Replica::default());
        let upstream = Consistent::new(Arc::clone(&replica) as _, Some(WhenInconsistent::Fail));
        let request = Request::new(Method::GET, "a");
        for _ in 0..2 {
            upstream.lend(&request).await.unwrap();
        }
        let states = || {
            let asked = replica.0.lock().unwrap();
            asked.iter().map(|headers| headers.get(headers::INDEX).cloned()).collect::<Vec<_>>()
        };
        assert_eq!(states(), [None, Some(index(1, 1))]);
        // It may be turned off and on.
        upstream.set(None);
        upstream.lend(&request).await.unwrap();
        upstream.set(Some(WhenInconsistent::Forward));
        for _ in 0..2 {
            upstream.lend(&request).await.unwrap();
        }
        assert_eq!(states()[2..], [None, None, Some(index(4, 1))]);
        let asked = replica.0.lock().unwrap();
        assert!(asked[4].contains_key(headers::INCONSISTENT));
    }

    /// Answers with a state that grows, and notes what it was asked for.
    #[derive(Default)]
    struct Replica(Mutex<Vec<HeaderMap>>);

    impl Upstream for Replica {
        fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            let mut asked = self.0.lock().unwrap();
            asked.push(request.headers);
            let headers = HeaderMap::from_iter([(headers::INDEX, index(asked.len() as u64, 1))]);
            Box::pin(async { Ok(Response { status: StatusCode::OK, headers, body: Body::empty() }) })
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_asked_for() {
        for action in [WhenInconsistent::Fail, WhenInconsistent::Forward] {
            let replica = Arc::new(Replica::default());
            let upstream = Consistent::new(Arc::clone(&replica) as _, Some(action));
            let request = || Request::new(Method::GET, "a");
            upstream.send(request()).await.unwrap();
            upstream.send(request()).await.unwrap();
            upstream.send(request().header(headers::INDEX, "own")).await.unwrap();
            let asked = replica.0.lock().unwrap();
            assert!(!asked[0].contains_key(headers::INDEX));
            assert_eq!(asked[1][headers::INDEX], index(1, 1));
            let forwards =
                asked.iter().map(|one| one.contains_key(headers::INCONSISTENT)).collect::<Vec<_>>();
            assert_eq!(
                forwards,
                [action == WhenInconsistent::Forward, action == WhenInconsistent::Forward, false]
            );
            assert_eq!(asked[2].get_all(headers::INDEX).iter().count(), 1);
        }
    }
}

//! Ours or the server's? And the answers we give ourselves.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cache::Cache;
use config::{Listener, Role, UseAutoAuthToken};
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::info;
use vault::{Body, BoxFuture, Namespace, Product, TokenState, shown, shown_path};

use crate::access::{AccessLog, Noted};
use crate::breach::Breach;
use crate::counters::Passed;
use crate::doors::Doors;
use crate::guard::{self, Guard};
use crate::inbound::{Asking, Inbound};
use crate::rate::Rates;
use crate::replay::{Refusal, WaitingRoom};
use crate::report::Report;
use crate::rules::Rules;
use crate::socket::COMPLAINTS;
use crate::target::{Target, TargetError};
use crate::tunnel::Tunnels;
use crate::{access, control, forward, holdings, report};

/// What all listeners share.
pub struct Context {
    /// The door to the server.
    pub cache: Cache,
    /// Our own token.
    pub tokens: watch::Receiver<TokenState>,
    /// When it is used.
    pub use_auto_auth_token: UseAutoAuthToken,
    /// Whether there is an `auto_auth` stanza at all.
    pub has_auto_auth: bool,
    /// Refuse paths outside `/v1/`.
    pub strict_paths: bool,
    /// Stands before the namespace of each request that is passed on.
    pub namespace: Option<Namespace>,
    /// Agent or proxy.
    pub product: Product,
    /// What we put in front of a client's `User-Agent`.
    pub user_agent: HeaderValue,
    /// Room for refused requests that wait for a new token.
    pub waiting_room: WaitingRoom,
    /// Room for WebSockets.
    pub tunnels: Tunnels,
    /// What became of requests that were passed on; all contexts may share it.
    pub passed: Arc<Passed>,
    /// The name of the identity whose token is used, if it has one.
    pub identity: Option<String>,
    /// Where a line for each request goes.
    pub access: Option<AccessLog>,
    /// Who tells of the whole program.
    pub report: Arc<dyn Report>,
    /// The arrows back up.
    pub handles: Handles,
}

/// What happens elsewhere when something is seen here.
pub struct Handles {
    /// The server refused our token: has it checked at once. The future says whether another one comes.
    pub refused: Arc<dyn Fn(Refusal) -> BoxFuture<'static, bool> + Send + Sync>,
    /// Somebody asked us to quit.
    pub quit: Arc<dyn Fn() + Send + Sync>,
    /// Somebody asked us to read the configuration again: what came of it, or what is wrong with it.
    pub reload: Arc<dyn Fn() -> BoxFuture<'static, Result<Value, Vec<String>>> + Send + Sync>,
}

/// What the next request meets: it may be another one than the last met.
#[derive(Clone)]
pub(crate) struct Sites(Arc<ArcSwap<Site>>);

impl Sites {
    pub(crate) fn new(site: Site) -> Self {
        Self::of(Arc::new(site))
    }

    pub(crate) fn of(site: Arc<Site>) -> Self {
        Self(Arc::new(ArcSwap::new(site)))
    }

    pub(crate) fn now(&self) -> Arc<Site> {
        self.0.load_full()
    }

    pub(crate) fn replace(&self, site: Site) {
        self.0.store(Arc::new(site));
    }
}

/// One listener's view of it.
pub(crate) struct Site {
    pub(crate) context: Arc<Context>,
    pub(crate) guard: Guard,
    pub(crate) rules: Rules,
    pub(crate) doors: Arc<Doors>,
    pub(crate) role: Role,
    pub(crate) enable_quit: bool,
    pub(crate) enable_reload: bool,
    /// As it is configured, for the access log.
    pub(crate) name: Arc<str>,
    /// When the log may say again that somebody spoke without TLS: nobody can fill it.
    pub(crate) complaints: Rates<()>,
}

impl Site {
    pub(crate) fn new(context: Arc<Context>, listener: &Listener, doors: Arc<Doors>) -> Self {
        let (guard, rules) = (Guard::new(listener), Rules::new(&listener.access));
        let name = access::name_of(&listener.endpoint);
        Self {
            context,
            guard,
            rules,
            doors,
            role: listener.role,
            enable_quit: listener.enable_quit,
            enable_reload: listener.enable_reload,
            name: name.into(),
            complaints: Rates::new(COMPLAINTS, 1),
        }
    }

    fn check(&self, request: &Request<Inbound>) -> Result<(), guard::Refusal> {
        let authority = request.uri().authority().map(|authority| authority.as_str());
        self.guard.check(request.version(), request.method(), authority, request.headers())
    }

    /// Answers a request. Never fails: what goes wrong is an answer too.
    pub(crate) async fn answer(&self, request: Asking) -> Response<Body> {
        let (noted, step) = self.decide(request);
        let mut response = match step {
            Step::Answered(response) => response,
            Step::Reload => Box::pin(control::reload(&self.context.handles)).await,
            Step::Clear(request) => Box::pin(control::cache_clear(&self.context.cache, *request)).await,
            Step::Forward(target, request) => forward::forward(&self.context, target, request).await,
        };
        if let Some(noted) = noted {
            let identity = response.extensions_mut().remove::<Noted>().and_then(|noted| noted.identity);
            response.extensions_mut().insert(Noted { identity, ..*noted });
        }
        response
    }

    /// All that is known without waiting for anybody, and what the access log is to know of it.
    fn decide(&self, mut request: Asking) -> (Option<Box<Noted>>, Step) {
        if self.role == Role::MetricsOnly {
            return (None, Step::Answered(self.measured(&request)));
        }
        if let Err((status, why)) = self.check(&request) {
            let close = status == StatusCode::BAD_REQUEST;
            let response = error(status, why);
            return (None, Step::Answered(if close { closing(response) } else { response }));
        }
        let target = match Target::of(&mut request, self.doors.limits.target) {
            Ok(target) => target,
            Err(why) => return (None, Step::Answered(no_target(&why, request.uri().query()))),
        };
        let noted = self.context.access.is_some().then(|| Box::new(Noted::of(target.path(), &request)));
        (noted, self.route(target, request))
    }

    /// Our own endpoints and the server's.
    fn route(&self, target: Target, request: Asking) -> Step {
        let report = &*self.context.report;
        let own = target.path().strip_prefix(self.own());
        let checked = self.guard.check_own(own.unwrap_or_default(), request.method(), request.headers());
        if let Err((status, why)) = checked {
            return Step::Answered(error(status, why));
        }
        Step::Answered(match own {
            Some("cache") => holdings::holdings(&self.context.cache, &request),
            Some("cache-clear") => return Step::Clear(request),
            Some("quit") => control::quit(self.enable_quit, request.method(), &self.context.handles),
            Some("reload") => match control::may_reload(self.enable_reload, request.method()) {
                Ok(()) => return Step::Reload,
                Err(status) => empty(status),
            },
            Some("health") => report::health(report, &request),
            Some("metrics") => report::metrics(report, &request),
            Some("status") => report::status(report, &request),
            _ if !self.rules.allow(request.method(), &target, request.headers()) => {
                self.doors.counters.count(Breach::Rule);
                info!(target: "apiproxy", method = shown(request.method().as_str()), path = shown_path(target.path()), "not allowed by the listener's rules");
                error(Breach::Rule.status(), Breach::Rule.why())
            }
            _ => return Step::Forward(target, request),
        })
    }

    /// What a listener for metrics alone serves: nothing that acts, and of names of files those of unix sockets alone.
    fn measured(&self, request: &Request<Inbound>) -> Response<Body> {
        let report = &*self.context.report;
        match request.uri().path().strip_prefix(self.own()) {
            Some("health") => report::health(report, request),
            Some("metrics") => report::metrics(report, request),
            _ => report::not_found(),
        }
    }

    /// Where our own endpoints are.
    fn own(&self) -> &'static str {
        match self.context.product {
            Product::Agent => "/agent/v1/",
            Product::Proxy => "/proxy/v1/",
        }
    }
}

/// What is to be done with a request.
enum Step {
    /// Nothing more.
    Answered(Response<Body>),
    /// The configuration is read again.
    Reload,
    /// The cache is told what to forget.
    Clear(Asking),
    /// The server is asked.
    Forward(Target, Asking),
}

/// The answer to a target that is none.
fn no_target(why: &TargetError, query: Option<&str>) -> Response<Body> {
    match why {
        TargetError::EmptySegment { cleaned } => moved(cleaned, query),
        TargetError::TooLong => error(StatusCode::URI_TOO_LONG, "the request target is too long"),
        why => closing(error(StatusCode::BAD_REQUEST, &why.to_string())),
    }
}

/// Whoever asks like this is not trusted with where the next request begins.
fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// `{"errors":["…"]}` with a newline behind it, as both servers write theirs.
pub(crate) fn error(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(format!("{}\n", json!({"errors": [message]}))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An empty answer.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn moved(cleaned: &str, query: Option<&str>) -> Response<Body> {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    let location = query.map_or_else(|| cleaned.to_owned(), |query| format!("{cleaned}?{query}"));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

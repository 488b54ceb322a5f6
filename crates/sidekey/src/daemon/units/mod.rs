//! What the program is made of, one unit a stanza: each knows the settings that it was made from. Start and reload are
//! one thing: what is new is made first ([`Units::prepare`]), and only when all of it can be, it takes the place of
//! what is there ([`Units::commit`]). What is the same in both is not touched.

mod cache;
mod changes;
mod listeners;
mod logins;
mod outside;
mod runners;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use auto_auth::LoggedIn;
use config::{Environment, Settings};
use proxy::{Passed, Report};
use template::Variables;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::TokenState;

use self::cache::CacheUnit;
pub(super) use self::changes::{Changes, restrained};
use self::listeners::{Contexts, Doorstep};
use self::logins::Login;
use self::outside::{Access, Exec, Outside};
use self::runners::RunnerUnit;
use self::server::Ways;
use super::build::StartError;
use super::child;
use super::report::{Board, Parts, TemplatePart};
use super::tasks::Tasks;

/// Tells units apart: what was made later has a greater one.
type Id = u64;

/// Whoever asks for a reload is told what came of it.
pub(super) type Ask = oneshot::Sender<Result<Changes, Vec<String>>>;

/// What lives as long as the program.
pub(super) struct Fixed {
    pub(super) environment: Arc<Environment>,
    pub(super) board: Arc<Board>,
    pub(super) quit: CancellationToken,
    /// Where to ask for a reload.
    pub(super) asks: mpsc::Sender<Ask>,
    /// Sinks and templates hold a token of it until they have done their work once.
    pub(super) ready: TaskTracker,
    /// Templates alone: a child waits for them, not for sinks.
    rendered: TaskTracker,
    given_up: CancellationToken,
    passed: Arc<Passed>,
    own_places: vault::OwnPlaces,
    variables: Arc<Variables>,
    child: Arc<child::Link>,
    /// `exec.reap_orphans` at the start.
    pub(super) reaps: bool,
    last: AtomicU64,
}

impl Fixed {
    pub(super) fn new(
        settings: &Settings,
        environment: &Environment,
        asks: mpsc::Sender<Ask>,
        quit: CancellationToken,
    ) -> Self {
        Self {
            environment: Arc::new(environment.clone()),
            board: Board::new(),
            quit,
            asks,
            ready: TaskTracker::new(),
            rendered: TaskTracker::new(),
            given_up: CancellationToken::new(),
            passed: Arc::default(),
            own_places: vault::OwnPlaces::default(),
            variables: Arc::new(Variables::of(&settings.templates)),
            child: Arc::default(),
            reaps: settings.exec.as_ref().is_some_and(|exec| exec.reap_orphans),
            last: AtomicU64::new(0),
        }
    }

    fn id(&self) -> Id {
        self.last.fetch_add(1, Relaxed)
    }
}

/// Something that is there already and stays, by its place, or something new.
enum Slot<T> {
    Keep(usize),
    New(T),
}

/// Finds what is like `wanted` among those that nobody has taken yet, and takes it.
fn take<T>(old: &[T], taken: &mut Vec<bool>, is_it: impl Fn(&T) -> bool) -> Option<usize> {
    taken.resize(old.len(), false);
    let mut places = old.iter().enumerate().zip(taken.iter_mut());
    let ((at, _), taken) = places.find(|((_, one), taken)| !**taken && is_it(one))?;
    *taken = true;
    Some(at)
}

/// Everything that runs.
pub(super) struct Units {
    pub(super) settings: Arc<Settings>,
    pub(super) access: Option<Access>,
    pub(super) child: Option<Exec>,
    outside: Outside,
    ways: Option<Ways>,
    cache: Option<CacheUnit>,
    logins: Vec<Login>,
    /// The first that logs in goes on with it.
    login: Option<LoggedIn>,
    contexts: Contexts,
    listeners: Vec<Doorstep>,
    /// Sockets of systemd that no listener wants: they are passed to us only once.
    parked: Vec<Doorstep>,
    runners: Vec<RunnerUnit>,
}

/// What is new, made and not yet running; and what of the old stays.
pub(super) struct Next {
    settings: Arc<Settings>,
    outside: outside::Next,
    ways: server::Next,
    cache: Option<cache::Next>,
    logins: Vec<logins::Next>,
    listeners: Vec<listeners::Next>,
    runners: Vec<runners::Next>,
}

impl Units {
    /// Those of the first that logs in.
    pub(super) fn tokens(&self) -> Option<watch::Receiver<TokenState>> {
        self.logins.first().map(|login| login.identity.tokens.clone())
    }

    /// None yet.
    pub(super) fn none(settings: &Arc<Settings>, login: Option<LoggedIn>) -> Self {
        Self {
            settings: Arc::clone(settings),
            access: None,
            child: None,
            outside: Outside::default(),
            ways: None,
            cache: None,
            logins: Vec::new(),
            login,
            contexts: Contexts::default(),
            listeners: Vec::new(),
            parked: Vec::new(),
            runners: Vec::new(),
        }
    }

    /// Makes what is new. Nothing that runs is touched; only of several listeners that take the place of others, one
    /// may have listened for a moment before the next could not.
    ///
    /// # Errors
    /// Everything that cannot be, in the order that a start would find it; what was made is gone again.
    pub(super) async fn prepare(
        &self,
        settings: &Arc<Settings>,
        fixed: &Fixed,
        tasks: &Tasks,
    ) -> Result<Next, Vec<StartError>> {
        let mut problems = Vec::new();
        let mut outside = self.prepare_outside(settings, fixed, &mut problems);
        let Some(ways) = self.prepare_ways(settings, fixed, &mut problems) else { return Err(problems) };
        let cache = self.prepare_cache(settings, &ways, fixed, &mut problems).await;
        // Listeners bind before sinks are checked: an address in use is the more common mistake.
        let mut listeners = self.prepare_listeners(settings, &mut problems).await;
        let logins = self.prepare_logins(settings, &ways, fixed, tasks, &mut problems);
        let runners = self.prepare_runners(settings, &logins, &mut problems);
        self.prepare_pid_file(&mut outside, settings, &mut problems);
        if problems.is_empty() {
            Self::listen_beside(&mut listeners, &mut problems);
        }
        if problems.is_empty() {
            Ok(Next { settings: Arc::clone(settings), outside, ways, cache, logins, listeners, runners })
        } else {
            Err(problems)
        }
    }

    /// Puts what is new in place, and ends what nobody wants any more. Gives what has changed.
    pub(super) async fn commit(&mut self, next: Next, fixed: &Fixed, tasks: &mut Tasks) -> Changes {
        let mut changes = Changes::default();
        let before = std::mem::replace(&mut self.settings, next.settings);
        let child = self.commit_outside(next.outside, &mut changes);
        let elsewhere = next.cache.is_some();
        self.commit_ways(next.ways, &before, &mut changes);
        self.commit_cache(next.cache, fixed, tasks, &mut changes).await;
        self.commit_logins(next.logins, fixed, tasks, &mut changes).await;
        self.commit_listeners(next.listeners, fixed, tasks, &before, &mut changes);
        fixed.variables.want(&self.settings.templates);
        self.commit_runners(next.runners, elsewhere, fixed, tasks, &mut changes).await;
        self.commit_child(child, fixed, tasks, &mut changes);
        self.tell(fixed);
        changes.others(&before, &self.settings);
        changes
    }

    /// Who reports learns who there is now.
    fn tell(&self, fixed: &Fixed) {
        let Some((ways, cache)) = self.ways.as_ref().zip(self.cache.as_ref()) else { return };
        let templates = self.runners.iter().flat_map(|runner| {
            let identity = self.logins.iter().find(|login| login.id == runner.login);
            let identity = identity.and_then(|login| login.settings.name.clone()).unwrap_or_default();
            runner.prepared.standings().map(move |standing| TemplatePart {
                identity: identity.clone(),
                standing: Arc::clone(standing),
            })
        });
        fixed.board.complete(Parts {
            product: self.settings.product,
            telemetry: self.settings.telemetry.clone(),
            identities: self.logins.iter().map(|login| login.identity.part(&login.settings)).collect(),
            listeners: self.listeners.iter().map(Doorstep::part).collect(),
            templates: templates.collect(),
            child: self.child.as_ref().map(Exec::record),
            upstreams: ways.clients(),
            cache: cache.cache.clone(),
            passed: Arc::clone(&fixed.passed),
            access: self.access.as_ref().map(|access| access.log.clone()),
            ready: fixed.ready.clone(),
        });
    }

    /// Where clients connect: `http://127.0.0.1:8200`, with the real ports.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(|listener| listener.address().to_owned()).collect()
    }

    /// Reads files anew that are named as before: certificates of listeners, and TLS towards the server.
    pub(super) fn read_again(&self) {
        self.listeners.iter().for_each(Doorstep::reload_certificates);
        if let Some(ways) = &self.ways {
            ways.reload_tls(&self.settings.vault.tls);
        }
    }

    fn report(fixed: &Fixed) -> Arc<dyn Report> {
        Arc::clone(&fixed.board) as _
    }
}

//! Where clients connect.

use std::collections::BTreeMap;
use std::sync::Arc;

use auto_auth::Refused;
use cache::Cache;
use config::{ApiProxy, Endpoint, Listener, Settings};
use futures_util::FutureExt as _;
use http::HeaderValue;
use proxy::{Beside, Bound, Context, Handles, Listening, Refusal, Tunnels, WaitingRoom};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use vault::{Subsystem, TokenState, user_agent};

use super::logins::Login;
use super::{Changes, Fixed, Id, Units, take};
use crate::daemon::build::{StartError, keep_own_token};
use crate::daemon::report::ListenerPart;
use crate::daemon::tasks::Tasks;

/// A listener.
pub(super) struct Doorstep {
    settings: Listener,
    context: Arc<Context>,
    listening: Listening,
}

pub(super) struct Next {
    /// The one that is at this place.
    old: Option<usize>,
    /// The parked one whose socket it has.
    parked: Option<usize>,
    place: Place,
    settings: Listener,
}

/// Where a listener accepts.
enum Place {
    /// As before: the same socket with the same connections.
    Same,
    Bound(Bound),
    /// Where others are that go. They are asked until all else is made.
    Beside(Beside),
}

/// What listeners of one identity share.
#[derive(Default)]
pub(super) struct Contexts {
    all: BTreeMap<Option<Id>, (Spec, Arc<Context>)>,
    /// Those who make tokens known to a cache, by identity.
    known: BTreeMap<Id, (Id, CancellationToken)>,
    /// Names of identities, by the number under which the cache knows their tokens.
    names: Vec<String>,
}

#[derive(PartialEq)]
struct Spec {
    settings: ApiProxy,
    cache: Id,
    access: Option<Id>,
}

/// Whether both stand at one place.
fn is_at(one: &Endpoint, other: &Endpoint) -> bool {
    match (one, other) {
        (Endpoint::Unix { path: one, .. }, Endpoint::Unix { path: other, .. }) => one == other,
        _ => one == other,
    }
}

/// Whether the system takes one of them only.
fn overlap(one: &Endpoint, other: &Endpoint) -> bool {
    let (Endpoint::Tcp(one), Endpoint::Tcp(other)) = (one, other) else { return false };
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

fn name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address) => address.to_string(),
        Endpoint::Unix { path, .. } => path.display().to_string(),
        Endpoint::Systemd { socket, .. } => format!("systemd:{socket}"),
    }
}

/// Whose token a listener uses.
fn identity<'a>(settings: &'a Settings, listener: &Listener) -> Option<&'a Option<String>> {
    Some(&settings.auto_auths.get(listener.auto_auth?)?.name)
}

impl Units {
    pub(super) async fn prepare_listeners(
        &self,
        settings: &Settings,
        problems: &mut Vec<StartError>,
    ) -> Vec<Next> {
        let (mut taken, mut unparked) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        for listener in &settings.listeners {
            let here = |old: &Doorstep| is_at(&old.settings.endpoint, &listener.endpoint);
            let old = take(&self.listeners, &mut taken, here);
            let parked = if old.is_none() { take(&self.parked, &mut unparked, here) } else { None };
            places.push((listener, old, parked));
        }
        let stays = |at: usize| taken.get(at).is_some_and(|taken| *taken);
        let going = self.listeners.iter().enumerate().filter(|(at, _)| !stays(*at));
        // systemd's sockets are never closed.
        let going = going.filter(|(_, old)| !matches!(old.settings.endpoint, Endpoint::Systemd { .. }));
        let going: Vec<&Listening> = going.map(|(_, old)| &old.listening).collect();
        let mut all = Vec::new();
        for (listener, old, parked) in places {
            let place = match (
                old.and_then(|at| self.listeners.get(at)),
                parked.and_then(|at| self.parked.get(at)),
            ) {
                (Some(old), _) if old.listening.fits(listener) => Ok(Place::Same),
                (Some(old), _) | (None, Some(old)) => old.listening.succeeded(listener).map(Place::Bound),
                (None, None) => {
                    let here = |other: &&Listener| overlap(&other.endpoint, &listener.endpoint);
                    // Two new ones that overlap fail as they do at a start.
                    let going =
                        if settings.listeners.iter().filter(here).count() == 1 { &*going } else { &[] };
                    match Beside::bind(listener, going.iter().copied()) {
                        Ok(Some(beside)) => Ok(Place::Beside(beside)),
                        Ok(None) => Bound::bind(listener).await.map(Place::Bound),
                        Err(error) => Err(error),
                    }
                }
            };
            match place {
                Ok(place) => all.push(Next { old, parked, place, settings: listener.clone() }),
                Err(error) => problems.push(error.into()),
            }
        }
        all
    }

    /// Those that are beside others that go take their place: whoever connects now is answered by the new
    /// configuration, so nothing else may go wrong after this.
    pub(super) fn listen_beside(next: &mut [Next], problems: &mut Vec<StartError>) {
        for next in next {
            next.place = match std::mem::replace(&mut next.place, Place::Same) {
                Place::Beside(beside) => match beside.listen() {
                    Ok(bound) => Place::Bound(bound),
                    Err(error) => {
                        problems.push(error.into());
                        return;
                    }
                },
                other => other,
            };
        }
    }

    pub(super) fn commit_listeners(
        &mut self,
        next: Vec<Next>,
        fixed: &Fixed,
        tasks: &mut Tasks,
        last: &Settings,
        changes: &mut Changes,
    ) {
        let contexts = self.contexts(fixed);
        let proxied = last.api_proxy != self.settings.api_proxy;
        let now = Arc::clone(&self.settings);
        let mut before: Vec<Option<Doorstep>> = self.listeners.drain(..).map(Some).collect();
        let mut parked: Vec<Option<Doorstep>> = self.parked.drain(..).map(Some).collect();
        for Next { old, parked: unparked, place, settings } in next {
            let whose = settings.auto_auth.and_then(|whose| self.logins.get(whose)).map(|login| login.id);
            let Some(context) = contexts.get(&whose) else { continue };
            let old = old.and_then(|at| before.get_mut(at)?.take());
            drop(unparked.and_then(|at| parked.get_mut(at)?.take()));
            let here = name(&settings.endpoint);
            let doorstep = match (place, old) {
                (Place::Same, Some(mut before)) => {
                    let bare = |listener: &Listener| Listener { auto_auth: None, ..listener.clone() };
                    let same = bare(&before.settings) == bare(&settings)
                        && identity(last, &before.settings) == identity(&now, &settings);
                    if !same || !Arc::ptr_eq(&before.context, context) {
                        before.listening.serve(&settings, Arc::clone(context));
                    }
                    // Another cache, or another login of its identity, is told where it happens.
                    if !same || proxied {
                        changes.changed("listener", here);
                    }
                    Doorstep { settings, context: Arc::clone(context), ..before }
                }
                (Place::Bound(bound), before) => {
                    let (listening, run) = bound.start(Arc::clone(context), tasks.stop());
                    tasks.start_graceful("listener", run.map(Ok));
                    match before {
                        Some(before) => {
                            listening.set_access(&settings);
                            before.listening.retire_for(&settings, Arc::clone(context));
                            changes.changed("listener", here);
                        }
                        None => changes.added("listener", here),
                    }
                    Doorstep { settings, context: Arc::clone(context), listening }
                }
                (Place::Same, None) | (Place::Beside(_), _) => continue,
            };
            self.listeners.push(doorstep);
        }
        for gone in before.into_iter().flatten() {
            changes.removed("listener", name(&gone.settings.endpoint));
            gone.listening.retire();
            if matches!(gone.settings.endpoint, Endpoint::Systemd { .. }) {
                self.parked.push(gone);
            }
        }
        self.parked.extend(parked.into_iter().flatten());
        fixed.own_places.set(&self.addresses());
        self.warn_of_loops(fixed);
        self.make_known(tasks);
    }

    /// A server that is one of our own listeners will never be asked.
    fn warn_of_loops(&self, fixed: &Fixed) {
        let vault = &self.settings.vault;
        let servers = std::iter::once(&vault.address).chain(&vault.others);
        for address in servers.filter(|address| fixed.own_places.include(address)) {
            warn!(target: "", address = %address, "the server's address is a listener of this program: no request can be answered; correct `address` in `vault`, or in the listener");
        }
    }

    /// A context for each identity that listeners use, and for none; those that are as before are the same.
    fn contexts(&mut self, fixed: &Fixed) -> BTreeMap<Option<Id>, Arc<Context>> {
        let mut all = BTreeMap::new();
        let mut old = std::mem::take(&mut self.contexts.all);
        let Some(cache) = &self.cache else { return BTreeMap::new() };
        for listener in &self.settings.listeners {
            let login = listener.auto_auth.and_then(|whose| self.logins.get(whose));
            let whose = login.map(|login| login.id);
            let spec = Spec {
                settings: self.settings.api_proxy.clone(),
                cache: cache.id,
                access: self.access.as_ref().map(|access| access.id),
            };
            if all.contains_key(&whose) {
                continue;
            }
            let before = old.remove(&whose);
            let entry = match before.filter(|(old, _)| *old == spec) {
                Some(same) => same,
                None => (spec, Arc::new(self.context(cache.cache.clone(), login, fixed))),
            };
            all.insert(whose, entry);
        }
        self.contexts.all = all;
        self.contexts.all.iter().map(|(whose, (_, context))| (*whose, Arc::clone(context))).collect()
    }

    /// What the listeners of one identity work with; of none, where no token of ours is used.
    fn context(&self, cache: Cache, login: Option<&Login>, fixed: &Fixed) -> Context {
        let identity = login.map(|login| &login.identity);
        let reauth = identity.map(|identity| identity.reauth.clone());
        let (quit, asks) = (fixed.quit.clone(), fixed.asks.clone());
        let none = || watch::channel(TokenState::default()).1;
        Context {
            cache,
            tokens: identity.map_or_else(none, |own| own.tokens.clone()),
            use_auto_auth_token: self.settings.api_proxy.use_auto_auth_token,
            has_auto_auth: identity.is_some(),
            strict_paths: self.settings.api_proxy.strict_paths,
            namespace: self.settings.api_proxy.namespace.clone(),
            product: self.settings.product,
            // Letters and digits of ours.
            user_agent: HeaderValue::from_str(&user_agent(self.settings.product, Subsystem::ApiProxy))
                .unwrap_or_else(|_| HeaderValue::from_static("sidekey")),
            waiting_room: WaitingRoom::default(),
            tunnels: Tunnels::default(),
            passed: Arc::clone(&fixed.passed),
            identity: login.and_then(|login| login.settings.name.clone()),
            access: self.access.as_ref().map(|access| access.log.clone()),
            report: Self::report(fixed),
            handles: Handles {
                refused: Arc::new(move |Refusal { generation, looks_dead }| match &reauth {
                    Some(reauth) => Box::pin(reauth.replacement_comes(Refused { generation, looks_dead })),
                    // Nobody's token was refused.
                    None => Box::pin(std::future::ready(false)),
                }),
                quit: Arc::new(move || quit.cancel()),
                reload: Arc::new(move || {
                    let asks = asks.clone();
                    Box::pin(async move {
                        let (answer, told) = oneshot::channel();
                        let busy = || vec!["a reload could not be begun: too many are asked for".to_owned()];
                        asks.try_send(answer).map_err(|_| busy())?;
                        match told.await {
                            Ok(outcome) => outcome.map(|changes| changes.json()),
                            Err(_) => Err(vec!["the program is ending".to_owned()]),
                        }
                    })
                }),
            },
        }
    }

    /// Makes the tokens of identities that listeners use known to the cache, and has it forget the others.
    fn make_known(&mut self, tasks: &mut Tasks) {
        let Some(cache) = &self.cache else { return };
        let Contexts { all, known, names } = &mut self.contexts;
        known.retain(|login, (old, stop)| {
            let stays = *old == cache.id && all.contains_key(&Some(*login));
            if !stays {
                stop.cancel();
            }
            stays
        });
        let mut ours = Vec::new();
        for login in all.keys().flatten().filter_map(|id| self.logins.iter().find(|login| login.id == *id)) {
            let place = names.iter().position(|name| *name == login.name());
            let whose = place.unwrap_or_else(|| {
                names.push(login.name());
                names.len() - 1
            });
            ours.push(whose);
            if known.contains_key(&login.id) {
                continue;
            }
            let stop = login.scope().stop().child_token();
            let keep = keep_own_token(cache.cache.clone(), whose, login.identity.tokens.clone());
            let until = stop.clone();
            tasks.start_in(login.scope(), "cache token", async move {
                until.run_until_cancelled(keep).await;
                Ok(())
            });
            known.insert(login.id, (cache.id, stop));
        }
        cache.cache.forget_own_tokens_but(&ours);
    }
}

impl Doorstep {
    pub(super) fn address(&self) -> &str {
        self.listening.address()
    }

    pub(super) fn part(&self) -> ListenerPart {
        ListenerPart {
            address: self.address().to_owned(),
            metrics_only: self.listening.is_for_metrics_only(),
            counters: self.listening.counters(),
        }
    }

    pub(super) fn reload_certificates(&self) {
        let Some(certificate) = self.listening.certificates() else { return };
        match certificate.reload() {
            Ok(()) => info!(target: "", listener = self.address(), "reloaded a listener's certificate"),
            Err(error) => {
                error!(target: "", listener = self.address(), error = %error, "a listener's certificate could not be reloaded, the old one stays");
            }
        }
    }
}

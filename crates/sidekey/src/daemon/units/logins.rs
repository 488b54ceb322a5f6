//! Identities: how to log in, and where their tokens go.

use std::path::Path;

use auto_auth::sink::Sink;
use config::{AutoAuth, MethodKind, Settings, SinkKind};
use tracing::{error, info};
use vault::{RedirectHosts, TlsSettings};

use super::{Changes, Fixed, Id, Slot, Units, server, take};
use crate::daemon::build::StartError;
use crate::daemon::identity::{Ends, Identity};
use crate::daemon::tasks::{Scope, Tasks};

/// An identity that logs in.
pub(super) struct Login {
    pub(super) id: Id,
    spec: Spec,
    pub(super) settings: AutoAuth,
    pub(super) identity: Identity,
    scope: Scope,
    sinks: Vec<SinkUnit>,
}

/// A sink that delivers its token.
struct SinkUnit {
    settings: config::Sink,
    scope: Scope,
}

/// What makes an identity another: the next one logs in anew.
#[derive(Clone, PartialEq)]
struct Spec {
    /// Without sinks.
    settings: AutoAuth,
    way: Id,
    /// For the method that has a way of its own to the server: TLS, whether connections are kept, and where a redirect may
    /// lead.
    own: Option<(TlsSettings, bool, RedirectHosts)>,
}

pub(super) struct Next {
    login: Slot<Made>,
    /// The same as in the settings, and in their order.
    sinks: Vec<(config::Sink, Slot<Option<Sink>>)>,
    settings: AutoAuth,
}

struct Made {
    id: Id,
    spec: Spec,
    identity: Identity,
    ends: Ends,
    scope: Scope,
}

impl Next {
    /// The identity as it is to be.
    pub(super) fn identity<'a>(&'a self, old: &'a [Login]) -> Option<(Id, &'a Identity)> {
        match &self.login {
            Slot::Keep(at) => old.get(*at).map(|login| (login.id, &login.identity)),
            Slot::New(made) => Some((made.id, &made.identity)),
        }
    }
}

impl Units {
    pub(super) fn prepare_logins(
        &self,
        settings: &Settings,
        ways: &server::Next,
        fixed: &Fixed,
        tasks: &Tasks,
        problems: &mut Vec<StartError>,
    ) -> Vec<Next> {
        if settings.auto_auths.is_empty() && (self.ways.is_none() || !self.logins.is_empty()) {
            info!(target: "", "No auto_auth block found in config, the automatic authentication feature will not be started");
        }
        let Some(own) = &ways.own else { return Vec::new() };
        let door = server::door(settings, own);
        let mut taken = Vec::new();
        let mut all = Vec::new();
        for auto_auth in &settings.auto_auths {
            let is_cert = matches!(auto_auth.method.kind, MethodKind::Cert(_));
            let spec = Spec {
                settings: AutoAuth { sinks: Vec::new(), ..auto_auth.clone() },
                way: own.id,
                own: is_cert.then(|| {
                    let vault = &settings.vault;
                    (vault.tls.clone(), settings.no_keep_alive.auto_auth, vault.redirect_hosts.clone())
                }),
            };
            let login = match take(&self.logins, &mut taken, |old| old.spec == spec) {
                Some(at) => Slot::Keep(at),
                None => {
                    let (identity, ends) = Identity::new(auto_auth);
                    Slot::New(Made { id: fixed.id(), spec, identity, ends, scope: tasks.scope() })
                }
            };
            all.push(Next { login, sinks: Vec::new(), settings: auto_auth.clone() });
        }
        // Sinks that go free their places for others.
        let kept: Vec<(usize, &AutoAuth)> = all
            .iter()
            .filter_map(|next| match next.login {
                Slot::Keep(at) => Some((at, &next.settings)),
                Slot::New(_) => None,
            })
            .collect();
        let leaving = self.leaving(&kept);
        for next in &mut all {
            let old: &[SinkUnit] = match &next.login {
                Slot::Keep(at) => {
                    self.logins.get(*at).map(|login| login.sinks.as_slice()).unwrap_or_default()
                }
                Slot::New(_) => &[],
            };
            let mut taken = Vec::new();
            let mut sinks = Vec::new();
            for sink in &next.settings.sinks {
                let slot = match take(old, &mut taken, |old| old.settings == *sink) {
                    Some(at) => Slot::Keep(at),
                    // Its socket can be bound when the old one is gone.
                    None if socket(sink).is_some_and(|path| leaving.contains(&path)) => Slot::New(None),
                    None => match next.identity(&self.logins).map(|(_, identity)| identity.sink(sink, &door))
                    {
                        Some(Ok(made)) => Slot::New(Some(made)),
                        Some(Err(error)) => {
                            problems.push(error.into());
                            continue;
                        }
                        None => continue,
                    },
                };
                sinks.push((sink.clone(), slot));
            }
            next.sinks = sinks;
        }
        all
    }

    pub(super) async fn commit_logins(
        &mut self,
        next: Vec<Next>,
        fixed: &Fixed,
        tasks: &mut Tasks,
        changes: &mut Changes,
    ) {
        let Some(own) = self.ways.as_ref().and_then(|ways| ways.own.clone()) else {
            for login in self.logins.drain(..) {
                changes.removed("auto_auth", login.name());
                login.end().await;
            }
            return;
        };
        let door = server::door(&self.settings, &own);
        let names: Vec<String> = self.logins.iter().map(Login::name).collect();
        let mut old: Vec<Option<Login>> = self.logins.drain(..).map(Some).collect();
        let mut all = Vec::new();
        for next in next {
            let (mut login, ends) = match next.login {
                Slot::Keep(at) => match old.get_mut(at).and_then(Option::take) {
                    Some(login) => (login, None),
                    None => continue,
                },
                Slot::New(Made { id, spec, identity, ends, scope }) => {
                    let settings = next.settings.clone();
                    (Login { id, spec, settings, identity, scope, sinks: Vec::new() }, Some(ends))
                }
            };
            let before = std::mem::take(&mut login.sinks);
            login.settings = next.settings;
            if ends.is_some() {
                match names.contains(&login.name()) {
                    true => changes.changed("auto_auth", login.name()),
                    false => changes.added("auto_auth", login.name()),
                }
            }
            all.push((login, ends, before, next.sinks));
        }
        for gone in old.into_iter().flatten() {
            if !all.iter().any(|(login, ..)| login.name() == gone.name()) {
                changes.removed("auto_auth", gone.name());
            }
            gone.end().await;
        }
        // All that go before any that come: they may want the same places.
        for (_, _, before, sinks) in &mut all {
            let stays =
                |at: usize| sinks.iter().any(|(_, slot)| matches!(slot, Slot::Keep(kept) if *kept == at));
            for (_, gone) in before.iter().enumerate().filter(|(at, _)| !stays(*at)) {
                changes.removed("sink", place(&gone.settings));
                gone.scope.clone().end().await;
            }
        }
        for (mut login, ends, before, sinks) in all {
            let mut before: Vec<Option<SinkUnit>> = before.into_iter().map(Some).collect();
            for (settings, slot) in sinks {
                let made = match slot {
                    Slot::Keep(at) => {
                        login.sinks.extend(before.get_mut(at).and_then(Option::take));
                        continue;
                    }
                    Slot::New(Some(made)) => Ok(made),
                    Slot::New(None) => login.identity.sink(&settings, &door),
                };
                changes.added("sink", place(&settings));
                match made {
                    Ok(made) => {
                        let scope = tasks.scope();
                        login.identity.deliver(made, &scope, tasks, &fixed.ready);
                        login.sinks.push(SinkUnit { settings, scope });
                    }
                    Err(error) => {
                        error!(target: "sink", error = %error, "the sink could not take the place of the one before; reload again");
                    }
                }
            }
            if let Some(ends) = ends {
                login.identity.log_in(
                    (ends, self.login.take()),
                    &login.settings,
                    &door,
                    &fixed.environment,
                    (&login.scope, tasks),
                );
            }
            self.logins.push(login);
        }
    }

    /// The sockets of sinks that go.
    fn leaving(&self, kept: &[(usize, &AutoAuth)]) -> Vec<&Path> {
        let mut leaving = Vec::new();
        for (at, login) in self.logins.iter().enumerate() {
            let stays = kept.iter().find(|(kept, _)| *kept == at).map(|(_, settings)| &settings.sinks);
            let mut taken = Vec::new();
            let stays: Vec<usize> = stays
                .into_iter()
                .flatten()
                .filter_map(|sink| take(&login.sinks, &mut taken, |old| old.settings == *sink))
                .collect();
            let gone = login.sinks.iter().enumerate().filter(|(at, _)| !stays.contains(at));
            leaving.extend(gone.filter_map(|(_, sink)| socket(&sink.settings)));
        }
        leaving
    }
}

impl Login {
    pub(super) fn name(&self) -> String {
        self.settings.name.clone().unwrap_or_default()
    }

    async fn end(self) {
        for sink in self.sinks {
            sink.scope.end().await;
        }
        self.scope.end().await;
    }

    /// Its scope, for what else ends with it.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }
}

fn socket(sink: &config::Sink) -> Option<&Path> {
    match &sink.kind {
        SinkKind::File(_) => None,
        SinkKind::Socket(socket) => Some(&socket.path),
        SinkKind::SystemdCredential(systemd) => Some(&systemd.path),
    }
}

fn place(sink: &config::Sink) -> String {
    match &sink.kind {
        SinkKind::File(file) => file.path.display().to_string(),
        _ => socket(sink).map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

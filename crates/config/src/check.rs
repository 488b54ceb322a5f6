//! The configuration as a whole: stanzas that need or exclude each other.
//!
//! Upstream's checks in upstream's order and words, except that it stops at the first one.

use std::collections::BTreeMap;
use std::path::Path;

use hcl1::{Diagnostic, Severity};
use vault::Product;

use crate::problem::Problem;
use crate::raw::Raw;
use crate::settings::auto_auth::{Choosing, RawAutoAuth, choose};
use crate::settings::{Consequence, Endpoint, Listener, Role, Settings, Template, UseAutoAuthToken};

fn is_plain_and_public(listener: &Listener) -> bool {
    let public = match &listener.endpoint {
        Endpoint::Tcp(address) => !address.ip().is_loopback(),
        // Its address is systemd's affair.
        Endpoint::Systemd { is_unix, .. } => !is_unix,
        Endpoint::Unix { .. } => false,
    };
    public && listener.tls.is_none() && listener.role == Role::Default
}

/// Listeners of one address: the start will fail.
pub(crate) fn shared_addresses(settings: &Settings) -> Vec<Diagnostic> {
    let mut seen = BTreeMap::<String, usize>::new();
    for listener in &settings.listeners {
        let address = match &listener.endpoint {
            // Port 0 is any that is free.
            Endpoint::Tcp(address) if address.port() == 0 => continue,
            Endpoint::Tcp(address) => address.to_string(),
            Endpoint::Unix { path, .. } => path.display().to_string(),
            Endpoint::Systemd { .. } => continue,
        };
        *seen.entry(address).or_default() += 1;
    }
    let shared = seen.into_iter().filter(|(_, count)| *count > 1);
    let tell = |(address, count)| {
        let message = format!("{count} listeners have the address {address}: only one of them can have it");
        Diagnostic::plain(Severity::Warning, message).hint("give each an address of its own")
    };
    shared.map(tell).collect()
}

/// Vault's key for keeping secrets says nothing about listeners, and Vault serves them all.
pub(crate) fn plain_secrets(settings: &Settings) -> Option<Diagnostic> {
    let kept = settings.cache.as_ref()?.static_secrets.as_ref()?;
    settings.listeners.iter().find(|listener| kept.vaults && is_plain_and_public(listener))?;
    let message = "cache_static_secrets: a listener without TLS can be reached from other machines; who reads along \
                   there has the token, and needs no more than it to be answered from memory";
    Some(Diagnostic::plain(Severity::Warning, message).hint("use TLS or a loopback address"))
}

pub(crate) fn check(product: Product, raw: &Raw) -> Vec<Problem> {
    let mut problems = Vec::new();
    let agent = product == Product::Agent;
    let has_listener = !raw.listeners.is_empty();
    let has_template = !raw.templates.is_empty() || !raw.env_templates.is_empty();
    let uses = Uses::of(raw, &mut problems);
    let mut refuse = |problem: Problem| problems.push(problem);
    let wraps =
        raw.auto_auths.iter().zip(&uses.proxied).any(|(auto_auth, used)| *used && auto_auth.method_wraps);
    let legacy = raw.cache.as_ref().and_then(|cache| cache.use_token.as_ref());
    let own = raw.api_proxy.as_ref().and_then(|api_proxy| api_proxy.use_token.as_ref());

    if let (Some(legacy), Some(_)) = (legacy, own) {
        let message = "use_auto_auth_token defined in both api_proxy and cache config. \
                       Please remove this configuration from the cache block";
        refuse(Problem::whole(message, Some(&legacy.place)));
    }
    let cache_serves = has_listener || (agent && has_template);
    if let Some(cache) = raw.cache.as_ref().filter(|_| !cache_serves) {
        let message = match agent {
            true => "enabling the cache requires at least 1 template or 1 listener to be defined",
            false => "enabling the cache requires at least 1 listener to be defined",
        };
        refuse(Problem::whole(message, Some(&cache.place)));
    }
    let kept = raw.cache.as_ref().and_then(|cache| cache.static_secrets.as_ref());
    if let Some(cache) = raw.cache.as_ref().filter(|cache| cache.only_static && kept.is_none() && !agent) {
        // In Vault's words. The agents upstream pass over the key.
        let message = "to enable the cache, the cache must be configured to either cache static secrets or \
                       dynamic secrets";
        refuse(Problem::whole(message, Some(&cache.place)));
    }
    if kept.is_some_and(|kept| !kept.value.plain_listeners)
        && let Some(listener) = raw.listeners.iter().find(|listener| is_plain_and_public(&listener.what))
    {
        // Who reads along there has the token, and needs no more than it to be answered from memory.
        let message = "cache.static_secrets: a listener without TLS can be reached from other machines; \
                       secrets are not kept for its clients. Use TLS or a loopback address, or set \
                       plain_listeners = true in static_secrets";
        refuse(Problem::whole(message, Some(&listener.place)));
    }
    if let Some(legacy) = legacy.filter(|legacy| legacy.value != UseAutoAuthToken::No) {
        if raw.auto_auths.is_empty() {
            let message = "cache.use_auto_auth_token is true but auto_auth not configured";
            refuse(Problem::whole(message, Some(&legacy.place)));
        }
        if wraps {
            let message = "cache.use_auto_auth_token is true and auto_auth uses wrapping";
            refuse(Problem::whole(message, Some(&legacy.place)));
        }
    }
    if let Some(api_proxy) = raw.api_proxy.as_ref().filter(|_| !has_listener) {
        let message = "configuring the api_proxy requires at least 1 listener to be defined";
        refuse(Problem::whole(message, Some(&api_proxy.place)));
    }
    if let Some(own) = own.filter(|own| own.value != UseAutoAuthToken::No) {
        if raw.auto_auths.is_empty() {
            let message = "api_proxy.use_auto_auth_token is true but auto_auth not configured";
            refuse(Problem::whole(message, Some(&own.place)));
        }
        if wraps {
            let message = "api_proxy.use_auto_auth_token is true and auto_auth uses wrapping";
            refuse(Problem::whole(message, Some(&own.place)));
        }
    }
    for (index, auto_auth) in raw.auto_auths.iter().enumerate() {
        let is_in = |used: &[bool]| used.get(index).is_some_and(|used| *used);
        let has_template = is_in(&uses.templated);
        if auto_auth.sinks.is_empty() && !is_in(&uses.proxied) && !(agent && has_template) {
            let message = match agent {
                true => {
                    "auto_auth requires at least one sink or at least one template or \
                     api_proxy.use_auto_auth_token=true"
                }
                false => "auto_auth requires at least one sink or api_proxy.use_auto_auth_token=true",
            };
            refuse(Problem::whole(message, Some(&auto_auth.place)));
        }
        if auto_auth.method_wraps && agent && has_template {
            let message = "templates need a token, and auto_auth uses wrapping";
            let hint = "remove `wrap_ttl` from the method; a sink can have it";
            refuse(Problem::whole(message, Some(&auto_auth.place)).hint(hint));
        }
    }
    refuse_shared_files(&raw.auto_auths, &mut refuse);
    if raw.auto_auths.is_empty() && raw.cache.is_none() && !has_listener {
        refuse(Problem::whole("no auto_auth, cache, or listener block found in config", None));
    }
    check_exec(raw, &mut refuse);
    problems
}

/// The child and its variables. Unlike upstream we accept files, `api_proxy` and `cache` beside them.
fn check_exec(raw: &Raw, refuse: &mut impl FnMut(Problem)) {
    let Some(exec) = &raw.exec else {
        if let Some(first) = raw.env_templates.first() {
            let message = "a top-level 'exec' element must be specified with 'env_template' entries";
            let hint = "exec { command = [\"/path/of/the/program\"] }";
            refuse(Problem::whole(message, Some(&first.place)).hint(hint));
        }
        return;
    };
    if raw.env_templates.is_empty() && raw.templates.is_empty() {
        let message = "must specify at least one 'env_template' element with a top-level 'exec' element";
        refuse(Problem::whole(message, Some(&exec.place)).hint("a 'template' will do, too"));
    }
    if raw.auto_auths.is_empty() {
        let message = "'exec' needs an auto_auth: without a token there are no secrets to start it with";
        refuse(Problem::whole(message, Some(&exec.place)));
    }
    let signals = |template: &Choosing<Template>| template.what.on_change == Consequence::Signal;
    if let Some(place) = raw.change_signal.as_ref().filter(|_| !raw.templates.iter().any(signals)) {
        let message =
            "'change_signal' has no effect: neither 'exec' nor any 'template' has on_change = \"signal\"";
        refuse(Problem::whole(message, Some(place)).hint("on_change = \"signal\""));
    }
    let mut known: Vec<&str> = Vec::new();
    for template in &raw.env_templates {
        let Some(name) = template.what.variable.as_deref().filter(|name| !name.is_empty()) else { continue };
        if known.contains(&name) {
            let message = format!("env_template: duplicate environment variable name: {name:?}");
            refuse(Problem::whole(message, Some(&template.place)));
        }
        known.push(name);
    }
}

/// A child would never be started by a program that ends when everything is rendered.
pub(crate) fn outlives(raw: &Raw, exit_after_auth: bool) -> Option<Problem> {
    let exec = raw.exec.as_ref().filter(|_| exit_after_auth)?;
    let message = "'exec' and 'exit_after_auth' exclude each other: the child would never be started";
    Some(Problem::whole(message, Some(&exec.place)).hint("remove exit_after_auth; the child's end is ours"))
}

/// Which `auto_auth` is used by whom.
struct Uses {
    /// Requests of clients travel with its token.
    proxied: Vec<bool>,
    /// A template reads with its token.
    templated: Vec<bool>,
}

impl Uses {
    fn of(raw: &Raw, problems: &mut Vec<Problem>) -> Self {
        let all = &raw.auto_auths;
        let mut uses = Self { proxied: vec![false; all.len()], templated: vec![false; all.len()] };
        let mut note = |used: &mut Vec<bool>, chosen: Result<Option<usize>, Box<Problem>>| match chosen {
            Ok(Some(index)) => used.iter_mut().skip(index).take(1).for_each(|used| *used = true),
            Ok(None) => {}
            Err(problem) => problems.push(*problem),
        };
        for template in &raw.templates {
            let chosen = choose(all, template.name.as_ref(), ("template", &template.place));
            note(&mut uses.templated, chosen);
        }
        let of_exec = raw.exec.as_ref().and_then(|exec| exec.name.as_ref());
        for template in &raw.env_templates {
            let name = template.name.as_ref().or(of_exec);
            note(&mut uses.templated, choose(all, name, ("env_template", &template.place)));
        }
        if let (true, Some(exec), Some(_)) = (raw.env_templates.is_empty(), &raw.exec, of_exec) {
            note(&mut Vec::new(), choose(all, of_exec, ("exec", &exec.place)));
        }
        let own = raw.api_proxy.as_ref().and_then(|api_proxy| api_proxy.auto_auth.as_ref());
        if use_token(raw) != UseAutoAuthToken::No {
            for listener in &raw.listeners {
                let chosen = choose(all, listener.name.as_ref().or(own), ("listener", &listener.place));
                note(&mut uses.proxied, chosen);
            }
            if let (true, Some(api_proxy)) = (raw.listeners.is_empty(), &raw.api_proxy) {
                note(&mut uses.proxied, choose(all, own, ("api_proxy", &api_proxy.place)));
            }
            return uses;
        }
        for name in raw.listeners.iter().filter_map(|listener| listener.name.as_ref()).chain(own) {
            let message = format!("our token is used by no listener, so {:?} has no effect", name.value);
            let hint = "add api_proxy { use_auto_auth_token = true }, or remove `auto_auth` here";
            problems.push(Problem::whole(message, Some(&name.place)).hint(hint));
        }
        uses
    }
}

/// Two tokens in one file: whoever reads it gets now one, now the other.
fn refuse_shared_files(all: &[RawAutoAuth], refuse: &mut impl FnMut(Problem)) {
    let mut known: Vec<(&Path, &RawAutoAuth)> = Vec::new();
    for auto_auth in all {
        let own = auto_auth.files();
        for file in &own {
            if let Some((_, first)) = known.iter().find(|(path, _)| path == file) {
                let shown = |auto_auth: &RawAutoAuth| match &auto_auth.name {
                    Some(name) => format!("auto_auth {name:?}"),
                    None => "the auto_auth without a name".to_owned(),
                };
                let message = format!(
                    "{} writes to {}, and so does {}",
                    shown(auto_auth),
                    file.display(),
                    shown(first)
                );
                let problem = Problem::whole(message, Some(&auto_auth.place));
                refuse(problem.hint("give each a file of its own"));
            }
        }
        known.extend(own.into_iter().map(|file| (file, auto_auth)));
    }
}

/// When our own token is used: as `api_proxy` says, or else the legacy key of `cache`.
///
/// Upstream loses the legacy key's `true`, though not its `force`, when there is an `api_proxy` without one.
pub(crate) fn use_token(raw: &Raw) -> UseAutoAuthToken {
    let own = raw.api_proxy.as_ref().and_then(|api_proxy| api_proxy.use_token.as_ref());
    let legacy = raw.cache.as_ref().and_then(|cache| cache.use_token.as_ref());
    let implied = raw.api_proxy.as_ref().map(|api_proxy| api_proxy.implied).unwrap_or_default();
    own.or(legacy).map_or(implied, |use_token| use_token.value)
}

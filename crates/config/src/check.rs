//! The configuration as a whole: stanzas that need or exclude each other.
//!
//! Upstream's checks in upstream's order and words, except that it stops at the first one.

use vault::Product;

use crate::problem::Problem;
use crate::raw::Raw;
use crate::settings::UseAutoAuthToken;

pub(crate) fn check(product: Product, raw: &Raw) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |problem: Problem| problems.push(problem);
    let agent = product == Product::Agent;
    let has_listener = !raw.listeners.is_empty();
    let has_template = !raw.templates.is_empty() || raw.has_env_templates;
    let wraps = raw.auto_auth.as_ref().is_some_and(|auto_auth| auto_auth.method_wraps);
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
    if let Some(legacy) = legacy.filter(|legacy| legacy.value != UseAutoAuthToken::No) {
        if raw.auto_auth.is_none() {
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
        if raw.auto_auth.is_none() {
            let message = "api_proxy.use_auto_auth_token is true but auto_auth not configured";
            refuse(Problem::whole(message, Some(&own.place)));
        }
        if wraps {
            let message = "api_proxy.use_auto_auth_token is true and auto_auth uses wrapping";
            refuse(Problem::whole(message, Some(&own.place)));
        }
    }
    if let Some(auto_auth) = &raw.auto_auth {
        let proxied = raw.api_proxy.is_some() && use_token(raw) != UseAutoAuthToken::No;
        if auto_auth.sinks.is_empty() && !proxied && !(agent && has_template) {
            let message = match agent {
                true => {
                    "auto_auth requires at least one sink or at least one template or \
                     api_proxy.use_auto_auth_token=true"
                }
                false => "auto_auth requires at least one sink or api_proxy.use_auto_auth_token=true",
            };
            refuse(Problem::whole(message, Some(&auto_auth.place)));
        }
        if wraps && agent && has_template {
            let message = "templates need a token, and auto_auth uses wrapping";
            let hint = "remove `wrap_ttl` from the method; a sink can have it";
            refuse(Problem::whole(message, Some(&auto_auth.place)).hint(hint));
        }
    }
    if raw.auto_auth.is_none() && raw.cache.is_none() && !has_listener {
        refuse(Problem::whole("no auto_auth, cache, or listener block found in config", None));
    }
    problems
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

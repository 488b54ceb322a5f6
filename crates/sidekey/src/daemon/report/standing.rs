//! Health and status: who does its work, who does not, and one word why. No token, accessor or lease id.

use std::time::{Duration, SystemTime};

use auto_auth::Life;
use serde_json::{Value, json};
use vault::{Client, Contact};

use super::process::unix;
use super::{IdentityPart, Parts, TemplatePart};

/// There is a token that lives, or its wrapping.
pub(super) fn is_logged_in(identity: &IdentityPart) -> bool {
    let state = identity.tokens.borrow();
    state.wrapped().is_some() || state.token.is_some() && identity.record.life().is_live()
}

/// Every sink and template has done its work once, and the child, if there is to be one, was started.
fn first_round_done(parts: &Parts) -> bool {
    parts.ready.is_empty() && parts.child.as_ref().is_none_or(|child| child.starts() > 0)
}

/// All have tokens that live, and everybody has done its work once.
pub(super) fn is_ready(parts: &Parts) -> bool {
    parts.identities.iter().all(is_logged_in) && first_round_done(parts)
}

/// In a few words, for systemd.
pub(super) fn summary(parts: &Parts) -> String {
    match (parts.identities.iter().all(is_logged_in), first_round_done(parts)) {
        (false, _) => "no token yet".to_owned(),
        (true, false) => match parts.ready.is_empty() {
            false => format!("logged in, not done yet: {}", undone(parts)),
            true => "logged in, the child is not started yet".to_owned(),
        },
        (true, true) => "ready".to_owned(),
    }
}

/// Most templates that are named.
const NAMED: usize = 5;

/// Templates that were never rendered or whose command failed, or else whatever has not told yet.
fn undone(parts: &Parts) -> String {
    let waits =
        |one: &&TemplatePart| one.standing.rendered_at().is_none() || one.standing.failing().is_some();
    let all: Vec<String> = (parts.templates.iter().filter(waits))
        .map(|one| {
            let why = one.standing.failing().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("template {}{why}", one.standing.destination().display())
        })
        .collect();
    match all.len() {
        0 => "sinks or commands".to_owned(),
        number @ ..=NAMED => all.get(..number).unwrap_or_default().join(", "),
        number => format!("{} and {} more", all.get(..NAMED).unwrap_or_default().join(", "), number - NAMED),
    }
}

/// Whether everything does its work, and each part's state. It is told where nobody is asked who he is: no names of files
/// but those of unix sockets, which are addresses, and what the numbers tell as well.
pub(super) fn health(parts: &Parts) -> (bool, Value) {
    let ready = is_ready(parts);
    let identities: Vec<Value> = parts
        .identities
        .iter()
        .map(|identity| {
            json!({
                "name": identity.name,
                "logged_in": is_logged_in(identity),
                "failing": identity.record.is_failing(),
                "last_error": identity.record.last_error(),
            })
        })
        .collect();
    let listeners: Vec<Value> =
        parts.listeners.iter().map(|listener| json!({"address": listener.address})).collect();
    let templates = &parts.templates;
    let rendered = templates.iter().filter(|one| one.standing.rendered_at().is_some()).count();
    let failing = templates.iter().filter(|one| one.standing.failing().is_some()).count();
    let body = json!({
        "ready": ready,
        "summary": summary(parts),
        "identities": identities,
        "listeners": listeners,
        "templates": {"total": templates.len(), "rendered": rendered, "failing": failing},
        "first_round_done": first_round_done(parts),
        "upstream": upstream(parts),
    });
    (ready, body)
}

/// All there is to know.
pub(super) fn status(parts: &Parts, uptime: Duration) -> Value {
    let identities: Vec<Value> = parts.identities.iter().map(identity).collect();
    let listeners: Vec<Value> = parts
        .listeners
        .iter()
        .map(|listener| {
            use std::sync::atomic::Ordering::Relaxed;
            json!({
                "address": listener.address,
                "role": if listener.metrics_only { "metrics_only" } else { "default" },
                "connections": listener.counters.connections.load(Relaxed),
                "requests": listener.counters.requests.load(Relaxed),
                "in_flight": listener.counters.in_flight.load(Relaxed),
            })
        })
        .collect();
    let templates: Vec<Value> = parts
        .templates
        .iter()
        .map(|template| {
            let standing = &template.standing;
            json!({
                "destination": standing.destination().display().to_string(),
                "identity": template.identity,
                "rendered": standing.rendered_at().is_some(),
                "last_rendered": standing.rendered_at().and_then(shown),
                "failing": standing.failing(),
            })
        })
        .collect();
    let child = parts.child.as_ref().map(|child| {
        json!({
            "process_id": child.process_id(),
            "starts": child.starts(),
            "last_end": child.last_ending().map(|ending| ending.to_string()),
        })
    });
    let cache = parts.cache.remembers().then(|| {
        let numbers = parts.cache.numbers();
        json!({
            "entries": numbers.entries,
            "hits": numbers.hits,
            "misses": numbers.misses,
            "leases": numbers.held.leases,
            "tokens": numbers.held.tokens,
            "next_expiry_seconds": numbers.held.soonest.map(|left| left.as_secs()),
        })
    });
    json!({
        "program": "sidekey",
        "version": env!("CARGO_PKG_VERSION"),
        "mode": parts.product.word(),
        "ready": is_ready(parts),
        "summary": summary(parts),
        "uptime_seconds": uptime.as_secs(),
        "identities": identities,
        "templates": templates,
        "child": child,
        "listeners": listeners,
        "upstream": upstream(parts),
        "cache": cache,
    })
}

fn identity(identity: &IdentityPart) -> Value {
    use std::sync::atomic::Ordering::Relaxed;
    let record = &identity.record;
    let (expiry, left) = match record.life() {
        Life::Until(end) => {
            (shown(end.as_secs()), Some(end.saturating_sub(unix(SystemTime::now())).as_secs()))
        }
        Life::None | Life::Endless => (None, None),
    };
    json!({
        "name": identity.name,
        "method": identity.method,
        "mount": identity.mount,
        "namespace": identity.namespace,
        "logged_in": is_logged_in(identity),
        "token_expires": expiry,
        "token_expires_in_seconds": left,
        "last_login": record.last_login().and_then(shown),
        "logins": record.logins.load(Relaxed),
        "renewals": record.renewals.load(Relaxed),
        "failures": record.login_failures.load(Relaxed) + record.renewal_failures.load(Relaxed),
        "failing": record.is_failing(),
        "last_error": record.last_error(),
    })
}

/// The server, as whoever spoke with it last saw it.
fn upstream(parts: &Parts) -> Value {
    let seen = parts.upstreams.iter().map(|(_, client)| (client, client.traffic().contact()));
    let asked = |contact: &Contact| contact.answered.is_some() || contact.failing.is_some();
    let latest: Option<(&Client, Contact)> = seen
        .filter(|(_, contact)| asked(contact))
        .min_by_key(|(_, contact)| contact.answered.unwrap_or(Duration::MAX));
    let address = |client: &Client| client.in_use().unwrap_or(client.address()).to_string();
    match latest {
        Some((client, contact)) => json!({
            "address": address(client),
            "reachable": contact.failing.is_none(),
            "last_status": contact.status,
            "last_answer_seconds_ago": contact.answered.map(|ago| ago.as_secs()),
            "error": contact.failing,
        }),
        None => json!({
            "address": parts.upstreams.first().map(|(_, client)| address(client)),
            "reachable": null,
        }),
    }
}

/// Seconds since 1970 as RFC 3339.
fn shown(seconds: u64) -> Option<String> {
    let at = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(at.to_string())
}

//! Every number by its name; docs/metrics.md lists them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use auto_auth::Life;
use telemetry::metrics::{Histogram, Snapshot};
use vault::Product;

use super::Parts;
use super::process::unix;
use super::standing::{is_logged_in, is_ready};

/// What only grows.
pub(super) fn counters(parts: &Parts, all: &mut Snapshot) {
    upstreams_own(parts, all);
    for identity in &parts.identities {
        let (record, labels) = (&identity.record, [("identity", identity.name.as_str())]);
        let mut count =
            |name: &str, help, value| all.counter(format!("sidekey.{name}"), help, &labels, value);
        count("logins_total", "Logins that succeeded.", record.logins.load(Relaxed));
        count("login_failures_total", "Logins that failed.", record.login_failures.load(Relaxed));
        count("token_renewals_total", "Renewals of the token.", record.renewals.load(Relaxed));
        count(
            "token_renewal_failures_total",
            "Renewals of the token that failed.",
            record.renewal_failures.load(Relaxed),
        );
    }
    for (part, client) in &parts.upstreams {
        let traffic = client.traffic();
        for (status, count) in traffic.statuses() {
            let labels = [("part", *part), ("code", status.as_str())];
            all.counter(
                "sidekey.upstream_requests_total",
                "Answers of the server by status, each try counted.",
                &labels,
                count,
            );
        }
        for (kind, count) in traffic.errors() {
            let labels = [("part", *part), ("kind", kind)];
            all.counter(
                "sidekey.upstream_errors_total",
                "Tries that the server did not answer.",
                &labels,
                count,
            );
        }
        let (counts, sum) = traffic.times();
        let bounds = vault::TIME_BOUNDS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64());
        let histogram = Histogram { bounds: bounds.collect(), counts, sum: sum.as_secs_f64() };
        all.histogram(
            "sidekey.upstream_request_duration_seconds",
            "Time until the head of the server's answer came.",
            &[("part", part)],
            histogram,
        );
    }
    if parts.cache.remembers() {
        let cache = parts.cache.numbers();
        let mut count = |name: &str, help, value| all.counter(format!("sidekey.{name}"), help, &[], value);
        count("cache_hits_total", "Requests answered from memory, templates' included.", cache.hits);
        count("cache_misses_total", "Requests that might have been remembered and were not.", cache.misses);
        count("lease_renewals_total", "Renewals of leases and tokens in the cache.", cache.renewals);
        let help = "Leases and tokens let go because the cache was full.";
        count("cache_dropped_total", help, cache.dropped);
        count("lease_renewal_failures_total", "Those that failed.", cache.renewal_failures);
    }
    for template in &parts.templates {
        let destination = template.standing.destination().display().to_string();
        let labels = [("destination", destination.as_str())];
        let (renders, failures) =
            (template.standing.renders.load(Relaxed), template.standing.failures.load(Relaxed));
        all.counter("sidekey.template_renders_total", "Times the file was made right.", &labels, renders);
        all.counter(
            "sidekey.template_failures_total",
            "Times the template, its file or one of its secrets failed.",
            &labels,
            failures,
        );
    }
    for listener in &parts.listeners {
        let (counters, labels) = (&listener.counters, [("listener", listener.address.as_str())]);
        let accepted = counters.accepted.load(Relaxed);
        all.counter("sidekey.connections_total", "Connections accepted.", &labels, accepted);
        let requests = counters.requests.load(Relaxed);
        all.counter("sidekey.requests_total", "Requests whose head was accepted.", &labels, requests);
        for (limit, count) in counters.seen() {
            let labels = [("listener", listener.address.as_str()), ("limit", limit)];
            all.counter(
                "sidekey.limits_hit_total",
                "Limits and rules that clients ran into.",
                &labels,
                count,
            );
        }
    }
    if let Some(access) = &parts.access {
        let help = "Lines that were lost because they came too fast.";
        all.counter("sidekey.access_log_lost_total", help, &[], access.lost());
    }
}

/// The names that upstream has. The proxy's five begin with `agent` in both modes, as there.
fn upstreams_own(parts: &Parts, all: &mut Snapshot) {
    let prefix = &parts.telemetry.prefix;
    let mode = match parts.product {
        Product::Agent => "agent",
        Product::Proxy => "proxy",
    };
    let sum = |of: fn(&auto_auth::Record) -> u64| parts.identities.iter().map(|one| of(&one.record)).sum();
    let success = sum(|record| record.logins.load(Relaxed) + record.renewals.load(Relaxed));
    let failure = sum(|record| record.login_failures.load(Relaxed) + record.renewal_failures.load(Relaxed));
    let mut count = |name: String, help, value| all.counter(format!("{prefix}.{name}"), help, &[], value);
    count(format!("{mode}.auth.success"), "Logins and renewals that succeeded.", success);
    count(format!("{mode}.auth.failure"), "Logins and renewals that failed.", failure);
    let passed = &parts.passed;
    count("agent.proxy.success".into(), "Requests answered below 400.", passed.success.load(Relaxed));
    count(
        "agent.proxy.client_error".into(),
        "Requests answered with 400 or more.",
        passed.client_error.load(Relaxed),
    );
    count("agent.proxy.error".into(), "Requests without an answer.", passed.error.load(Relaxed));
    count("agent.cache.hit".into(), "Requests of clients answered from memory.", passed.hits.load(Relaxed));
    count("agent.cache.miss".into(), "Successes that the server answered.", passed.misses.load(Relaxed));
}

/// What is as it is now.
pub(super) fn gauges(parts: &Parts, all: &mut Snapshot) {
    let now = unix(SystemTime::now());
    let mode = parts.product.word();
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("mode", mode)];
    all.gauge("sidekey.build_info", "1, with what runs here as labels.", &labels, 1.0);
    let ready = is_ready(parts);
    all.gauge("sidekey.ready", "1 when everything does its work, as /health says.", &[], flag(ready));
    for identity in &parts.identities {
        let (record, labels) = (&identity.record, [("identity", identity.name.as_str())]);
        let mut gauge = |name: &str, help, value| all.gauge(format!("sidekey.{name}"), help, &labels, value);
        gauge("authenticated", "1 while there is a token that lives.", flag(is_logged_in(identity)));
        if let Life::Until(end) = record.life() {
            let help = "When the token ends if nobody renews it; not told of a token without an end.";
            gauge("token_expiry_timestamp_seconds", help, end.as_secs() as f64);
        }
        if let Some(at) = record.last_login() {
            gauge("last_login_timestamp_seconds", "When the last login succeeded.", at as f64);
        }
    }
    for (part, client) in &parts.upstreams {
        let (contact, labels) = (client.traffic().contact(), [("part", *part)]);
        if contact.answered.is_some() || contact.failing.is_some() {
            let help = "1 when the last try was answered.";
            all.gauge("sidekey.upstream_reachable", help, &labels, flag(contact.failing.is_none()));
        }
        if let Some(ago) = contact.answered {
            let at = now.saturating_sub(ago).as_secs() as f64;
            let help = "When the server answered last.";
            all.gauge("sidekey.upstream_last_answer_timestamp_seconds", help, &labels, at);
        }
    }
    if parts.cache.remembers() {
        let cache = parts.cache.numbers();
        let mut gauge = |name: &str, help, value| all.gauge(format!("sidekey.{name}"), help, &[], value);
        gauge("cache_entries", "Answers remembered.", cache.entries as f64);
        gauge("cache_bytes", "What all that is remembered takes, reckoned.", cache.bytes as f64);
        gauge("leases", "Leases kept alive.", cache.held.leases as f64);
        gauge("cached_tokens", "Tokens of clients kept alive.", cache.held.tokens as f64);
        if let Some(left) = cache.held.soonest {
            let help = "When the first of them ends if nobody renews it.";
            gauge("lease_next_expiry_timestamp_seconds", help, (now + left).as_secs() as f64);
        }
    }
    for template in &parts.templates {
        let standing = &template.standing;
        let destination = standing.destination().display().to_string();
        let labels = [("destination", destination.as_str())];
        let help = "1 while the template, its file or one of its secrets fails.";
        all.gauge("sidekey.template_failing", help, &labels, flag(standing.failing().is_some()));
        if let Some(at) = standing.rendered_at() {
            let help = "When the file was made right last.";
            all.gauge("sidekey.template_last_success_timestamp_seconds", help, &labels, at as f64);
        }
    }
    for listener in &parts.listeners {
        let (counters, labels) = (&listener.counters, [("listener", listener.address.as_str())]);
        let mut gauge = |name: &str, help, value: usize| {
            all.gauge(format!("sidekey.{name}"), help, &labels, value as f64)
        };
        gauge("connections", "Connections open.", counters.connections.load(Relaxed));
        gauge("requests_in_flight", "Requests under way.", counters.in_flight.load(Relaxed));
        gauge("request_bodies_bytes", "Bytes of request bodies held.", counters.buffered.load(Relaxed));
    }
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

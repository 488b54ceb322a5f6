//! `…/cache`: what the cache holds, a page at a time. No value, token, accessor or lease id.

use std::time::Duration;

use cache::{Cache, Holding, HoldingsWanted};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use vault::{Body, shown_path};

use crate::inbound::Inbound;
use crate::report::{not_allowed, parameter, typed, uncached};
use crate::route::error;
use crate::target::decode;

/// Entries of one answer, if nobody says; some 30 KB.
const USUAL: usize = 100;

/// And at most; some 300 KB.
const MOST: usize = 1000;

/// `GET …/cache?limit=N&after=PLACE&path=PREFIX`.
pub(crate) fn holdings(cache: &Cache, request: &Request<Inbound>) -> Response<Body> {
    if request.method() != Method::GET {
        return not_allowed();
    }
    let number = |name: &str, usual: usize| match parameter(request.uri(), name) {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|_| format!("{name} must be a whole number")),
    };
    let path = parameter(request.uri(), "path").unwrap_or_default();
    let Some(path) = decode(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return error(StatusCode::BAD_REQUEST, "path is no text");
    };
    let wanted = match (number("after", 0), number("limit", USUAL)) {
        (Ok(from), Ok(most)) => HoldingsWanted { from, most: most.min(MOST), path },
        (Err(why), _) | (_, Err(why)) => return error(StatusCode::BAD_REQUEST, &why),
    };
    let (numbers, told) = (cache.numbers(), cache.holdings(&wanted));
    let body = json!({
        "program": "sidekey",
        "remembers": cache.remembers(),
        "numbers": {
            "entries": numbers.entries,
            "bytes": numbers.bytes,
            "leases": numbers.held.leases,
            "tokens": numbers.held.tokens,
            "hits": numbers.hits,
            "misses": numbers.misses,
            "renewals": numbers.renewals,
            "renewal_failures": numbers.renewal_failures,
            "dropped": numbers.dropped,
            "next_expiry_seconds": seconds(numbers.held.soonest),
            "secrets": numbers.static_secrets.entries,
            "secret_bytes": numbers.static_secrets.bytes,
            "secret_hits": numbers.static_secrets.hits,
            "secret_revalidations": numbers.static_secrets.revalidated,
            "secret_stale": numbers.static_secrets.stale,
        },
        "entries": told.entries.iter().map(entry).collect::<Vec<_>>(),
        "next": told.next,
    });
    uncached(typed(StatusCode::OK, "application/json", format!("{body}\n")))
}

fn entry(holding: &Holding) -> Value {
    json!({
        "kind": holding.kind.word(),
        "handle": holding.handle,
        "below": holding.below,
        // A path may name a token.
        "path": shown_path(&holding.path),
        "namespace": holding.namespace,
        "age_seconds": seconds(holding.age),
        "ttl_left_seconds": seconds(holding.left),
        "next_renewal_seconds": if holding.fading { None } else { seconds(holding.due) },
        "children": holding.children,
        "bytes": holding.bytes,
        "version": holding.secret.and_then(|secret| secret.version),
        "readers": holding.secret.map(|secret| secret.readers),
        "state": holding.secret.map(|secret| secret.state.word()),
    })
}

fn seconds(duration: Option<Duration>) -> Option<u64> {
    Some(duration?.as_secs())
}

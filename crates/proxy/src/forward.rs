//! A client's request to the server and back, through the cache.

use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use cache::Answer;
use http::header::InvalidHeaderValue;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use tokio::time::timeout;
use tracing::info;
use vault::{Body, Namespace, TokenState, headers, shown, shown_path};

use crate::access::Noted;
use crate::body::{Received, receive};
use crate::inbound::Asking;
use crate::route::{Context, error};
use crate::target::Target;
use crate::token::{Choice, adopt_bearer, choose, remove_clients};
use crate::tunnel::RelaySlot;
use crate::unanswered::{no_answer, no_body, not_handed_on};
use crate::{redact, replay, tunnel};

/// How long a request that needs our token waits for the first login: applications start beside us.
const FIRST_TOKEN: Duration = Duration::from_secs(10);

/// How long such a request waits to hear that the token of the last run is still good.
const LAST_TOKEN: Duration = Duration::from_secs(5);

/// How the cache answered.
pub(crate) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

pub(crate) async fn forward(context: &Context, target: Target, mut request: Asking) -> Response<Body> {
    let path = target.path();
    if context.strict_paths && !path.starts_with("/v1/") {
        return error(StatusCode::NOT_FOUND, "only paths below /v1/ are served here (strict_paths)");
    }
    // Before anybody else looks for it: cache, events and the server see the same.
    if let Some(ours) = &context.namespace
        && prepend(request.headers_mut(), ours).is_err()
    {
        return error(StatusCode::BAD_REQUEST, "the configured namespace and the request's make no header");
    }
    let mut tunnel = None;
    if let Some(slot) = request.extensions_mut().remove::<RelaySlot>()
        && tunnel::is_wanted(request.method(), path, request.headers())
    {
        let Some(place) = context.tunnels.admit() else {
            return error(StatusCode::SERVICE_UNAVAILABLE, "too many WebSockets are open");
        };
        tunnel = Some((slot, place));
    }
    // In a block: what is left of the head would travel along.
    let (spelling, method, mut headers, incoming) = {
        let (head, incoming) = request.into_parts();
        let spelling = context.cache.spelling(&head);
        let Parts { method, headers, .. } = head;
        (spelling, method, headers, incoming)
    };
    let guard = incoming.exchange().map(|held| held as _);
    let received = if incoming.is_end_stream() {
        Received::default()
    } else {
        match Box::pin(receive(incoming, || must_be_whole(path))).await {
            Ok(received) => received,
            Err(refusal) => return refusal,
        }
    };
    strip_hop_by_hop(&mut headers);
    // `Host` and the body's length are written anew for the server. It must not compress what the cache and the
    // redaction have to read.
    headers.remove(header::ACCEPT_ENCODING);
    headers.remove(header::EXPECT);
    if tunnel.is_some() {
        // Nobody could look into compressed messages.
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    }
    introduce(&mut headers, &context.user_agent);
    adopt_bearer(&mut headers, &method, path);
    if let Some(token) = headers.get_mut(headers::TOKEN) {
        token.set_sensitive(true);
    }

    let ours = match choose(context.use_auto_auth_token, &method, path, &headers) {
        Choice::Clients => None,
        Choice::Ours => {
            let state = match own_token(context) {
                Some(state) => Some(state),
                None => Box::pin(first_token(context)).await,
            };
            let Some(state) = state else {
                let mut response = error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not logged in yet, and this request needs the auto-auth token",
                );
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                return response;
            };
            if headers.contains_key(headers::WRAP_TTL) && redact::reveals_if_wrapped(path) {
                return error(StatusCode::FORBIDDEN, "the auto-auth token is not handed out, wrapped or not");
            }
            remove_clients(&mut headers);
            attach(&mut headers, &state);
            Some(state)
        }
    };
    if ours.is_some() || context.cache.remembers() {
        // No header at all would leave the choice to the server.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let request = vault::Request {
        method: method.clone(),
        target: target.text().to_owned(),
        headers,
        body: received.begun,
        upload: received.rest,
        upgrade: tunnel.is_some(),
        spelling,
        guard,
    };
    let answered = match ours {
        None => context.cache.send(request).await.map(|answer| (answer, None)),
        Some(ours) => replay::send(context, request, ours).await.map(|(answer, ours)| (answer, Some(ours))),
    };
    let (answer, ours) = match answered {
        Ok(answered) => answered,
        Err(why) => {
            context.passed.error.fetch_add(1, Relaxed);
            info!(target: "apiproxy", method = shown(method.as_str()), path = shown_path(path), error = %why, "no answer from the server");
            return no_answer(&why);
        }
    };
    let hit = answer.origin.age().is_some();
    let status = answer.response.status.as_u16();
    context.passed.answered(status, hit);
    info!(target: "apiproxy", method = shown(method.as_str()), path = shown_path(path), status, hit, "received request");
    match (answer.response.body, tunnel) {
        (Body::Tunnel(_), Some(_)) if !tunnel::is_websocket(&answer.response.headers) => {
            not_handed_on("the server changed to a protocol other than WebSocket")
        }
        (Body::Tunnel(server), Some((slot, place))) => {
            let mut headers = answer.response.headers;
            remove_all(&mut headers, headers::is_hop_by_hop);
            if let Some(why) = ours.as_ref().and_then(|ours| redact::headers_in_order(&headers, ours).err()) {
                return no_body(&method, why);
            }
            let filter = ours.as_ref().and_then(redact::filter);
            noted(tunnel::join(server, &slot, place, filter, headers), context, ours.as_ref())
        }
        (Body::Tunnel(_), None) => not_handed_on("the server changed the protocol unasked"),
        (body, _) => {
            let response = vault::Response { body, ..answer.response };
            let response = finish(Answer { response, ..answer }, &method, path, ours.as_ref()).await;
            noted(response, context, ours.as_ref())
        }
    }
}

/// Tells the access log that our token was used.
fn noted(mut response: Response<Body>, context: &Context, ours: Option<&TokenState>) -> Response<Body> {
    if context.access.is_some() && ours.is_some() {
        let noted = Noted { identity: Some(context.identity.clone().into()), ..Noted::default() };
        response.extensions_mut().insert(noted);
    }
    response
}

/// Requests whose body tells the cache what to forget or to renew: it has to be read, however long.
fn must_be_whole(path: &str) -> bool {
    ["/auth/token/", "/sys/leases/", "/sys/revoke", "/sys/renew", "/sys/remount"]
        .iter()
        .any(|part| path.contains(part))
}

/// The current token of ours.
fn own_token(context: &Context) -> Option<TokenState> {
    let now = context.tokens.borrow();
    now.token.is_some().then(|| now.clone())
}

/// The first token of ours, waiting a while for it. Where there is a memory, that of the last run will do if the server
/// cannot be asked.
async fn first_token(context: &Context) -> Option<TokenState> {
    if !context.has_auto_auth {
        return None;
    }
    let mut tokens = context.tokens.clone();
    let last = context.cache.remembers() && tokens.borrow().last().is_some();
    let patience = if last { LAST_TOKEN } else { FIRST_TOKEN };
    let is_known = |state: &TokenState| {
        state.token.is_some() || last && state.last().is_some_and(|last| last.server_is_away)
    };
    // Whatever came of it.
    let _ = timeout(patience, tokens.wait_for(is_known)).await;
    own_token(context).or_else(|| context.tokens.borrow().unchecked().filter(|_| last))
}

/// Adds our token, or puts it in the place of an older one.
pub(crate) fn attach(headers: &mut HeaderMap, state: &TokenState) {
    if let Some(token) = state.header() {
        headers.insert(headers::TOKEN, token);
    }
}

/// Puts a namespace before the one that a request names in its header, in the one form that [`Target::of`] gives it.
fn prepend(headers: &mut HeaderMap, ours: &Namespace) -> Result<(), InvalidHeaderValue> {
    let theirs = headers.get(headers::NAMESPACE).map(HeaderValue::as_bytes);
    let both = match theirs {
        Some(theirs) => [ours.as_str().as_bytes(), theirs].concat(),
        None => ours.as_str().trim_end_matches('/').as_bytes().to_vec(),
    };
    headers.insert(headers::NAMESPACE, HeaderValue::from_maybe_shared(Bytes::from(both))?);
    Ok(())
}

/// Ours in front, the client's behind: `Vault Agent API Proxy/… (…); curl/8`.
fn introduce(headers: &mut HeaderMap, ours: &HeaderValue) {
    let both = match headers.get(header::USER_AGENT) {
        None => ours.clone(),
        Some(theirs) => {
            let both = [ours.as_bytes(), b"; ", theirs.as_bytes()].concat();
            // Both are values, so together they are one.
            HeaderValue::from_maybe_shared(Bytes::from(both)).unwrap_or_else(|_| ours.clone())
        }
    };
    headers.insert(header::USER_AGENT, both);
}

/// Removes the headers of one connection, those that `Connection` names included. What it names cannot be a
/// header that we add or depend on: ours are added afterwards.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|name| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close"))
            .filter_map(|name| name.parse().ok())
            // A client cannot have its own token or namespace dropped on the way: it would be answered as
            // somebody else.
            .filter(|name: &HeaderName| {
                name != header::AUTHORIZATION && !name.as_str().starts_with("x-vault-")
            })
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_all(headers, headers::is_hop_by_hop);
}

/// One look at the few names that are there costs less than a look-up of each that mostly is not.
fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| unwanted(name.as_str())).cloned() {
        headers.remove(name);
    }
}

/// Makes the client's answer.
async fn finish(answer: Answer, method: &Method, path: &str, ours: Option<&TokenState>) -> Response<Body> {
    let Answer { mut response, origin } = answer;
    if let Some(ours) = ours {
        response = match redact::answer(response, path, ours).await {
            Ok(response) => response,
            Err(why) => return no_body(method, why),
        };
    }
    // Once its head has left, nothing can be said of it any more.
    if let Err(why) = poll_fn(|cx| Poll::Ready(response.body.begin(cx))).await {
        return no_body(method, why);
    }
    let vault::Response { status, mut headers, body } = response;
    // What the server lets pages read of its own address they may not read of ours. What `Connection` named the
    // transport has removed.
    remove_all(&mut headers, |name| headers::is_hop_by_hop(name) || name.starts_with("access-control-"));
    let age = origin.age();
    if status.as_u16() < 400 || age.is_some() {
        headers.insert(X_CACHE, HeaderValue::from_static(origin.word()));
    }
    if let Some(age) = age {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs_f64().round_ties_even() as u64));
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// It is moved about for every request.
    #[test]
    fn the_state_of_a_forwarded_request_stays_small() {
        let size = size_of_future::<&'static Context, Target, Asking, _>(forward);
        assert!(size <= 1700, "{size}");
    }
}

//! A client's request to the server and back, through the cache.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cache::{Answer, Origin};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;
use tracing::{debug, info};
use vault::{Body, TokenState, headers};

use crate::redact;
use crate::replay;
use crate::route::{Context, error};
use crate::target::Target;
use crate::token::{Choice, choose, remove_clients};

/// Longest request body (32 MiB): the servers' own limit.
pub(crate) const MAX_BODY: usize = 32 * 1024 * 1024;

/// Longest pause inside a request's body.
const BODY_PAUSE: Duration = Duration::from_secs(10);

/// How long a request that needs our token waits for the first login: applications start beside us.
const FIRST_TOKEN: Duration = Duration::from_secs(10);

/// Headers about one connection; they go no further in either direction.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How the cache answered.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

pub(crate) async fn forward(context: &Context, target: Target, request: Request<Incoming>) -> Response<Body> {
    let (head, incoming) = request.into_parts();
    let path = target.path().to_owned();
    if context.strict_paths && !path.starts_with("/v1/") {
        return error(StatusCode::NOT_FOUND, "only paths below /v1/ are served here (strict_paths)");
    }
    let body = match read(incoming, &head.headers).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let mut headers = head.headers;
    strip_hop_by_hop(&mut headers);
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    // The server must not compress what the cache and the redaction have to read.
    headers.remove(header::ACCEPT_ENCODING);
    headers.remove(header::EXPECT);
    introduce(&mut headers, &context.user_agent);
    if let Some(token) = headers.get_mut(headers::TOKEN) {
        token.set_sensitive(true);
    }

    let ours = match choose(context.use_auto_auth_token, &head.method, &path, &headers) {
        Choice::Clients => None,
        Choice::Ours => {
            let Some(state) = own_token(context).await else {
                let mut response = error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not logged in yet, and this request needs the auto-auth token",
                );
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                return response;
            };
            if headers.contains_key(headers::WRAP_TTL) && redact::reveals_if_wrapped(&path) {
                return error(StatusCode::FORBIDDEN, "the auto-auth token is not handed out, wrapped or not");
            }
            remove_clients(&mut headers);
            attach(&mut headers, &state);
            Some(state)
        }
    };
    let method = head.method.clone();
    let request = vault::Request {
        method: head.method,
        target: target.into_text(),
        headers,
        body,
        ..vault::Request::default()
    };
    let answered = match ours {
        None => context.cache.send(request).await.map(|answer| (answer, None)),
        Some(ours) => replay::send(context, request, ours).await.map(|(answer, ours)| (answer, Some(ours))),
    };
    match answered {
        Ok((answer, ours)) => {
            let hit = matches!(answer.origin, Origin::Cache { .. });
            let status = answer.response.status.as_u16();
            info!(target: "apiproxy", %method, path = loggable(&path), status, hit, "received request");
            finish(answer, &path, ours.as_ref()).await
        }
        Err(why) => {
            info!(target: "apiproxy", %method, path = loggable(&path), error = %why, "no answer from the server");
            error(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to get the response: {why}"))
        }
    }
}

/// A path without what may be a secret in it: old forms name a token behind `auth/token/<verb>/`.
fn loggable(path: &str) -> &str {
    let Some(at) = path.find("/auth/token/") else { return path };
    let verb = at + "/auth/token/".len();
    path[verb..].find('/').map_or(path, |end| &path[..verb + end])
}

/// The current token of ours, waiting a while for the first.
async fn own_token(context: &Context) -> Option<TokenState> {
    let now = context.tokens.borrow().clone();
    if now.token.is_some() || !context.has_auto_auth {
        return now.token.is_some().then_some(now);
    }
    let mut tokens = context.tokens.clone();
    let first = timeout(FIRST_TOKEN, tokens.wait_for(|state| state.token.is_some())).await;
    first.ok()?.ok().map(|state| state.clone())
}

/// Adds our token, or puts it in the place of an older one.
pub(crate) fn attach(headers: &mut HeaderMap, state: &TokenState) {
    let value = state.token.as_ref().and_then(|token| HeaderValue::from_str(token.expose()).ok());
    if let Some(mut value) = value {
        value.set_sensitive(true);
        headers.insert(headers::TOKEN, value);
    }
}

/// Ours in front, the client's behind: `Vault Agent API Proxy/… (…); curl/8`.
fn introduce(headers: &mut HeaderMap, ours: &str) {
    let both = match headers.get(header::USER_AGENT).and_then(|theirs| theirs.to_str().ok()) {
        Some(theirs) => HeaderValue::from_str(&format!("{ours}; {theirs}")),
        None => HeaderValue::from_str(ours),
    };
    if let Ok(both) = both {
        headers.insert(header::USER_AGENT, both);
    }
}

/// Removes the headers of one connection, those that `Connection` names included. What it names cannot be a
/// header that we add or depend on: ours are added afterwards.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // A client cannot have its own token or namespace dropped on the way: it would be answered as
            // somebody else.
            .filter(|name: &HeaderName| !name.as_str().starts_with("x-vault-"))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    // One look at the few names that are there costs less than nine look-ups of names that mostly are not.
    while let Some(name) = headers.keys().find(|name| HOP_BY_HOP.contains(&name.as_str())).cloned() {
        headers.remove(name);
    }
}

async fn read(mut incoming: Incoming, headers: &HeaderMap) -> Result<Bytes, Response<Body>> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || error(StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than 32 MiB");
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = match timeout(BODY_PAUSE, incoming.frame()).await {
            Err(_) => {
                return Err(error(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time"));
            }
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(error(StatusCode::BAD_REQUEST, "failed to read request body")),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
        if all.len() > MAX_BODY {
            return Err(too_large());
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Makes the client's answer.
async fn finish(answer: Answer, path: &str, ours: Option<&TokenState>) -> Response<Body> {
    let Answer { response: vault::Response { status, mut headers, mut body }, origin } = answer;
    if let Some(TokenState { token: Some(token), accessor, .. }) = ours {
        if redact::must_look(path) && !matches!(body, Body::Full(_)) {
            body = match body.collect(MAX_BODY).await {
                Ok(bytes) => Body::full(bytes),
                Err(why) => {
                    return error(StatusCode::BAD_GATEWAY, &format!("failed to get the response: {why}"));
                }
            };
        }
        if let Body::Full(Some(bytes)) = &body {
            match redact::redact(bytes, token, accessor.as_deref()) {
                Ok(None) => {}
                Ok(Some(clean)) => {
                    debug!(target: "apiproxy", "stripping auto-auth token from the response");
                    headers.remove(header::CONTENT_LENGTH);
                    body = Body::full(clean);
                }
                Err(()) => {
                    return error(
                        StatusCode::BAD_GATEWAY,
                        "the answer holds the auto-auth token and is withheld",
                    );
                }
            }
        }
    }
    strip_hop_by_hop(&mut headers);
    if status.as_u16() < 400 {
        match origin {
            Origin::Upstream => {
                headers.insert(X_CACHE, HeaderValue::from_static("MISS"));
            }
            Origin::Cache { age } => {
                headers.insert(X_CACHE, HeaderValue::from_static("HIT"));
                headers.insert(header::AGE, HeaderValue::from(age.as_secs_f64().round_ties_even() as u64));
            }
        }
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

//! The agent's own endpoints: cache-clear, quit and reload.

use std::time::Duration;

use cache::{Cache, ClearError, ClearRequest};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::time::timeout;
use tracing::info;
use vault::Body;

use crate::inbound::Inbound;
use crate::route::{Handles, empty, error as error_answer};

/// Nobody needs more to name what is to be forgotten.
const MAX_BODY: usize = 64 * 1024;

/// Nor longer to say it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// `POST` or `PUT …/cache-clear`. Upstream answers 200 to any other method, and clears nothing.
pub(crate) async fn cache_clear(cache: &Cache, request: Request<Inbound>) -> Response<Body> {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        let mut refusal = empty(StatusCode::METHOD_NOT_ALLOWED);
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, PUT"));
        return refusal;
    }
    let body = match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        other => {
            let why = match other {
                Ok(Err(why)) if why.is::<LengthLimitError>() => "the body is longer than 64 KiB",
                Ok(_) => "the body cannot be read",
                Err(_) => "the body did not arrive in 10 seconds",
            };
            return error_answer(StatusCode::BAD_REQUEST, &format!("failed to parse JSON input: {why}"));
        }
    };
    match ClearRequest::parse(&body) {
        Ok(clear) => {
            let cleared = cache.clear_as(&clear);
            cache.settle().await;
            // What was named may be a token: only how many went is told.
            info!(target: "cache", gone = cleared.answers, dry_run = clear.dry_run, "cache cleared on request");
            if !clear.verbose {
                return empty(StatusCode::OK);
            }
            let counts = json!({
                "answers": cleared.answers,
                "tokens": cleared.tokens,
                "leases": cleared.leases,
                "revoking": cleared.revoking,
                "dry_run": clear.dry_run,
            });
            let mut response = Response::new(Body::full(counts.to_string()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(why @ ClearError::NoValue(_)) => {
            error_answer(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string())
        }
        Err(why) => error_answer(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

/// `POST …/quit`, where the listener allows it.
pub(crate) fn quit(enabled: bool, method: &Method, handles: &Handles) -> Response<Body> {
    match (enabled, method) {
        (false, _) => empty(StatusCode::NOT_FOUND),
        (true, &Method::POST) => {
            info!(target: "quit", "received quit request");
            (handles.quit)();
            empty(StatusCode::OK)
        }
        (true, _) => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// Whether this is a `POST …/reload` that the listener allows; else the status to answer with.
pub(crate) fn may_reload(enabled: bool, method: &Method) -> Result<(), StatusCode> {
    match (enabled, method) {
        (false, _) => Err(StatusCode::NOT_FOUND),
        (true, &Method::POST) => Ok(()),
        (true, _) => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// `POST …/reload`: what has changed, or 400 with everything that is wrong with the new configuration.
pub(crate) async fn reload(handles: &Handles) -> Response<Body> {
    info!(target: "reload", "received reload request");
    let (status, said) = match (handles.reload)().await {
        Ok(changes) => (StatusCode::OK, changes),
        Err(problems) => (StatusCode::BAD_REQUEST, json!({"errors": problems})),
    };
    let mut response = Response::new(Body::full(format!("{said}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

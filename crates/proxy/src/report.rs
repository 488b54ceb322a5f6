//! What the agent's own API tells of the whole program. Who knows all of it gives it from above.

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde_json::Value;
use vault::Body;

use crate::inbound::Inbound;
use crate::route::{empty, error};

/// Somebody who knows how everything stands. No answer holds a token, an accessor, a lease's id or a secret.
pub trait Report: Send + Sync {
    /// All numbers in Prometheus' text format; `None` where that is not switched on.
    fn prometheus(&self) -> Option<String>;

    /// Numbers as upstream's JSON.
    fn json(&self) -> String;

    /// Whether everything does its work, and how each part stands.
    fn health(&self) -> (bool, Value);

    /// All there is to know.
    fn status(&self) -> Value;
}

/// `…/metrics`.
pub(crate) fn metrics(report: &dyn Report, request: &Request<Inbound>) -> Response<Body> {
    if request.method() != Method::GET {
        return not_allowed();
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let asked = parameter(request.uri(), "format").filter(|format| !format.is_empty());
    let by_accept = accept.is_some_and(|accept| {
        accept.starts_with("application/openmetrics-text") || accept.contains("prometheus/telemetry")
    });
    match asked {
        Some("prometheus") => prometheus(report),
        None if by_accept => prometheus(report),
        None => typed(StatusCode::OK, "application/json", report.json()),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            text(StatusCode::BAD_REQUEST, format!("metric response format {shown:?} unknown"))
        }
    }
}

fn prometheus(report: &dyn Report) -> Response<Body> {
    match report.prometheus() {
        Some(numbers) => typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", numbers),
        None => text(StatusCode::BAD_REQUEST, "prometheus is not enabled".to_owned()),
    }
}

/// `…/health`: 200 when everything does its work, else 503. With `?live` it is enough that we answer.
pub(crate) fn health(report: &dyn Report, request: &Request<Inbound>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed();
    }
    let (ready, parts) = report.health();
    let live = parameter(request.uri(), "live").is_some();
    let status = if ready || live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    uncached(typed(status, "application/json", format!("{parts}\n")))
}

/// `…/status`.
pub(crate) fn status(report: &dyn Report, request: &Request<Inbound>) -> Response<Body> {
    if request.method() != Method::GET {
        return not_allowed();
    }
    uncached(typed(StatusCode::OK, "application/json", format!("{}\n", report.status())))
}

/// What a listener for metrics alone says of everything else.
pub(crate) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned())
}

pub(crate) fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).find(|(key, _)| *key == name).map(|(_, v)| v)
}

pub(crate) fn not_allowed() -> Response<Body> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "");
    *response.body_mut() = Body::full("{\"errors\":[]}\n");
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    typed(status, "text/plain", text)
}

pub(crate) fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = Body::full(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(crate) fn uncached(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

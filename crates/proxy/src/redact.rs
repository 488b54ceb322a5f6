//! Our own token does not leave: whoever asks with it learns what it may do, not what it is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use memchr::memmem;
use serde_json::Value;
use tracing::debug;
use vault::{Accessor, Body, BodyError, Response, Token, TokenState};

use crate::filter::Filter;

/// Longest answer that is read whole (32 MiB), the servers' own limit for bodies.
pub(crate) const MAX_ANSWER: usize = 32 * 1024 * 1024;

const WITHHELD: &str = "the answer holds the auto-auth token and is withheld";

/// What looks for our token and its accessor in bytes that pass by.
pub(crate) fn filter(ours: &TokenState) -> Option<Filter> {
    let token = ours.token.as_ref()?;
    Some(Filter::new(
        [token.expose()].into_iter().chain(ours.accessor.as_ref().map(|accessor| accessor.expose())),
    ))
}

/// An answer to a request that travelled with our token `ours`, without it. A body that is there is looked through; so
/// is one that is arriving from where tokens are told, once it is there; any other is looked through as it passes.
///
/// # Errors
/// It cannot be taken out, or the body did not arrive: words for the client.
pub(crate) async fn answer(
    mut response: Response,
    path: &str,
    ours: &TokenState,
) -> Result<Response, String> {
    let Some(token) = &ours.token else { return Ok(response) };
    let accessor = ours.accessor.as_deref();
    if in_headers(&response.headers, token, accessor) {
        return Err(WITHHELD.to_owned());
    }
    // Where lookups and renewals are, fields are taken out as upstream takes them out.
    if path.contains("/auth/token/") && !matches!(response.body, Body::Full(_)) {
        let bytes = Box::pin(response.body.collect(MAX_ANSWER)).await;
        response.body = Body::full(bytes.map_err(|why| format!("failed to get the response: {why}"))?);
    }
    let Body::Full(Some(bytes)) = &response.body else {
        if matches!(response.body, Body::Full(None)) {
            return Ok(response);
        }
        let json = is_json(&response.headers);
        if json {
            // It may become shorter.
            response.headers.remove(header::CONTENT_LENGTH);
        }
        response.body = match filter(ours) {
            Some(filter) => Body::Other(Box::pin(Guarded {
                inner: response.body,
                filter,
                json,
                trailers: None,
                over: false,
            })),
            None => response.body,
        };
        return Ok(response);
    };
    match redact(bytes, token, accessor) {
        Ok(None) => {}
        Ok(Some(clean)) => {
            debug!(target: "apiproxy", "stripping auto-auth token from the response");
            response.headers.remove(header::CONTENT_LENGTH);
            response.body = Body::full(clean);
        }
        Err(()) => return Err(WITHHELD.to_owned()),
    }
    Ok(response)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

fn in_headers(headers: &HeaderMap, token: &Token, accessor: Option<&Accessor>) -> bool {
    headers.values().any(|value| {
        let value = value.as_bytes();
        let holds = |secret: &str| value.len() >= secret.len() && contains(value, secret.as_bytes());
        holds(token.expose()) || accessor.is_some_and(|accessor| holds(accessor.expose()))
    })
}

/// A body that is looked through as it passes. In JSON our token is cut out; anything else that holds it ends there,
/// as an answer that broke off.
struct Guarded {
    inner: Body,
    filter: Filter,
    json: bool,
    trailers: Option<HeaderMap>,
    over: bool,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if this.over {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let passes = match ready!(Pin::new(&mut this.inner).poll_frame(cx)).transpose()? {
                None => None,
                Some(frame) => match frame.into_data() {
                    Ok(data) => Some(this.filter.push(data)),
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok().filter(|trailers| {
                            trailers.values().all(|value| {
                                let mut filter = this.filter.another();
                                drop(filter.push(Bytes::copy_from_slice(value.as_bytes())));
                                filter.found == 0
                            })
                        });
                        None
                    }
                },
            };
            if this.filter.found > 0 && !this.json {
                return Poll::Ready(Some(Err(BodyError::Withheld(WITHHELD))));
            }
            let passes = passes.unwrap_or_else(|| {
                this.over = true;
                this.filter.finish()
            });
            if !passes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passes))));
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.json { SizeHint::default() } else { self.inner.size_hint() }
    }
}

/// Whether a request for a wrapped answer would carry our token out in the wrapping.
pub(crate) fn reveals_if_wrapped(path: &str) -> bool {
    ["/auth/token/accessors", "/auth/token/lookup", "/auth/token/renew"]
        .iter()
        .any(|part| path.contains(part))
}

/// The body without our token and its accessor: `data.id` and `data.accessor` of a look-up are removed, every
/// other string that holds one of them is emptied. Returns `None` when neither is in it.
///
/// # Errors
/// One of them is in a body that is no JSON: it must not be handed on.
pub(crate) fn redact(body: &[u8], token: &Token, accessor: Option<&Accessor>) -> Result<Option<Bytes>, ()> {
    let secrets: Vec<&str> = std::iter::once(token.expose()).chain(accessor.map(Accessor::expose)).collect();
    let plainly = secrets.iter().any(|secret| contains(body, secret.as_bytes()));
    // An escaped letter would hide it from a search of the bytes.
    if !plainly && !contains(body, b"\\u00") {
        return Ok(None);
    }
    let mut value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(_) if plainly => return Err(()),
        Err(_) => return Ok(None),
    };
    let holds = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut) {
        let ours = data.get("id").and_then(Value::as_str).is_some_and(&holds);
        if ours {
            data.shift_remove("id");
            data.shift_remove("accessor");
        }
    }
    empty(&mut value, &holds);
    Ok(Some(value.to_string().into()))
}

fn empty(value: &mut Value, holds: &impl Fn(&str) -> bool) {
    match value {
        Value::String(text) if holds(text) => text.clear(),
        Value::Array(values) => values.iter_mut().for_each(|value| empty(value, holds)),
        Value::Object(fields) => {
            fields.retain(|key, _| !holds(key));
            fields.values_mut().for_each(|value| empty(value, holds));
        }
        _ => {}
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    memmem::find(body, part).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> TokenState {
        TokenState {
            token: Some(Token::new("s.canary").unwrap().into()),
            accessor: Some(Accessor::new("acc-canary").unwrap().into()),
            ..TokenState::default()
        }
    }

    /// A body in pieces, with trailers.
    struct Pieces(Vec<&'static str>, Option<HeaderMap>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(match self.0.is_empty() {
                false => Some(Ok(Frame::data(Bytes::from(self.0.remove(0))))),
                true => self.1.take().map(|trailers| Ok(Frame::trailers(trailers))),
            })
        }
    }

    async fn passed(
        kind: &'static str,
        pieces: &[&'static str],
        trailer: &'static str,
    ) -> Result<(String, usize), String> {
        let value = |value| http::HeaderValue::from_static(value);
        let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-t"), value(trailer))]);
        let response = Response {
            status: http::StatusCode::OK,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, value(kind))]),
            body: Body::Other(Box::pin(Pieces(pieces.to_vec(), Some(trailers)))),
        };
        let response = answer(response, "/v1/a", &ours()).await?;
        let collected =
            http_body_util::BodyExt::collect(response.body).await.map_err(|why| why.to_string())?;
        let trailers = collected.trailers().map_or(0, HeaderMap::len);
        Ok((String::from_utf8(collected.to_bytes().to_vec()).unwrap(), trailers))
    }

    #[tokio::test]
    async fn s2_nor_out_of_a_body_that_passes_by() {
        let json = "application/json; charset=utf-8";
        let split = ["{\"a\":\"s.can", "ary\",\"b\":\"acc-c", "anary\"}"];
        assert_eq!(passed(json, &split, "t").await.unwrap(), (r#"{"a":"","b":""}"#.to_owned(), 1));
        assert!(passed("text/plain", &split, "t").await.unwrap_err().contains("withheld"));
        assert_eq!(
            passed("text/plain", &["s.can", "dy"], "x s.canary").await.unwrap(),
            ("s.candy".to_owned(), 0)
        );
        let mut response =
            Response { status: http::StatusCode::OK, headers: HeaderMap::new(), body: Body::empty() };
        response.headers.insert("x-a", http::HeaderValue::from_static("a s.canary b"));
        assert!(answer(response, "/v1/a", &ours()).await.is_err());
    }

    fn redacted(body: &str) -> Result<Option<String>, ()> {
        let (token, accessor) = (Token::new("s.canary").unwrap(), Accessor::new("acc-canary").unwrap());
        let clean = redact(body.as_bytes(), &token, Some(&accessor))?;
        Ok(clean.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[test]
    fn lookups_lose_id_and_accessor_renewals_their_values() {
        let lookup = r#"{"data":{"accessor":"acc-canary","id":"s.canary","ttl":5}}"#;
        assert_eq!(redacted(lookup).unwrap().unwrap(), r#"{"data":{"ttl":5}}"#);
        let renew = r#"{"auth":{"client_token":"s.canary","accessor":"acc-canary","renewable":true}}"#;
        assert_eq!(
            redacted(renew).unwrap().unwrap(),
            r#"{"auth":{"client_token":"","accessor":"","renewable":true}}"#
        );
    }

    #[test]
    fn no_form_of_it_gets_out() {
        for body in
            [r#"{"errors":["bad token s.canary!"]}"#, r#"{"a":[{"b":"\u0073.canary"}]}"#, r#"{"s.canary":1}"#]
        {
            let clean = redacted(body).unwrap().unwrap();
            assert!(!clean.contains("canary"), "{clean}");
        }
        assert_eq!(redacted("s.canary in plain text"), Err(()));
        assert_eq!(redacted(r#"{"data":{"id":"s.other"}}"#), Ok(None));
    }
}

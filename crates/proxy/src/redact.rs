//! Our own token does not leave: whoever asks with it learns what it may do, not what it is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use serde_json::Value;
use tracing::debug;
use vault::headers::{is_encoded, is_json};
use vault::{Body, BodyError, Needles, Response, TokenState};

use crate::filter::Filter;

/// Longest answer that is read whole (32 MiB), the servers' own limit for bodies.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// How long its body may take: as long as a whole request of the official clients.
pub(crate) const BODY_PATIENCE: Duration = Duration::from_secs(60);

const WITHHELD: &str = "the answer holds the auto-auth token and is withheld";
const ENCODED: &str = "the answer is encoded (Content-Encoding) although it was asked for as it is, and cannot be searched for the auto-auth token";

/// What takes our token and its accessor out of bytes that pass by.
pub(crate) fn filter(ours: &TokenState) -> Option<Filter> {
    Filter::new(ours.clone())
}

/// Checks the head of an answer to a request that travelled with our token `ours`, whatever follows it: a body, or
/// another protocol.
///
/// # Errors
/// It must not be handed on.
pub(crate) fn headers_in_order(headers: &HeaderMap, ours: &TokenState) -> Result<(), BodyError> {
    let (Some(in_values), Some(in_names)) = (ours.needles(), ours.needles_in_names()) else { return Ok(()) };
    let holds = headers.keys().any(|name| in_names.are_in(name.as_str().as_bytes()))
        || headers.values().any(|value| in_values.are_in(value.as_bytes()));
    if holds { Err(BodyError::Withheld(WITHHELD)) } else { Ok(()) }
}

/// An answer to a request that travelled with our token `ours`, without it. A body that is there is looked through; so
/// is one that is arriving from where tokens are told, once it is there; any other is looked through as it passes.
///
/// # Errors
/// It cannot be taken out, or the body did not arrive.
pub(crate) async fn answer(
    mut response: Response,
    path: &str,
    ours: &TokenState,
) -> Result<Response, BodyError> {
    headers_in_order(&response.headers, ours)?;
    let Some(needles) = ours.needles() else { return Ok(response) };
    if response.body.is_end_stream() {
        return Ok(response);
    }
    if is_encoded(&response.headers) {
        return Err(BodyError::Withheld(ENCODED));
    }
    let json = is_json(&response.headers);
    // Where lookups and renewals are, fields are taken out as upstream takes them out.
    let fields = path.contains("/auth/token/");
    if fields && !matches!(response.body, Body::Full(_)) {
        let bytes = Box::pin(response.body.collect(MAX_ANSWER, BODY_PATIENCE)).await;
        response.body = Body::full(bytes?);
    }
    let bytes = match response.body {
        Body::Full(bytes) => bytes.unwrap_or_default(),
        inner => {
            if json {
                // It may become shorter.
                response.headers.remove(header::CONTENT_LENGTH);
            }
            response.body = match filter(ours) {
                Some(filter) => {
                    Body::Other(Box::pin(Guarded { inner, filter, json, trailers: None, over: false }))
                }
                None => inner,
            };
            return Ok(response);
        }
    };
    // Most hold nothing, and nothing more is done.
    let clean = match needles.are_in(&bytes) {
        true => match filter(ours).filter(|_| !fields && json) {
            Some(filter) => Some(filter.clean(bytes.clone())),
            None => without_fields(&bytes, ours, needles).filter(|_| fields),
        }
        .ok_or(BodyError::Withheld(WITHHELD))
        .map(Some)?,
        false if fields && ours.is_short() => without_fields(&bytes, ours, needles),
        false => None,
    };
    if clean.is_some() {
        debug!(target: "apiproxy", "stripping auto-auth token from the response");
        response.headers.remove(header::CONTENT_LENGTH);
    }
    response.body = Body::full(clean.unwrap_or(bytes));
    Ok(response)
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
                        this.trailers = frame
                            .into_trailers()
                            .ok()
                            .filter(|trailers| headers_in_order(trailers, this.filter.ours()).is_ok());
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

/// A body of JSON without our token and its accessor: `data.id` and `data.accessor` of a look-up are removed, every
/// other string that holds one of them is emptied. `None` when they cannot be taken out: it must not be handed on.
fn without_fields(body: &[u8], ours: &TokenState, needles: &Needles) -> Option<Bytes> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let holds = |text: &str| needles.are_in(text.as_bytes());
    let tells = |value: Option<&Value>| {
        value.and_then(Value::as_str).is_some_and(|text| holds(text) || ours.is_token(text))
    };
    if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut)
        && tells(data.get("id"))
    {
        data.shift_remove("id");
        data.shift_remove("accessor");
    }
    if let Some(auth) = value.get_mut("auth").and_then(Value::as_object_mut)
        && tells(auth.get("client_token"))
    {
        auth.insert("client_token".to_owned(), "".into());
    }
    empty(&mut value, &holds);
    let clean: Bytes = value.to_string().into();
    // The same texts may be there in a number's place or across two strings.
    (!needles.are_in(&clean)).then_some(clean)
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

#[cfg(test)]
mod tests {
    use vault::{Accessor, Token};

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
        let response = answer(response, "/v1/a", &ours()).await.map_err(|why| why.to_string())?;
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

    /// Names of headers have lost their case, and are told in trailers, too.
    #[test]
    fn s2_nor_in_a_header_in_any_spelling() {
        let mixed = TokenState {
            token: Some(Token::new("hvs.CAESIJ").unwrap().into()),
            accessor: Some(Accessor::new("aCcEsSoR").unwrap().into()),
            ..TokenState::default()
        };
        for (name, value, passes) in [
            ("x-a", "/ui?t=hvs.CAESI", true),
            ("x-a", "/ui?t=hvs%2ECAESIJ", false),
            ("x-a", "/ui?t=%68%76%73%2e%43%41%45%53%49%4a&b", false),
            ("x-a", r"a\u0063CEsSoR", true),
            ("x-a", r"a\u0043cEs%53oR", false),
            ("X-hvs.CAESIJ", "a", false),
            ("hvs%2ECAE%53IJ", "a", false),
            ("x-accessor", "a", false),
            ("x-hvs.caesi", "a", true),
        ] {
            let name: http::HeaderName = name.parse().unwrap();
            let headers = HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))]);
            assert_eq!(headers_in_order(&headers, &mixed).is_ok(), passes, "{headers:?}");
        }
    }

    /// What a client gets of a whole body.
    async fn whole(
        kind: &'static str,
        coding: Option<&'static str>,
        ours: &TokenState,
        body: &str,
    ) -> Result<String, String> {
        let value = http::HeaderValue::from_static;
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value(kind))]);
        headers.extend(coding.map(|coding| (header::CONTENT_ENCODING, value(coding))));
        let body = Body::full(body.to_owned());
        let response = answer(Response { status: http::StatusCode::OK, headers, body }, "/v1/a", ours).await;
        let response = response.map_err(|why| why.to_string())?;
        let bytes = response.body.collect(1000, BODY_PATIENCE).await.map_err(|why| why.to_string())?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn s2_a_whole_body_is_searched_as_one_that_passes_by() {
        let json = "application/json";
        // Numbers and spaces stay as the server wrote them.
        let body = r#"{"a": "s.canary", "b": "x \u0073.canary", "n": 1.50}"#;
        let clean = r#"{"a": "", "b": "x *", "n": 1.50}"#;
        assert_eq!(whole(json, None, &ours(), body).await.unwrap(), clean);
        assert!(whole("text/plain", None, &ours(), "x s.canary").await.is_err());
        assert_eq!(whole("text/plain", None, &ours(), "x s.candy").await.unwrap(), "x s.candy");
        let custom =
            TokenState { token: Some(Token::new(r#"my"own\id"#).unwrap().into()), ..TokenState::default() };
        let told = r#"{"a":"my\"own\\id","b":"\u006dy\u0022own\u005Cid"}"#;
        assert_eq!(whole(json, None, &custom, told).await.unwrap(), r#"{"a":"","b":""}"#);
        // Behind a backslash that belongs to what is before it.
        let root = TokenState { token: Some(Token::new("root").unwrap().into()), ..TokenState::default() };
        let clean = whole(json, None, &root, r#"{"a":"x\root"}"#).await.unwrap();
        assert!(serde_json::from_str::<Value>(&clean).is_ok(), "{clean}");
    }

    #[tokio::test]
    async fn s2_what_is_encoded_is_withheld() {
        let json = "application/json";
        for (coding, body, passes) in
            [("gzip", "x", false), ("identity, br", "x", false), ("identity", "x", true), ("gzip", "", true)]
        {
            assert_eq!(whole(json, Some(coding), &ours(), body).await.is_ok(), passes, "{coding} {body:?}");
        }
        // Without our token it is between the server and its client.
        assert!(whole(json, Some("gzip"), &TokenState::default(), "x").await.is_ok());
    }

    /// Never says anything.
    struct Silence;

    impl http_body::Body for Silence {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_does_not_arrive_is_not_waited_for() {
        let body = Body::Other(Box::pin(Silence));
        let response = Response { status: http::StatusCode::OK, headers: HeaderMap::new(), body };
        let why = answer(response, "/v1/auth/token/lookup-self", &ours()).await.unwrap_err();
        assert!(matches!(why, BodyError::TooSlow(patience) if patience == BODY_PATIENCE), "{why}");
    }

    fn redacted(body: &str) -> Option<String> {
        let clean = without_fields(body.as_bytes(), &ours(), ours().needles().unwrap())?;
        Some(String::from_utf8(clean.to_vec()).unwrap())
    }

    #[test]
    fn lookups_lose_id_and_accessor_renewals_their_values() {
        let lookup = r#"{"data":{"accessor":"acc-canary","id":"s.canary","ttl":5}}"#;
        assert_eq!(redacted(lookup).unwrap(), r#"{"data":{"ttl":5}}"#);
        let renew = r#"{"auth":{"client_token":"s.canary","accessor":"acc-canary","renewable":true}}"#;
        assert_eq!(
            redacted(renew).unwrap(),
            r#"{"auth":{"client_token":"","accessor":"","renewable":true}}"#
        );
    }

    /// What a person has called `root` is in many words.
    #[tokio::test]
    async fn a_short_token_is_taken_out_where_tokens_are_told_and_no_word_changes() {
        let ours = TokenState { token: Some(Token::new("root").unwrap().into()), ..TokenState::default() };
        for (path, body, want) in [
            ("/v1/secret/data/a", r#"{"user":"root","x":"rooted"}"#, r#"{"user":"root","x":"rooted"}"#),
            (
                "/v1/auth/token/lookup-self",
                r#"{"data":{"accessor":"acc","id":"root","policies":["root"]}}"#,
                r#"{"data":{"policies":["root"]}}"#,
            ),
            (
                "/v1/auth/token/renew-self",
                r#"{"auth":{"client_token":"root","policies":["root"]}}"#,
                r#"{"auth":{"client_token":"","policies":["root"]}}"#,
            ),
            ("/v1/auth/token/create", "no JSON for root", "no JSON for root"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
            let response = Response { status: http::StatusCode::OK, headers, body: Body::full(body) };
            let clean = answer(response, path, &ours).await.unwrap().body;
            let clean = clean.collect(MAX_ANSWER, BODY_PATIENCE).await.unwrap();
            assert_eq!(clean, want.as_bytes(), "{path}");
        }
    }

    #[test]
    fn no_form_of_it_gets_out() {
        for body in [
            r#"{"errors":["bad token s.canary!"]}"#,
            r#"{"a":[{"b":"\u0073.canary"}]}"#,
            r#"{"s.canary":1}"#,
            r#"{"a":"/x?t=s%2Ecanary"}"#,
        ] {
            let clean = redacted(body).unwrap();
            assert!(!clean.contains("canary"), "{clean}");
        }
        assert_eq!(redacted("s.canary in plain text"), None);
    }
}

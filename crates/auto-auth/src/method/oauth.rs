//! What the token endpoints of the clouds have in common: forms that go out, fields that come back, URLs.

use std::net::Ipv6Addr;

use bytes::Bytes;
use http::{HeaderName, Method, header};
use serde_json::Value;
use vault::SecretString;

use super::LoginError;
use super::assertion::is_token;
use super::outside::{Answer, FAR, Outside};
use super::percent::form;

/// A URL's base and its path, for [`Outside`]; the query is dropped.
pub(super) fn split_url(url: &str) -> (&str, &str) {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let host = url.find("://").map_or(0, |at| at + 3);
    match url[host..].find('/') {
        Some(slash) => url.split_at(host + slash),
        None => (url, "/"),
    }
}

/// A service on the machine's link, given by a URL or a bare host, IPv6 addresses included; plain HTTP unless the
/// URL says otherwise.
pub(super) fn link_url(text: &str) -> String {
    match text {
        url if url.contains("://") => url.to_owned(),
        address if address.parse::<Ipv6Addr>().is_ok() => format!("http://[{address}]"),
        host => format!("http://{host}"),
    }
}

/// Posts a form to a token endpoint and gives the field `access_token` of the answer.
///
/// # Errors
/// No answer, or none of use.
pub(super) async fn access_token(
    what: &'static str,
    url: &str,
    fields: &[(&str, &str)],
) -> Result<SecretString, LoginError> {
    let (base, path) = split_url(url);
    let service = Outside::new(what, base, FAR)?;
    let headers = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
    let answer = service.send(Method::POST, path, &headers, Bytes::from(form(fields))).await?;
    text(&service, path, &answer, "access_token")
}

/// Posts JSON, with a bearer token if there is one.
///
/// # Errors
/// No answer, or none of use.
pub(super) async fn post_json(
    service: &Outside,
    target: &str,
    bearer: Option<&SecretString>,
    body: &Value,
) -> Result<Answer, LoginError> {
    let bearer = bearer.map(|token| format!("Bearer {}", token.expose()));
    let mut headers: Vec<(HeaderName, &str)> = vec![(header::CONTENT_TYPE, "application/json")];
    headers.extend(bearer.iter().map(|value| (header::AUTHORIZATION, value.as_str())));
    service.send(Method::POST, target, &headers, Bytes::from(body.to_string())).await
}

/// A text field of a JSON answer.
///
/// # Errors
/// The answer is no JSON object, or the field is missing or empty.
pub(super) fn text(
    service: &Outside,
    target: &str,
    answer: &Answer,
    field: &str,
) -> Result<SecretString, LoginError> {
    let Some(json) = answer.json().filter(Value::is_object) else {
        return Err(service.refused(target, "the answer is not a JSON object"));
    };
    match json.get(field).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text.into()),
        _ => Err(service.refused(target, format!("the answer has no {field}"))),
    }
}

/// The same, and it is a signed JWT.
///
/// # Errors
/// As [`text`], or it is none.
pub(super) fn token(
    service: &Outside,
    target: &str,
    answer: &Answer,
    field: &str,
) -> Result<SecretString, LoginError> {
    let token = text(service, target, answer, field)?;
    if is_token(token.expose()) {
        return Ok(token);
    }
    Err(service.refused(target, format!("the answer's {field} is no signed JWT")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_apart_where_they_should() {
        for (url, base, path) in [
            ("https://a.b/token", "https://a.b", "/token"),
            ("https://a.b", "https://a.b", "/"),
            ("http://[::1]:80/x/y?q=1", "http://[::1]:80", "/x/y"),
            ("a.b/c", "a.b", "/c"),
            ("", "", "/"),
        ] {
            assert_eq!(split_url(url), (base, path), "{url}");
        }
        for (text, url) in [
            ("metadata:80", "http://metadata:80"),
            ("fd20:ce::254", "http://[fd20:ce::254]"),
            ("https://m", "https://m"),
        ] {
            assert_eq!(link_url(text), url);
        }
    }
}

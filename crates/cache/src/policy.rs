//! What is remembered: the decision table, as a pure function of the answer and of what is known of the
//! requesting token.

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use vault::SecretString;
use vault::headers::{is_encoded, is_json};

/// The parts of an answer that decide.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    lease_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    lease_duration: Option<&'a RawValue>,
    renewable: Option<bool>,
    #[serde(borrow)]
    auth: Option<EnvelopeAuth<'a>>,
    wrap_info: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EnvelopeAuth<'a> {
    #[serde(borrow)]
    client_token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    accessor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    lease_duration: Option<&'a RawValue>,
    renewable: Option<bool>,
    orphan: Option<bool>,
    num_uses: Option<i64>,
}

/// Where a number stands in a body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

impl Span {
    /// `part` is a part of `body`.
    fn of(part: &str, body: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(body.as_ptr() as usize);
        match (u32::try_from(start), u32::try_from(part.len())) {
            (Ok(start), Ok(length)) => Self { start, length },
            _ => Self::default(),
        }
    }
}

/// What to do with an answer.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Hand it on and forget it.
    Pass,
    /// Remember it: a lease of the requesting token.
    Lease {
        /// The lease.
        lease_id: String,
        /// How long it lives, seconds.
        ttl: u64,
        /// Where the body says so.
        told: Span,
    },
    /// Remember it: a token.
    Token {
        /// The token.
        token: SecretString,
        /// Its accessor.
        accessor: Option<SecretString>,
        /// How long it lives, seconds.
        ttl: u64,
        /// Where the body says so.
        told: Span,
        /// It dies with the requesting token.
        child: bool,
    },
}

/// Whether who answers a write so may have carried it out, or may later: it gave up waiting for somebody. 503 is said
/// instead of beginning.
pub(crate) fn may_have_acted(status: StatusCode) -> bool {
    status.is_success() || (status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE)
}

/// Whether an answer's head allows it to hold something worth remembering.
pub(crate) fn may_hold_secret(status: StatusCode, headers: &HeaderMap) -> bool {
    // A cookie is for whom it was set.
    status == StatusCode::OK
        && is_json(headers)
        && !is_encoded(headers)
        && !headers.contains_key(header::SET_COOKIE)
}

/// The table. `path` is the request's, without query; `managed` says whether the requesting token is one whose
/// end we will notice: our own, or one that was handed out through the cache.
pub(crate) fn decide(path: &str, body: &[u8], managed: bool) -> Decision {
    // A renewal's answer looks like a fresh secret and is none: it tells of one that is remembered already.
    if is_renewal(path) {
        return Decision::Pass;
    }
    // serde would take an array's elements for the fields.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Decision::Pass;
    }
    // What cannot be read is none of ours; the client gets it as it is.
    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(body) else { return Decision::Pass };
    if envelope.wrap_info.is_some() {
        return Decision::Pass;
    }
    // Whole seconds, more than none; anything else (negative, a fraction, a text, beyond 64 bits) is no life.
    let seconds = |duration: Option<&RawValue>| {
        let text = duration.map_or("", RawValue::get);
        (text.parse::<u64>().unwrap_or_default(), Span::of(text, body))
    };
    if let Some(lease_id) = envelope.lease_id.filter(|id| !id.is_empty()) {
        let (ttl, told) = seconds(envelope.lease_duration);
        if !managed || envelope.renewable != Some(true) || ttl == 0 {
            return Decision::Pass;
        }
        return Decision::Lease { lease_id: lease_id.into_owned(), ttl, told };
    }
    let Some(auth) = envelope.auth else { return Decision::Pass };
    let Some(token) = auth.client_token.filter(|token| !token.is_empty()) else { return Decision::Pass };
    let (ttl, told) = seconds(auth.lease_duration);
    let child = auth.orphan != Some(true);
    // A token that is spent by use must not be handed to two.
    let limited = auth.num_uses.unwrap_or_default() != 0;
    if auth.renewable != Some(true) || ttl == 0 || limited || (child && !managed) {
        return Decision::Pass;
    }
    let accessor = auth.accessor.filter(|a| !a.is_empty()).map(|a| SecretString::from(a.into_owned()));
    Decision::Token { token: SecretString::from(token.into_owned()), accessor, ttl, told, child }
}

/// Whether an answer gives out a token, or is about to (MFA). Only auth methods and the token store do: the servers refuse
/// it to secrets engines.
pub(crate) fn gives_token(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<Envelope<'_>>(body).is_ok_and(|envelope| envelope.auth.is_some())
}

/// `…/auth/token/renew*`, `…/sys/leases/renew*`, `…/sys/renew*`, in any namespace.
pub(crate) fn is_renewal(path: &str) -> bool {
    ["/auth/token/renew", "/sys/leases/renew", "/sys/renew"].iter().any(|part| path.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(renewable: bool, orphan: bool, uses: u32) -> String {
        format!(
            r#"{{"request_id":"r","lease_id":"","data":null,"wrap_info":null,"auth":{{"client_token":"s.t","accessor":"a","lease_duration":60,"renewable":{renewable},"orphan":{orphan},"num_uses":{uses}}}}}"#
        )
    }

    fn lease(renewable: bool) -> String {
        format!(
            r#"{{"lease_id":"database/creds/app/1","lease_duration":60,"renewable":{renewable},"data":{{"p":"x"}}}}"#
        )
    }

    #[test]
    fn the_table() {
        const LOGIN: &str = "/v1/auth/approle/login";
        const CREATE: &str = "/v1/auth/token/create";
        const CREDS: &str = "/v1/database/creds/app";
        let rows: &[(&str, String, bool, bool, &str)] = &[
            ("login", auth(true, true, 0), false, true, LOGIN),
            ("login, batch or not renewable", auth(false, true, 0), false, false, LOGIN),
            ("login, use-limited", auth(true, true, 5), false, false, LOGIN),
            ("child of a managed token", auth(true, false, 0), true, true, CREATE),
            ("child of another token", auth(true, false, 0), false, false, CREATE),
            ("orphan", auth(true, true, 0), false, true, "/v1/auth/token/create-orphan"),
            ("orphan, not renewable", auth(false, true, 0), true, false, "/v1/auth/token/create-orphan"),
            ("lease of a managed token", lease(true), true, true, CREDS),
            ("lease of another token", lease(true), false, false, CREDS),
            ("lease, not renewable", lease(false), true, false, CREDS),
            (
                "KV v1",
                r#"{"lease_id":"","lease_duration":2764800,"renewable":false,"data":{"a":1}}"#.into(),
                true,
                false,
                "/v1/kv/a",
            ),
            ("wrapped", r#"{"auth":null,"wrap_info":{"token":"w"}}"#.into(), true, false, LOGIN),
            (
                "lookup-self",
                r#"{"data":{"renewable":true,"id":"s.t"}}"#.into(),
                true,
                false,
                "/v1/auth/token/lookup-self",
            ),
            ("renewal of a token", auth(true, true, 0), true, false, "/v1/auth/token/renew-self"),
            ("renewal of a lease", lease(true), true, false, "/v1/ns1/sys/leases/renew"),
            ("no JSON object", "[]".into(), true, false, LOGIN),
            (
                "an array in the fields' order",
                r#"["database/creds/app/1",60,true]"#.into(),
                true,
                false,
                CREDS,
            ),
            ("broken", "{".into(), true, false, LOGIN),
            ("wrong types", r#"{"lease_id":5,"auth":{"client_token":[]}}"#.into(), true, false, LOGIN),
        ];
        for (name, body, managed, cached, path) in rows {
            let decision = decide(path, body.as_bytes(), *managed);
            assert_eq!(decision != Decision::Pass, *cached, "{name}: {decision:?}");
        }
    }

    /// Numbers that are no life, and bodies that can be read in two ways, are handed on.
    #[test]
    fn bad_answers_are_passed_on() {
        let lease = |duration: &str| {
            format!(r#"{{"lease_id":"database/creds/app/1","lease_duration":{duration},"renewable":true}}"#)
        };
        for duration in ["0", "-1", "1.5", "1e3", "\"60\"", "null", "99999999999999999999", "[60]"] {
            assert_eq!(
                decide("/v1/database/creds/app", lease(duration).as_bytes(), true),
                Decision::Pass,
                "{duration}"
            );
        }
        for duration in ["1", "9223372036854775807", "18446744073709551615"] {
            let decision = decide("/v1/database/creds/app", lease(duration).as_bytes(), true);
            assert!(matches!(decision, Decision::Lease { .. }), "{duration}");
        }
        let twice = lease("60").replace("{", r#"{"lease_id":"other","#);
        let deep = lease("60")
            .replace("{", &format!(r#"{{"lease_id":{}1{},"#, "[".repeat(10_000), "]".repeat(10_000)));
        for body in [twice, deep] {
            assert_eq!(decide("/v1/database/creds/app", body.as_bytes(), true), Decision::Pass);
        }
    }

    #[test]
    fn the_place_of_the_number_is_known() {
        let body = auth(true, true, 0);
        let Decision::Token { told, ttl: 60, .. } = decide("/v1/auth/a/login", body.as_bytes(), false) else {
            panic!("not remembered")
        };
        let start = told.start as usize;
        assert_eq!(&body[start..start + told.length as usize], "60");
    }

    #[test]
    fn only_plain_json_successes_are_looked_into() {
        let mut headers = HeaderMap::new();
        assert!(!may_hold_secret(StatusCode::OK, &headers));
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert!(may_hold_secret(StatusCode::OK, &headers));
        for status in [StatusCode::NO_CONTENT, StatusCode::FOUND, StatusCode::FORBIDDEN] {
            assert!(!may_hold_secret(status, &headers));
        }
        let mut encoded = headers.clone();
        encoded.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(!may_hold_secret(StatusCode::OK, &encoded));
        headers.insert(header::SET_COOKIE, "a=b".parse().unwrap());
        assert!(!may_hold_secret(StatusCode::OK, &headers));
    }
}

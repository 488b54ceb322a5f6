//! What answers say: of secrets, their metadata, mounts, tokens and capabilities. Pure; whatever is not as it
//! should be says nothing, and nothing is kept then.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::meaning::Variant;

/// What lies at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Engine {
    /// KV without versions.
    V1,
    /// KV with versions.
    V2,
    /// Anything else.
    Other,
}

/// What is known of an answer that may be kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Facts {
    /// The version, if it has one, and when that was made.
    pub(crate) version: Option<(u64, String)>,
    /// How long the server says it is good (KV version 1).
    pub(crate) at_most: Option<Duration>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    lease_id: Option<Cow<'a, str>>,
    lease_duration: Option<i64>,
    data: Option<IgnoredAny>,
    auth: Option<IgnoredAny>,
    wrap_info: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: VersionedData<'a>,
}

#[derive(Deserialize)]
struct VersionedData<'a> {
    #[serde(borrow)]
    metadata: Version<'a>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    data: Version<'a>,
}

#[derive(Deserialize)]
struct Version<'a> {
    version: u64,
    #[serde(borrow)]
    created_time: Cow<'a, str>,
    #[serde(borrow, default)]
    deletion_time: Option<Cow<'a, str>>,
    #[serde(default)]
    destroyed: Option<bool>,
}

/// Reads the body of a 200 from a KV mount. `rest` is the path behind the mount. `None`: it is not to be kept.
pub(crate) fn facts(body: &[u8], engine: Engine, rest: &str, variant: Variant) -> Option<Facts> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let leased = envelope.lease_id.is_some_and(|id| !id.is_empty());
    if leased || envelope.data.is_none() || envelope.auth.is_some() || envelope.wrap_info.is_some() {
        return None;
    }
    match engine {
        Engine::Other => None,
        Engine::V1 => {
            let at_most = match u64::try_from(envelope.lease_duration.unwrap_or_default()) {
                Ok(0) => None,
                Ok(seconds) => Some(Duration::from_secs(seconds)),
                Err(_) => return None,
            };
            // There are no versions: the server ignores what was asked for.
            (!matches!(variant, Variant::Version(_))).then_some(Facts { version: None, at_most })
        }
        Engine::V2 => match rest.split('/').next() {
            Some("data") if variant != Variant::List => {
                let Version { version, created_time, deletion_time, destroyed } =
                    serde_json::from_slice::<Versioned<'_>>(body).ok()?.data.metadata;
                // One whose time has come is gone from then on; the server says when, we do not guess.
                let dying = deletion_time.is_some_and(|at| !at.is_empty()) || destroyed == Some(true);
                let asked = !matches!(variant, Variant::Version(asked) if asked != version);
                let version = Some((version, created_time.into_owned()));
                (!dying && asked).then_some(Facts { version, at_most: None })
            }
            Some("metadata") if !matches!(variant, Variant::Version(_)) => Some(Facts::default()),
            Some("subkeys") if variant != Variant::List => Some(Facts::default()),
            _ => None,
        },
    }
}

/// The version that a write says it made.
pub(crate) fn written(body: &[u8]) -> Option<(u64, String)> {
    let made = serde_json::from_slice::<Written<'_>>(body).ok()?.data;
    Some((made.version, made.created_time.into_owned()))
}

/// Whether a version is older than another: a lower number, unless it was made later (the secret was deleted with all
/// its versions, and made anew).
pub(crate) fn is_older(one: &(u64, String), other: &(u64, String)) -> bool {
    // RFC 3339 in UTC, whose fractions are cut: without the letter at the end they compare as text.
    let time = |text: &str| text.trim_end_matches('Z').to_owned();
    one.0 < other.0 && time(&one.1) <= time(&other.1)
}

/// What metadata say about the version that is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is the current one, or the one asked for, and is readable.
    Same,
    /// There is another, or it is gone; or they do not say.
    Changed,
    /// They are older than what is kept: a standby that is behind.
    Behind,
}

/// Compares metadata (`GET metadata/<path>`) with the version that is kept.
pub(crate) fn compare(data: &Map<String, Value>, variant: Variant, kept: &(u64, String)) -> Verdict {
    let Some(current) = data.get("current_version").and_then(Value::as_u64) else { return Verdict::Changed };
    let version = data.get("versions").and_then(|versions| versions.get(kept.0.to_string()));
    let Some(version) = version.and_then(Value::as_object) else {
        return if current < kept.0 && current > 0 { Verdict::Behind } else { Verdict::Changed };
    };
    let text = |name| version.get(name).and_then(Value::as_str).unwrap_or_default();
    let readable = text("deletion_time").is_empty()
        && version.get("destroyed").and_then(Value::as_bool) == Some(false)
        && text("created_time") == kept.1;
    match variant {
        Variant::Latest if current != kept.0 => Verdict::Changed,
        _ if readable => Verdict::Same,
        _ => Verdict::Changed,
    }
}

/// A mount: where it ends in the path that was asked about, and what it is.
pub(crate) fn mount(data: &Map<String, Value>) -> Option<(String, Engine)> {
    let path = data.get("path")?.as_str()?.trim_matches('/');
    let engine = match data.get("type")?.as_str()? {
        "kv" | "generic" => {
            let version = data.get("options").and_then(|options| options.get("version"));
            match version.and_then(Value::as_str) {
                Some("2") => Engine::V2,
                None | Some("" | "1") => Engine::V1,
                Some(_) => Engine::Other,
            }
        }
        _ => Engine::Other,
    };
    (!path.is_empty()).then(|| (format!("{path}/"), engine))
}

/// What `lookup-self` says of a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Looked {
    /// When it ends if nobody renews it; `None`: it does not end.
    pub(crate) until: Option<Instant>,
    /// Whether answers to it may come from memory at all.
    pub(crate) usable: bool,
    /// Whether it dies with no other token.
    pub(crate) orphan: bool,
    /// Its accessor.
    pub(crate) accessor: Option<String>,
}

/// Reads `lookup-self`. `sent_at`: when it was asked.
pub(crate) fn token(data: &Map<String, Value>, sent_at: Instant) -> Option<Looked> {
    let ttl = data.get("ttl")?.as_u64()?;
    let endless = data.get("expire_time").is_none_or(Value::is_null) && ttl == 0;
    let unlimited = data.get("num_uses").and_then(Value::as_u64) == Some(0);
    let anywhere = match data.get("bound_cidrs") {
        None | Some(Value::Null) => true,
        Some(Value::Array(bound)) => bound.is_empty(),
        Some(_) => false,
    };
    // Of any other kind (batch) we do not learn that it ended.
    let service = data.get("type").and_then(Value::as_str) == Some("service");
    let until = if endless { None } else { Some(sent_at.checked_add(Duration::from_secs(ttl))?) };
    Some(Looked {
        until,
        usable: unlimited && anywhere && service,
        orphan: data.get("orphan").and_then(Value::as_bool) == Some(true),
        accessor: data.get("accessor").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Whether `capabilities-self` lists what is wanted for a path.
pub(crate) fn may(data: &Map<String, Value>, path: &str, variant: Variant) -> bool {
    let wanted = if variant == Variant::List { "list" } else { "read" };
    let listed = data.get(path).and_then(Value::as_array);
    listed.is_some_and(|all| all.iter().filter_map(Value::as_str).any(|one| one == wanted || one == "root"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn only_plain_kv_answers_are_kept() {
        let read = |body: &str, engine, rest, variant| facts(body.as_bytes(), engine, rest, variant);
        let v2 = r#"{"lease_id":"","auth":null,"data":{"data":{"a":1},"metadata":{"version":3,"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false}}}"#;
        let known = read(v2, Engine::V2, "data/a", Variant::Latest).unwrap();
        assert_eq!(known.version, Some((3, "2026-01-01T00:00:00Z".to_owned())));
        assert!(read(v2, Engine::V2, "data/a", Variant::Version(3)).is_some());
        let v1 = r#"{"lease_duration":60,"data":{"metadata":"my own word"}}"#;
        assert_eq!(
            read(v1, Engine::V1, "a", Variant::Latest),
            Some(Facts { version: None, at_most: Some(Duration::from_secs(60)) })
        );
        let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        for (body, engine, variant) in [
            (v2, Engine::V2, Variant::Version(2)),
            (v2, Engine::Other, Variant::Latest),
            (v1, Engine::V1, Variant::Version(1)),
            (r#"{"data":{},"lease_duration":-1}"#, Engine::V1, Variant::Latest),
            (r#"{"data":{},"lease_id":"x"}"#, Engine::V1, Variant::Latest),
            (r#"{"data":{},"auth":{}}"#, Engine::V1, Variant::Latest),
            (r#"{"data":{},"wrap_info":{}}"#, Engine::V1, Variant::Latest),
            (r#"{"data":null}"#, Engine::V1, Variant::Latest),
            (r#"{"data":{},"data":{}}"#, Engine::V1, Variant::Latest),
            (r#"{"data":{}"#, Engine::V1, Variant::Latest),
            ("[1,2]", Engine::V1, Variant::Latest),
            (r#"{"data":{"data":{}}}"#, Engine::V2, Variant::Latest),
            (&deep, Engine::V2, Variant::Latest),
            (&v2.replace("false", "true"), Engine::V2, Variant::Latest),
            (&v2.replace(r#""deletion_time":"""#, r#""deletion_time":"2030""#), Engine::V2, Variant::Latest),
        ] {
            assert_eq!(read(body, engine, "data/a", variant), None, "{body:.80}");
        }
    }

    #[test]
    fn versions_are_compared_by_number_unless_the_secret_is_another() {
        let v = |number: u64, made: &str| (number, made.to_owned());
        assert!(is_older(&v(1, "2026-01-01T00:00:00.1Z"), &v(2, "2026-01-01T00:00:00.12Z")));
        assert!(!is_older(&v(1, "2026-01-02T00:00:00Z"), &v(2, "2026-01-01T00:00:00Z")));
        assert!(!is_older(&v(2, "a"), &v(2, "a")));
    }

    #[test]
    fn metadata_are_believed_when_they_are_clear() {
        let data = |current: u64, made: &str, deleted: &str, destroyed: bool| {
            object(
                json!({"current_version": current, "versions": {"3": {"created_time": made, "deletion_time": deleted, "destroyed": destroyed}}}),
            )
        };
        let kept = (3, "t".to_owned());
        for (data, variant, verdict) in [
            (data(3, "t", "", false), Variant::Latest, Verdict::Same),
            (data(4, "t", "", false), Variant::Latest, Verdict::Changed),
            (data(4, "t", "", false), Variant::Version(3), Verdict::Same),
            (data(3, "t", "2026", false), Variant::Latest, Verdict::Changed),
            (data(3, "t", "", true), Variant::Latest, Verdict::Changed),
            (data(3, "u", "", false), Variant::Latest, Verdict::Changed),
            (object(json!({"current_version": 2, "versions": {}})), Variant::Latest, Verdict::Behind),
            (object(json!({})), Variant::Latest, Verdict::Changed),
        ] {
            assert_eq!(compare(&data, variant, &kept), verdict, "{data:?}");
        }
    }

    #[test]
    fn tokens_with_any_bound_are_not_served_from_memory() {
        let now = Instant::now();
        let plain = json!({"ttl": 60, "expire_time": "2026", "num_uses": 0, "type": "service", "orphan": true, "accessor": "a"});
        let looked = token(&object(plain.clone()), now).unwrap();
        assert!(looked.usable && looked.orphan);
        assert_eq!(looked.until, Some(now + Duration::from_secs(60)));
        for (name, value) in [
            ("num_uses", json!(3)),
            ("num_uses", json!("0")),
            ("bound_cidrs", json!(["10.0.0.0/8"])),
            ("bound_cidrs", json!("10.0.0.0/8")),
            ("type", json!("batch")),
            ("type", Value::Null),
        ] {
            let mut other = object(plain.clone());
            other.insert(name.to_owned(), value);
            assert!(!token(&other, now).unwrap().usable, "{other:?}");
        }
        let root = object(json!({"ttl": 0, "expire_time": null, "num_uses": 0, "type": "service"}));
        assert_eq!(token(&root, now).unwrap().until, None);
        let over = object(json!({"ttl": 0, "expire_time": "2026", "num_uses": 0, "type": "service"}));
        assert_eq!(token(&over, now).unwrap().until, Some(now));
        assert_eq!(token(&object(json!({"ttl": u64::MAX})), now), None);
        assert_eq!(token(&object(json!({"ttl": -1})), now), None);
    }
}

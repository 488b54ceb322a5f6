//! Under which key an answer is remembered: by what a request means, not by how it is spelled.
//!
//! Two requests share a key when the server cannot answer them differently: same token, namespace, method
//! class, path, query, body and semantic headers. Headers that only describe the client or the connection
//! (User-Agent, tracing, Accept-Encoding, …) do not count; an unknown `X-Vault-*` or `X-Bao-*` header does, and so does
//! whatever may say who asks (`X-Vault-Token`, `Authorization`) or change the form of the answer (`Accept`, `Range`,
//! conditions).

use std::borrow::Cow;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use http::{HeaderMap, HeaderName, Method, header};
use vault::{Namespace, Request, headers};
use zeroize::{Zeroize as _, Zeroizing};

use crate::Options;
use crate::disk::Root;
use crate::json::write_canonical;
use crate::observe::is_form;

/// A request's meaning, hashed with a secret of this process, so that a dump of keys tells nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key([u8; 16]);

impl Key {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Makes keys: the tag of AES-256-GCM-SIV over no text, with the parts as associated data. It is a keyed
/// function of the parts that may be used with one nonce for ever, and several times as fast as an HMAC where
/// the processor has no instructions for SHA-256.
pub(crate) struct Keys {
    key: LessSafeKey,
    /// Byte for byte, as upstream compares.
    strict: bool,
    /// Headers that count beside those that always do.
    extra: Vec<HeaderName>,
}

/// Changes with the way keys are made: what lies on disk under keys of another way is not found.
const SCHEME: u8 = 1;

/// Hashes tokens, accessors and lease ids, for indexes that do not hold them.
pub(crate) struct Texts(LessSafeKey);

impl Default for Texts {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Texts {
    /// As [`Keys::new`].
    pub(crate) fn new(root: Option<&Root>) -> Self {
        Self(keyed(&root.and_then(Root::text_secret).unwrap_or_else(fresh)))
    }

    pub(crate) fn hash(&self, text: &str) -> u64 {
        u64::from_le_bytes(tag(&self.0, text.as_bytes()).first_chunk().copied().unwrap_or_default())
    }
}

fn fresh() -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    if aws_lc_rs::rand::fill(secret.as_mut()).is_err() {
        // The system's randomness does not fail once it has started; without it nothing here could run.
        fastrand::fill(secret.as_mut());
    }
    secret
}

fn keyed(secret: &[u8; 32]) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM_SIV, secret) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("32 bytes are the length of this algorithm's keys"),
    }
}

fn tag(key: &LessSafeKey, of: &[u8]) -> [u8; 16] {
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let mut whole = [0; 16];
    match key.seal_in_place_separate_tag(nonce, Aad::from(of), &mut []) {
        Ok(tag) => whole.copy_from_slice(tag.as_ref()),
        // Only a text of 64 GiB could fail here, and there is none: no key is shared then.
        Err(_) => fastrand::fill(&mut whole),
    }
    whole
}

/// Of HTTP's headers those that say who asks or what the answer is to be like; and the API's own, but for those that
/// do not change an answer.
fn has_meaning(name: &HeaderName) -> bool {
    match name.as_str() {
        "accept" | "authorization" | "cookie" | "range" => true,
        "if-match" | "if-modified-since" | "if-none-match" | "if-range" | "if-unmodified-since" => true,
        "x-vault-request"
        | "x-vault-index"
        | "x-vault-forward"
        | "x-vault-inconsistent"
        | "x-vault-no-request-forwarding"
        | "x-vault-raw-error" => false,
        name => name.starts_with("x-vault-") || name.starts_with("x-bao-"),
    }
}

/// Requests with one of these are neither remembered nor shared: their answers are for one reader, once.
const NEVER: &[&str] = &["x-vault-mfa", "x-vault-wrap-ttl", "x-vault-wrap-format", "x-vault-policy-override"];

/// Whether a request may be remembered or shared at all.
pub(crate) fn may_be_cached(request: &Request) -> bool {
    let is_for_one = |name: &str| NEVER.contains(&name) || name.starts_with("x-vault-inline-auth");
    !uses_up(request.path()) && !request.headers.keys().any(|name| is_for_one(name.as_str()))
}

/// Whether what is asked for is there once: what a wrapping token or a one-time code stands for. Whoever comes second has
/// to learn that somebody was there before.
fn uses_up(path: &str) -> bool {
    // Most have nothing of it, and pass here often.
    path.contains("/sys/") && ["/sys/wrapping/", "/sys/mfa/validate"].iter().any(|part| path.contains(part))
        || path.ends_with("/cubbyhole/response")
}

impl Keys {
    /// With a fresh secret, or with one that outlives the process, so that what it remembered is found again: one for
    /// each way of making keys.
    pub(crate) fn new(options: &Options, root: Option<&Root>) -> Self {
        let mut rules = vec![SCHEME, u8::from(options.strict_keys)];
        for name in &options.key_extra_headers {
            rules.extend_from_slice(name.as_str().as_bytes());
            rules.push(0);
        }
        let secret = root.and_then(|root| root.request_secret(&rules)).unwrap_or_else(fresh);
        Self { key: keyed(&secret), strict: options.strict_keys, extra: options.key_extra_headers.clone() }
    }

    /// The key of a request.
    pub(crate) fn key(&self, request: &Request) -> Key {
        let mut hash = Parts(Vec::with_capacity(512));
        if self.strict {
            strict(request, &mut hash)
        } else {
            self.meant(request, &mut hash)
        }
        Key(self.tag(&hash))
    }

    /// How a client spelled the head of its request: its method, its target and its headers but the consistency
    /// headers, which Vault leaves out as well. The body and the token that it travels with come later.
    pub(crate) fn spelling(&self, request: &http::request::Parts) -> [u8; 16] {
        let mut hash = Parts(Vec::with_capacity(512));
        hash.part(request.method.as_str().as_bytes());
        hash.part(request.uri.to_string().as_bytes());
        hash.part(format!("{:?}", request.version).as_bytes());
        all_headers(&request.headers, &mut hash);
        self.tag(&hash)
    }

    fn tag(&self, hash: &Parts) -> [u8; 16] {
        tag(&self.key, &hash.0)
    }

    fn meant(&self, request: &Request, hash: &mut Parts) {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut pairs: Vec<Cow<'_, str>> =
            query.split('&').filter(|pair| !pair.is_empty()).map(unreserved).collect();
        // A list may be asked for with GET as well.
        let is_list = |pair: &Cow<'_, str>| {
            let value = pair.strip_prefix("list=");
            value.is_some_and(|value| matches!(value, "true" | "True" | "TRUE" | "t" | "T" | "1"))
        };
        let names_list = |pair: &&Cow<'_, str>| pair.as_ref() == "list" || pair.starts_with("list=");
        let list = request.method == Method::GET
            && pairs.iter().any(is_list)
            && pairs.iter().filter(names_list).count() == 1;
        pairs.retain(|pair| !(list && is_list(pair)));
        hash.part(match request.method.as_str() {
            "PUT" | "POST" => b"WRITE",
            _ if list => b"LIST",
            other => other.as_bytes(),
        });
        let path = unreserved(path);
        let full_path = full_path(&path, &request.headers);
        hash.part(full_path.as_deref().unwrap_or(&path).as_bytes());
        // Stable: the order of one name's values has a meaning.
        pairs.sort_by(|one, other| name_of(one).cmp(name_of(other)));
        hash.count(pairs.len());
        for pair in pairs {
            hash.part(pair.as_bytes());
        }
        let before = hash.0.len();
        hash.part(b"json");
        let canonical = hash.begin();
        match write_canonical(&request.body, &mut hash.0) {
            true => hash.end(canonical),
            false => {
                // Nothing of it counts.
                hash.0.truncate(before);
                hash.part(b"raw");
                hash.part(&request.body);
            }
        }
        // The servers read all JSON alike, whatever it is called, but for patches and forms.
        hash.part(match request.headers.get(header::CONTENT_TYPE) {
            _ if request.body.is_empty() => b"",
            Some(_) if is_form(&request.headers) && !begins_as_object(&request.body) => b"form",
            Some(kind) if request.method == Method::PATCH => kind.as_bytes(),
            _ => b"",
        });
        self.semantic_headers(&request.headers, full_path.is_some(), hash);
    }

    /// `placed` says that the namespace is in the path already.
    fn semantic_headers(&self, headers: &HeaderMap, placed: bool, hash: &mut Parts) {
        let counts = |name: &&HeaderName| {
            let wanted = has_meaning(name) || self.extra.contains(name);
            let said = *name != header::ACCEPT || !accepts_json(headers) || self.extra.contains(name);
            wanted && said && !(placed && *name == headers::NAMESPACE)
        };
        headers_in_order(headers, counts, hash);
    }
}

/// As the servers' own clients spell it, or anybody else: what is compared is compared byte for byte.
fn strict(request: &Request, hash: &mut Parts) {
    hash.part(b"strict");
    match &request.spelling {
        Some(spelling) => hash.part(spelling.as_slice()),
        // One of our own: nothing stood before us that could have changed it.
        None => {
            hash.part(request.method.as_str().as_bytes());
            hash.part(request.target.as_bytes());
            all_headers(&request.headers, hash);
        }
    }
    hash.part(request.token_sent().unwrap_or_default().as_bytes());
    hash.part(&request.body);
}

fn all_headers(headers: &HeaderMap, hash: &mut Parts) {
    let unread = [headers::INDEX, headers::FORWARD, headers::INCONSISTENT];
    headers_in_order(headers, |name| !unread.contains(name), hash);
}

/// Sorted by name, the values of one name in their order.
fn headers_in_order(headers: &HeaderMap, counts: impl Fn(&&HeaderName) -> bool, hash: &mut Parts) {
    let mut names: Vec<&HeaderName> = headers.keys().filter(counts).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    hash.count(names.len());
    for name in names {
        hash.part(name.as_str().as_bytes());
        let values = headers.get_all(name);
        hash.count(values.iter().count());
        for value in values {
            hash.part(value.as_bytes());
        }
    }
}

/// Whether an `Accept` takes what the servers give: JSON. Then it asks for nothing else.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut kinds =
        headers.get_all(header::ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    kinds.all(|kind| {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        matches!(kind, b"*/*" | b"application/*") || kind.eq_ignore_ascii_case(b"application/json")
    })
}

fn begins_as_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

/// Escapes of letters that need none are the letters; all others stay, in capitals.
fn unreserved(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let escape =
            rest.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(hex) = escape else {
            out.push('%');
            rest = &rest[at + 1..];
            continue;
        };
        let letter = u8::from_str_radix(hex, 16).map_or('%', char::from);
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_' | '~') {
            out.push(letter);
        } else {
            out.push('%');
            out.push_str(&hex.to_ascii_uppercase());
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    out.into()
}

/// Namespace and path in one: a namespace in the header and the same in the path are the same place. `None` when the
/// header says none, or not clearly.
fn full_path(path: &str, headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(headers::NAMESPACE).iter();
    let namespace = given.next().filter(|_| given.next().is_none())?;
    let namespace = Namespace::new(namespace.to_str().ok()?)?;
    Some(format!("/v1/{}{}", namespace.as_str(), path.strip_prefix("/v1/")?))
}

/// Parts with their lengths, never a plain concatenation; gathered first, because hashing many small pieces
/// costs more than the hash.
struct Parts(Vec<u8>);

impl Parts {
    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&(count as u64).to_le_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Begins a part that is written in place; gives where.
    fn begin(&mut self) -> usize {
        self.count(0);
        self.0.len()
    }

    /// Ends the part that began there.
    fn end(&mut self, began: usize) {
        let length = (self.0.len() - began) as u64;
        if let Some(place) = began.checked_sub(8).and_then(|at| self.0.get_mut(at..began)) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

impl Drop for Parts {
    /// The token and the body's secrets are in it.
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use vault::Token;

    use super::*;

    fn keys() -> Keys {
        Keys::new(&Options::default(), None)
    }

    fn login(body: &str, extra: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Method::POST, "auth/approle/login");
        request.body = body.to_owned().into();
        for (name, value) in extra {
            request.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn what_describes_the_client_does_not_count() {
        let keys = keys();
        let plain = keys.key(&login(r#"{"role_id":"r","secret_id":"s"}"#, &[]));
        let same = [
            login(
                r#"{"role_id":"r","secret_id":"s"}"#,
                &[
                    ("user-agent", "curl"),
                    ("traceparent", "00-a-b-01"),
                    ("accept", "application/json, */*;q=0.5"),
                ],
            ),
            login(
                "{ \"secret_id\": \"s\",\n\"role_id\": \"r\" }",
                &[("accept-encoding", "gzip"), ("x-request-id", "1")],
            ),
            login(
                r#"{"role_id":"r","secret_id":"s"}"#,
                &[("content-type", "application/x-www-form-urlencoded")],
            ),
            Request { method: Method::PUT, ..login(r#"{"role_id":"r","secret_id":"s"}"#, &[]) },
        ];
        for request in same {
            assert_eq!(keys.key(&request), plain, "{request:?}");
        }
    }

    #[test]
    fn what_changes_the_answer_counts() {
        let keys = keys();
        let base = Request::new(Method::GET, "secret/data/app?version=1");
        // Which of two namespaces counts is the server's affair.
        let mut twice = base.clone().namespace(Namespace::new("ns1").as_ref());
        twice.headers.append(headers::NAMESPACE, HeaderValue::from_static("ns2"));
        let differing = [
            Request::new(Method::GET, "secret/data/app?version=2"),
            Request::new(Method::GET, "secret/data/app"),
            Request::new(Method::GET, "secret/data/app/?version=1"),
            Request::new(Method::HEAD, "secret/data/app?version=1"),
            base.clone().token(&Token::new("a").unwrap()),
            base.clone().token(&Token::new("b").unwrap()),
            base.clone().header(header::AUTHORIZATION, "Bearer a"),
            base.clone().header(header::AUTHORIZATION, "Bearer b"),
            base.clone().token(&Token::new("a").unwrap()).header(header::AUTHORIZATION, "Bearer b"),
            base.clone().header(header::ACCEPT, "application/pkix-cert"),
            base.clone().header(header::IF_NONE_MATCH, "\"1\""),
            base.clone().header(header::IF_MODIFIED_SINCE, "Sat, 21 Nov 2026 00:00:00 GMT"),
            base.clone().header(header::RANGE, "bytes=0-1"),
            twice,
            base.clone().namespace(Namespace::new("ns1").as_ref()),
            base.clone().header(HeaderName::from_static("x-vault-unknown"), "1"),
            Request { body: "x".into(), ..base.clone() },
        ];
        let mut seen = vec![keys.key(&base)];
        for request in differing {
            let key = keys.key(&request);
            assert!(!seen.contains(&key), "{request:?}");
            seen.push(key);
        }
    }

    #[test]
    fn spellings_of_one_request_are_one() {
        let keys = keys();
        let pairs = [
            (Request::new(Method::GET, "a?b=1&a=2"), Request::new(Method::GET, "a?a=2&b=1")),
            (
                Request::new(Method::GET, "a?list=true"),
                Request { method: Method::from_bytes(b"LIST").unwrap(), ..Request::new(Method::GET, "a") },
            ),
            (
                Request::new(Method::GET, "a?list=1&b=2"),
                Request {
                    method: Method::from_bytes(b"LIST").unwrap(),
                    ..Request::new(Method::GET, "a?b=2")
                },
            ),
            (Request::new(Method::GET, "%61/b%2fc?d=%7e"), Request::new(Method::GET, "a/b%2Fc?d=~")),
            (
                Request::new(Method::GET, "a").namespace(Namespace::new("n/m").as_ref()),
                Request::new(Method::GET, "n/m/a"),
            ),
        ];
        for (one, other) in pairs {
            assert_eq!(keys.key(&one), keys.key(&other), "{one:?} {other:?}");
        }
        assert_ne!(
            keys.key(&Request::new(Method::GET, "a?b=1&b=2")),
            keys.key(&Request::new(Method::GET, "a?b=2&b=1"))
        );
    }

    /// Bodies that are no JSON are what they are called.
    #[test]
    fn a_form_is_not_the_same_bytes_as_something_else() {
        let keys = keys();
        let plain = login("a=b", &[]);
        let form = login("a=b", &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
        assert_ne!(keys.key(&plain), keys.key(&form));
        let patch =
            |kind: &'static str| Request { method: Method::PATCH, ..login("{}", &[("content-type", kind)]) };
        assert_ne!(
            keys.key(&patch("application/merge-patch+json")),
            keys.key(&patch("application/json-patch+json"))
        );
    }

    #[test]
    fn headers_may_be_named_that_count() {
        let extra = vec![HeaderName::from_static("x-forwarded-for"), header::ACCEPT];
        let keys = Keys::new(&Options { key_extra_headers: extra, ..Options::default() }, None);
        let plain = keys.key(&login("{}", &[]));
        assert_eq!(keys.key(&login("{}", &[("user-agent", "curl")])), plain);
        for header in [("x-forwarded-for", "10.0.0.1"), ("accept", "*/*")] {
            assert_ne!(keys.key(&login("{}", &[header])), plain, "{header:?}");
        }
    }

    /// Each of these made another lease at upstream; so it does here if that is wanted.
    #[test]
    fn strict_keys_are_upstreams() {
        let keys = Keys::new(&Options { strict_keys: true, ..Options::default() }, None);
        let head = |line: &[&str]| {
            let mut request = http::Request::builder().method(line[0]).uri(line[1]);
            for pair in line[2..].chunks(2) {
                request = request.header(pair[0], pair[1]);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            Request { spelling: Some(Box::new(keys.spelling(&head))), ..login("{}", &[]) }
        };
        let base = head(&["GET", "/v1/a?b=1&c=2", "X-A", "1", "X-A", "2", "host", "localhost"]);
        let same = [
            head(&["GET", "/v1/a?b=1&c=2", "host", "localhost", "x-a", "1", "X-a", "2"]),
            head(&[
                "GET",
                "/v1/a?b=1&c=2",
                "host",
                "localhost",
                "x-a",
                "1",
                "X-a",
                "2",
                "X-Vault-Index",
                "i",
            ]),
        ];
        for request in same {
            assert_eq!(keys.key(&request), keys.key(&base));
        }
        let others = [
            head(&["GET", "/v1/a?b=1&c=2", "X-A", "2", "X-A", "1", "host", "localhost"]),
            head(&["GET", "/v1/a?c=2&b=1", "X-A", "1", "X-A", "2", "host", "localhost"]),
            head(&["GET", "/v1/a?b=1&c=2", "X-A", "1", "X-A", "2", "host", "127.0.0.1"]),
            head(&["GET", "/v1/a?b=1&c=2", "X-A", "1", "X-A", "2", "host", "localhost", "traceparent", "00"]),
            head(&["PUT", "/v1/a?b=1&c=2", "X-A", "1", "X-A", "2", "host", "localhost"]),
            Request { body: "{ }".into(), ..base.clone() },
            base.clone().token(&Token::new("s.t").unwrap()),
            login("{}", &[]),
        ];
        for request in others {
            assert_ne!(keys.key(&request), keys.key(&base), "{request:?}");
        }
    }

    #[test]
    fn answers_for_one_reader_are_never_shared() {
        assert!(may_be_cached(&login("{}", &[("x-vault-namespace", "a")])));
        for name in ["x-vault-wrap-ttl", "x-vault-mfa", "x-vault-policy-override", "x-vault-inline-auth-path"]
        {
            assert!(!may_be_cached(&login("{}", &[(name, "1")])), "{name}");
        }
    }

    #[test]
    fn another_process_has_other_keys() {
        let request = login("{}", &[]);
        assert_ne!(keys().key(&request), keys().key(&request));
    }
}

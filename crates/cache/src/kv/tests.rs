//! The door with static secrets before a fake KV server, under paused time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::{advance, sleep};
use tokio_util::sync::CancellationToken;
use vault::{Body, BoxFuture, Response, headers};

use super::*;
use crate::cache::Mode;

#[derive(Clone)]
struct FakeToken {
    /// Paths it may read.
    may: BTreeSet<String>,
    look: Value,
}

/// A KV version 2 mount `secret/`, a version 1 mount `kv/`, and tokens.
#[derive(Default)]
struct World {
    versions: BTreeMap<String, Vec<Value>>,
    tokens: BTreeMap<String, FakeToken>,
    asked: Vec<String>,
    /// Answer everything with this.
    failing: Option<u16>,
    /// Answer reads as if versions above this had not been made.
    behind: Option<usize>,
    plain: BTreeMap<String, u64>,
}

#[derive(Default)]
struct FakeServer {
    world: Mutex<World>,
    delay: Mutex<Duration>,
}

impl FakeServer {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn write(&self, path: &str, value: u64) {
        let mut world = self.world();
        let all = world.versions.entry(path.to_owned()).or_default();
        all.push(json!({"n": value}));
    }

    fn token(&self, token: &str, may: &[&str]) {
        let look = json!({"ttl": 3600, "expire_time": "2030", "num_uses": 0, "type": "service", "orphan": true, "accessor": format!("a.{token}")});
        let may = may.iter().map(|path| (*path).to_owned()).collect();
        self.world().tokens.insert(token.to_owned(), FakeToken { may, look });
    }

    fn allow(&self, token: &str, may: &[&str]) {
        self.world().tokens.get_mut(token).unwrap().may = may.iter().map(|path| (*path).to_owned()).collect();
    }

    fn look(&self, token: &str, name: &str, value: Value) {
        self.world().tokens.get_mut(token).unwrap().look[name] = value;
    }

    /// How often something was asked, `GET secret/data/a`.
    fn count(&self, what: &str) -> usize {
        self.world().asked.iter().filter(|asked| *asked == what).count()
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let mut world = self.world();
        let path = request.path().trim_start_matches("/v1/").to_owned();
        world.asked.push(format!("{} {path}", request.method));
        if let Some(status) = world.failing {
            return (status, json!({"errors": ["failing"]}));
        }
        let no = (403, json!({"errors": ["permission denied"]}));
        let Some(token) = request.token_sent().and_then(|token| world.tokens.get(token)).cloned() else {
            return no;
        };
        if path == "auth/token/lookup-self" {
            return (200, json!({"data": token.look}));
        }
        if let Some(path) = path.strip_prefix("sys/internal/ui/mounts/") {
            return match path.split('/').next() {
                Some("secret") => {
                    (200, json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}))
                }
                Some("kv") => (200, json!({"data": {"path": "kv/", "type": "kv", "options": null}})),
                _ => (200, json!({"data": {"path": "pki/", "type": "pki"}})),
            };
        }
        if path == "sys/capabilities-self" {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let listed = body["paths"].as_array().unwrap().iter().map(|path| {
                let path = path.as_str().unwrap();
                let may = if token.may.contains(path) { "read" } else { "deny" };
                (path.to_owned(), json!([may]))
            });
            return (200, json!({"data": listed.collect::<serde_json::Map<_, _>>()}));
        }
        if !request.is_safe() {
            if let (Some(rest), "POST") = (path.strip_prefix("secret/data/"), request.method.as_str()) {
                let all = world.versions.entry(rest.to_owned()).or_default();
                all.push(json!({"n": "written"}));
                let version = all.len();
                return (
                    200,
                    json!({"data": {"version": version, "created_time": time(version), "deletion_time": "", "destroyed": false}}),
                );
            }
            return (204, Value::Null);
        }
        if let Some(rest) = path.strip_prefix("secret/metadata/") {
            let all = world.versions.get(rest).cloned().unwrap_or_default();
            let shown = world.behind.unwrap_or(all.len()).min(all.len());
            let versions: serde_json::Map<_, _> = (1..=shown)
                .map(|n| {
                    (n.to_string(), json!({"created_time": time(n), "deletion_time": "", "destroyed": false}))
                })
                .collect();
            return (200, json!({"data": {"current_version": shown, "versions": versions}}));
        }
        if !token.may.contains(&path) {
            return no;
        }
        if let Some(ttl) = world.plain.get(&path) {
            return (200, json!({"lease_id": "", "lease_duration": ttl, "data": {"a": "1"}}));
        }
        let Some(rest) = path.strip_prefix("secret/data/") else { return (200, json!({"data": {"a": 1}})) };
        let all = world.versions.get(rest).cloned().unwrap_or_default();
        let newest = world.behind.unwrap_or(all.len()).min(all.len());
        let wanted = request.target.split_once("version=").map_or(newest, |(_, n)| n.parse().unwrap());
        match all.get(wanted.wrapping_sub(1)) {
            Some(data) => (
                200,
                json!({"lease_id": "", "data": {"data": data, "metadata": {"version": wanted, "created_time": time(wanted), "deletion_time": "", "destroyed": false}}}),
            ),
            None => (404, json!({"errors": []})),
        }
    }
}

fn time(version: usize) -> String {
    format!("2026-01-01T00:00:{version:02}Z")
}

impl Upstream for FakeServer {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move {
            let (status, body) = self.answer(&request);
            let delay = *self.delay.lock().unwrap();
            sleep(delay).await;
            let mut headers = http::HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            let body = if status == 204 { Body::empty() } else { Body::full(body.to_string()) };
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
        })
    }
}

struct Door {
    server: Arc<FakeServer>,
    cache: Cache,
}

fn settings() -> StaticSecrets {
    StaticSecrets {
        paths: vec!["secret/*".to_owned(), "kv/*".to_owned(), "pki/*".to_owned()],
        ttl: Duration::from_secs(30),
        stale_if_error: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        revalidate: Revalidate::None,
        capability_ttl: Duration::from_secs(10),
        optimistic: true,
        max_entries: 100,
        max_bytes: 1 << 20,
        max_entry_bytes: 1 << 16,
        kv_version: KvVersion::Auto,
        events: false,
    }
}

fn door(settings: &StaticSecrets) -> Door {
    let server = Arc::new(FakeServer::default());
    let upstream: Arc<dyn Upstream> = Arc::clone(&server) as _;
    let (cache, keep_alive) =
        Cache::new(Mode::Remember, upstream, Caller::default(), CancellationToken::new());
    tokio::spawn(keep_alive);
    tokio::spawn(cache.keep_static_secrets(settings, Caller::default(), CancellationToken::new()));
    server.write("a", 1);
    server.token("s.a", &["secret/data/a"]);
    server.token("s.b", &["secret/data/a"]);
    server.token("s.none", &[]);
    Door { server, cache }
}

fn get(token: &str, path: &str) -> Request {
    Request::new(Method::GET, path).token(&Token::new(token).unwrap())
}

fn post(token: &str, path: &str) -> Request {
    Request::new(Method::POST, path).token(&Token::new(token).unwrap()).json(&json!({}))
}

const A: &str = "secret/data/a";
const READ_A: &str = "GET secret/data/a";

impl Door {
    /// The word of `X-Cache`, the status, and the data.
    async fn ask(&self, request: Request) -> (&'static str, u16, Value) {
        let answer = self.cache.send(request).await.unwrap();
        let body = answer.response.body.collect(1 << 20, Duration::from_secs(60)).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        // What is asked besides is asked now.
        sleep(Duration::from_millis(1)).await;
        (answer.origin.word(), answer.response.status.as_u16(), body["data"]["data"]["n"].clone())
    }

    async fn word(&self, token: &str, path: &str) -> &'static str {
        self.ask(get(token, path)).await.0
    }

    async fn status(&self, token: &str, path: &str) -> u16 {
        self.ask(get(token, path)).await.1
    }
}

async fn seconds(seconds: u64) {
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn condition_1_only_what_this_very_token_has_read() {
    let door = door(&settings());
    assert_eq!((door.word("s.a", A).await, door.word("s.a", A).await), ("MISS", "HIT"));
    // Another token reads for itself once, whatever its policies are.
    assert_eq!((door.word("s.b", A).await, door.word("s.b", A).await), ("MISS", "HIT"));
    assert_eq!(door.server.count(READ_A), 2);
    // One without the right is refused by the server, every time.
    for asked in 3..6 {
        assert_eq!(door.status("s.none", A).await, 403);
        assert_eq!(door.server.count(READ_A), asked);
    }
    // Another version is another grant.
    assert_eq!(door.word("s.a", "secret/data/a?version=1").await, "MISS");
    assert_eq!(door.word("s.a", "secret/data/a?version=1").await, "HIT");
    assert_eq!(door.word("s.a", "secret/data/a?version=0").await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn condition_1_a_right_that_was_taken_away_ends_within_capability_ttl() {
    let door = door(&settings());
    door.word("s.a", A).await;
    door.server.allow("s.a", &[]);
    let mut served = 0;
    while door.status("s.a", A).await == 200 {
        seconds(1).await;
        served += 1;
        assert!(served <= 10, "longer than capability_ttl");
    }
    // In use it is kept by asking for capabilities, without reading.
    door.server.allow("s.a", &[A]);
    door.word("s.a", A).await;
    let before = door.server.count(READ_A);
    for _ in 0..18 {
        seconds(1).await;
        assert_eq!(door.word("s.a", A).await, "HIT");
    }
    assert_eq!(door.server.count(READ_A), before);
    assert!(door.server.count("POST sys/capabilities-self") >= 2);
}

#[tokio::test(start_paused = true)]
async fn condition_1_an_unused_grant_is_not_renewed() {
    let door = door(&settings());
    door.word("s.a", A).await;
    seconds(11).await;
    assert_eq!(door.server.count("POST sys/capabilities-self"), 0);
    assert_eq!(door.word("s.a", A).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn condition_2_the_token_lives_and_has_no_bounds() {
    let door = door(&settings());
    door.server.look("s.a", "ttl", json!(5));
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    seconds(5).await;
    assert_eq!(door.word("s.a", A).await, "MISS");
    for (name, value) in
        [("num_uses", json!(5)), ("type", json!("batch")), ("bound_cidrs", json!(["127.0.0.1/32"]))]
    {
        door.server.token("s.bound", &[A]);
        door.server.look("s.bound", name, value);
        for _ in 0..3 {
            assert_eq!(door.word("s.bound", A).await, "MISS", "{name}");
        }
        door.cache.clear(&Clear::Token("s.bound".to_owned()));
    }
    // A token whose end we cannot learn is not served from memory.
    door.server.look("s.b", "ttl", Value::Null);
    for _ in 0..3 {
        assert_eq!(door.word("s.b", A).await, "MISS");
    }
}

#[tokio::test(start_paused = true)]
async fn condition_4_unknown_tokens_are_always_the_servers_to_refuse() {
    let door = door(&StaticSecrets { negative_ttl: Duration::from_secs(5), ..settings() });
    door.word("s.a", A).await;
    for asked in 2..5 {
        assert_eq!(door.status("s.unknown", A).await, 403);
        assert_eq!(door.server.count(READ_A), asked);
    }
    assert_eq!(door.cache.send(Request::new(Method::GET, A)).await.unwrap().response.status, 403);
    assert_eq!(door.server.count(READ_A), 5);
}

#[tokio::test(start_paused = true)]
async fn condition_5_refusals_and_absences_and_writes_take_effect_at_once() {
    let door = door(&settings());
    // A 403 on a read that went to the server.
    door.word("s.a", A).await;
    door.server.allow("s.a", &[]);
    assert_eq!(door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, "no-cache")).await.1, 403);
    door.server.allow("s.a", &[A]);
    assert_eq!(door.word("s.a", A).await, "MISS");
    // A 404 takes the body away from everybody.
    door.word("s.b", A).await;
    let versions = door.server.world().versions.remove("a").unwrap();
    assert_eq!(door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, "no-cache")).await.1, 404);
    assert_eq!(door.status("s.b", A).await, 404);
    door.server.world().versions.insert("a".to_owned(), versions);
    // Every way to change a secret, with any token.
    for (method, path) in [
        ("POST", "secret/data/a"),
        ("PATCH", "secret/data/a"),
        ("DELETE", "secret/data/a"),
        ("POST", "secret/delete/a"),
        ("POST", "secret/undelete/a"),
        ("PUT", "secret/destroy/a"),
        ("DELETE", "secret/metadata/a"),
        ("POST", "sys/mounts/secret/tune"),
    ] {
        door.word("s.a", A).await;
        door.word("s.a", A).await;
        assert_eq!(door.word("s.a", A).await, "HIT", "{method} {path}");
        let method_value = Method::from_bytes(method.as_bytes()).unwrap();
        door.ask(Request { method: method_value, ..post("s.b", path) }).await;
        assert_eq!(door.word("s.a", A).await, "MISS", "{method} {path}");
    }
    // One that was refused changes nothing; one that failed may have.
    door.word("s.a", A).await;
    assert_eq!(door.ask(post("s.unknown", A)).await.1, 403);
    assert_eq!(door.word("s.a", A).await, "HIT");
    door.server.world().failing = Some(500);
    door.ask(post("s.b", A)).await;
    door.server.world().failing = None;
    assert_eq!(door.word("s.a", A).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn condition_5_a_read_that_a_write_overtakes_is_not_kept() {
    let door = door(&settings());
    door.word("s.a", A).await;
    for path in [A, "secret/destroy/a"] {
        door.ask(post("s.b", "secret/delete/a")).await;
        *door.server.delay.lock().unwrap() = Duration::from_secs(2);
        let write = async {
            sleep(Duration::from_secs(1)).await;
            *door.server.delay.lock().unwrap() = Duration::ZERO;
            door.ask(post("s.b", path)).await;
            // One that comes after the write does not join the read from before.
            door.ask(get("s.b", A)).await
        };
        let (old, new) = tokio::join!(door.ask(get("s.a", A)), write);
        assert_eq!(new.0, "MISS");
        let newest = door.ask(get("s.b", A)).await;
        assert_eq!((newest.0, &newest.2), ("HIT", &new.2), "{path}: {old:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn condition_5_a_client_that_leaves_its_write_behind() {
    let door = door(&settings());
    door.word("s.a", A).await;
    *door.server.delay.lock().unwrap() = Duration::from_secs(2);
    let left = tokio::time::timeout(Duration::from_secs(1), door.ask(post("s.b", A))).await;
    assert!(left.is_err());
    *door.server.delay.lock().unwrap() = Duration::ZERO;
    seconds(2).await;
    assert_eq!(door.ask(get("s.a", A)).await.2, "written");
}

#[tokio::test(start_paused = true)]
async fn condition_6_revocations_and_changes_of_permission_take_grants_away() {
    let door = door(&settings());
    let ready = async || {
        for token in ["s.a", "s.b"] {
            door.word(token, A).await;
            door.word(token, A).await;
            assert_eq!(door.word(token, A).await, "HIT");
        }
    };
    let own = |path: &str, body: Value| (path.to_owned(), body);
    for ((path, body), others) in [
        (own("auth/token/revoke-self", json!({})), "HIT"),
        (own("auth/token/revoke", json!({"token": "s.a"})), "HIT"),
        (own("auth/token/revoke-orphan", json!({"token": "s.a"})), "HIT"),
        (own("auth/token/revoke-accessor", json!({"accessor": "a.s.a"})), "HIT"),
        (own("sys/leases/revoke", json!({"lease_id": "auth/approle/login/1"})), "MISS"),
        (own("sys/leases/revoke-prefix/auth/approle", json!({})), "MISS"),
        (own("sys/policies/acl/app", json!({})), "MISS"),
        (own("identity/entity/id/1", json!({})), "MISS"),
        (own("auth/approle/role/app", json!({})), "MISS"),
        (own("sys/mounts/secret/tune", json!({})), "MISS"),
    ] {
        ready().await;
        door.ask(Request { method: Method::PUT, ..post("s.a", &path).json(&body) }).await;
        assert_eq!(door.word("s.a", A).await, "MISS", "{path}");
        assert_eq!(door.word("s.b", A).await, others, "{path}");
    }
    // A login, and what only reads, takes nothing away.
    ready().await;
    door.ask(post("s.a", "auth/approle/login")).await;
    assert_eq!(door.word("s.b", A).await, "HIT");
    // A child may have died with its parent.
    door.server.look("s.b", "orphan", json!(false));
    door.cache.clear(&Clear::All);
    ready().await;
    door.ask(post("s.a", "auth/token/revoke-self")).await;
    assert_eq!(door.word("s.b", A).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn condition_6_a_token_that_died_elsewhere_is_noticed_by_its_first_refusal() {
    let door = door(&settings());
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    seconds(6).await;
    door.server.world().tokens.remove("s.a");
    assert_eq!(door.status("s.a", "secret/data/other").await, 403);
    assert_eq!(door.status("s.a", A).await, 403);
}

#[tokio::test(start_paused = true)]
async fn condition_7_stale_answers_have_their_bounds() {
    let kept = StaticSecrets { stale_if_error: Duration::from_secs(60), ..settings() };
    for failing in [500, 503, 429] {
        let door = door(&kept);
        door.word("s.a", A).await;
        // In use, so that the permission is young when the server fails.
        for _ in 0..18 {
            seconds(1).await;
            door.word("s.a", A).await;
        }
        door.server.world().failing = Some(failing);
        let (mut stale, mut last) = (0, "");
        for _ in 0..90 {
            seconds(1).await;
            let answer = door.cache.send(get("s.a", A)).await.unwrap();
            last = answer.origin.word();
            if last == "STALE" {
                stale += 1;
                assert_eq!(answer.response.headers["warning"], "110 - \"Response is Stale\"");
                assert!(answer.origin.age().unwrap() >= Duration::from_secs(8));
            }
            // No other token is given it.
            assert_eq!(door.status("s.b", A).await, failing);
        }
        // No longer than ttl and capability_ttl after the last time that the permission was seen.
        assert!((10..=40).contains(&stale), "{stale}");
        assert_eq!(last, "MISS");
    }
    // Never for a refusal, and not unless asked for.
    for (status, stale_if_error) in [(403, 60), (400, 60), (500, 0)] {
        let door = door(&StaticSecrets { stale_if_error: Duration::from_secs(stale_if_error), ..settings() });
        door.word("s.a", A).await;
        seconds(11).await;
        door.server.world().failing = Some(status);
        assert_eq!(door.status("s.a", A).await, status);
    }
    // Never past the token's end.
    let door = door(&kept);
    door.server.look("s.a", "ttl", json!(20));
    door.word("s.a", A).await;
    seconds(15).await;
    door.server.world().failing = Some(500);
    assert_eq!(door.word("s.a", A).await, "STALE");
    seconds(5).await;
    assert_eq!(door.status("s.a", A).await, 500);
}

#[tokio::test(start_paused = true)]
async fn condition_8_bodies_are_wiped_when_they_go_and_are_never_shown() {
    let text = super::bodies::Wiped::new(b"canary");
    let bytes = text.bytes();
    assert_eq!(&bytes[..], b"canary");
    // One memory, wiped by its owner: a copy would be left behind.
    assert_eq!(bytes.as_ptr(), text.as_ref().as_ptr());
    drop(text);
    assert_eq!(&bytes[..], b"canary");
    let door = door(&StaticSecrets { max_entries: 1, ..settings() });
    door.server.token("s.a", &[A, "secret/data/b"]);
    door.server.write("b", 2);
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    door.word("s.a", "secret/data/b").await;
    assert_eq!(door.cache.numbers().static_secrets.entries, 1);
    assert_eq!(door.word("s.a", A).await, "MISS");
    // Nothing is left when nobody asks any more.
    seconds(120).await;
    let left = door.cache.numbers().static_secrets;
    assert_eq!((left.entries, left.bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn bounds_of_bytes_hold() {
    let door = door(&StaticSecrets { max_entry_bytes: 10, ..settings() });
    door.word("s.a", A).await;
    assert_eq!((door.word("s.a", A).await, door.cache.numbers().static_secrets.entries), ("MISS", 0));
    let door = self::door(&StaticSecrets { max_bytes: 400, ..settings() });
    let paths: Vec<String> = (0..20).map(|n| format!("secret/data/p{n}")).collect();
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    door.server.token("s.a", &all);
    for (n, path) in paths.iter().enumerate() {
        door.server.write(path.trim_start_matches("secret/data/"), n as u64);
        door.word("s.a", path).await;
        door.word("s.a", path).await;
        let held = door.cache.numbers().static_secrets;
        assert!(held.bytes <= 400 && held.entries >= 1, "{held:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_equal_reads_are_one_and_a_thousand_tokens_read_once_each() {
    for kept in [None, Some(settings())] {
        let server = Arc::new(FakeServer::default());
        *server.delay.lock().unwrap() = Duration::from_millis(100);
        let upstream: Arc<dyn Upstream> = Arc::clone(&server) as _;
        let (cache, keep_alive) =
            Cache::new(Mode::Remember, upstream, Caller::default(), CancellationToken::new());
        tokio::spawn(keep_alive);
        if let Some(kept) = &kept {
            tokio::spawn(cache.keep_static_secrets(kept, Caller::default(), CancellationToken::new()));
        }
        let door = Door { server, cache };
        door.server.write("a", 1);
        door.server.token("s.a", &[A]);
        let answers = futures_util::future::join_all((0..1000).map(|_| door.ask(get("s.a", A)))).await;
        assert!(answers.iter().all(|answer| answer.1 == 200 && answer.2 == 1));
        assert_eq!(door.server.count(READ_A), 1);
        if kept.is_none() {
            continue;
        }
        let tokens: Vec<String> = (0..1000).map(|n| format!("s.{n}")).collect();
        for token in &tokens {
            door.server.token(token, &[A]);
        }
        for round in ["MISS", "HIT"] {
            let asking = tokens.iter().map(|token| door.ask(get(token, A)));
            let answers = futures_util::future::join_all(asking).await;
            assert!(answers.iter().all(|answer| answer.0 == round), "{round}");
            assert_eq!(door.server.count(READ_A), 1001);
            // Until all those tokens are known, and within the permission's time.
            *door.server.delay.lock().unwrap() = Duration::ZERO;
            seconds(3).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn versions_never_go_backwards() {
    for revalidate in [Revalidate::None, Revalidate::Metadata] {
        let door = door(&StaticSecrets { ttl: Duration::from_secs(10), revalidate, ..settings() });
        door.server.write("a", 2);
        assert_eq!(door.ask(get("s.a", A)).await.2, 2);
        // A standby that has not heard of it answers.
        door.server.world().behind = Some(1);
        assert_eq!(door.ask(get("s.b", A)).await.2, 2, "{revalidate:?}");
        for _ in 0..12 {
            seconds(1).await;
            assert_eq!(door.ask(get("s.a", A)).await.2, 2, "{revalidate:?}");
        }
        // Not for ever: the server may have been restored from a copy.
        seconds(30).await;
        assert_eq!(door.ask(get("s.a", A)).await.2, 1);
    }
    // After a write through here, a read from a standby that is behind is handed on and not kept.
    let door = door(&settings());
    door.ask(post("s.a", A)).await;
    door.server.world().behind = Some(1);
    assert_eq!(door.ask(get("s.a", A)).await.2, 1);
    door.server.world().behind = None;
    assert_eq!(door.ask(get("s.a", A)).await.2, "written");
    assert_eq!(door.word("s.a", A).await, "MISS");
    assert_eq!(door.word("s.a", A).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn metadata_and_full_reads_confirm_what_is_kept() {
    let kept = StaticSecrets { revalidate: Revalidate::Metadata, ttl: Duration::from_secs(10), ..settings() };
    let door = door(&kept);
    door.word("s.a", A).await;
    seconds(6).await;
    // The permission is younger than the body.
    door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, "no-cache")).await;
    seconds(5).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    let reads = door.server.count(READ_A);
    let full = self::door(&StaticSecrets { revalidate: Revalidate::Full, ..kept });
    full.word("s.a", A).await;
    seconds(11).await;
    assert_eq!(full.word("s.a", A).await, "REVALIDATED");
    full.server.write("a", 2);
    seconds(11).await;
    assert_eq!(full.word("s.a", A).await, "MISS");
    assert_eq!(full.cache.numbers().static_secrets.revalidated, 1);
    assert_eq!(door.server.count(READ_A), reads);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_is_read_again_ahead_of_time() {
    for (revalidate, asked) in [(Revalidate::None, READ_A), (Revalidate::Metadata, "GET secret/metadata/a")] {
        let door = door(&StaticSecrets { revalidate, ..settings() });
        door.word("s.a", A).await;
        let before = door.server.count(asked);
        for _ in 0..120 {
            seconds(1).await;
            assert_eq!(door.word("s.a", A).await, "HIT", "{revalidate:?}");
        }
        let refreshed = door.server.count(asked) - before;
        assert!((3..=6).contains(&refreshed), "{revalidate:?} {refreshed}");
        // A change made elsewhere is seen within ttl.
        door.server.write("a", 7);
        seconds(30).await;
        assert_eq!(door.ask(get("s.a", A)).await.2, 7, "{revalidate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn absences_are_kept_only_when_asked_for_and_for_one_token() {
    let door = door(&settings());
    let path = "secret/data/none";
    let asked = "GET secret/data/none";
    for token in ["s.a", "s.b"] {
        door.server.allow(token, &[A, path]);
        door.word(token, A).await;
    }
    for _ in 0..2 {
        assert_eq!(door.status("s.a", path).await, 404);
    }
    assert_eq!(door.server.count(asked), 2);
    let door = self::door(&StaticSecrets { negative_ttl: Duration::from_secs(5), ..settings() });
    for token in ["s.a", "s.b"] {
        door.server.allow(token, &[A, path]);
        door.word(token, A).await;
    }
    for _ in 0..3 {
        assert_eq!(door.status("s.a", path).await, 404);
    }
    assert_eq!(door.server.count(asked), 1);
    assert_eq!(door.status("s.b", path).await, 404);
    assert_eq!(door.server.count(asked), 2);
    // Made through here, it is there at once.
    door.ask(post("s.b", path)).await;
    assert_eq!(door.status("s.a", path).await, 200);
    // And its time is short.
    door.server.world().versions.remove("none");
    seconds(31).await;
    door.word("s.a", A).await;
    assert_eq!(door.status("s.a", path).await, 404);
    seconds(5).await;
    door.server.write("none", 1);
    assert_eq!(door.status("s.a", path).await, 200);
}

#[tokio::test(start_paused = true)]
async fn kv_version_1_is_kept_as_long_as_the_server_says_and_other_engines_are_not() {
    let door = door(&settings());
    door.server.world().plain.insert("kv/a".to_owned(), 5);
    door.server.token("s.a", &["kv/a", "pki/a"]);
    door.word("s.a", "kv/a").await;
    assert_eq!(door.word("s.a", "kv/a").await, "HIT");
    door.ask(post("s.a", "kv/a")).await;
    assert_eq!(door.word("s.a", "kv/a").await, "MISS");
    assert_eq!(door.word("s.a", "kv/a").await, "HIT");
    seconds(5).await;
    assert_eq!(door.word("s.a", "kv/a").await, "MISS");
    for _ in 0..3 {
        assert_eq!(door.word("s.a", "pki/a").await, "MISS");
    }
    assert_eq!(door.server.count("GET sys/internal/ui/mounts/pki/a"), 1);
    let fixed = self::door(&StaticSecrets { kv_version: KvVersion::Two, ..settings() });
    fixed.word("s.a", A).await;
    assert_eq!(fixed.word("s.a", A).await, "HIT");
    assert_eq!(fixed.server.world().asked.iter().filter(|asked| asked.contains("internal")).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn clearing_forgets_secrets_too() {
    let door = door(&settings());
    for clear in [
        Clear::All,
        Clear::Token("s.a".to_owned()),
        Clear::TokenAccessor("a.s.a".to_owned()),
        Clear::RequestPath { path: "/v1/secret/da".to_owned(), namespace: "root/".to_owned() },
    ] {
        door.word("s.a", A).await;
        door.word("s.a", A).await;
        assert_eq!(door.word("s.a", A).await, "HIT");
        door.cache.clear(&clear);
        assert_eq!(door.word("s.a", A).await, "MISS", "{clear:?}");
    }
    // Wishes of the client.
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    for wish in ["no-cache", "no-store"] {
        assert_eq!(door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, wish)).await.0, "MISS");
    }
    let wrapped = get("s.a", A).header(headers::WRAP_TTL, "60");
    assert_eq!(door.ask(wrapped).await.0, "MISS");
}

/// A server of Vault Enterprise, as far as it tells of changes.
async fn telling()
-> (std::net::SocketAddr, tokio::sync::mpsc::Sender<Vec<u8>>, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut frames) = tokio::sync::mpsc::channel::<Vec<u8>>(8);
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        while let Some(frame) = frames.recv().await {
            stream.write_all(&frame).await.unwrap();
        }
        String::from_utf8(head).unwrap()
    });
    (address, sender, task)
}

/// Subscribes at one server; everything else is the fake's.
struct Both {
    fake: Arc<FakeServer>,
    telling: vault::Client,
}

impl Upstream for Both {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        if request.upgrade { self.telling.send(request) } else { self.fake.send(request) }
    }
}

#[tokio::test]
async fn changes_that_the_server_tells_of_are_heeded_at_once() {
    let (address, frames, task) = telling().await;
    let fake = Arc::new(FakeServer::default());
    fake.write("a", 1);
    fake.token("s.a", &[A]);
    let client = vault::ClientSettings::new(format!("http://{address}").parse().unwrap());
    let both = Both { fake: Arc::clone(&fake), telling: vault::Client::new(&client).unwrap() };
    let (cache, keep_alive) =
        Cache::new(Mode::Remember, Arc::new(both), Caller::default(), CancellationToken::new());
    tokio::spawn(keep_alive);
    cache.set_own_token(0, Arc::new(Token::new("s.own").unwrap()));
    let kept = StaticSecrets { events: true, ..settings() };
    tokio::spawn(cache.keep_static_secrets(&kept, Caller::default(), CancellationToken::new()));
    let door = Door { server: fake, cache };
    let until = async |word: &str| {
        for _ in 0..500 {
            if door.word("s.a", A).await == word {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        unreachable!("{word} never came");
    };
    // The subscription first: what came before it is forgotten.
    frames.send(b"\x89\x00".to_vec()).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    until("HIT").await;
    door.server.write("a", 2);
    let event = json!({"data": {"namespace": "", "event": {"metadata": {"path": "secret/data/a", "modified": "true"}}}});
    let event = event.to_string();
    let mut frame = vec![0x81, 126, 0, u8::try_from(event.len()).unwrap()];
    frame.extend_from_slice(event.as_bytes());
    frames.send(frame).await.unwrap();
    until("MISS").await;
    assert_eq!(door.ask(get("s.a", A)).await.2, 2);
    drop(frames);
    let head = task.await.unwrap();
    assert!(
        head.starts_with("GET /v1/sys/events/subscribe/kv*?json=true&namespaces=* HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.to_lowercase().contains("x-vault-token: s.own"), "{head}");
}

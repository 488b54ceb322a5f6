//! The door with static secrets before a fake KV server, under paused time.

mod answers;
mod changes;
mod conditions;
mod model;
mod restart;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::{advance, sleep};
use tokio_util::sync::CancellationToken;
use vault::{Body, BoxFuture, Response, headers};

use super::*;
use crate::Options;
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
    /// Nothing reaches it.
    unreachable: bool,
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
            if self.world().unreachable {
                let (method, address, reason) = (request.method, request.target, "refused".to_owned());
                return Err(SendError::Unreachable { method, address, reason });
            }
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

pub(super) fn settings() -> StaticSecrets {
    StaticSecrets {
        paths: vec!["secret/*".to_owned(), "kv/*".to_owned(), "pki/*".to_owned()],
        ttl: Duration::from_secs(30),
        stale_if_error: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        revalidate: Revalidate::None,
        capability_ttl: Duration::from_secs(10),
        capability_stale_if_error: Duration::ZERO,
        optimistic: true,
        max_entries: 100,
        max_bytes: 1 << 20,
        max_entry_bytes: 1 << 16,
        kv_version: KvVersion::Auto,
        events: false,
    }
}

fn door(settings: &StaticSecrets) -> Door {
    door_with(settings, Options::default())
}

fn door_with(settings: &StaticSecrets, options: Options) -> Door {
    let server = Arc::new(FakeServer::default());
    let upstream: Arc<dyn Upstream> = Arc::clone(&server) as _;
    let (cache, keep_alive) = Cache::with_options(
        Mode::Remember,
        options,
        None,
        upstream,
        Caller::default(),
        CancellationToken::new(),
    );
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

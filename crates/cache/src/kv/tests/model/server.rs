//! A server of secrets that remembers all that happened, and when.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;

use fastrand::Rng;
use vault::Sent;

use super::{NUMBER, ROOT};
use crate::kv::tests::*;

/// A number, and when it happened.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) at: Instant,
    /// There is a secret, a right or a life from then on.
    pub(super) there: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    Unreachable,
    Broken,
    Status(u16),
}

#[derive(Default)]
pub(super) struct World {
    pub(super) secrets: HashMap<String, Vec<Change>>,
    pub(super) rights: HashMap<(String, String), Vec<Change>>,
    pub(super) lives: HashMap<String, Vec<Change>>,
    pub(super) ends: HashMap<String, Instant>,
    pub(super) count: u64,
    pub(super) fault: Option<Fault>,
    /// When the last one passed.
    pub(super) faulty_until: Option<Instant>,
    /// What was read in this run, and by whom.
    pub(super) read: HashSet<(String, String)>,
}

impl World {
    pub(super) fn change(&mut self, at: Instant, there: bool) -> Change {
        self.count += 1;
        Change { number: self.count, at, there }
    }

    pub(super) fn lives(&self, token: &str, now: Instant) -> bool {
        token == ROOT || (is(self.lives.get(token)) && self.ends.get(token).is_some_and(|end| *end > now))
    }
}

/// Whether it is there now.
pub(super) fn is(changes: Option<&Vec<Change>>) -> bool {
    changes.and_then(|changes| changes.last()).is_some_and(|last| last.there)
}

/// Whether something was there at `from`, or came later.
pub(super) fn was_there(changes: &[Change], from: Instant) -> bool {
    let before = changes.iter().rfind(|change| change.at <= from);
    before.is_some_and(|change| change.there) || changes.iter().any(|change| change.at > from && change.there)
}

pub(super) struct Model {
    pub(super) world: Mutex<World>,
    pub(super) slept: Arc<AtomicU64>,
    pub(super) rng: Mutex<Rng>,
}

impl Model {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) fn now(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.slept.load(Relaxed))
    }

    pub(super) fn random(&self, below: u64) -> u64 {
        self.rng.lock().unwrap().u64(..below)
    }

    pub(super) fn write(&self, path: &str, there: bool) -> u64 {
        let mut world = self.world();
        let change = world.change(self.now(), there);
        world.secrets.entry(path.to_owned()).or_default().push(change);
        change.number
    }

    pub(super) fn allow(&self, token: &str, path: &str, may: bool) -> u64 {
        let mut world = self.world();
        let change = world.change(self.now(), may);
        world.rights.entry((token.to_owned(), path.to_owned())).or_default().push(change);
        change.number
    }

    pub(super) fn kill(&self, token: &str) -> u64 {
        let mut world = self.world();
        let change = world.change(self.now(), false);
        world.lives.entry(token.to_owned()).or_default().push(change);
        change.number
    }

    /// A token with some rights.
    pub(super) fn make(&self) -> String {
        let mut world = self.world();
        let change = world.change(self.now(), true);
        let token = format!("s.{}", change.number);
        world.ends.insert(token.clone(), self.now() + Duration::from_secs(20 + self.random(2000)));
        world.lives.insert(token.clone(), vec![change]);
        drop(world);
        for path in 0..2 {
            self.allow(&token, &format!("secret/data/{path}"), self.random(8) > 0);
        }
        token
    }

    pub(super) fn answer(&self, request: &Request) -> (u16, Value, Option<u64>) {
        let path = request.path().trim_start_matches("/v1/").to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let token = request.token_sent().unwrap_or_default().to_owned();
        let now = self.now();
        let no = (403, json!({"errors": ["permission denied"]}), None);
        if !self.world().lives(&token, now) {
            return no;
        }
        let right =
            |path: &str| token == ROOT || is(self.world().rights.get(&(token.clone(), path.to_owned())));
        if path.starts_with("sys/internal/ui/mounts/") {
            return (
                200,
                json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}),
                None,
            );
        }
        match path.as_str() {
            "auth/token/lookup-self" => {
                let end = self.world().ends.get(&token).copied();
                let ttl = end.map_or(0, |end| (end - now).as_secs());
                return (
                    200,
                    json!({"data": {"ttl": ttl, "expire_time": end.map(|_| "2030"), "num_uses": 0,
                        "type": "service", "orphan": true, "accessor": format!("a.{token}")}}),
                    None,
                );
            }
            "sys/capabilities-self" => {
                let paths = body["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
                let listed =
                    paths.map(|path| (path.to_owned(), json!([if right(path) { "read" } else { "deny" }])));
                return (200, json!({"data": listed.collect::<serde_json::Map<_, _>>()}), None);
            }
            "auth/token/revoke" => {
                return (204, Value::Null, Some(self.kill(&text("token"))));
            }
            "sys/policies/acl/app" => {
                let number = self.allow(&text("token"), &text("path"), body["may"] == true);
                return (204, Value::Null, Some(number));
            }
            _ => {}
        }
        let secret = path.replace("/metadata/", "/data/");
        match request.method.as_str() {
            "POST" => {
                let number = self.write(&secret, true);
                (200, json!({"data": {"version": number, "created_time": time(number)}}), Some(number))
            }
            "DELETE" => (204, Value::Null, Some(self.write(&secret, false))),
            _ if !right(&secret) => no,
            _ => {
                let last = self.world().secrets.get(&secret).and_then(|all| all.last()).copied();
                let Some(Change { number, .. }) = last.filter(|last| last.there) else {
                    return (404, json!({"errors": []}), None);
                };
                if path != secret {
                    let one = json!({"created_time": time(number), "deletion_time": "", "destroyed": false});
                    return (
                        200,
                        json!({"data": {"current_version": number, "versions": {number.to_string(): one}}}),
                        None,
                    );
                }
                self.world().read.insert((token.clone(), secret));
                let metadata = json!({"version": number, "created_time": time(number), "deletion_time": "", "destroyed": false});
                (200, json!({"lease_id": "", "data": {"data": {"n": number}, "metadata": metadata}}), None)
            }
        }
    }
}

pub(super) fn time(number: u64) -> String {
    format!("2026-01-01T00:00:00.{number:09}Z")
}

impl Upstream for Model {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move {
            sleep(Duration::from_millis(self.random(40))).await;
            let fault = self.world().fault;
            let broken = |sent| SendError::Broken {
                method: Method::GET,
                address: String::new(),
                reason: "the model".into(),
                sent,
                began: false,
            };
            let (status, body, number) = match fault {
                Some(Fault::Unreachable) => return Err(broken(Sent::No)),
                Some(Fault::Status(status)) => (status, json!({"errors": ["the model"]}), None),
                _ => self.answer(&request),
            };
            sleep(Duration::from_millis(self.random(40))).await;
            if fault == Some(Fault::Broken) {
                return Err(broken(Sent::Maybe));
            }
            let mut headers = http::HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            if let Some(number) = number {
                headers.insert(NUMBER, HeaderValue::from(number));
            }
            let body = if status == 204 { Body::empty() } else { Body::full(body.to_string()) };
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
        })
    }
}

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
    /// Writes of which no answer comes, and when they will be done.
    later: Vec<(Instant, Write)>,
    /// Those of this run that were done.
    pub(super) late: Vec<(Change, Write)>,
}

/// What a request changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    Secret { path: String, there: bool },
    Right { token: String, path: String, may: bool },
    Death(String),
}

impl World {
    /// Does a write.
    pub(super) fn write(&mut self, at: Instant, write: Write) -> Change {
        let (changes, there) = match write {
            Write::Secret { path, there } => (self.secrets.entry(path).or_default(), there),
            Write::Right { token, path, may } => (self.rights.entry((token, path)).or_default(), may),
            Write::Death(token) => (self.lives.entry(token).or_default(), false),
        };
        self.count += 1;
        let change = Change { number: self.count, at, there };
        changes.push(change);
        change
    }

    /// Does what was left for later.
    fn catch_up(&mut self, now: Instant) {
        self.later.sort_by_key(|(at, _)| *at);
        let still = self.later.partition_point(|(at, _)| *at <= now);
        for (at, write) in self.later.drain(..still).collect::<Vec<_>>() {
            let change = self.write(at, write.clone());
            self.late.push((change, write));
        }
    }

    /// The program ends: it knows nothing of what is still to come.
    pub(super) fn end(&mut self) {
        self.read.clear();
        self.late.clear();
        self.later.clear();
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
        let mut world = self.world.lock().unwrap();
        world.catch_up(self.now());
        world
    }

    pub(super) fn now(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.slept.load(Relaxed))
    }

    pub(super) fn random(&self, below: u64) -> u64 {
        self.rng.lock().unwrap().u64(..below)
    }

    pub(super) fn write(&self, write: Write) -> u64 {
        self.world().write(self.now(), write).number
    }

    /// A token with some rights.
    pub(super) fn make(&self) -> String {
        let mut world = self.world();
        world.count += 1;
        let token = format!("s.{}", world.count);
        let change = Change { number: world.count, at: self.now(), there: true };
        world.ends.insert(token.clone(), self.now() + Duration::from_secs(20 + self.random(2000)));
        world.lives.insert(token.clone(), vec![change]);
        drop(world);
        for path in 0..2 {
            let may = self.random(8) > 0;
            self.write(Write::Right { token: token.clone(), path: format!("secret/data/{path}"), may });
        }
        token
    }

    /// Of a token that lives and may do it.
    fn asks_to(request: &Request) -> Option<Write> {
        let path = request.path().trim_start_matches("/v1/");
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Some(match (path, request.method.as_str()) {
            ("auth/token/revoke", _) => Write::Death(text("token")),
            ("sys/policies/acl/app", _) => {
                Write::Right { token: text("token"), path: text("path"), may: body["may"] == true }
            }
            (path, "POST") if path.starts_with("secret/data/") => {
                Write::Secret { path: path.to_owned(), there: true }
            }
            (path, "DELETE") => Write::Secret { path: path.replace("/metadata/", "/data/"), there: false },
            _ => return None,
        })
    }

    /// Leaves a write for later, as a server may that is busy; nobody hears of it.
    fn leave(&self, request: &Request) -> bool {
        let Some(write) = Self::asks_to(request).filter(|_| self.random(4) == 0) else { return false };
        let at = self.now() + Duration::from_millis(self.random(80_000));
        self.world().later.push((at, write));
        true
    }

    pub(super) fn answer(&self, request: &Request) -> (u16, Value, Option<u64>) {
        let path = request.path().trim_start_matches("/v1/").to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
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
            _ => {}
        }
        let secret = path.replace("/metadata/", "/data/");
        match Self::asks_to(request) {
            Some(write) => {
                let makes = matches!(write, Write::Secret { there: true, .. });
                let number = self.write(write);
                let made = json!({"data": {"version": number, "created_time": time(number)}});
                if makes { (200, made, Some(number)) } else { (204, Value::Null, Some(number)) }
            }
            None if !right(&secret) => no,
            None => {
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
            if fault.is_none() && self.leave(&request) {
                // The client waits no longer than this, if it has not left before.
                sleep(Duration::from_millis(self.random(40))).await;
                return Err(broken(Sent::Maybe));
            }
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

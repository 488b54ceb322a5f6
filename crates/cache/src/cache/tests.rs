//! The door against a fake server, under paused time.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vault::{Body, BodyError};

use super::*;
use crate::left::MOST_LEFT;

/// A server that hands out tokens and leases, and remembers what it was asked.
pub(super) struct FakeServer {
    asked: Mutex<Vec<String>>,
    delay: Duration,
    lease_ttl: u64,
    /// Status to answer a path with instead.
    refuse: Mutex<HashMap<String, u16>>,
    /// How to answer a path instead: status, content type, body.
    pub(super) says: Mutex<HashMap<String, (u16, &'static str, String)>>,
}

impl FakeServer {
    fn new(lease_ttl: u64) -> Arc<Self> {
        Arc::new(Self {
            asked: Mutex::default(),
            delay: Duration::from_millis(100),
            lease_ttl,
            refuse: Mutex::default(),
            says: Mutex::default(),
        })
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    pub(super) fn refuse(&self, path: &str, status: u16) {
        self.refuse.lock().unwrap().insert(path.to_owned(), status);
    }
}

impl Upstream for FakeServer {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move {
            let path = request.target.split('?').next().unwrap().trim_start_matches("/v1/").to_owned();
            self.asked.lock().unwrap().push(path.clone());
            let nth = self.asked.lock().unwrap().len();
            sleep(self.delay).await;
            let ttl = self.lease_ttl;
            let refused = self.refuse.lock().unwrap().get(&path).copied();
            let token = |orphan: bool| json!({"auth": {"client_token": format!("s.{nth}"), "accessor": format!("a.{nth}"), "lease_duration": ttl, "renewable": true, "orphan": orphan}});
            let (status, body) = match (refused, path.as_str()) {
                (Some(status), _) => (status, json!({"errors": ["no"]})),
                (_, "auth/approle/login" | "auth/token/create-orphan") => (200, token(true)),
                (_, "auth/token/create") => (200, token(false)),
                (_, "auth/token/renew-self") => {
                    (200, json!({"auth": {"client_token": "same", "lease_duration": ttl, "renewable": true}}))
                }
                (_, "sys/leases/renew") => (
                    200,
                    json!({"lease_id": "database/creds/app/1", "lease_duration": ttl, "renewable": true}),
                ),
                (_, path) if path.starts_with("database/creds/") => (
                    200,
                    json!({"lease_id": format!("{path}/{nth}"), "lease_duration": ttl, "renewable": true, "data": {"nth": nth}}),
                ),
                (_, path) if path.contains("revoke") => (204, Value::Null),
                _ => (200, json!({"data": {"nth": nth}})),
            };
            let mut headers = HeaderMap::new();
            if let Some((status, kind, body)) = self.says.lock().unwrap().get(&path).cloned() {
                headers.insert("content-type", HeaderValue::from_static(kind));
                headers.insert("retry-after", HeaderValue::from_static("20"));
                let status = StatusCode::from_u16(status).unwrap();
                return Ok(Response { status, headers, body: Body::full(body) });
            }
            headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
            let kind = if path == "sys/monitor" { "text/plain" } else { "application/json" };
            headers.insert("content-type", HeaderValue::from_static(kind));
            headers.insert("date", HeaderValue::from_static("Sat, 21 Nov 2026 00:00:00 GMT"));
            let body = if path == "sys/monitor" {
                Body::Other(Box::pin(Endless))
            } else if status == 204 {
                Body::empty()
            } else {
                Body::full(body.to_string())
            };
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
        })
    }
}

/// A line a second, for ever.
struct Endless;

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
        let mut pause = Box::pin(sleep(Duration::from_secs(1)));
        match pause.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Ok(http_body::Frame::data("line\n".into())))),
            Poll::Pending => Poll::Pending,
        }
    }
}

pub(super) struct Door {
    pub(super) server: Arc<FakeServer>,
    pub(super) cache: Cache,
    /// Milliseconds that the machine has slept.
    pub(super) slept: Arc<AtomicU64>,
}

pub(super) const OWN: &str = "s.own";

pub(super) fn door(lease_ttl: u64) -> Door {
    door_with(lease_ttl, Options::default())
}

pub(super) fn door_with(lease_ttl: u64, options: Options) -> Door {
    let (server, slept) = (FakeServer::new(lease_ttl), Arc::new(AtomicU64::new(0)));
    let clock = Clock::tested(&slept);
    let (upstream, stop) = (Arc::clone(&server) as _, CancellationToken::new());
    let (cache, keep_alive) =
        Cache::with_clock(Mode::Remember, options, None, upstream, Caller::default(), stop, clock);
    tokio::spawn(keep_alive);
    cache.set_own_token(0, Arc::new(Token::new(OWN).unwrap()));
    Door { server, cache, slept }
}

pub(super) fn get(path: &str) -> Request {
    Request::new(Method::GET, path).token(&Token::new(OWN).unwrap())
}

pub(super) fn put(path: &str, body: &Value) -> Request {
    Request::new(Method::PUT, path).token(&Token::new(OWN).unwrap()).json(body)
}

pub(super) fn login() -> Request {
    Request::new(Method::POST, "auth/approle/login").json(&json!({"role_id": "r", "secret_id": "s"}))
}

impl Door {
    /// `HIT` or `MISS`, and the body.
    pub(super) async fn ask(&self, request: Request) -> (&'static str, Value) {
        let answer = self.cache.send(request).await.unwrap();
        let origin = match answer.origin {
            Origin::Upstream => "MISS",
            Origin::Cache { .. } => "HIT",
            Origin::Absent => "504",
            Origin::Revalidated { .. } | Origin::Stale { .. } => "static",
        };
        let body = answer.response.body.collect(MAX_BODY, Duration::from_secs(60)).await.unwrap();
        (origin, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(super) async fn origin(&self, request: Request) -> &'static str {
        self.ask(request).await.0
    }
}

#[tokio::test(start_paused = true)]
async fn three_logins_are_one() {
    let door = door(3600);
    let first = door.ask(login()).await;
    let second = door.ask(login()).await;
    let mut other = login();
    other.body = "{ \"secret_id\":\"s\",\n \"role_id\":\"r\" }".into();
    other.headers.insert("traceparent", HeaderValue::from_static("00-1-2-01"));
    let third = door.ask(other).await;
    assert_eq!((first.0, second.0, third.0), ("MISS", "HIT", "HIT"));
    assert_eq!(first.1["auth"]["client_token"], second.1["auth"]["client_token"]);
    assert_eq!(second.1, third.1);
    assert_eq!(door.server.count("auth/approle/login"), 1);
}

#[tokio::test(start_paused = true)]
async fn equal_requests_under_way_are_one() {
    let door = door(3600);
    for (request, path) in [
        (login(), "auth/approle/login"),
        (get("secret/data/app"), "secret/data/app"),
        (get("database/creds/app"), "database/creds/app"),
    ] {
        let asking: Vec<_> = (0..20).map(|_| door.ask(request.clone())).collect();
        let answers = futures_util::future::join_all(asking).await;
        let same = |answer: &Value| {
            ["auth", "data", "lease_id"].iter().all(|part| match part {
                &"auth" => answer["auth"]["client_token"] == answers[0].1["auth"]["client_token"],
                part => answer[*part] == answers[0].1[*part],
            })
        };
        assert!(answers.iter().all(|answer| same(&answer.1)), "{answers:?}");
        assert_eq!(door.server.count(path), 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_joins_one_that_is_already_with_the_server() {
    let door = door(3600);
    let late = async {
        sleep(Duration::from_millis(50)).await;
        door.ask(login()).await
    };
    let (first, late) = tokio::join!(door.ask(login()), late);
    assert_eq!(first.1["auth"]["client_token"], late.1["auth"]["client_token"]);
    assert_eq!(door.server.count("auth/approle/login"), 1);
}

#[tokio::test(start_paused = true)]
async fn writes_that_are_not_remembered_are_never_shared() {
    let door = door(3600);
    let write = put("secret/data/app", &json!({"data": {"a": 1}}));
    let asking: Vec<_> = (0..5).map(|_| door.ask(write.clone())).collect();
    let answers = futures_util::future::join_all(asking).await;
    assert_eq!(door.server.count("secret/data/app"), 5);
    assert!(answers.iter().all(|(origin, _)| *origin == "MISS"));
}

/// A server that is slow to fail is asked by ever fewer: after 2, 6, 14 and 30 seconds by one more each.
#[tokio::test(start_paused = true)]
async fn who_waits_for_one_that_is_tried_again_asks_ever_later() {
    let server = Arc::new(FakeServer {
        delay: Duration::from_secs(60),
        ..Arc::into_inner(FakeServer::new(60)).unwrap()
    });
    let (cache, _renewals) =
        Cache::new(Mode::Remember, Arc::clone(&server) as _, Caller::default(), CancellationToken::new());
    let door = Door { server, cache, slept: Arc::default() };
    door.server.refuse("secret/data/a", 500);
    let asks: Vec<_> = (0..100).map(|_| door.ask(get("secret/data/a"))).collect();
    futures_util::future::join_all(asks).await;
    assert_eq!(door.server.count("secret/data/a"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_hung_read_holds_the_others_for_two_seconds_only() {
    let server = Arc::new(FakeServer {
        delay: Duration::from_secs(50),
        ..Arc::into_inner(FakeServer::new(60)).unwrap()
    });
    let (cache, _renewals) =
        Cache::new(Mode::Remember, Arc::clone(&server) as _, Caller::default(), CancellationToken::new());
    let door = Door { server, cache, slept: Arc::default() };
    let started = Instant::now();
    tokio::join!(door.ask(get("secret/data/a")), door.ask(get("secret/data/a")));
    assert_eq!(door.server.count("secret/data/a"), 2);
    assert!(started.elapsed() < Duration::from_secs(53));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_orphan_a_lease() {
    let door = door(3600);
    assert!(timeout(Duration::from_millis(10), door.ask(login())).await.is_err());
    sleep(Duration::from_millis(200)).await;
    assert_eq!(door.origin(login()).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn leases_belong_to_known_tokens() {
    let door = door(3600);
    assert_eq!(door.origin(get("database/creds/app")).await, "MISS");
    assert_eq!(door.origin(get("database/creds/app")).await, "HIT");
    let stranger =
        || Request::new(Method::GET, "database/creds/app").token(&Token::new("s.stranger").unwrap());
    assert_eq!(door.origin(stranger()).await, "MISS");
    assert_eq!(door.origin(stranger()).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn renewals_go_through_every_time() {
    let door = door(3600);
    for _ in 0..3 {
        assert_eq!(door.origin(put("auth/token/renew-self", &json!({}))).await, "MISS");
    }
    assert_eq!(door.server.count("auth/token/renew-self"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_passes_by_moves_the_deadline_and_a_refused_one_evicts() {
    let door = door(100);
    let (_, body) = door.ask(get("database/creds/app")).await;
    let renewal = put("sys/leases/renew", &json!({"lease_id": body["lease_id"]}));
    sleep(Duration::from_secs(60)).await;
    door.ask(renewal.clone()).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 1, "renewed again although somebody just had");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 2);
    door.server.refuse("sys/leases/renew", 400);
    door.ask(renewal).await;
    assert_eq!(door.origin(get("database/creds/app")).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn two_that_both_went_to_the_server_are_both_kept_alive() {
    let door = door(100);
    // The third does not join the first: a write came between.
    let after = async |wait: u64, request: Request| {
        sleep(Duration::from_millis(wait)).await;
        door.ask(request).await
    };
    let request = || get("database/creds/app");
    tokio::join!(door.ask(request()), after(10, put("database/creds/app", &json!({}))), after(20, request()));
    assert_eq!(door.server.count("database/creds/app"), 3);
    sleep(Duration::from_secs(75)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 3);
}

#[tokio::test(start_paused = true)]
async fn everything_is_renewed_by_its_time_and_served_as_long() {
    let door = door(100);
    door.ask(get("database/creds/app")).await;
    sleep(Duration::from_secs(500)).await;
    assert_eq!(door.origin(get("database/creds/app")).await, "HIT");
    let renewals = door.server.count("sys/leases/renew");
    assert!((6..=7).contains(&renewals), "{renewals}");
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_a_lease_is_served_to_its_end_and_not_beyond() {
    let door = door(100);
    door.ask(get("database/creds/app")).await;
    door.server.refuse("sys/leases/renew", 503);
    sleep(Duration::from_secs(98)).await;
    assert_eq!(door.origin(get("database/creds/app")).await, "HIT");
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(door.origin(get("database/creds/app")).await, "MISS");
    assert!(door.server.count("sys/leases/renew") < 12);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_gone_at_the_server_goes_at_the_next_renewal() {
    let door = door(100);
    door.ask(get("database/creds/app")).await;
    door.server.refuse("sys/leases/renew", 400);
    sleep(Duration::from_secs(75)).await;
    assert!(door.cache.is_empty());
    assert_eq!(door.server.count("sys/leases/renew"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_takes_its_leases_along() {
    let door = door(100);
    let (_, answer) = door.ask(login()).await;
    let token = Token::new(answer["auth"]["client_token"].as_str().unwrap()).unwrap();
    door.ask(Request::new(Method::GET, "database/creds/app").token(&token)).await;
    assert_eq!(door.cache.len(), 2);
    door.server.refuse("auth/token/renew-self", 403);
    door.server.refuse("sys/leases/renew", 403);
    door.server.refuse("sys/internal/ui/mounts", 403);
    sleep(Duration::from_secs(80)).await;
    assert!(door.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn revocations_that_pass_by_are_obeyed_at_once() {
    let door = door(3600);
    let lease = |body: &Value| body["lease_id"].as_str().unwrap().to_owned();
    let ways: [&dyn Fn(&str) -> Request; 4] = [
        &|id| put("sys/leases/revoke", &json!({"lease_id": id})),
        &|id| put(&format!("sys/leases/revoke/{id}"), &json!({})),
        &|_| put("sys/leases/revoke-prefix/database/creds", &json!({})),
        &|_| put("auth/token/revoke-self", &json!({})),
    ];
    for way in ways {
        door.cache.set_own_token(0, Arc::new(Token::new(OWN).unwrap()));
        let (_, body) = door.ask(get("database/creds/app")).await;
        assert_eq!(door.origin(get("database/creds/app")).await, "HIT");
        door.ask(way(&lease(&body))).await;
        assert_eq!(door.origin(get("database/creds/app")).await, "MISS");
        door.cache.clear(&Clear::All);
    }
}

#[tokio::test(start_paused = true)]
async fn logins_go_with_the_prefix_they_were_made_at() {
    let door = door(3600);
    for path in ["auth/approle/login", "auth/approle/login/", "auth/approle", "auth/"] {
        for verb in ["revoke-prefix", "revoke-force"] {
            door.ask(login()).await;
            assert_eq!(door.origin(login()).await, "HIT");
            door.ask(put(&format!("sys/leases/{verb}/{path}?sync=true"), &json!({}))).await;
            assert_eq!(door.origin(login()).await, "MISS", "{verb} {path}");
        }
    }
    door.ask(put("sys/leases/revoke-prefix/auth/appro", &json!({}))).await;
    assert_eq!(door.origin(login()).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn revoking_an_orphan_leaves_its_children_but_not_their_creation() {
    let door = door(3600);
    let (_, parent) = door.ask(login()).await;
    let parent = Token::new(parent["auth"]["client_token"].as_str().unwrap()).unwrap();
    let create = || Request::new(Method::POST, "auth/token/create").token(&parent).json(&json!({}));
    let (_, child) = door.ask(create()).await;
    let child = Token::new(child["auth"]["client_token"].as_str().unwrap()).unwrap();
    let creds = |token: &Token| Request::new(Method::GET, "database/creds/app").token(token);
    door.ask(creds(&parent)).await;
    door.ask(creds(&child)).await;
    door.ask(put("auth/token/revoke-orphan", &json!({"token": parent.expose()}))).await;
    assert_eq!(door.origin(creds(&child)).await, "HIT");
    assert_eq!(door.origin(creds(&parent)).await, "MISS");
    assert_eq!(door.origin(create()).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn clearing_keeps_our_own_token_known() {
    let door = door(3600);
    for clear in [
        Clear::All,
        Clear::Token(OWN.into()),
        Clear::RequestPath { path: "/v1/database".into(), namespace: "root/".into() },
    ] {
        door.ask(get("database/creds/app")).await;
        assert_eq!(door.cache.clear(&clear), 1, "{clear:?}");
        assert_eq!(door.origin(get("database/creds/app")).await, "MISS");
        assert_eq!(door.origin(get("database/creds/app")).await, "HIT");
        door.cache.clear(&Clear::All);
    }
    assert_eq!(
        door.cache.clear(&Clear::RequestPath { path: "/v1/database".into(), namespace: "ns1".into() }),
        0
    );
}

/// Also what is under way when it is said.
#[tokio::test(start_paused = true)]
async fn nobody_joins_what_was_asked_for_before_a_clearing() {
    let door = door(3600);
    for request in [get("database/creds/app"), get("secret/data/a"), login()] {
        let clear_and_ask = async {
            sleep(Duration::from_millis(10)).await;
            door.cache.clear(&Clear::All);
            door.ask(request.clone()).await
        };
        let ((_, before), (_, after)) = tokio::join!(door.ask(request.clone()), clear_and_ask);
        assert_ne!(before, after);
    }
}

/// The second to unwrap has to learn that he is the second.
#[tokio::test(start_paused = true)]
async fn what_is_there_once_is_asked_for_each_time() {
    let door = door(3600);
    let unwrapped = json!({"auth": {"client_token": "s.w", "accessor": "a", "lease_duration": 3600, "renewable": true, "orphan": true}}).to_string();
    for path in ["sys/wrapping/unwrap", "ns1/sys/wrapping/unwrap", "sys/mfa/validate"] {
        door.server
            .says
            .lock()
            .unwrap()
            .insert(path.to_owned(), (200, "application/json", unwrapped.clone()));
        let ask = || door.origin(put(path, &json!({"token": "s.w"})));
        assert_eq!([ask().await, ask().await], ["MISS", "MISS"], "{path}");
    }
    let ask = || door.origin(get("cubbyhole/response"));
    assert_eq!(tokio::join!(ask(), ask()), ("MISS", "MISS"));
    assert_eq!(door.server.count("cubbyhole/response"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_token_of_ours_leaves_nothing_of_the_old_behind() {
    let door = door(3600);
    for nth in 0..100 {
        door.cache.set_own_token(0, Arc::new(Token::new(format!("s.own{nth}")).unwrap()));
    }
    assert_eq!(door.cache.0.shared.store().own_tokens()[0].1.expose(), "s.own99");
    assert!(door.cache.0.shared.store().managed("s.own98").is_none());
}

#[tokio::test(start_paused = true)]
async fn hits_are_the_answer_byte_for_byte_without_what_was_of_the_moment() {
    let door = door_with(3600, Options { adjust_ttl: false, ..Options::default() });
    let first = Cache::send(&door.cache, login()).await.unwrap();
    let body = first.response.body.collect(MAX_BODY, Duration::from_secs(60)).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let hit = Cache::send(&door.cache, login()).await.unwrap();
    assert_eq!(hit.origin, Origin::Cache { age: Duration::from_secs(5) });
    for gone in ["date", "keep-alive"] {
        assert!(hit.response.headers.get(gone).is_none(), "{gone}");
    }
    assert_eq!(hit.response.headers.get("content-type").unwrap(), "application/json");
    assert_eq!(hit.response.body.collect(MAX_BODY, Duration::from_secs(60)).await.unwrap(), body);
}

fn bearer(method: Method, path: &str, token: &str) -> Request {
    Request::new(method, path).header(header::AUTHORIZATION, &format!("Bearer {token}"))
}

/// Who asks with a Bearer is who that says, and nobody else.
#[tokio::test(start_paused = true)]
async fn s68_what_one_bearer_was_told_is_not_told_another() {
    let door = door(3600);
    let asks =
        [bearer(Method::GET, "secret/data/app", "s.A"), bearer(Method::GET, "secret/data/app", "junk")];
    let answers = futures_util::future::join_all(asks.map(|request| door.ask(request))).await;
    assert_ne!(answers[0].1, answers[1].1);
    assert_eq!(door.server.count("secret/data/app"), 2);
    let orphan = |token| bearer(Method::POST, "auth/token/create-orphan", token);
    let (a, b) = (door.ask(orphan("s.A")).await, door.ask(orphan("s.B")).await);
    assert_eq!((a.0, b.0), ("MISS", "MISS"));
    assert_ne!(a.1, b.1);
    let again = door.ask(orphan("s.A")).await;
    assert_eq!((again.0, &again.1["auth"]["client_token"]), ("HIT", &a.1["auth"]["client_token"]));
    // A token that is revoked by its Bearer is not handed out again.
    let issued = a.1["auth"]["client_token"].as_str().unwrap();
    door.origin(bearer(Method::POST, "auth/token/revoke-self", issued)).await;
    assert_eq!(door.origin(orphan("s.A")).await, "MISS");
    assert_eq!(door.origin(orphan("s.B")).await, "HIT");
    // What our own token asks for with a Bearer is its child.
    assert_eq!(door.origin(bearer(Method::GET, "database/creds/app", OWN)).await, "MISS");
    assert_eq!(door.origin(bearer(Method::GET, "database/creds/app", OWN)).await, "HIT");
}

/// Two that watch one log: neither waits for its end.
#[tokio::test(start_paused = true)]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let door = door(3600);
    let asks = [get("sys/monitor"), get("sys/monitor")].map(|request| door.cache.send(request));
    let began = Instant::now();
    for answer in futures_util::future::join_all(asks).await {
        assert!(matches!(answer.unwrap().response.body, Body::Other(_) | Body::Continued(..)));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Clients that connect, ask and leave: so many requests go on, the others end with them.
#[tokio::test(start_paused = true)]
async fn requests_of_clients_that_left_are_bounded() {
    let door = door(3600);
    let asking: Vec<_> = (0..MOST_LEFT + 50)
        .map(|n| {
            let cache = door.cache.clone();
            tokio::spawn(async move { cache.send(get(&format!("database/creds/{n}"))).await })
        })
        .collect();
    sleep(Duration::from_millis(10)).await;
    for client in asking {
        client.abort();
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(door.cache.len(), MOST_LEFT);
    assert_eq!(door.cache.0.left.free(), MOST_LEFT);
    // Those who stay are asked for.
    assert_eq!(door.origin(get("database/creds/stays")).await, "MISS");
    assert_eq!(door.origin(get("database/creds/stays")).await, "HIT");
}

/// Knows whether a request was given or lent.
#[derive(Default)]
struct Lender(Mutex<Vec<bool>>);

impl Upstream for Lender {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        self.0.lock().unwrap().push(false);
        Box::pin(async { Err(SendError::Downgrade) })
    }

    fn lend<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, SendError>> {
        self.0.lock().unwrap().push(true);
        Box::pin(async { Err(SendError::Downgrade) })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lent_is_not_copied() {
    for (mode, method) in
        [(Mode::PassOn, Method::PUT), (Mode::PassOn, Method::GET), (Mode::Remember, Method::PUT)]
    {
        let lender = Arc::new(Lender::default());
        let (cache, _) =
            Cache::new(mode, Arc::clone(&lender) as _, Caller::default(), CancellationToken::new());
        assert!(cache.lend(&Request::new(method, "secret/data/a")).await.is_err());
        assert_eq!(*lender.0.lock().unwrap(), [true], "{mode:?}");
    }
}

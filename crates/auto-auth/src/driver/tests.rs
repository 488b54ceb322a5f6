//! The driver against a fake server, under paused time.

mod credentials;

use std::sync::Mutex;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use vault::{Body, BoxFuture, Request, Response, SendError};

use super::*;
use crate::Reauth;

/// Status and body for a path and how often it was asked before.
type Script = dyn Fn(&str, usize) -> (u16, Value) + Send + Sync;

/// Answers from a script by path, and remembers what was asked and when.
struct FakeServer {
    start: Instant,
    asked: Mutex<Vec<(u128, String)>>,
    answer: Box<Script>,
}

impl FakeServer {
    fn new(answer: impl Fn(&str, usize) -> (u16, Value) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), asked: Mutex::default(), answer: Box::new(answer) })
    }

    fn times(&self, path: &str) -> Vec<u128> {
        self.asked.lock().unwrap().iter().filter(|(_, p)| p == path).map(|(at, _)| *at).collect()
    }
}

impl Upstream for FakeServer {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let path = request.target.trim_start_matches("/v1/").to_owned();
        let nth = self.times(&path).len();
        let (status, body) = (self.answer)(&path, nth);
        self.asked.lock().unwrap().push((self.start.elapsed().as_millis(), path));
        Box::pin(async move {
            Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Body::full(body.to_string()),
            })
        })
    }
}

const LOGIN: &str = "auth/approle/login";
const RENEW: &str = "auth/token/renew-self";
const ALIVE: &str = "sys/internal/ui/mounts";

fn granted(token: &str, ttl: u64) -> (u16, Value) {
    (200, json!({"auth": {"client_token": token, "accessor": "a", "lease_duration": ttl, "renewable": true}}))
}

struct Running {
    server: Arc<FakeServer>,
    tokens: watch::Receiver<TokenState>,
    reauth: Reauth,
    task: tokio::task::JoinHandle<Result<(), AutoAuthError>>,
    _folder: tempfile::TempDir,
}

impl Running {
    fn token(&self) -> String {
        self.tokens.borrow().token.as_ref().map(|t| t.expose().to_owned()).unwrap_or_default()
    }
}

fn start(server: Arc<FakeServer>, exit_on_err: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let role_id_file = folder.path().join("role");
    atomic_file::write(&role_id_file, b"role\n", &atomic_file::Attributes::new(0o600)).unwrap();
    let approle = config::AppRole {
        role_id_file,
        secret_id_file: None,
        remove_secret_id_file: true,
        wrapping_path: None,
    };
    let method = config::Method {
        kind: config::MethodKind::AppRole(approle),
        mount: Mount::new("auth/approle/"),
        namespace: None,
        min_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(300),
        exit_on_err,
    };
    let settings = config::AutoAuth { method, sinks: Vec::new(), reauth_on_new_credentials: false };
    let (sender, tokens) = watch::channel(TokenState::default());
    let (reauth, requests) = Reauth::new();
    let auto_auth = AutoAuth::new(
        &settings,
        Arc::clone(&server) as _,
        Caller::default(),
        Arc::default(),
        sender,
        requests,
    );
    Running { server, tokens, reauth, task: tokio::spawn(auto_auth.run()), _folder: folder }
}

#[tokio::test(start_paused = true)]
async fn logs_in_and_renews_in_upstreams_rhythm() {
    let running =
        start(FakeServer::new(|path, _| granted(if path == LOGIN { "s.1" } else { "s.x" }, 100)), false);
    sleep(Duration::from_secs(69)).await;
    assert_eq!(running.token(), "s.1");
    assert!(running.server.times(RENEW).is_empty(), "renewed before its time");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(running.server.times(RENEW).len(), 1);
    sleep(Duration::from_secs(73 * 4)).await;
    assert_eq!((running.server.times(LOGIN).len(), running.server.times(RENEW).len()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_tried_again_with_growing_pauses() {
    let answer = |_: &str, nth| if nth < 4 { (400, json!({"errors": ["no"]})) } else { granted("s.1", 100) };
    let running = start(FakeServer::new(answer), false);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(running.token(), "s.1");
    let times = running.server.times(LOGIN);
    let pauses: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((750..=1001).contains(&pauses[0]), "{pauses:?}");
    assert!(pauses.windows(2).all(|p| p[1] >= p[0] * 3 / 2 - 2 && p[1] <= p[0] * 2 + 2), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn exit_on_err_ends_it_with_the_servers_words() {
    let running =
        start(FakeServer::new(|_, _| (400, json!({"errors": ["invalid role or secret ID"]}))), true);
    let error = running.task.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("Code: 400. Errors:\n\n* invalid role or secret ID"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_leads_to_one_check_and_a_new_login_if_the_token_is_dead() {
    let answer = |path: &str, nth: usize| match path {
        ALIVE => (403, json!({"errors": ["permission denied"]})),
        _ => granted(if nth == 0 { "s.1" } else { "s.2" }, 3600),
    };
    let running = start(FakeServer::new(answer), false);
    sleep(Duration::from_secs(1)).await;
    for _ in 0..50 {
        running.reauth.ask(1);
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(running.token(), "s.2");
    assert_eq!(running.server.times(ALIVE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_denial_is_no_reason_to_log_in_and_checks_are_rare() {
    let answer = |path: &str, _| if path == ALIVE { (200, json!({})) } else { granted("s.1", 3600) };
    let running = start(FakeServer::new(answer), false);
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        running.reauth.ask(1);
    }
    assert_eq!(running.server.times(LOGIN).len(), 1);
    assert!(running.server.times(ALIVE).len() <= 6, "{:?}", running.server.times(ALIVE));
}

#[tokio::test(start_paused = true)]
async fn without_permission_to_renew_there_is_no_storm() {
    let answer = |path: &str, _| match path {
        RENEW => (403, json!({"errors": ["permission denied"]})),
        ALIVE => (200, json!({})),
        _ => granted("s.1", 60),
    };
    let running = start(FakeServer::new(answer), false);
    sleep(Duration::from_secs(600)).await;
    assert!(running.server.times(RENEW).len() <= 12, "{:?}", running.server.times(RENEW));
    assert!(running.server.times(LOGIN).len() <= 13, "{:?}", running.server.times(LOGIN));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_token_is_a_failed_login() {
    for answer in [
        json!(null),
        json!([]),
        json!({}),
        json!({"auth": {"client_token": ""}}),
        json!({"auth": {"client_token": "a\nb"}}),
    ] {
        let running = start(FakeServer::new(move |_, _| (200, answer.clone())), true);
        let error = running.task.await.unwrap().unwrap_err().to_string();
        assert!(!error.contains("a\nb"), "{error}");
    }
}

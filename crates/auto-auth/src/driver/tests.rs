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
        let retry_after = body.get("retry_after").and_then(Value::as_u64);
        let headers = retry_after.map(|after| (http::header::RETRY_AFTER, after.into()));
        Box::pin(async move {
            if status == HANGS {
                std::future::pending::<()>().await;
            }
            Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::from_iter(headers),
                body: Body::full(body.to_string()),
            })
        })
    }
}

/// A status for no answer at all.
const HANGS: u16 = 0;

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
    start_with(server, exit_on_err, |_, settings| settings, |auto_auth| auto_auth)
}

/// The same with other settings (from those and the folder), and with what is no setting.
fn start_with(
    server: Arc<FakeServer>,
    exit_on_err: bool,
    settle: impl FnOnce(&std::path::Path, config::AutoAuth) -> config::AutoAuth,
    change: impl FnOnce(AutoAuth) -> AutoAuth,
) -> Running {
    let (auto_auth, tokens, reauth, folder) = made(&server, exit_on_err, settle);
    Running { server, tokens, reauth, task: tokio::spawn(change(auto_auth).run()), _folder: folder }
}

/// Not yet running.
fn made(
    server: &Arc<FakeServer>,
    exit_on_err: bool,
    settle: impl FnOnce(&std::path::Path, config::AutoAuth) -> config::AutoAuth,
) -> (AutoAuth, watch::Receiver<TokenState>, Reauth, tempfile::TempDir) {
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
        wrap_ttl: None,
    };
    let settings = config::AutoAuth {
        name: None,
        namespace: None,
        method,
        sinks: Vec::new(),
        reauth_on_new_credentials: false,
        revoke_previous_token: false,
        token_store: None,
    };
    let settings = settle(folder.path(), settings);
    let (sender, tokens) = watch::channel(TokenState::default());
    let (reauth, requests) = Reauth::new();
    let auto_auth = AutoAuth::new(
        &settings,
        Arc::clone(server) as _,
        // What a login, a renewal and a check may take is not left to how long requests may.
        Caller { timeout: Duration::from_secs(86_400), ..Caller::default() },
        Arc::default(),
        sender,
        requests,
    );
    (auto_auth, tokens, reauth, folder)
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
    sleep(Duration::from_secs(74 * 4)).await;
    assert_eq!((running.server.times(LOGIN).len(), running.server.times(RENEW).len()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_tried_again_with_growing_pauses() {
    let answer = |_: &str, nth| if nth < 12 { (400, json!({"errors": ["no"]})) } else { granted("s.1", 100) };
    let running = start(FakeServer::new(answer), false);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(running.token(), "s.1");
    let times = running.server.times(LOGIN);
    for pair in times.windows(2) {
        let (outage, pause) = (pair[0], pair[1] - pair[0]);
        let longest = (outage / 3).max(2000);
        assert!((longest / 2..=longest + 2).contains(&pause), "{times:?}");
    }
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
    for (answer, said) in [
        (json!(null), "/v1/auth/approle/login: the answer is not what it should be"),
        (json!([]), "/v1/auth/approle/login: the answer is not what it should be"),
        (json!({}), "it has no auth object"),
        (json!({"auth": {"client_token": ""}}), "/v1/auth/approle/login holds no usable token"),
        (json!({"auth": {"client_token": "CANARY\nb"}}), "non-printable"),
        (json!({"auth": {"client_token": "CANARY", "lease_duration": -5}}), "its TTL is negative"),
        (
            json!({"auth": {"client_token": "CANARY"}, "wrap_info": {"token": "CANARY"}}),
            "it is wrapped, and nobody asked for that",
        ),
    ] {
        let running = start(FakeServer::new(move |_, _| (200, answer.clone())), true);
        let error = running.task.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("CANARY"), "{error}");
    }
}

const LOOKUP: &str = "auth/token/lookup-self";
const REVOKE: &str = "auth/token/revoke-self";

fn refused(status: u16) -> (u16, Value) {
    (status, json!({"errors": ["no"]}))
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_renews_at_once() {
    let (slept, receiver) = watch::channel(Duration::ZERO);
    let clock = |auto_auth: AutoAuth| AutoAuth {
        door: Door { clock: Clock::test(receiver), ..auto_auth.door },
        ..auto_auth
    };
    let server = FakeServer::new(|_, _| granted("s.1", 3600));
    let running = start_with(server, false, |_, settings| settings, clock);
    sleep(Duration::from_secs(10)).await;
    slept.send_replace(Duration::from_secs(600));
    sleep(Duration::from_secs(1)).await;
    assert!(running.server.times(RENEW).is_empty(), "it is not its time yet");
    slept.send_replace(Duration::from_secs(3600));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(running.server.times(RENEW).len(), 1);
    // The rest of its life is counted from there.
    sleep(Duration::from_secs(2500)).await;
    assert_eq!(running.server.times(RENEW).len(), 1);
}

/// The server answers everything by 503 for seventy seconds; a renewal is due in them, and the TTL does not end.
#[tokio::test(start_paused = true)]
async fn an_outage_takes_no_token_and_costs_no_login() {
    let began = Instant::now();
    let server = FakeServer::new(move |_, _| match began.elapsed().as_secs() {
        200..270 => refused(503),
        _ => granted("s.1", 300),
    });
    let running = start(server, false);
    for _ in 0..1000 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(running.token(), "s.1");
    }
    assert_eq!(running.server.times(LOGIN).len(), 1);
    assert!(running.server.times(RENEW).len() <= 20, "{:?}", running.server.times(RENEW));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_while_logins_fail_and_a_dead_token_is_not_asked_about() {
    let server = FakeServer::new(|path, nth| match path {
        ALIVE => refused(403),
        LOGIN if nth == 0 => granted("s.1", 3600),
        _ => refused(400),
    });
    let running = start(server, false);
    sleep(Duration::from_secs(2)).await;
    let refusal = crate::Refused { generation: 1, looks_dead: true };
    let asked = Instant::now();
    assert!(!running.reauth.replacement_comes(refusal).await);
    assert!(!running.reauth.replacement_comes(refusal).await);
    assert!(asked.elapsed() < Duration::from_millis(10));
    assert_eq!((running.server.times(ALIVE).len(), running.server.times(LOGIN).len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_token_is_revoked_a_while_later_and_a_dead_one_is_not() {
    for dies in [false, true] {
        let server = FakeServer::new(move |path, nth| match path {
            ALIVE => refused(403),
            LOGIN => {
                let auth =
                    json!({"client_token": format!("s.{nth}"), "lease_duration": 100, "renewable": false});
                (200, json!({"auth": auth}))
            }
            _ => (204, json!({})),
        });
        let wanted =
            |_: &std::path::Path, settings| config::AutoAuth { revoke_previous_token: true, ..settings };
        let running = start_with(server, false, wanted, |auto_auth| auto_auth);
        sleep(Duration::from_secs(2)).await;
        if dies {
            running.reauth.ask(1);
        }
        sleep(Duration::from_secs(93)).await;
        assert!(running.server.times(REVOKE).is_empty());
        // Five seconds more, and the next token's turn has come.
        sleep(Duration::from_secs(if dies { 5 } else { 10 })).await;
        assert_eq!(running.server.times(REVOKE).len(), usize::from(!dies));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_is_taken_up_unless_it_is_dead() {
    let found = (200, json!({"data": {"ttl": 3000, "renewable": true, "accessor": "a", "expire_time": "x"}}));
    // What the server says of the stored token, and the logins and look-ups that follow.
    let rows = [
        ("good", vec![found.clone()], 200, 0, 1),
        ("dead", vec![refused(403)], 403, 1, 1),
        ("without the right to look itself up", vec![refused(403)], 200, 0, 1),
        ("of a server that is away", vec![refused(503), refused(503), found], 200, 0, 3),
    ];
    for (what, lookups, alive, logins, asked) in rows {
        let keep = tempfile::tempdir().unwrap();
        let (path, key) = (keep.path().join("store"), keep.path().join("key"));
        atomic_file::write(&key, &[7; 32], &atomic_file::Attributes::new(0o600)).unwrap();
        let wanted = |_: &std::path::Path, mut settings: config::AutoAuth| {
            settings.token_store =
                Some(config::TokenStore { path: path.clone(), key: config::KeySource::File(key.clone()) });
            // The seal knows the method's keys; both runs have the same.
            let config::MethodKind::AppRole(approle) = &mut settings.method.kind else { return settings };
            let role_id_file = path.with_file_name("role");
            atomic_file::write(&role_id_file, b"role", &atomic_file::Attributes::new(0o600)).unwrap();
            approle.role_id_file = role_id_file;
            settings
        };
        let first =
            start_with(FakeServer::new(|_, _| granted("s.1", 3600)), false, wanted, |auto_auth| auto_auth);
        sleep(Duration::from_secs(1)).await;
        first.task.abort();
        assert!(path.exists());
        let server = FakeServer::new(move |path, nth| match path {
            LOOKUP => lookups[nth.min(lookups.len() - 1)].clone(),
            ALIVE => refused(alive),
            LOGIN => granted("s.2", 3600),
            _ => granted("s.1", 3600),
        });
        let second = start_with(server, false, wanted, |auto_auth| auto_auth);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(second.token(), if logins == 0 { "s.1" } else { "s.2" }, "{what}");
        let times = |path| second.server.times(path).len();
        assert_eq!((times(LOGIN), times(LOOKUP)), (logins, asked), "{what}");
        assert_eq!(times(RENEW), usize::from(logins == 0), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_made_before_is_gone_on_with() {
    // How long the work before took, and how many logins follow at the start.
    for (ttl, work, logins, first) in
        [(100, 40, 0, "s.before"), (100, 100, 1, "s.1"), (0, 86_400, 0, "s.before")]
    {
        let server = FakeServer::new(move |path, nth| match (path, nth) {
            (LOGIN, 0) => granted("s.before", ttl),
            _ => granted("s.1", 3600),
        });
        let (auto_auth, _tokens, _reauth, _folder) = made(&server, false, |_, settings| settings);
        let login = auto_auth.log_in().await.unwrap();
        assert_eq!(login.token().expose(), "s.before");
        assert!(!format!("{login:?}").contains("s.before"));
        sleep(Duration::from_secs(work)).await;
        let running = start_with(
            server,
            false,
            |_, settings| settings,
            |auto_auth| auto_auth.going_on_with(Some(login)),
        );
        sleep(Duration::from_millis(1)).await;
        assert_eq!(running.token(), first);
        assert_eq!(running.server.times(LOGIN).len(), 1 + logins);
        // It is renewed while it lives.
        sleep(Duration::from_secs(59)).await;
        assert_eq!(running.server.times(RENEW).len(), usize::from(first == "s.before" && ttl > 0));
        assert_eq!(running.server.times(LOGIN).len(), 1 + logins);
    }
}

fn start_wrapped(server: Arc<FakeServer>, exit_on_err: bool) -> Running {
    let wrap = |_: &std::path::Path, settings: config::AutoAuth| {
        let wrap_ttl = Some(Duration::from_secs(300));
        config::AutoAuth { method: config::Method { wrap_ttl, ..settings.method }, ..settings }
    };
    start_with(server, exit_on_err, wrap, |auto_auth| auto_auth)
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_login_goes_to_the_sink_and_nothing_follows() {
    let wrapped = |_: &str, _| (200, json!({"wrap_info": {"token": "s.w", "accessor": "a", "ttl": 300}}));
    let mut running = start_wrapped(FakeServer::new(wrapped), false);
    timeout(Duration::from_secs(60), running.tokens.changed()).await.unwrap().unwrap();
    let state = running.tokens.borrow_and_update().clone();
    assert!(state.token.is_none());
    assert!(state.wrapped().unwrap().expose().starts_with("{\"token\":\"s.w\","));
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(running.server.asked.lock().unwrap().len(), 1, "renewed or logged in again");
    for answer in [json!({}), json!({"auth": {"client_token": "s.1"}}), json!({"wrap_info": {}})] {
        let answer = move |_: &str, _| (200, answer.clone());
        let running = start_wrapped(FakeServer::new(answer), true);
        let error = running.task.await.unwrap().unwrap_err().to_string();
        assert!(error.ends_with("it is not wrapped, as was asked for"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_holds_nothing_up_for_longer_than_a_minute() {
    for hangs in [LOGIN, RENEW, ALIVE, REVOKE] {
        let server = FakeServer::new(move |path, nth| match path {
            _ if path == hangs && nth == 0 => (HANGS, json!({})),
            // The first renewal is denied, so that the token is checked.
            RENEW if hangs == ALIVE && nth == 0 => refused(403),
            LOGIN if hangs == REVOKE => (
                200,
                json!({"auth": {"client_token": format!("s.{nth}"), "lease_duration": 100, "renewable": false}}),
            ),
            _ => granted("s.1", 3600),
        });
        let wanted =
            |_: &std::path::Path, settings| config::AutoAuth { revoke_previous_token: true, ..settings };
        let running = start_with(server, false, wanted, |auto_auth| auto_auth);
        sleep(Duration::from_secs(4000)).await;
        // What could not be found out about the token is asked again by its next renewal.
        let again = if hangs == ALIVE { RENEW } else { hangs };
        let times = running.server.times(again);
        assert!(times.len() > 1, "{hangs}: {times:?}");
        if hangs == LOGIN {
            assert!((60_000..63_000).contains(&(times[1] - times[0])), "{times:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_gives_nonsense_is_no_renewal_for_ever() {
    for ttl in [-5, i64::MIN] {
        let server = FakeServer::new(move |path, nth| match path {
            RENEW => {
                let auth = json!({"client_token": "s.0", "lease_duration": ttl, "renewable": true});
                (200, json!({"auth": auth}))
            }
            _ => granted(&format!("s.{nth}"), 100),
        });
        let running = start(server, false);
        sleep(Duration::from_secs(80)).await;
        assert_eq!(running.token(), "s.1");
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_wish_is_heard_at_logins_and_renewals() {
    for path in [LOGIN, RENEW] {
        let mut pauses = Vec::new();
        for wish in [0, 200] {
            let server = FakeServer::new(move |asked, nth| match nth {
                0 if asked == path => (503, json!({"errors": ["no"], "retry_after": wish})),
                _ => granted("s.1", 36_000),
            });
            let running = start(server, false);
            // The same jitter both times, which nobody else draws from.
            fastrand::seed(7);
            sleep(Duration::from_secs(35_990)).await;
            running.task.abort();
            let times = running.server.times(path);
            pauses.push(times[1] - times[0]);
        }
        assert!(pauses[1].abs_diff(pauses[0] + 200_000) < 10, "{path}: {pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_token_once_more_is_news_for_nobody() {
    let server = FakeServer::new(|_, _| {
        (200, json!({"auth": {"client_token": "s.1", "lease_duration": 100, "renewable": false}}))
    });
    let running = start(server, false);
    sleep(Duration::from_secs(100)).await;
    assert_eq!((running.server.times(LOGIN).len(), running.tokens.borrow().generation), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_server_that_cannot_tell() {
    let server = FakeServer::new(|path, _| if path == ALIVE { refused(503) } else { granted("s.1", 3600) });
    let running = start(server, false);
    sleep(Duration::from_secs(2)).await;
    let refusal = crate::Refused { generation: 1, looks_dead: true };
    let comes = timeout(Duration::from_secs(3), running.reauth.replacement_comes(refusal)).await;
    assert!(!comes.unwrap());
    assert_eq!(running.token(), "s.1");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_died_while_the_machine_slept_is_replaced_by_one_login() {
    let (slept, receiver) = watch::channel(Duration::ZERO);
    let clock = |auto_auth: AutoAuth| AutoAuth {
        door: Door { clock: Clock::test(receiver), ..auto_auth.door },
        ..auto_auth
    };
    let server = FakeServer::new(|path, nth| match path {
        LOGIN => granted(&format!("s.{nth}"), 3600),
        _ => refused(403),
    });
    let running = start_with(server, false, |_, settings| settings, clock);
    sleep(Duration::from_secs(10)).await;
    slept.send_replace(Duration::from_secs(36_000));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(running.token(), "s.1");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(running.server.asked.lock().unwrap().len(), 4, "two logins, a renewal, a check");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_few_uses_is_not_kept_for_the_next_run() {
    let keep = tempfile::tempdir().unwrap();
    let (path, key) = (keep.path().join("store"), keep.path().join("key"));
    atomic_file::write(&key, &[7; 32], &atomic_file::Attributes::new(0o600)).unwrap();
    for (num_uses, kept) in [(3, false), (0, true)] {
        let server = FakeServer::new(move |_, _| {
            (200, json!({"auth": {"client_token": "s.1", "lease_duration": 100, "num_uses": num_uses}}))
        });
        let wanted = |_: &std::path::Path, settings| {
            let store = config::TokenStore { path: path.clone(), key: config::KeySource::File(key.clone()) };
            config::AutoAuth { token_store: Some(store), ..settings }
        };
        let running = start_with(server, false, wanted, |auto_auth| auto_auth);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((running.token().as_str(), path.exists()), ("s.1", kept));
    }
}

//! The cache across restarts: against a fake server, with a real file.

mod crash;
mod damage;
mod hooks;
mod notes;

use std::path::Path;
use std::sync::Mutex;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vault::api::Caller;
use vault::{Body, BoxFuture, Request, Response, SendError, Token, Upstream};

use super::*;
use crate::{Cache, Mode, Options, Origin};

const OWN: &str = "s.canary-own";

/// Hands out tokens and leases, knows who is dead, and can be away.
#[derive(Default)]
struct Server {
    asked: Mutex<Vec<String>>,
    away: AtomicBool,
    hangs: AtomicBool,
    dead: Mutex<Vec<String>>,
}

impl Server {
    fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(path)).count()
    }
}

impl Upstream for Server {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move {
            if self.hangs.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            if self.away.load(Relaxed) {
                return Err(SendError::TimedOut(Duration::from_millis(1)));
            }
            let path = request.target.trim_start_matches("/v1/").to_owned();
            self.asked.lock().unwrap().push(path.clone());
            let token = request.token_sent().unwrap_or_default();
            let is_dead = self.dead.lock().unwrap().iter().any(|dead| dead == token);
            let (status, body) = match path.as_str() {
                _ if is_dead => (403, json!({"errors": ["permission denied"]})),
                "auth/approle/login" => {
                    let auth = json!({"client_token": "s.canary-login", "accessor": "canary-accessor",
                        "lease_duration": 3600, "renewable": true, "orphan": true});
                    (200, json!({ "auth": auth }))
                }
                "auth/token/create" => {
                    // Another one each time.
                    let name = match self.count("auth/token/create") {
                        1 => "s.child".to_owned(),
                        nth => format!("s.child-{nth}"),
                    };
                    let auth = json!({"client_token": name, "lease_duration": 3600, "renewable": true});
                    (200, json!({ "auth": auth }))
                }
                "auth/token/renew-self" => (
                    200,
                    json!({"auth": {"client_token": "same", "lease_duration": 3600, "renewable": true}}),
                ),
                "sys/leases/renew" => {
                    (200, json!({"lease_id": "x", "lease_duration": 3600, "renewable": true}))
                }
                path if path.starts_with("database/creds/") => {
                    let pad = std::env::var("SIDEKEY_TEST_PAD").unwrap_or_default();
                    let data = json!({"password": format!("canary for {path}"), "pad": pad});
                    (
                        200,
                        json!({"lease_id": format!("{path}/id"), "lease_duration": 3600, "renewable": true, "data": data}),
                    )
                }
                path if path.contains("revoke") => (204, Value::Null),
                _ => (200, json!({"data": {}})),
            };
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = if status == 204 { Body::empty() } else { Body::full(body.to_string()) };
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
        })
    }
}

fn settings(folder: &Path) -> DiskSettings {
    DiskSettings {
        folder: folder.to_owned(),
        key: KeyMaterial::key(vec![7; 32]),
        home: Home { server: "https://server".into(), machine: "machine".into() },
        keep_after_import: true,
        strict: false,
        room: Room::from(&Options::default()),
        secrets: None,
    }
}

/// One life of the program.
struct Run {
    cache: Cache,
    stop: CancellationToken,
    keeping: tokio::task::JoinHandle<()>,
}

impl Run {
    fn start(settings: &DiskSettings, server: &Arc<Server>) -> Self {
        // Bodies stay as they are, to be compared.
        Self::start_with(settings, server, Options { adjust_ttl: false, ..Options::default() })
    }

    fn start_with(settings: &DiskSettings, server: &Arc<Server>, options: Options) -> Self {
        let opened = open(settings).unwrap();
        let stop = CancellationToken::new();
        let upstream = Arc::clone(server) as _;
        let (cache, keep_alive) = Cache::with_options(
            Mode::Remember,
            options,
            Some(opened),
            upstream,
            Caller::default(),
            stop.clone(),
        );
        let keeping = tokio::spawn(keep_alive);
        cache.set_own_token(0, Arc::new(Token::new(OWN).unwrap()));
        Self { cache, stop, keeping }
    }

    async fn ask(&self, path: &str) -> (bool, HeaderMap, String) {
        self.ask_with(path, OWN).await
    }

    async fn ask_with(&self, path: &str, token: &str) -> (bool, HeaderMap, String) {
        let method = if path.contains("login") || path.contains("revoke") || path.contains("create") {
            Method::PUT
        } else {
            Method::GET
        };
        let request = Request::new(method, path).token(&Token::new(token).unwrap());
        let mut answer = self.cache.send(request).await.unwrap();
        let vault::Gathered::Whole(body) =
            answer.response.body.gather(100_000, Duration::from_secs(1)).await.unwrap()
        else {
            panic!("no whole body")
        };
        let hit = matches!(answer.origin, Origin::Cache { .. });
        (hit, answer.response.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Ends as the program does.
    async fn stop(self) {
        self.stop.cancel();
        self.keeping.await.unwrap();
    }

    /// Ends without another word to the disk.
    async fn crash(self) {
        self.keeping.abort();
        let _ = self.keeping.await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_remembered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    let login = run.ask_with("auth/approle/login", "x").await;
    let lease = run.ask("database/creds/app").await;
    let below = run.ask_with("database/creds/below", "s.canary-login").await;
    assert!(!login.0 && !lease.0 && !below.0);
    sleep(Duration::from_secs(100)).await;
    run.stop().await;
    let file = std::fs::read(folder.path().join(FILE_NAME)).unwrap();
    assert!(!file.windows(6).any(|part| part == b"canary"), "a secret lies open");

    let asked = server.count("");
    let run = Run::start(&settings(folder.path()), &server);
    for (path, token, before) in [
        ("auth/approle/login", "x", &login),
        ("database/creds/app", OWN, &lease),
        ("database/creds/below", "s.canary-login", &below),
    ] {
        let (hit, headers, body) = run.ask_with(path, token).await;
        assert!(hit && body == before.2, "{path}");
        assert!(!headers.contains_key(header::WARNING), "{path}");
    }
    // Both tokens were shown to the server first, and nothing else was asked.
    assert_eq!(server.count("auth/token/lookup-self"), 2);
    assert_eq!(server.count(""), asked + 2);
    // One renewal each, at its time; not one per restart, and not at once.
    sleep(Duration::from_secs(2700)).await;
    assert_eq!((server.count("sys/leases/renew"), server.count("auth/token/renew-self")), (2, 1));
    run.stop().await;
    let records = open(&settings(folder.path())).unwrap().records;
    assert_eq!(records.len(), 4, "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_on_the_disk_before_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask_with("auth/approle/login", "x").await;
    for path in ["database/creds/a", "database/creds/b"] {
        run.ask(path).await;
    }
    run.ask_with("database/creds/below", "s.canary-login").await;
    run.cache.write_now().await;
    run.ask("sys/leases/revoke/database/creds/a/id").await;
    run.ask("auth/token/revoke/s.canary-login").await;
    run.crash().await;
    let run = Run::start(&settings(folder.path()), &server);
    assert!(!run.ask("database/creds/a").await.0, "a revoked lease came back");
    assert!(!run.ask_with("auth/approle/login", "x").await.0, "a revoked login came back");
    assert!(
        !run.ask_with("database/creds/below", "s.canary-login").await.0,
        "a lease of a revoked token came back"
    );
    assert!(run.ask("database/creds/b").await.0);
    // So is a clearing that was asked for.
    run.cache.clear(&crate::Clear::All);
    run.cache.settle().await;
    run.crash().await;
    let run = Run::start(&settings(folder.path()), &server);
    assert!(!run.ask("database/creds/b").await.0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_died_meanwhile_takes_its_leases_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask_with("auth/approle/login", "x").await;
    run.ask_with("database/creds/below", "s.canary-login").await;
    run.ask("database/creds/app").await;
    run.stop().await;
    server.dead.lock().unwrap().push("s.canary-login".to_owned());
    let run = Run::start(&settings(folder.path()), &server);
    assert!(!run.ask_with("auth/approle/login", "x").await.0);
    assert!(run.ask("database/creds/app").await.0);
    run.cache.write_now().await;
    run.stop().await;
    let leases = |run: &[Record]| run.iter().filter(|record| record.kind() == Kind::Lease).count();
    assert_eq!(leases(&open(&settings(folder.path())).unwrap().records), 1);
}

#[tokio::test(start_paused = true)]
async fn with_the_server_away_what_lives_is_served_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.stop().await;
    server.away.store(true, Relaxed);
    let run = Run::start(&settings(folder.path()), &server);
    let (hit, headers, _) = run.ask("database/creds/app").await;
    assert!(hit);
    assert!(headers[header::WARNING].to_str().unwrap().starts_with("111 "), "{headers:?}");
    server.away.store(false, Relaxed);
    sleep(Duration::from_secs(31)).await;
    let (hit, headers, _) = run.ask("database/creds/app").await;
    assert!(hit && !headers.contains_key(header::WARNING));
    assert_eq!(server.count("auth/token/lookup-self"), 1);
    // And no longer than it lives.
    run.stop().await;
    server.away.store(true, Relaxed);
    let run = Run::start(&settings(folder.path()), &server);
    sleep(Duration::from_secs(3601)).await;
    let request = Request::new(Method::GET, "database/creds/app").token(&Token::new(OWN).unwrap());
    assert!(run.cache.send(request).await.is_err(), "a dead lease was served");
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_few_writes_and_one_record_each() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    for nth in 0..300 {
        run.ask(&format!("database/creds/{nth}")).await;
    }
    sleep(Duration::from_secs(10)).await;
    let commits = run.cache.write_now().await;
    assert!((1..=5).contains(&commits), "{commits}");
    // Every lease is renewed six times.
    sleep(Duration::from_secs(6 * 2700)).await;
    assert!(server.count("sys/leases/renew") > 1500);
    run.stop().await;
    assert_eq!(open(&settings(folder.path())).unwrap().records.len(), 301);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_taken_in_once_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let once = DiskSettings { keep_after_import: false, ..settings(folder.path()) };
    let run = Run::start(&once, &server);
    run.ask("database/creds/app").await;
    run.stop().await;
    let path = folder.path().join(FILE_NAME);
    assert!(path.exists(), "the first one writes for the second");
    let run = Run::start(&once, &server);
    assert!(!path.exists());
    assert!(run.ask("database/creds/app").await.0);
    run.ask("database/creds/other").await;
    run.stop().await;
    assert!(!path.exists());
}

/// A server that takes requests and does not answer holds nobody up for long.
#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.stop().await;
    server.hangs.store(true, Relaxed);
    let run = Run::start(&settings(folder.path()), &server);
    let began = tokio::time::Instant::now();
    assert!(run.ask("database/creds/app").await.0);
    assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
    let began = tokio::time::Instant::now();
    assert!(run.ask("database/creds/app").await.0);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// A thousand leases are not a thousand commits, take no more room than they need, and all come back but those that
/// were revoked.
#[tokio::test]
async fn many_leases_are_gathered_into_few_commits() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    for nth in 0..1_000 {
        run.ask(&format!("database/creds/{nth}")).await;
    }
    let commits = run.cache.write_now().await;
    assert!(commits < 200, "{commits} commits");
    for nth in 0..100 {
        run.ask(&format!("sys/leases/revoke/database/creds/{nth}/id")).await;
    }
    run.stop().await;
    let size = std::fs::metadata(folder.path().join(FILE_NAME)).unwrap().len();
    assert!(size < 4_000_000, "{size} bytes");
    let opened = open(&settings(folder.path())).unwrap();
    let leases = opened.records.iter().filter(|record| matches!(record.subject, StoredSubject::Lease { .. }));
    assert_eq!(leases.count(), 900);
}

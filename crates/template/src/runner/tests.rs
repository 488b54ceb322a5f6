//! The loop against a fake server, under paused time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use vault::{Body, Request, Response, SendError, Token};

use super::*;
use crate::fetch::unix_now;

mod commands;
mod files;
mod leases;
mod slow;
mod timers;
mod updates;

/// Answers from a table that a test can change; counts what was asked.
#[derive(Default)]
struct FakeServer {
    answers: Mutex<HashMap<String, (u16, Value)>>,
    asked: Mutex<Vec<String>>,
}

impl FakeServer {
    fn answer(&self, path: &str, status: u16, body: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body));
    }

    fn kv(&self, path: &str, value: &str) {
        self.answer(path, 200, json!({"data": {"value": value}}));
    }

    fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }
}

impl Upstream for FakeServer {
    fn send(&self, request: Request) -> vault::BoxFuture<'_, Result<Response, SendError>> {
        let path = request.target.trim_start_matches("/v1/").to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let known = self.answers.lock().unwrap().get(&path).cloned();
        let (status, body) = match known {
            Some(answer) => answer,
            None if path.starts_with("sys/internal/ui/mounts/") => {
                (200, json!({"data": {"path": "kv/", "type": "kv", "options": {"version": "1"}}}))
            }
            None => (404, json!({"errors": []})),
        };
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            if status == 0 {
                return std::future::pending().await;
            }
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Response { status, headers: HeaderMap::new(), body: Body::full(body.to_string()) })
        })
    }
}

struct Stage {
    server: Arc<FakeServer>,
    folder: tempfile::TempDir,
    tokens: watch::Sender<TokenState>,
    ready: TaskTracker,
    templates: Vec<Template>,
    shared: TemplateConfig,
    attempts: u32,
    once: bool,
    child: Option<Arc<dyn Fn(ChildAction) + Send + Sync>>,
}

fn stage() -> Stage {
    Stage {
        server: Arc::default(),
        folder: tempfile::tempdir().unwrap(),
        tokens: watch::channel(TokenState::default()).0,
        ready: TaskTracker::new(),
        templates: Vec::new(),
        shared: TemplateConfig::default(),
        attempts: 12,
        once: false,
        child: None,
    }
}

/// A template with nothing special.
pub(crate) fn template(destination: PathBuf, text: &str) -> Template {
    Template {
        contents: config::Contents::Inline(text.into()),
        destination,
        perms: Some(0o600),
        ..Template::default()
    }
}

impl Stage {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|_| "absent".into())
    }

    fn template(&mut self, name: &str, text: &str) -> &mut Template {
        self.templates.push(template(self.path(name), text));
        self.templates.last_mut().unwrap()
    }

    fn start(&mut self) -> JoinHandle<Result<(), RunnerError>> {
        let server = Arc::clone(&self.server);
        self.start_at(server)
    }

    fn start_at(&mut self, server: Arc<dyn Upstream>) -> JoinHandle<Result<(), RunnerError>> {
        let settings = self.settings();
        let templates = std::mem::take(&mut self.templates);
        let runner = Runner::new(templates, settings, server, Caller::default(), self.ready.token()).unwrap();
        self.ready.close();
        let tokens = self.tokens.subscribe();
        self.token(1);
        tokio::spawn(runner.run(tokens))
    }

    fn settings(&mut self) -> RunnerSettings {
        RunnerSettings {
            shared: self.shared.clone(),
            attempts: self.attempts,
            backoff: (Duration::from_millis(250), Duration::from_secs(60)),
            once: self.once,
            environment: HashMap::new(),
            for_commands: Vec::new(),
            refused: Arc::new(|_| {}),
            old_tokens_are_revoked: false,
            child: self.child.take(),
        }
    }

    fn token(&self, generation: u64) {
        let token = Some(Arc::new(Token::new(format!("s.{generation}")).unwrap()));
        self.tokens.send_replace(TokenState { token, generation, ..TokenState::default() });
    }
}

const VALUE: &str = r#"{{with secret "kv/a"}}{{.Data.value}}{{end}}"#;

#[tokio::test(start_paused = true)]
async fn renders_and_renders_again_when_the_secret_changes() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.template("out", VALUE);
    stage.template("deep/er/out", &format!("{VALUE} {VALUE}"));
    let _running = stage.start();
    stage.ready.wait().await;
    assert_eq!((stage.read("out"), stage.read("deep/er/out")), ("one".into(), "one one".into()));
    assert_eq!(stage.server.count("kv/a"), 1, "two templates, one secret, one read");
    stage.server.kv("kv/a", "two");
    sleep(Duration::from_secs(250)).await;
    assert_eq!(stage.read("out"), "one");
    sleep(Duration::from_secs(40)).await;
    assert_eq!((stage.read("out"), stage.read("deep/er/out")), ("two".into(), "two two".into()));
}

#[tokio::test(start_paused = true)]
async fn a_failing_template_never_touches_its_neighbours() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.template("good", VALUE);
    stage.template("absent", r#"{{with secret "kv/none"}}x{{end}}"#);
    stage.template("error", r#"{{with secret "kv/a"}}{{.Data.value.deeper.still}}{{end}}"#);
    stage.template("unwritable", VALUE).destination = "/proc/none/file".into();
    let running = stage.start();
    sleep(Duration::from_secs(3600)).await;
    assert!(!running.is_finished() && !stage.ready.is_empty());
    assert_eq!(
        (stage.read("good"), stage.read("absent"), stage.read("error")),
        ("one".into(), "absent".into(), "absent".into())
    );
    let asked = stage.server.count("kv/none");
    assert!((60..80).contains(&asked), "{asked} reads of what is not there in an hour");
    stage.server.kv("kv/none", "here");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.read("absent"), "x");
}

#[tokio::test(start_paused = true)]
async fn exit_on_retry_failure_is_for_failures_only() {
    // The ten cases of upstream: on or off, with a good, an absent secret, a missing key, a missing key that
    // counts as an error.
    let key = r#"{{with secret "kv/a"}}{{.Data.none}}{{end}}"#;
    let absent = r#"{{with secret "kv/none"}}{{.Data.value}}{{end}}"#;
    for (text, strict, fails) in [
        (VALUE, false, false),
        (key, false, false),
        (key, true, true),
        (absent, false, true),
        (absent, true, true),
    ] {
        for exit in [true, false] {
            let mut stage = stage();
            stage.server.kv("kv/a", "one");
            stage.shared.exit_on_retry_failure = exit;
            stage.attempts = 2;
            stage.template("out", text).error_on_missing_key = strict;
            let running = stage.start();
            sleep(Duration::from_secs(120)).await;
            assert_eq!(running.is_finished(), exit && fails, "{text} strict: {strict} exit: {exit}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn exit_on_start_failure_is_for_the_start_only() {
    let strict = r#"{{with secret "kv/a"}}{{.Data.value}}{{end}}"#;
    // What the server says first, and whether that ends the program at once.
    let rows = [(200, json!({"data": {"other": "x"}}), true), (403, json!({}), true), (404, json!({}), true)];
    for (status, answer, ends) in rows.into_iter().chain([(503, json!({}), false)]) {
        let mut stage = stage();
        stage.server.answer("kv/a", status, answer);
        stage.shared.exit_on_start_failure = true;
        stage.attempts = 12;
        stage.template("out", strict).error_on_missing_key = true;
        let running = stage.start();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(running.is_finished(), ends, "{status}");
        if ends {
            assert_eq!(stage.server.count("kv/a"), 1, "{status}");
        }
    }
    for (status, answer) in [(200, json!({"data": {"other": "x"}})), (404, json!({})), (503, json!({}))] {
        let mut stage = stage();
        stage.server.kv("kv/a", "one");
        stage.shared.exit_on_start_failure = true;
        stage.attempts = 0;
        stage.template("out", strict).error_on_missing_key = true;
        let running = stage.start();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.read("out"), "one");
        stage.server.answer("kv/a", status, answer);
        sleep(Duration::from_secs(3600)).await;
        assert!(!running.is_finished() && stage.read("out") == "one", "{status}");
        stage.server.kv("kv/a", "two");
        sleep(Duration::from_secs(600)).await;
        assert_eq!(stage.read("out"), "two", "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_stands_in_an_error() {
    let mut stage = stage();
    stage.server.answer("kv/a", 200, json!({"data": {"value": "canary-value", "n": {"x": "canary-nested"}}}));
    stage.shared.exit_on_retry_failure = true;
    stage.template("out", r#"{{with secret "kv/a"}}{{index .Data.n .Data.value 5}}{{printf "%s" (.Data.value | base64Decode)}}{{end}}"#);
    let error = stage.start().await.unwrap().unwrap_err().to_string();
    assert!(!error.contains("canary"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_and_replaced_when_they_end() {
    let mut stage = stage();
    let lease = |nth: u32| json!({"lease_id": format!("kv/a/{nth}"), "lease_duration": 60, "renewable": true, "data": {"value": format!("user-{nth}")}});
    stage.server.answer("kv/a", 200, lease(1));
    stage.server.answer(
        "sys/leases/renew",
        200,
        json!({"lease_id": "kv/a/1", "lease_duration": 60, "renewable": true}),
    );
    stage.template("out", VALUE);
    let _running = stage.start();
    sleep(Duration::from_secs(300)).await;
    assert_eq!((stage.read("out"), stage.server.count("kv/a")), ("user-1".into(), 1));
    assert!((6..8).contains(&stage.server.count("sys/leases/renew")));
    stage.server.answer("kv/a", 200, lease(2));
    stage.server.answer("sys/leases/renew", 400, json!({"errors": ["lease not found"]}));
    sleep(Duration::from_secs(45)).await;
    assert_eq!(stage.read("out"), "user-2");
    // Whatever the server says, a new lease is bought at most once a renewal's pause.
    sleep(Duration::from_secs(420)).await;
    assert!(stage.server.count("kv/a") <= 13, "{}", stage.server.count("kv/a"));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_replaces_leases_and_reads_nothing_else() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.server.answer(
        "kv/lease",
        200,
        json!({"lease_id": "kv/lease/1", "lease_duration": 3600, "renewable": true, "data": {"value": "u"}}),
    );
    stage.template("static", VALUE);
    stage.template("leased", r#"{{with secret "kv/lease"}}{{.Data.value}}{{end}}"#);
    let _running = stage.start();
    stage.ready.wait().await;
    stage.token(2);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((stage.server.count("kv/a"), stage.server.count("kv/lease")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn more_hung_secrets_than_slots_are_waited_for_without_spinning() {
    let mut stage = stage();
    for nth in 0..AT_ONCE + 2 {
        stage.server.answer(&format!("kv/hung{nth}"), 0, json!({}));
        stage.template(&format!("out{nth}"), &format!(r#"{{{{with secret "kv/hung{nth}"}}}}x{{{{end}}}}"#));
    }
    let _running = stage.start();
    // The paused clock moves only when everybody waits.
    sleep(Duration::from_secs(100)).await;
    let asked = stage.server.asked.lock().unwrap().len();
    assert!(asked <= 6 * AT_ONCE, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn local_files_are_followed() {
    let mut stage = stage();
    let source = stage.path("source");
    put(&source, "one");
    stage.template("out", &format!("[{{{{file {source:?}}}}}]"));
    let _running = stage.start();
    stage.ready.wait().await;
    assert_eq!(stage.read("out"), "[one]");
    put(&source, "two");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.read("out"), "[two]");
}

fn put(path: &Path, text: &str) {
    atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn files_are_read_through_the_sandbox() {
    let mut stage = stage();
    let (inside, outside) = (stage.path("box/real"), stage.path("outside"));
    atomic_file::create_folders(&stage.path("box")).unwrap();
    put(&inside, "inside");
    put(&outside, "outside");
    let link = stage.path("box/link");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    let sandbox = Some(stage.path("box"));
    stage.template("out", &format!("{{{{file {link:?}}}}}")).sandbox_path = sandbox;
    let _running = stage.start();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.read("out"), "inside");
    // Swapped under our hands: what is known stays.
    atomic_file::remove(&link).unwrap();
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(stage.read("out"), "inside");
}

#[tokio::test(start_paused = true)]
async fn lists_are_read_at_the_interval() {
    let mut stage = stage();
    let keys = |keys: &[&str]| json!({"data": {"keys": keys}});
    stage.server.answer("kv/dir?list=true", 200, keys(&["b", "a"]));
    stage.template("out", r#"{{range secrets "kv/dir"}}{{.}}{{end}}"#);
    let _running = stage.start();
    stage.ready.wait().await;
    assert_eq!(stage.read("out"), "ab");
    stage.server.answer("kv/dir?list=true", 200, keys(&["c"]));
    sleep(Duration::from_secs(299)).await;
    assert_eq!(stage.read("out"), "ab");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.read("out"), "c");
}

#[tokio::test(start_paused = true)]
async fn more_files_are_written_when_the_template_is_complete() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    let (extra, log) = (stage.path("deep/extra"), stage.path("log"));
    let text = format!(
        r#"{{{{ "always" | writeToFile {extra:?} "" "" "0640" }}}}{{{{ "line" | writeToFile {log:?} "" "" "0600" "append,newline" }}}}{VALUE}{{{{ with secret "kv/b" }}}}{{{{ .Data.value }}}}{{{{ end }}}}"#
    );
    stage.template("out", &text);
    let _running = stage.start();
    sleep(Duration::from_secs(30)).await;
    assert_eq!((stage.read("deep/extra"), stage.read("log")), ("absent".into(), "absent".into()));
    stage.server.kv("kv/b", "two");
    sleep(Duration::from_secs(60)).await;
    assert_eq!((stage.read("out"), stage.read("deep/extra")), ("onetwo".into(), "always".into()));
    assert_eq!(stage.read("log"), "line\n");
    // Rendered anew: what was appended is not appended again.
    stage.server.kv("kv/a", "three");
    sleep(Duration::from_secs(300)).await;
    assert_eq!((stage.read("out"), stage.read("log")), ("threetwo".into(), "line\n".into()));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_is_the_templates_failure() {
    let mut stage = stage();
    stage.shared.exit_on_retry_failure = true;
    stage.template("out", r#"{{ "x" | writeToFile "/proc/none/x" "" "" "0600" }}text"#);
    let error = stage.start().await.unwrap().unwrap_err().to_string();
    let why = "(dynamic): execute: error calling writeToFile: mkdir /proc/none: no such file or directory";
    assert!(error.contains(why), "{error}");
    assert_eq!(stage.read("out"), "absent");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_asked_for_when_its_time_is_up_and_kept_in_the_file() {
    let mut stage = stage();
    let now = unix_now();
    let issue = |server: &FakeServer| {
        let (cert, key, ca) = crate::pki::tests::issue(now, now + 3600);
        let data = json!({"certificate": cert, "private_key": key, "issuing_ca": ca});
        server.answer("pki/issue/web", 200, json!({"data": data}));
        format!("{cert}{key}{ca}")
    };
    let text = r#"{{with pkiCert "pki/issue/web" "common_name=web"}}{{.Cert}}{{.Key}}{{.CA}}{{end}}"#;
    let first = issue(&stage.server);
    stage.template("out", text);
    let running = stage.start();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((stage.read("out") == first, stage.server.count("pki/issue/web")), (true, 1));
    // A new runner, as after a restart: the file is the store.
    running.abort();
    let second = issue(&stage.server);
    stage.template("out", text);
    let _running = stage.start();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((stage.read("out") == first, stage.server.count("pki/issue/web")), (true, 1));
    // Nine tenths of an hour, less or more 3 %.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((stage.read("out") == second, stage.server.count("pki/issue/web")), (true, 2));
}

#[tokio::test(start_paused = true)]
async fn a_failing_template_issues_no_certificates() {
    let mut stage = stage();
    let (cert, key, ca) = crate::pki::tests::issue(unix_now(), unix_now() + 86_400);
    let data = json!({"certificate": cert, "private_key": key, "issuing_ca": ca});
    stage.server.answer("pki/issue/web", 200, json!({"data": data}));
    let text = r#"{{with pkiCert "pki/issue/web" "common_name=web"}}{{.Cert}}{{end}}{{with secret "pki/issue/web" "a=b"}}{{.Data.certificate}}{{end}}"#;
    stage.template("out", text).destination = "/proc/none/file".into();
    let _running = stage.start();
    sleep(Duration::from_secs(250)).await;
    assert_eq!(stage.server.count("pki/issue/web"), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_a_template_was_given_are_renewed_by_themselves() {
    let mut stage = stage();
    let auth = json!({"client_token": "s.child", "lease_duration": 60, "renewable": true});
    stage.server.answer("auth/token/create", 200, json!({"auth": auth}));
    stage.server.answer("auth/token/renew-self", 200, json!({"auth": auth}));
    stage.template("out", r#"{{with secret "auth/token/create" "ttl=60s"}}{{.Auth.ClientToken}}{{end}}"#);
    let _running = stage.start();
    sleep(Duration::from_secs(300)).await;
    assert_eq!((stage.read("out"), stage.server.count("auth/token/create")), ("s.child".into(), 1));
    assert!((6..8).contains(&stage.server.count("auth/token/renew-self")));
}

#[tokio::test(start_paused = true)]
async fn rendering_once_writes_nothing() {
    let stage = stage();
    stage.server.kv("kv/a", "one");
    let settings = crate::OnceSettings {
        shared: TemplateConfig::default(),
        environment: HashMap::new(),
        for_commands: Vec::new(),
    };
    let extra = stage.path("extra");
    let text = format!(r#"{{{{ "x" | writeToFile {extra:?} "" "" "0600" }}}}{VALUE}"#);
    let failing = r#"{{with secret "kv/a"}}{{executeTemplate .Data.value}}{{end}}"#;
    let templates = [
        template(stage.path("out"), &text),
        template(stage.path("bad"), "{{ if }}"),
        template(stage.path("absent"), r#"{{with secret "kv/none"}}{{end}}"#),
        template(stage.path("failing"), failing),
    ];
    stage.server.kv("kv/a", "canary");
    let token = Token::new("s.1").unwrap();
    let server: Arc<dyn Upstream> = Arc::clone(&stage.server) as _;
    let rendered = crate::render_once(&templates, &settings, server, Caller::default(), &token).await;
    let [good, bad, absent, failing] = rendered.as_slice() else { panic!() };
    assert_eq!(good.outcome.as_ref().unwrap(), b"canary");
    assert_eq!((good.writes[0].content.as_slice(), &good.writes[0].path), (&b"x"[..], &extra));
    assert_eq!(
        (good.source.as_deref(), good.needed.as_slice()),
        (None, &["vault.read(kv/a)".to_owned()][..])
    );
    assert!(matches!(bad.outcome, Err(crate::RenderError::Parse(_))));
    let why = absent.outcome.as_ref().unwrap_err().to_string();
    assert_eq!(why, "vault.read(kv/none): no secret exists at kv/none");
    let Err(crate::RenderError::Exec(error)) = &failing.outcome else { panic!() };
    assert!(!error.to_string().contains("canary") && error.message.contains("[redacted]"), "{error}");
    assert_eq!(stage.server.count("kv/a"), 1);
    for name in ["out", "extra", "bad"] {
        assert_eq!(stage.read(name), "absent");
    }
}

#[tokio::test(start_paused = true)]
async fn versioned_mounts_are_found_once() {
    let mut stage = stage();
    let mount = json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}});
    stage.server.answer("sys/internal/ui/mounts/secret/one", 200, mount.clone());
    stage.server.answer("sys/internal/ui/mounts/secret/two", 200, mount);
    for name in ["one", "two"] {
        stage.server.answer(
            &format!("secret/data/{name}"),
            200,
            json!({"data": {"data": {"v": name}, "metadata": {}}}),
        );
    }
    stage.template("out", r#"{{with secret "secret/one"}}{{.Data.data.v}}{{with secret "secret/two"}}{{.Data.data.v}}{{end}}{{end}}"#);
    // Asked for at the same moment.
    stage.template("other", r#"{{with secret "secret/two"}}{{.Data.data.v}}{{end}}"#);
    let _running = stage.start();
    stage.ready.wait().await;
    assert_eq!((stage.read("out"), stage.read("other")), ("onetwo".into(), "two".into()));
    let lookups =
        stage.server.asked.lock().unwrap().iter().filter(|asked| asked.contains("ui/mounts")).count();
    assert_eq!(lookups, 1);
}

#[test]
fn a_template_that_cannot_be_parsed_is_fatal_only_if_asked() {
    let text = "{{ nope }}";
    for (exit, once) in [(true, false), (false, true), (false, false)] {
        let mut stage = stage();
        stage.template("out", text);
        let shared = TemplateConfig { exit_on_retry_failure: exit, ..TemplateConfig::default() };
        let settings = RunnerSettings {
            shared,
            attempts: 0,
            backoff: (Duration::ZERO, Duration::ZERO),
            once,
            environment: HashMap::new(),
            for_commands: Vec::new(),
            refused: Arc::new(|_| {}),
            old_tokens_are_revoked: false,
            child: None,
        };
        let made =
            Runner::new(stage.templates, settings, stage.server, Caller::default(), stage.ready.token());
        assert_eq!(made.is_err(), exit || once);
    }
}

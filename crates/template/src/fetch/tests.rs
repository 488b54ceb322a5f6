//! Requests and answers, against a table.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use functions::Profile;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use vault::{Body, Namespace, Request, Response, SendError};

use super::*;
use crate::pki;

#[derive(Default)]
struct Table {
    answers: HashMap<String, (u16, Value)>,
    asked: Mutex<Vec<String>>,
}

impl Upstream for Table {
    fn send(&self, request: Request) -> vault::BoxFuture<'_, Result<Response, SendError>> {
        let line = format!("{} {}", request.method, request.target.trim_start_matches("/v1/"));
        let body = String::from_utf8_lossy(&request.body).into_owned();
        self.asked.lock().unwrap().push(format!("{line} {body}").trim_end().to_owned());
        let (status, body) = match self.answers.get(&line) {
            Some(answer) => answer.clone(),
            None if line.starts_with("GET sys/internal/ui/mounts/secret") => (200, mount("secret/", "2")),
            None if line.starts_with("GET sys/internal/ui/mounts/kv") => (200, mount("kv/", "1")),
            None => (404, json!({"errors": []})),
        };
        let body = if status == 204 { Body::full("") } else { Body::full(body.to_string()) };
        let status = StatusCode::from_u16(status).unwrap();
        Box::pin(async move { Ok(Response { status, headers: HeaderMap::new(), body }) })
    }
}

struct Stage {
    table: Arc<Table>,
    fetcher: Fetcher,
}

fn mount(path: &str, version: &str) -> Value {
    json!({"data": {"path": path, "type": "kv", "options": {"version": version}}})
}

fn stage(profile: Profile, namespace: Option<&str>, answers: &[(&str, u16, Value)]) -> Stage {
    let mut table = Table::default();
    for (line, status, body) in answers {
        table.answers.insert((*line).to_owned(), (*status, body.clone()));
    }
    let table = Arc::new(table);
    let caller = Caller {
        address: "http://server".into(),
        namespace: namespace.and_then(Namespace::new),
        ..Caller::default()
    };
    let rules = Rules { interval: Duration::from_secs(300), at_most: None, threshold: 0.9, profile };
    let fetcher = Fetcher::new(Arc::clone(&table) as Arc<dyn Upstream>, caller, rules);
    Stage { table, fetcher }
}

fn kv(answers: &[(&str, u16, Value)]) -> Stage {
    stage(Profile::OpenBao, None, answers)
}

impl Stage {
    async fn get(&self, dependency: &Dependency) -> Result<Known, String> {
        let token = Token::new("s.token").unwrap();
        self.fetcher.fetch(dependency, &token, false).await.map_err(|error| error.to_string())
    }

    async fn secret(&self, arguments: &[&str]) -> Result<Option<Value>, String> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        match self.get(&Dependency::secret(&arguments)?.unwrap()).await? {
            Known::Secret(secret) => Ok(secret.map(|secret| json!(secret.data))),
            _ => panic!("not a secret"),
        }
    }

    async fn list(&self, path: &str) -> Result<Option<Vec<String>>, String> {
        match self.get(&Dependency::list(path)?).await? {
            Known::List(names) => Ok(names.map(|names| names.to_vec())),
            _ => panic!("not a list"),
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.table.asked.lock().unwrap())
    }
}

#[tokio::test]
async fn reads_go_where_the_data_is() {
    let stage = kv(&[
        ("GET secret/data/app", 200, json!({"data": {"data": {"a": "b"}, "metadata": {"version": 2}}})),
        ("GET secret/data/app?version=1", 200, json!({"data": {"data": {"a": "old"}}})),
        ("GET kv/a%20b", 200, json!({"data": {"x": "space"}})),
    ]);
    assert_eq!(stage.secret(&["secret/app"]).await.unwrap().unwrap()["data"]["a"], "b");
    assert_eq!(stage.secret(&["/secret/app/?version=1"]).await.unwrap().unwrap()["data"]["a"], "old");
    assert_eq!(stage.secret(&["kv/a%20b"]).await.unwrap().unwrap()["x"], "space");
    assert_eq!(
        stage.asked(),
        [
            "GET sys/internal/ui/mounts/secret/app",
            "GET secret/data/app",
            "GET secret/data/app?version=1",
            "GET sys/internal/ui/mounts/kv/a%20b",
            "GET kv/a%20b"
        ]
    );
}

#[tokio::test]
async fn what_is_absent_is_told_in_upstreams_words() {
    let deleted = json!({"data": {"data": null, "metadata": {"deletion_time": "2020-01-01T00:00:00Z"}}});
    let later = json!({"data": {"data": {"a": 1}, "metadata": {"deletion_time": "2999-01-01T00:00:00Z"}}});
    let stage = kv(&[
        ("GET secret/data/gone", 404, deleted),
        ("GET secret/data/later", 200, later),
        ("GET secret/data", 404, json!({"data": null, "warnings": ["not supported"]})),
        ("GET kv/denied", 403, json!({"errors": ["permission denied"]})),
        ("GET kv/empty", 200, json!({"request_id": "1", "data": null})),
        ("GET kv/bare", 200, json!({"sealed": false})),
        ("GET kv/nothing", 204, json!(null)),
    ]);
    for (path, want) in [
        ("secret/app", "vault.read(secret/app): no secret exists at secret/data/app"),
        ("secret/gone?version=3", "vault.read(secret/gone.v3): no secret exists at secret/data/gone"),
        ("kv/app", "vault.read(kv/app): no secret exists at kv/app"),
        ("kv/nothing", "vault.read(kv/nothing): no secret exists at kv/nothing"),
        (
            "kv/denied",
            "vault.read(kv/denied): vault.read(kv/denied): Error making API request.\n\n\
             URL: GET http://server/v1/kv/denied\nCode: 403. Errors:\n\n* permission denied",
        ),
    ] {
        assert_eq!(stage.secret(&[path]).await.unwrap_err(), want);
    }
    assert!(stage.secret(&["secret/later"]).await.unwrap().is_some());
    assert_eq!(stage.secret(&["kv/empty"]).await.unwrap(), Some(Value::Null), "there, with nothing in it");
    assert_eq!(stage.secret(&["kv/bare"]).await.unwrap(), Some(json!({"sealed": false})), "no envelope");
}

#[tokio::test]
async fn without_a_word_on_the_mount_it_is_asked_each_time() {
    let preflight = "GET sys/internal/ui/mounts/none/x";
    let stage = kv(&[
        (preflight, 403, json!({"errors": ["preflight capability check returned 403"]})),
        ("GET none/x", 200, json!({"data": {"a": "b"}})),
    ]);
    for _ in 0..2 {
        assert!(stage.secret(&["none/x"]).await.unwrap().is_some());
    }
    assert_eq!(stage.asked().iter().filter(|line| *line == preflight).count(), 2);
}

#[tokio::test]
async fn writes_are_wrapped_for_versioned_mounts() {
    let stage = kv(&[
        ("PUT secret/data/app", 200, json!({"data": {"version": 1}})),
        ("PUT kv/app", 204, json!(null)),
        ("PUT kv/bad", 400, json!({"errors": ["missing data fields"]})),
    ]);
    assert_eq!(stage.secret(&["secret/app", "b=2", "a = x=y "]).await.unwrap().unwrap()["version"], 1);
    assert_eq!(stage.secret(&["kv/app", ""]).await.unwrap(), None);
    let asked = stage.asked();
    assert!(asked.contains(&r#"PUT secret/data/app {"data":{"a":"x=y","b":"2"}}"#.to_owned()), "{asked:?}");
    assert!(asked.contains(&"PUT kv/app {}".to_owned()), "{asked:?}");
    let error = stage.secret(&["kv/bad", "a=b"]).await.unwrap_err();
    let name = "vault.write(kv/bad -> 2b660a4a)";
    assert!(error.starts_with(&format!("{name}: {name}: Error making API request.\n")), "{error}");
    // A versioned write without an answer did not happen.
    let silent = kv(&[("PUT secret/data/app", 204, json!(null))]);
    let error = silent.secret(&["secret/app", "a=b"]).await.unwrap_err();
    assert_eq!(error, "vault.write(secret/app -> 2b660a4a): no secret exists at secret/data/app");
}

#[tokio::test]
async fn lists_are_sorted_and_absent_ones_are_none() {
    let stage = kv(&[
        ("GET secret/metadata?list=true", 200, json!({"data": {"keys": ["b", "a/"]}})),
        ("GET secret/metadata/x?list=true", 200, json!({"data": {"keys": "no"}})),
        ("GET secret/metadata/y?list=true", 200, json!({"data": {"keys": [1]}})),
    ]);
    assert_eq!(stage.list(" secret/ ").await.unwrap().unwrap(), ["a/", "b"]);
    assert_eq!(stage.list("secret/none").await.unwrap(), None);
    assert_eq!(stage.list("secret/x").await.unwrap_err(), "vault.list(secret/x): unexpected response");
    assert_eq!(stage.list("secret/y").await.unwrap_err(), "vault.list(secret/y): non-string in list");
}

#[tokio::test]
async fn namespaces_stand_in_the_header_or_in_the_path() {
    let mounts = |path: &str, told: &str| (format!("GET sys/internal/ui/mounts/{path}"), mount(told, "2"));
    let found = json!({"data": {"data": {"a": "b"}}});
    // The header's namespace is in what the server says of the mount, not in the path.
    let (line, answer) = mounts("secret/app", "team/secret/");
    let answers = [(line.as_str(), 200, answer), ("GET secret/data/app", 200, found.clone())];
    let stage_in = stage(Profile::Vault, Some("team"), &answers);
    assert!(stage_in.secret(&["secret/app"]).await.unwrap().is_some());
    let (line, answer) = mounts("team/secret/app", "team/secret/");
    let answers = [(line.as_str(), 200, answer), ("GET team/secret/data/app", 200, found)];
    assert!(stage(Profile::Vault, None, &answers).secret(&["team/secret/app"]).await.unwrap().is_some());
}

fn certificate(destination: Option<PathBuf>) -> Dependency {
    let data = BTreeMap::from([("common_name".to_owned(), "web".to_owned())]);
    Dependency::Certificate { path: "pki/issue/web".into(), data, destination }
}

#[tokio::test]
async fn a_certificate_in_the_file_is_used_while_it_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let now = unix_now();
    let (new, key, ca) = pki::tests::issue(now, now + 3600);
    let body = json!({"data": {"certificate": new, "private_key": key, "issuing_ca": ca}});
    let stage = stage(Profile::OpenBao, None, &[("PUT pki/issue/web", 200, body)]);
    let issued = |known| match known {
        Known::Certificate(found) => found.cert.clone(),
        _ => panic!(),
    };
    let put = |text: &str| {
        atomic_file::write(&file, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
    };
    let wanted = certificate(Some(file.clone()));
    // Nothing there; something else there; junk; used up; good; good but its time is up.
    assert_eq!(issued(stage.get(&wanted).await.unwrap()), new);
    let (old, ..) = pki::tests::issue(now - 3600, now + 60);
    for text in ["nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &old] {
        put(text);
        assert_eq!(issued(stage.get(&wanted).await.unwrap()), new);
    }
    let (good, ..) = pki::tests::issue(now - 100, now + 3000);
    put(&format!("# kept\n{good}"));
    assert_eq!(stage.asked().len(), 4);
    assert_eq!(issued(stage.get(&wanted).await.unwrap()), good);
    assert_eq!(stage.asked().len(), 0);
    let token = Token::new("s.token").unwrap();
    assert_eq!(issued(stage.fetcher.fetch(&wanted, &token, true).await.unwrap()), new);
    // Without a file it is always asked for.
    assert_eq!(issued(stage.get(&certificate(None)).await.unwrap()), new);
    assert_eq!(stage.asked().len(), 2);
}

#[tokio::test]
async fn certificates_that_are_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let of = |status, body| stage(Profile::Vault, None, &[("PUT pki/issue/web", status, body)]);
    let name = format!("vault.pki(pki/issue/web->{})", file.display());
    let wanted = certificate(Some(file));
    for (status, body, want) in [
        (200, json!({"data": {"x": "y"}}), "needs renewal".to_owned()),
        (204, json!(null), "no secret exists at pki/issue/web".to_owned()),
        (
            400,
            json!({"errors": ["unknown role: web"]}),
            "Error making API request.\n\nURL: PUT http://server/v1/pki/issue/web\n\
             Code: 400. Errors:\n\n* unknown role: web"
                .to_owned(),
        ),
    ] {
        let Err(error) = of(status, body).get(&wanted).await else { panic!() };
        assert_eq!(error, format!("{name}: {want}"));
    }
}

#[tokio::test]
async fn files_have_upstreams_words_and_stay_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = folder.path().join("box");
    atomic_file::create_folders(&sandbox).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", sandbox.join("link")).unwrap();
    let stage = kv(&[]);
    let file = |path: PathBuf, sandbox: Option<&PathBuf>| {
        let dependency = Dependency::File { path, sandbox: sandbox.cloned() };
        let stage = &stage;
        async move { stage.get(&dependency).await.map(drop) }
    };
    let gone = file("/nonexistent".into(), None).await.unwrap_err();
    assert_eq!(gone, "file(/nonexistent): stat /nonexistent: no such file or directory");
    assert_eq!(file("/etc".into(), None).await.unwrap_err(), "file(/etc): read /etc: is a directory");
    assert!(file("/etc/passwd".into(), None).await.is_ok());
    let link = sandbox.join("link");
    let error = file(link.clone(), Some(&sandbox)).await.unwrap_err();
    let link = link.display();
    assert_eq!(error, format!("file({link}): '{link}' is outside of sandbox"));
}

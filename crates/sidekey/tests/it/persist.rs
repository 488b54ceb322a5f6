//! The cache on disk: restarts, kills, a server that is away, and files that are of no use.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{Api, Process, Program};

use crate::{Stage, put};

const FILE: &str = "store/sidekey-cache.db";

impl Stage {
    /// An agent whose cache and whose own token outlive it.
    fn lasting(&self, persist: &str) -> Program {
        let (key, token) = (self.path("key"), self.path("token-store"));
        put(&key, "0123456789abcdef0123456789abcdef");
        let (role_id, secret_id) = (self.path("role-id"), self.path("secret-id"));
        put(&role_id, &self.credentials.0);
        put(&secret_id, &self.credentials.1);
        Program::agent(crate::sidekey(), self.folder.path())
            .server(&self.server.address())
            .config(&format!(
                "auto_auth {{\n method \"approle\" {{ config = {{ role_id_file_path = {role_id:?}\n secret_id_file_path = {secret_id:?}\n \
                 remove_secret_id_file_after_reading = false }} }}\n sink \"file\" {{ config = {{ path = {:?} }} }}\n \
                 token_store {{ path = {token:?}\n key_file = {key:?} }}\n}}",
                self.path("token")
            ))
            .config("api_proxy { use_auto_auth_token = true }")
            .config(&format!("cache {{\n {persist}\n}}"))
            .listener("")
    }

    fn file_store(&self, more: &str) -> String {
        format!(
            "persist \"file\" {{\n path = {:?}\n key_file = {:?}\n {more}\n }}",
            self.path("store"),
            self.path("key")
        )
    }

    fn login(&self) -> Value {
        json!({"role_id": self.credentials.0, "secret_id": self.credentials.1})
    }
}

/// Token and where the answer came from; a warning beside it.
async fn post(api: &Api, path: &str, body: &Value) -> (String, String, String) {
    let answer = api.post(path, body).await.unwrap();
    let token = answer.json["auth"]["client_token"].as_str().unwrap_or_default().to_owned();
    assert!(!token.is_empty(), "{}", String::from_utf8_lossy(&answer.body));
    (token, answer.cache().to_owned(), answer.header("warning").to_owned())
}

/// Its token comes from the store, so the first request waits for nothing else.
async fn start(program: &Program) -> (Process, Api) {
    let (mut process, api) = program.start_listening().await.unwrap();
    process.says("the stored token of the last run is still good").await.unwrap();
    (process, api)
}

#[tokio::test]
async fn a_restart_loses_nothing_and_brings_nothing_back() {
    let mut stage = Stage::new().await;
    let program = stage.lasting(&stage.file_store(""));
    let open_to = |mode| {
        let key = std::fs::read(stage.path("key")).unwrap();
        atomic_file::write(&stage.path("key"), &key, &atomic_file::Attributes::new(mode)).unwrap();
    };
    open_to(0o644);
    let (mut agent, api) = program.start_listening().await.unwrap();
    agent.says("token stored").await.unwrap();
    let warned = "the cache's key can be read by every user of this machine";
    assert!(agent.has_said(warned));
    let login = post(&api, "auth/approle/login", &stage.login()).await;
    let child = post(&api, "auth/token/create", &json!({"ttl": "1h"})).await;
    let below = post(&api.with_token(Some(&login.0)), "auth/token/create", &json!({"ttl": "1h"})).await;
    assert_eq!((login.1.as_str(), child.1.as_str(), below.1.as_str()), ("MISS", "MISS", "MISS"));
    assert!(agent.stop().await.unwrap().success());
    let bytes = std::fs::read(stage.path(FILE)).unwrap();
    for secret in [&login.0, &child.0, &below.0, &stage.credentials.1] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret lies open");
    }

    // What was handed out is handed out again.
    open_to(0o600);
    let (mut agent, api) = start(&program).await;
    assert!(!agent.has_said(warned));
    let hit = |token: &str| (token.to_owned(), "HIT".to_owned(), String::new());
    assert_eq!(post(&api, "auth/approle/login", &stage.login()).await, hit(&login.0));
    assert_eq!(post(&api, "auth/token/create", &json!({"ttl": "1h"})).await, hit(&child.0));
    let with_login = api.with_token(Some(&login.0));
    assert_eq!(post(&with_login, "auth/token/create", &json!({"ttl": "1h"})).await, hit(&below.0));

    // Another process may not use the file meanwhile.
    let other = tempfile::tempdir().unwrap();
    let mut second = Program::agent(crate::sidekey(), other.path())
        .server(&stage.server.address())
        .config(&format!("cache {{\n {}\n}}", stage.file_store("")))
        .listener("")
        .start()
        .unwrap();
    second.says("Error creating persistent cache: ").await.unwrap();
    assert!(!second.ended().await.unwrap().success());
    assert!(second.has_said("is in use by another process: give each its own path"), "{:?}", second.output());

    // Revoked and killed at once: it does not come back, nor does what hung on it.
    let revoked = with_login.post("auth/token/revoke-self", &json!({})).await.unwrap();
    assert_eq!(revoked.status, 204);
    agent.kill().await;
    let (mut agent, api) = start(&program).await;
    let again = post(&api, "auth/approle/login", &stage.login()).await;
    assert!(again.1 == "MISS" && again.0 != login.0, "a revoked login came back");
    assert_eq!(post(&api, "auth/token/create", &json!({"ttl": "1h"})).await, hit(&child.0));

    // Revoked at the server while nobody looked.
    assert!(agent.stop().await.unwrap().success());
    stage.root.write("auth/token/revoke", &json!({"token": again.0})).await.unwrap();
    let (mut agent, api) = start(&program).await;
    let third = post(&api, "auth/approle/login", &stage.login()).await;
    assert!(third.1 == "MISS" && third.0 != again.0, "a dead login was handed out");

    // With the server away, what lives is served and marked.
    assert!(agent.stop().await.unwrap().success());
    stage.server.kill().await;
    let (mut agent, api) = program.start_listening().await.unwrap();
    let (token, cache, warning) = post(&api, "auth/approle/login", &stage.login()).await;
    assert_eq!((token, cache.as_str()), (third.0, "HIT"));
    assert!(warning.starts_with("111 "), "{warning:?}");
    // Also what is asked for with our own token, of which nobody can say whether it is still good.
    let (token, cache, warning) = post(&api, "auth/token/create", &json!({"ttl": "1h"})).await;
    assert_eq!((token, cache.as_str()), (child.0, "HIT"));
    assert!(warning.starts_with("111 "), "{warning:?}");
    assert!(agent.stop().await.unwrap().success());

    // A file that is of no use is moved aside, and the program runs; with exit_on_err it does not.
    put(&stage.path(FILE), "no cache");
    let strict = stage.lasting(&stage.file_store("exit_on_err = true"));
    let mut agent = strict.start().unwrap();
    agent
        .says("Error creating persistent cache: exiting with error as exit_on_err is set to true")
        .await
        .unwrap();
    assert!(!agent.ended().await.unwrap().success());
    let (mut agent, _) = stage.lasting(&stage.file_store("")).start_listening().await.unwrap();
    assert!(agent.has_said("the cache on disk is of no use"), "{:?}", agent.output());
    assert_eq!(std::fs::read(stage.path("store/sidekey-cache.db.damaged")).unwrap(), b"no cache");
    assert!(agent.stop().await.unwrap().success());
}

/// A secret that a client has read is there for it after a restart while the server is away, and for nobody else.
#[tokio::test]
async fn a_restart_while_the_server_is_away_serves_secrets_to_their_readers() {
    let mut stage = Stage::new().await;
    let policy = json!({"policy": "path \"secret/*\" { capabilities = [\"read\"] }"});
    stage.root.write("sys/policies/acl/reader", &policy).await.unwrap();
    let body = json!({"policies": ["reader"], "no_parent": true, "ttl": "1h"});
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = stage.root.write("auth/token/create", &body).await.unwrap();
        tokens.push(answer["auth"]["client_token"].as_str().unwrap().to_owned());
    }
    let secrets = "static_secrets {\n paths = [\"secret/*\"]\n ttl = \"1m\"\n stale_if_error = \"1h\"\n persist = true\n }";
    let program = stage.lasting(&format!("{}\n {secrets}", stage.file_store("")));
    let (mut agent, api) = program.start_listening().await.unwrap();
    agent.says("token stored").await.unwrap();
    let reader = api.with_token(Some(&tokens[0]));
    testkit::eventually("a hit", || async {
        reader.get("secret/data/app").await.ok().filter(|answer| answer.cache() == "HIT")
    })
    .await
    .unwrap();
    assert!(agent.stop().await.unwrap().success());
    let bytes = std::fs::read(stage.path(FILE)).unwrap();
    for secret in [&*tokens[0], "blue", "secret/data/app"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} lies open");
    }

    // With the server there it is asked first.
    let (mut agent, api) = start(&program).await;
    agent.says("secrets of the last run are taken in").await.unwrap();
    let reader = api.with_token(Some(&tokens[0]));
    assert_eq!(reader.get("secret/data/app").await.unwrap().cache(), "MISS");
    assert!(agent.stop().await.unwrap().success());

    stage.server.kill().await;
    let (mut agent, api) = program.start_listening().await.unwrap();
    let answer = api.with_token(Some(&tokens[0])).get("secret/data/app").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.cache()), (200, "STALE"));
    assert_eq!(answer.json["data"]["data"]["color"], "blue");
    assert!(answer.header("warning").starts_with("110 "), "{:?}", answer.header("warning"));
    let other = api.with_token(Some(&tokens[1]));
    let refused = tokio::time::timeout(std::time::Duration::from_secs(2), other.get("secret/data/app")).await;
    assert!(refused.is_err() || refused.unwrap().unwrap().status.is_server_error());
    assert!(agent.stop().await.unwrap().success());
}

fn service_account(nth: u64) -> String {
    use base64::Engine as _;
    let encode = |json: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"iss": "https://kubernetes", "exp": nth, "kubernetes.io": {
        "namespace": "shop", "serviceaccount": {"name": "app"}}});
    format!("{}.{}.signature{nth}", encode(json!({"alg": "RS256"})), encode(claims))
}

/// An init container fills the file, the sidecar takes it in; the account's token is another one by then.
#[tokio::test]
async fn an_init_container_hands_over_to_its_sidecar() {
    let stage = Stage::new().await;
    let account = stage.path("account");
    let persist = format!(
        "persist = {{ type = \"kubernetes\" path = {:?} service_account_token_file = {account:?} }}",
        stage.path("store")
    );
    let program = stage.lasting(&persist);
    let mut agent = program.start().unwrap();
    agent.says("Error creating persistent cache: the service account's token cannot be read").await.unwrap();
    assert!(!agent.ended().await.unwrap().success());
    put(&account, &service_account(1));
    let (mut agent, api) = program.start_listening().await.unwrap();
    let login = post(&api, "auth/approle/login", &stage.login()).await;
    assert!(agent.stop().await.unwrap().success());
    assert!(Path::exists(&stage.path(FILE)));
    put(&account, &service_account(2));
    let (mut agent, api) = program.start_listening().await.unwrap();
    let again = post(&api, "auth/approle/login", &stage.login()).await;
    assert_eq!((again.0, again.1.as_str()), (login.0, "HIT"));
    assert!(!stage.path(FILE).exists(), "keep_after_import is false here");
    assert!(agent.stop().await.unwrap().success());
    assert!(!stage.path(FILE).exists());
}

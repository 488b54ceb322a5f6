//! `gcp` against the server's own plugin for JWTs, with stubs of Google's services.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value, json};
use testkit::{Program, eventually};

use crate::stub::{Asked, Reply, Stub, jwt, login_anywhere, page, part, rsa_key, unix_time};
use crate::{Stage, put, sidekey};

/// What it is about, the configuration, the environment, what is expected.
type Case<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, &'a str);

/// What a service says.
type Answer = fn(&Asked) -> Reply;

const ACCOUNT: &str = "app@project.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const IDENTITY: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

/// What Google is to the agent: metadata server, token endpoint, signer.
struct Google {
    stub: Stub,
    /// Signs all tokens.
    key: Arc<KeyPair>,
}

impl Google {
    async fn start() -> Self {
        let key = Arc::new(rsa_key());
        let signer = Arc::clone(&key);
        Self { stub: Stub::start(move |asked| answer(asked, &signer)).await, key }
    }

    /// Keys of a service account or a user that lead to the stub.
    fn credentials(&self, fields: Value) -> String {
        let mut json = json!({"token_uri": format!("{}/token", self.stub.url)});
        json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json.to_string()
    }
}

/// As Google's services answer, as far as we ask.
fn answer(asked: &Asked, key: &KeyPair) -> Reply {
    let no = |status, why: &str| Reply::Say(status, why.to_owned());
    let access = |token: &str| json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
    if asked.path.starts_with("/computeMetadata/") {
        if asked.header("metadata-flavor") != "Google" {
            return no(403, "missing Metadata-Flavor");
        }
        let account = "/computeMetadata/v1/instance/service-accounts/";
        let Some((name, what)) = asked.path.strip_prefix(account).and_then(|rest| rest.split_once('/'))
        else {
            return no(404, "not found");
        };
        return match (name, what) {
            ("default" | "app@project.iam.gserviceaccount.com", "identity") => {
                assert_eq!(asked.query("format"), "full");
                let claims = json!({"aud": asked.query("audience"), "sub": name, "iat": unix_time(0), "exp": unix_time(600)});
                Reply::Say(200, jwt(key, &claims))
            }
            ("default", "email") => Reply::Say(200, format!("{ACCOUNT}\n")),
            ("default", "token") if asked.query("scopes") == SCOPE => Reply::json(&access("at-metadata")),
            _ => no(404, "not found"),
        };
    }
    if asked.path == "/token" && asked.method == "POST" {
        return match asked.form("grant_type").as_str() {
            "refresh_token"
                if asked.form("refresh_token") == "rt-1" && asked.form("client_secret") == "cs&=%" =>
            {
                Reply::json(&access("at-user"))
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => Reply::json(&access("at-key")),
            "urn:ietf:params:oauth:grant-type:token-exchange"
                if asked.form("subject_token") == "other.provider.token" =>
            {
                Reply::json(&access("at-exchanged"))
            }
            _ => no(400, "{\"error\": \"invalid_grant\"}"),
        };
    }
    if asked.path == format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken") {
        return match asked.header("authorization") {
            "Bearer at-exchanged" => Reply::json(&json!({"accessToken": "at-impersonated"})),
            _ => no(401, "who?"),
        };
    }
    if asked.path == "/v1/projects/-/serviceAccounts/app@project.iam.gserviceaccount.com:signJwt" {
        let Some(token) = asked.header("authorization").strip_prefix("Bearer at-") else {
            return no(401, "who?");
        };
        assert!(["user", "key", "metadata", "impersonated"].contains(&token), "{token}");
        let payload: Value = serde_json::from_str(asked.json()["payload"].as_str().unwrap()).unwrap();
        return Reply::json(&json!({"keyId": "1", "signedJwt": jwt(key, &payload)}));
    }
    no(404, "not found")
}

#[tokio::test]
async fn gce_logs_in_with_the_identity_of_the_machine() {
    let (stage, google) = (Stage::new().await, Google::start().await);
    let audience = format!("{}/vault/r1", stage.server.address());
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": [audience], "token_policies": ["app"]});
    stage.jwt_mount("gcp", &[&google.key], "r1", &role).await;
    let host = google.stub.url.trim_start_matches("http://").to_owned();
    for (keys, environment) in [
        (format!("metadata_endpoint = {:?}", google.stub.url), vec![]),
        (format!("service_account = {ACCOUNT:?}"), vec![("GCE_METADATA_HOST", host.as_str())]),
    ] {
        let keys = format!("type = \"gce\"\nrole = \"r1\"\n{keys}");
        let run = stage.log_in("gcp", &keys, &environment).await;
        assert_eq!(run.code, Some(0), "{}", run.output);
        assert!(stage.is_alive(&run.token).await);
        assert!(!run.output.contains("eyJ"), "a token is in the log: {}", run.output);
    }
    // Another audience is another role's: the plugin does look.
    let run = stage
        .log_in(
            "gcp",
            &format!("type = \"gce\"\nrole = \"r2\"\nmetadata_endpoint = {:?}", google.stub.url),
            &[],
        )
        .await;
    assert_eq!(run.code, Some(1), "{}", run.output);

    page("gcp", "\"gce\"", &login_anywhere("/v1/auth/gcp/login").await, &[("GCE_METADATA_HOST", &host)])
        .await;

    // Google's keys rotate, and the server learns of it late: the back-off bridges it.
    let (old, rotated) = (rsa_key(), Arc::clone(&google.key));
    let known = Arc::new(AtomicBool::new(false));
    let (now_known, aud) = (Arc::clone(&known), audience.clone());
    let metadata = Stub::start(move |_| {
        let key = if now_known.load(Ordering::Relaxed) { &rotated } else { &old };
        Reply::Say(
            200,
            jwt(key, &json!({"aud": aud, "sub": "x", "iat": unix_time(0), "exp": unix_time(600)})),
        )
    })
    .await;
    let token = stage.path("token");
    let mut agent = Program::agent(sidekey(), stage.folder.path())
        .server(&stage.server.address())
        .config(&format!(
            "auto_auth {{\n method \"gcp\" {{ min_backoff = \"1s\"\n max_backoff = \"1s\"\n config = {{ type = \"gce\"\n role = \"r1\"\n \
             metadata_endpoint = {:?} }} }}\n sink \"file\" {{ config = {{ path = {token:?} }} }}\n}}",
            metadata.url
        ))
        .start()
        .unwrap();
    agent.says("error authenticating").await.unwrap();
    known.store(true, Ordering::Relaxed);
    eventually("a token", || async { Some(()).filter(|()| !stage.read("token").is_empty()) }).await.unwrap();
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_metadata_server_that_lies_is_told_apart_from_one_that_is_right() {
    let stage = Stage::new().await;
    let answers: [(Answer, &str); 6] = [
        (|_| Reply::Say(404, "gone, secret.in.page".into()), "it answered 404 Not Found"),
        (|_| Reply::Say(500, String::new()), "it answered 500 Internal Server Error"),
        (|_| Reply::Say(200, "<html>secret.in.page</html>".into()), "the answer is no signed JWT"),
        (|_| Reply::Say(200, String::new()), "the answer is no signed JWT"),
        (|_| Reply::Flood(2 << 20), "longer than 1048576 bytes"),
        (|_| Reply::Late(Duration::from_millis(300), "{}".into()), "the answer is no signed JWT"),
    ];
    for (reply, reason) in answers {
        let metadata = Stub::start(reply).await;
        let keys = format!("type = \"gce\"\nrole = \"r1\"\nmetadata_endpoint = {:?}", metadata.url);
        let run = stage.log_in("gcp", &keys, &[]).await;
        let place = format!("metadata server at {}{IDENTITY}: ", metadata.url);
        assert_eq!(run.code, Some(1), "{}", run.output);
        assert!(run.output.contains(&place) && run.output.contains(reason), "{reason}: {}", run.output);
        assert!(!run.output.contains("secret.in.page"), "{}", run.output);
        assert_eq!(metadata.asked("").len(), 1);
    }
}

#[tokio::test]
async fn iam_finds_credentials_everywhere_and_google_signs() {
    let (stage, google) = (Stage::new().await, Google::start().await);
    let own = rsa_key();
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_subject": ACCOUNT, "bound_audiences": ["http://vault/r1"],
        "not_before_leeway": 3600, "token_policies": ["app"],
    });
    stage.jwt_mount("gcp", &[&google.key, &own], "r1", &role).await;
    // The token endpoint's own check of what the key signed.
    let endpoint = json!({
        "role_type": "jwt", "user_claim": "iss", "bound_audiences": [format!("{}/token", google.stub.url)],
        "bound_claims": {"scope": SCOPE},
    });
    stage.jwt_mount("endpoint", &[&own], "any", &endpoint).await;

    let key = google.credentials(json!({
        "type": "service_account", "client_email": ACCOUNT, "private_key": own.serialize_pem(), "private_key_id": "k1",
    }));
    let user = google.credentials(json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "cs&=%", "refresh_token": "rt-1",
    }));
    let (key_file, user_file, subject) =
        (stage.path("key.json"), stage.path("user.json"), stage.path("subject"));
    put(&key_file, &key);
    put(&user_file, &user);
    put(&subject, "{\"id\": \"other.provider.token\"}");
    let external = json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/token", google.stub.url),
        "service_account_impersonation_url": format!("{}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken", google.stub.url),
        "credential_source": {"file": subject, "format": {"type": "json", "subject_token_field_name": "id"}},
    });
    let home = |name: &str, file: &str, text: &str| {
        let file = stage.path(name).join(file);
        atomic_file::create_folders(file.parent().unwrap()).unwrap();
        put(&file, text);
        stage.path(name).to_str().unwrap().to_owned()
    };
    let hashicorp = home("h1", ".gcp/credentials", &key);
    let gcloud = home("h2", ".config/gcloud/application_default_credentials.json", &user);
    let (key_path, user_path) = (key_file.to_str().unwrap(), user_file.to_str().unwrap());
    let external = external.to_string();

    let named = format!("service_account = {ACCOUNT:?}");
    let content = format!("credentials = {key:?}");
    let cases: Vec<Case<'_>> = vec![
        ("the key", content.clone(), vec![], "at-key"),
        ("first variable, content", String::new(), vec![("GOOGLE_CREDENTIALS", &key)], "at-key"),
        ("second variable, path", String::new(), vec![("GOOGLE_CLOUD_KEYFILE_JSON", key_path)], "at-key"),
        (
            "HashiCorp's file",
            String::new(),
            vec![("HOME", &hashicorp), ("GOOGLE_APPLICATION_CREDENTIALS", "/no")],
            "at-key",
        ),
        (
            "variable of the libraries",
            named.clone(),
            vec![("HOME", &gcloud), ("GOOGLE_APPLICATION_CREDENTIALS", user_path)],
            "at-user",
        ),
        ("gcloud's file", named, vec![("HOME", &gcloud)], "at-user"),
        ("another provider", format!("credentials = {external:?}"), vec![], "at-impersonated"),
        ("the machine", "service_account = \"default\"".to_owned(), vec![], "at-metadata"),
    ];
    for (what, keys, environment, token) in cases {
        let before = google.stub.asked("signJwt").len();
        let keys = format!(
            "type = \"iam\"\nrole = \"r1\"\niam_endpoint = \"{0}/\"\nmetadata_endpoint = {0:?}\njwt_exp = 5\n{keys}",
            google.stub.url
        );
        let run = stage.log_in("gcp", &keys, &environment).await;
        assert_eq!(run.code, Some(0), "{what}: {}", run.output);
        assert!(stage.is_alive(&run.token).await, "{what}");
        let asked = google.stub.asked("signJwt").split_off(before);
        assert_eq!(asked.len(), 1, "{what}");
        assert_eq!(asked[0].header("authorization"), format!("Bearer {token}"), "{what}");
        let payload: Value = serde_json::from_str(asked[0].json()["payload"].as_str().unwrap()).unwrap();
        let lifetime = payload["exp"].as_i64().unwrap() - unix_time(0);
        assert!((290..=300).contains(&lifetime), "{what}: {payload}");
        for secret in ["at-", "PRIVATE KEY", "rt-1", "other.provider"] {
            assert!(!run.output.contains(secret), "{what}: {secret} is in the log");
        }
    }
    let grants = google.stub.asked("/token");
    let signed = grants.iter().find(|asked| !asked.form("assertion").is_empty()).unwrap().form("assertion");
    assert_eq!(stage.checks("endpoint", "any", &signed).await, "yes");
    assert_eq!(
        (part(&signed, 0)["kid"].as_str(), part(&signed, 1)["iss"].as_str()),
        (Some("k1"), Some(ACCOUNT))
    );

    // With the account's own key: nobody is asked.
    let before = google.stub.asked("").len();
    let local = format!("type = \"iam\"\nrole = \"r1\"\nsign_locally = true\n{content}");
    let run = stage.log_in("gcp", &local, &[]).await;
    assert_eq!((run.code, google.stub.asked("").len()), (Some(0), before), "{}", run.output);
    assert!(stage.is_alive(&run.token).await);
}

#[tokio::test]
async fn credentials_of_google_that_are_of_no_use_are_named() {
    let stage = Stage::new().await;
    let folder = stage.path("folder");
    atomic_file::create_folders(&folder).unwrap();
    let (torn, huge, binary) = (stage.path("torn"), stage.path("huge"), stage.path("binary"));
    put(&torn, "{\"type\": \"service_account\", \"private_key\": \"hidden");
    put(&huge, &"x".repeat(100_000));
    atomic_file::write(&binary, b"\xff\xfe\x00", &atomic_file::Attributes::new(0o600)).unwrap();
    let file =
        |path: &std::path::Path| vec![("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap().to_owned())];
    let content = |json: &str| format!("credentials = {json:?}");
    let no_key = r#"{"client_email": "a@b", "private_key": "hidden"}"#;
    for (keys, environment, reason) in [
        (content("{"), vec![], "in the key credentials: it is no JSON: line 1 column 1"),
        (content("{}"), vec![], "in the key credentials: it has no client_email"),
        (
            content(r#"{"type": "gdch"}"#),
            vec![],
            "service_account, authorized_user and external_account can be used",
        ),
        (content(no_key), vec![], "in the key credentials: it holds no private key in PEM"),
        (
            content(r#"{"type": "external_account", "credential_source": {"executable": {}}}"#),
            vec![],
            "names neither a file nor a url",
        ),
        (
            String::new(),
            vec![("GOOGLE_CREDENTIALS", "/no/such".to_owned())],
            "in /no/such (from GOOGLE_CREDENTIALS): cannot open it",
        ),
        (String::new(), file(&torn), "torn (from GOOGLE_APPLICATION_CREDENTIALS): it is no JSON"),
        (String::new(), file(&huge), "it is larger than 65536 bytes"),
        (String::new(), file(&binary), "it is not text"),
        (String::new(), file(&folder), "it is a directory, not a regular file"),
        (
            "sign_locally = true\nservice_account = \"a@b\"\nmetadata_endpoint = \"http://127.0.0.1:1\""
                .to_owned(),
            vec![],
            "sign_locally needs the key of a service account",
        ),
    ] {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let keys = format!("type = \"iam\"\nrole = \"r1\"\n{keys}");
        let run = stage.log_in("gcp", &keys, &environment).await;
        assert_eq!(run.code, Some(1), "{}", run.output);
        assert!(run.output.contains(reason), "{reason}: {}", run.output);
        assert!(!run.output.contains("hidden"), "{}", run.output);
    }
}

//! Against stubs on loopback with the real services' paths, headers and failures.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::{Aws, AwsEc2, AwsIam, AwsKeys, AwsLogin, AwsNonce};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::method::Method;
use crate::method::loopback::{Asked, Do, Loopback, news, prepared};

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const ROLES: &str = "GET /latest/meta-data/iam/security-credentials/";

fn iam(keys: Option<AwsKeys>) -> Box<dyn Method> {
    let login = AwsIam {
        keys,
        region: Some("eu-west-1".into()),
        header_value: Some("vault.example.com".into()),
        poll_interval: Duration::from_secs(7),
    };
    super::new(&Aws { role: "app".into(), login: AwsLogin::Iam(login), metadata_endpoint: None })
}

fn ec2(nonce: AwsNonce, pkcs7: bool) -> Box<dyn Method> {
    let login = AwsLogin::Ec2(AwsEc2 { nonce, pkcs7 });
    super::new(&Aws { role: "app".into(), login, metadata_endpoint: None })
}

fn put(path: &Path, text: &str) {
    atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
}

fn ok(body: impl ToString) -> Do {
    Do::Answer(200, body.to_string())
}

fn keys_json(id: &str, expires: &str) -> Value {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": "CANARY-secret",
        "Token": "CANARY-token", "Expiration": expires,
    })
}

const FAR_AWAY: &str = "2099-01-01T00:00:00Z";

/// An IMDS that wants its session token, and then answers by `script`.
fn imds(asked: &Asked, script: impl Fn(&str) -> Do) -> Do {
    if asked.line == "PUT /latest/api/token" {
        assert_eq!(asked.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
        return ok("SESSION==");
    }
    match asked.header("x-aws-ec2-metadata-token") {
        Some("SESSION==") => script(&asked.line),
        _ => Do::Answer(401, "Unauthorized".into()),
    }
}

/// The signed headers of a login, decoded.
fn headers(body: &Value) -> Value {
    let text = STANDARD.decode(body["iam_request_headers"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The id of the key that signed.
fn signer(body: &Value) -> String {
    let headers = headers(body);
    let authorization = headers["Authorization"][0].as_str().unwrap();
    let credential = authorization.split_once("Credential=").unwrap().1;
    credential.split('/').next().unwrap().to_owned()
}

// === iam ===

#[tokio::test]
async fn the_login_is_a_signed_question_to_the_regions_sts() {
    let keys =
        AwsKeys { access_key: "AKIA1".into(), secret_key: "s".into(), session_token: Some("t".into()) };
    let (path, body) = prepared(iam(Some(keys)).as_mut(), &[]).await.unwrap();
    assert_eq!((path.as_str(), &body["role"]), ("auth/here/login", &json!("app")));
    assert_eq!(body["iam_http_request_method"], "POST");
    let decoded = |name: &str| STANDARD.decode(body[name].as_str().unwrap()).unwrap();
    assert_eq!(decoded("iam_request_url"), b"https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(decoded("iam_request_body"), b"Action=GetCallerIdentity&Version=2011-06-15");
    let headers = headers(&body);
    let authorization = headers["Authorization"][0].as_str().unwrap();
    assert!(authorization.contains("/eu-west-1/sts/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-vault-aws-iam-server-id, Signature="), "{authorization}");
    assert_eq!(headers["Content-Length"], json!(["43"]));
    assert_eq!(headers["X-Amz-Security-Token"], json!(["t"]));
    assert_eq!(headers["X-Vault-Aws-Iam-Server-Id"], json!(["vault.example.com"]));
    assert_eq!(headers.get("Host"), None);
}

#[tokio::test]
async fn the_first_source_that_has_keys_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (file, token) = (folder.path().join("credentials"), folder.path().join("token"));
    put(&file, "[mine]\naws_access_key_id = FILE\naws_secret_access_key = s\n");
    put(&token, "jwt\n");
    let sts = Loopback::start(|_| {
        ok("<Credentials><AccessKeyId>WEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t\
            </SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>")
    });
    let container = Loopback::start(|_| ok(keys_json("CONTAINER", FAR_AWAY)));
    let imds = Loopback::start(|asked| {
        imds(asked, |line| if line == ROLES { ok("role") } else { ok(keys_json("INSTANCE", FAR_AWAY)) })
    });
    let (sts, container, imds) = (sts.await, container.await, imds.await);
    let full = format!("{}/keys", container.address);
    let mut environment = vec![
        (ENDPOINT, imds.address.as_str()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &full),
        ("AWS_ENDPOINT_URL_STS", &sts.address),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_PROFILE", "mine"),
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
        ("AWS_SESSION_TOKEN", "env-token"),
        ("AWS_SECRET_KEY", "s"),
        ("AWS_ACCESS_KEY", "ENV"),
    ];
    let fixed = AwsKeys { access_key: "FIXED".into(), secret_key: "s".into(), session_token: None };
    let (_, body) = prepared(iam(Some(fixed)).as_mut(), &environment).await.unwrap();
    assert_eq!(signer(&body), "FIXED");
    for (want, drop) in [("ENV", 3), ("FILE", 2), ("WEB", 3), ("CONTAINER", 1), ("INSTANCE", 0)] {
        let (_, body) = prepared(iam(None).as_mut(), &environment).await.unwrap();
        assert_eq!(signer(&body), want);
        if want == "ENV" {
            assert_eq!(headers(&body)["X-Amz-Security-Token"], json!(["env-token"]));
        }
        environment.truncate(environment.len() - drop);
    }
    assert_eq!((sts.asked().len(), container.asked().len(), imds.asked().len()), (1, 1, 3));
}

#[tokio::test]
async fn an_instance_gives_its_roles_keys_and_new_ones_are_news() {
    let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(1));
    let now = std::sync::Arc::clone(&turn);
    let service = Loopback::start(move |asked| {
        imds(asked, |line| match line {
            ROLES => ok("web-server\n"),
            "GET /latest/meta-data/iam/security-credentials/web-server" => {
                ok(keys_json(&format!("ASIA{}", now.load(std::sync::atomic::Ordering::SeqCst)), FAR_AWAY))
            }
            _ => Do::Answer(404, String::new()),
        })
    })
    .await;
    let environment = [(ENDPOINT, service.address.as_str())];
    let mut method = iam(None);
    let (_, body) = prepared(method.as_mut(), &environment).await.unwrap();
    assert_eq!(signer(&body), "ASIA1");
    assert_eq!(method.watch().unwrap().every, Duration::from_secs(7));
    assert!(!news(method.as_mut(), &environment).await);
    turn.store(2, std::sync::atomic::Ordering::SeqCst);
    assert!(news(method.as_mut(), &environment).await);
    let (_, body) = prepared(method.as_mut(), &environment).await.unwrap();
    assert_eq!(signer(&body), "ASIA2");
    assert!(!news(method.as_mut(), &environment).await);
}

#[tokio::test]
async fn an_old_instance_without_session_tokens_is_asked_without_unless_that_is_forbidden() {
    let service = Loopback::start(|asked| match asked.line.as_str() {
        "PUT /latest/api/token" => Do::Answer(404, String::new()),
        ROLES => ok("r"),
        _ => ok(keys_json("OLD", FAR_AWAY)),
    })
    .await;
    let mut environment = vec![(ENDPOINT, service.address.as_str())];
    let (_, body) = prepared(iam(None).as_mut(), &environment).await.unwrap();
    assert_eq!(signer(&body), "OLD");
    environment.push(("AWS_EC2_METADATA_V1_DISABLED", "true"));
    let error = prepared(iam(None).as_mut(), &environment).await.unwrap_err().to_string();
    assert!(error.contains("/latest/api/token: it answered 404"), "{error}");
}

#[tokio::test]
async fn a_hop_limit_is_told_as_such_and_takes_no_longer_than_its_time() {
    let service = Loopback::start(|asked| match asked.line.as_str() {
        "PUT /latest/api/token" => Do::Hang,
        _ => Do::Answer(401, String::new()),
    })
    .await;
    let start = Instant::now();
    let error = prepared(iam(None).as_mut(), &[(ENDPOINT, &service.address)]).await.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(4));
    for part in ["401", "/latest/api/token: ", "hop limit", "AWS_ACCESS_KEY_ID is not set"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn what_an_instance_says_is_not_believed_and_never_quoted() {
    let html = "<!DOCTYPE html><html>CANARY</html>".to_owned();
    let no_role = json!({"Code": "AssumeRoleUnauthorizedAccess", "Message": "CANARY"});
    let empty = json!({"Code": "Success", "AccessKeyId": "", "SecretAccessKey": "CANARY"});
    let torn = json!({"Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "CANARY\nx"});
    let torn_token =
        json!({"Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "s", "Token": "CANARY\nx"});
    for (roles, keys, want) in [
        ((404, String::new()), (200, String::new()), "it answered 404 Not Found: the instance has no role"),
        ((200, String::new()), (200, String::new()), "the instance has no role"),
        ((200, html.clone()), (200, String::new()), "what it answered is no role name"),
        ((200, "../../x".into()), (200, String::new()), "what it answered is no role name"),
        ((200, "r".into()), (200, html), "/r: what it answered is no JSON"),
        ((200, "r".into()), (200, "[1,2]".into()), "the keys it gave have no usable AccessKeyId"),
        ((200, "r".into()), (200, no_role.to_string()), "its code is AssumeRoleUnauthorizedAccess"),
        ((200, "r".into()), (200, empty.to_string()), "no usable AccessKeyId"),
        ((200, "r".into()), (200, torn.to_string()), "no usable SecretAccessKey"),
        ((200, "r".into()), (200, torn_token.to_string()), "no usable Token"),
        (
            (200, "r".into()),
            (200, keys_json("A", "soon").to_string()),
            "the Expiration of the keys it gave is no time",
        ),
        ((200, "r".into()), (500, "CANARY".into()), "it answered 500"),
        ((200, "r".into()), (200, "x".repeat(2 << 20)), "/r: "),
    ] {
        let service = Loopback::start(move |asked| {
            imds(asked, |line| {
                let (status, body) = if line == ROLES { roles.clone() } else { keys.clone() };
                Do::Answer(status, body)
            })
        })
        .await;
        let error =
            prepared(iam(None).as_mut(), &[(ENDPOINT, &service.address)]).await.unwrap_err().to_string();
        assert!(error.contains(want) && error.contains(&service.address), "{want}: {error}");
        assert!(!error.contains("CANARY") && error.len() < 1000, "{error}");
    }
}

#[tokio::test]
async fn a_container_shows_its_token_and_stands_before_the_instance() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    put(&token, "pod-token-1\n");
    let container = Loopback::start(|asked| match asked.header("authorization") {
        Some("pod-token-2") => ok(keys_json("POD", FAR_AWAY)),
        _ => Do::Answer(403, "CANARY".into()),
    })
    .await;
    let full = format!("{}/v1/credentials?id=CANARY", container.address);
    let environment = [
        // Where nobody listens: it must not be asked.
        (ENDPOINT, "http://127.0.0.1:1"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &full),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let mut method = iam(None);
    let error = prepared(method.as_mut(), &environment).await.unwrap_err().to_string();
    assert!(error.contains("/v1/credentials: it answered 403") && !error.contains("CANARY"), "{error}");
    assert!(!error.contains("instance metadata"), "{error}");
    put(&token, "pod-token-2\n");
    let (_, body) = prepared(method.as_mut(), &environment).await.unwrap();
    assert_eq!(signer(&body), "POD");
    for (text, reason) in [("", "it is empty"), ("CANARY\nx: y\n", "it holds more than one line")] {
        put(&token, text);
        let error = prepared(iam(None).as_mut(), &environment).await.unwrap_err().to_string();
        let said = format!("AWS container authorization token file {}: {reason}", token.display());
        assert!(error.contains(&said) && !error.contains("CANARY"), "{error}");
    }
    // Whoever is on the way there could say who we are.
    let environment = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.169.254:1/x")];
    let error = prepared(iam(None).as_mut(), &environment).await.unwrap_err().to_string();
    assert!(error.contains("credentials are taken without TLS from this machine alone"), "{error}");
}

#[test]
fn metadata_are_asked_at_the_configured_place_else_at_the_environments_else_at_the_usual_one() {
    let ipv6 = ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
    for (configured, environment, want) in [
        (None, vec![], "http://169.254.169.254"),
        (None, vec![ipv6], "http://[fd00:ec2::254]"),
        (None, vec![ipv6, (ENDPOINT, "http://e")], "http://e"),
        (Some("http://c"), vec![ipv6, (ENDPOINT, "http://e")], "http://c"),
        (None, vec![(ENDPOINT, "")], "http://169.254.169.254"),
    ] {
        let metadata = super::Metadata { endpoint: configured.map(str::to_owned) };
        assert_eq!(metadata.base(&config::Environment::new(environment)), want);
    }
}

#[tokio::test]
async fn a_web_identitys_keys_are_kept_until_the_token_changes_or_they_grow_old() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    put(&token, "jwt-1\n");
    let sts = Loopback::start(|asked| {
        assert_eq!(asked.line, "POST /");
        let nth = if asked.body.contains("WebIdentityToken=jwt-1") { 1 } else { 2 };
        // The second ones are as good as expired: four minutes more.
        let soon = jiff::Timestamp::now() + Duration::from_secs(240);
        let expires = if nth == 1 { FAR_AWAY.to_owned() } else { soon.to_string() };
        ok(format!(
            "<Credentials><AccessKeyId>WEB{nth}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t\
             </SessionToken><Expiration>{expires}</Expiration></Credentials>"
        ))
    })
    .await;
    let environment = [
        ("AWS_ENDPOINT_URL_STS", sts.address.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ROLE_SESSION_NAME", "me"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let mut method = iam(None);
    for _ in 0..2 {
        let (_, body) = prepared(method.as_mut(), &environment).await.unwrap();
        assert_eq!(signer(&body), "WEB1");
        assert!(!news(method.as_mut(), &environment).await);
    }
    let asked = sts.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body,
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
         &RoleSessionName=me&WebIdentityToken=jwt-1"
    );
    assert!(method.watch().unwrap().files.contains(&token));
    put(&token, "jwt-2\n");
    assert!(news(method.as_mut(), &environment).await);
    let (_, body) = prepared(method.as_mut(), &environment).await.unwrap();
    assert_eq!(signer(&body), "WEB2");
    assert_eq!(sts.asked().len(), 3, "old keys are not kept");
}

#[tokio::test]
async fn when_no_source_answers_keys_that_still_last_are_used() {
    let service = Loopback::start(|asked| {
        imds(asked, |line| if line == ROLES { ok("r") } else { ok(keys_json("LAST", FAR_AWAY)) })
    })
    .await;
    let expired = Loopback::start(|asked| {
        imds(
            asked,
            |line| if line == ROLES { ok("r") } else { ok(keys_json("PAST", "2001-01-01T00:00:00Z")) },
        )
    })
    .await;
    let gone = [(ENDPOINT, "http://127.0.0.1:1")];
    let mut method = iam(None);
    prepared(method.as_mut(), &[(ENDPOINT, &service.address)]).await.unwrap();
    assert!(!news(method.as_mut(), &gone).await);
    let (_, body) = prepared(method.as_mut(), &gone).await.unwrap();
    assert_eq!(signer(&body), "LAST");
    let mut method = iam(None);
    prepared(method.as_mut(), &[(ENDPOINT, &expired.address)]).await.unwrap();
    assert!(prepared(method.as_mut(), &gone).await.is_err());
}

#[tokio::test]
async fn metadata_can_be_switched_off() {
    let service = Loopback::start(|_| ok("")).await;
    let environment = [(ENDPOINT, service.address.as_str()), ("AWS_EC2_METADATA_DISABLED", "true")];
    for mut method in [iam(None), ec2(AwsNonce::Fresh, false)] {
        let error = prepared(method.as_mut(), &environment).await.unwrap_err().to_string();
        assert!(error.contains("switched off by AWS_EC2_METADATA_DISABLED"), "{error}");
    }
    assert_eq!(service.lines(), Vec::<String>::new());
}

// === ec2 ===

const DOCUMENT: &str = "{\n  \"instanceId\" : \"i-0abc\",\n  \"region\" : \"eu-west-1\"\n}";

async fn papers() -> Loopback {
    Loopback::start(|asked| {
        imds(asked, |line| match line {
            "GET /latest/dynamic/instance-identity/document" => ok(DOCUMENT),
            "GET /latest/dynamic/instance-identity/signature" => ok("c2ln\nbmF0dXJl"),
            "GET /latest/dynamic/instance-identity/pkcs7" => ok("cGtj\nczc3\n"),
            _ => Do::Answer(404, String::new()),
        })
    })
    .await
}

#[tokio::test]
async fn the_instances_papers_are_sent_as_they_are_with_one_nonce() {
    let service = papers().await;
    let environment = [(ENDPOINT, service.address.as_str())];
    let mut method = ec2(AwsNonce::Fresh, false);
    let (path, first) = prepared(method.as_mut(), &environment).await.unwrap();
    assert_eq!((path.as_str(), &first["role"]), ("auth/here/login", &json!("app")));
    assert_eq!(STANDARD.decode(first["identity"].as_str().unwrap()).unwrap(), DOCUMENT.as_bytes());
    assert_eq!(first["signature"], "c2ln\nbmF0dXJl");
    let (_, second) = prepared(method.as_mut(), &environment).await.unwrap();
    assert_eq!(first["nonce"], second["nonce"]);
    let (_, other) = prepared(ec2(AwsNonce::Fresh, false).as_mut(), &environment).await.unwrap();
    assert_ne!(first["nonce"], other["nonce"]);
    // A random UUID.
    let nonce = first["nonce"].as_str().unwrap();
    let parts: Vec<usize> = nonce.split('-').map(str::len).collect();
    assert_eq!((parts.as_slice(), &nonce[14..15]), (&[8, 4, 4, 4, 12][..], "4"), "{nonce}");
    assert!("89ab".contains(&nonce[19..20]), "{nonce}");
    let (_, given) = prepared(ec2(AwsNonce::Given("n".into()), true).as_mut(), &environment).await.unwrap();
    assert_eq!(given, json!({"pkcs7": "cGtjczc3", "role": "app", "nonce": "n"}));
}

#[tokio::test]
async fn a_kept_nonce_outlives_the_program_and_is_its_owners_alone() {
    let service = papers().await;
    let environment = [(ENDPOINT, service.address.as_str())];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nonce");
    let login = async || {
        let mut method = ec2(AwsNonce::Kept(path.clone()), false);
        prepared(method.as_mut(), &environment).await.map(|(_, body)| body["nonce"].clone())
    };
    let first = login().await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(login().await.unwrap(), first);
    put(&path, "chosen\n");
    assert_eq!(login().await.unwrap(), "chosen");
    for (text, reason) in
        [("\n", "it is empty; remove it to have a new nonce made"), ("a\nb", "it holds more than one line")]
    {
        put(&path, text);
        let error = login().await.unwrap_err().to_string();
        assert!(error.ends_with(reason), "{error}");
    }
    let nowhere = AwsNonce::Kept(folder.path().join("missing/nonce"));
    let error = prepared(ec2(nowhere, false).as_mut(), &environment).await.unwrap_err().to_string();
    assert!(error.contains("missing/nonce: it cannot be kept: "), "{error}");
}

#[tokio::test]
async fn papers_that_are_none_are_not_sent() {
    for (document, signature, want) in [
        ("<html>CANARY</html>", "c2ln", "document: what it answered is no identity document"),
        ("{\"a\": 1}", "c2ln", "document: what it answered is no identity document"),
        (DOCUMENT, "<html>CANARY</html>", "signature: what it answered is no base64"),
        (DOCUMENT, "", "signature: what it answered is no base64"),
    ] {
        let service = Loopback::start(move |asked| {
            imds(asked, |line| ok(if line.ends_with("document") { document } else { signature }))
        })
        .await;
        let mut method = ec2(AwsNonce::Fresh, false);
        let error = prepared(method.as_mut(), &[(ENDPOINT, &service.address)]).await.unwrap_err().to_string();
        assert!(error.contains(want) && !error.contains("CANARY"), "{error}");
    }
    let service = Loopback::start(|asked| imds(asked, |_| ok("<html>"))).await;
    let mut method = ec2(AwsNonce::Fresh, true);
    let error = prepared(method.as_mut(), &[(ENDPOINT, &service.address)]).await.unwrap_err().to_string();
    assert!(error.contains("pkcs7: what it answered is no base64"), "{error}");
}

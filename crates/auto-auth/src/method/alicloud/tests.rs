//! Against stubs on loopback with the real services' paths, headers and failures.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::AliCloudSource;
use serde_json::{Value, json};

use super::AliCloud;
use crate::method::Method as _;
use crate::method::loopback::{Do, Loopback, news, prepared};

const METADATA: &str = "ALICLOUD_METADATA_ENDPOINT";
const ROLES: &str = "GET /latest/meta-data/ram/security-credentials/";

fn method(source: AliCloudSource) -> AliCloud {
    AliCloud::new(&config::AliCloud {
        role: "app".into(),
        region: "cn-hangzhou".into(),
        poll_interval: Duration::from_secs(9),
        source,
        metadata_endpoint: None,
    })
}

fn access_key(id: &str) -> AliCloudSource {
    AliCloudSource {
        access_key: Some(id.into()),
        access_secret: Some("secret".into()),
        access_token: Some("tok".into()),
        ..AliCloudSource::default()
    }
}

/// A parameter of the signed URL or of any other query.
fn parameter(query: &str, name: &str) -> String {
    let (_, query) = query.split_once('?').unwrap();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    value.unwrap_or_default().to_owned()
}

fn url(body: &Value) -> String {
    String::from_utf8(STANDARD.decode(body["identity_request_url"].as_str().unwrap()).unwrap()).unwrap()
}

fn signer(body: &Value) -> String {
    parameter(&url(body), "AccessKeyId")
}

fn keys_json(id: &str) -> Value {
    json!({
        "AccessKeyId": id, "AccessKeySecret": "CANARY", "SecurityToken": "CANARY", "Code": "Success",
        "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn the_login_is_a_signed_question_to_the_regions_sts() {
    let (path, body) = prepared(&mut method(access_key("LTAI1")), &[]).await.unwrap();
    assert_eq!((path.as_str(), &body["role"]), ("auth/here/login", &json!("app")));
    let url = url(&body);
    assert!(url.starts_with("https://sts.cn-hangzhou.aliyuncs.com/?"), "{url}");
    for (name, value) in [
        ("Action", "GetCallerIdentity"),
        ("Format", "JSON"),
        ("RegionId", "cn-hangzhou"),
        ("SecurityToken", "tok"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("Version", "2015-04-01"),
    ] {
        assert_eq!(parameter(&url, name), value);
    }
    let headers = STANDARD.decode(body["identity_request_headers"].as_str().unwrap()).unwrap();
    let headers: Value = serde_json::from_slice(&headers).unwrap();
    // Without it the cloud answers the server in XML.
    assert_eq!(headers["Accept"], json!(["application/json"]));
    assert!(headers.as_object().unwrap().values().all(Value::is_array));
    assert_eq!(super::sts_host("cn-hangzhou-finance"), "sts.aliyuncs.com");
}

#[tokio::test]
async fn the_environment_comes_before_the_configuration_and_both_before_the_instance() {
    let service = Loopback::start(|asked| match asked.line.as_str() {
        "PUT /latest/api/token" => Do::Answer(404, String::new()),
        ROLES => Do::Answer(200, "r".into()),
        _ => Do::Answer(200, keys_json("INSTANCE").to_string()),
    })
    .await;
    let environment =
        [(METADATA, service.address.as_str()), ("ALICLOUD_SECRET_KEY", "s"), ("ALICLOUD_ACCESS_KEY", "ENV")];
    let login = async |source, variables| {
        prepared(&mut method(source), &environment[..variables]).await.map(|(_, body)| signer(&body)).unwrap()
    };
    assert_eq!(login(access_key("FILE"), 3).await, "ENV");
    // Half a pair is none.
    assert_eq!(login(access_key("FILE"), 2).await, "FILE");
    assert_eq!(service.lines(), Vec::<String>::new());
    assert_eq!(login(AliCloudSource::default(), 2).await, "INSTANCE");
}

#[tokio::test]
async fn an_instance_wants_its_session_token_and_new_keys_are_news() {
    let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(1));
    let now = std::sync::Arc::clone(&turn);
    let service = Loopback::start(move |asked| {
        if asked.line == "PUT /latest/api/token" {
            assert_eq!(asked.header("x-aliyun-ecs-metadata-token-ttl-seconds"), Some("21600"));
            return Do::Answer(200, "SESSION==".into());
        }
        if asked.header("x-aliyun-ecs-metadata-token") != Some("SESSION==") {
            return Do::Answer(403, String::new());
        }
        let id = format!("STS.{}", now.load(std::sync::atomic::Ordering::SeqCst));
        Do::Answer(200, keys_json(&id).to_string())
    })
    .await;
    let environment = [(METADATA, service.address.as_str())];
    let source = AliCloudSource { role_name: Some("web".into()), ..AliCloudSource::default() };
    let mut method = method(source);
    let (_, body) = prepared(&mut method, &environment).await.unwrap();
    assert_eq!(signer(&body), "STS.1");
    assert_eq!(
        service.lines(),
        ["PUT /latest/api/token", "GET /latest/meta-data/ram/security-credentials/web"]
    );
    assert_eq!(method.watch().unwrap().every, Duration::from_secs(9));
    assert!(!news(&mut method, &environment).await);
    turn.store(2, std::sync::atomic::Ordering::SeqCst);
    assert!(news(&mut method, &environment).await);
    // Nobody answers any more: those of the last login still last.
    let (_, body) = prepared(&mut method, &[(METADATA, "http://127.0.0.1:1")]).await.unwrap();
    assert_eq!(signer(&body), "STS.1");
}

#[tokio::test]
async fn expired_keys_of_an_instance_do_not_serve_on() {
    let service = Loopback::start(|asked| {
        let mut keys = keys_json("STS.old");
        keys["Expiration"] = "2001-01-01T00:00:00Z".into();
        Do::Answer(200, if asked.line == ROLES { "r".into() } else { keys.to_string() })
    })
    .await;
    let mut method = method(AliCloudSource::default());
    prepared(&mut method, &[(METADATA, &service.address)]).await.unwrap();
    assert!(prepared(&mut method, &[(METADATA, "http://127.0.0.1:1")]).await.is_err());
}

#[tokio::test]
async fn a_session_near_its_end_is_replaced() {
    let sts = Loopback::start(|_| {
        let mut keys = keys_json("STS.role");
        keys["Expiration"] = (jiff::Timestamp::now() + Duration::from_secs(240)).to_string().into();
        Do::Answer(200, json!({"Credentials": keys}).to_string())
    })
    .await;
    let source = AliCloudSource {
        role_arn: Some("acs:ram::1:role/r".into()),
        role_session_name: Some("me".into()),
        ..access_key("LTAI1")
    };
    let environment = [("ALICLOUD_STS_ENDPOINT", sts.address.as_str())];
    let mut method = method(source);
    for logins in 1..=2 {
        prepared(&mut method, &environment).await.unwrap();
        assert_eq!(sts.asked().len(), logins);
    }
}

#[tokio::test]
async fn what_an_instance_says_is_not_believed_and_never_quoted() {
    for (role, keys, want) in [
        ("", String::new(), "the instance has no role"),
        ("<html>CANARY", String::new(), "what it answered is no role name"),
        ("r", "CANARY".into(), "what it answered is no JSON"),
        ("r", json!({"Code": "Failed", "x": "CANARY"}).to_string(), "its code is Failed"),
        ("r", json!({"Code": "Success", "AccessKeyId": "A"}).to_string(), "no usable AccessKeySecret"),
        ("r", "y".repeat(2 << 20), "/r: "),
    ] {
        let service = Loopback::start(move |asked| match asked.line.as_str() {
            "PUT /latest/api/token" => Do::Answer(200, "S".into()),
            ROLES => Do::Answer(200, role.into()),
            _ => Do::Answer(200, keys.clone()),
        })
        .await;
        let mut method = method(AliCloudSource::default());
        let error = prepared(&mut method, &[(METADATA, &service.address)]).await.unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("found no Alibaba Cloud credentials"), "{error}");
        assert!(!error.contains("CANARY") && error.len() < 1000, "{error}");
    }
}

#[tokio::test]
async fn a_role_is_taken_on_once_and_signs_from_then_on() {
    let sts = Loopback::start(|asked| {
        let line = &asked.line;
        assert_eq!(parameter(line, "Action"), "AssumeRole");
        assert_eq!(parameter(line, "AccessKeyId"), "LTAI1");
        assert_eq!(parameter(line, "DurationSeconds"), "3600");
        assert_eq!(parameter(line, "RoleArn"), "acs%3Aram%3A%3A1%3Arole%2Fr");
        assert_eq!(parameter(line, "SecurityToken"), "", "the access key lasts");
        Do::Answer(200, json!({"RequestId": "x", "Credentials": keys_json("STS.role")}).to_string())
    })
    .await;
    let source = AliCloudSource {
        role_arn: Some("acs:ram::1:role/r".into()),
        role_session_name: Some("me".into()),
        ..access_key("LTAI1")
    };
    let environment = [("ALICLOUD_STS_ENDPOINT", sts.address.as_str())];
    let mut method = method(source);
    for _ in 0..2 {
        let (_, body) = prepared(&mut method, &environment).await.unwrap();
        assert_eq!(signer(&body), "STS.role");
        assert!(!news(&mut method, &environment).await);
    }
    assert_eq!(sts.asked().len(), 1);
}

#[tokio::test]
async fn a_key_pair_gets_a_sessions_keys() {
    let sts = Loopback::start(|asked| {
        let line = &asked.line;
        assert_eq!(parameter(line, "Action"), "GenerateSessionAccessKey");
        assert_eq!(parameter(line, "SignatureMethod"), "SHA256withRSA");
        assert_eq!(parameter(line, "PublicKeyId"), "pk-1");
        let keys = json!({"SessionAccessKeyId": "SAK", "SessionAccessKeySecret": "CANARY", "Expiration": "2099-01-01T00:00:00Z"});
        Do::Answer(200, json!({"SessionAccessKey": keys}).to_string())
    })
    .await;
    let pem = include_str!("../testdata/rsa-pkcs8.pem");
    let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let environment = [("ALICLOUD_STS_ENDPOINT", sts.address.as_str())];
    for (key, good) in [(pem, true), (&bare, true), ("CANARY", false)] {
        let source = AliCloudSource {
            private_key: Some(key.into()),
            public_key_id: Some("pk-1".into()),
            ..AliCloudSource::default()
        };
        match prepared(&mut method(source), &environment).await {
            Ok((_, body)) => assert_eq!(signer(&body), "SAK"),
            Err(error) => {
                assert!(!good, "{error}");
                assert!(!error.to_string().contains("CANARY"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_bad_number_in_the_environment_is_named() {
    let environment = [("ALICLOUD_ROLE_SESSION_EXPIRATION", "1h")];
    let error = prepared(&mut method(access_key("A")), &environment).await.unwrap_err().to_string();
    assert_eq!(error, "error parsing ALICLOUD_ROLE_SESSION_EXPIRATION: it is no number of seconds");
}

#[tokio::test]
async fn an_instances_role_comes_before_a_key_pair() {
    let stub = Loopback::start(|asked| match asked.line.as_str() {
        line if line.starts_with("GET /latest/meta-data/ram/security-credentials/worker") => {
            Do::Answer(200, keys_json("STS.instance").to_string())
        }
        _ => Do::Answer(404, String::new()),
    })
    .await;
    let source = AliCloudSource {
        role_name: Some("worker".into()),
        private_key: Some(include_str!("../testdata/rsa-pkcs8.pem").into()),
        public_key_id: Some("pk-1".into()),
        ..AliCloudSource::default()
    };
    let environment = [("ALICLOUD_STS_ENDPOINT", stub.address.as_str()), (METADATA, stub.address.as_str())];
    let (_, body) = prepared(&mut method(source), &environment).await.unwrap();
    assert_eq!(signer(&body), "STS.instance");
}

#[tokio::test]
async fn an_instance_is_asked_without_a_session_token_unless_that_is_forbidden() {
    for (forbidden, asked) in [("true", 1), ("TRUE", 1), ("false", 3), ("", 3)] {
        let service = Loopback::start(|asked| match asked.line.as_str() {
            "PUT /latest/api/token" => Do::Answer(404, String::new()),
            ROLES => Do::Answer(200, "r".into()),
            _ => Do::Answer(200, keys_json("STS.instance").to_string()),
        })
        .await;
        let environment =
            [(METADATA, service.address.as_str()), ("ALIBABA_CLOUD_IMDSV1_DISABLED", forbidden)];
        let login = prepared(&mut method(AliCloudSource::default()), &environment).await;
        assert_eq!(service.lines().len(), asked, "{forbidden}: {:?}", service.lines());
        match login {
            Ok((_, body)) => assert!(asked == 3 && signer(&body) == "STS.instance"),
            Err(error) => {
                let error = error.to_string();
                assert!(asked == 1 && error.contains("/latest/api/token: it answered 404"), "{error}");
            }
        }
    }
}

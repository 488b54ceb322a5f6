//! `azure` against the server's own plugin for JWTs, with stubs of Azure's services.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stub::{Asked, Reply, Stub, jwt, log_in, login_anywhere, page, part, rsa_key, unix_time};
use crate::{Stage, put};

/// What it is about, the configuration, the environment, what is expected.
type Case<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, &'a str);

/// What a service says.
type Answer = fn(&Asked) -> Reply;

const RESOURCE: &str = "https://management.azure.com/";

/// What the stub gives for a token request, whoever is meant.
fn token(key: &KeyPair, oid: &str) -> Value {
    let claims = json!({"aud": RESOURCE, "oid": oid, "iat": unix_time(0), "exp": unix_time(3600)});
    json!({"access_token": jwt(key, &claims), "expires_in": "3599", "token_type": "Bearer"})
}

/// As Azure's services answer, as far as we ask.
fn answer(asked: &Asked, key: &KeyPair) -> Reply {
    let no = |status: u16| Reply::Say(status, json!({"error": "invalid_request"}).to_string());
    match asked.path.as_str() {
        path if path.starts_with("/metadata/") && asked.header("metadata") != "true" => no(400),
        path if path.starts_with("/metadata/") && asked.query("api-version") != "2018-02-01" => no(400),
        "/metadata/instance" => Reply::json(&json!({"compute": {
            "name": "vm1", "resourceGroupName": "rg1", "subscriptionId": "s1", "vmScaleSetName": "", "resourceId": "/x",
        }})),
        "/metadata/identity/oauth2/token" if asked.query("resource") == RESOURCE => {
            let id = format!("{}{}", asked.query("client_id"), asked.query("object_id"));
            Reply::json(&token(key, &format!("vm{id}")))
        }
        "/msi/token" if asked.header("x-identity-header") == "ih" && asked.query("resource") == RESOURCE => {
            assert_eq!(asked.query("api-version"), "2019-08-01");
            Reply::json(&token(key, "app-service"))
        }
        "/t1/oauth2/v2.0/token" if asked.form("grant_type") == "client_credentials" => {
            if asked.form("scope") != format!("{RESOURCE}/.default") || asked.form("client_id") != "c1" {
                return no(400);
            }
            let by_secret = asked.form("client_secret") == "s3cret&+=";
            let by_assertion =
                asked.form("client_assertion_type").ends_with(":client-assertion-type:jwt-bearer")
                    && !asked.form("client_assertion").is_empty();
            if by_secret || by_assertion { Reply::json(&token(key, "principal")) } else { no(401) }
        }
        _ => no(404),
    }
}

#[tokio::test]
async fn a_machine_and_every_credential_of_the_environment_log_in() {
    let stage = Stage::new().await;
    let key = Arc::new(rsa_key());
    let signer = Arc::clone(&key);
    let azure = Stub::start(move |asked| answer(asked, &signer)).await;
    let role = json!({"role_type": "jwt", "user_claim": "oid", "bound_audiences": [RESOURCE], "token_policies": ["app"]});
    stage.jwt_mount("azure", &[&key], "r1", &role).await;

    let own = rsa_key();
    let certificate = CertificateParams::new(vec!["app".to_owned()]).unwrap().self_signed(&own).unwrap();
    let (pem, federated) = (stage.path("app.pem"), stage.path("federated"));
    put(&pem, &format!("{}{}", own.serialize_pem(), certificate.pem()));
    let workload = jwt(&own, &json!({"iss": "cluster", "exp": unix_time(600)}));
    put(&federated, &format!("{workload}\n"));
    let (pem, federated) = (pem.to_str().unwrap(), federated.to_str().unwrap());
    let url = azure.url.as_str();
    let principal = [("AZURE_TENANT_ID", "t1"), ("AZURE_CLIENT_ID", "c1"), ("AZURE_AUTHORITY_HOST", url)];

    let from_environment = "authenticate_from_environment = true\n";
    let endpoint = format!("metadata_endpoint = {url:?}\n");
    let nowhere = "metadata_endpoint = \"http://127.0.0.1:1\"\n".to_owned();
    let cases: Vec<Case<'_>> = vec![
        ("the machine", endpoint.clone(), vec![], "vm"),
        (
            "the machine, by the variable",
            String::new(),
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)],
            "vm",
        ),
        ("one of its identities", format!("{endpoint}client_id = \"c7\""), vec![], "vmc7"),
        ("another", format!("{endpoint}object_id = \"o7\""), vec![], "vmo7"),
        (
            "a secret",
            format!("{from_environment}{nowhere}"),
            vec![("AZURE_CLIENT_SECRET", "s3cret&+="), ("AZURE_FEDERATED_TOKEN_FILE", "/no")],
            "principal",
        ),
        (
            "a certificate",
            format!("{from_environment}{nowhere}"),
            vec![("AZURE_CLIENT_CERTIFICATE_PATH", pem), ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true")],
            "principal",
        ),
        (
            "a workload identity",
            format!("{from_environment}{nowhere}authority_host = {url:?}"),
            vec![("AZURE_FEDERATED_TOKEN_FILE", federated)],
            "principal",
        ),
        ("a managed identity of the machine", format!("{from_environment}{endpoint}"), vec![], "vmc1"),
    ];
    for (what, keys, more, oid) in cases {
        let mut environment = more;
        if keys.contains(from_environment) {
            environment.extend(principal);
        }
        let keys = format!("role = \"r1\"\nresource = {RESOURCE:?}\n{keys}");
        let run = stage.log_in("azure", &keys, &environment).await;
        assert_eq!(run.code, Some(0), "{what}: {}", run.output);
        let looked = stage.server.api(Some(&run.token)).unwrap().get("auth/token/lookup-self").await.unwrap();
        assert_eq!(looked.json["data"]["display_name"], format!("azure-{oid}"), "{what}");
        for secret in ["eyJ", "s3cret", "PRIVATE KEY"] {
            assert!(!run.output.contains(secret), "{what}: {secret} is in the log: {}", run.output);
        }
    }
    let msi = format!("{url}/msi/token");
    let keys = format!("role = \"r1\"\nresource = {RESOURCE:?}\n{from_environment}{nowhere}");
    let environment = [("IDENTITY_ENDPOINT", msi.as_str()), ("IDENTITY_HEADER", "ih")];
    let run = stage.log_in("azure", &keys, &environment).await;
    assert_eq!(run.code, Some(0), "{}", run.output);
    assert!(run.output.contains("without the name of the machine"), "{}", run.output);

    // What the certificate's key signed holds before the server's plugin, and names the certificate.
    let audience = format!("{url}/t1/oauth2/v2.0/token");
    let entra = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": [audience], "bound_claims": {"iss": "c1"}});
    stage.jwt_mount("entra", &[&own], "any", &entra).await;
    let asked = azure.asked("/t1/oauth2");
    let assertions: Vec<String> =
        asked.iter().map(|asked| asked.form("client_assertion")).filter(|a| !a.is_empty()).collect();
    assert_eq!(assertions.len(), 2);
    assert_eq!(stage.checks("entra", "any", &assertions[0]).await, "yes");
    let header = part(&assertions[0], 0);
    assert_eq!(header["x5c"].as_array().unwrap().len(), 1);
    assert_eq!(header["x5t"].as_str().unwrap().len(), 27, "a SHA-1 digest");
    assert_eq!(assertions[1], workload, "the workload's token goes out as it is");
}

#[tokio::test]
async fn the_body_is_upstreams() {
    let key = rsa_key();
    let azure = Stub::start(move |asked| answer(asked, &key)).await;
    let server =
        Stub::start(|_| Reply::json(&json!({"auth": {"client_token": "s.t", "lease_duration": 60}}))).await;
    let keys = format!("role = \"r1\"\nresource = {RESOURCE:?}\nmetadata_endpoint = {:?}", azure.url);
    let run = log_in(&server.url, "azure", &keys, &[]).await;
    assert_eq!(run.token, "s.t", "{}", run.output);
    let login = &server.asked("/v1/auth/azure/login")[0];
    let mut body = login.json();
    assert!(body["jwt"].take().as_str().unwrap().starts_with("eyJ"));
    let expected = json!({
        "role": "r1", "jwt": null, "vm_name": "vm1", "vmss_name": "", "resource_group_name": "rg1", "subscription_id": "s1",
    });
    assert_eq!((login.method.as_str(), body), ("PUT", expected));
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.url.as_str())];
    page("azure", "resource", &login_anywhere("/v1/auth/azure/login").await, &environment).await;
}

#[tokio::test]
async fn a_metadata_service_of_azure_that_lies_or_hangs_is_named() {
    let stage = Stage::new().await;
    let answers: [(Answer, &str, &str); 7] = [
        (|_| Reply::Say(404, "hidden".into()), "/metadata/instance", "it answered 404 Not Found"),
        (|_| Reply::Say(200, "<html>hidden".into()), "/metadata/instance", "the answer has no compute"),
        (|_| Reply::Say(200, "[]".into()), "/metadata/instance", "the answer has no compute"),
        (|_| Reply::Flood(2 << 20), "/metadata/instance", "longer than 1048576 bytes"),
        (|_| Reply::Hang, "/metadata/instance", "no answer within 2 seconds"),
        (
            |a| {
                if a.path.ends_with("token") {
                    Reply::Say(200, "hidden".into())
                } else {
                    Reply::json(&json!({"compute": {}}))
                }
            },
            "/metadata/identity/oauth2/token",
            "the answer is not a JSON object",
        ),
        (
            |a| {
                if a.path.ends_with("token") {
                    Reply::json(&json!({"access_token": "hidden"}))
                } else {
                    Reply::json(&json!({"COMPUTE": {}}))
                }
            },
            "/metadata/identity/oauth2/token",
            "the answer's access_token is no signed JWT",
        ),
    ];
    for (reply, path, reason) in answers {
        let service = Stub::start(reply).await;
        let keys = format!("role = \"r1\"\nresource = {RESOURCE:?}\nmetadata_endpoint = {:?}", service.url);
        let began = Instant::now();
        let run = stage.log_in("azure", &keys, &[]).await;
        assert!(began.elapsed() < Duration::from_secs(8), "{reason}");
        let place = format!("instance metadata service at {}{path}: ", service.url);
        assert_eq!(run.code, Some(1), "{}", run.output);
        assert!(run.output.contains(&place) && run.output.contains(reason), "{reason}: {}", run.output);
        assert!(!run.output.contains("hidden"), "{}", run.output);
    }
}

#[tokio::test]
async fn credentials_of_azure_that_are_of_no_use_are_named() {
    let stage = Stage::new().await;
    let (empty, page, pfx) = (stage.path("empty"), stage.path("page"), stage.path("app.pfx"));
    put(&empty, "\n");
    put(&page, "<html>hidden</html>");
    atomic_file::write(&pfx, b"0\x82\xff\xff", &atomic_file::Attributes::new(0o600)).unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let principal = [("AZURE_TENANT_ID", "t1"), ("AZURE_CLIENT_ID", "c1")];
    for (name, value, reason) in [
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            text(&empty),
            "federated token file ".to_owned() + &text(&empty) + ": it is empty",
        ),
        ("AZURE_FEDERATED_TOKEN_FILE", text(&page), "it holds no signed JWT".into()),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            "/no/such".into(),
            "federated token file /no/such: cannot open it".into(),
        ),
        ("AZURE_CLIENT_CERTIFICATE_PATH", text(&pfx), "it is not PEM; PKCS#12 files are not read".into()),
        ("AZURE_CLIENT_CERTIFICATE_PATH", text(&page), "it holds no private key in PEM".into()),
        (
            "IDENTITY_ENDPOINT",
            "http://127.0.0.1:1".into(),
            "a managed identity of Azure Arc, which cannot be used".into(),
        ),
        ("UNRELATED", "x".into(), "the login of the command line az is not used".into()),
    ] {
        let keys = format!(
            "role = \"r1\"\nresource = {RESOURCE:?}\nauthenticate_from_environment = true\nmetadata_endpoint = \"127.0.0.1:1\""
        );
        let mut environment = vec![(name, value.as_str())];
        environment.extend(principal);
        let run = stage.log_in("azure", &keys, &environment).await;
        assert_eq!(run.code, Some(1), "{}", run.output);
        assert!(run.output.contains(&reason), "{reason}: {}", run.output);
        assert!(!run.output.contains("hidden"), "{}", run.output);
    }
}

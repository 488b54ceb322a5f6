//! `oci`: what is signed is checked by a program of its own, `tests/oci/verify.py`.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use testkit::{Program, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::stub::{Asked, Reply, Stub, jwt, log_in, login_anywhere, page, rsa_key, unix_time};
use crate::{put, sidekey};

const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";
const USER: &str = "ocid1.user.oc1..bbbb";

/// Python with the package cryptography: that of the tests' verifiers, else the machine's own.
fn python() -> Command {
    let named = std::env::var_os("SIDEKEY_VERIFIERS").map(std::path::PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut fetched = here.ancestors().map(|folder| folder.join(".openbao/verifiers"));
    let mut command = Command::new("python3");
    if let Some(folder) = named.or_else(|| fetched.find(|folder| folder.is_dir())) {
        command.env("PYTHONPATH", folder);
    }
    command
}

/// The key id, if the signature is good; else what the verifier said.
async fn verify(public_key: &str, method: &str, target: &str, headers: &Value, body: &str) -> String {
    let mut command = python();
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oci/verify.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let asked = json!({"public_key": public_key, "method": method, "target": target, "headers": headers, "body": body});
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    said.trim().to_owned()
}

/// A server that lets everybody in; what was sent is looked at afterwards.
async fn server(ttl: u64) -> Stub {
    Stub::start(move |asked| match asked.path.as_str() {
        path if path.ends_with("/login/r1") => Reply::json(&json!({"auth": {
            "client_token": format!("s.{}", unix_time(0)), "lease_duration": ttl, "renewable": false,
        }})),
        _ => Reply::Say(404, "{}".to_owned()),
    })
    .await
}

/// Who signed a login, by the verifier.
async fn signer_of(login: &Asked, public_key: &str) -> String {
    let sent = login.json()["request_headers"].clone();
    let mut headers = serde_json::Map::new();
    for (name, values) in sent.as_object().unwrap() {
        headers.insert(name.clone(), values[0].clone());
    }
    let target = headers.remove("(request-target)").unwrap();
    assert_eq!(target, "get /v1/auth/oci/login/r1");
    let mut names: Vec<&String> = headers.keys().collect();
    names.sort();
    assert_eq!(names, ["Authorization", "Date", "Host"], "the server looks for these names");
    verify(public_key, "get", "/v1/auth/oci/login/r1", &Value::Object(headers), "").await
}

#[tokio::test]
async fn an_api_key_of_every_place_signs() {
    let server = server(3600).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (first, second) = (rsa_key(), rsa_key());
    put(&path("first.pem"), &first.serialize_pem());
    // PKCS#1, as Oracle's console gives keys: the inner part of PKCS#8.
    let mut convert = python();
    convert.arg("-c").arg(
        "import sys\nfrom cryptography.hazmat.primitives import serialization as s\n\
         k = s.load_pem_private_key(open(sys.argv[1], 'rb').read(), None)\n\
         open(sys.argv[2], 'wb').write(k.private_bytes(s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL, s.NoEncryption()))",
    );
    put(&path("second.p8"), &second.serialize_pem());
    assert!(convert.arg(path("second.p8")).arg(path("second.pem")).status().await.unwrap().success());
    let config = |name: &str, fingerprint: &str, key: &str| {
        let file = path(name);
        atomic_file::create_folders(file.parent().unwrap()).unwrap();
        put(
            &file,
            &format!(
                "[DEFAULT]\nuser={USER}\nfingerprint={fingerprint}\ntenancy={TENANCY}\nkey_file={key}\n[OTHER]\nuser=u\n"
            ),
        );
        file.to_str().unwrap().to_owned()
    };
    let first_path = path("first.pem").to_str().unwrap().to_owned();
    let second_path = path("second.pem").to_str().unwrap().to_owned();
    config("h1/.oci/config", "aa:01", &first_path);
    config("h2/.oraclebmc/config", "aa:02", "~/key.pem");
    put(&path("h2/key.pem"), &first.serialize_pem());
    let elsewhere = config("elsewhere", "aa:03", &second_path);
    let homes: Vec<String> =
        ["h1", "h2", "h3"].iter().map(|h| path(h).to_str().unwrap().to_owned()).collect();
    let in_variables = vec![
        ("OCI_tenancy_ocid", TENANCY),
        ("OCI_user_ocid", USER),
        ("OCI_fingerprint", "aa:04"),
        ("OCI_private_key_path", &second_path),
        ("HOME", &homes[0]),
    ];
    for (what, keys, environment, fingerprint, key) in [
        (
            "home",
            String::new(),
            vec![("HOME", homes[0].as_str()), ("OCI_CONFIG_FILE", &elsewhere)],
            "aa:01",
            &first,
        ),
        ("old home", String::new(), vec![("HOME", homes[1].as_str())], "aa:02", &first),
        (
            "variable",
            String::new(),
            vec![("HOME", homes[2].as_str()), ("OCI_CONFIG_FILE", &elsewhere)],
            "aa:03",
            &second,
        ),
        ("key", format!("config_file = {elsewhere:?}"), vec![("HOME", homes[0].as_str())], "aa:03", &second),
        ("variables", String::new(), in_variables, "aa:04", &second),
    ] {
        let before = server.asked("login").len();
        let run =
            log_in(&server.url, "oci", &format!("type = \"apikey\"\nrole = \"r1\"\n{keys}"), &environment)
                .await;
        assert_eq!(run.code, Some(0), "{what}: {}", run.output);
        let login = &server.asked("login")[before];
        assert_eq!((login.method.as_str(), login.path.as_str()), ("PUT", "/v1/auth/oci/login/r1"));
        let signer = signer_of(login, &key.public_key_pem()).await;
        assert_eq!(signer, format!("{TENANCY}/{USER}/{fingerprint}"), "{what}");
        assert!(!run.output.contains("PRIVATE KEY"));
    }
    // A key that comes late ends the wait at once.
    let late = path("late");
    let mut agent = Program::agent(sidekey(), folder.path())
        .server(&server.url)
        .config(&format!(
            "auto_auth {{\n method \"oci\" {{ min_backoff = \"200s\"\n config = {{ type = \"apikey\"\n role = \"r1\"\n \
             credential_poll_interval = \"200ms\"\n config_file = {late:?} }} }}\n sink \"file\" {{ config = {{ path = {:?} }} }}\n}}",
            path("token")
        ))
        .start()
        .unwrap();
    agent.says("error authenticating").await.unwrap();
    config("late", "aa:05", &second_path);
    agent.says("token written").await.unwrap();
    agent.stop().await.unwrap();

    // The verifier is no yes-man.
    let last = server.asked("login").pop().unwrap();
    assert!(signer_of(&last, &first.public_key_pem()).await.contains("InvalidSignature"));

    put(&path("short"), "-----BEGIN RSA PRIVATE KEY-----\nhidden\n");
    put(
        &path("locked"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhidden\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    for (keys, environment, reason) in [
        (String::new(), vec![], "none of these names tenancy, user and fingerprint together"),
        (format!("config_file = {elsewhere:?}\nprofile = \"NO\""), vec![], "elsewhere: it has no profile NO"),
        ("config_file = \"/no/such\"".to_owned(), vec![], "configuration file /no/such: cannot open it"),
        (
            format!("config_file = {:?}", config("c1", "f", "/no/key")),
            vec![],
            "API key file /no/key: cannot open it",
        ),
        (
            format!("config_file = {:?}", config("c2", "f", path("short").to_str().unwrap())),
            vec![],
            "it holds no private key in PEM",
        ),
        (
            format!("config_file = {:?}", config("c3", "f", path("locked").to_str().unwrap())),
            vec![],
            "its private key is encrypted; decrypt it",
        ),
        (
            format!("config_file = {:?}", config("c4", "f", folder.path().to_str().unwrap())),
            vec![],
            "it is a directory",
        ),
    ] {
        let run =
            log_in(&server.url, "oci", &format!("type = \"apikey\"\nrole = \"r1\"\n{keys}"), &environment)
                .await;
        assert_eq!(run.code, Some(1), "{}", run.output);
        assert!(run.output.contains(reason) && !run.output.contains("hidden"), "{reason}: {}", run.output);
    }
}

/// Certificates of an instance, as the metadata service has them.
struct Certificates {
    leaf: String,
    key: KeyPair,
    intermediate: String,
}

fn certificates() -> Certificates {
    let mut issuer = CertificateParams::new(vec![]).unwrap();
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer_key = rsa_key();
    let intermediate = issuer.self_signed(&issuer_key).unwrap().pem();
    let mut leaf = CertificateParams::new(vec![]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "ocid1.instance.oc1.phx.cccc");
    leaf.distinguished_name.push(DnType::OrganizationalUnitName, format!("opc-tenant:{TENANCY}"));
    let key = rsa_key();
    let leaf = leaf.signed_by(&key, &Issuer::new(issuer, &issuer_key)).unwrap().pem();
    Certificates { leaf, key, intermediate }
}

/// The metadata service of an instance that has these versions of it, and Oracle's service for tokens.
async fn oracle(certificates: Arc<Certificates>, versions: &'static [&'static str], lifetime: i64) -> Stub {
    let token_key = rsa_key();
    let issued = AtomicUsize::new(0);
    Stub::start(move |asked| {
        if asked.path == "/v1/x509" && asked.method == "POST" {
            let nth = issued.fetch_add(1, Ordering::Relaxed);
            return Reply::json(
                &json!({"token": jwt(&token_key, &json!({"exp": unix_time(lifetime), "nth": nth}))}),
            );
        }
        let Some(path) = versions.iter().find_map(|version| asked.path.strip_prefix(version)) else {
            return Reply::Say(404, "<html>not found</html>".to_owned());
        };
        if asked.path.starts_with("/opc/v2") && asked.header("authorization") != "Bearer Oracle" {
            return Reply::Say(404, "missing header".to_owned());
        }
        match path {
            "/identity/cert.pem" => Reply::Say(200, certificates.leaf.clone()),
            "/identity/key.pem" => Reply::Say(200, certificates.key.serialize_pem()),
            "/identity/intermediate.pem" => Reply::Say(200, certificates.intermediate.clone()),
            "/instance/region" => Reply::Say(200, "phx".to_owned()),
            _ => Reply::Say(404, String::new()),
        }
    })
    .await
}

/// Checks a federation request, and gives its session key in PEM.
async fn session_key(request: &Asked, leaf: &str) -> String {
    let headers: Value = request.headers.iter().map(|(n, v)| (n.clone(), Value::from(v.as_str()))).collect();
    let signer = verify(leaf, "post", "/v1/x509", &headers, &request.body).await;
    let body = request.json();
    let armour = |text: &str| text.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    assert_eq!(body["certificate"], armour(leaf));
    let prefix = format!("{TENANCY}/fed-x509/");
    let fingerprint = signer.strip_prefix(&prefix).unwrap_or_else(|| panic!("{signer}"));
    assert_eq!(fingerprint.split(':').filter(|part| part.len() == 2).count(), 20, "{fingerprint}");
    assert_eq!(body["intermediateCertificates"].as_array().unwrap().len(), 1);
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", body["publicKey"].as_str().unwrap())
}

#[tokio::test]
async fn an_instance_signs_with_a_session_key() {
    let certificates = Arc::new(certificates());
    let server = server(3600).await;
    for (versions, by_variable) in [(&["/opc/v2", "/opc/v1"][..], false), (&["/opc/v1"], true)] {
        let before = server.asked("login").len();
        let oracle = oracle(Arc::clone(&certificates), versions, 600).await;
        let base = format!("{}/opc/v2", oracle.url);
        let mut keys =
            format!("type = \"instance\"\nrole = \"r1\"\nfederation_endpoint = {:?}\n", oracle.url);
        let mut environment = vec![];
        if by_variable {
            environment.push(("OCI_METADATA_BASE_URL", base.as_str()));
        } else {
            keys.push_str(&format!("metadata_endpoint = {:?}", oracle.url));
        }
        let run = log_in(&server.url, "oci", &keys, &environment).await;
        assert_eq!(run.code, Some(0), "{}", run.output);
        // Version 1 is for instances that have no other.
        assert_eq!(oracle.asked("/opc/v1/").is_empty(), versions.len() == 2);
        let session_key = session_key(&oracle.asked("/v1/x509")[0], &certificates.leaf).await;
        let signer = signer_of(&server.asked("login")[before], &session_key).await;
        assert!(signer.starts_with("ST$eyJ"), "{signer}");
        assert!(!run.output.contains("eyJ") && !run.output.contains("PRIVATE KEY"), "{}", run.output);
    }

    // The page's own configurations; Oracle's endpoint is found by the region there, and is not asked here.
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".oci/config");
    atomic_file::create_folders(file.parent().unwrap()).unwrap();
    let key = home.path().join("key.pem");
    put(&key, &certificates.key.serialize_pem());
    put(
        &file,
        &format!("[DEFAULT]\nuser={USER}\nfingerprint=aa\ntenancy={TENANCY}\nkey_file={}\n", key.display()),
    );
    page(
        "oci",
        "apikey",
        &login_anywhere("/v1/auth/oci/login/app").await,
        &[("HOME", home.path().to_str().unwrap())],
    )
    .await;

    // A token that ends is replaced by the poll, and with it the login; certificates may have changed by then.
    let oracle = oracle(Arc::clone(&certificates), &["/opc/v2"], 30).await;
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Program::agent(sidekey(), folder.path())
        .server(&server.url)
        .config(&format!(
            "auto_auth {{\n enable_reauth_on_new_credentials = true\n method \"oci\" {{ config = {{ type = \"instance\"\n role = \"r1\"\n \
             credential_poll_interval = \"1s\"\n federation_endpoint = {0:?}\n metadata_endpoint = {0:?} }} }}\n sink \"file\" {{ config = {{ path = {1:?} }} }}\n}}",
            oracle.url,
            folder.path().join("token")
        ))
        .start()
        .unwrap();
    agent.says("auth method found new credentials, re-authenticating").await.unwrap();
    eventually("a second login", || async { Some(()).filter(|()| oracle.asked("/v1/x509").len() >= 3) })
        .await
        .unwrap();
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn each_login_of_an_instance_has_a_token_of_its_own() {
    // Of a login that was refused the token may have been the reason.
    let server = Stub::start(|_| Reply::Say(401, json!({"errors": ["no"]}).to_string())).await;
    let oracle = oracle(Arc::new(certificates()), &["/opc/v2"], 3600).await;
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Program::agent(sidekey(), folder.path())
        .server(&server.url)
        .config(&format!(
            "auto_auth {{\n method \"oci\" {{\n max_backoff = \"1s\"\n config = {{ type = \"instance\"\n role = \"r1\"\n \
             federation_endpoint = {0:?}\n metadata_endpoint = {0:?} }} }}\n sink \"file\" {{ config = {{ path = {1:?} }} }}\n}}",
            oracle.url,
            folder.path().join("token")
        ))
        .start()
        .unwrap();
    eventually("a second login", || async { Some(()).filter(|()| server.asked("/login/r1").len() >= 2) })
        .await
        .unwrap();
    assert!(oracle.asked("/v1/x509").len() >= 2, "the second login came with the token of the first");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_metadata_service_of_oracle_that_lies_or_hangs_is_named() {
    let server = server(3600).await;
    let real = Arc::new(certificates());
    let leaf = |asked: &Asked, text: &'static str| match asked.path.rsplit('/').next() {
        Some("region") => Reply::Say(200, "us-phoenix-1".to_owned()),
        Some("regionInfo") => Reply::Say(404, String::new()),
        _ => Reply::Say(200, text.to_owned()),
    };
    type Answer = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;
    let cases: Vec<(&str, Answer, &str)> = vec![
        (
            "404",
            Box::new(|_| Reply::Say(404, "hidden".into())),
            "/opc/v2/instance/region: it answered 404 Not Found",
        ),
        (
            "a lying region",
            Box::new(|_| Reply::Say(200, "evil.example/hidden?".into())),
            "/opc/v2/instance/region: the answer is no name of a region",
        ),
        (
            "a lying realm",
            Box::new(|_| {
                Reply::json(
                    &json!({"regionIdentifier": "us-phoenix-1", "realmDomainComponent": "evil.example/"}),
                )
            }),
            "the answer is no name of a region",
        ),
        ("hangs", Box::new(|_| Reply::Hang), "no answer within 2 seconds"),
        ("a flood", Box::new(|_| Reply::Flood(2 << 20)), "longer than 1048576 bytes"),
        (
            "no certificate",
            Box::new(move |asked| leaf(asked, "<html>hidden</html>")),
            "the certificate of this instance of Oracle Cloud: it is no certificate in PEM",
        ),
        (
            "no federation",
            Box::new(move |asked| match asked.path.as_str() {
                "/v1/x509" => Reply::json(&json!({"message": "hidden"})),
                path if path.ends_with("cert.pem") => Reply::Say(200, real.leaf.clone()),
                path if path.ends_with("key.pem") => Reply::Say(200, real.key.serialize_pem()),
                _ => Reply::Say(200, real.intermediate.clone()),
            }),
            "federation endpoint at URL/v1/x509: the answer has no token",
        ),
    ];
    for (what, answer, reason) in cases {
        let service = Stub::start(answer).await;
        let mut keys = format!("type = \"instance\"\nrole = \"r1\"\nmetadata_endpoint = {:?}\n", service.url);
        if what == "no federation" {
            keys.push_str(&format!("federation_endpoint = {:?}", service.url));
        }
        let run = log_in(&server.url, "oci", &keys, &[]).await;
        let reason = reason.replace("URL", &service.url);
        assert_eq!(run.code, Some(1), "{what}: {}", run.output);
        assert!(run.output.contains(&reason), "{what}: {}", run.output);
        assert!(!run.output.contains("hidden"), "{what}: {}", run.output);
    }
}

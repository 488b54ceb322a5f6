//! Every method whose credential is a file against the real server's plugins, with new credentials while it runs.

mod docs;
mod identity;
mod program;
mod review;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Api, Program, Server, eventually, free_pair, server_binary};

use crate::{put, sidekey};
use identity::{Authority, Signer};

/// The real server with a plain and a TLS listener, and all the plugins mounted.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) root: Api,
    /// Of the TLS listener.
    tls: String,
    authority: Authority,
    signer: Signer,
    folder: tempfile::TempDir,
    review: review::Review,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.issue("127.0.0.1");
        let path = |name: &str| folder.path().join(name);
        put(&path("ca.pem"), &authority.pem());
        put(&path("server.pem"), &certificate);
        put(&path("server.key"), &key);
        let port = free_pair().unwrap();
        let listener = json!({"listener": {"tcp": {
            "address": format!("127.0.0.1:{port}"),
            "cluster_address": format!("127.0.0.1:{}", port + 1),
            "tls_cert_file": path("server.pem"),
            "tls_key_file": path("server.key"),
        }}});
        put(&path("server.json"), &listener.to_string());
        let flags = [format!("-config={}", path("server.json").display())];
        let server = Server::dev_with(&server_binary().unwrap(), &flags).await.unwrap();
        let root = server.root_api().unwrap();
        let review = review::Review::start(&certificate, &key).await;
        let world = Self {
            root,
            server,
            tls: format!("https://127.0.0.1:{port}"),
            authority,
            signer: Signer::new(),
            folder,
            review,
        };
        world.mount().await;
        world
    }

    async fn mount(&self) {
        let write = async |path: &str, body: Value| {
            self.root.write(path, &body).await.unwrap();
        };
        for (mount, plugin) in [
            ("cert", "cert"),
            ("jwt", "jwt"),
            ("kubernetes", "kubernetes"),
            ("ldap", "userpass"),
            ("okta", "userpass"),
            ("radius", "userpass"),
            ("spiffe", "jwt"),
            ("userpass", "userpass"),
        ] {
            write(&format!("sys/auth/{mount}"), json!({"type": plugin})).await;
        }
        for mount in ["ldap", "okta", "radius", "userpass"] {
            write(&format!("auth/{mount}/users/ann.b"), json!({"password": "p w-one "})).await;
        }
        for mount in ["jwt", "spiffe"] {
            let keys = json!({"jwt_validation_pubkeys": [self.signer.public_key()]});
            write(&format!("auth/{mount}/config"), keys).await;
            let role = json!({
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
                "claim_mappings": {"jti": "jti"},
            });
            write(&format!("auth/{mount}/role/app"), role).await;
        }
        let kubernetes = json!({
            "kubernetes_host": self.review.address,
            "kubernetes_ca_cert": self.authority.pem(),
            "token_reviewer_jwt": self.signer.sign(&json!({"sub": "reviewer"})),
            "disable_local_ca_jwt": true,
        });
        write("auth/kubernetes/config", kubernetes).await;
        let role = json!({"bound_service_account_names": ["sa"], "bound_service_account_namespaces": ["ns"]});
        write("auth/kubernetes/role/app", role).await;
        let role = json!({"certificate": self.authority.pem(), "allowed_common_names": ["client"]});
        write("auth/cert/certs/web", role).await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A JWT that tells itself apart by `id`.
    pub(crate) fn jwt(&self, id: &str) -> String {
        let now = jiffies();
        self.signer.sign(&json!({
            "sub": "system:serviceaccount:ns:sa", "aud": ["vault"], "jti": id,
            "iat": now - 10, "nbf": now - 10, "exp": now + 3600, "iss": "kubernetes/serviceaccount",
            "kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "sa", "uid": "u-1"}},
        }))
    }

    /// Runs an agent with a method: it logs in with what is there, and once more when `rotate` has put something new
    /// there. Gives what the server says of the two tokens.
    async fn logs_in_twice(&self, run: Run<'_>) -> [Value; 2] {
        let name = run.method;
        let sink = self.path(&format!("token-{name}"));
        let server = if name == "cert" { &self.tls } else { &self.server.address() };
        let program = Program::agent(sidekey(), self.folder.path()).config(&format!(
            "vault {{ address = {server:?}\n ca_cert = {:?} }}\nauto_auth {{\n enable_reauth_on_new_credentials = true\n \
             method {name:?} {{ config = {{\n{}\n}} }}\n sink \"file\" {{ config = {{ path = {sink:?} }} }}\n}}",
            self.path("ca.pem"),
            run.keys
        ));
        let mut agent = program.flag("-log-level=trace").start().unwrap();
        let token = async |other: &str| {
            eventually("a token", || async {
                std::fs::read_to_string(&sink).ok().filter(|token| !token.is_empty() && token != other)
            })
            .await
            .map_err(|error| format!("{name}: {error}: {:?}", agent.output()))
            .unwrap()
        };
        let first = token("").await;
        (run.rotate)();
        let second = token(&first).await;
        agent.stop().await.unwrap();
        let output = agent.output().join("\n");
        for secret in run.secrets {
            assert!(!output.contains(secret.as_str()), "{name}: a credential is in the log: {output}");
        }
        let mut found = [Value::Null, Value::Null];
        for (token, found) in [first, second].into_iter().zip(&mut found) {
            let answer = self.root.with_token(Some(&token)).get("auth/token/lookup-self").await.unwrap();
            assert!(answer.status.is_success(), "{name}: the token is dead");
            *found = answer.json["data"].clone();
        }
        found
    }
}

struct Run<'a> {
    method: &'a str,
    keys: String,
    rotate: Box<dyn FnOnce() + 'a>,
    secrets: Vec<String>,
}

/// Seconds since 1970.
fn jiffies() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn every_method_with_a_file_logs_in_and_takes_a_new_credential() {
    let world = World::new().await;
    approle(&world).await;
    cert(&world).await;
    jwt(&world).await;
    kubernetes(&world).await;
    passwords(&world).await;
    spiffe(&world).await;
    token_file(&world).await;
    a_credential_that_comes_late(&world).await;
}

async fn approle(world: &World) {
    let (role_id, first) = world.server.approle("app", Server::EVERYTHING, 600, 600).await.unwrap();
    let second = world.root.write("auth/approle/role/app/secret-id", &json!({})).await.unwrap();
    let second = second["data"]["secret_id"].as_str().unwrap().to_owned();
    let (role, secret) = (world.path("role-id"), world.path("secret-id"));
    put(&role, &role_id);
    put(&secret, &first);
    let found = world
        .logs_in_twice(Run {
            method: "approle",
            keys: format!("role_id_file_path = {role:?}\nsecret_id_file_path = {secret:?}"),
            rotate: Box::new(|| {
                assert!(!secret.exists(), "the secret id was not removed");
                put(&secret, &second);
            }),
            secrets: vec![first.clone(), second.clone()],
        })
        .await;
    assert_eq!(found[1]["path"], "auth/approle/login");
    assert!(!secret.exists(), "the second secret id was not removed");
}

async fn cert(world: &World) {
    let place = || {
        let (certificate, key) = world.authority.issue("client");
        put(&world.path("client.key"), &key);
        put(&world.path("client.pem"), &certificate);
    };
    place();
    let found = world
        .logs_in_twice(Run {
            method: "cert",
            keys: format!(
                "name = \"web\"\nclient_cert = {:?}\nclient_key = {:?}\nreload = true",
                world.path("client.pem"),
                world.path("client.key")
            ),
            rotate: Box::new(place),
            secrets: Vec::new(),
        })
        .await;
    assert_eq!(found[0]["meta"]["cert_name"], "web");
    assert_ne!(found[0]["meta"]["serial_number"], found[1]["meta"]["serial_number"]);
}

async fn jwt(world: &World) {
    let (first, second) = (world.jwt("one"), world.jwt("two"));
    let (file, link) = (world.path("jwt-target"), world.path("jwt"));
    put(&file, &format!("{first}\n"));
    symlink(&file, &link).unwrap();
    let found = world
        .logs_in_twice(Run {
            method: "jwt",
            keys: format!("path = {link:?}\nrole = \"app\"\nremove_jwt_follows_symlinks = true"),
            rotate: Box::new(|| {
                assert!(link.is_symlink() && !file.exists(), "not the target was removed");
                // Where the link leads to; written in place as many programs do.
                put(&file, &second);
            }),
            secrets: vec![first.clone(), second.clone()],
        })
        .await;
    assert_eq!((&found[0]["meta"]["jti"], &found[1]["meta"]["jti"]), (&json!("one"), &json!("two")));
}

async fn kubernetes(world: &World) {
    let (first, second) = (world.jwt("one"), world.jwt("two"));
    let pod = world.path("serviceaccount");
    for (version, jwt) in [("..1", &first), ("..2", &second)] {
        atomic_file::create_folders(&pod.join(version)).unwrap();
        put(&pod.join(version).join("token"), jwt);
    }
    symlink("..1", pod.join("..data")).unwrap();
    symlink("..data/token", pod.join("token")).unwrap();
    let found = world
        .logs_in_twice(Run {
            method: "kubernetes",
            keys: format!("role = \"app\"\ntoken_path = {:?}", pod.join("token")),
            rotate: Box::new(|| {
                symlink("..2", pod.join("..data_tmp")).unwrap();
                rustix::fs::rename(pod.join("..data_tmp"), pod.join("..data")).unwrap();
            }),
            secrets: vec![first.clone(), second.clone()],
        })
        .await;
    assert_eq!(found[1]["meta"]["service_account_name"], "sa");
    assert!(pod.join("token").exists());
    assert_eq!(world.review.tokens(), [first.clone(), second.clone()]);
}

async fn passwords(world: &World) {
    for method in ["ldap", "okta", "radius", "userpass"] {
        let file = world.path(&format!("password-{method}"));
        put(&file, "p w-one \n");
        let (sent, changed) = tokio::sync::oneshot::channel();
        let root = world.root.clone();
        let changing = async move {
            changed.await.unwrap();
            let path = format!("auth/{method}/users/ann.b/password");
            root.write(&path, &json!({"password": "p w-two"})).await.unwrap();
        };
        let run = Run {
            method,
            keys: format!("username = \"ann.b\"\npassword_file_path = {file:?}"),
            rotate: Box::new(|| {
                assert!(!file.exists(), "the password was not removed");
                sent.send(()).unwrap();
                put(&file, "p w-two\r\n");
            }),
            secrets: vec!["p w-one".to_owned(), "p w-two".to_owned()],
        };
        let (found, ()) = tokio::join!(world.logs_in_twice(run), changing);
        assert_eq!(found[1]["path"], format!("auth/{method}/login/ann.b"));
    }
    // From the environment.
    let sink = world.path("token-from-environment");
    let program = Program::agent(sidekey(), world.folder.path()).server(&world.server.address()).config(&format!(
        "exit_after_auth = true\nauto_auth {{ method \"ldap\" {{ config = {{ username = \"ann.b\"\npassword_env_var = \"PASS\" }} }}\n \
         sink \"file\" {{ config = {{ path = {sink:?} }} }} }}"
    ));
    let mut agent = program.env("PASS", "p w-two").start().unwrap();
    assert!(agent.ended().await.unwrap().success(), "{:?}", agent.output());
    assert!(sink.exists());
}

async fn spiffe(world: &World) {
    let (first, second, other) = (world.jwt("one"), world.jwt("two"), world.jwt("other"));
    let file = world.path("svid");
    put(&file, &first);
    let found = world
        .logs_in_twice(Run {
            method: "spiffe",
            keys: format!("path = {file:?}\nrole = \"app\"\nspiffe_id = \"spiffe://a/two\""),
            rotate: Box::new(|| {
                let svids = json!([{"svids": [
                    {"spiffe_id": "spiffe://a/other", "svid": other},
                    {"spiffe_id": "spiffe://a/two", "svid": second},
                ]}, {"bundles": {}}]);
                put(&file, &svids.to_string());
            }),
            secrets: vec![first.clone(), second.clone(), other.clone()],
        })
        .await;
    assert_eq!((&found[0]["meta"]["jti"], &found[1]["meta"]["jti"]), (&json!("one"), &json!("two")));
    assert!(file.exists());
}

async fn token_file(world: &World) {
    let token = async || {
        let made = world.root.write("auth/token/create", &json!({"ttl": "1h"})).await.unwrap();
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let (first, second) = (token().await, token().await);
    let file = world.path("found");
    put(&file, &first);
    let found = world
        .logs_in_twice(Run {
            method: "token_file",
            keys: format!("token_file_path = {file:?}"),
            rotate: Box::new(|| put(&file, &format!("{second}\n"))),
            secrets: vec![first.clone(), second.clone()],
        })
        .await;
    assert_eq!((&found[0]["id"], &found[1]["id"]), (&json!(first), &json!(second)));
}

/// Long before the back-off would end.
async fn a_credential_that_comes_late(world: &World) {
    let (file, sink) = (world.path("late/jwt"), world.path("token-late"));
    let program = Program::agent(sidekey(), world.folder.path()).server(&world.server.address()).config(&format!(
        "auto_auth {{ method \"jwt\" {{ min_backoff = \"4m\"\nconfig = {{ path = {file:?}\nrole = \"app\"\nremove_jwt_after_reading = false }} }}\n \
         sink \"file\" {{ config = {{ path = {sink:?} }} }} }}"
    ));
    let mut agent = program.start().unwrap();
    let line = agent.says("error authenticating").await.unwrap();
    assert!(
        line.contains(&format!("JWT file {}: cannot open it: No such file", file.display()))
            && line.contains("backoff="),
        "{line}"
    );
    atomic_file::create_folders(file.parent().unwrap()).unwrap();
    put(&file, "eyJ.half");
    agent.says("it holds no whole JWT").await.unwrap();
    put(&file, &world.jwt("late"));
    agent.says("token written").await.unwrap();
    agent.stop().await.unwrap();
    assert!(sink.exists() && Path::new(&file).exists());
}

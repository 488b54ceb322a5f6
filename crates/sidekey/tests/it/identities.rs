//! Several `auto_auth` blocks in one process, against the real server: each its own token, namespace and life.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use testkit::{Api, Process, Program, Server, eventually, server_binary};

use crate::{put, sidekey};

/// A server with an AppRole each: `shop` and `jobs` of the root namespace, `team` of the namespace `team`.
struct Several {
    server: Server,
    root: Api,
    folder: tempfile::TempDir,
}

const OWN_SECRET: &str = "path \"secret/data/NAME\" { capabilities = [\"read\"] }
path \"auth/token/create\" { capabilities = [\"update\"] }";

impl Several {
    async fn new() -> (Self, String) {
        let server = Server::dev(&server_binary().unwrap()).await.unwrap();
        let root = server.root_api().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = String::new();
        for name in ["shop", "jobs"] {
            let credentials =
                server.approle(name, &OWN_SECRET.replace("NAME", name), 600, 3600).await.unwrap();
            let secret = json!({"data": {"of": name}});
            root.write(&format!("secret/data/{name}"), &secret).await.unwrap();
            config += &stanza(folder.path(), name, &credentials, "");
        }
        root.write("sys/namespaces/team", &json!({})).await.unwrap();
        let role = json!({"token_policies": ["team"], "token_ttl": 600});
        let policy = json!({"policy": Server::EVERYTHING});
        for (path, body) in [
            ("sys/auth/approle", json!({"type": "approle"})),
            ("sys/policies/acl/team", policy),
            ("sys/mounts/secret", json!({"type": "kv"})),
            ("secret/own", json!({"of": "team"})),
            ("auth/approle/role/team", role),
        ] {
            root.write(&format!("team/{path}"), &body).await.unwrap();
        }
        let role_id = root.get("team/auth/approle/role/team/role-id").await.unwrap();
        let secret_id = root.write("team/auth/approle/role/team/secret-id", &json!({})).await.unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let credentials = (text(&role_id.json["data"]["role_id"]), text(&secret_id["data"]["secret_id"]));
        config += &stanza(folder.path(), "team", &credentials, "namespace = \"team\"");
        (Self { server, root, folder }, config)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn listener(&self, name: &str) -> Api {
        Api::new(&format!("unix://{}", self.folder.path().join(format!("{name}.sock")).display()), None)
            .unwrap()
    }
}

/// An identity with a sink, a listener and a template of its own.
fn stanza(
    folder: &std::path::Path,
    name: &str,
    (role_id, secret_id): &(String, String),
    method: &str,
) -> String {
    let path = |kind: &str| folder.join(format!("{name}.{kind}"));
    put(&path("role-id"), role_id);
    put(&path("secret-id"), secret_id);
    let mut text = format!(
        "auto_auth \"{name}\" {{\n method \"approle\" {{\n {method}\n config = {{ role_id_file_path = {:?} \
         secret_id_file_path = {:?} }} }}\n sink \"file\" {{ config = {{ path = {:?} }} }}\n}}\n",
        path("role-id"),
        path("secret-id"),
        path("token"),
    );
    let secret =
        if name == "team" { "secret/own\" }}{{ .Data.of" } else { "secret/data/NAME\" }}{{ .Data.data.of" };
    let contents =
        format!("{{{{ with secret \"{secret} }}}}{{{{ end }}}}").replace("NAME", name).replace('"', "\\\"");
    let _ = writeln!(
        text,
        "listener \"unix\" {{\n address = {:?}\n tls_disable = true\n auto_auth = \"{name}\"\n}}\n\
         template {{\n contents = \"{contents}\"\n destination = {:?}\n auto_auth = \"{name}\"\n}}",
        path("sock"),
        path("out"),
    );
    text
}

fn logins(agent: &Process, name: &str) -> usize {
    let own = format!("auto_auth={name}");
    let is_login = |line: &&String| line.contains("authentication successful") && line.contains(&own);
    agent.output().iter().filter(is_login).count()
}

const NAMES: [&str; 3] = ["shop", "jobs", "team"];

#[tokio::test]
async fn each_has_its_own_token_namespace_cache_and_life() {
    let (stage, config) = Several::new().await;
    let agent = Program::agent(sidekey(), stage.folder.path())
        .server(&stage.server.address())
        .config(&config)
        .config("cache {}\napi_proxy { use_auto_auth_token = true }\nlog_level = \"debug\"");
    let mut agent = agent.start().unwrap();

    // Templates and sinks: each with its own.
    for name in NAMES {
        eventually("the file", || async { Some(()).filter(|()| stage.read(&format!("{name}.out")) == name) })
            .await
            .unwrap_or_else(|why| panic!("{name}: {why}\n{}", agent.output().join("\n")));
        eventually("the token", || async {
            Some(()).filter(|()| !stage.read(&format!("{name}.token")).is_empty())
        })
        .await
        .unwrap();
        assert_eq!(logins(&agent, name), 1);
        // Whoever works for it says so, also on the threads that write files.
        let line = format!("rendered \"(dynamic)\" => \"{}", stage.folder.path().join(name).display());
        let told =
            eventually("the line", || async { agent.output().into_iter().find(|told| told.contains(&line)) })
                .await
                .unwrap_or_else(|why| panic!("{name}: {why}\n{}", agent.output().join("\n")));
        assert!(told.ends_with(&format!("auto_auth={name}")), "{told}");
    }
    let [shop, jobs, team] = NAMES.map(|name| stage.listener(name));

    // Listeners: who asks `shop` has its rights, and nobody else's.
    assert_eq!(shop.get("secret/data/shop").await.unwrap().json["data"]["data"]["of"], "shop");
    assert_eq!(shop.get("secret/data/jobs").await.unwrap().status.as_u16(), 403);
    assert_eq!(jobs.get("secret/data/jobs").await.unwrap().json["data"]["data"]["of"], "jobs");
    assert_eq!(jobs.get("secret/data/shop").await.unwrap().status.as_u16(), 403);
    let in_team = [("x-vault-namespace", "team"), ("content-type", "application/json")];
    let own = team.send("GET", "/v1/secret/own", &in_team, "").await.unwrap();
    assert_eq!(own.json["data"]["of"], "team");

    // What one bought is not the other's, also when all was forgotten and bought anew.
    let buy = json!({"ttl": "10m"});
    for _ in 0..2 {
        assert_eq!(shop.post("auth/token/create", &buy).await.unwrap().cache(), "MISS");
        assert_eq!(jobs.post("auth/token/create", &buy).await.unwrap().cache(), "MISS");
        let (first, again) = (
            shop.post("auth/token/create", &buy).await.unwrap(),
            jobs.post("auth/token/create", &buy).await.unwrap(),
        );
        assert_eq!((first.cache(), again.cache()), ("HIT", "HIT"));
        assert_ne!(first.json["auth"]["client_token"], again.json["auth"]["client_token"]);
        let all = json!({"type": "all"}).to_string();
        let cleared = jobs
            .send("POST", "/agent/v1/cache-clear", &[("content-type", "application/json")], &all)
            .await
            .unwrap();
        assert!(cleared.status.is_success());
    }

    // A lease of a namespace is renewed there.
    let short = json!({"ttl": "2s", "renewable": true}).to_string();
    let bought = team.send("POST", "/v1/auth/token/create", &in_team, &short).await.unwrap();
    assert_eq!(bought.cache(), "MISS");
    let token = bought.json["auth"]["client_token"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let alive =
        stage.server.api(Some(&token)).unwrap().send("GET", "/v1/auth/token/lookup-self", &in_team, "").await;
    assert_eq!(alive.unwrap().status.as_u16(), 200, "{}", agent.output().join("\n"));

    // One's death is its own.
    let dead = stage.read("jobs.token");
    stage.root.post("auth/token/revoke", &json!({"token": dead})).await.unwrap();
    assert_eq!(jobs.get("secret/data/jobs").await.unwrap().status.as_u16(), 200);
    eventually("the new token", || async { Some(()).filter(|()| stage.read("jobs.token") != dead) })
        .await
        .unwrap();
    assert_eq!(NAMES.map(|name| logins(&agent, name)), [1, 2, 1], "{}", agent.output().join("\n"));
    assert!(!agent.output().join("\n").contains(&dead));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn rendering_once_logs_in_as_each_template_says() {
    let (stage, config) = Several::new().await;
    let folder = stage.folder.path();
    let config = format!(
        "vault {{ address = {:?} }}\napi_proxy {{ use_auto_auth_token = true }}\n{config}",
        stage.server.address()
    );
    put(&folder.join("config.hcl"), &config);
    let mut command = tokio::process::Command::new(sidekey());
    let output = command
        .args(["template", "render"])
        .arg(format!("-config={}", folder.join("config.hcl").display()))
        .env_clear()
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let parts: Vec<&str> = text.split("==> ").skip(1).map(|part| part.lines().nth(1).unwrap()).collect();
    assert_eq!(parts, NAMES);
    // Every login's token is gone.
    let accessors = stage.root.send("LIST", "/v1/auth/token/accessors", &[], "").await.unwrap();
    assert_eq!(accessors.json["data"]["keys"].as_array().unwrap().len(), 1, "the root token alone");
}

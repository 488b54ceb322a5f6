//! The examples of the repository do what they say, with nothing changed but paths, address and port.

mod containers;
mod systemd;

use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::{Api, Process, eventually};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn all() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![examples()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("hcl" | "json") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn all_of_them_pass_a_strict_check() {
    let all = all();
    assert!(all.len() >= 5, "{all:?}");
    for path in all {
        let mut command = Command::new(sidekey());
        command.arg("check").arg(&path).arg("-strict");
        if path.ends_with("proxy.hcl") {
            command.arg("-proxy");
        }
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stdout));
    }
}

impl Stage {
    /// Starts an example with our folder for its paths and our server for its address.
    fn example(&self, name: &str, mode: &str) -> Process {
        let text = std::fs::read_to_string(examples().join(name)).unwrap();
        let folder = self.folder.path().to_str().unwrap();
        let text = text
            .replace("/run/sidekey", folder)
            .replace("/etc/sidekey", folder)
            .replace("/usr/local/bin", folder)
            .replace("http://127.0.0.1:8200", &self.server.address())
            .replace("127.0.0.1:8100", "127.0.0.1:0");
        let file = self.path(if name.ends_with("json") { "example.json" } else { "example.hcl" });
        put(&file, &text);
        put(&self.path("role-id"), &self.credentials.0);
        put(&self.path("secret-id"), &self.credentials.1);
        let mut command = Command::new(sidekey());
        command.arg(mode).arg(format!("-config={}", file.display()));
        Process::start(name, command).unwrap()
    }
}

#[tokio::test]
async fn the_articles_configuration_runs_unchanged_but_for_its_paths() {
    let stage = Stage::new().await;
    stage
        .root
        .write(
            "secret/data/app",
            &json!({"data": {"color": "blue", "username": "app", "password": "tiger", "user": "app"}}),
        )
        .await
        .unwrap();
    let mut agent = stage.example("article/agent.hcl", "agent");
    agent.says("token written").await.unwrap();
    agent.says("rendered").await.unwrap();
    let line = agent.says("Api Address 1: ").await.unwrap();
    let listener = Api::new(line.split(": ").nth(1).unwrap().trim(), None).unwrap();
    assert_eq!(listener.get("secret/data/app").await.unwrap().status.as_u16(), 200);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn two_applications_beside_one_agent() {
    let stage = Stage::new().await;
    for name in ["shop", "billing"] {
        let policy = format!("path \"secret/data/{name}\" {{ capabilities = [\"read\"] }}");
        let (role_id, secret_id) = stage.server.approle(name, &policy, 600, 3600).await.unwrap();
        put(&stage.path(&format!("{name}-role-id")), &role_id);
        put(&stage.path(&format!("{name}-secret-id")), &secret_id);
        let secret = json!({"data": {"password": name}});
        stage.root.write(&format!("secret/data/{name}"), &secret).await.unwrap();
    }
    let mut agent = stage.example("several-identities.hcl", "agent");
    agent.says("rendered").await.unwrap();
    assert_eq!(stage.read("shop.env"), "shop");
    let socket = |name: &str| {
        Api::new(&format!("unix://{}", stage.path(&format!("{name}.sock")).display()), None).unwrap()
    };
    let status = |name: &'static str, path: &'static str| {
        let api = socket(name);
        async move { api.get(path).await.unwrap().status.as_u16() }
    };
    assert_eq!(status("billing", "secret/data/billing").await, 200);
    assert_eq!(status("billing", "secret/data/shop").await, 403);
    assert_eq!(status("shop", "secret/data/shop").await, 200);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_with_secrets_in_its_environment() {
    let stage = Stage::new().await;
    let data = json!({"data": {"color": "blue", "username": "app", "password": "tiger"}});
    stage.root.write("secret/data/app", &data).await.unwrap();
    let app = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$1 $DB_USER $DB_PASSWORD $(cat app.conf)\" > told\nexit 5\n";
    let program = atomic_file::Attributes::new(0o700);
    atomic_file::write(&stage.path("app"), app.as_bytes(), &program).unwrap();
    let mut agent = stage.example("exec.hcl", "agent");
    assert_eq!(agent.ended().await.unwrap().code(), Some(5), "{}", agent.output().join("\n"));
    assert_eq!(stage.read("told"), "--port=8080 app tiger color = blue\n");
}

#[tokio::test]
async fn a_found_token_and_a_proxy() {
    let stage = Stage::new().await;
    stage
        .root
        .write("secret/data/app", &json!({"data": {"color": "blue", "username": "app", "password": "tiger"}}))
        .await
        .unwrap();
    let made =
        stage.root.write("auth/token/create", &json!({"ttl": "1h", "policies": ["app"]})).await.unwrap();
    for name in ["token", "vault-token", "initial-token"] {
        put(&stage.path(name), made["auth"]["client_token"].as_str().unwrap());
    }
    let mut agent = stage.example("token-file.hcl", "agent");
    agent.says("token written").await.unwrap();
    agent.stop().await.unwrap();

    let mut proxy = stage.example("proxy.hcl", "proxy");
    proxy.says("authentication successful").await.unwrap();
    let mut addresses = Vec::new();
    for nth in 1..=2 {
        let line = proxy.says(&format!("Api Address {nth}: ")).await.unwrap();
        addresses.push(line.split(": ").nth(1).unwrap().trim().to_owned());
    }
    assert!(addresses.iter().any(|address| address.starts_with("unix://")), "{addresses:?}");
    for address in addresses {
        let listener = Api::new(&address, None).unwrap();
        let headers = [("x-vault-request", "true")];
        eventually("a read through the proxy", || async {
            listener
                .send("GET", "/v1/secret/data/app", &headers, "")
                .await
                .ok()
                .filter(|answer| answer.status.is_success())
        })
        .await
        .unwrap();
    }
    proxy.stop().await.unwrap();
}

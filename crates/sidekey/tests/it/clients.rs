//! Clients that people use, as they are published, through the listener.
//!
//! Each client does the same twice: directly against the server with a token, and through our listeners without one.
//! It prints a line for each thing it did, with the value or its own error, and both have to be equal. So nothing here
//! says what is right; the server does. Lines with `~` hold what may differ, answers about the token itself: there
//! ours must not be. What we do otherwise than the server on purpose is asked for by tests of its own.
//!
//! `scripts/fetch-clients` fetches them, in the versions that `docs/listener.md` names.

mod bao;
mod curl;

use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use testkit::{Api, Process, Program};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// Everything, by the name of each capability: `sudo` alone does not patch.
const EVERYTHING: &str = "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"patch\", \"delete\", \"list\", \"scan\", \"sudo\"] }";

/// What the listener `small` takes.
const SMALL: usize = 1024 * 1024;

/// The folder that `scripts/fetch-clients` fills.
fn folder() -> PathBuf {
    if let Some(path) = std::env::var_os("SIDEKEY_CLIENTS").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let mut folders =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join(".openbao/clients"));
    let found = folders.find(|path| path.join("vaultrs-client").is_file());
    assert!(found.is_some(), "the clients for tests are missing; run scripts/fetch-clients");
    found.unwrap()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// A server with something in it, and our program before it with a listener of each kind.
struct Front {
    stage: Stage,
    program: Process,
    mode: &'static str,
    /// A token for those who ask the server itself.
    token: String,
    plain: String,
    /// Plain too, and takes less.
    small: String,
    tls: String,
    socket: PathBuf,
    ca: PathBuf,
}

impl Front {
    async fn start(mode: &'static str) -> Self {
        let mut stage = Stage::new().await;
        stage.credentials = stage.server.approle("client", EVERYTHING, 3600, 7200).await.unwrap();
        let (role_id, secret_id) = &stage.credentials;
        let login = stage
            .root
            .write("auth/approle/login", &json!({"role_id": role_id, "secret_id": secret_id}))
            .await;
        let token = login.unwrap()["auth"]["client_token"].as_str().unwrap().to_owned();
        let kv = json!({"type": "kv", "options": {"version": "1"}});
        stage.root.write("sys/mounts/plain", &kv).await.unwrap();
        stage.root.write("plain/steady", &json!({"n": 1})).await.unwrap();
        stage.root.write("sys/namespaces/team", &json!({})).await.unwrap();
        stage.root.write("team/sys/mounts/own", &kv).await.unwrap();

        let socket = stage.path("front.sock");
        let [ca, cert, key] = certificates(&stage);
        let listeners = format!(
            "cache {{}}\ntelemetry {{}}\napi_proxy {{ use_auto_auth_token = true }}\n\
             listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\n\
             listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n max_request_body = {SMALL}\n}}\n\
             listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_cert_file = {cert:?}\n tls_key_file = {key:?}\n}}\n\
             listener \"unix\" {{\n address = {socket:?}\n socket_mode = \"0600\"\n tls_disable = true\n}}"
        );
        let start = if mode == "proxy" { Program::proxy } else { Program::agent };
        let program =
            start(sidekey(), stage.folder.path()).server(&stage.server.address()).config(&listeners);
        let mut program = program.approle(&stage.credentials, &["token"]).unwrap().start().unwrap();
        program.says("token written").await.unwrap();
        let mut addresses = Vec::new();
        for nth in 1..=3 {
            let line = program.says(&format!("Api Address {nth}: ")).await.unwrap();
            addresses.push(line.split(": ").nth(1).unwrap().trim().to_owned());
        }
        let [plain, small, tls] = addresses.try_into().unwrap();
        Self { stage, program, mode, token, plain, small, tls, socket, ca }
    }

    /// A program that a client runs in, and nothing of our surroundings in it.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_lowercase();
            if ["vault_", "bao_", "rust_"].iter().any(|start| text.starts_with(start))
                || text.ends_with("_proxy")
            {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.stage.folder.path()).kill_on_drop(true);
        command
    }

    /// What a client printed; it must have succeeded.
    async fn output(&self, mut command: Command) -> String {
        let Output { status, stdout, stderr } = command.output().await.unwrap();
        let said = String::from_utf8(stdout).unwrap();
        assert!(status.success(), "{command:?}: {said}\n{}", String::from_utf8_lossy(&stderr));
        said
    }

    /// Our token is in nothing that a client was told.
    async fn is_silent(&self, said: &str) {
        let token = self.stage.read("token");
        let api = self.stage.server.api(Some(&token)).unwrap();
        let lookup = api.get("auth/token/lookup-self").await.unwrap();
        let accessor = lookup.json["data"]["accessor"].as_str().unwrap();
        assert!(!token.is_empty() && !said.contains(&token) && !said.contains(accessor), "{said}");
    }

    /// How many connections the plain listener has accepted.
    async fn connections(&self) -> u64 {
        let api = Api::new(&format!("unix://{}", self.socket.display()), None).unwrap();
        let target = format!("/{}/v1/metrics?format=prometheus", self.mode);
        let answer = api.send("GET", &target, &[], "").await.unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        let listener = self.plain.strip_prefix("http://").unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with("sidekey_connections_total{"));
        let line = lines.find(|line| line.contains(listener)).unwrap_or_else(|| panic!("{listener}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// A client's program does everything on each way, and fifty requests on one connection. Gives all it printed.
    async fn compare(&mut self, client: impl Fn(&Self) -> Command) -> String {
        let mut all = String::new();
        let (role_id, secret_id) = &self.stage.credentials;
        let server = self.stage.server.address();
        let ways = [
            ("directly", server.as_str(), true),
            ("by-plain", &self.plain, false),
            ("by-tls", &self.tls, false),
        ];
        let mut seen = Vec::new();
        for (area, address, direct) in ways {
            let mut command = client(self);
            command.args([address, area, role_id, secret_id]);
            if direct {
                command.env("TOKEN", &self.token);
            }
            if address.starts_with("https:") {
                command.env("CA", &self.ca);
            }
            let said = self.output(command).await;
            self.is_silent(&said).await;
            seen.push(comparable(&said, area));
            all.push_str(&said);
        }
        assert!(seen[0].len() > 20, "{seen:?}");
        for way in &seen[1..] {
            same(&seen[0], way);
        }
        let before = self.connections().await;
        let mut command = client(self);
        command.args([&self.plain, "steady", role_id, secret_id]);
        self.output(command).await;
        let made = self.connections().await - before;
        // A client may open one more before the first is free again.
        assert!((1..=5).contains(&made), "{made} connections for fifty requests");
        self.program.stop().await.unwrap();
        all
    }
}

/// The lines that must be equal, whatever the area is called.
fn comparable(said: &str, area: &str) -> Vec<String> {
    said.lines().filter(|line| !line.starts_with('~')).map(|line| line.replace(area, "AREA")).collect()
}

/// Every line that differs, not the first one alone.
fn same(direct: &[String], through: &[String]) {
    let pairs = direct.iter().zip(through).filter(|(one, other)| one != other);
    let differences: Vec<_> =
        pairs.map(|(one, other)| format!("directly: {one}\nthrough:  {other}")).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(direct.len(), through.len());
}

/// A CA and what it has signed for this machine: CA, certificate, key. Some clients refuse a server that is its own CA.
fn certificates(stage: &Stage) -> [PathBuf; 3] {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "a CA for tests");
    let ca_key = KeyPair::generate().unwrap();
    let files = ["ca.pem", "cert.pem", "key.pem"].map(|name| stage.path(name));
    put(&files[0], &ca.self_signed(&ca_key).unwrap().pem());
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    put(&files[1], &params.signed_by(&key, &Issuer::new(ca, &ca_key)).unwrap().pem());
    put(&files[2], &key.serialize_pem());
    files
}

#[tokio::test]
async fn hvac() {
    let mut front = Front::start("agent").await;
    let client = |front: &Front| {
        let mut command = front.command("python3");
        command.arg(source("hvac_client.py")).env("PYTHONPATH", folder().join("hvac"));
        command
    };
    front.compare(client).await;
}

#[tokio::test]
async fn node_vault() {
    let mut front = Front::start("proxy").await;
    let client = |front: &Front| {
        let mut command = front.command(folder().join("node"));
        command.arg(source("node_vault_client.js")).env("NODE_PATH", folder().join("node_modules"));
        command
    };
    front.compare(client).await;
}

#[tokio::test]
async fn vaultrs() {
    let mut front = Front::start("agent").await;
    let said = front.compare(|front| front.command(folder().join("vaultrs-client"))).await;
    // It wants the token in an answer about the token, and has to do without.
    let about: Vec<_> = said.lines().filter(|line| line.starts_with("~ self ")).collect();
    assert_eq!(about.len(), 3);
    assert!(about[0].contains("accessor: "), "{}", about[0]);
    assert!(about[1..].iter().all(|line| line.contains("missing field `accessor`")), "{about:?}");
}

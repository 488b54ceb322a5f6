//! Logins to clouds: the configurations of `docs/auth`, against a server whose logins are checked by others' code
//! (`verifiers/clouds.py`).

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Api, Process, Program, eventually};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// The folder of Python packages that check logins, as `scripts/fetch-verifiers` has laid it out.
fn packages() -> PathBuf {
    if let Some(path) = std::env::var_os("SIDEKEY_VERIFIERS").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = here.ancestors().map(|folder| folder.join(".openbao/verifiers"));
    let found = folders.find(|path| path.is_dir());
    assert!(found.is_some(), "the packages that check logins are missing; run scripts/fetch-verifiers");
    found.unwrap()
}

/// A server, real but for its logins, and a cloud's metadata service.
pub(crate) struct Cloud {
    pub(crate) stage: Stage,
    pub(crate) ready: Value,
    pub(crate) address: String,
    name: &'static str,
    _verifier: Process,
}

impl Cloud {
    pub(crate) async fn start(name: &'static str) -> Self {
        let stage = Stage::new().await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/verifiers/clouds.py");
        let mut command = Command::new("python3");
        command.arg(script).args([name, &stage.server.address(), stage.server.root_token()]);
        command.arg(stage.folder.path()).env("PYTHONPATH", packages()).env("HOME", stage.folder.path());
        let mut verifier = Process::start("clouds.py", command).unwrap();
        let line = verifier.says("READY ").await.unwrap();
        let ready: Value = serde_json::from_str(line.split_once("READY ").unwrap().1).unwrap();
        let address = ready["address"].as_str().unwrap().to_owned();
        Self { stage, ready, address, name, _verifier: verifier }
    }

    /// The nth configuration in the method's page, with our address and folder in it.
    pub(crate) fn documented(&self, nth: usize) -> String {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/auth/{}.md", self.name));
        let page = std::fs::read_to_string(page).unwrap();
        let block = page.split("```hcl\n").nth(nth + 1).unwrap().split("```").next().unwrap();
        block
            .replace("https://vault.example.com:8200", &self.address)
            .replace("/run/sidekey", self.stage.folder.path().to_str().unwrap())
    }

    /// A program with that configuration, and nothing of ours in its surroundings.
    pub(crate) fn program(&self, config: &str, environment: &[(&str, &str)]) -> Program {
        let home = self.stage.path("home");
        let mut program = Program::agent(sidekey(), self.stage.folder.path()).config(config);
        // Where nobody listens, unless a test says otherwise: the machine's own metadata are none of its business.
        for (name, value) in [
            ("HOME", home.to_str().unwrap()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
            ("ALICLOUD_METADATA_ENDPOINT", "http://127.0.0.1:1"),
        ] {
            program = program.env(name, value);
        }
        // Nor are its credentials; an empty variable counts as none.
        for name in [
            "ACCESS_KEY_ID",
            "CONTAINER_CREDENTIALS_FULL_URI",
            "CONTAINER_CREDENTIALS_RELATIVE_URI",
            "DEFAULT_REGION",
            "PROFILE",
            "REGION",
            "SHARED_CREDENTIALS_FILE",
            "WEB_IDENTITY_TOKEN_FILE",
        ] {
            program = program.env(&format!("AWS_{name}"), "");
        }
        environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// Logs in with that configuration; the sink's token must be alive. Gives what it printed.
    pub(crate) async fn logs_in(&self, config: &str, environment: &[(&str, &str)]) -> String {
        put(&self.stage.path("token"), "");
        let program = self.program(config, environment).flag("-exit-after-auth");
        let mut process = program.start().unwrap();
        let ended = process.ended().await.unwrap();
        let output = process.output().join("\n");
        assert_eq!(ended.code(), Some(0), "{output}");
        assert!(self.stage.is_alive(&self.stage.read("token")).await);
        output
    }

    /// Does not; gives what it printed.
    pub(crate) async fn is_refused(&self, config: &str, environment: &[(&str, &str)]) -> String {
        let config = config.replacen("config = {", "exit_on_err = true\n config = {", 1);
        let mut process = self.program(&config, environment).start().unwrap();
        let ended = process.ended().await.unwrap();
        let output = process.output().join("\n");
        assert_eq!(ended.code(), Some(1), "{output}");
        output
    }

    /// What the metadata service serves from now on.
    pub(crate) async fn serve(&self, what: &str, text: &str) {
        let api = Api::new(&self.address, None).unwrap();
        api.send("PUT", &format!("/stub/{what}"), &[], text).await.unwrap();
    }

    /// Who logged in so far.
    pub(crate) async fn logins(&self) -> Vec<String> {
        let api = Api::new(&self.address, None).unwrap();
        let answer = api.send("GET", "/stub/logins", &[], "").await.unwrap();
        serde_json::from_value(answer.json).unwrap()
    }

    /// Starts a program that sees keys change while it runs, and waits for the second login.
    pub(crate) async fn sees_a_change(
        &self,
        config: &str,
        environment: &[(&str, &str)],
        first: &str,
        second: &str,
    ) {
        let config = config
            .replacen("method", "enable_reauth_on_new_credentials = true\n method", 1)
            .replacen("config = {", "config = {\n credential_poll_interval = 1", 1);
        self.serve("keys", first).await;
        let before = self.logins().await.len();
        let mut process = self.program(&config, environment).start().unwrap();
        process.says("token written").await.unwrap();
        let token = self.stage.read("token");
        self.serve("keys", second).await;
        process.says("auth method found new credentials, re-authenticating").await.unwrap();
        eventually("the second token", || async { Some(()).filter(|()| self.stage.read("token") != token) })
            .await
            .unwrap();
        assert_eq!(self.logins().await.len(), before + 2);
        process.stop().await.unwrap();
    }
}

/// The JSON of a role's keys at either cloud.
pub(crate) fn keys_json(fields: [&str; 3], values: [&str; 3]) -> String {
    let mut json = serde_json::json!({"Code": "Success", "Expiration": "2099-01-01T00:00:00Z"});
    for (field, value) in fields.into_iter().zip(values) {
        json[field] = value.into();
    }
    json.to_string()
}

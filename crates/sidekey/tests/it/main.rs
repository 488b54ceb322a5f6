//! The real program against the real server, and against a scripted one where faults are wanted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may be blunt")]

mod access;
mod agent;
mod api;
mod auth;
mod auth_alicloud;
mod auth_aws;
mod auth_azure;
mod auth_cf;
mod auth_gcp;
mod auth_kerberos;
mod auth_oci;
mod bad_input;
mod cache;
mod clients;
mod clouds;
mod command_line;
mod crowds;
mod detours;
mod differential;
mod examples;
mod exec;
mod faults;
mod generate_config;
mod identities;
mod kv_cache;
mod life;
mod lifecycle;
mod listener;
mod outbound;
mod persist;
mod postgres;
mod redirects;
mod reload;
mod rows;
mod run_program;
mod scripted;
mod service;
mod sinks;
mod stub;
mod templates;
mod templates_running;
mod upstream;

use std::path::{Path, PathBuf};

use testkit::{Api, Program, Server, server_binary};

/// Our binary.
fn sidekey() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sidekey"))
}

/// A dev server, a folder, and an AppRole `app` that may do everything.
struct Stage {
    server: Server,
    root: Api,
    folder: tempfile::TempDir,
    credentials: (String, String),
}

impl Stage {
    async fn new() -> Self {
        Self::with_ttl(3600, 7200).await
    }

    async fn with_ttl(ttl: u64, max_ttl: u64) -> Self {
        let server = Server::dev(&server_binary().unwrap()).await.unwrap();
        let root = server.root_api().unwrap();
        let credentials = server.approle("app", Server::EVERYTHING, ttl, max_ttl).await.unwrap();
        root.write("secret/data/app", &serde_json::json!({"data": {"color": "blue"}})).await.unwrap();
        Self { server, root, folder: tempfile::tempdir().unwrap(), credentials }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// `sidekey agent` with AppRole and the sinks named.
    fn agent(&self, sinks: &[&str]) -> Program {
        let program = Program::agent(sidekey(), self.folder.path()).server(&self.server.address());
        program.approle(&self.credentials, sinks).unwrap()
    }

    /// The same with a cache, our token for everybody, and a listener.
    fn front(&self) -> Program {
        self.agent(&["token"]).config("cache {}\napi_proxy { use_auto_auth_token = true }").listener("")
    }

    async fn is_alive(&self, token: &str) -> bool {
        let api = self.server.api(Some(token)).unwrap();
        api.get("auth/token/lookup-self").await.is_ok_and(|answer| answer.status.is_success())
    }
}

/// The folder of a Python package. They come with the server: scripts/fetch-openbao puts them beside it.
fn python_package(name: &str) -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = fetched.map(|folder| folder.join(".openbao").join(name)).find(|folder| folder.is_dir());
    found.unwrap_or_else(|| panic!("the Python package {name} is missing; run `make setup`"))
}

/// Writes a file of a test's own.
fn put(path: &Path, text: &str) {
    atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
}

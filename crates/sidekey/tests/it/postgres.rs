//! A PostgreSQL server of a test's own, on loopback, in a temporary folder. Debian's programs, see
//! `scripts/postgres-for-tests`.

use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::{Api, Process};
use tokio::process::Command;

/// The password of `admin`.
const PASSWORD: &str = "admin-of-a-test";

pub(crate) struct Postgres {
    pub(crate) port: u16,
    programs: PathBuf,
    _process: Process,
    _folder: tempfile::TempDir,
}

/// Where Debian puts the programs of the newest version it has.
fn programs() -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        all.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("there is no PostgreSQL; run `make setup`"))
}

/// PostgreSQL does not run as root.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let (programs, folder) = (programs(), tempfile::tempdir_in("/tmp").unwrap());
        let (data, secret) = (folder.path().join("data"), folder.path().join("password"));
        crate::put(&secret, PASSWORD);
        if is_root() {
            let mut chown = std::process::Command::new("chown");
            let status = chown.arg("-R").arg("postgres").arg(folder.path()).status();
            assert!(status.unwrap().success(), "there is no user postgres");
        }
        let made = command(&programs.join("initdb"))
            .args(["--username=admin", "--auth=scram-sha-256", "--no-sync", "--no-instructions"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg(format!("--pgdata={}", data.display()))
            .current_dir("/")
            .output()
            .await
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut server = command(&programs.join("postgres"));
        server
            .arg(format!("-D{}", data.display()))
            .arg(format!("-k{}", folder.path().display()))
            .args(["-h127.0.0.1", "-p", &port.to_string(), "-F", "-c", "log_min_messages=log"])
            .current_dir("/");
        let process = Process::start("PostgreSQL", server).unwrap();
        let database = Self { port, programs, _process: process, _folder: folder };
        testkit::eventually("PostgreSQL", || async {
            database.query_as("admin", PASSWORD, "CREATE TABLE IF NOT EXISTS made (name text)").await.ok()
        })
        .await
        .unwrap();
        database
    }

    /// Connects anew as somebody and asks; gives the answer's one value.
    pub(crate) async fn query_as(&self, user: &str, password: &str, query: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-d", "postgres", "-U", user])
            .args(["-XAtqw", "-c", query])
            .env("PGPASSWORD", password)
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .await
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A mount of the database engine at `path` that makes accounts here: each role with its TTL and maximum in seconds.
    pub(crate) async fn mount(&self, root: &Api, path: &str, roles: &[(&str, u64, u64)]) {
        let (namespace, mount) = path.rsplit_once('/').map_or(("", path), |(ns, mount)| (ns, mount));
        let system = format!("{namespace}/sys/mounts/{mount}");
        root.write(&system, &json!({"type": "database"})).await.unwrap();
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable", self.port),
            "username": "admin",
            "password": PASSWORD,
        });
        root.write(&format!("{path}/config/here"), &connection).await.unwrap();
        let make = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
                    INSERT INTO made VALUES ('{{name}}');";
        for (name, ttl, max_ttl) in roles {
            let role = json!({
                "db_name": "here", "creation_statements": [make], "default_ttl": ttl, "max_ttl": max_ttl,
            });
            root.write(&format!("{path}/roles/{name}"), &role).await.unwrap();
        }
    }

    /// How many accounts have ever been made by [`Postgres::mount`]'s roles.
    pub(crate) async fn made(&self) -> u64 {
        let made = self.query_as("admin", PASSWORD, "SELECT count(*) FROM made").await.unwrap();
        made.parse().unwrap()
    }

    /// Whether an account may log in now.
    pub(crate) async fn takes(&self, user: &str, password: &str) -> bool {
        self.query_as(user, password, "SELECT 1").await.as_deref() == Ok("1")
    }
}

//! Two realms on loopback, with everything in one folder.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests, outside the test functions")]

use std::path::{Path, PathBuf};

use testkit::{Process, Program, Server, free_pair, server_binary};
use tokio::process::Command;

use crate::{put, sidekey};

pub(super) const REALM: &str = "EXAMPLE.TEST";
pub(super) const OTHER: &str = "OTHER.TEST";
pub(super) const SERVICE: &str = "HTTP/vault.example.test:8200";

/// Key types with their names at MIT.
pub(super) const ENCTYPES: [&str; 4] = [
    "aes128-cts-hmac-sha1-96",
    "aes256-cts-hmac-sha1-96",
    "aes128-cts-hmac-sha256-128",
    "aes256-cts-hmac-sha384-192",
];

/// Two realms in one folder, with a KDC for both, and a server.
pub(super) struct Realms {
    pub(super) folder: tempfile::TempDir,
    pub(super) port: u16,
    pub(super) server: Server,
    /// Ended with us.
    kdc: Process,
}

fn program(name: &str) -> PathBuf {
    let folders = std::env::var("PATH").unwrap_or_default();
    let found = folders.split(':').chain(["/usr/sbin", "/sbin"]).map(|folder| Path::new(folder).join(name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing; run `make setup`"))
}

impl Realms {
    /// `clock` is what its KDC's clock is ahead, in faketime's words.
    pub(super) async fn new(kdc_keys: &str, clock: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_pair().unwrap();
        let path = folder.path().display().to_string();
        let realm = |name: &str| {
            format!(
                "{name} = {{\n database_name = {path}/{name}.db\n key_stash_file = {path}/{name}.stash\n \
                 acl_file = {path}/acl\n supported_enctypes = {}\n}}\n",
                ENCTYPES.join(":normal ") + ":normal"
            )
        };
        let address = format!("127.0.0.1:{port}");
        put(
            &folder.path().join("kdc.conf"),
            &format!(
                "[kdcdefaults]\n kdc_listen = {address}\n kdc_tcp_listen = {address}\n{kdc_keys}\n[realms]\n{}{}[logging]\n kdc = STDERR\n",
                realm(REALM),
                realm(OTHER)
            ),
        );
        // The KDC knows where machines are; our client is told otherwise in its own file.
        put(
            &folder.path().join("kdc-krb5.conf"),
            &format!(
                "[libdefaults]\n default_realm = {REALM}\n rdns = false\n[domain_realm]\n .other.test = {OTHER}\n"
            ),
        );
        let mut realms = Self {
            kdc: Process::start("nothing", Command::new("true")).unwrap(),
            server: Server::dev(&server_binary().unwrap()).await.unwrap(),
            folder,
            port,
        };
        realms.client_conf("krb5.conf", &address, "");
        for name in [REALM, OTHER] {
            realms.run("kdb5_util", &["create", "-s", "-r", name, "-P", "master"]).await;
            realms.admin(name, &format!("addprinc -pw trust krbtgt/{OTHER}@{REALM}")).await;
        }
        realms.principal(REALM, "app", "app.keytab", "").await;
        realms.principal(REALM, SERVICE, "service.keytab", "").await;
        let mut kdc = realms.tool("krb5kdc");
        if let Some(clock) = clock {
            // The program faketime would leave the KDC behind when it is ended; its library does not.
            let library =
                Command::new(program("faketime")).args(["-f", clock, "printenv", "LD_PRELOAD"]).output();
            let library = String::from_utf8(library.await.unwrap().stdout).unwrap();
            kdc.env("LD_PRELOAD", library.trim()).env("FAKETIME", clock);
        }
        kdc.args(["-n", "-r", REALM, "-r", OTHER, "-P"]).arg(realms.path("kdc.pid"));
        realms.kdc = Process::start("krb5kdc", kdc).unwrap();
        realms.kdc.says("commencing operation").await.unwrap();
        realms
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command
            .env("KRB5_CONFIG", self.path("kdc-krb5.conf"))
            .env("KRB5_KDC_PROFILE", self.path("kdc.conf"))
            .env("KRB5RCACHEDIR", self.folder.path());
        command
    }

    async fn run(&self, name: &str, arguments: &[&str]) {
        let output = self.tool(name).args(arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("while"), "{name} {arguments:?}: {output:?}");
    }

    pub(super) async fn admin(&self, realm: &str, query: &str) {
        self.run("kadmin.local", &["-r", realm, "-q", query]).await;
    }

    /// A principal that must prove itself, and its keys in a keytab.
    pub(super) async fn principal(&self, realm: &str, name: &str, keytab: &str, enctypes: &str) {
        self.admin(realm, &format!("addprinc -randkey +requires_preauth {enctypes} {name}@{realm}")).await;
        self.keys(realm, name, keytab, enctypes).await;
    }

    /// New keys for a principal, in a keytab.
    pub(super) async fn keys(&self, realm: &str, name: &str, keytab: &str, enctypes: &str) {
        let keytab = self.path(keytab);
        self.admin(realm, &format!("ktadd -k {} {enctypes} {name}@{realm}", keytab.display())).await;
    }

    /// What our client reads.
    pub(super) fn client_conf(&self, name: &str, kdc: &str, more: &str) {
        put(
            &self.path(name),
            &format!("[realms]\n{REALM} = {{\n kdc = {kdc}\n}}\n{OTHER} = {{\n kdc = {kdc}\n}}\n{more}"),
        );
    }

    /// A login endpoint with the service's keytab, its address, and the lines it prints.
    pub(super) async fn acceptor(&self, ttl: &str) -> (Process, String) {
        let pythons = ["python3", "/usr/bin/python3"];
        let has_gssapi = |python: &&str| {
            let tried = std::process::Command::new(python).args(["-c", "import gssapi"]).output();
            tried.is_ok_and(|output| output.status.success())
        };
        let python = pythons.iter().find(|python| has_gssapi(python));
        let python = python.expect("the Python module gssapi is missing; run `make setup`");
        let mut command = Command::new(python);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/auth_kerberos/acceptor.py"))
            .args([&self.server.address(), self.server.root_token(), ttl])
            .env("KRB5_CONFIG", self.path("kdc-krb5.conf"))
            .env("KRB5_KTNAME", self.path("service.keytab"))
            .env("KRB5RCACHEDIR", self.folder.path());
        let mut process = Process::start("acceptor", command).unwrap();
        let line = process.says("listening on ").await.unwrap();
        (process, line.trim_start_matches("listening on ").to_owned())
    }

    /// Our agent. `keys` replace or add to the usual ones.
    pub(super) fn agent(&self, server: &str, keys: &[(&str, &str)]) -> Program {
        let (keytab, conf) = (self.path("app.keytab"), self.path("krb5.conf"));
        let mut config = vec![
            ("username", "app"),
            ("service", SERVICE),
            ("realm", REALM),
            ("keytab_path", keytab.to_str().unwrap()),
            ("krb5conf_path", conf.to_str().unwrap()),
        ];
        config.retain(|(key, _)| keys.iter().all(|(other, _)| other != key));
        config.extend(keys);
        let config: String = config.iter().map(|(key, value)| format!("{key} = {value:?}\n")).collect();
        Program::agent(sidekey(), self.folder.path()).server(server).config(&format!(
            "auto_auth {{\n method \"kerberos\" {{\n exit_on_err = true\n config = {{\n{config}}} }}\n sink \"file\" {{ config = {{ path = {:?} }} }}\n}}",
            self.path("token")
        ))
    }

    /// One login that must work; says who was accepted.
    pub(super) async fn logs_in(
        &self,
        acceptor: &mut (Process, String),
        keys: &[(&str, &str)],
        accepted: &str,
    ) {
        let program = self.agent(&acceptor.1, keys).config("exit_after_auth = true");
        let mut agent = program.start().unwrap();
        assert!(agent.ended().await.unwrap().success(), "{:?}\n{:?}", agent.output(), acceptor.0.output());
        acceptor.0.says(&format!("accepted {accepted}")).await.unwrap();
        let token = std::fs::read_to_string(self.path("token")).unwrap();
        let api = self.server.api(Some(&token)).unwrap();
        assert!(api.get("auth/token/lookup-self").await.unwrap().status.is_success());
    }

    /// One login that must fail, with this in its error.
    pub(super) async fn fails(&self, server: &str, keys: &[(&str, &str)], said: &str) {
        let mut agent = self.agent(server, keys).start().unwrap();
        agent.says("error authenticating").await.unwrap();
        let output = agent.output().join("\n");
        assert!(output.contains(said), "{keys:?}: {output}");
        agent.stop().await.unwrap();
    }
}

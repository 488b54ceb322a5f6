//! `kerberos` against MIT's KDC and MIT's library as the acceptor. `make setup` installs both.

use std::path::{Path, PathBuf};

use testkit::{Process, Program, Server, free_pair, server_binary};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::{put, sidekey};

const REALM: &str = "EXAMPLE.TEST";
const OTHER: &str = "OTHER.TEST";
const SERVICE: &str = "HTTP/vault.example.test:8200";

/// Key types with their names at MIT.
const ENCTYPES: [&str; 4] = [
    "aes128-cts-hmac-sha1-96",
    "aes256-cts-hmac-sha1-96",
    "aes128-cts-hmac-sha256-128",
    "aes256-cts-hmac-sha384-192",
];

/// Two realms in one folder, with a KDC for both, and a server.
struct Realms {
    folder: tempfile::TempDir,
    port: u16,
    server: Server,
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
    async fn new(kdc_keys: &str, clock: Option<&str>) -> Self {
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
        let mut kdc = match clock {
            None => realms.tool("krb5kdc"),
            Some(clock) => {
                let mut kdc = realms.tool("faketime");
                kdc.args(["-f", clock]).arg(program("krb5kdc"));
                kdc
            }
        };
        kdc.args(["-n", "-r", REALM, "-r", OTHER, "-P"]).arg(realms.path("kdc.pid"));
        realms.kdc = Process::start("krb5kdc", kdc).unwrap();
        realms.kdc.says("commencing operation").await.unwrap();
        realms
    }

    fn path(&self, name: &str) -> PathBuf {
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

    async fn admin(&self, realm: &str, query: &str) {
        self.run("kadmin.local", &["-r", realm, "-q", query]).await;
    }

    /// A principal that must prove itself, and its keys in a keytab.
    async fn principal(&self, realm: &str, name: &str, keytab: &str, enctypes: &str) {
        self.admin(realm, &format!("addprinc -randkey +requires_preauth {enctypes} {name}@{realm}")).await;
        self.keys(realm, name, keytab, enctypes).await;
    }

    /// New keys for a principal, in a keytab.
    async fn keys(&self, realm: &str, name: &str, keytab: &str, enctypes: &str) {
        let keytab = self.path(keytab);
        self.admin(realm, &format!("ktadd -k {} {enctypes} {name}@{realm}", keytab.display())).await;
    }

    /// What our client reads.
    fn client_conf(&self, name: &str, kdc: &str, more: &str) {
        put(
            &self.path(name),
            &format!("[realms]\n{REALM} = {{\n kdc = {kdc}\n}}\n{OTHER} = {{\n kdc = {kdc}\n}}\n{more}"),
        );
    }

    /// A login endpoint with the service's keytab, its address, and the lines it prints.
    async fn acceptor(&self, ttl: &str) -> (Process, String) {
        let pythons = ["python3", "/usr/bin/python3"];
        let has_gssapi = |python: &&str| {
            let tried = std::process::Command::new(python).args(["-c", "import gssapi"]).output();
            tried.is_ok_and(|output| output.status.success())
        };
        let python = pythons.iter().find(|python| has_gssapi(python));
        let python = python.expect("the Python module gssapi is missing; run `make setup`");
        let mut command = Command::new(python);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kerberos_acceptor.py"))
            .args([&self.server.address(), self.server.root_token(), ttl])
            .env("KRB5_CONFIG", self.path("kdc-krb5.conf"))
            .env("KRB5_KTNAME", self.path("service.keytab"))
            .env("KRB5RCACHEDIR", self.folder.path());
        let mut process = Process::start("acceptor", command).unwrap();
        let line = process.says("listening on ").await.unwrap();
        (process, line.trim_start_matches("listening on ").to_owned())
    }

    /// Our agent. `keys` replace or add to the usual ones.
    fn agent(&self, server: &str, keys: &[(&str, &str)]) -> Program {
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
    async fn logs_in(&self, acceptor: &mut (Process, String), keys: &[(&str, &str)], accepted: &str) {
        let program = self.agent(&acceptor.1, keys).config("exit_after_auth = true");
        let mut agent = program.start().unwrap();
        assert!(agent.ended().await.unwrap().success(), "{:?}\n{:?}", agent.output(), acceptor.0.output());
        acceptor.0.says(&format!("accepted {accepted}")).await.unwrap();
        let token = std::fs::read_to_string(self.path("token")).unwrap();
        let api = self.server.api(Some(&token)).unwrap();
        assert!(api.get("auth/token/lookup-self").await.unwrap().status.is_success());
    }

    /// One login that must fail, with this in its error.
    async fn fails(&self, server: &str, keys: &[(&str, &str)], said: &str) {
        let mut agent = self.agent(server, keys).start().unwrap();
        agent.says("error authenticating").await.unwrap();
        let output = agent.output().join("\n");
        assert!(output.contains(said), "{keys:?}: {output}");
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn keys_of_every_type_log_in() {
    let realms = Realms::new("", None).await;
    let mut acceptor = realms.acceptor("1h").await;
    for enctype in ENCTYPES {
        // The ticket for a service is of the service's types, and so is its session key.
        let (user, service, keytab) =
            (format!("u-{enctype}"), format!("HTTP/{enctype}"), format!("{enctype}.keytab"));
        let only = format!("-e {enctype}:normal");
        realms.principal(REALM, &user, &keytab, &only).await;
        realms.principal(REALM, &service, "service.keytab", &only).await;
        let keytab = realms.path(&keytab);
        let keys =
            [("username", user.as_str()), ("service", &service), ("keytab_path", keytab.to_str().unwrap())];
        realms.logs_in(&mut acceptor, &keys, &format!("{user}@{REALM} for {service}@{REALM}")).await;
    }
    // Somebody who need not prove himself first.
    for name in ["app", SERVICE] {
        realms.admin(REALM, &format!("modprinc -requires_preauth {name}@{REALM}")).await;
    }
    realms.logs_in(&mut acceptor, &[], &format!("app@{REALM} for {SERVICE}@{REALM}")).await;
}

#[tokio::test]
async fn the_page_in_docs_works_as_it_is_but_for_its_places() {
    let realms = Realms::new("", None).await;
    let acceptor = realms.acceptor("1h").await;
    let page = include_str!("../../../../docs/auth/kerberos.md");
    let block = |kind: &str| {
        let begin = page.split(&format!("```{kind}\n")).nth(1).unwrap();
        begin.split("```").next().unwrap().replace("EXAMPLE.COM", REALM).replace("example.com", "example.test")
    };
    let kdc = format!("127.0.0.1:{}", realms.port);
    let conf = block("ini").replace("kdc1.example.test", &kdc).replace("kdc2.example.test:88", "127.0.0.1:1");
    put(&realms.path("page.conf"), &conf);
    let path = |name: &str| realms.path(name).display().to_string();
    let config = block("hcl")
        .replace("https://vault.example.test:8200\"", &format!("{}\"", acceptor.1))
        .replace("/etc/sidekey/app.keytab", &path("app.keytab"))
        .replace("/etc/krb5.conf", &path("page.conf"))
        .replace("/run/sidekey/token", &path("token"));
    let program = Program::agent(sidekey(), realms.folder.path()).config(&config).config("exit_after_auth = true");
    let mut agent = program.start().unwrap();
    assert!(agent.ended().await.unwrap().success(), "{config}{:?}", agent.output());
    assert!(!std::fs::read_to_string(realms.path("token")).unwrap().is_empty());
}

#[tokio::test]
async fn what_logged_in_goes_with_no_later_request_and_into_no_log() {
    let realms = Realms::new("", None).await;
    let mut acceptor = realms.acceptor("3s").await;
    let mut agent = realms.agent(&acceptor.1, &[]).flag("-log-level=trace").start().unwrap();
    acceptor.0.says("/v1/auth/token/renew-self without authorization").await.unwrap();
    agent.says("renewed auth token").await.unwrap();
    agent.stop().await.unwrap();
    let lines = acceptor.0.output();
    let token = lines.iter().find_map(|line| line.strip_prefix("token ")).unwrap();
    let logged = agent.output().join("\n");
    assert!(token.len() > 100 && !logged.contains(&token[..40]), "{logged}");
    assert_eq!(lines.iter().filter(|line| line.ends_with("with authorization")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let realms = Realms::new("", None).await;
    let acceptor = realms.acceptor("1h").await;
    let server = acceptor.1.as_str();
    realms.principal(REALM, "stale", "stale.keytab", "").await;
    realms.keys(REALM, "stale", "newer.keytab", "").await;
    realms.principal(REALM, "trusted", "trusted.keytab", "").await;
    realms.keys(REALM, "trusted", "newer.keytab", "").await;
    realms.admin(REALM, &format!("modprinc -requires_preauth trusted@{REALM}")).await;
    realms.principal(REALM, "locked", "locked.keytab", "").await;
    realms.admin(REALM, &format!("modprinc -allow_tix locked@{REALM}")).await;
    realms.principal(REALM, "gone", "gone.keytab", "").await;
    realms.admin(REALM, &format!("delprinc -force gone@{REALM}")).await;
    realms.principal(REALM, "HTTP/elsewhere", "elsewhere.keytab", "").await;
    realms.client_conf("dead.conf", "127.0.0.1:1", "");
    put(&realms.path("damaged.keytab"), "");
    let damaged = std::fs::read(realms.path("app.keytab")).unwrap();
    let attributes = atomic_file::Attributes::new(0o600);
    atomic_file::write(&realms.path("damaged.keytab"), &damaged[..damaged.len() - 9], &attributes).unwrap();

    let path = |name: &str| realms.path(name).display().to_string();
    let kdc = format!("Kerberos KDC at 127.0.0.1:{}: ", realms.port);
    let cases: &[(&[(&str, &str)], String)] = &[
        (
            &[("username", "stale"), ("keytab_path", &path("stale.keytab"))],
            format!(
                "{kdc}the keytab's key is not the one of stale@{REALM}: its password was changed; write the keytab anew (KDC_ERR_PREAUTH_FAILED, 24"
            ),
        ),
        (
            &[("username", "trusted"), ("keytab_path", &path("trusted.keytab"))],
            format!("its key does not open what the KDC sent to trusted@{REALM}: its password was changed"),
        ),
        (
            &[("username", "locked"), ("keytab_path", &path("locked.keytab"))],
            format!(
                "{kdc}the account of locked@{REALM} is disabled, locked or expired (KDC_ERR_CLIENT_REVOKED, 18"
            ),
        ),
        (
            &[("username", "gone"), ("keytab_path", &path("gone.keytab"))],
            format!(
                "{kdc}it does not know gone@{REALM}; see 'username' and 'realm', case counts (KDC_ERR_C_PRINCIPAL_UNKNOWN, 6"
            ),
        ),
        (
            &[("service", "HTTP/nowhere.example.test")],
            format!("{kdc}it does not know the service HTTP/nowhere.example.test@{REALM}"),
        ),
        // A ticket that is good, for somebody else: the acceptor has no key for it.
        (&[("service", "HTTP/elsewhere")], "Kerberos says no".to_owned()),
        (
            &[("username", "nobody")],
            format!(
                "keytab file {}: it has no key for nobody@{REALM}; it has keys for app@{REALM}",
                path("app.keytab")
            ),
        ),
        (&[("keytab_path", &path("damaged.keytab"))], "it is damaged at byte ".to_owned()),
        (&[("keytab_path", &path("krb5.conf"))], "it is no keytab".to_owned()),
        (&[("keytab_path", &path("none"))], format!("keytab file {}: ", path("none"))),
        (&[("krb5conf_path", &path("none"))], format!("krb5.conf file {}: ", path("none"))),
        (
            &[("krb5conf_path", &path("kdc-krb5.conf"))],
            format!("it names no kdc of the realm {REALM}: add to [realms]"),
        ),
        (
            &[("krb5conf_path", &path("dead.conf"))],
            "Kerberos KDC at 127.0.0.1:1: none can be reached: 127.0.0.1:1 (Tcp): Connection refused"
                .to_owned(),
        ),
    ];
    for (keys, said) in cases {
        realms.fails(server, keys, said).await;
    }
}

#[tokio::test]
async fn clocks_that_differ_are_told_with_the_difference() {
    let realms = Realms::new("", Some("+1h")).await;
    realms.fails("http://127.0.0.1:1", &[], "(KRB_AP_ERR_SKEW, 37").await;
    realms.fails("http://127.0.0.1:1", &[], "; its clock is 3").await;
    realms.fails("http://127.0.0.1:1", &[], " seconds ahead of ours: set the time").await;
}

#[tokio::test]
async fn a_kdc_that_speaks_udp_only_is_asked_over_udp_and_a_dead_one_is_passed_over() {
    let realms = Realms::new(" kdc_tcp_listen = \"\"", None).await;
    let mut acceptor = realms.acceptor("1h").await;
    let kdcs = format!("127.0.0.1:1\n kdc = 127.0.0.1:{}", realms.port);
    realms.client_conf("krb5.conf", &kdcs, "");
    realms.logs_in(&mut acceptor, &[], &format!("app@{REALM} for ")).await;
}

#[tokio::test]
async fn services_of_another_realm_are_found_by_our_file_or_by_the_kdc() {
    let realms = Realms::new("", None).await;
    let service = "HTTP/vault.other.test";
    realms.principal(OTHER, service, "service.keytab", "").await;
    let mut acceptor = realms.acceptor("1h").await;
    let keys = [("service", service)];
    let accepted = format!("app@{REALM} for {service}@{OTHER}");
    realms.logs_in(&mut acceptor, &keys, &accepted).await;
    let kdc = format!("127.0.0.1:{}", realms.port);
    realms.client_conf("krb5.conf", &kdc, &format!("[domain_realm]\nvault.other.test = {OTHER}\n"));
    realms.logs_in(&mut acceptor, &keys, &accepted).await;
    // No way leads there.
    realms.client_conf("krb5.conf", &kdc, "[domain_realm]\nvault.other.test = NOWHERE.TEST\n");
    realms.fails(&acceptor.1, &keys, "it does not know the service krbtgt/NOWHERE.TEST@EXAMPLE.TEST").await;
}

/// What is done to the messages between us and the KDC.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meddling {
    /// The end of the time asked for is another one.
    Request,
    /// The first ticket is the one of an earlier login.
    Answer,
}

/// A man in the middle; gives his address.
async fn meddler(kdc: String, meddling: Meddling) -> String {
    let relay = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = relay.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept: Option<Vec<u8>> = None;
        while let Ok((mut ours, _)) = relay.accept().await {
            let mut request = vec![0; 65536];
            let length = ours.read(&mut request).await.unwrap();
            let request = &mut request[..length];
            // Behind the length: 0x6a begins a request for a first ticket, 0x6b its answer.
            if meddling == Meddling::Request && request[4] == 0x6a {
                let at = request.windows(2).rposition(|pair| pair == [0x18, 15]).unwrap();
                request[at + 15] = b'0' + (request[at + 15] - b'0' + 1) % 10;
            }
            let mut theirs = TcpStream::connect(&kdc).await.unwrap();
            theirs.write_all(request).await.unwrap();
            let length = theirs.read_u32().await.unwrap();
            let mut answer = vec![0; length as usize];
            theirs.read_exact(&mut answer).await.unwrap();
            if meddling == Meddling::Answer && answer[0] == 0x6b {
                answer = kept.get_or_insert(answer).clone();
            }
            let length = (answer.len() as u32).to_be_bytes();
            let _ = ours.write_all(&[&length, &answer[..]].concat()).await;
        }
    });
    address
}

#[tokio::test]
async fn messages_changed_on_their_way_are_noticed() {
    let realms = Realms::new("", None).await;
    let mut acceptor = realms.acceptor("1h").await;
    let kdc = format!("127.0.0.1:{}", realms.port);
    realms.client_conf("krb5.conf", &meddler(kdc.clone(), Meddling::Request).await, "");
    realms.fails(&acceptor.1, &[], "the request it answered is not the one that was sent").await;
    let unconfirmed = [("disable_fast_negotiation", "true")];
    realms.logs_in(&mut acceptor, &unconfirmed, &format!("app@{REALM} for ")).await;

    realms.client_conf("krb5.conf", &meddler(kdc, Meddling::Answer).await, "");
    realms.logs_in(&mut acceptor, &unconfirmed, &format!("app@{REALM} for ")).await;
    realms.fails(&acceptor.1, &unconfirmed, "its answer belongs to another request").await;
}

//! Who may talk to a listener: users, programs, and sockets that systemd passes.

use std::path::Path;

use serde_json::json;
use testkit::{Api, Program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// Asks as a user (0 is us) and prints what comes. With `hand over`, a child of it goes on asking after it has become
/// another program.
const CLIENT: &str = r#"
import os, signal, socket, sys, time
path, user, hand_over = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
if user:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
def ask():
    try:
        client.sendall(b"GET /v1/secret/data/app HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(65536).decode()[:12] or "nothing"
    except OSError:
        return "nothing"
if not hand_over or os.fork() == 0:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    said = [ask()]
    if hand_over:
        said.append(ask())
        me, mine = os.getpid(), os.readlink("/proc/self/exe")
        if os.fork():
            os.execv("/bin/sleep", ["sleep", "60"])
        while os.readlink(f"/proc/{me}/exe") == mine:
            time.sleep(0.01)
        said.append(ask())
        os.kill(me, signal.SIGKILL)
    print(", ".join(said), flush=True)
    os._exit(0)
os.wait()
"#;

async fn ask(socket: &Path, user: u32, more: &[&str]) -> String {
    let mut command = Command::new("python3");
    let output = command.args(["-c", CLIENT]).arg(socket).arg(user.to_string()).args(more).output().await;
    let output = output.unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The file that `python3` runs from.
async fn python() -> String {
    let script = "import os; print(os.readlink('/proc/self/exe'))";
    let output = Command::new("python3").args(["-c", script]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn s24_users_and_programs_of_a_unix_socket() {
    let stage = Stage::new().await;
    // Other users have to come as far as the sockets.
    rustix::fs::chmod(stage.folder.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    let python = python().await;
    let rules = [
        "allowed_uids = [0, 1000]".to_owned(),
        "allowed_uids = [4000]\n allowed_gids = [1001]".to_owned(),
        format!("allowed_executables = [{python:?}]"),
        "allowed_executables = [\"/bin/sh\"]".to_owned(),
        "socket_group = 1000".to_owned(),
        "allowed_executables = [\"/no/such/program\"]".to_owned(),
    ];
    let path = |index: usize| stage.path(&format!("{index}.sock"));
    let mut program = stage.agent(&["token"]).config("api_proxy { use_auto_auth_token = true }");
    for (index, rule) in rules.iter().enumerate() {
        let mode = if rule.contains("group =") { "0660" } else { "0666" };
        program = program.config(&format!(
            "listener \"unix\" {{\n address = {:?}\n tls_disable = true\n socket_mode = \"{mode}\"\n {rule}\n}}",
            path(index)
        ));
    }
    let mut agent = program.start().unwrap();
    agent.says("token written").await.unwrap();
    agent.says("a program of `allowed_executables` does not exist").await.unwrap();
    const SERVED: &str = "HTTP/1.1 200";
    assert_eq!(ask(&path(0), 0, &[]).await, SERVED);
    assert_eq!(ask(&path(2), 0, &[]).await, SERVED);
    assert_eq!(ask(&path(3), 0, &[]).await, "nothing");
    agent.says("its program is not in `allowed_executables`").await.unwrap();
    // Whoever has become another program, and lets somebody else speak for him.
    assert_eq!(ask(&path(2), 0, &["hand over"]).await, "HTTP/1.1 200, HTTP/1.1 200, HTTP/1.1 403");
    if rustix::process::geteuid().is_root() {
        assert_eq!(ask(&path(0), 1000, &[]).await, SERVED);
        for _ in 0..3 {
            assert_eq!(ask(&path(0), 1001, &[]).await, "nothing");
        }
        assert_eq!(ask(&path(0), 1002, &[]).await, "nothing");
        // One line a minute for each user.
        agent.says("uid=1002").await.unwrap();
        let lines: Vec<String> =
            agent.output().into_iter().filter(|line| line.contains("turned away")).collect();
        assert_eq!(lines.iter().filter(|line| line.contains("uid=1001")).count(), 1, "{lines:?}");
        assert_eq!(ask(&path(1), 1001, &[]).await, SERVED, "by its group");
        assert_eq!(ask(&path(1), 0, &[]).await, "nothing", "root is a user like any other");
        assert_eq!(ask(&path(2), 1000, &[]).await, SERVED);
        assert_eq!(ask(&path(4), 1000, &[]).await, SERVED, "by the group of the file");
    }
    agent.stop().await.unwrap();
    assert!((0..rules.len()).all(|index| !path(index).exists()), "a socket was left behind");
}

/// Does what systemd does with `name=tcp` or `name=/path`, and becomes our program.
pub(crate) const SYSTEMD: &str = r#"#!/usr/bin/env python3
import fcntl, os, socket, sys
sockets, names = [], []
for passed in os.environ["PASS"].split():
    name, what = passed.split("=")
    if what.startswith("/"):
        one = socket.socket(socket.AF_UNIX); one.bind(what)
    else:
        one = socket.socket(); one.bind(("127.0.0.1", 0))
    if name != "deaf":
        one.listen()
    names.append(name)
    sockets.append(fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 20))
for place, one in enumerate(sockets):
    os.dup2(one, 3 + place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
os.execv(PROGRAM, [PROGRAM] + sys.argv[1:])
"#;

#[tokio::test]
async fn sockets_of_systemd() {
    let stage = Stage::new().await;
    let (wrapper, socket) = (stage.path("systemd"), stage.path("local.sock"));
    let script = SYSTEMD.replace("PROGRAM", &format!("{:?}", sidekey().to_str().unwrap()));
    atomic_file::write(&wrapper, script.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    let program = |passed: &str, listeners: &[(&str, &str)]| {
        let program = Program::agent(&wrapper, stage.folder.path()).server(&stage.server.address());
        let mut program = program.approle(&stage.credentials, &["token"]).unwrap().env("PASS", passed);
        for (kind, keys) in listeners {
            program = program.config(&format!("listener \"{kind}\" {{\n tls_disable = true\n {keys}\n}}"));
        }
        program.config("api_proxy { use_auto_auth_token = true }")
    };
    let both = format!("api=tcp local={}", socket.display());
    let us = rustix::process::geteuid().as_raw();
    let listeners = [
        ("tcp", "address = \"systemd:api\"".to_owned()),
        ("unix", format!("address = \"systemd:1\"\n allowed_uids = [{us}]")),
    ];
    let listeners: Vec<_> = listeners.iter().map(|(kind, keys)| (*kind, keys.as_str())).collect();
    let (mut agent, api) = program(&both, &listeners).start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    assert_eq!(api.get("secret/data/app").await.unwrap().json["data"]["data"]["color"], "blue");
    // It is known by now where it listens.
    let line = agent.says("Api Address 1: ").await.unwrap();
    let mut raw = TcpStream::connect(line.split("http://").nth(1).unwrap().trim()).await.unwrap();
    let foreign = "GET /v1/secret/data/app HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    raw.write_all(foreign.as_bytes()).await.unwrap();
    let mut said = String::new();
    raw.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 421"), "{said}");
    let local = Api::new(&format!("unix://{}", socket.display()), None).unwrap();
    assert_eq!(local.get("secret/data/app").await.unwrap().status.as_u16(), 200);
    agent.stop().await.unwrap();
    // It is systemd's.
    assert!(socket.exists());
    atomic_file::remove(&socket).unwrap();

    const NONE: &str = "systemd has passed us no sockets";
    for (passed, listeners, message) in [
        (
            "api=tcp",
            &[("tcp", "address = \"systemd:apo\"")][..],
            "there is no socket of this name; systemd has passed 1: api",
        ),
        ("api=tcp", &[("tcp", "address = \"systemd:1\"")], "there is no socket of this number"),
        ("api=tcp", &[("unix", "address = \"systemd:api\"")], "is not a valid unix stream socket"),
        ("deaf=tcp", &[("tcp", "address = \"systemd:0\"")], "this socket does not listen"),
        (
            "api=tcp",
            &[("tcp", "address = \"systemd:api\""), ("tcp", "address = \"systemd:0\"")],
            "another listener has this socket already",
        ),
        ("", &[("tcp", "address = \"systemd:api\"")], NONE),
    ] {
        let mut program = program(passed, listeners);
        if message == NONE {
            program = Program::agent(sidekey(), stage.folder.path())
                .server(&stage.server.address())
                .approle(&stage.credentials, &["token"])
                .unwrap()
                .listener("")
                .config("listener \"tcp\" {\n address = \"systemd:api\"\n tls_disable = true\n}");
        }
        let mut agent = program.start().unwrap();
        assert_eq!(agent.ended().await.unwrap().code(), Some(1), "{message}");
        let said = agent.output().join("\n");
        assert!(
            said.contains("Error starting listener: listen ") && said.contains(message),
            "{message}: {said}"
        );
    }
}

#[tokio::test]
async fn rules_rates_and_identities_go_together() {
    let stage = Stage::new().await;
    let program = stage.agent(&["token"]).config("api_proxy { use_auto_auth_token = true }").listener(
        "allow { methods = [\"GET\"] paths = [\"secret/data/app\", \"sys/health\"] }\n\
         allow { methods = [\"LIST\"] paths = [\"secret/metadata/*\"] }\n rate_limit = 1000",
    );
    let (mut agent, listener) = program.start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    for (method, target, status) in [
        ("GET", "/v1/secret/data/app", 200),
        ("GET", "/v1/secret/metadata?list=true", 200),
        ("LIST", "/v1/secret/metadata", 200),
        ("GET", "/v1/secret/metadata/app", 403),
        ("POST", "/v1/secret/data/app", 403),
        ("GET", "/v1/auth/token/lookup-self", 403),
        ("GET", "/v1/sys/health", 200),
        ("GET", "/ui/", 403),
    ] {
        let answer = listener.send(method, target, &[], "").await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{method} {target}");
        let ours = answer.json["errors"][0].as_str().is_some_and(|error| error.contains("`allow` rules"));
        assert_eq!(ours, status == 403, "{method} {target}");
    }
    agent.says("not allowed by the listener's rules").await.unwrap();
    let root = listener.with_token(Some(stage.server.root_token()));
    assert_eq!(root.post("secret/data/app", &json!({})).await.unwrap().status.as_u16(), 403);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_changes_is_served_without_a_signal() {
    let stage = Stage::new().await;
    let pair =
        || rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key, made) = (stage.path("cert.pem"), stage.path("key.pem"), pair());
    put(&cert, &made.cert.pem());
    put(&key, &made.signing_key.serialize_pem());
    let program = stage.agent(&["token"]).config(&format!(
        "api_proxy {{ use_auto_auth_token = true }}\nlistener \"tcp\" {{\n address = \"127.0.0.1:0\"\n \
         tls_cert_file = {cert:?}\n tls_key_file = {key:?}\n tls_auto_reload_interval = \"5s\"\n}}"
    ));
    let mut agent = program.start().unwrap();
    agent.says("token written").await.unwrap();
    put(&key, "garbage");
    agent.says("has changed and cannot be used, the old one stays").await.unwrap();
    let other = pair();
    put(&cert, &other.cert.pem());
    put(&key, &other.signing_key.serialize_pem());
    agent.says("has changed and is in service").await.unwrap();
    agent.stop().await.unwrap();
}

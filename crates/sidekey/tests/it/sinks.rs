//! Sinks as their readers see them: wrapped, encrypted, sockets.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{Process, Program, eventually};
use tokio::process::Command;

use crate::{Stage, put, python_package, sidekey};

/// A sink's form: derived key, additional data, wrapped.
type Form = (bool, bool, bool);

fn forms() -> Vec<Form> {
    let both = [false, true];
    let mut forms = Vec::new();
    for derive_key in both {
        for aad in both {
            forms.extend(both.map(|wrapped| (derive_key, aad, wrapped)));
        }
    }
    forms
}

fn name((derive_key, aad, wrapped): Form) -> String {
    format!("sink-{derive_key}-{aad}-{wrapped}")
}

const AAD: &str = "additional däta";

impl Stage {
    /// An agent of either kind with these sinks in its `auto_auth`, and files in `folder`.
    fn with_sinks(&self, binary: &Path, folder: &Path, method: &str, sinks: &str) -> Program {
        let (role, secret) = (self.path("role-id"), self.path("secret-id"));
        put(&role, &self.credentials.0);
        put(&secret, &self.credentials.1);
        Program::agent(binary, folder).server(&self.server.address()).config(&format!(
            "auto_auth {{\n method \"approle\" {{\n {method}\n config = {{ role_id_file_path = {role:?}\n \
             secret_id_file_path = {secret:?}\n remove_secret_id_file_after_reading = false }} }}\n{sinks}\n}}"
        ))
    }

    /// What is inside a wrapping, as JSON.
    async fn unwrap(&self, wrapping: &Value) -> Value {
        let token = wrapping["token"].as_str().unwrap();
        let api = self.server.api(Some(token)).unwrap();
        api.write("sys/wrapping/unwrap", &json!({})).await.unwrap()
    }
}

/// One sink of each form, of one reader.
fn encrypted_sinks(folder: &Path, public: &Path) -> String {
    let sink = |form: Form| {
        let (derive_key, aad, wrapped) = form;
        let aad = if aad { "aad_env_var = \"TEST_AAD\"" } else { "" };
        let wrap_ttl = if wrapped { "wrap_ttl = \"5m\"" } else { "" };
        format!(
            "sink \"file\" {{\n dh_type = \"curve25519\"\n dh_path = {public:?}\n derive_key = {derive_key}\n {aad}\n {wrap_ttl}\n \
             config = {{ path = {:?} }} }}\n",
            folder.join(name(form))
        )
    };
    forms().into_iter().map(sink).collect()
}

async fn run(program: &Path, arguments: &[&str], input: &str) -> (bool, String, String) {
    use tokio::io::AsyncWriteExt as _;
    let mut command = Command::new(program);
    command.args(arguments).env("TEST_AAD", AAD).env("PYTHONPATH", python_package("cryptography"));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // A program that does not read its input is fine.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Written from the public description of the format, with none of our code: private key, derive, AAD, envelope.
const READER: &str = r#"
import base64, json, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
key = json.load(open(sys.argv[1]))
text = open(sys.argv[4]).read()
assert text.startswith('{"curve25519_public_key":"') and text.endswith('"}\n') and text.count("\n") == 1, text
envelope = json.loads(text)
assert list(envelope) == ["curve25519_public_key", "nonce", "encrypted_payload"], envelope
decode = lambda text: base64.b64decode(text, validate=True)
private = X25519PrivateKey.from_private_bytes(decode(key["curve25519_private_key"]))
theirs, ours = decode(envelope["curve25519_public_key"]), private.public_key().public_bytes_raw()
assert ours == decode(key["curve25519_public_key"])
secret = private.exchange(X25519PublicKey.from_public_bytes(theirs))
if sys.argv[2] == "true":
    secret = HKDF(hashes.SHA256(), 32, min(ours, theirs), max(ours, theirs)).derive(secret)
plain = AESGCM(secret).decrypt(decode(envelope["nonce"]), decode(envelope["encrypted_payload"]), sys.argv[3].encode())
sys.stdout.write(plain.decode())
"#;

#[tokio::test]
async fn encrypted_sinks_are_read_by_others_and_those_of_others_by_us() {
    let stage = Stage::new().await;
    let (key, public) = (stage.path("key.json"), stage.path("public.json"));
    let (key_flag, public_flag) =
        (format!("-key={}", key.display()), format!("-public={}", public.display()));
    let (made, said, problem) = run(sidekey(), &["sink", "keygen", &key_flag, &public_flag], "").await;
    assert!(made && said.is_empty() && problem.is_empty(), "{said}{problem}");
    for (path, mode) in [(&key, 0o600), (&public, 0o644)] {
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, mode);
    }
    let (again, _, problem) = run(sidekey(), &["sink", "keygen", &key_flag, &public_flag], "").await;
    assert!(!again && problem.contains("key.json is there already"), "{problem}");

    let theirs = tempfile::tempdir().unwrap();
    for (binary, folder) in [(sidekey(), stage.folder.path()), (stage.server.binary(), theirs.path())] {
        let program = stage.with_sinks(binary, folder, "", &encrypted_sinks(folder, &public));
        let mut agent = program.env("TEST_AAD", AAD).flag("-exit-after-auth").start().unwrap();
        assert!(agent.ended().await.unwrap().success(), "{:?}", agent.output());
        for (derive_key, aad, wrapped) in forms() {
            let file = folder.join(name((derive_key, aad, wrapped))).display().to_string();
            // Ours is read by an independent program; both are read by us, and come to the same.
            let aad_text = if aad { AAD } else { "" };
            let script = ["-c", READER, key.to_str().unwrap(), &derive_key.to_string(), aad_text, &file];
            let (read, independent, problem) = run(Path::new("python3"), &script, "").await;
            assert!(read, "{file}: {problem}");
            let mut flags = vec!["sink", "decrypt", &key_flag];
            flags.extend(derive_key.then_some("-derive-key"));
            flags.extend(aad.then_some("-aad-env=TEST_AAD"));
            let (read, plain, problem) = run(sidekey(), &[&flags[..], &[file.as_str()]].concat(), "").await;
            assert!(read && problem.is_empty(), "{file}: {problem}");
            assert_eq!(plain, independent);
            let token = if wrapped {
                assert!(
                    plain.starts_with("{\"token\":\"") && plain.ends_with("\",\"wrapped_accessor\":\"\"}\n"),
                    "{plain}"
                );
                let wrapping: Value = serde_json::from_str(&plain).unwrap();
                assert_eq!(
                    (&wrapping["ttl"], &wrapping["creation_path"]),
                    (&json!(300), &json!("sys/wrapping/wrap"))
                );
                stage.unwrap(&wrapping).await["data"]["token"].as_str().unwrap().to_owned()
            } else {
                plain
            };
            assert!(stage.is_alive(&token).await, "{file}");
            // From standard input; and with the wrong binding it stays shut, and nothing is told of it.
            let envelope = std::fs::read_to_string(&file).unwrap();
            let mut wrong = vec!["sink", "decrypt", &key_flag];
            wrong.extend((!derive_key).then_some("-derive-key"));
            wrong.extend((!derive_key).then_some("-"));
            let (read, said, problem) = run(sidekey(), &wrong, &envelope).await;
            assert!(!read && said.is_empty(), "{said}");
            assert!(problem.starts_with("error: standard input: it cannot be decrypted"), "{problem}");
        }
    }
}

#[tokio::test]
async fn decrypt_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flag = |name: &str| format!("-key={}", path(name));
    run(sidekey(), &["sink", "keygen", &flag("key"), &format!("-public={}", path("public"))], "").await;
    put(Path::new(&path("bad")), "{\"curve25519_private_key\":\"CANARY\"}");
    put(Path::new(&path("envelope")), "{\"curve25519_public_key\":\"CANARY\"}");
    assert!(Command::new("mkfifo").arg(path("fifo")).status().await.unwrap().success());
    for (arguments, says) in [
        (vec![flag("none"), path("envelope")], "none: No such file"),
        (vec![flag("public"), path("envelope")], "public: it is no JSON object with curve25519_private_key"),
        (vec![flag("bad"), path("envelope")], "bad: curve25519_private_key is not base64"),
        (vec![flag("fifo"), path("envelope")], "fifo is a FIFO, not a regular file"),
        (vec![flag("key"), path("envelope")], "envelope: curve25519_public_key is not base64"),
        (vec![flag("key"), path("fifo")], "fifo is a FIFO, not a regular file"),
        (vec![flag("key")], "standard input: it is no JSON object"),
        (vec![flag("key"), "-aad-env=NOSUCH".to_owned()], "the variable \"NOSUCH\" is not set"),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (read, said, problem) =
            run(sidekey(), &[&["sink", "decrypt"][..], &arguments].concat(), "").await;
        assert!(!read && said.is_empty() && problem.contains(says), "{arguments:?}: {problem}");
        assert!(!problem.contains("CANARY"), "{problem}");
    }
    chmod(Path::new(&path("key")), 0o640);
    let (_, _, problem) = run(sidekey(), &["sink", "decrypt", &flag("key"), &path("envelope")], "").await;
    assert!(problem.starts_with("warning: others can read the private key"), "{problem}");
}

#[tokio::test]
async fn wrapped_tokens_are_upstreams_in_both_places() {
    let stage = Stage::new().await;
    let theirs = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for (binary, folder) in [(sidekey(), stage.folder.path()), (stage.server.binary(), theirs.path())] {
        for (method, sink, creation_path) in
            [("", "wrap_ttl = 90", "sys/wrapping/wrap"), ("wrap_ttl = \"90s\"", "", "auth/approle/login")]
        {
            let token = folder.join("token");
            let sinks = format!("sink \"file\" {{ {sink}\n config = {{ path = {token:?} }} }}");
            let program = stage.with_sinks(binary, folder, method, &sinks).flag("-exit-after-auth");
            let mut agent = program.start().unwrap();
            assert!(agent.ended().await.unwrap().success(), "{:?}", agent.output());
            let text = std::fs::read_to_string(&token).unwrap();
            let wrapping: Value = serde_json::from_str(text.strip_suffix("\n").unwrap()).unwrap();
            assert_eq!((&wrapping["ttl"], &wrapping["creation_path"]), (&json!(90), &json!(creation_path)));
            assert_eq!(wrapping["wrapped_accessor"].as_str().unwrap().is_empty(), method.is_empty());
            let inside = stage.unwrap(&wrapping).await;
            let token =
                if method.is_empty() { &inside["data"]["token"] } else { &inside["auth"]["client_token"] };
            assert!(stage.is_alive(token.as_str().unwrap()).await);
            // The same text but for the values.
            let mut shape = text.clone();
            for key in ["token", "accessor", "creation_time", "wrapped_accessor"] {
                shape = shape.replace(&format!("{}", wrapping[key]), "…");
            }
            assert!(!agent.output().join("\n").contains(wrapping["token"].as_str().unwrap()));
            seen.push(shape);
        }
    }
    assert_eq!(seen[..2], seen[2..]);
}

#[tokio::test]
async fn a_token_file_that_is_removed_comes_back_if_asked_for() {
    let stage = Stage::new().await;
    let sink =
        format!("sink \"file\" {{ config = {{ path = {:?}\n restore = true }} }}", stage.path("token"));
    let mut agent = stage.with_sinks(sidekey(), stage.folder.path(), "", &sink).start().unwrap();
    agent.says("token written").await.unwrap();
    let token = stage.read("token");
    atomic_file::remove(&stage.path("token")).unwrap();
    eventually("the file", || async { Some(()).filter(|()| stage.read("token") == token) }).await.unwrap();
    agent.says("is put back").await.unwrap();
    agent.stop().await.unwrap();
}

/// Connects as a user (0 is us), from an abstract address if one is given, and prints what comes: as systemd does,
/// which says nothing and reads to the end.
const CLIENT: &str = r#"
import os, socket, sys
path, user, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if user:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
if address:
    client.bind("\0" + address)
client.connect(path)
client.shutdown(socket.SHUT_WR)
while data := client.recv(4096):
    sys.stdout.write(data.decode())
"#;

async fn fetch(socket: &Path, user: u32, address: &str) -> String {
    let arguments = ["-c", CLIENT, socket.to_str().unwrap(), &user.to_string(), address];
    let (_, said, problem) = run(Path::new("python3"), &arguments, "").await;
    assert!(problem.is_empty(), "{problem}");
    said
}

fn chmod(path: &Path, mode: u32) {
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode)).unwrap();
}

fn are_root() -> bool {
    rustix::process::geteuid().is_root()
}

async fn start_with_socket(stage: &Stage, socket: &Path, sink: &str) -> Process {
    // Other users have to come as far as the socket.
    chmod(stage.folder.path(), 0o755);
    let sinks = format!(
        "sink \"file\" {{ config = {{ path = {:?} }} }}\n{}",
        stage.path("token"),
        sink.replace("PATH", &format!("path = {socket:?}"))
    );
    let mut agent = stage.with_sinks(sidekey(), stage.folder.path(), "", &sinks).start().unwrap();
    agent.says("token written").await.unwrap();
    agent
}

#[tokio::test]
async fn a_socket_serves_those_it_should() {
    let stage = Stage::new().await;
    let socket = stage.path("token.sock");
    let sink = "sink \"socket\" { config = { PATH\n mode = 0600 } }";
    let mut agent = start_with_socket(&stage, &socket, sink).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fetch(&socket, 0, "").await, stage.read("token"));
    agent.says("token handed over").await.unwrap();
    // One that was killed leaves its socket; the next one takes its place, and a living one keeps it.
    agent.kill().await;
    assert!(socket.exists());
    let mut agent = start_with_socket(&stage, &socket, sink).await;
    let mut second = stage
        .with_sinks(sidekey(), stage.folder.path(), "", &sink.replace("PATH", &format!("path = {socket:?}")))
        .start()
        .unwrap();
    assert_eq!(second.ended().await.unwrap().code(), Some(1));
    let shown = socket.display();
    let line = format!("error creating socket sink: listen unix {shown}: bind: address already in use");
    assert!(second.has_said(&line), "{:?}", second.output());
    assert_eq!(fetch(&socket, 0, "").await, stage.read("token"));
    agent.stop().await.unwrap();
    assert!(!socket.exists());

    if !are_root() {
        return;
    }
    let sink =
        "sink \"socket\" { config = { PATH\n mode = 0666\n allowed_uids = [1000]\n allowed_gids = [1002] } }";
    let mut agent = start_with_socket(&stage, &socket, sink).await;
    let token = stage.read("token");
    for (user, given) in [(1000, token.as_str()), (1001, ""), (1002, token.as_str()), (0, "")] {
        assert_eq!(fetch(&socket, user, "").await, given, "{user}");
    }
    let refused = agent.says("uid=1001").await.unwrap();
    assert!(refused.contains("a process that asked for the token was refused"), "{refused}");
    assert!(!agent.output().join("\n").contains(&token));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn systemd_is_given_the_credentials_of_the_units_named() {
    let stage = Stage::new().await;
    let socket = stage.path("systemd.sock");
    let sink = "sink \"systemd_credential\" { config = { PATH\n mode = 0666\n credentials = [\"app@*.service/token\", \"db.service/*\"] } }";
    let mut agent = start_with_socket(&stage, &socket, sink).await;
    let token = stage.read("token");
    let id = std::process::id();
    for (unit, given) in [
        ("app@1.service/token", true),
        ("db.service/vault", true),
        ("app@1.service/other", false),
        ("app.service/token", false),
        ("evil.service/db.service/x", false),
    ] {
        let said = fetch(&socket, 0, &format!("{id:x}a/unit/{unit}")).await;
        assert_eq!(said, if given { token.as_str() } else { "" }, "{unit}");
    }
    assert_eq!(fetch(&socket, 0, "").await, "");
    let line = agent.says("wanted=app@1.service/token").await.unwrap();
    assert!(line.contains("token handed over"), "{line}");
    if are_root() {
        let address = format!("{id:x}b/unit/app@1.service/token");
        assert_eq!(fetch(&socket, 1000, &address).await, "", "anybody can claim such an address");
        agent.says("it is not systemd").await.unwrap();
    }
    agent.stop().await.unwrap();
}

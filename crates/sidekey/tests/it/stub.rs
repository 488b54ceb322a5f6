//! A service of a cloud, or a server, that answers as a closure says and remembers what it was asked.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey as _};
use serde_json::{Value, json};
use testkit::Program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// A field of the query.
    pub(crate) fn query(&self, name: &str) -> String {
        field(&self.query, name)
    }

    /// A field of a form.
    pub(crate) fn form(&self, name: &str) -> String {
        field(&self.body, name)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What a stub does with a request.
pub(crate) enum Reply {
    /// Answers.
    Say(u16, String),
    /// Answers late.
    Late(Duration, String),
    /// Answers with this many bytes.
    Flood(usize),
    /// Never answers.
    Hang,
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Say(200, value.to_string())
    }
}

pub(crate) struct Stub {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move {
                    // Whoever asks may go away at any time.
                    let _ = serve(stream, answer.as_ref(), &seen).await;
                });
            }
        });
        Self { url, asked }
    }

    /// Requests for a path that holds this.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path.contains(part)).cloned().collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(impl Fn(&Asked) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let body = String::from_utf8_lossy(&bytes[head_end..]).into_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let asked = Asked { method, path: path.to_owned(), query: query.to_owned(), headers, body };
    seen.lock().unwrap().push(asked.clone());
    let (status, body) = match answer(&asked) {
        Reply::Say(status, body) => (status, body),
        Reply::Late(after, body) => {
            tokio::time::sleep(after).await;
            (200, body)
        }
        Reply::Flood(bytes) => (200, "x".repeat(bytes)),
        Reply::Hang => return std::future::pending().await,
    };
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

fn field(form: &str, name: &str) -> String {
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let mut bytes = Vec::new();
    let mut rest = value.unwrap_or_default().bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

// === Keys and tokens of the clouds ===

/// A key as clouds have them.
pub(crate) fn rsa_key() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

/// A JWT, signed with RS256.
pub(crate) fn jwt(key: &KeyPair, claims: &Value) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(json!({"alg": "RS256", "typ": "JWT"}).to_string().as_bytes());
    let signed = format!("{head}.{}", encode(claims.to_string().as_bytes()));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&signature))
}

/// A part of a JWT: 0 is the header, 1 are the claims.
pub(crate) fn part(jwt: &str, nth: usize) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(nth).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Seconds since 1970, this many later.
pub(crate) fn unix_time(later: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + later
}

// === Logging in ===

/// What came of one run of the agent.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    /// The sink's content; empty when there is none.
    pub(crate) token: String,
}

impl Stage {
    /// The plugin `jwt` of the server at `auth/<mount>`, with these keys and one role.
    pub(crate) async fn jwt_mount(&self, mount: &str, keys: &[&KeyPair], role: &str, settings: &Value) {
        let _ = self.root.post(&format!("sys/auth/{mount}"), &json!({"type": "jwt"})).await.unwrap();
        let keys: Vec<String> = keys.iter().map(|key| key.public_key_pem()).collect();
        let config = json!({"jwt_validation_pubkeys": keys});
        self.root.write(&format!("auth/{mount}/config"), &config).await.unwrap();
        self.root.write(&format!("auth/{mount}/role/{role}"), settings).await.unwrap();
    }

    /// Whether the plugin takes a JWT, in its own words.
    pub(crate) async fn checks(&self, mount: &str, role: &str, jwt: &str) -> String {
        let answer = self.root.post(&format!("auth/{mount}/login"), &json!({"role": role, "jwt": jwt})).await;
        let answer = answer.unwrap();
        if answer.status.is_success() { "yes".to_owned() } else { answer.json["errors"].to_string() }
    }

    /// One login of an agent at the server, which ends with it, whatever comes of it.
    pub(crate) async fn log_in(&self, method: &str, keys: &str, environment: &[(&str, &str)]) -> Run {
        log_in(&self.server.address(), method, keys, environment).await
    }
}

/// The same at any server.
pub(crate) async fn log_in(server: &str, method: &str, keys: &str, environment: &[(&str, &str)]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let mut program = Program::agent(sidekey(), folder.path()).server(server).config(&format!(
        "exit_after_auth = true\nlog_level = \"trace\"\nauto_auth {{\n method {method:?} {{ exit_on_err = true\n \
         config = {{\n{keys}\n}} }}\n sink \"file\" {{ config = {{ path = {token:?} }} }}\n}}"
    ));
    program = program.env("HOME", folder.path().to_str().unwrap());
    for (name, value) in environment {
        program = program.env(name, value);
    }
    let mut agent = program.start().unwrap();
    let status = agent.ended().await.unwrap();
    let token = std::fs::read_to_string(token).unwrap_or_default();
    Run { code: status.code(), output: agent.output().join("\n"), token }
}

/// A server that lets everybody in at one path.
pub(crate) async fn login_anywhere(path: &'static str) -> Stub {
    Stub::start(move |asked| {
        if asked.path != path {
            return Reply::Say(404, "{}".to_owned());
        }
        Reply::json(&json!({"auth": {"client_token": "s.of-page", "lease_duration": 3600}}))
    })
    .await
}

/// The configurations on the page of a method hold before a strict check, and the first that holds `words` logs in,
/// with nothing changed but address and folder.
pub(crate) async fn page(method: &str, words: &str, server: &Stub, environment: &[(&str, &str)]) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/auth").join(format!("{method}.md"));
    let text = std::fs::read_to_string(docs).unwrap();
    let blocks: Vec<&str> =
        text.split("```hcl\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.hcl");
    for block in &blocks {
        put(&file, block);
        let checked = Command::new(sidekey()).arg("check").arg(&file).arg("-strict").output().await.unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    let block = blocks.iter().find(|block| block.contains(words)).unwrap();
    let mut block = block.replace("/run/sidekey", folder.path().to_str().unwrap());
    if block.contains("vault {") {
        block = block.replace("https://vault.example.com:8200", &server.url);
    } else {
        block.push_str(&format!("vault {{ address = {:?} }}", server.url));
    }
    let mut program = Program::agent(sidekey(), folder.path()).config(&block).flag("-exit-after-auth");
    for (name, value) in environment {
        program = program.env(name, value);
    }
    let mut agent = program.start().unwrap();
    agent.says("token written").await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("token")).unwrap(), "s.of-page");
}

//! S30 and S33: what is said at a start about the way to the server, and HTTP proxies on it.

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use testkit::{Api, Process, Program};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{put, sidekey};

/// The server's name; no machine has it.
const NAME: &str = "vault.sidekey.test";

const KV: &str = "HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{\"data\":{\"data\":{\"color\":\"blue\"}}}";

/// Who answers every request with the same bytes, in TLS: the server, or a proxy that speaks it.
pub(crate) struct Secure {
    /// `https://127.0.0.1:port`.
    pub(crate) local: String,
    pub(crate) certificate: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A certificate for the server's name and this machine, and somebody who shows it.
fn identity() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let names = [NAME, "localhost", "127.0.0.1"].map(str::to_owned);
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

impl Secure {
    pub(crate) async fn start(answer: &str) -> Self {
        let (certificate, acceptor) = identity();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let local = format!("https://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (seen, answer) = (Arc::clone(&asked), answer.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen, answer) = (acceptor.clone(), Arc::clone(&seen), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    while let Some(head) = head(&mut stream).await {
                        seen.lock().unwrap().push(head);
                        let _ = stream.write_all(answer.as_bytes()).await;
                        let _ = stream.flush().await;
                    }
                });
            }
        });
        Self { local, certificate, asked }
    }

    fn port(&self) -> String {
        self.local.rsplit(':').next().unwrap().to_owned()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A request's head; nothing at the end.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the proxy does.
#[derive(Clone, Copy)]
enum Manner {
    /// Leads every tunnel to this port of this machine, and answers what it is asked itself.
    Lead(u16),
    /// Says these words instead.
    Refuse(&'static str),
}

struct Detour {
    /// `127.0.0.1:port`.
    place: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Detour {
    async fn start(manner: Manner) -> Self {
        Self::start_with(manner, None).await
    }

    async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    match tls {
                        None => lead(stream, manner, seen).await,
                        Some(tls) => lead(tls.accept(stream).await.ok()?, manner, seen).await,
                    }
                });
            }
        });
        Self { place, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn lead(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: Manner,
    seen: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    while let Some(asked) = head(&mut stream).await {
        let connect = asked.starts_with("CONNECT ");
        seen.lock().unwrap().push(asked);
        match manner {
            Manner::Refuse(words) => stream.write_all(words.as_bytes()).await.ok()?,
            Manner::Lead(port) if connect => {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                copy_bidirectional(&mut stream, &mut server).await.ok()?;
                return Some(());
            }
            Manner::Lead(_) => stream.write_all(KV.as_bytes()).await.ok()?,
        }
        stream.flush().await.ok()?;
    }
    Some(())
}

struct Scene {
    folder: tempfile::TempDir,
    secure: Secure,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap(), secure: Secure::start(KV).await };
        put(&scene.folder.path().join("ca.pem"), &scene.secure.certificate);
        scene
    }

    fn server_port(&self) -> u16 {
        self.secure.port().parse().unwrap()
    }

    async fn proxy(&self, server: &str, environment: &[(&str, &str)]) -> (Process, Api) {
        let mut program = Program::proxy(sidekey(), self.folder.path())
            .config(&format!(
                "log_level = \"trace\"\nvault {{\n address = {server:?}\n ca_cert = {:?}\n retry {{ num_retries = -1 }}\n}}",
                self.folder.path().join("ca.pem")
            ))
            .listener("")
            .env("VAULT_CLIENT_TIMEOUT", "10");
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] {
            // What surrounds the tests is not theirs.
            program = program.env(name, "");
        }
        for (name, value) in environment {
            program = program.env(name, value);
        }
        let (process, listener) = program.start_listening().await.unwrap();
        (process, listener.with_token(Some("s.client")))
    }
}

/// A server with TLS is reached through a tunnel, of which the proxy sees nothing but where it leads.
#[tokio::test]
async fn s33_a_tunnel_through_the_proxy() {
    let scene = Scene::new().await;
    let address = format!("https://{NAME}:{}", scene.secure.port());
    for (variable, tls) in [
        ("HTTPS_PROXY", false),
        ("https_proxy", false),
        ("VAULT_PROXY_ADDR", false),
        ("BAO_HTTP_PROXY", true),
    ] {
        // One certificate for both, so that one CA will do.
        let both = Secure::start(KV).await;
        let (certificate, acceptor) = identity();
        put(
            &scene.folder.path().join("ca.pem"),
            &format!("{}{}{certificate}", scene.secure.certificate, both.certificate),
        );
        let proxy = Detour::start_with(Manner::Lead(scene.server_port()), tls.then_some(acceptor)).await;
        let scheme = if tls { "https" } else { "http" };
        let value = format!("{scheme}://us%40er:s3cret@{}", proxy.place);
        let (mut program, listener) = scene.proxy(&address, &[(variable, &value)]).await;
        for _ in 0..2 {
            let answer = listener.get("secret/data/app").await.unwrap();
            assert_eq!(answer.json["data"]["data"]["color"], "blue", "{variable}: {answer:?}");
        }
        let asked = proxy.asked();
        assert_eq!(asked.len(), 1, "{variable}: the tunnel is kept for the next request: {asked:?}");
        let line = format!("CONNECT {NAME}:{} HTTP/1.1\r\n", scene.secure.port());
        assert!(asked[0].starts_with(&line), "{variable}: {asked:?}");
        // printf 'us@er:s3cret' | base64
        assert!(asked[0].contains("proxy-authorization: Basic dXNAZXI6czNjcmV0\r\n"), "{asked:?}");
        assert!(!asked[0].contains("s.client"), "{asked:?}");
        program.stop().await.unwrap();
        let output = program.output().join("\n");
        assert!(output.contains("reached through a proxy"), "{output}");
        for secret in ["s3cret", "us%40er", "us@er", "dXNAZXI6czNjcmV0"] {
            assert!(!output.contains(secret), "{secret}: {output}");
        }
    }
    let asked = scene.secure.asked();
    assert_eq!(asked.len(), 8);
    for head in &asked {
        assert!(head.starts_with("GET /v1/secret/data/app HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("x-vault-token: s.client") && !head.contains("proxy-authorization"), "{head}");
    }
}

/// What travels without TLS the proxy reads, and it is told where it goes.
#[tokio::test]
async fn s33_a_proxy_reads_what_is_not_in_tls() {
    let scene = Scene::new().await;
    let proxy = Detour::start(Manner::Lead(0)).await;
    let value = format!("http://user:s3cret@{}", proxy.place);
    let (mut program, listener) =
        scene.proxy(&format!("http://{NAME}:8200"), &[("HTTP_PROXY", &value)]).await;
    let answer = listener.get("secret/data/app?x=1").await.unwrap();
    assert_eq!(answer.json["data"]["data"]["color"], "blue", "{answer:?}");
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with(&format!("GET http://{NAME}:8200/v1/secret/data/app?x=1 HTTP/1.1\r\n")),
        "{asked:?}"
    );
    assert!(asked[0].contains(&format!("host: {NAME}:8200\r\n")), "{asked:?}");
    assert!(asked[0].contains("proxy-authorization: Basic dXNlcjpzM2NyZXQ=\r\n"), "{asked:?}");
    // A client's own word to a proxy is not the server's, nor that proxy's.
    let mine = [("proxy-authorization", "Basic bWluZQ==")];
    listener.send("GET", "/v1/x", &mine, "").await.unwrap();
    assert!(!proxy.asked().concat().contains("bWluZQ=="));
    program.stop().await.unwrap();
    assert!(!program.output().concat().contains("s3cret"));
}

/// This machine, and whom `NO_PROXY` names.
#[tokio::test]
async fn s33_who_is_asked_without_a_proxy() {
    let scene = Scene::new().await;
    let proxy = Detour::start(Manner::Lead(scene.server_port())).await;
    let value = format!("http://{}", proxy.place);
    let away = format!("https://{NAME}:{}", scene.secure.port());
    let local = scene.secure.local.clone();
    let by_name = local.replace("127.0.0.1", "localhost");
    for (server, environment, detour, answered) in [
        (&local, &[("HTTPS_PROXY", value.as_str()), ("VAULT_PROXY_ADDR", &value)][..], false, true),
        (&by_name, &[("HTTPS_PROXY", &value)], false, true),
        (&away, &[("HTTPS_PROXY", &value)], true, true),
        (&away, &[("HTTP_PROXY", &value)], false, false),
        (&away, &[("HTTPS_PROXY", &value), ("NO_PROXY", "other, .sidekey.test")], false, false),
        (&away, &[("HTTPS_PROXY", &value), ("no_proxy", "sidekey.test:1")], true, true),
        (&away, &[("VAULT_PROXY_ADDR", &value), ("NO_PROXY", "*")], true, true),
    ] {
        let before = proxy.asked().len();
        let (mut program, listener) = scene.proxy(server, environment).await;
        let answer = listener.get("secret/data/app").await.unwrap();
        assert_eq!(proxy.asked().len() > before, detour, "{server} {environment:?}");
        assert_eq!(answer.status == 200, answered, "{server} {environment:?} {answer:?}");
        program.stop().await.unwrap();
    }
}

#[tokio::test]
async fn s33_a_proxy_that_refuses_is_quoted() {
    let scene = Scene::new().await;
    let away = format!("https://{NAME}:8200");
    for (words, told) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "it wants to know who we are",
        ),
        ("HTTP/1.1 403 Not\x07 here\r\n\r\n", "no HTTP"),
        ("HTTP/1.1 403 Not here\r\n\r\n", "answered 403 Not here"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
        ("HTTP/1.1 200 OK\r\n\r\nsurprise", "more than its answer"),
    ] {
        let proxy = Detour::start(Manner::Refuse(words)).await;
        let value = format!("http://user:s3cret@{}", proxy.place);
        let (mut program, listener) = scene.proxy(&away, &[("HTTPS_PROXY", &value)]).await;
        let answer = listener.get("secret/data/app").await.unwrap();
        let error = answer.json["errors"][0].as_str().unwrap().to_owned();
        assert!(
            error.contains(told) && error.contains(&proxy.place) && !error.contains("s3cret"),
            "{words:?}: {error}"
        );
        assert_eq!(proxy.asked().len(), 1);
        program.stop().await.unwrap();
    }
}

/// S30: what makes the way to the server open to others is told at each start, and nothing else is.
#[tokio::test]
async fn s30_each_start_warns_of_a_way_that_is_not_safe() {
    let scene = Scene::new().await;
    let (skips, open) = ("tls_skip_verify is on", "requests to the server are not encrypted");
    // An address where nobody is: nothing is sent to it.
    for (vault, warned) in [
        ("address = \"http://192.0.2.1:8200\"", [false, true]),
        ("address = \"http://vault.sidekey.test:8200\"", [false, true]),
        ("address = \"http://127.0.0.1:1\"\n addresses = [\"http://192.0.2.1:8200\"]", [false, true]),
        ("address = \"https://192.0.2.1:8200\"\n tls_skip_verify = true", [true, false]),
        ("address = \"https://192.0.2.1:8200\"", [false, false]),
        ("address = \"http://127.0.0.1:8200\"", [false, false]),
        ("address = \"http://localhost:8200\"", [false, false]),
        ("address = \"http://[::1]:8200\"", [false, false]),
        ("address = \"unix:///run/nobody.sock\"", [false, false]),
    ] {
        for _ in 0..2 {
            let program = Program::proxy(sidekey(), scene.folder.path())
                .config(&format!("vault {{\n {vault}\n}}"))
                .listener("");
            let (mut process, _) = program.start_listening().await.unwrap();
            let said = process.output().join("\n");
            for (words, warned) in [skips, open].into_iter().zip(warned) {
                assert_eq!(said.contains(words), warned, "{vault}: {words}:\n{said}");
            }
            process.stop().await.unwrap();
        }
    }
}

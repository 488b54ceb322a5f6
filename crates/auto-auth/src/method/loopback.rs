//! A service on loopback that does as a test tells it, and a login prepared against it.

use std::sync::{Arc, Mutex};

use config::Environment;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vault::api::Caller;
use vault::{BoxFuture, Mount, Request, Response, SendError, Upstream};

use super::attempt::Credentials;
use super::{Attempt, LoginError, Method, Scene};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `GET /path`.
    pub(super) line: String,
    head: String,
    pub(super) body: String,
}

impl Asked {
    /// A header by its lower case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What it does with a request.
pub(super) enum Do {
    /// Answers so.
    Answer(u16, String),
    /// Keeps the caller waiting for ever.
    Hang,
    /// Sends the caller to another address.
    Redirect(String),
}

type Script = dyn Fn(&Asked) -> Do + Send + Sync;

pub(super) struct Loopback {
    pub(super) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Loopback {
    pub(super) async fn start(script: impl Fn(&Asked) -> Do + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { address, asked }
    }

    /// What was asked so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request a connection.
async fn serve(mut stream: TcpStream, script: Arc<Script>, seen: Arc<Mutex<Vec<Asked>>>) {
    let mut bytes = Vec::new();
    let asked = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let asked = Asked { line, head: head.to_owned(), body: body.to_owned() };
        let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
        if asked.body.len() >= length {
            break asked;
        }
    };
    seen.lock().unwrap().push(asked.clone());
    match script(&asked) {
        Do::Hang => std::future::pending().await,
        Do::Redirect(to) => {
            let head = format!(
                "HTTP/1.1 307 X\r\nconnection: close\r\ncontent-length: 0\r\nlocation: {to}{}\r\n\r\n",
                asked.line.split_once(' ').unwrap().1
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
        Do::Answer(status, body) => {
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
        }
    }
}

/// Nobody's server: preparing a login asks it nothing.
struct Nobody;

impl Upstream for Nobody {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        unreachable!("the server is not asked before the login")
    }
}

/// What would be sent, and where to.
pub(super) async fn prepared(
    method: &mut dyn Method,
    environment: &[(&str, &str)],
) -> Result<(String, Value), LoginError> {
    let attempt = with_scene(environment, async |scene| method.prepare(&scene).await).await?;
    match attempt {
        Attempt::Login(Credentials { path, body, .. }) => Ok((path, body)),
        Attempt::Lookup(_) => panic!("no login"),
    }
}

/// Whether there is news.
pub(super) async fn news(method: &mut dyn Method, environment: &[(&str, &str)]) -> bool {
    with_scene(environment, async |scene| method.has_new_credentials(&scene).await).await
}

#[test]
fn addresses_are_short_where_the_port_says_nothing() {
    for (address, want) in [
        ("https://vault.example.com:443", "https://vault.example.com"),
        ("https://vault.example.com:443/gateway", "https://vault.example.com/gateway"),
        ("https://vault.example.com:8200", "https://vault.example.com:8200"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://vault:443", "http://vault:443"),
        ("https://vault:8443/x:443", "https://vault:8443/x:443"),
        ("unix:///run/x:443", "unix:///run/x:443"),
        ("", ""),
    ] {
        let caller = Caller { address: address.to_owned(), ..Caller::default() };
        let (mount, environment) = (Mount::new("auth/here"), Environment::default());
        let scene = Scene { mount: &mount, server: &Nobody, caller: &caller, environment: &environment };
        assert_eq!(scene.short_address(), want);
    }
}

async fn with_scene<T>(environment: &[(&str, &str)], run: impl AsyncFnOnce(Scene<'_>) -> T) -> T {
    let environment = Environment::new(environment.iter().copied());
    let caller = Caller::default();
    let mount = Mount::new("auth/here");
    run(Scene { mount: &mount, server: &Nobody, caller: &caller, environment: &environment }).await
}

//! The proxy towards the server: what never leaves, what streams, what is repeated elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use testkit::Program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::scripted::{Do, Scripted};
use crate::{Stage, sidekey};

/// `127.0.0.1:port` of a program's first listener.
async fn place(program: &mut testkit::Process) -> String {
    let line = program.says("Api Address 1: ").await.unwrap();
    line.split("http://").nth(1).unwrap().trim().to_owned()
}

/// Everything that comes back for these bytes until the other side closes.
async fn raw(place: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(place).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks for `path` in many ways; nothing that comes back holds one of `secrets`. How often something was taken out.
async fn withheld(stage: &Stage, place: &str, path: &str, bodies: &[&str], secrets: &[String]) -> usize {
    let clean = |text: &str| secrets.iter().all(|secret| !text.contains(secret));
    let mut withheld = 0;
    for method in ["GET", "POST", "PUT", "HEAD", "LIST"] {
        let writes = matches!(method, "POST" | "PUT");
        // Nothing is to be written over what the reads look for.
        if path.contains("/secret/") && writes {
            continue;
        }
        for body in if writes { bodies } else { &bodies[..1] } {
            for more in ["", "X-Vault-Wrap-TTL: 60s\r\n", "X-Vault-Namespace: root\r\n"] {
                // What is stored elsewhere and wrapped by a reader's wish is the reader's to unwrap.
                if path.contains("/secret/") && more.contains("Wrap") {
                    continue;
                }
                let length = body.len();
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n{body}"
                );
                let answer = raw(place, &request).await;
                assert!(clean(&answer), "{method} {path} {more:?} {body:?}: {answer}");
                let gone = ["\"a\":\"\"", "\"client_token\":\"\""];
                withheld += usize::from(gone.iter().any(|gone| answer.contains(gone)));
                let json = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim()).unwrap_or_default();
                let json: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
                if let Some(wrapped) = json["wrap_info"]["token"].as_str() {
                    let inside = stage.server.api(Some(wrapped)).unwrap();
                    let inside = inside.post("sys/wrapping/unwrap", &json!({})).await.unwrap();
                    let inside = String::from_utf8_lossy(&inside.body).into_owned();
                    assert!(clean(&inside), "{method} {path}: {inside}");
                }
            }
        }
    }
    withheld
}

/// S2: many spellings of every question whose answer holds the token or its accessor, against the real server, byte
/// for byte as it comes back, wrapped answers unwrapped.
#[tokio::test]
async fn s2_our_token_and_its_accessor_are_in_no_byte_that_comes_back() {
    let stage = Stage::new().await;
    let (mut agent, _) = stage.front().start_listening().await.unwrap();
    let place = place(&mut agent).await;
    agent.says("token written").await.unwrap();
    let token = stage.read("token");
    let lookup = stage.server.api(Some(&token)).unwrap().get("auth/token/lookup-self").await.unwrap();
    let accessor = lookup.json["data"]["accessor"].as_str().unwrap().to_owned();
    // Somebody has put them where they do not belong.
    let long = "x".repeat(200_000);
    for (name, value) in [
        ("plain", json!({"a": token, "b": accessor})),
        ("inside", json!({"a": format!("the token is {token}!"), "b": [accessor, {"c": token}]})),
        ("key", json!({ token.as_str(): "as a key" })),
        ("long", json!({"a": long, "b": token, "c": format!("{long}{accessor}")})),
    ] {
        stage.root.write(&format!("secret/data/{name}"), &json!({"data": value})).await.unwrap();
    }
    let paths = [
        "/v1/auth/token/lookup-self",
        "/v1/auth/token/lookup",
        "/v1/auth/token/renew-self",
        "/v1/auth/token/renew",
        "/v1/auth/token/lookup-self/",
        "/v1/auth/token/lookup/",
        "/v1/auth/token/renew-self/",
        "/v1//auth/token/lookup-self",
        "/v1/auth//token/lookup-self",
        "//v1/auth/token/lookup-self",
        "/v1/auth/token//lookup-self",
        "/v1/auth%2Ftoken%2Flookup-self",
        "/v1/%61uth/token/lookup-self",
        "/v1/auth/%74oken/lookup-self",
        "/v1/auth/token/%6cookup-self",
        "/v1/auth/token/lookup%2dself",
        "/v1/auth/token/lookup-self%2F",
        "/v1/auth/token/./lookup-self",
        "/v1/auth/token/%2e/lookup-self",
        "/v1/auth/token/x/../lookup-self",
        "/v1/auth/token/x/%2e%2e/lookup-self",
        "/v1/auth/token/lookup-self?x=1",
        "/v1/auth/token/lookup-self?",
        "/v1/auth/token/lookup-self#x",
        "/v1/auth/token/lookup-self%3Fx",
        "/v1/auth/token/lookup-self;x",
        "/v1/auth/token/lookup-self%20",
        "/v1/auth/token/lookup-self%00",
        "/v1/Auth/Token/Lookup-Self",
        "/v1/auth/token/accessors?list=true",
        "/v1/auth/token/lookup-accessor",
        "/v1/root/auth/token/lookup-self",
        "/v1/ns1/auth/token/lookup-self",
        "http://localhost/v1/auth/token/lookup-self",
        "/v1/sys/internal/ui/resultant-acl",
        "/v1/sys/capabilities-self",
        "/v1/secret/data/plain",
        "/v1/secret/data/inside",
        "/v1/secret/data/key",
        "/v1/secret/data/long",
        "/v1/secret/data/plain/",
        "/v1/secret/data/plain?version=1",
    ];
    assert!(paths.len() >= 40);
    let bodies = ["", "{}", r#"{"token":""}"#, "not json"];
    let stage = Arc::new(stage);
    let mut asking = tokio::task::JoinSet::new();
    for path in paths {
        let (stage, place, secrets) = (Arc::clone(&stage), place.clone(), [token.clone(), accessor.clone()]);
        asking.spawn(async move { withheld(&stage, &place, path, &bodies, &secrets).await });
    }
    let withheld: usize = asking.join_all().await.into_iter().sum();
    assert!(withheld >= 20, "the questions were answered, without it: {withheld}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn s2_headers_trailers_errors_and_streams_are_looked_through() {
    const LOGIN: &str = r#"{"auth":{"client_token":"s.canary-token","accessor":"acc-canary","lease_duration":3600,"renewable":true,"orphan":true}}"#;
    let scripted = Scripted::start(|line, _| match line {
        line if line.contains("/login") => Do::Answer(200, LOGIN),
        line if line.contains("/header") => {
            Do::Bytes(b"HTTP/1.1 200 OK\r\nX-A: is s.canary-token\r\nContent-Length: 2\r\n\r\nok")
        }
        line if line.contains("/trailer") => Do::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: acc-canary\r\n\r\n",
        ),
        line if line.contains("/error") => Do::Answer(400, r#"{"errors":["bad token s.canary-token"]}"#),
        line if line.contains("/html") => {
            Do::Bytes(b"HTTP/1.1 500 X\r\nContent-Length: 22\r\n\r\n<p>s.canary-token</p>\n")
        }
        line if line.contains("/stream") => Do::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nx s.can\r\n9\r\nary-token\r\n0\r\n\r\n",
        ),
        _ => Do::Answer(200, "{}"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::agent(sidekey(), folder.path())
        .config(&format!("vault {{\n address = {:?}\n retry {{ num_retries = -1 }}\n}}", scripted.address))
        .approle(&("r".into(), "s".into()), &["token"])
        .unwrap()
        .config("api_proxy { use_auto_auth_token = true }")
        .listener("");
    let (mut agent, _) = program.start_listening().await.unwrap();
    let place = place(&mut agent).await;
    for (path, status) in
        [("header", "502"), ("trailer", "200"), ("error", "400"), ("html", "502"), ("stream", "502")]
    {
        let request = format!("GET /v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = raw(&place, &request).await;
        assert!(!answer.contains("canary-token") && !answer.contains("acc-canary"), "{path}: {answer}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn s6_a_malformed_answer_becomes_502() {
    let scripted = Scripted::start(|_, _| {
        Do::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::proxy(sidekey(), folder.path()).server(&scripted.address).listener("");
    let (mut proxy, listener) = program.start_listening().await.unwrap();
    let answer = listener.get("x").await.unwrap();
    assert_eq!(answer.status.as_u16(), 502);
    assert!(answer.json["errors"][0].as_str().unwrap().contains("malformed answer"), "{}", answer.json);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn long_request_bodies_stream() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", upstream.local_addr().unwrap());
    let program = Program::proxy(sidekey(), folder.path()).server(&address).config("cache {}").listener("");
    let (mut proxy, _) = program.start_listening().await.unwrap();
    let place = place(&mut proxy).await;
    let piece = vec![b'x'; 100_000];
    for chunked in [false, true] {
        let mut client = TcpStream::connect(&place).await.unwrap();
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            "Content-Length: 1000000".to_owned()
        };
        client
            .write_all(format!("PUT /v1/a HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let (mut server, mut seen) = (None, 0);
        let mut buffer = vec![0; 1 << 16];
        // Each piece arrives at the server before the next is written.
        for number in 1..=10 {
            if chunked {
                client.write_all(b"186a0\r\n").await.unwrap();
            }
            client.write_all(&piece).await.unwrap();
            if chunked {
                client.write_all(b"\r\n").await.unwrap();
            }
            if server.is_none() {
                server = Some(upstream.accept().await.unwrap().0);
            }
            while seen < number * 100_000 {
                let read = server.as_mut().unwrap().read(&mut buffer).await.unwrap();
                assert!(read > 0);
                seen += read;
            }
        }
        if chunked {
            client.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let mut server = server.unwrap();
        server
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
            .await
            .unwrap();
        let mut answer = String::new();
        while !answer.ends_with("done") {
            let read = client.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn events_are_a_websocket_and_nothing_else_is() {
    let upstream = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", upstream.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let upgrades = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = upstream.accept().await {
            let upgrades = Arc::clone(&upgrades);
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                let read = stream.read(&mut buffer).await.unwrap();
                let head = String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase();
                if !head.contains("upgrade: websocket") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").await.unwrap();
                    return;
                }
                upgrades.fetch_add(1, Ordering::SeqCst);
                assert!(
                    head.contains("connection: upgrade") && head.contains("sec-websocket-key: abc"),
                    "{head}"
                );
                let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: xyz\r\n\r\nhello";
                stream.write_all(answer.as_bytes()).await.unwrap();
                // Says again what it hears.
                while let Ok(read) = stream.read(&mut buffer).await {
                    if read == 0 || stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let program = Program::proxy(sidekey(), folder.path()).server(&address).listener("");
    let (mut proxy, _) = program.start_listening().await.unwrap();
    let place = place(&mut proxy).await;
    const ASK: &str = "HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n";
    let mut client = TcpStream::connect(&place).await.unwrap();
    client.write_all(format!("GET /v1/sys/events/subscribe/kv%2A?json=true {ASK}").as_bytes()).await.unwrap();
    let (mut answer, mut buffer) = (String::new(), vec![0; 1 << 16]);
    let mut hear = async |client: &mut TcpStream, until: &str| {
        while !answer.ends_with(until) {
            let read = client.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        answer.clone()
    };
    let said = hear(&mut client, "hello").await.to_ascii_lowercase();
    assert!(said.starts_with("http/1.1 101") && said.contains("sec-websocket-accept: xyz"), "{said}");
    for word in ["one", "two"] {
        client.write_all(word.as_bytes()).await.unwrap();
        hear(&mut client, word).await;
    }
    drop(client);
    let mut client = TcpStream::connect(&place).await.unwrap();
    client.write_all(format!("GET /v1/secret/data/app {ASK}").as_bytes()).await.unwrap();
    let mut said = vec![0; 4096];
    let read = client.read(&mut said).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said[..read]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn several_addresses_stand_in_for_one_another() {
    let stage = Stage::new().await;
    let dead = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let vault = format!("vault {{ addresses = [\"http://{dead}\", {:?}] }}", stage.server.address());
    let program = Program::agent(sidekey(), stage.folder.path())
        .config(&vault)
        .approle(&stage.credentials, &["token"])
        .unwrap()
        .config("api_proxy { use_auto_auth_token = true }")
        .listener("");
    let (mut agent, listener) = program.start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let answer = listener.get("secret/data/app").await.unwrap();
    assert_eq!(answer.json["data"]["data"]["color"], "blue");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_asked_for_where_consistency_is_enforced() {
    // "v1:c:7:1:mac"
    const NEW: &[u8] = b"HTTP/1.1 200 OK\r\nX-Vault-Index: djE6Yzo3OjE6bWFj\r\nContent-Length: 2\r\n\r\n{}";
    for (action, times) in [("fail", 1), ("retry", 2)] {
        let scripted = Scripted::start(|line, nth| match line {
            line if line.contains("stale") && nth == 0 => {
                Do::Answer(412, r#"{"errors":["required index state not present"]}"#)
            }
            line if line.contains("stale") => Do::Answer(200, "{}"),
            _ => Do::Bytes(NEW),
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let api_proxy =
            format!("api_proxy {{ enforce_consistency = \"always\"\n when_inconsistent = {action:?} }}");
        let program = Program::proxy(sidekey(), folder.path())
            .server(&scripted.address)
            .config(&api_proxy)
            .listener("");
        let (mut proxy, listener) = program.start_listening().await.unwrap();
        listener.send("PUT", "/v1/secret/data/a", &[], "{}").await.unwrap();
        let answer = listener.get("stale").await.unwrap();
        assert_eq!(answer.status.as_u16(), if times == 1 { 412 } else { 200 });
        let asked = scripted.asked("stale");
        assert_eq!(asked.len(), times, "{action}");
        assert!(asked[0].head.contains("x-vault-index: dje6yzo3oje6bwfj"), "{}", asked[0].head);
        proxy.stop().await.unwrap();
    }
}

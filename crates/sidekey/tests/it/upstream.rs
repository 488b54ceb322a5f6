//! How we speak to the server: user agents, retries, redirects, no write twice.

use testkit::{Program, eventually};

use crate::scripted::{Do, Scripted};
use crate::sidekey;

const LOGIN: &str =
    r#"{"auth":{"client_token":"s.t","accessor":"a","lease_duration":3600,"renewable":true,"orphan":true}}"#;
const KV: &str = r#"{"data":{"data":{"color":"blue"},"metadata":{"version":1}}}"#;
const MOUNT: &str = r#"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#;

fn usual(line: &str) -> Do {
    match line {
        line if line.contains("/login") => Do::Answer(200, LOGIN),
        line if line.contains("/sys/internal/ui/mounts") => Do::Answer(200, MOUNT),
        _ => Do::Answer(200, KV),
    }
}

#[tokio::test]
async fn user_agents_are_upstreams() {
    for cache in ["", "cache {}"] {
        let scripted = Scripted::start(|line, _| usual(line)).await;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let template = format!(
            "template {{ contents = \"{{{{ with secret \\\"secret/app\\\" }}}}x{{{{ end }}}}\" destination = {out:?} }}"
        );
        let program = Program::agent(sidekey(), folder.path())
            .server(&scripted.address)
            .approle(&("r".into(), "s".into()), &["token"])
            .unwrap();
        let (mut agent, listener) =
            program.config(&template).config(cache).listener("").start_listening().await.unwrap();
        agent.says("rendered").await.unwrap();
        listener.send("GET", "/v1/secret/data/proxied", &[("user-agent", "curl/8")], "").await.unwrap();
        let said = |part: &str| {
            scripted.asked(part)[0].head.lines().find(|l| l.starts_with("user-agent")).unwrap().to_owned()
        };
        assert!(said("/login").starts_with("user-agent: vault agent auto-auth/"), "{}", said("/login"));
        assert!(
            said("secret/data/app").starts_with("user-agent: vault agent templating/"),
            "{}",
            said("secret/data/app")
        );
        let proxied = said("proxied");
        assert!(
            proxied.starts_with("user-agent: vault agent api proxy/") && proxied.ends_with("; curl/8"),
            "{proxied}"
        );
        assert!(scripted.asked("/login")[0].line.starts_with("PUT "));
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn num_retries_is_obeyed() {
    for (num_retries, status) in
        [(Some(-1), 500), (Some(1), 500), (Some(2), 200), (Some(0), 200), (None, 200)]
    {
        let scripted = Scripted::start(|_, nth| {
            if nth < 2 { Do::Answer(500, "{\"errors\":[\"not yet\"]}") } else { Do::Answer(200, KV) }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let retry = num_retries.map(|n| format!("retry {{ num_retries = {n} }}")).unwrap_or_default();
        let program = Program::proxy(sidekey(), folder.path())
            .config(&format!("vault {{\n address = {:?}\n{retry}\n}}", scripted.address))
            .listener("");
        let (mut proxy, listener) = program.start_listening().await.unwrap();
        let answer = listener.get("secret/data/app").await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{num_retries:?}");
        if status == 500 {
            assert_eq!(answer.json["errors"][0], "not yet", "the server's own words are handed on");
        }
        proxy.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_write_is_never_sent_twice() {
    let scripted = Scripted::start(|_, _| Do::Close).await;
    let folder = tempfile::tempdir().unwrap();
    let (mut proxy, listener) = Program::proxy(sidekey(), folder.path())
        .server(&scripted.address)
        .listener("")
        .start_listening()
        .await
        .unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = listener.send(method, &format!("/v1/write-{method}"), &[], "{}").await.unwrap();
        assert_eq!(answer.status.as_u16(), 500);
        assert!(
            answer.json["errors"][0].as_str().unwrap().starts_with("failed to get the response: "),
            "{:?}",
            answer.json
        );
        assert_eq!(scripted.asked(&format!("write-{method}")).len(), 1, "{method}");
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn one_redirect_is_followed_with_method_body_and_token() {
    let active = Scripted::start(|_, _| Do::Answer(200, KV)).await;
    let location: &'static str = Box::leak(
        format!("HTTP/1.1 307 X\r\nLocation: {}/v1/moved\r\nContent-Length: 0\r\n\r\n", active.address)
            .into_boxed_str(),
    );
    let standby = Scripted::start(move |_, _| Do::Bytes(location.as_bytes())).await;
    let folder = tempfile::tempdir().unwrap();
    let (mut proxy, listener) = Program::proxy(sidekey(), folder.path())
        .server(&standby.address)
        .listener("")
        .start_listening()
        .await
        .unwrap();
    let answer = listener.with_token(Some("s.client")).post("x", &serde_json::json!({"a": 1})).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    let moved = &active.asked("moved")[0];
    assert!(
        moved.line.starts_with("POST /v1/moved") && moved.head.contains("x-vault-token: s.client"),
        "{moved:?}"
    );
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn hop_by_hop_headers_stay_where_they_are() {
    let scripted = Scripted::start(|_, _| Do::Answer(200, KV)).await;
    let folder = tempfile::tempdir().unwrap();
    let (mut proxy, listener) = Program::proxy(sidekey(), folder.path())
        .server(&scripted.address)
        .listener("")
        .start_listening()
        .await
        .unwrap();
    let headers = [
        ("connection", "x-vault-token, x-drop"),
        ("x-drop", "1"),
        ("te", "trailers"),
        ("x-keep", "1"),
        ("accept-encoding", "gzip"),
    ];
    listener.with_token(Some("s.c")).send("GET", "/v1/a%2Fb?z=1&y=2", &headers, "").await.unwrap();
    let asked = &scripted.asked("GET")[0];
    assert_eq!(asked.line, "GET /v1/a/b?z=1&y=2");
    for gone in ["x-drop", "te:", "accept-encoding", "connection:"] {
        assert!(!asked.head.contains(&format!("\r\n{gone}")), "{gone}: {}", asked.head);
    }
    assert!(asked.head.contains("x-vault-token: s.c") && asked.head.contains("x-keep: 1"));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_not_cached_streams() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let upstream = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", upstream.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let program = Program::proxy(sidekey(), folder.path()).server(&address).config("cache {}").listener("");
    let (mut proxy, _) = program.start_listening().await.unwrap();
    let line = proxy.says("Api Address 1: ").await.unwrap();
    let listener = line.split("http://").nth(1).unwrap().trim().to_owned();
    let mut client = tokio::net::TcpStream::connect(&listener).await.unwrap();
    client.write_all(b"GET /v1/sys/monitor HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    let mut request = [0; 4096];
    assert!(server.read(&mut request).await.unwrap() > 0);
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    server.write_all(head).await.unwrap();
    // Each piece arrives before the next is written.
    let mut seen = String::new();
    for piece in ["first", "second", "third"] {
        server.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await.unwrap();
        while !seen.contains(piece) {
            let mut some = [0; 4096];
            let read = client.read(&mut some).await.unwrap();
            assert!(read > 0, "closed after {seen}");
            seen.push_str(&String::from_utf8_lossy(&some[..read]));
        }
    }
    proxy.stop().await.unwrap();
}

/// The end of the program is no reason to leave those without an answer who wait for a server to come back.
#[tokio::test]
async fn who_waits_for_a_server_is_answered_at_the_end() {
    let scripted = Scripted::start(|_, _| Do::Answer(503, "{\"errors\":[\"sealed\"]}")).await;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::proxy(sidekey(), folder.path()).server(&scripted.address).listener("");
    let (mut proxy, listener) = program.start_listening().await.unwrap();
    let asking = tokio::spawn(async move { listener.send("GET", "/v1/secret/data/a", &[], "").await });
    eventually("a request", || async { Some(()).filter(|()| !scripted.asked("secret/data/a").is_empty()) })
        .await
        .unwrap();
    proxy.stop().await.unwrap();
    let answer = asking.await.unwrap().unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json["errors"][0]), (503, &"sealed".into()));
    assert!(!proxy.has_said("cut off"), "{:?}", proxy.output());
}

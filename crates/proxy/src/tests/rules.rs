//! S3 and S4: whose request it is, and what belongs to one connection only.

use super::{Front, OURS, get};

#[tokio::test(start_paused = true)]
async fn s03_one_identity() {
    for (headers, status, token) in [
        ("", 200, OURS),
        ("X-Vault-Token: s.c\r\n", 200, "s.c"),
        ("X-Vault-Token:\r\n", 200, OURS),
        ("X-Vault-Token: a\r\nX-Vault-Token: b\r\n", 400, ""),
        ("X-Vault-Token: a\r\nx-vault-token: a\r\n", 400, ""),
        ("X-Vault-Token:\r\nX-Vault-Token: a\r\n", 400, ""),
        ("Authorization: Bearer s.c\r\n", 200, "s.c"),
        ("Authorization: bearer s.c\r\n", 200, "s.c"),
        ("Authorization: Basic s.c\r\n", 200, OURS),
        // Nobody loses his token, or the namespace it is good for, on the way.
        ("Connection: X-Vault-Token\r\nX-Vault-Token: s.c\r\n", 200, "s.c"),
        ("Connection: x-vault-token\r\n", 200, OURS),
        ("Connection: authorization\r\nAuthorization: Bearer s.c\r\n", 200, "s.c"),
    ] {
        let front = Front::new();
        let answer = front.ask(format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).await;
        let want = if status == 200 { vec![format!("GET /v1/a {token}")] } else { vec![] };
        assert_eq!((answer.statuses(), front.seen()), (vec![status], want), "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s04_headers_of_one_connection_stay_there() {
    let front = Front::new();
    front.answers(
        200,
        &[
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("x-kept", "1"),
        ],
        "{}",
    );
    let answer = front
        .ask(
            "POST /v1/a HTTP/1.1\r\nHost: localhost\r\nConnection: X-Named, keep-alive\r\nConnection: X-Other\r\n\
             X-Named: 1\r\nX-Other: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic x\r\nProxy-Connection: x\r\n\
             TE: trailers\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nX-Kept: 1\r\n\r\n\
             2\r\n{}\r\n0\r\nX: y\r\n\r\n",
        )
        .await;
    let seen = front.recorder.seen.lock().unwrap();
    let mut names: Vec<_> = seen[0].headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    // The transport writes `Host` anew.
    assert_eq!(names, ["accept-encoding", "host", "user-agent", "x-kept", "x-vault-token"]);
    assert_eq!(seen[0].body, "{}");
    // It lives on: what the server said of its own connection is not about ours.
    assert!(!answer.closed, "{}", answer.text);
    // The body had come already, so nobody was told that it is wanted.
    let head = answer.head();
    let names: Vec<_> = head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["x-kept", "x-cache", "date", "content-length"], "{head}");
}

#[tokio::test(start_paused = true)]
async fn s04_no_client_is_introduced_to_the_server() {
    let front = Front::new();
    front.ask("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    front.ask("GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n").await;
    let seen = front.recorder.seen.lock().unwrap();
    assert!(!seen[0].headers.contains_key("x-forwarded-for") && !seen[0].headers.contains_key("forwarded"));
    assert_eq!(seen[1].headers["x-forwarded-for"], "10.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn s04_another_protocol_is_offered_in_vain() {
    let front = Front::new();
    let upgrade =
        "GET /v1/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = front.ask(format!("{upgrade}{}", get("/v1/b"))).await;
    assert_eq!(answer.statuses(), [200, 200], "{}", answer.text);
    assert_eq!(front.seen().len(), 2);
    // What follows is read by the same rules.
    let front = Front::new();
    let answer = front.ask(format!("{upgrade}GET /v1/b HTTP/1.1\nHost: localhost\r\n\r\n")).await;
    assert_eq!((answer.statuses(), front.seen().len()), (vec![200, 400], 1));
    let head = answer.head();
    assert!(!head.contains("upgrade") && !head.contains("connection"), "{head}");
}

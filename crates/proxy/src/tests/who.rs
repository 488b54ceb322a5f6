//! S20 to S24, S26 and `allow`: who may ask, and for what.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::{AllowRule, AllowedPath, AllowedPeers, Endpoint, Identity, RateLimit, SocketAccess};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::sockets::{any_port, eventually, start, tcp};
use super::{Front, OURS, get};
use crate::breach::Breach;
use crate::doors::Who;

/// A request with these lines in its head.
fn with(lines: &str) -> String {
    format!("GET /v1/a HTTP/1.1\r\n{lines}\r\n")
}

fn at(address: &str, hosts: &[&str]) -> Front {
    Front::with(|listener| {
        listener.endpoint = Endpoint::Tcp(address.parse().unwrap());
        listener.allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    })
}

fn on_a_socket() -> Front {
    Front::with(|listener| {
        listener.endpoint = Endpoint::Unix { path: "/s".into(), access: SocketAccess::default() };
    })
}

#[tokio::test(start_paused = true)]
async fn s20_hosts() {
    const LOOP: &str = "127.0.0.1:8200";
    for (address, hosts, host, status) in [
        (LOOP, &[][..], "127.0.0.1:8200", 200),
        (LOOP, &[], "127.0.0.1", 200),
        (LOOP, &[], "127.255.0.9:1", 200),
        (LOOP, &[], "localhost:65535", 200),
        (LOOP, &[], "LocalHost", 200),
        (LOOP, &[], "[::1]:8200", 200),
        (LOOP, &[], "evil.example", 421),
        (LOOP, &[], "evil.example:8200", 421),
        (LOOP, &[], "localhost.evil.example", 421),
        (LOOP, &[], "127.0.0.1.evil.example", 421),
        (LOOP, &[], "10.0.0.1", 421),
        (LOOP, &[], "0.0.0.0", 421),
        (LOOP, &[], "vault.local", 421),
        (LOOP, &["vault.local"], "vault.local:8200", 200),
        (LOOP, &["vault.local"], "other.local", 421),
        (LOOP, &["*"], "evil.example", 200),
        ("[::1]:8200", &[], "localhost", 200),
        ("[::1]:8200", &[], "evil.example", 421),
        ("[::ffff:127.0.0.1]:8200", &[], "evil.example", 421),
        ("0.0.0.0:8200", &[], "any.example", 200),
        ("10.1.2.3:8200", &["a.example"], "a.example", 200),
        ("10.1.2.3:8200", &["a.example"], "10.1.2.3:8200", 200),
        ("10.1.2.3:8200", &["a.example"], "b.example", 421),
    ] {
        let front = at(address, hosts);
        let answer = front.ask(with(&format!("Host: {host}\r\n"))).await;
        assert_eq!(answer.statuses(), [status], "{address} {host}");
        assert_eq!(front.seen().len(), usize::from(status == 200), "{address} {host}");
    }
    // Where the target says it too, both count.
    for (target, host, status) in [
        ("http://localhost/v1/a", "localhost", 200),
        ("http://evil.example/v1/a", "localhost", 421),
        ("http://localhost/v1/a", "evil.example", 421),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(Front::new().ask(request).await.statuses(), [status], "{target} {host}");
    }
    assert_eq!(on_a_socket().ask(with("Host: any.example\r\n")).await.statuses(), [200]);
}

#[tokio::test(start_paused = true)]
async fn s21_pages() {
    let local = || at("127.0.0.1:8200", &["vault.local"]);
    let elsewhere = || at("0.0.0.0:8200", &[]);
    let open = || at("127.0.0.1:8200", &["*"]);
    for (name, front, lines, status) in [
        ("local", local(), "Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("local", local(), "Host: localhost\r\nOrigin: null\r\n", 403),
        ("local", local(), "Host: localhost\r\nOrigin:\r\n", 403),
        ("local", local(), "Host: localhost\r\nOrigin: http://localhost.evil.example\r\n", 403),
        ("local", local(), "Host: localhost\r\nOrigin: http://localhost:8200\r\n", 200),
        ("local", local(), "Host: localhost\r\nOrigin: https://vault.local\r\n", 200),
        (
            "local",
            local(),
            "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n",
            403,
        ),
        ("local", local(), "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("local", local(), "Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", 200),
        ("local", local(), "Host: localhost\r\nSec-Fetch-Site: none\r\n", 200),
        // Where our names are not known, a page's own host is the one it asks.
        ("elsewhere", elsewhere(), "Host: a.example\r\nOrigin: https://evil.example\r\n", 403),
        ("elsewhere", elsewhere(), "Host: a.example:8200\r\nOrigin: http://A.example:8200\r\n", 200),
        ("elsewhere", elsewhere(), "Host: a.example\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("elsewhere", elsewhere(), "Host: a.example\r\n", 200),
        ("socket", on_a_socket(), "Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("socket", on_a_socket(), "Host: localhost\r\n", 200),
        ("open", open(), "Host: a.example\r\nOrigin: https://evil.example\r\n", 200),
    ] {
        let answer = front.ask(with(lines)).await;
        assert_eq!(
            (answer.statuses(), front.seen().len()),
            (vec![status], usize::from(status == 200)),
            "{name} {lines}"
        );
    }
    let preflight = "OPTIONS /v1/a HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n\
                     Access-Control-Request-Method: PUT\r\n\r\n";
    let answer = Front::new().ask(preflight).await;
    assert_eq!(answer.statuses(), [403]);
    assert!(!answer.head().contains("access-control"), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn s21_nothing_is_opened_for_pages() {
    let front = Front::new();
    front.answers(
        200,
        &[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-origin", "http://localhost"),
            ("access-control-expose-headers", "x-vault-token"),
            ("vary", "Origin"),
        ],
        "{}",
    );
    let answer = front.ask(with("Host: localhost\r\nOrigin: http://localhost\r\n")).await;
    assert_eq!(answer.statuses(), [200]);
    assert!(!answer.head().contains("access-control"), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn s22_the_request_header() {
    for target in ["/v1/a", "/ui/", "/agent/v1/quit", "/agent/v1/nothing", "/proxy/v1/quit"] {
        for (lines, passes) in [
            ("X-Vault-Request: true\r\n", true),
            ("", false),
            ("X-Vault-Request: True\r\n", false),
            ("X-Vault-Request: true, true\r\n", false),
            ("X-Vault-Request: true\r\nX-Vault-Request: true\r\n", false),
            ("X-Vault-Request:\r\n", false),
        ] {
            let front = Front::with(|listener| listener.require_request_header = true);
            let answer = front.ask(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")).await;
            assert_eq!(answer.statuses() != [412], passes, "{target} {lines} {}", answer.text);
            if !passes {
                let said = "{\"errors\":[\"missing \\\"X-Vault-Request\\\" header\"]}\n";
                assert!(answer.text.ends_with(said) && front.seen().is_empty(), "{}", answer.text);
            }
        }
    }
    let metrics = Front::with(|listener| {
        listener.require_request_header = true;
        listener.role = config::Role::MetricsOnly;
    });
    assert_ne!(metrics.ask(get("/agent/v1/metrics")).await.statuses(), [412]);
}

#[tokio::test(start_paused = true)]
async fn s23_what_changes_something_is_sent_as_json_where_pages_are_not_turned_away() {
    let body = "{\"type\":\"all\"}";
    let ask = async |method: &str, name: &str, lines: &str, body: &str, lenient: bool| {
        let front = Front::with(|listener| {
            listener.enable_quit = true;
            listener.access.lenient_control_content_type = lenient;
            listener.allowed_hosts = vec!["*".to_owned()];
        });
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request =
            format!("{method} /agent/v1/{name} HTTP/1.1\r\nHost: localhost\r\n{lines}{length}\r\n{body}");
        front.ask(request).await.statuses()
    };
    let of = |kind: &str| if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    for (kind, good) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("", false),
        ("text/plain", false),
        ("application/x-www-form-urlencoded", false),
        ("multipart/form-data; boundary=a", false),
        ("text/plain; application/json", false),
        ("application/jsonp", false),
        ("application/json\r\nContent-Type: text/plain", false),
    ] {
        let status = if good { 200 } else { 415 };
        for method in ["POST", "PUT"] {
            assert_eq!(ask(method, "cache-clear", &of(kind), body, false).await, [status], "{method} {kind}");
        }
        assert_eq!(ask("POST", "quit", &of(kind), "{}", false).await, [status], "{kind}");
        assert_eq!(ask("POST", "cache-clear", &of(kind), body, true).await, [200], "{kind}");
        assert_eq!(ask("POST", "quit", &of(kind), "{}", true).await, [200], "{kind}");
    }
    // As everybody writes it, and no page can without saying where it comes from.
    assert_eq!(ask("POST", "quit", "", "", false).await, [200]);
    for page in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        for length in ["", "Content-Length: 0\r\n"] {
            assert_eq!(ask("POST", "quit", &format!("{page}{length}"), "", false).await, [415], "{page}");
        }
    }
    assert_eq!(ask("POST", "quit", "Content-Type: text/plain\r\n", "", false).await, [415]);
    assert_eq!(ask("POST", "quit", "Transfer-Encoding: chunked\r\n\r\n0\r\n", "", false).await, [415]);
    assert_eq!(ask("GET", "quit", "", "", false).await, [405]);
    assert_eq!(ask("GET", "cache-clear", "", "", false).await, [405]);
    // Where it is not offered, nothing is asked for.
    let front = Front::with(|listener| listener.allowed_hosts = vec!["*".to_owned()]);
    let quit = "POST /agent/v1/quit HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\r\n";
    assert_eq!(front.ask(quit).await.statuses(), [404]);
}

/// `curl -d '{"type":"all"}'` sends it as a form, and upstream takes that.
#[tokio::test(start_paused = true)]
async fn s23_any_type_is_taken_where_pages_are_turned_away() {
    let front = Front::with(|listener| listener.enable_quit = true);
    let body = "{\"type\":\"all\"}";
    for (name, origin, status) in [
        ("cache-clear", "", 200),
        ("quit", "", 200),
        // A page's form says where it comes from.
        ("cache-clear", "Origin: https://evil.example\r\n", 403),
        ("cache-clear", "Origin: null\r\n", 403),
        ("cache-clear", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("quit", "Origin: https://evil.example\r\n", 403),
    ] {
        for kind in
            ["Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: text/plain\r\n", ""]
        {
            let answer = front
                .ask(format!(
                    "POST /agent/v1/{name} HTTP/1.1\r\nHost: localhost\r\n{kind}{origin}Content-Length: {}\r\n\r\n{body}",
                    body.len()
                ))
                .await;
            assert_eq!(answer.statuses(), [status], "{name} {kind} {origin} {}", answer.text);
        }
    }
}

#[tokio::test]
async fn s24_whoever_is_denied_gets_no_byte() {
    let us = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let id = |id: u32| vec![Identity::Id(id)];
    let program = std::env::current_exe().unwrap();
    let none = AllowedPeers::default;
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&program, &link).unwrap();
    for (name, peers, served) in [
        ("nobody is asked", none(), true),
        ("our user", AllowedPeers { uids: id(us), ..none() }, true),
        ("another user", AllowedPeers { uids: id(us + 1), ..none() }, false),
        ("our group", AllowedPeers { gids: id(group), ..none() }, true),
        ("another group", AllowedPeers { gids: id(group + 1), ..none() }, false),
        ("user or group", AllowedPeers { uids: id(us + 1), gids: id(group), ..none() }, true),
        ("our program", AllowedPeers { executables: vec![program.clone()], ..none() }, true),
        ("by a link", AllowedPeers { executables: vec!["/none".into(), link], ..none() }, true),
        ("another program", AllowedPeers { executables: vec!["/bin/sh".into()], ..none() }, false),
        ("another user's", AllowedPeers { uids: id(us + 1), executables: vec![program], ..none() }, false),
    ] {
        let path = folder.path().join("socket");
        let (_, counters, stop) = start(|listener| {
            listener.endpoint = Endpoint::Unix { path: path.clone(), access: SocketAccess::default() };
            listener.access.peers = peers;
        })
        .await;
        for _ in 0..2 {
            let mut client = UnixStream::connect(&path).await.unwrap();
            // Who is turned away may be gone before we have spoken.
            let _ =
                client.write_all(get("/v1/a").replace("Host", "Connection: close\r\nHost").as_bytes()).await;
            let mut heard = Vec::new();
            let _ = client.read_to_end(&mut heard).await;
            assert_eq!(heard.starts_with(b"HTTP/1.1 200"), served, "{name}");
            assert_eq!(heard.is_empty(), !served, "{name}");
        }
        let denied = if served { 0 } else { 2 };
        assert_eq!(counters.breaches(Breach::Peer), denied, "{name}");
        assert_eq!(counters.accepted.load(Relaxed), 2 - denied, "{name}");
        eventually(|| counters.connections.load(Relaxed) == 0).await;
        stop.cancel();
        eventually(|| !path.exists()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s26_a_pace_for_each_caller() {
    let front = Front::with(|listener| listener.access.rate = Some(RateLimit { per_second: 2, burst: 3 }));
    let mut client = front.connect();
    client.send(get("/v1/a").repeat(5)).await;
    let answer = client.hear_for(Duration::from_millis(1)).await;
    assert_eq!(answer.statuses(), [200, 200, 200, 429, 429], "{}", answer.text);
    assert!(!answer.closed);
    let head = answer.text.split("HTTP/1.1 429").nth(1).unwrap().to_ascii_lowercase();
    assert!(head.contains("retry-after: 1\r\n") && head.contains("see rate_limit"), "{head}");
    assert_eq!((front.seen().len(), front.counters().breaches(Breach::Rate)), (3, 2));
    // Neither a new connection nor our own endpoints are a way around it.
    assert_eq!(front.ask(get("/agent/v1/cache-clear")).await.statuses(), [429]);
    let mut other = front.connect_as(Who::User(2), 1 << 16).unwrap();
    other.send(get("/v1/a")).await;
    assert_eq!(other.hear_for(Duration::from_millis(1)).await.statuses(), [200], "another caller");
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.send(get("/v1/a").repeat(5)).await;
    assert_eq!(
        client.hear_for(Duration::from_millis(1)).await.statuses().iter().filter(|s| **s == 200).count(),
        3
    );
}

#[tokio::test]
async fn s26_on_a_socket() {
    let (address, counters, stop) = start(|listener| {
        any_port(listener);
        listener.access.rate = Some(RateLimit { per_second: 1, burst: 1 });
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let mut client = tokio::net::TcpStream::connect(tcp(&address)).await.unwrap();
        client.write_all(get("/v1/a").replace("Host", "Connection: close\r\nHost").as_bytes()).await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        statuses.push(heard[9..12].to_owned());
    }
    assert_eq!(statuses[0], "200");
    assert!(statuses.contains(&"429".to_owned()), "{statuses:?}");
    assert!(counters.breaches(Breach::Rate) >= 1);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn rules_say_what_is_passed_on() {
    for (request, lines, status) in [
        ("GET /v1/secret/data/app/x", "", 200),
        ("GET /v1/secret/data/%61pp/x/", "", 200),
        ("GET /v1/secret/data/other", "", 403),
        ("PUT /v1/secret/data/app/x", "", 403),
        ("GET /v1/secret/data/app/x?list=true", "", 403),
        ("GET /v1/secret/data/app/x", "X-Vault-Namespace: /\r\n", 200),
        ("GET /v1/secret/data/app/x", "X-Vault-Namespace: team\r\n", 403),
        ("GET /v1/data/app/x", "X-Vault-Namespace: secret/\r\n", 403),
        // Whose token it is makes no difference.
        ("GET /v1/secret/data/other", "X-Vault-Token: s.c\r\n", 403),
        ("GET /v1/secret/data/app/x", "X-Vault-Namespace: root\r\n", 200),
        ("GET /v1/secret/data/other", "X-Vault-Namespace: secret/data/app\r\n", 403),
        ("POST /v1/auth/approle/login", "", 200),
        ("POST /v1/auth/approle/login", "X-Vault-Namespace: team\r\n", 403),
        ("GET /ui", "", 403),
        ("GET /", "", 403),
        ("GET /proxy/v1/cache-clear", "", 403),
        // Ours are not the server's.
        ("GET /agent/v1/cache-clear", "", 405),
    ] {
        let rule = |methods: &[&str], path| AllowRule {
            namespaces: Vec::new(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            paths: vec![AllowedPath::parse(path).unwrap()],
        };
        let front = Front::with(|listener| {
            listener.access.rules =
                vec![rule(&["GET"], "secret/data/app/*"), rule(&["POST", "PUT"], "auth/+/login")];
        });
        let answer = front
            .ask(format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{}",
                get("/agent/v1/cache-clear")
            ))
            .await;
        assert_eq!(answer.statuses(), [status, 405], "{request} {lines} {}", answer.text);
        let ours = request.contains("/agent/");
        assert_eq!(front.seen().len(), usize::from(status == 200 && !ours), "{request} {lines}");
        assert_eq!(front.counters().breaches(Breach::Rule), u64::from(status == 403), "{request}");
        if status == 403 {
            assert!(
                answer.text.contains(
                    "{\"errors\":[\"the `allow` rules of this listener do not allow this request\"]}"
                )
            );
        }
        assert!(!answer.text.contains(OURS));
    }
}

#[test]
fn a_file_that_is_not_there_is_nobodys_program() {
    let rule = crate::peer::PeerRule::of(&AllowedPeers {
        executables: vec![PathBuf::from("/nowhere/at/all")],
        ..AllowedPeers::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _inside = runtime.enter();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let denied = rule.unwrap().admit(&ours).unwrap_err();
    assert_eq!(denied.why, "its program is not in `allowed_executables`");
}

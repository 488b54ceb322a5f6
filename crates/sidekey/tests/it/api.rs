//! The agent's own API: numbers, health, status, and a line for each request. None of it holds a secret.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Answer, Api, Process, Program, eventually, server_binary};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// The names of upstream's kind in Prometheus' format, by their first words.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn address(agent: &Process, nth: u32) -> String {
    let key = format!("Api Address {nth}: ");
    let line = agent.output().into_iter().find_map(|line| Some(line.split_once(&key)?.1.to_owned()));
    line.unwrap().trim().to_owned()
}

async fn own(api: &Api, target: &str) -> Answer {
    api.send("GET", target, &[], "").await.unwrap()
}

#[tokio::test]
async fn everything_is_told_and_no_secret_is() {
    let stage = Stage::new().await;
    let statsd = UdpSocket::bind("127.0.0.1:0").unwrap();
    statsd.set_nonblocking(true).unwrap();
    let statsite = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    statsite.set_nonblocking(true).unwrap();
    let log = stage.path("access.log");
    let socket = stage.path("agent.sock");
    let output = stage.path("color");
    let template = "template {\n contents = \"{{ with secret \\\"secret/data/app\\\" }}{{ .Data.data.color }}{{ end }}\"\n";
    let agent = stage
        .front()
        .config("listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n role = \"metrics_only\"\n}")
        .config(&format!("listener \"unix\" {{\n address = {socket:?}\n tls_disable = true\n}}"))
        .config(&format!("{template} destination = {output:?}\n}}"))
        .config(&format!("access_log {{ path = {log:?} }}"))
        .config(&format!("telemetry {{\n statsd_address = \"{}\"\n statsite_address = \"{}\"\n}}", statsd.local_addr().unwrap(), statsite.local_addr().unwrap()))
        .env("BAO_CLIENT_TIMEOUT", "60");
    let (mut agent, listener) = agent.start_listening().await.unwrap();
    let ready = async || Some(()).filter(|()| agent.output().len() > 1);
    eventually("the banner", ready).await.unwrap();
    let measured = Api::new(&address(&agent, 2), None).unwrap();
    let local = Api::new(&format!("unix://{}", socket.display()), None).unwrap();
    let is_ready = async || {
        let health = own(&listener, "/agent/v1/health").await;
        (health.status == 200).then_some(health)
    };
    let health = eventually("it is ready", is_ready).await.unwrap();
    assert_eq!((&health.json["ready"], &health.json["templates"]["rendered"]), (&json!(true), &json!(1)));
    assert_eq!(health.json["identities"][0]["logged_in"], true, "{}", health.json);
    assert_eq!(stage.read("color"), "blue");

    // What is counted.
    assert_eq!(listener.get("secret/data/app").await.unwrap().status, 200);
    assert_eq!(listener.get("nothing/here").await.unwrap().status, 404);
    assert_eq!(local.get("secret/data/app?version=CANARYQUERY").await.unwrap().status, 400);
    let login = json!({"role_id": stage.credentials.0, "secret_id": stage.credentials.1});
    for verdict in ["MISS", "HIT"] {
        assert_eq!(listener.post("auth/approle/login", &login).await.unwrap().cache(), verdict);
    }
    let numbers = text(&own(&listener, "/agent/v1/metrics?format=prometheus").await);
    for line in [
        "bao_agent_auth_success 1",
        "bao_agent_proxy_success 3",
        "bao_agent_proxy_client_error 2",
        "bao_agent_cache_hit 1",
        "sidekey_logins_total{identity=\"\"} 1",
        "sidekey_authenticated{identity=\"\"} 1",
        "sidekey_ready 1",
        "sidekey_cached_tokens 1",
        "sidekey_upstream_requests_total{part=\"auto_auth\",code=\"200\"} 1",
        "sidekey_upstream_requests_total{part=\"proxy\",code=\"404\"} 1",
        "sidekey_upstream_request_duration_seconds_count{part=\"auto_auth\"} 1",
        &format!("sidekey_template_renders_total{{destination=\"{}\"}} 1", output.display()),
    ] {
        assert!(numbers.lines().any(|told| told == line), "{line}: {numbers}");
    }
    let expiry = numbers
        .lines()
        .find_map(|line| line.strip_prefix("sidekey_token_expiry_timestamp_seconds{identity=\"\"} "));
    let expiry: u64 = expiry.unwrap().parse().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((3500..=3600).contains(&(expiry - now)), "{expiry} at {now}");

    // The other forms, and who gets what.
    let as_json = own(&measured, "/agent/v1/metrics").await;
    assert_eq!(as_json.header("content-type"), "application/json");
    let counters = as_json.json["Counters"].as_array().unwrap();
    assert!(counters.iter().any(|one| one["Name"] == "bao.agent.auth.success"), "{}", as_json.json);
    let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
    let by_accept = measured.send("GET", "/agent/v1/metrics", &accept, "").await.unwrap();
    assert_eq!(by_accept.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(own(&measured, "/agent/v1/metrics?format=xx").await.status, 400);
    assert_eq!(own(&measured, "/agent/v1/health").await.status, 200);
    for target in ["/agent/v1/status", "/agent/v1/quit", "/v1/secret/data/app", "/"] {
        let told = own(&measured, target).await;
        assert_eq!((told.status.as_u16(), text(&told).as_str()), (404, "404 page not found\n"), "{target}");
    }
    for target in ["/agent/v1/metrics", "/agent/v1/status", "/agent/v1/health"] {
        let told = listener.send("POST", target, &[], "").await.unwrap();
        assert_eq!((told.status.as_u16(), text(&told).as_str()), (405, "{\"errors\":[]}\n"), "{target}");
    }
    let status = own(&listener, "/agent/v1/status").await;
    assert_eq!(status.json["identities"][0]["method"], "approle");
    assert_eq!(status.json["templates"][0]["destination"], output.display().to_string());
    assert_eq!(status.json["upstream"]["reachable"], true);
    let table = told_by(&["status", &format!("-address=unix://{}", socket.display())]).await;
    assert_eq!(table.0, Some(0), "{}", table.1);
    for words in ["approle", "LOGGED IN", "yes", &output.display().to_string(), "metrics_only", "reachable"] {
        assert!(table.1.contains(words), "{words}: {}", table.1);
    }
    let raw = told_by(&["status", "-json", &format!("-address={}", address(&agent, 1))]).await.1;
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap()["mode"], "agent");

    // A file that was moved away is made anew.
    listener.get("auth/token/lookup/CANARYPATH").await.unwrap();
    let moved = atomic_file::move_aside(&log).unwrap();
    agent.signal(Signal::HUP);
    eventually("the log is opened anew", async || log.exists().then_some(())).await.unwrap();
    listener.get("secret/data/app").await.unwrap();
    agent.signal(Signal::USR1);
    agent.says("[C] 'bao.agent.auth.success'").await.unwrap();
    let heard = eventually("statsd is told", async || {
        let mut datagram = [0; 2000];
        statsd
            .recv(&mut datagram)
            .ok()
            .map(|length| String::from_utf8_lossy(&datagram[..length]).into_owned())
    });
    let heard = heard.await.unwrap();
    assert!(heard.contains("bao.agent.proxy.success:"), "{heard}");
    let sent = eventually("statsite is told", async || statsite.accept().ok()).await.unwrap();
    let mut streamed = String::new();
    sent.0.set_nonblocking(false).unwrap();
    std::io::BufReader::new(sent.0).read_to_string(&mut streamed).unwrap();
    assert!(streamed.contains("sidekey.authenticated:1|g\n"), "{streamed}");
    let token = stage.read("token");
    let lookup = stage.server.api(Some(&token)).unwrap().get("auth/token/lookup-self").await.unwrap();
    agent.stop().await.unwrap();

    // The log: what was asked, by whom, and nothing of it.
    let lines: Vec<Value> = (std::fs::read_to_string(&moved).unwrap() + &stage.read("access.log"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |path: &str, status: u64| {
        let found = lines.iter().find(|line| line["path"] == path && line["status"] == status);
        found.unwrap_or_else(|| panic!("no {status} of {path}: {lines:#?}"))
    };
    let read = find("/v1/secret/data/app", 200);
    assert_eq!((&read["method"], &read["cache"]), (&json!("GET"), &json!("miss")));
    assert_eq!((&read["peer"]["ip"], &read["token"]), (&json!("127.0.0.1"), &json!({"auto_auth": null})));
    assert!(read["bytes"].as_u64() > Some(100) && read["duration_ms"].is_number(), "{read}");
    assert_eq!(read["request_id"].as_str().map(str::len), Some(36), "{read}");
    let by_socket = find("/v1/secret/data/app", 400);
    assert_eq!(by_socket["peer"]["pid"], std::process::id(), "{by_socket}");
    assert!(by_socket["peer"]["exe"].as_str().is_some_and(|exe| exe.contains("it-")), "{by_socket}");
    let logins: Vec<&Value> = lines.iter().filter(|line| line["path"] == "/v1/auth/approle/login").collect();
    assert_eq!((&logins[0]["cache"], &logins[1]["cache"]), (&json!("miss"), &json!("hit")));
    assert!(logins[0].get("token").is_none(), "{}", logins[0]);
    find("/agent/v1/status", 200);

    let all = [
        numbers,
        text(&as_json),
        text(&health),
        text(&status),
        table.1,
        raw,
        heard,
        streamed,
        std::fs::read_to_string(&moved).unwrap() + &stage.read("access.log"),
        agent.output().join("\n"),
    ];
    let accessor = lookup.json["data"]["accessor"].as_str().unwrap();
    let secrets =
        [token.as_str(), accessor, "CANARYQUERY", "CANARYPATH", &stage.credentials.0, &stage.credentials.1];
    for (secret, told) in secrets.iter().flat_map(|secret| all.iter().map(move |told| (secret, told))) {
        assert!(!secret.is_empty() && !told.contains(secret), "{secret} in {told}");
    }
}

/// What a command prints, and its exit code.
async fn told_by(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(sidekey()).args(arguments).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn the_names_are_those_of_the_real_agent_and_proxy() {
    let stage = Stage::new().await;
    for mode in ["agent", "proxy"] {
        let mut told = Vec::new();
        for (binary, folder) in [(server_binary().unwrap(), "theirs"), (sidekey().to_owned(), "ours")] {
            let folder = stage.path(&format!("{mode}-{folder}"));
            atomic_file::create_folders(&folder).unwrap();
            let program = if mode == "agent" {
                Program::agent(&binary, &folder)
            } else {
                Program::proxy(&binary, &folder)
            };
            let port = testkit::free_pair().unwrap();
            let program = program
                .server(&stage.server.address())
                .approle(&stage.credentials, &["token"])
                .unwrap()
                .config("cache {}\napi_proxy { use_auto_auth_token = true }\ntelemetry { disable_hostname = true }")
                .config(&format!("listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n}}"))
                .env("BAO_CLIENT_TIMEOUT", "60");
            let mut process = program.start().unwrap();
            let api = Api::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
            let sink = folder.join("token");
            eventually("a token", async || sink.exists().then_some(())).await.unwrap();
            let login = json!({"role_id": stage.credentials.0, "secret_id": stage.credentials.1});
            for _ in 0..2 {
                api.post("auth/approle/login", &login).await.unwrap();
            }
            api.get("nothing/here").await.unwrap();
            let metrics = format!("/{mode}/v1/metrics");
            let numbers = text(&own(&api, &format!("{metrics}?format=prometheus")).await);
            let as_json = own(&api, &metrics).await.json;
            // Theirs end with the clock's ten seconds, so what was counted in one depends on when this runs.
            let counters: BTreeSet<String> = as_json["Counters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| {
                    format!("{} {:?}", one["Name"], one.as_object().unwrap().keys().collect::<Vec<_>>())
                })
                .collect();
            let keys: Vec<String> = as_json.as_object().unwrap().keys().cloned().collect();
            told.push((numbers, counters, keys));
            process.stop().await.unwrap();
        }
        let prefix = if mode == "agent" { "bao_" } else { "vault_" };
        let (theirs, ours) = (&told[0], &told[1]);
        let all = names(&theirs.0, prefix);
        let wanted: BTreeSet<String> =
            all.iter().filter(|name| !name.contains("_runtime_")).cloned().collect();
        assert!(wanted.len() >= 4, "{wanted:?}");
        assert!(names(&ours.0, prefix).is_superset(&wanted), "{wanted:?} {}", ours.0);
        assert_eq!(theirs.2, ours.2);
        assert!(ours.1.is_superset(&theirs.1), "{mode}: {:?} {:?}", theirs.1, ours.1);
    }
}

#[tokio::test]
async fn health_follows_the_token_and_status_says_why() {
    let stage = Stage::new().await;
    let program = Program::proxy(sidekey(), stage.folder.path())
        .server(&stage.server.address())
        .approle(&stage.credentials, &["token"])
        .unwrap()
        .config("api_proxy { use_auto_auth_token = true }")
        .listener("require_request_header = true")
        .env("NOTIFY_SOCKET", stage.path("notify").to_str().unwrap());
    let systemd = UnixDatagram::bind(stage.path("notify")).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let heard = || {
        let mut message = [0; 200];
        let length = systemd.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    let told = async |words: &str| {
        let is_told = async || heard().filter(|message| message.contains(words));
        eventually(words, is_told).await.unwrap()
    };
    let (mut proxy, listener) = program.start_listening().await.unwrap();
    let marked = [("x-vault-request", "true")];
    let ask = async |target: &str| listener.send("GET", target, &marked, "").await.unwrap();
    assert_eq!(own(&listener, "/proxy/v1/health").await.status, 412, "S22 covers it");
    let ready = async || (ask("/proxy/v1/health").await.status == 200).then_some(());
    eventually("it is ready", ready).await.unwrap();
    assert_eq!(ask("/proxy/v1/metrics?format=prometheus").await.status, 400, "no telemetry stanza");
    assert!(told("READY=1").await.contains("STATUS=ready"));
    put(&stage.path("secret-id"), "wrong");
    // The token is taken away, and the credentials do not work any more.
    let token = stage.read("token");
    stage.root.write("auth/token/revoke", &json!({"token": token})).await.unwrap();
    ask("/v1/secret/data/app").await;
    let lost = async || {
        let health = ask("/proxy/v1/health").await;
        (health.status == 503).then_some(health)
    };
    let health = eventually("it is not ready", lost).await.unwrap();
    assert_eq!((&health.json["ready"], &health.json["summary"]), (&json!(false), &json!("no token yet")));
    assert_eq!(ask("/proxy/v1/health?live").await.status, 200);
    assert_eq!(ask("/proxy/v1/health?ready").await.status, 503);
    let refused = async || {
        let status = ask("/proxy/v1/status").await.json;
        (status["identities"][0]["last_error"] == "refused").then_some(status)
    };
    let status = eventually("it says why", refused).await.unwrap();
    assert_eq!(status["mode"], "proxy");
    let table = told_by(&["status", &format!("-address={}", address(&proxy, 1))]).await;
    assert_eq!(table.0, Some(1), "{}", table.1);
    assert!(table.1.contains("no token yet") && table.1.contains("NO"), "{}", table.1);
    proxy.stop().await.unwrap();
    told("STOPPING=1").await;
    let nobody = told_by(&["status", "-address=http://127.0.0.1:1"]).await;
    assert_eq!(nobody.0, Some(1));
    assert!(nobody.1.contains("no status from") && nobody.1.contains("connection refused"), "{}", nobody.1);
}

//! curl, in each version of HTTP that it speaks, and with what one does by hand.

use serde_json::Value;
use tokio::process::Command;

use super::{Front, same};
use crate::put;

/// An answer as curl tells it.
#[derive(Debug)]
struct Told {
    /// curl's own exit code; 0 whatever the status is.
    code: i32,
    /// `200 1.1`: status and version.
    status: String,
    /// How many bytes of a body it sent, and over how many new connections.
    sent: usize,
    connections: usize,
    body: String,
    /// What it tells of the way there, with `-v`.
    story: String,
}

/// What is asked on every way: target, and curl's words.
const REQUESTS: &[(&str, &[&str])] = &[
    ("/v1/secret/data/AREA/app", &["-d", "{\"data\":{\"color\":\"blue\"}}", "-o", "/dev/null"]),
    ("/v1/secret/data/AREA/app", &["--json", "{\"data\":{\"color\":\"red\"},\"options\":{\"cas\":9}}"]),
    ("/v1/secret/metadata/AREA", &["-X", "LIST"]),
    ("/v1/secret/metadata/AREA/", &["-X", "LIST"]),
    ("/v1/secret/metadata/AREA", &["-X", "SCAN"]),
    ("/v1/secret/metadata/AREA", &["-G", "-d", "list=true"]),
    ("/v1/secret/metadata/AREA", &["-G", "--data-urlencode", "list=true", "--data-urlencode", "after=ü &="]),
    ("/v1/plain/AREA/a%20b/%C3%BCn%C3%AF", &["-X", "PUT", "-d", "{\"n\":1}"]),
    ("/v1/plain/AREA/a%20b/ünï", &[]),
    ("/v1/plain/AREA/one%2Ftwo", &["-d", "{\"n\":2}"]),
    ("/v1/plain/AREA/one/two", &[]),
    ("/v1/plain/AREA/per%25cent?x=%20", &["-d", "{\"n\":3}"]),
    ("/v1/plain/AREA?list=true", &["--compressed"]),
    ("/v1/plain/AREA/a+b;c~d'e()", &["-T", "SMALL_FILE"]),
    ("/v1/plain/AREA/a%2Bb%3Bc%7Ed%27e%28%29", &[]),
    ("/v1/plain/AREA/one/two", &["--range", "0-10"]),
    ("/v1/plain/AREA/one/two", &["-I"]),
    ("/v1/plain/AREA/none", &["-I"]),
    ("/v1/plain/AREA/none", &[]),
    ("/v1/plain/AREA/none", &["--fail"]),
    ("/v1/plain/AREA/one/two", &["-H", "X-Vault-Token: s.bogus"]),
    ("/v1/plain/AREA/one/two", &["-H", "X-Vault-Token:", "--oauth2-bearer", "s.bogus"]),
    ("/v1/plain/AREA/one/two", &["-A", "", "-H", "Accept:"]),
    ("/v1/plain/AREA/one/two", &["--cookie", "a=b", "--referer", "http://elsewhere.example/"]),
    ("/v1/plain/AREA/one/two", &["-X", "DELETE"]),
    ("/v1/plain/AREA/bad", &["-d", "{\"n\":"]),
    ("/v1/plain/AREA/bad", &["-X", "POST"]),
    ("/v1/plain/AREA/large", &["-T", "LARGE_FILE"]),
    ("/v1/plain/AREA/large", &[]),
    ("/v1/plain/AREA/chunked", &["-X", "PUT", "-T", "-"]),
    ("/v1/plain/AREA/chunked", &[]),
    ("/v1/own/AREA/team", &["-H", "X-Vault-Namespace: team", "-d", "{\"of\":\"team\"}"]),
    ("/v1/own/AREA/team", &["-H", "X-Vault-Namespace: /team/"]),
    ("/v1/team/own/AREA/team", &[]),
    ("/v1/own/AREA/team", &["-H", "X-Vault-Namespace: none"]),
    ("/v1/sys/health", &["-I"]),
    ("/v1/sys/mounts?help=1", &[]),
    ("/v1/sys/wrapping/unwrap", &["-d", "{\"token\":\"s.none\"}"]),
    ("/v1/auth/approle/login", &["-d", "{\"role_id\":\"none\",\"secret_id\":\"wrong\"}"]),
    ("/v1/nowhere", &[]),
    ("/v1/plain/AREA/one", &["-X", "PATCH", "-H", "Content-Type: application/merge-patch+json", "-d", "{}"]),
    ("/v1/plain/AREA/one", &["-X", "BREW"]),
    ("/v1/plain/AREA/one", &["-X", "OPTIONS"]),
];

impl Front {
    /// One or several requests by one curl.
    async fn curl(&self, words: &[&str], body: &str) -> Told {
        let mut command: Command = self.command("curl");
        command.args(["-q", "-sS", "-v", "--max-time", "60", "--cacert", self.ca.to_str().unwrap()]);
        command.args(["-w", "\n%{http_code} %{http_version} %{size_upload}"]).args(words);
        let input = self.stage.path("stdin");
        put(&input, body);
        command.stdin(std::fs::File::open(input).unwrap());
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, last) = said.rsplit_once('\n').unwrap();
        let (status, sent) = last.rsplit_once(' ').unwrap();
        let story = String::from_utf8_lossy(&output.stderr).into_owned();
        Told {
            code: output.status.code().unwrap(),
            status: status.to_owned(),
            sent: sent.parse().unwrap(),
            connections: story.matches("* Connected to").count(),
            body: body.to_owned(),
            story,
        }
    }

    /// Everything in [`REQUESTS`], a line of outcome for each.
    async fn requests(&self, area: &str, base: &str, words: &[&str], token: Option<&str>) -> Vec<String> {
        let (small, large) = (self.stage.path("small"), self.stage.path("large"));
        let mut outcomes = Vec::new();
        let mut everything = String::new();
        for (target, more) in REQUESTS {
            let url = format!("{base}{}", target.replace("AREA", area));
            let token = token.map(|token| format!("X-Vault-Token: {token}"));
            let mut all = words.to_vec();
            // A header given twice is sent twice: the request's own goes instead.
            if !more.iter().any(|word| word.starts_with("X-Vault-Token")) {
                all.extend(token.iter().flat_map(|token| ["-H", token.as_str()]));
            }
            all.extend(more.iter().map(|word| match *word {
                "SMALL_FILE" => small.to_str().unwrap(),
                "LARGE_FILE" => large.to_str().unwrap(),
                word => word,
            }));
            all.push(&url);
            let told = self.curl(&all, "{\"n\":\"chunked\"}").await;
            let status = told.status.split(' ').next().unwrap();
            let body = steady(&told.body, more.contains(&"-I")).replace(area, "AREA");
            outcomes.push(format!("{target} {more:?}: {} {status} {body}", told.code));
            everything.push_str(&told.body);
        }
        self.is_silent(&everything).await;
        outcomes
    }
}

/// A body without what is new in each answer. Of a HEAD the body is its headers: of these, those of the server.
fn steady(body: &str, head: bool) -> String {
    if head {
        let kept = ["content-type", "cache-control"];
        let lines = body.lines().map(str::to_lowercase);
        let mut kept: Vec<_> = lines.filter(|line| kept.iter().any(|name| line.starts_with(name))).collect();
        kept.sort();
        return kept.join(", ");
    }
    let Ok(mut json) = serde_json::from_str::<Value>(body) else { return body.trim().to_owned() };
    if let Some(object) = json.as_object_mut() {
        object.remove("request_id");
    }
    json.to_string()
}

/// A secret of 2 MB in a file `large`, which is more than the listener `small` takes. Gives its text.
fn large(front: &Front) -> String {
    let values: Vec<_> = (0..4).map(|n| format!("\"k{n}\":\"{}\"", "x".repeat(500_000))).collect();
    let text = format!("{{{}}}", values.join(","));
    put(&front.stage.path("large"), &text);
    text
}

#[tokio::test]
async fn curl_by_every_version() {
    let mut front = Front::start("agent").await;
    large(&front);
    put(&front.stage.path("small"), "{\"n\":4}");
    let server = front.stage.server.address();
    let socket = front.socket.to_str().unwrap();
    // On a plain listener `--http2` asks for an upgrade to it; that is passed over.
    let ways: [(&str, &str, &[&str], &str); 6] = [
        ("by-1.1", &front.plain, &["--http1.1"], "1.1"),
        ("by-1.0", &front.plain, &["--http1.0"], "1"),
        ("by-upgrade", &front.plain, &["--http2"], "1.1"),
        ("by-unix", "http://localhost", &["--http1.1", "--unix-socket", socket], "1.1"),
        ("by-tls", &front.tls, &["--http1.1", "--tls-max", "1.2"], "1.1"),
        ("by-h2", &front.tls, &["--http2", "--tlsv1.3"], "2"),
    ];
    let mut right = front.requests("directly", &server, &["--http1.1"], Some(&front.token)).await;
    for (area, base, words, version) in ways {
        let mut through = front.requests(area, base, words, None).await;
        // curl itself sends no body of unknown length in HTTP/1.0.
        if version == "1" {
            through.retain(|line| !line.starts_with("/v1/plain/AREA/chunked"));
            let all = right.clone();
            right.retain(|line| !line.starts_with("/v1/plain/AREA/chunked"));
            same(&right, &through);
            right = all;
        } else {
            same(&right, &through);
        }
        let told = front.curl(&[words, &[&format!("{base}/v1/plain/steady")]].concat(), "").await;
        assert_eq!(told.status, format!("200 {version}"), "{told:?}");
    }
    front.program.stop().await.unwrap();
}

#[tokio::test]
async fn curl_uploads() {
    let mut front = Front::start("proxy").await;
    let text = large(&front);
    let file = front.stage.path("large");
    let file = file.to_str().unwrap();
    let (plain, small) = (format!("{}/v1/plain/up", front.plain), format!("{}/v1/plain/up", front.small));
    // Without the invitation curl would wait for half a minute.
    let expect = ["-T", file, "-H", "Expect: 100-continue", "--expect100-timeout", "30"];
    let told = front.curl(&[&expect[..], &[&plain]].concat(), "").await;
    assert!(told.story.contains("< HTTP/1.1 100 Continue"), "{told:?}");
    assert_eq!((told.status.as_str(), told.sent), ("204 1.1", text.len()));
    let told = front.curl(&[&expect[..], &[&small]].concat(), "").await;
    assert!(!told.story.contains("100 Continue") && told.body.contains("max_request_body"), "{told:?}");
    assert_eq!((told.status.as_str(), told.sent), ("413 1.1", 0));
    // One that does not ask first hears it while it sends.
    for words in [["-T", file], ["-T", "-"]] {
        let told = front.curl(&[&words[..], &["-H", "Expect:", &small]].concat(), &text).await;
        assert!(told.status == "413 1.1" && told.body.contains("max_request_body"), "{told:?}");
        let told = front.curl(&[&words[..], &["-H", "Expect:", &plain]].concat(), &text).await;
        assert!(told.status == "204 1.1" && told.sent >= text.len(), "{told:?}");
    }
    let told = front.curl(&[&plain], "").await;
    assert!(told.body.contains(&text[1..text.len() - 1]), "{}", told.status);
    // Nor is it lost on HTTP/2, where nobody can close half of a connection.
    let too_large = front.stage.path("too-large");
    put(&too_large, &"0".repeat(34_000_000));
    let tls = format!("{}/v1/plain/up", front.tls);
    for version in ["--http2", "--http1.1"] {
        let told = front.curl(&[version, "-T", too_large.to_str().unwrap(), "-H", "Expect:", &tls], "").await;
        assert!(told.status.starts_with("413") && told.body.contains("max_request_body"), "{told:?}");
    }
    front.program.stop().await.unwrap();
}

#[tokio::test]
async fn curl_keeps_connections_and_gets_plain_refusals() {
    let mut front = Front::start("proxy").await;
    let many = |base: &str| format!("{base}/v1/plain/steady?n=[1-50]");
    let one = |base: &str| format!("{base}/v1/plain/steady");
    let (plain, tls) = (front.plain.clone(), front.tls.clone());
    for (words, url, status, connections) in [
        (&["--http1.1"][..], many(&plain), "200 1.1", 1..=1),
        (&["--http1.1", "-Z"], many(&plain), "200 1.1", 2..=50),
        (&["--http1.1"], many(&tls), "200 1.1", 1..=1),
        (&["--http2"], many(&tls), "200 2", 1..=1),
        (&["--http2", "-Z"], many(&tls), "200 2", 1..=1),
    ] {
        let told = front.curl(&[words, &["-o", "/dev/null", &url]].concat(), "").await;
        let answers = format!("{}\n{}", told.body, told.status);
        assert_eq!(answers.matches(status).count(), 50, "{words:?}: {answers}");
        assert!(connections.contains(&told.connections), "{words:?}: {}", told.connections);
    }

    let upgrade =
        ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"];
    let upgrade = [&upgrade[..], &["-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]].concat();
    let other = plain.replace("http:", "https:");
    for (words, url, code, status, text) in [
        // A path that is no event stream does not become one.
        (&upgrade[..], one(&plain), 0, "200 1.1", "\"n\":1"),
        (&["--path-as-is"], format!("{plain}/v1/plain/x/../steady"), 0, "400 1.1", "a dot segment"),
        (&["--path-as-is"], format!("{plain}/v1/plain/x/%2e%2e/steady"), 0, "400 1.1", "a dot segment"),
        (&[], format!("{plain}/v1/plain/steady?x=%zz"), 0, "400 1.1", "a bad escape"),
        (&[], format!("{plain}/v1/plain//steady"), 0, "307 1.1", ""),
        (&["-L"], format!("{plain}/v1/plain//steady"), 0, "200 1.1", "\"n\":1"),
        (&["-H", "Origin: http://elsewhere.example"], one(&plain), 0, "403 1.1", "web pages"),
        (&["-H", "Host: elsewhere.example"], one(&plain), 0, "421 1.1", "allowed_hosts"),
        (&["-H", "Connection: close, TE", "-H", "TE: trailers"], one(&plain), 0, "200 1.1", "\"n\":1"),
        (&["-x", &plain], "http://localhost/v1/plain/steady".into(), 0, "200 1.1", "\"n\":1"),
        (&["-x", &plain], "http://elsewhere.example/v1/plain/steady".into(), 0, "421 1.1", "allowed_hosts"),
        (&["-p", "-x", &plain], "http://localhost/v1/plain/steady".into(), 56, "000 0", ""),
        (&[], one(&other), 35, "000 0", ""),
    ] {
        let told = front.curl(&[words, &["--http1.1", &url]].concat(), "").await;
        assert_eq!((told.code, told.status.as_str()), (code, status), "{words:?}: {told:?}");
        assert!(told.body.contains(text), "{words:?}: {told:?}");
    }
    // HTTP/2 without TLS: it is answered with 505, which curl cannot read then.
    let told = front.curl(&["--http2-prior-knowledge", &one(&plain)], "").await;
    assert!(told.code != 0 && told.code != 28 && told.status.starts_with("000"), "{told:?}");
    front.program.stop().await.unwrap();
}

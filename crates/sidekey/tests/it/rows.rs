//! The rules of docs/listener.md, each by its id, on real sockets: raw bytes go to the program, and another request close
//! behind them. Once it stands before a server that keeps every byte it gets, once before the real one.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use testkit::{Api, Process, Program};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use self::recorder::{ACCESSOR, HOP, OURS, Recorder};
use self::table::{Becomes, Door, LISTENERS, SECOND, SLOW, get, hello, post, rows};
use crate::{Stage, put, sidekey};

mod recorder;
mod table;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(8);

/// What stands behind the program.
enum Behind {
    Recorder(Recorder),
    /// Counted by the program itself.
    Server(Api),
}

impl Behind {
    /// How many requests of clients have come to it.
    async fn reached(&self) -> usize {
        match self {
            Self::Recorder(recorder) => recorder.seen().len(),
            Self::Server(metrics) => {
                let answer = metrics.send("GET", "/agent/v1/metrics?format=prometheus", &[], "").await;
                let text = String::from_utf8(answer.unwrap().body).unwrap();
                let lines = text
                    .lines()
                    .filter(|line| line.starts_with("sidekey_upstream_requests_total{part=\"proxy\""));
                lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
            }
        }
    }
}

/// The program with all its listeners.
struct Front {
    agent: Process,
    behind: Behind,
    folder: tempfile::TempDir,
    places: Vec<String>,
    /// What nobody may get to see.
    secrets: Vec<String>,
}

impl Front {
    /// `program` knows its server and how to log in.
    async fn start(program: Program, folder: tempfile::TempDir) -> Self {
        let path = |name: &str| folder.path().join(name);
        for name in ["localhost", "client"] {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            put(&path(&format!("{name}.pem")), &made.cert.pem());
            put(&path(&format!("{name}.key")), &made.signing_key.serialize_pem());
        }
        let mut program = program.config(
            "api_proxy { use_auto_auth_token = true }\ntelemetry { prometheus_retention_time = \"1h\" }",
        );
        for keys in LISTENERS {
            program = program.listener(keys);
        }
        program = program.config(&format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_cert_file = {:?}\n tls_key_file = {:?}\n \
             tls_client_ca_file = {:?}\n tls_require_and_verify_client_cert = true\n}}",
            path("localhost.pem"),
            path("localhost.key"),
            path("client.pem"),
        ));
        let stranger = rustix::process::geteuid().as_raw() + 1;
        for (name, keys) in [("own.sock", ""), ("denied.sock", &format!("allowed_uids = [{stranger}]"))] {
            program = program.config(&format!(
                "listener \"unix\" {{\n address = {:?}\n tls_disable = true\n socket_mode = \"0600\"\n {keys}\n}}",
                path(name)
            ));
        }
        let mut agent = program.start().unwrap();
        agent.says("token written").await.unwrap();
        let mut places = Vec::new();
        for number in 1..=LISTENERS.len() + 1 {
            let line = agent.says(&format!("Api Address {number}: ")).await.unwrap();
            places.push(line.split("://").nth(1).unwrap().trim().to_owned());
        }
        let metrics = Api::new(&format!("http://{}", places[Door::Metrics as usize]), None).unwrap();
        Self { agent, behind: Behind::Server(metrics), folder, places, secrets: Vec::new() }
    }

    async fn connect(&self, door: Door) -> TcpStream {
        TcpStream::connect(&self.places[door as usize]).await.unwrap()
    }

    /// What comes back for these bytes until the program closes.
    async fn ask(&self, id: &str, door: Door, bytes: &[u8]) -> Answer {
        let answer = match door {
            Door::Own | Door::Denied => {
                let name = if matches!(door, Door::Own) { "own.sock" } else { "denied.sock" };
                talk(id, UnixStream::connect(self.folder.path().join(name)).await.unwrap(), bytes).await
            }
            door => talk(id, self.connect(door).await, bytes).await,
        };
        let text = &answer.text;
        assert!(self.secrets.iter().all(|secret| !text.contains(secret)), "{id}: a secret is in {text}");
        answer
    }

    /// Every row of the table, one after the other; all that are wrong are told together.
    async fn walk(&self) {
        let mut wrong = Vec::new();
        for row in rows() {
            if matches!((row.becomes, &self.behind), (Becomes::Recorded(_), Behind::Server(_))) {
                continue;
            }
            let (statuses, wanted) = match row.becomes {
                Becomes::Passed(status) | Becomes::Recorded(status) => (vec![status, 200], 2),
                Becomes::PassedLast(status) => (vec![status], 1),
                Becomes::Refused(status) => (vec![status, 200], 1),
                Becomes::Closed(status) => (vec![status], 0),
                Becomes::Denied => (vec![], 0),
            };
            let before = self.behind.reached().await;
            let bytes = [row.bytes.as_bytes(), SECOND.as_bytes()].concat();
            let answer = self.ask(row.id, row.door, &bytes).await;
            let reached = self.behind.reached().await - before;
            if answer.statuses() != statuses || reached != wanted {
                wrong.push(format!("{}: {reached} reached the server; {}", row.id, answer.text));
            }
            let Behind::Recorder(recorder) = &self.behind else { continue };
            let seen = recorder.seen().split_off(before);
            // The second one is the last, and is all of its request.
            let (second, first) = match seen.split_last() {
                Some((last, rest)) if statuses.len() == 2 => (Some(last), rest),
                _ => (None, &seen[..]),
            };
            if !second.is_none_or(|(_, text)| text.starts_with("get /v1/secret/data/second http/1.1\r\n")) {
                wrong.push(format!("{}: the second request became {second:?}", row.id));
            }
            for (connection, text) in first {
                let words = row.sent.iter().map(|words| words.replace("OURS", OURS));
                let mut words = words.map(|words| match words.strip_prefix('!') {
                    Some(words) => !text.contains(words),
                    None => text.contains(&words),
                });
                if !words.all(|fits| fits) || text.contains("/second") {
                    wrong.push(format!("{}: the server was sent {text}", row.id));
                }
                // What has answered badly is not asked again.
                let bad = matches!(row.becomes, Becomes::Recorded(502));
                if bad && second.is_some_and(|(other, _)| other == connection) {
                    wrong.push(format!("{}: the connection was used again", row.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }

    /// S15 to S17: who is slow is sent away, in his time. All at once, because each waits.
    async fn slow_ones(&self) {
        let before = self.behind.reached().await;
        let one = |(id, bytes, drip, statuses, least): &'static table::Slow| async move {
            let began = Instant::now();
            let mut stream = self.connect(Door::Slow).await;
            stream.write_all(bytes.as_bytes()).await.unwrap();
            for byte in drip.bytes() {
                sleep(Duration::from_millis(300)).await;
                // He may have been sent away by now.
                let _ = stream.write_all(&[byte]).await;
            }
            let answer = talk(id, stream, b"").await;
            assert_eq!(answer.statuses(), *statuses, "{id}: {}", answer.text);
            // The clocks of two programs.
            assert!(
                began.elapsed() + Duration::from_millis(50) >= *least,
                "{id}: after {:?}",
                began.elapsed()
            );
        };
        futures_util::future::join_all(SLOW.iter().map(one)).await;
        assert_eq!(self.behind.reached().await - before, 1, "S17 alone was a whole request");
    }

    /// S13, S18 and S19: one too many is turned away, the others are served.
    async fn one_too_many(&self) {
        for (id, door, words) in [
            ("S13 all bodies together", Door::Main, "max_buffered_bodies"),
            ("S19 requests", Door::Busy, "see max_requests\""),
            ("S19 requests of one client", Door::BusyClient, "see max_requests_per_client"),
        ] {
            let before = self.behind.reached().await;
            let body = format!("{:1999}", "{\"data\":{\"a\":\"b\"}}");
            let half = post("Content-Length: 2000\r\nConnection: close", &body);
            let (mut one, mut other) = (self.connect(door).await, self.connect(door).await);
            for stream in [&mut one, &mut other] {
                let _ = stream.write_all(half.as_bytes()).await;
            }
            let (refused, served) = tokio::select! {
                refused = talk(id, &mut one, b"") => (refused, other),
                refused = talk(id, &mut other, b"") => (refused, one),
            };
            assert_eq!(refused.statuses(), [503], "{id}: {}", refused.text);
            assert!(refused.text.contains(words), "{id}: {}", refused.text);
            assert!(refused.text.to_lowercase().contains("retry-after: 1"), "{id}: {}", refused.text);
            assert_eq!(talk(id, served, b" ").await.statuses(), [200], "{id}");
            assert_eq!(self.behind.reached().await - before, 1, "{id}");
        }
        // One that is idle makes room, one that is busy does not.
        let idle = get("/v1/secret/data/first");
        let busy = post("Content-Length: 11\r\nExpect: 100-continue\r\nConnection: close", "");
        for (id, door, bytes, begun, newcomer, rest) in [
            ("S18 connections", Door::Few, &idle, 200, &[200][..], &[][..]),
            ("S18 connections of one client, idle", Door::Lone, &idle, 200, &[200], &[]),
            ("S18 connections of one client, busy", Door::Lone, &busy, 100, &[], &[200]),
        ] {
            let mut here = self.connect(door).await;
            here.write_all(bytes.as_bytes()).await.unwrap();
            let mut some = Vec::new();
            timeout(LONG, here.read_buf(&mut some)).await.unwrap().unwrap();
            assert_eq!(Answer::of(&some).statuses(), [begun], "{id}");
            assert_eq!(self.ask(id, door, SECOND.as_bytes()).await.statuses(), newcomer, "{id}");
            assert_eq!(talk(id, here, b"{\"data\":{}}").await.statuses(), rest, "{id}");
        }
    }

    /// S24 and S25: the file of a socket, and TLS.
    async fn sockets(&self) {
        let mode = std::fs::metadata(self.folder.path().join("own.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "S24");
        let before = self.behind.reached().await;
        // Type of the record that comes back, and of an alert what it says: 70 is `protocol_version`.
        for (id, minor, first) in [("S25 TLS 1.1", 2, &[21, 3, 3, 0, 2, 2, 70][..]), ("TLS 1.2", 3, &[22])] {
            let mut stream = self.connect(Door::Tls).await;
            stream.write_all(&hello(minor)).await.unwrap();
            let mut said = vec![0; first.len()];
            timeout(LONG, stream.read_exact(&mut said)).await.unwrap().unwrap();
            assert_eq!(said, first, "{id}");
        }
        let plain = self.ask("S25 no TLS", Door::Tls, SECOND.as_bytes()).await;
        assert_eq!(plain.statuses(), [400], "S25 no TLS: {}", plain.text);
        let path = |name: &str| self.folder.path().join(name);
        let identity = (vault::Pem::File(path("client.pem")), vault::Pem::File(path("client.key")));
        let stranger = (vault::Pem::File(path("localhost.pem")), vault::Pem::File(path("localhost.key")));
        for (id, identity, status) in [
            ("S25 no client certificate", None, None),
            ("S25 a stranger's", Some(stranger), None),
            ("S25", Some(identity), Some(200)),
        ] {
            assert_eq!(self.behind.reached().await, before, "{id}");
            let tls = vault::TlsSettings {
                roots: vault::Roots::File(path("localhost.pem")),
                identity,
                server_name: Some("localhost".into()),
                verify: vault::Verify::Yes,
            };
            let address = format!("https://{}", self.places[Door::Tls as usize]).parse().unwrap();
            let settings = vault::ClientSettings { tls, ..vault::ClientSettings::new(address) };
            let client = vault::Client::new(&settings).unwrap().with_retry(vault::RetryPolicy::Never);
            let request = vault::Request::new(http::Method::GET, "secret/data/first");
            let answer = vault::Upstream::send(&client, request).await;
            assert_eq!(answer.ok().map(|answer| answer.status.as_u16()), status, "{id}");
        }
    }

    /// Everything, and the end by S23.
    async fn test(mut self) {
        self.walk().await;
        self.slow_ones().await;
        self.one_too_many().await;
        self.sockets().await;
        let before = self.behind.reached().await;
        let answer =
            self.ask("S26", Door::Rate, (get("/v1/secret/data/first").repeat(6) + SECOND).as_bytes()).await;
        let statuses = answer.statuses();
        let served = statuses.iter().filter(|status| **status == 200).count();
        assert!(statuses.len() == 7 && statuses[0] == 200 && statuses.contains(&429), "S26: {statuses:?}");
        assert_eq!(self.behind.reached().await - before, served, "S26");
        let quit = "POST /agent/v1/quit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 2\r\n\r\n{}";
        assert_eq!(self.ask("S23 quit", Door::Control, quit.as_bytes()).await.statuses(), [200], "S23 quit");
        assert_eq!(self.agent.ended().await.unwrap().code(), Some(0), "S23 quit");
    }
}

/// What came back until the program closed.
struct Answer {
    text: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        Self { text: String::from_utf8_lossy(bytes).into_owned() }
    }

    fn statuses(&self) -> Vec<u16> {
        let starts = self.text.match_indices("HTTP/1.");
        starts.filter_map(|(at, _)| self.text.get(at + 8..at + 12)?.strip_prefix(' ')?.parse().ok()).collect()
    }
}

async fn talk(id: &str, mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Answer {
    // Whoever is refused early may not be read to the end.
    let _ = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    let closed = timeout(LONG, stream.read_to_end(&mut heard)).await;
    let answer = Answer::of(&heard);
    assert!(closed.is_ok(), "{id}: it is not closed: {}", answer.text);
    answer
}

#[tokio::test]
async fn s01_to_s26_before_a_server_that_keeps_every_byte() {
    let recorder = Recorder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let vault = format!("vault {{\n address = {:?}\n retry {{ num_retries = -1 }}\n}}", recorder.address);
    let program = Program::agent(sidekey(), folder.path()).config(&vault);
    let program = program.approle(&("r".into(), "s".into()), &["token"]).unwrap();
    let mut front = Front::start(program, folder).await;
    front.behind = Behind::Recorder(recorder);
    front.secrets = [OURS, ACCESSOR, HOP].map(str::to_owned).to_vec();
    front.test().await;
}

#[tokio::test]
async fn s01_to_s26_before_the_real_server() {
    let stage = Stage::new().await;
    for name in ["first", "second"] {
        let data = serde_json::json!({"data": {"a": "b"}});
        stage.root.write(&format!("secret/data/{name}"), &data).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Program::agent(sidekey(), folder.path()).server(&stage.server.address());
    let program = program.approle(&stage.credentials, &["token"]).unwrap();
    let mut front = Front::start(program, folder).await;
    let token = std::fs::read_to_string(front.folder.path().join("token")).unwrap();
    let lookup = stage.server.api(Some(&token)).unwrap().get("auth/token/lookup-self").await.unwrap();
    let accessor = lookup.json["data"]["accessor"].as_str().unwrap().to_owned();
    front.secrets = vec![token, accessor];
    front.test().await;
}

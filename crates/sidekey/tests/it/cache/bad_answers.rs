//! Answers that make no sense, or say something else than they are: handed on or refused, and never remembered.

use std::collections::HashMap;

use testkit::Program;

use crate::scripted::{Do, Scripted};
use crate::sidekey;

/// What the client gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    /// The answer, as it came, from the server each time.
    Same,
    /// That and, the second time, from memory.
    Remembered,
    /// 502.
    Nothing,
}
use Told::{Nothing, Remembered, Same};

fn token(duration: &str) -> String {
    format!(
        r#"{{"auth":{{"client_token":"s.a","accessor":"a","lease_duration":{duration},"renewable":true,"orphan":true}}}}"#
    )
}

fn plain(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn cases() -> Vec<(&'static str, String, Told)> {
    const JSON: &str = "application/json";
    let good = token("3600");
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let with = |more: &str| good.replacen('{', &format!("{{{more},"), 1);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\n");
    let chunk = format!("{:x}\r\n{good}\r\n", good.len());
    vec![
        ("good", plain(JSON, &good), Remembered),
        ("no-json", plain(JSON, "<html>it works</html>"), Same),
        ("nothing", plain(JSON, ""), Same),
        ("cut-json", plain(JSON, &good[..good.len() - 1]), Same),
        (
            "twice",
            plain(JSON, &good.replacen("\"client_token\"", "\"client_token\":\"s.b\",\"client_token\"", 1)),
            Same,
        ),
        ("auth-twice", plain(JSON, &with("\"auth\":null")), Same),
        ("deep", plain(JSON, &deep), Same),
        // What is deep stands where nobody looks: it is skipped, not followed.
        ("deep-lease", plain(JSON, &with(&format!("\"lease_id\":{deep}"))), Same),
        ("html", plain("text/html", &good), Same),
        ("no-type", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{good}", good.len()), Same),
        ("gzip", plain(&format!("{JSON}\r\nContent-Encoding: gzip"), &good), Same),
        // Without a length it ends with the connection.
        ("no-length", format!("{head}\r\n{good}"), Remembered),
        ("chunks", format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"), Remembered),
        ("chunks-cut", format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}"), Nothing),
        ("cut", format!("{head}Content-Length: {}\r\n\r\n{good}", good.len() + 1), Nothing),
        (
            "two-lengths",
            format!("{head}Content-Length: 5\r\nContent-Length: {}\r\n\r\n{good}", good.len()),
            Nothing,
        ),
        ("ttl-0", plain(JSON, &token("0")), Same),
        ("ttl-negative", plain(JSON, &token("-1")), Same),
        ("ttl-fraction", plain(JSON, &token("1.5")), Same),
        ("ttl-text", plain(JSON, &token("\"3600\"")), Same),
        ("ttl-enormous", plain(JSON, &token("9223372036854775807")), Remembered),
        ("ttl-beyond", plain(JSON, &token("99999999999999999999")), Same),
        ("ttl-exponent", plain(JSON, &token("1e300")), Same),
    ]
}

#[tokio::test]
async fn answers_that_lie_are_handed_on_and_not_remembered() {
    let script: HashMap<_, &'static [u8]> =
        cases().into_iter().map(|(name, bytes, _)| (name, &*bytes.into_bytes().leak())).collect();
    let server = Scripted::start(move |line, _| {
        let name = line.trim_start_matches("POST /v1/auth/").trim_end_matches("/login").to_owned();
        script.get(name.as_str()).map_or(Do::Answer(404, "{\"errors\":[]}"), |bytes| Do::Bytes(bytes))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::agent(sidekey(), folder.path())
        .server(&server.address)
        .env("BAO_MAX_RETRIES", "0")
        .config("cache {}")
        .listener("");
    let (mut agent, listener) = program.start_listening().await.unwrap();
    for (name, bytes, told) in cases() {
        let path = format!("/v1/auth/{name}/login");
        let mut words = Vec::new();
        for _ in 0..2 {
            let answer = listener.send("POST", &path, &[], "{}").await.unwrap();
            let status = if told == Nothing { 502 } else { 200 };
            assert_eq!(answer.status, status, "{name}: {}", answer.json);
            if told == Nothing {
                assert!(answer.json["errors"][0].is_string(), "{name}: {}", answer.json);
            }
            words.push(answer.cache().to_owned());
        }
        let (second, asked) = match told {
            Same => ("MISS", 2),
            Remembered => ("HIT", 1),
            Nothing => ("", 2),
        };
        assert_eq!(
            (words[1].as_str(), server.asked(&path).len()),
            (second, asked),
            "{name} {words:?} {}",
            bytes.len()
        );
    }
    // It is well, and has not gone on asking.
    let renewals = server.asked("renew").len();
    assert!(renewals <= 1, "{renewals}");
    assert_eq!(listener.send("POST", "/v1/auth/ttl-enormous/login", &[], "{}").await.unwrap().cache(), "HIT");
    agent.stop().await.unwrap();
}

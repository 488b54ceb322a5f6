//! S6: a server whose answers are none. Whatever is wrong with them, and whoever finds it out, the client is told 502 in
//! one error, or sees an answer that broke off; never one that looks whole.

use std::sync::Arc;

use cache::{Cache, Mode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vault::api::Caller;
use vault::{Client as Server, ClientSettings, RetryPolicy, Token, TokenState};

use super::{Front, OURS};
use crate::stand;

/// What is wrong, the bytes, and whether it is in the head or in what came with it: then there can be no answer but 502.
fn answers() -> Vec<(&'static str, String, bool)> {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}\r\n");
    let chunked = |body: &str| head("Transfer-Encoding: chunked\r\n") + body;
    let long = "x".repeat(64 * 1024);
    vec![
        ("both lengths", head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") + "{}", true),
        ("two lengths", head("Content-Length: 2\r\nContent-Length: 2\r\n") + "{}", true),
        ("a length that is none", head("Content-Length: two\r\n") + "{}", true),
        ("a signed length", head("Content-Length: +2\r\n") + "{}", true),
        ("an unknown coding", head("Transfer-Encoding: gzip\r\n"), true),
        ("two codings", head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), true),
        ("more than its length", head("Content-Length: 2\r\n") + "{}{}", true),
        ("a second answer", head("Content-Length: 2\r\n") + "{}HTTP/1.1 200 OK\r\n\r\n", true),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n".into(), true),
        ("HTTP/2", "HTTP/2 200 OK\r\n\r\n".into(), true),
        ("no status", "HTTP/1.1 OK\r\n\r\n".into(), true),
        ("a status beyond", "HTTP/1.1 9999 OK\r\n\r\n".into(), true),
        ("line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}".into(), true),
        ("a folded field", head("X: a\r\n b\r\nContent-Length: 2\r\n") + "{}", true),
        ("a field without a colon", head("X\r\nContent-Length: 2\r\n") + "{}", true),
        ("a space before a colon", head("X : a\r\nContent-Length: 2\r\n") + "{}", true),
        ("a NUL", head("X: \0\r\nContent-Length: 2\r\n") + "{}", true),
        ("too many fields", head(&"A: b\r\n".repeat(101)), true),
        ("a long head", head(&format!("A: {long}\r\nContent-Length: 2\r\n")) + "{}", true),
        ("an endless head", format!("HTTP/1.1 200 OK\r\nA: {long}{long}"), true),
        (
            "a flood",
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9) + &head("Content-Length: 2\r\n") + "{}",
            true,
        ),
        ("another protocol", "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n".into(), true),
        ("a torn status line", "HTTP/1.1 2".into(), true),
        ("a torn head", "HTTP/1.1 200 OK\r\nContent-Le".into(), true),
        ("a chunk that is none", chunked("zz\r\n{}\r\n0\r\n\r\n"), true),
        ("a signed chunk", chunked("+2\r\n{}\r\n0\r\n\r\n"), true),
        ("an endless chunk size", chunked(&"0".repeat(300)), true),
        ("a long chunk", chunked("2\r\n{\"a\":1}\r\n0\r\n\r\n"), false),
        ("a torn chunk", chunked("5\r\n{\"a"), false),
        ("no last chunk", chunked("2\r\n{}\r\n"), false),
        ("a trailer that is none", chunked("2\r\n{}\r\n0\r\nX\r\n\r\n"), false),
        ("less than its length", head("Content-Length: 9\r\n") + "{}", false),
        ("a torn refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n{}".into(), false),
    ]
}

/// Answers each connection with `bytes`, and closes it.
async fn serve(bytes: String) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
    });
    address
}

/// A front before that server.
fn front(address: &str, mode: Mode, ours: bool) -> Front {
    let settings =
        ClientSettings { retry: RetryPolicy::Never, ..ClientSettings::new(address.parse().unwrap()) };
    let server = Arc::new(Server::new(&settings).unwrap());
    let token = ours.then(|| Arc::new(Token::new(OURS.to_owned()).unwrap()));
    let mut context = stand::context(Arc::clone(&server) as _, TokenState { token, ..TokenState::default() });
    let caller = Caller {
        user_agent: "stand".to_owned(),
        namespace: None,
        address: address.to_owned(),
        timeout: std::time::Duration::from_secs(60),
    };
    context.cache = Cache::new(mode, server, caller, CancellationToken::new()).0;
    let mut front = Front::new();
    front.before(context);
    front
}

#[tokio::test]
async fn s06_an_answer_that_is_none_is_502() {
    for (what, bytes, at_once) in answers() {
        let address = serve(bytes).await;
        for (mode, ours, path) in [
            (Mode::PassOn, false, "a"),
            (Mode::PassOn, true, "a"),
            (Mode::PassOn, true, "auth/token/lookup-self"),
            (Mode::Remember, false, "a"),
            (Mode::Remember, true, "a"),
        ] {
            // All of it is read there, before anything is said.
            let whole = matches!(mode, Mode::Remember) || path != "a";
            let refusal = what.contains("refusal");
            let front = front(&address, mode, ours);
            let mut client = front.connect();
            client
                .send(format!("GET /v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
                .await;
            let answer = client.hear_for(std::time::Duration::from_secs(10)).await;
            let told = format!("{what}, {ours}, {path}: {}", answer.text);
            assert!(answer.closed, "{told}");
            if at_once || whole && !refusal {
                assert_eq!(answer.statuses(), [502], "{told}");
            }
            match answer.statuses().as_slice() {
                [502] => {
                    let body = answer.text.split_once("\r\n\r\n").unwrap().1;
                    let said: serde_json::Value = serde_json::from_str(body).expect(&told);
                    let errors = said["errors"].as_array().expect(&told);
                    assert_eq!(errors.len(), 1, "{told}");
                    let words = errors[0].as_str().unwrap();
                    assert!(
                        words.starts_with("failed to get the response: ") && !words.contains('\n'),
                        "{told}"
                    );
                }
                [200 | 403] => {
                    assert!(!answer.text.ends_with("0\r\n\r\n"), "{told}");
                    let (head, body) = answer.text.split_once("\r\n\r\n").unwrap();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    assert!(length.is_none_or(|length| length != body.len().to_string()), "{told}");
                }
                // It was cut off before anything was sent.
                [] => {}
                _ => panic!("{told}"),
            }
        }
    }
}

/// What upstream answers with 500 stays that: there was no answer at all.
#[tokio::test]
async fn a_server_that_says_nothing_is_500_as_upstream_has_it() {
    let silent = serve(String::new()).await;
    let gone = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for address in [silent, gone] {
        for mode in [Mode::PassOn, Mode::Remember] {
            let answer = front(&address, mode, false).ask(super::get("/v1/a")).await;
            assert_eq!(answer.statuses(), [500], "{}", answer.text);
            assert!(answer.text.contains("failed to get the response: "), "{}", answer.text);
        }
    }
}

/// With our token in the request, what cannot be searched is not handed on.
#[tokio::test]
async fn s02_an_encoded_answer_is_502() {
    let address =
        serve("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx".to_owned()).await;
    let answer = front(&address, Mode::PassOn, true).ask(super::get("/v1/a")).await;
    assert_eq!(answer.statuses(), [502], "{}", answer.text);
    assert!(answer.text.contains("Content-Encoding"), "{}", answer.text);
}

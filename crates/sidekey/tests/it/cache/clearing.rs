//! cache-clear beside the real agent: the same words, the same things forgotten.

use std::time::Duration;

use serde_json::json;
use testkit::{Api, Process, Program, eventually, free_pair, server_binary};
use tokio::time::sleep;

use super::{log_in, text, token};
use crate::{Stage, sidekey};

/// An agent in front of the server, its files in a folder of its own.
async fn start(stage: &Stage, binary: &std::path::Path, name: &str) -> (Process, Api) {
    let folder = stage.path(name);
    atomic_file::create_folders(&folder).unwrap();
    let port = free_pair().unwrap();
    let program = Program::agent(binary, &folder)
        .server(&stage.server.address())
        .approle(&stage.credentials, &["token"])
        .unwrap()
        .config("cache {}\napi_proxy { use_auto_auth_token = true }")
        .config(&format!("listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n}}"));
    let process = program.start().unwrap();
    let sink = folder.join("token");
    eventually("a token", async || sink.exists().then_some(())).await.unwrap();
    let listener = Api::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
    let answering = async || listener.get("sys/health").await.ok();
    eventually("the listener", answering).await.unwrap();
    (process, listener)
}

async fn clear(listener: &Api, method: &str, body: &str) -> (u16, String) {
    let headers = [("content-type", "application/json")];
    let answer = listener.send(method, "/agent/v1/cache-clear", &headers, body).await.unwrap();
    // The real agent forgets a moment after its answer.
    sleep(Duration::from_millis(150)).await;
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).trim().to_owned())
}

/// What is asked of both, and what both say.
async fn story(stage: &Stage, listener: &Api) -> Vec<String> {
    let mut said = Vec::new();
    for (method, body) in [
        ("POST", ""),
        ("POST", "{"),
        ("POST", "{}"),
        ("POST", "null"),
        ("POST", "[]"),
        ("POST", r#"{"type":5}"#),
        ("POST", r#"{"type":"token","value":["s.x"]}"#),
        ("POST", r#"{"type":""}"#),
        ("POST", r#"{"type":"everything"}"#),
        ("POST", r#"{"type":"token"}"#),
        ("POST", r#"{"type":"token_accessor"}"#),
        ("POST", r#"{"type":"lease"}"#),
        ("POST", r#"{"type":"request_path"}"#),
        ("POST", r#"{"type":"token","value":"s.unknown"}"#),
        ("POST", r#"{"type":"token_accessor","value":"unknown"}"#),
        ("POST", r#"{"type":"lease","value":"unknown"}"#),
        ("POST", r#"{"TYPE":"lease","Value":"unknown","more":[1]}"#),
        ("PUT", r#"{"type":"all"}"#),
    ] {
        let (status, told) = clear(listener, method, body).await;
        said.push(format!("{method} {body}: {status} {told}"));
    }
    // Which of three logins and of the children of the first is still remembered.
    let remembered = async |what: &str| {
        let mut verdicts = Vec::new();
        for number in 1..=3 {
            let answer = log_in(listener, &stage.credentials, number).await;
            verdicts.push(answer.cache().to_owned());
            if number == 1 {
                let own = listener.with_token(Some(token(&answer)));
                let child = own.post("auth/token/create", &json!({"ttl": "1h"})).await.unwrap();
                verdicts.push(child.cache().to_owned());
            }
        }
        format!("{what}: {}", verdicts.join(" "))
    };
    said.push(remembered("at first").await);
    said.push(remembered("then").await);
    for body in [
        json!({"type": "request_path", "value": "auth/approle"}),
        json!({"type": "request_path", "value": "/v1/auth/approle", "namespace": "ns1"}),
        json!({"type": "request_path", "value": "/v1/auth/token"}),
        json!({"type": "request_path", "value": "/v1/auth/appr"}),
        json!({"type": "request_path", "value": "/v1/auth/approle/login", "namespace": "root/"}),
        json!({"type": "request_path", "value": "/v1/"}),
        json!({"type": "all", "value": "ignored"}),
    ] {
        clear(listener, "POST", &body.to_string()).await;
        said.push(remembered(&format!("after {body}")).await);
        said.push(remembered("then").await);
    }
    for (kind, pointer) in [("token", "/auth/client_token"), ("token_accessor", "/auth/accessor")] {
        let login = log_in(listener, &stage.credentials, 1).await;
        let value = text(&login, pointer);
        // A part of it is not it.
        clear(listener, "POST", &json!({"type": kind, "value": &value[..value.len() - 2]}).to_string()).await;
        said.push(remembered(&format!("after a part of a {kind}")).await);
        clear(listener, "PUT", &json!({"type": kind, "value": value}).to_string()).await;
        said.push(remembered(&format!("after a {kind}")).await);
        said.push(remembered("then").await);
    }
    said
}

#[tokio::test]
async fn clearing_says_and_does_what_the_real_agent_does() {
    let stage = Stage::new().await;
    let ((mut theirs, there), (mut ours, here)) =
        (start(&stage, &server_binary().unwrap(), "theirs").await, start(&stage, sidekey(), "ours").await);
    let (wanted, told) = tokio::join!(story(&stage, &there), story(&stage, &here));
    for (wanted, told) in wanted.iter().zip(&told) {
        assert_eq!(told, wanted);
    }
    assert_eq!(told.len(), wanted.len());
    assert!(told.iter().any(|line| line == "then: HIT HIT HIT HIT"), "{told:#?}");
    // Where we differ: who is told 200 has had something cleared.
    for method in ["GET", "DELETE"] {
        assert_eq!(clear(&there, method, r#"{"type":"all"}"#).await.0, 200);
        assert_eq!(clear(&here, method, r#"{"type":"all"}"#).await.0, 405);
    }
    // Our own token is known after all was cleared, so what it makes is remembered again.
    clear(&here, "POST", r#"{"type":"all"}"#).await;
    let verdicts = [
        here.post("auth/token/create", &json!({"ttl": "1h"})).await.unwrap(),
        here.post("auth/token/create", &json!({"ttl": "1h"})).await.unwrap(),
    ];
    assert_eq!(verdicts.map(|answer| answer.cache().to_owned()), ["MISS", "HIT"]);
    // And so it is after our own token was cleared.
    let own = std::fs::read_to_string(stage.path("ours/token")).unwrap();
    clear(&here, "POST", &json!({"type": "token", "value": own}).to_string()).await;
    let verdicts = [
        here.post("auth/token/create", &json!({"ttl": "1h"})).await.unwrap(),
        here.post("auth/token/create", &json!({"ttl": "1h"})).await.unwrap(),
    ];
    assert_eq!(verdicts.map(|answer| answer.cache().to_owned()), ["MISS", "HIT"]);
    theirs.stop().await.unwrap();
    ours.stop().await.unwrap();
}

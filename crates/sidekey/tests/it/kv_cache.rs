//! Secrets of KV mounts kept in memory, before the real server.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Answer, Api, eventually};
use tokio::time::Instant;

use crate::Stage;

const APP: &str = "secret/data/app";

/// What somebody with a token sees: the word of `X-Cache`, the status, and the color.
fn seen(answer: &Answer) -> (String, u16, Value) {
    (answer.cache().to_owned(), answer.status.as_u16(), answer.json["data"]["data"]["color"].clone())
}

struct Kept {
    stage: Stage,
    listener: Api,
    agent: testkit::Process,
}

impl Kept {
    async fn new(keys: &str) -> Self {
        let stage = Stage::new().await;
        let policy =
            "path \"secret/*\" { capabilities = [\"read\", \"list\", \"update\", \"create\", \"delete\"] }";
        stage.root.write("sys/policies/acl/reader", &json!({"policy": policy})).await.unwrap();
        stage.root.write("sys/policies/acl/other", &json!({"policy": policy})).await.unwrap();
        let program = stage
            .agent(&["token"])
            .config(&format!(
                "cache {{ static_secrets {{\n paths = [\"secret/*\", \"kv/*\", \"pki/*\"]\n {keys}\n}} }}"
            ))
            .config("telemetry { prometheus_retention_time = \"1h\" }")
            .listener("");
        let (mut agent, listener) = program.start_listening().await.unwrap();
        agent.says("token written").await.unwrap();
        Self { stage, listener, agent }
    }

    async fn token(&self, policies: &[&str]) -> (String, Api) {
        let body = json!({"policies": policies, "no_parent": true, "ttl": "1h"});
        let answer = self.stage.root.write("auth/token/create", &body).await.unwrap();
        let token = answer["auth"]["client_token"].as_str().unwrap().to_owned();
        let api = self.listener.with_token(Some(&token));
        (token, api)
    }

    /// Asks until it is answered from memory, twice at least.
    async fn warm(&self, api: &Api, path: &str) {
        eventually("a hit", || async { api.get(path).await.ok().filter(|answer| answer.cache() == "HIT") })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn who_may_read_is_the_servers_to_say() {
    let mut kept = Kept::new("ttl = \"20s\"\n capability_ttl = \"2s\"").await;
    let (first_token, first) = kept.token(&["reader"]).await;
    let (_, second) = kept.token(&["other"]).await;
    let (_, none) = kept.token(&["default"]).await;
    assert_eq!(seen(&first.get(APP).await.unwrap()), ("MISS".into(), 200, json!("blue")));
    kept.warm(&first, APP).await;
    let hit = first.get(APP).await.unwrap();
    assert_eq!(seen(&hit), ("HIT".into(), 200, json!("blue")));
    assert!(hit.header("age").parse::<u64>().unwrap() < 20);

    // One without the right is refused, one with it reads for itself once.
    for _ in 0..2 {
        assert_eq!(none.get(APP).await.unwrap().status, 403);
    }
    assert_eq!(kept.listener.with_token(Some("s.wrong")).get(APP).await.unwrap().status, 403);
    assert_eq!(second.get(APP).await.unwrap().cache(), "MISS");
    kept.warm(&second, APP).await;

    let nothing = json!({"policy": "path \"none\" { capabilities = [\"read\"] }"});
    // The right is taken away at the server itself: it holds no longer than capability_ttl, in use or not.
    kept.stage.root.write("sys/policies/acl/reader", &nothing).await.unwrap();
    let taken = Instant::now();
    eventually("a refusal", || async { first.get(APP).await.ok().filter(|answer| answer.status == 403) })
        .await
        .unwrap();
    assert!(taken.elapsed() < Duration::from_secs(4), "{:?}", taken.elapsed());
    // In use, the other's right is looked at again, without a read.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(second.get(APP).await.unwrap().cache(), "HIT");
    }

    // Revoked through here, a token is refused at once; a policy written through here is heeded at once.
    let root = kept.listener.with_token(Some(kept.stage.server.root_token()));
    root.write("auth/token/revoke", &json!({"token": first_token})).await.unwrap();
    assert_eq!(first.get(APP).await.unwrap().status, 403);
    root.write("sys/policies/acl/other", &nothing).await.unwrap();
    assert_eq!(second.get(APP).await.unwrap().status, 403);
    kept.agent.stop().await.unwrap();
}

#[tokio::test]
async fn writes_and_versions() {
    let mut kept = Kept::new("ttl = \"30s\"\n negative_ttl = \"5s\"").await;
    let (_, reader) = kept.token(&["reader"]).await;
    let (_, writer) = kept.token(&["other"]).await;
    kept.warm(&reader, APP).await;
    writer.write(APP, &json!({"data": {"color": "red"}})).await.unwrap();
    assert_eq!(seen(&reader.get(APP).await.unwrap()), ("MISS".into(), 200, json!("red")));
    for (version, color) in [("1", "blue"), ("2", "red")] {
        let path = format!("{APP}?version={version}");
        kept.warm(&reader, &path).await;
        assert_eq!(seen(&reader.get(&path).await.unwrap()), ("HIT".into(), 200, json!(color)));
    }
    kept.warm(&reader, APP).await;
    // It is told what is kept, and not what it says.
    let told = reader.send("GET", "/agent/v1/cache?path=/v1/secret/data/", &[], "").await.unwrap().body;
    let text = String::from_utf8(told).unwrap();
    assert!(!text.contains("blue") && !text.contains("red"), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    let entries = told["entries"].as_array().unwrap();
    let newest = entries.iter().find(|one| one["path"] == "/v1/secret/data/app").unwrap();
    assert_eq!((&newest["kind"], &newest["version"]), (&json!("secret"), &json!(2)), "{text}");
    assert_eq!((&newest["readers"], &newest["state"]), (&json!(1), &json!("fresh")), "{text}");
    assert_eq!((entries.len(), &told["numbers"]["secrets"]), (3, &json!(3)), "{text}");
    kept.warm(&reader, "secret/metadata/app").await;
    kept.warm(&reader, "secret/metadata/?list=true").await;
    // Destroyed through here: at once.
    writer.write("secret/destroy/app", &json!({"versions": [1]})).await.unwrap();
    let one = reader.get(&format!("{APP}?version=1")).await.unwrap();
    assert_eq!((one.status.as_u16(), one.json["data"]["metadata"]["destroyed"].clone()), (404, json!(true)));
    assert_eq!(reader.get(APP).await.unwrap().cache(), "MISS");
    // Deleted: the newest is not there any more, and a new one is seen at once, also where nothing was before.
    writer.send("DELETE", &format!("/v1/{APP}"), &[], "").await.unwrap();
    for _ in 0..3 {
        assert_eq!(reader.get(APP).await.unwrap().status, 404);
    }
    writer.write(APP, &json!({"data": {"color": "green"}})).await.unwrap();
    assert_eq!(seen(&reader.get(APP).await.unwrap()).2, json!("green"));

    // Version 1 mounts, and a namespace, are what the server says they are; other engines are not kept.
    kept.stage
        .root
        .write("sys/mounts/kv", &json!({"type": "kv", "options": {"version": "1"}}))
        .await
        .unwrap();
    kept.stage.root.write("kv/a", &json!({"color": "grey", "ttl": "2s"})).await.unwrap();
    let root = kept.listener.with_token(Some(kept.stage.server.root_token()));
    kept.warm(&root, "kv/a").await;
    kept.stage.root.write("kv/a", &json!({"color": "white"})).await.unwrap();
    eventually("the new one", || async {
        root.get("kv/a").await.ok().filter(|answer| answer.json["data"]["color"] == "white")
    })
    .await
    .unwrap();
    kept.stage.root.write("sys/mounts/pki", &json!({"type": "pki"})).await.unwrap();
    kept.stage.root.write("pki/root/generate/internal", &json!({"common_name": "x"})).await.unwrap();
    for _ in 0..4 {
        assert_eq!(root.get("pki/config/urls").await.unwrap().cache(), "MISS");
    }
    kept.agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_is_stood_in_for_within_the_bound() {
    let keys = "ttl = \"3s\"\n capability_ttl = \"3s\"\n stale_if_error = \"60s\"";
    let mut kept = Kept::new(keys).await;
    let (_, reader) = kept.token(&["reader"]).await;
    let (_, other) = kept.token(&["other"]).await;
    kept.warm(&reader, APP).await;
    kept.stage.server.kill().await;
    let died = Instant::now();
    let stale = eventually("a stale answer", || async {
        reader.get(APP).await.ok().filter(|answer| answer.cache() == "STALE")
    })
    .await
    .unwrap();
    assert_eq!(seen(&stale).2, json!("blue"));
    assert_eq!(stale.header("warning"), "110 - \"Response is Stale\"");
    assert!(stale.header("age").parse::<u64>().unwrap() >= 3);
    assert!(died.elapsed() < Duration::from_secs(6), "{:?}", died.elapsed());
    // ttl and capability_ttl after its permission was seen last, nobody vouches for it any more. The listener waits
    // for the server then, as without a cache.
    tokio::time::sleep(Duration::from_secs(7).saturating_sub(died.elapsed())).await;
    for api in [&reader, &other] {
        let answer = tokio::time::timeout(Duration::from_secs(2), api.get(APP)).await;
        assert!(answer.is_err() || answer.unwrap().unwrap().status.is_server_error());
    }
    kept.agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_thousand_clients_are_one_request() {
    let mut kept = Kept::new("ttl = \"30s\"").await;
    let (_, reader) = kept.token(&["reader"]).await;
    let asked = async || {
        let text = reader.send("GET", "/agent/v1/metrics?format=prometheus", &[], "").await.unwrap().body;
        let text = String::from_utf8(text).unwrap();
        let lines =
            text.lines().filter(|line| line.starts_with("sidekey_upstream_requests_total{part=\"proxy\""));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        (counts.sum::<u64>(), text.clone())
    };
    let (before, _) = asked().await;
    let answers = futures_util::future::join_all((0..1000).map(|_| reader.get(APP))).await;
    for answer in answers {
        assert_eq!(seen(&answer.unwrap()).1, 200);
    }
    // One for the secret, one for its mount, one for the token.
    let (after, text) = asked().await;
    assert!((1..=3).contains(&(after - before)), "{before} {after} {text}");
    kept.agent.stop().await.unwrap();
}

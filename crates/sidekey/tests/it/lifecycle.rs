//! The token's life against the real server: revoked, denied, at its maximum TTL, across restarts of either side.

use std::time::Duration;

use tokio::time::Instant;

use serde_json::json;
use testkit::{Api, Process, Program, Server, eventually, server_binary};

use crate::{Stage, put, sidekey};

fn logins(agent: &Process) -> usize {
    agent.output().iter().filter(|line| line.contains("authentication successful")).count()
}

async fn revoke(stage: &Stage, token: &str) {
    stage.root.post("auth/token/revoke", &json!({"token": token})).await.unwrap();
}

/// Fifty requests at once, reads and writes; their statuses.
async fn fifty(listener: &Api, path: &str) -> Vec<u16> {
    let requests: Vec<_> = (0..50)
        .map(|nth| {
            let (listener, path) = (listener.clone(), path.to_owned());
            tokio::spawn(async move {
                let answer = match nth % 3 {
                    0 => listener.get(&path).await,
                    1 => listener.get(&format!("{path}?version={nth}")).await,
                    _ => listener.post(&format!("{path}-{nth}"), &json!({"data": {"nth": nth}})).await,
                };
                // A version that is not there yet is found to be missing: it was asked for with a good token.
                let status = answer.unwrap().status.as_u16();
                if status == 404 { 200 } else { status }
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(request.await.unwrap());
    }
    statuses
}

#[tokio::test]
async fn a_dead_token_is_noticed_by_the_first_request_and_a_denied_one_is_no_reason_to_log_in() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    agent.says("token written").await.unwrap();

    // Revoked out of band: everybody is answered, after one login.
    let first = stage.read("token");
    revoke(&stage, &first).await;
    let asked = Instant::now();
    let statuses = fifty(&listener, "secret/data/app").await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}\n{}", agent.output().join("\n"));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(logins(&agent), 2);
    eventually("the new token in the sink", || async { Some(()).filter(|()| stage.read("token") != first) })
        .await
        .unwrap();
    assert!(stage.is_alive(&stage.read("token")).await);

    // Denied by a policy: the refusal is the answer, at once, and the token stays.
    let policy = "path \"secret/data/app*\" { capabilities = [\"read\", \"create\", \"update\"] }";
    stage.root.write("sys/policies/acl/app", &json!({"policy": policy})).await.unwrap();
    let asked = Instant::now();
    for _ in 0..3 {
        let statuses = fifty(&listener, "secret/data/other").await;
        assert!(statuses.iter().all(|status| *status == 403), "{statuses:?}");
    }
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(logins(&agent), 2);

    // A verdict of a moment ago does not hide a death.
    revoke(&stage, &stage.read("token")).await;
    assert_eq!(listener.get("secret/data/app").await.unwrap().status.as_u16(), 200);
    assert_eq!(logins(&agent), 3);

    // Where no token is to be had, the refusal is handed on, and soon.
    stage.root.send("DELETE", "/v1/auth/approle/role/app", &[], "").await.unwrap();
    eventually("the new token in the sink", || async {
        Some(()).filter(|()| agent.output().iter().filter(|line| line.contains("token written")).count() == 3)
    })
    .await
    .unwrap();
    revoke(&stage, &stage.read("token")).await;
    let asked = Instant::now();
    assert_eq!(listener.get("secret/data/app").await.unwrap().status.as_u16(), 403);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_reads_the_sink_is_never_refused_across_the_maximum_ttl() {
    // So short that the server's rounding to whole seconds is more than the reserve of a renewal.
    let stage = Stage::with_ttl(3, 6).await;
    let mut agent = stage.agent(&["token"]).start().unwrap();
    agent.says("token written").await.unwrap();
    let began = Instant::now();
    let (mut asked, mut seen) = (0, std::collections::BTreeSet::new());
    // Two lives to their ends.
    while seen.len() < 3 {
        let token = stage.read("token");
        assert!(stage.is_alive(&token).await, "after {asked}:\n{}", agent.output().join("\n"));
        seen.insert(token);
        asked += 1;
        assert!(began.elapsed() < Duration::from_secs(30), "{} tokens", seen.len());
    }
    assert!(asked > 100 && began.elapsed() > Duration::from_secs(4), "{asked} in {:?}", began.elapsed());
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_away_costs_no_login() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::raft(&server_binary().unwrap(), data.path()).await.unwrap();
    let credentials = server.approle("app", Server::EVERYTHING, 5, 3600).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut agent, listener) = Program::agent(sidekey(), folder.path())
        // A request while the server is away is not held but refused.
        .config(&format!(
            "vault {{\n address = \"{}\"\n retry {{ num_retries = -1 }}\n}}\n",
            server.address()
        ))
        .approle(&credentials, &["token"])
        .unwrap()
        .config("api_proxy { use_auto_auth_token = true }")
        .listener("")
        .start_listening()
        .await
        .unwrap();
    agent.says("token written").await.unwrap();
    server.kill().await;
    // 500 where nobody answers, 502 where the answer breaks off.
    assert!(listener.get("auth/token/lookup-self").await.unwrap().status.is_server_error());
    server.start_again().await.unwrap();
    server.unseal().await.unwrap();
    agent.says("renewed auth token").await.unwrap();
    assert_eq!(listener.get("auth/token/lookup-self").await.unwrap().status.as_u16(), 200);
    assert_eq!(logins(&agent), 1, "{}", agent.output().join("\n"));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stored_token_spares_the_secret_id_and_a_damaged_one_stops_nothing() {
    let stage = Stage::new().await;
    let role = json!({"token_policies": ["app"], "token_ttl": 3600, "secret_id_num_uses": 1});
    stage.root.write("auth/approle/role/app", &role).await.unwrap();
    let secret_id = || async {
        let made = stage.root.write("auth/approle/role/app/secret-id", &json!({})).await.unwrap();
        put(&stage.path("secret-id"), made["data"]["secret_id"].as_str().unwrap());
    };
    secret_id().await;
    put(&stage.path("role-id"), &stage.credentials.0);
    put(&stage.path("key"), "0123456789abcdef0123456789abcdef");
    let config = format!(
        "auto_auth {{\n method \"approle\" {{ config = {{ role_id_file_path = {:?} secret_id_file_path = {:?} }} }}\n \
         sink \"file\" {{ config = {{ path = {:?} }} }}\n token_store {{ path = {:?} key_file = {:?} }}\n}}",
        stage.path("role-id"),
        stage.path("secret-id"),
        stage.path("token"),
        stage.path("store"),
        stage.path("key"),
    );
    let program =
        Program::agent(sidekey(), stage.folder.path()).server(&stage.server.address()).config(&config);
    let mut agent = program.start().unwrap();
    agent.says("token stored for the next run").await.unwrap();
    eventually("the token", || async { Some(()).filter(|()| !stage.read("token").is_empty()) })
        .await
        .unwrap();
    let token = stage.read("token");
    agent.kill().await;
    atomic_file::remove(&stage.path("token")).unwrap();

    let mut agent = program.start().unwrap();
    agent.says("the stored token of the last run is still good").await.unwrap();
    agent.says("renewed auth token").await.unwrap();
    eventually("the token", || async { Some(()).filter(|()| stage.read("token") == token) }).await.unwrap();
    agent.kill().await;

    // Dead, and damaged: a login follows in either case.
    for damage in [false, true] {
        secret_id().await;
        if damage {
            put(&stage.path("store"), "junk");
        } else {
            revoke(&stage, &token).await;
        }
        let mut agent = program.start().unwrap();
        agent.says(if damage { "the stored token is damaged" } else { "of no use any more" }).await.unwrap();
        agent.says("token stored for the next run").await.unwrap();
        eventually("the token", || async { Some(()).filter(|()| stage.read("token") != token) })
            .await
            .unwrap();
        agent.kill().await;
    }
    assert!(stage.path("store.damaged").exists());
}

//! Engines whose answers look alike: what may be handed out twice, and what never.

use serde_json::json;

use super::{log_in, text, token};
use crate::Stage;

#[tokio::test]
async fn certificates_and_one_time_passwords_are_never_shared() {
    let stage = Stage::new().await;
    let root = &stage.root;
    root.write("sys/mounts/pki", &json!({"type": "pki"})).await.unwrap();
    root.write("pki/root/generate/internal", &json!({"common_name": "ca.test", "key_type": "ec"}))
        .await
        .unwrap();
    let role = json!({"allow_any_name": true, "generate_lease": true, "key_type": "ec", "max_ttl": "1h"});
    root.write("pki/roles/leased", &role).await.unwrap();
    let role = json!({"allow_any_name": true, "generate_lease": false, "key_type": "ec", "max_ttl": "1h"});
    root.write("pki/roles/plain", &role).await.unwrap();
    root.write("sys/mounts/ssh", &json!({"type": "ssh"})).await.unwrap();
    let role = json!({"key_type": "otp", "default_user": "app", "cidr_list": "0.0.0.0/0"});
    root.write("ssh/roles/otp", &role).await.unwrap();
    root.write("sys/mounts/transit", &json!({"type": "transit"})).await.unwrap();
    root.write("transit/keys/app", &json!({})).await.unwrap();
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    let certificate = json!({"common_name": "app.test", "ttl": "10m"});
    for (path, body, value) in [
        ("pki/issue/leased", &certificate, "/data/serial_number"),
        ("pki/issue/plain", &certificate, "/data/serial_number"),
        ("ssh/creds/otp", &json!({"ip": "127.0.0.1"}), "/data/key"),
        ("transit/encrypt/app", &json!({"plaintext": "YQ=="}), "/data/ciphertext"),
        ("transit/random/16", &json!({}), "/data/random_bytes"),
    ] {
        let answers = futures_util::future::join_all((0..4).map(|_| listener.post(path, body))).await;
        let mut values: Vec<String> = answers
            .iter()
            .map(|answer| {
                let answer = answer.as_ref().unwrap();
                assert_eq!(
                    (answer.status.as_u16(), answer.cache()),
                    (200, "MISS"),
                    "{path}: {}",
                    answer.json
                );
                text(answer, value).to_owned()
            })
            .collect();
        let renewable = answers[0].as_ref().unwrap().json["renewable"].as_bool();
        assert_eq!(renewable, Some(false), "{path}");
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 4, "{path}: four were asked for at once");
    }
    assert_eq!(stage.leases("pki/issue/leased").await, 4);
    assert_eq!(stage.leases("ssh/creds/otp").await, 4);

    // A token that is spent by use, a batch token and one that was wrapped are nobody else's.
    let role = json!({"token_policies": ["app"], "token_ttl": "1h", "token_num_uses": 3});
    root.write("auth/approle/role/counted", &role).await.unwrap();
    let role = json!({"token_policies": ["app"], "token_ttl": "1h", "token_type": "batch"});
    root.write("auth/approle/role/batch", &role).await.unwrap();
    for name in ["counted", "batch"] {
        let role = root.get(&format!("auth/approle/role/{name}/role-id")).await.unwrap();
        let secret = root.write(&format!("auth/approle/role/{name}/secret-id"), &json!({})).await.unwrap();
        let credentials = (
            text(&role, "/data/role_id").to_owned(),
            secret["data"]["secret_id"].as_str().unwrap().to_owned(),
        );
        let (one, other) =
            (log_in(&listener, &credentials, 1).await, log_in(&listener, &credentials, 1).await);
        assert_eq!((one.cache(), other.cache()), ("MISS", "MISS"), "{name}");
        assert_ne!(token(&one), token(&other), "{name}");
    }
    let wrapped = async || {
        let headers = [("x-vault-wrap-ttl", "60s"), ("content-type", "application/json")];
        let body = super::login(&stage.credentials, 1).to_string();
        listener.send("POST", "/v1/auth/approle/login", &headers, &body).await.unwrap()
    };
    let (one, other) = (wrapped().await, wrapped().await);
    assert_ne!(text(&one, "/wrap_info/token"), text(&other, "/wrap_info/token"));

    // What an unmanaged token makes hangs below nothing here, so nobody would notice its end.
    let stranger = listener.with_token(Some(stage.server.root_token()));
    let made = [
        stranger.post("auth/token/create", &json!({})).await,
        stranger.post("auth/token/create", &json!({})).await,
    ];
    let [one, other] = made.map(Result::unwrap);
    assert_eq!((one.cache(), other.cache()), ("MISS", "MISS"));
    assert_ne!(token(&one), token(&other));
    let told = listener.send("GET", "/agent/v1/cache", &[], "").await.unwrap();
    assert_eq!(told.json["numbers"]["entries"], 0, "{}", told.json);
    agent.stop().await.unwrap();
}

//! A token that was revoked through us is handed out no more, whatever form the revocation has.

use serde_json::{Value, json};
use testkit::{Answer, Api};

use super::{log_in, text, token};
use crate::Stage;

const CREATE: &str = "auth/token/create";

async fn say(listener: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = listener.send(method, &format!("/v1/{path}"), &all, &body).await.unwrap();
    assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.json);
    answer
}

#[tokio::test]
async fn every_way_to_revoke_a_token_is_seen() {
    let stage = Stage::new().await;
    stage.root.write("sys/namespaces/ns1", &json!({})).await.unwrap();
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    let none = json!(null);
    let nth = std::cell::Cell::new(0);
    // A login, and a child token below it; each is remembered.
    let family = async || {
        nth.set(nth.get() + 1);
        let number = nth.get();
        let parent = log_in(&listener, &stage.credentials, number).await;
        assert_eq!(parent.cache(), "MISS");
        let own = listener.with_token(Some(token(&parent)));
        let child = own.post(CREATE, &json!({"ttl": "1h"})).await.unwrap();
        assert_eq!((child.status.as_u16(), child.cache()), (200, "MISS"), "{}", child.json);
        let again = own.post(CREATE, &json!({"ttl": "1h"})).await.unwrap();
        assert_eq!((again.cache(), token(&again)), ("HIT", token(&child)));
        assert_eq!(log_in(&listener, &stage.credentials, number).await.cache(), "HIT");
        (number, parent, child)
    };
    type Form<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);
    let forms: [Form<'_>; 8] = [
        ("POST", "auth/token/revoke", "token", &[]),
        ("PUT", "auth/token/revoke", "token", &[]),
        ("POST", "auth/token/revoke-accessor", "accessor", &[]),
        ("POST", "auth/token/revoke-self", "", &[]),
        ("PUT", "auth/token/revoke-self", "", &[]),
        ("POST", "auth/token/revoke-orphan", "token", &[]),
        ("POST", "auth/token/revoke", "token", &[("x-vault-namespace", "root")]),
        ("PUT", "sys/leases/revoke-prefix/auth/approle/login", "", &[]),
    ];
    for (method, path, field, headers) in forms {
        let (number, parent, child) = family().await;
        let value = match field {
            "" => none.clone(),
            "accessor" => json!({field: text(&parent, "/auth/accessor")}),
            field => json!({field: token(&parent)}),
        };
        let own = listener.with_token(Some(token(&parent)));
        let asker = if path.ends_with("-self") { &own } else { &listener };
        say(asker, method, path, headers, &value).await;
        assert!(!stage.is_alive(token(&parent)).await, "{method} {path}");
        let next = log_in(&listener, &stage.credentials, number).await;
        assert_eq!(next.cache(), "MISS", "{method} {path}");
        assert_ne!(token(&next), token(&parent), "{method} {path}");
        // A dead token gets nothing from memory, not even the child it had; an orphan of it lives on.
        let refused = own.post(CREATE, &json!({"ttl": "1h"})).await.unwrap();
        assert_eq!(refused.status, 403, "{method} {path}: {} {}", refused.cache(), refused.json);
        assert_eq!(stage.is_alive(token(&child)).await, path.ends_with("-orphan"), "{method} {path}");
    }

    // The child alone; its parent keeps what it has.
    let (number, parent, child) = family().await;
    let own = listener.with_token(Some(token(&parent)));
    say(&own, "POST", "auth/token/revoke", &[], &json!({"token": token(&child)})).await;
    let next = own.post(CREATE, &json!({"ttl": "1h"})).await.unwrap();
    assert_eq!(next.cache(), "MISS");
    assert_eq!(log_in(&listener, &stage.credentials, number).await.cache(), "HIT");

    // Renewals are carried out each time, and are no answers to be remembered.
    for _ in 0..3 {
        for path in ["auth/token/renew-self", "auth/token/renew"] {
            let body = if path.ends_with("-self") { json!({}) } else { json!({"token": token(&parent)}) };
            let renewed = say(&own, "PUT", path, &[], &body).await;
            assert_eq!(renewed.cache(), "MISS", "{path}");
            assert!(renewed.json["auth"]["lease_duration"].as_u64() > Some(3500), "{}", renewed.json);
        }
    }
    // Ours as well; upstream's second answer was a 500.
    for _ in 0..3 {
        let renewed = say(&listener, "PUT", "auth/token/renew-self", &[], &json!({})).await;
        assert_eq!(renewed.cache(), "MISS");
        assert!(renewed.json["auth"]["lease_duration"].as_u64() > Some(3500), "{}", renewed.json);
    }
    // What a refused revocation names stays.
    let weak = stage.root.write(CREATE, &json!({"policies": ["default"]})).await.unwrap();
    let weak = listener.with_token(weak["auth"]["client_token"].as_str());
    let refused = weak.post("auth/token/revoke", &json!({"token": token(&parent)})).await.unwrap();
    assert_eq!(refused.status, 403, "{}", refused.json);
    assert_eq!(log_in(&listener, &stage.credentials, number).await.cache(), "HIT");

    // A login in a namespace, revoked there; the namespace stands in a header or in the path.
    let root = &stage.root;
    root.write("ns1/sys/auth/approle", &json!({"type": "approle"})).await.unwrap();
    root.write("ns1/auth/approle/role/app", &json!({"token_ttl": "1h"})).await.unwrap();
    let role = root.get("ns1/auth/approle/role/app/role-id").await.unwrap();
    let secret = root.write("ns1/auth/approle/role/app/secret-id", &json!({})).await.unwrap();
    let body = json!({"role_id": text(&role, "/data/role_id"), "secret_id": secret["data"]["secret_id"]});
    let header = [("x-vault-namespace", "ns1")];
    for (path, headers) in [("ns1/auth/token/revoke-self", &[][..]), ("auth/token/revoke-self", &header[..])]
    {
        let first = say(&listener, "POST", "auth/approle/login", &header, &body).await;
        assert_eq!(first.cache(), "MISS");
        for name in ["ns1", "ns1/", "/ns1"] {
            let again =
                say(&listener, "POST", "auth/approle/login", &[("x-vault-namespace", name)], &body).await;
            assert_eq!((again.cache(), token(&again)), ("HIT", token(&first)), "{name}");
        }
        let own = listener.with_token(Some(token(&first)));
        say(&own, "POST", path, headers, &none).await;
        let next = say(&listener, "POST", "auth/approle/login", &header, &body).await;
        assert_eq!(next.cache(), "MISS", "{path}");
        let own = listener.with_token(Some(token(&next)));
        say(&own, "POST", "auth/token/revoke-self", &header, &none).await;
    }
    agent.stop().await.unwrap();
}

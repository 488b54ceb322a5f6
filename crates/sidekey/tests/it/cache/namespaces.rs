//! A namespace of the configuration before that of each request.

use serde_json::json;

use super::{text, token};
use crate::Stage;

#[tokio::test]
async fn requests_stay_below_the_configured_namespace() {
    let stage = Stage::new().await;
    let root = &stage.root;
    root.write("sys/namespaces/team", &json!({})).await.unwrap();
    root.write("team/sys/namespaces/a", &json!({})).await.unwrap();
    for (namespace, color) in [("team", "green"), ("team/a", "red")] {
        root.write(&format!("{namespace}/sys/mounts/secret"), &json!({"type": "kv-v2"})).await.unwrap();
        let path = format!("{namespace}/secret/data/app");
        testkit::eventually("a mount that takes secrets", || async {
            root.write(&path, &json!({"data": {"color": color}})).await.ok()
        })
        .await
        .unwrap();
    }
    root.write("team/a/sys/auth/approle", &json!({"type": "approle"})).await.unwrap();
    root.write("team/a/auth/approle/role/app", &json!({"token_ttl": "1h"})).await.unwrap();
    let role = root.get("team/a/auth/approle/role/app/role-id").await.unwrap();
    let secret = root.write("team/a/auth/approle/role/app/secret-id", &json!({})).await.unwrap();
    let login = json!({"role_id": text(&role, "/data/role_id"), "secret_id": secret["data"]["secret_id"]});

    let program = testkit::Program::proxy(crate::sidekey(), stage.folder.path())
        .server(&stage.server.address())
        .config("api_proxy { prepend_configured_namespace = true }")
        // Named as policies name it: the cache sees the whole namespace.
        .config("cache { static_secrets { paths = [\"team/a/secret/*\"] } }")
        .env("VAULT_NAMESPACE", "team")
        .listener("");
    let (mut proxy, listener) = program.start_listening().await.unwrap();
    let reader = listener.with_token(Some(stage.server.root_token()));
    let inner = [("x-vault-namespace", "a"), ("content-type", "application/json")];
    let color = async |headers: &[(&str, &str)]| {
        let answer = reader.send("GET", "/v1/secret/data/app", headers, "").await.unwrap();
        (text(&answer, "/data/data/color").to_owned(), answer.cache().to_owned())
    };
    assert_eq!(color(&[]).await.0, "green");
    assert_eq!(color(&[("x-vault-namespace", "root")]).await.0, "green");
    assert_eq!(color(&inner).await.0, "red");
    testkit::eventually("a hit", || async {
        (color(&inner).await == ("red".into(), "HIT".into())).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(color(&[]).await, ("green".into(), "MISS".into()), "that one is not to be kept");
    // A login is remembered, and forgotten when it is revoked.
    let log_in = async || {
        let body = login.to_string();
        listener.send("POST", "/v1/auth/approle/login", &inner, &body).await.unwrap()
    };
    let first = log_in().await;
    assert_eq!(first.cache(), "MISS", "{}", first.json);
    let again = log_in().await;
    assert_eq!((again.cache(), token(&again)), ("HIT", token(&first)));
    let own = listener.with_token(Some(token(&first)));
    let revoked = own.send("POST", "/v1/auth/token/revoke-self", &inner, "").await.unwrap();
    assert_eq!(revoked.status, 204, "{}", revoked.json);
    assert_eq!(log_in().await.cache(), "MISS");
    proxy.stop().await.unwrap();
}

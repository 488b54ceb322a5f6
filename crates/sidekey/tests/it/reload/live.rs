//! What is another at once, without anything being made anew for it.

use serde_json::json;
use testkit::{eventually, free_pair};

use super::{Scene, at, listener};
use crate::Stage;

#[tokio::test]
async fn other_options_of_cache_and_client_leave_what_is_remembered() {
    let port = free_pair().unwrap();
    let text = |lines: &str, cache: &str| format!("{lines}\n{}cache {{\n{cache}\n}}\n", listener(port, ""));
    let scene = Scene::start(|_: &Stage| text("", "")).await;
    let create = json!({"policies": ["default"], "ttl": "1h"});
    let asked = async || at(port).post("auth/token/create", &create).await.unwrap().cache().to_owned();
    let remembered = async || Some(asked().await).filter(|cache| cache == "HIT");
    eventually("it to be remembered", remembered).await.unwrap();
    let held = scene.held().await;
    let proxied = format!("listener 127.0.0.1:{port} changed");
    for (lines, cache, change) in [
        ("#vault retry { num_retries = -1 }", "", "vault "),
        ("#vault retry { num_retries = 3 }", "", "vault "),
        ("disable_keep_alives = [\"proxying\", \"auto-auth\"]", "", "disable_keep_alives "),
        ("#api_proxy enforce_consistency = \"always\"", "", &proxied),
        (
            "#api_proxy enforce_consistency = \"always\"\n#api_proxy when_inconsistent = \"retry\"",
            "",
            &proxied,
        ),
        ("", "max_entries = 500", "cache "),
        ("", "renewals_per_second = 7\n max_bytes = 8000000", "cache "),
        ("", "", "cache "),
    ] {
        let changes = scene.changes(&text(lines, cache)).await;
        assert!(changes.iter().any(|one| one.starts_with(change)), "{lines} {cache}: {changes:?}");
        assert_eq!(asked().await, "HIT", "{lines} {cache}");
        assert_eq!(at(port).get("secret/data/app").await.unwrap().status.as_u16(), 200, "{lines} {cache}");
    }
    // They count.
    scene.changes(&text("", "deny_paths = [\"auth/token/create\"]")).await;
    assert_ne!(asked().await, "HIT");
    scene.changes(&text("", "")).await;
    assert_eq!(asked().await, "HIT");
    let status = scene.control.send("GET", "/agent/v1/status", &[], "").await.unwrap().json;
    assert_eq!(status["identities"][0]["logins"], 1, "{status}");
    assert_eq!(scene.held().await, (held.0 + 1, held.1), "the one that was not to be remembered");
    // Under other keys nothing would be found.
    assert_eq!(scene.changes(&text("", "key_mode = \"strict\"")).await, ["cache  changed"]);
    assert_ne!(asked().await, "HIT");
}

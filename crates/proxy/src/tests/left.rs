//! The access log of clients that do not wait.

use std::time::Duration;

use super::Front;
use crate::{AccessLog, AccessTarget};

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_answer_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::start(AccessTarget::File(path.clone())).unwrap();
    let front = Front::logging(log.clone());
    front.takes(Duration::from_secs(10));
    let mut client = front.connect();
    client
        .send("PUT /v1/ns/auth/token/revoke/%73.canary?a=s.canary HTTP/1.1\r\nHost: localhost\r\nX-Vault-Namespace: team\r\nContent-Length: 0\r\n\r\n")
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.finish();
    let text = std::fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&line["status"], &line["bytes"]), (&499.into(), &0.into()), "{text}");
    assert_eq!(
        (&line["path"], &line["method"]),
        (&"/v1/ns/auth/token/revoke".into(), &"PUT".into()),
        "{text}"
    );
    assert_eq!(line["namespace"], "team", "{text}");
    assert!(!text.contains("canary"), "{text}");
}

//! Fifty templates of which three fail: the others do not notice, and neither does the server, whose own audit log counts.
//!
//! `SIDEKEY_STORM_SECONDS=300` looks on for five minutes instead of twelve seconds. What happens in five minutes is also
//! tested under a paused clock in the crate `template`.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Program, Server, eventually, server_binary};
use tokio::time::sleep;

use super::template;
use crate::{put, sidekey};

fn looking_on() -> Duration {
    let told = std::env::var("SIDEKEY_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(told.unwrap_or(12))
}

/// The paths that were asked for, in the audit log's own words.
fn asked(log: &str) -> Vec<String> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let requests = lines.filter(|line| line["type"] == "request");
    requests.map(|line| line["request"]["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn of_fifty_templates_three_fail_and_the_others_do_not_notice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let log = path("audit");
    let audit = format!("audit \"file\" \"log\" {{\n options {{\n  file_path = {log:?}\n }}\n}}\n");
    put(&path("server.hcl"), &audit);
    let flags = [format!("-config={}", path("server.hcl").display())];
    let server = Server::dev_with(&server_binary().unwrap(), &flags).await.unwrap();
    let root = server.root_api().unwrap();
    root.write("sys/mounts/kv", &json!({"type": "kv", "options": {"version": "1"}})).await.unwrap();
    for nth in 0..49 {
        root.write(&format!("kv/s{nth}"), &json!({"value": "one"})).await.unwrap();
    }
    let policy = "path \"kv/s*\" { capabilities = [\"read\"] }";
    let credentials = server.approle("app", policy, 3600, 7200).await.unwrap();
    let before = asked(&std::fs::read_to_string(&log).unwrap()).len();

    let runs = |name: &str| std::fs::read_to_string(path(&format!("runs{name}"))).unwrap_or_default();
    let mut config = "vault {\n retry {\n  num_retries = -1\n }\n}\n".to_owned();
    for nth in 0..47 {
        let command = format!("command = \"echo x >> {}\"", path(&format!("runs{nth}")).display());
        config.push_str(&template(&format!("s{nth}"), &path(&format!("out{nth}")), &command));
    }
    put(&path("file"), "in the way");
    let failing = format!("command = \"echo x >> {}; exit 1\"", path("runs-failing").display());
    config.push_str(&template("s47", &path("failing"), &failing));
    config.push_str(&template("s48", &path("file/out"), ""));
    config.push_str(&template("denied", &path("denied"), ""));
    let config = config.replacen("vault {", &format!("vault {{\n address = {:?}", server.address()), 1);
    let program = Program::agent(sidekey(), folder.path()).config(&config);
    let mut agent = program.approle(&credentials, &["token"]).unwrap().start().unwrap();
    eventually("all but two files, and all commands", || async {
        let all = (0..47).all(|nth| runs(&nth.to_string()) == "x\n");
        Some(()).filter(|()| all && path("failing").exists())
    })
    .await
    .unwrap();
    let time = looking_on();
    sleep(time).await;

    let all: Vec<_> = asked(&std::fs::read_to_string(&log).unwrap()).split_off(before);
    let count = |path: &str| all.iter().filter(|asked| *asked == path).count();
    for nth in 0..47 {
        let output = std::fs::read_to_string(path(&format!("out{nth}"))).unwrap();
        assert_eq!((output.as_str(), runs(&nth.to_string()).as_str()), ("one", "x\n"), "{nth}");
        assert_eq!(count(&format!("kv/s{nth}")), 1, "{nth}");
    }
    assert_eq!(
        (count("kv/s47"), count("kv/s48")),
        (1, 1),
        "neither a command nor a file is a reason to read"
    );
    let (tries, denied) = (runs("-failing").lines().count(), count("kv/denied"));
    println!(
        "{time:?}: {} requests in all, {denied} of what is denied; {tries} tries of the failing command",
        all.len()
    );
    // Pauses double from a second on: in 12 s some four, in five minutes some nine.
    let most = time.as_secs().ilog2() as usize + 2;
    assert!((2..=most).contains(&tries), "{tries} tries of a failing command");
    assert!((2..=most + time.as_secs() as usize / 45).contains(&denied), "{denied} reads of what is denied");
    // The login, the mount once for all, and what is denied each time with a look at the mounts.
    assert!(all.len() <= 49 + 2 * denied + 3, "{} requests: {all:?}", all.len());
    assert!(!path("denied").exists() && std::fs::read_to_string(path("file")).unwrap() == "in the way");
    let output = agent.output().join("\n");
    for told in ["a template's command failed", "not a directory", "permission denied"] {
        assert!(output.contains(told), "{output}");
    }
    agent.stop().await.unwrap();
}

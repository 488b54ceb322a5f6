//! `sidekey cache`: what is remembered is told, what it says is not.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Api, Program, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{log_in, text, token};
use crate::{Stage, put, sidekey};

/// What a command prints when it is given `input`, and its exit code.
async fn run(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(sidekey());
    command.arg("cache").args(arguments).env_remove("BAO_AGENT_ADDR").env_remove("VAULT_AGENT_ADDR");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

async fn remembered(listener: &Api, stage: &Stage, number: u32) -> bool {
    log_in(listener, &stage.credentials, number).await.cache() == "HIT"
}

#[tokio::test]
async fn the_cache_is_told_and_cleared_and_no_secret_is_shown() {
    let stage = Stage::new().await;
    let socket = stage.path("agent.sock");
    let unix = format!("listener \"unix\" {{\n address = {socket:?}\n tls_disable = true\n}}");
    let metrics =
        "listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n role = \"metrics_only\"\n}";
    let program = stage.front().config(&unix).config(metrics);
    let (mut agent, listener) = program.start_listening().await.unwrap();
    eventually("our own login", async || (!stage.read("token").is_empty()).then_some(())).await.unwrap();
    let address = format!("-address=unix://{}", socket.display());

    let nothing = run(&["list", &address, "-path=/v1/"], "").await;
    assert_eq!(nothing, (Some(0), "Nothing is remembered.\n".to_owned()));
    let parent = log_in(&listener, &stage.credentials, 1).await;
    let own = listener.with_token(Some(token(&parent)));
    let child = own.post("auth/token/create", &json!({"ttl": "30m"})).await.unwrap();
    let second = log_in(&listener, &stage.credentials, 2).await;
    for number in [1, 2] {
        assert!(remembered(&listener, &stage, number).await);
    }

    // The list, as a table and as JSON, whole and in pages.
    let (code, table) = run(&["list", &address], "").await;
    assert_eq!(code, Some(0), "{table}");
    assert!(table.starts_with("KIND   ENTRY         BELOW"), "{table}");
    assert_eq!(table.lines().count(), 5, "a title, our own token, two logins and a child: {table}");
    let (_, listed) = run(&["list", &address, "-json", "-limit=2"], "").await;
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().len(), 2);
    let (_, short) = run(&["list", &address, "-limit", "2"], "").await;
    assert!(short.ends_with("There is more; -limit shows more than 2.\n"), "{short}");
    let (_, all) = run(&["list", &address, "-json"], "").await;
    let all: Value = serde_json::from_str(&all).unwrap();
    let entries = all.as_array().unwrap();
    let find = |path: &str| entries.iter().filter(|one| one["path"] == path).collect::<Vec<_>>();
    let (logins, children) = (find("/v1/auth/approle/login"), find("/v1/auth/token/create"));
    assert_eq!((logins.len(), children.len()), (2, 1), "{all}");
    assert_eq!(children[0]["below"], logins[0]["handle"]);
    assert_eq!((&logins[0]["children"], &logins[1]["children"]), (&json!(1), &json!(0)));
    assert!((1700..=1800).contains(&children[0]["ttl_left_seconds"].as_u64().unwrap()), "{all}");
    assert!((1200..=1350).contains(&children[0]["next_renewal_seconds"].as_u64().unwrap()), "{all}");
    assert_eq!(children[0]["bytes"], child.body.len());
    assert!(children[0]["age_seconds"].as_u64().unwrap() < 30 && children[0]["namespace"].is_null());
    let (_, some) = run(&["list", &address, "-json", "-path=/v1/auth/token"], "").await;
    assert_eq!(serde_json::from_str::<Value>(&some).unwrap(), json!([children[0]]), "{some}");
    let (code, stats) = run(&["stats", &address], "").await;
    assert_eq!(code, Some(0));
    for (what, number) in
        [("answers remembered", "3"), ("answered from memory", "2"), ("tokens kept alive", "3")]
    {
        let line = stats.lines().find(|line| line.starts_with(what));
        assert_eq!(line.and_then(|line| line.split_whitespace().last()), Some(number), "{what}: {stats}");
    }
    let (_, numbers) = run(&["stats", "-json", &address], "").await;
    assert_eq!(serde_json::from_str::<Value>(&numbers).unwrap()["tokens"], 3, "{numbers}");

    // The endpoint behind it: as guarded as the others, bounded, and read only.
    let raw = async |method: &str, query: &str| {
        listener.send(method, &format!("/agent/v1/cache{query}"), &[], "").await.unwrap()
    };
    let page = raw("GET", "?limit=1").await;
    assert_eq!((page.header("cache-control"), page.json["next"].as_u64()), ("no-store", Some(1)));
    assert_eq!(raw("GET", "?limit=99999999&after=99999999").await.json["entries"], json!([]));
    for wrong in ["?limit=x", "?after=-1", "?path=%zz", "?path=%ff"] {
        assert_eq!(raw("GET", wrong).await.status, 400, "{wrong}");
    }
    for method in ["POST", "PUT", "DELETE", "LIST"] {
        assert_eq!(raw(method, "").await.status, 405, "{method}");
    }
    let page_of_another = [("origin", "https://evil.example")];
    let refused = listener.send("GET", "/agent/v1/cache", &page_of_another, "").await.unwrap();
    assert_eq!(refused.status, 403);
    let line = agent.says("Api Address 3: ").await.unwrap();
    let measured = Api::new(line.split("Api Address 3: ").nth(1).unwrap().trim(), None).unwrap();
    assert_eq!(measured.send("GET", "/agent/v1/cache", &[], "").await.unwrap().status, 404);

    // Clearing. A token is read from a file or from standard input, and never taken from the command line.
    let (code, refused) = run(&["clear", "token", token(&parent), &address], "").await;
    assert_eq!(code, Some(1));
    assert!(
        refused.contains("does not belong on the command line") && !refused.contains(token(&parent)),
        "{refused}"
    );
    for (arguments, why) in [
        (&["clear", "token", &address][..], "standard input is empty"),
        (&["clear", "all", "value", &address], "all has no value"),
        (&["clear", "lease", "", &address], "VALUE is empty: lease needs one"),
        (&["clear", "mount", "/", &address], "mount not provided"),
        (&["clear", "all", "-older-than=", &address], "older_than must be seconds"),
        (&["clear", "all", "-older-than=-5m", &address], "older_than must be seconds"),
        (
            &["clear", "lease", "x", "-namespace=ns1", &address],
            "-namespace belongs to mount and request-path",
        ),
        (&["clear", "token", "-value-file=/nonexistent", &address], "/nonexistent"),
        (&["clear", "everything", &address], "invalid value 'everything'"),
    ] {
        let (code, said) = run(arguments, "").await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    assert!(remembered(&listener, &stage, 1).await && remembered(&listener, &stage, 2).await);
    let cleared = run(&["clear", "token", &address], &format!("{}\n", token(&parent))).await;
    assert_eq!(cleared, (Some(0), "Forgotten: 2 answers, 2 tokens, 0 leases.\n".to_owned()));
    assert!(!remembered(&listener, &stage, 1).await && remembered(&listener, &stage, 2).await);
    put(&stage.path("accessor"), text(&second, "/auth/accessor"));
    let file = format!("-value-file={}", stage.path("accessor").display());
    assert_eq!(run(&["clear", "token-accessor", &file, &address], "").await.0, Some(0));
    assert!(remembered(&listener, &stage, 1).await && !remembered(&listener, &stage, 2).await);
    assert_eq!(run(&["clear", "lease", "database/creds/app/1", &address], "").await.0, Some(0));
    assert_eq!(
        run(&["clear", "request-path", "/v1/auth/approle", "-ns", "ns1", &address], "").await.0,
        Some(0)
    );
    assert!(remembered(&listener, &stage, 1).await);
    assert_eq!(run(&["clear", "request_path", "/v1/auth/approle", &address], "").await.0, Some(0));
    assert!(!remembered(&listener, &stage, 1).await);
    let counted = run(&["clear", "mount", "auth/approle", "-dry-run", "-revoke", &address], "").await.1;
    assert!(counted.starts_with("Would forget: 1 answer, 1 token, 0 leases. Would revoke: 1;"), "{counted}");
    let young = run(&["clear", "all", "-older-than=1h", &address], "").await.1;
    assert_eq!(young, "Forgotten: 0 answers, 0 tokens, 0 leases.\n");
    let unclear = run(&["clear", "all", "-older-than=soon", &address], "").await;
    assert!(unclear.0 == Some(1) && unclear.1.contains("older_than must be seconds"), "{}", unclear.1);
    let last = log_in(&listener, &stage.credentials, 1).await;
    assert!(last.cache() == "HIT" && stage.is_alive(token(&last)).await);
    let gone = run(&["clear", "all", "-revoke", &address], "").await.1;
    assert!(gone.starts_with("Forgotten: 1 answer, 1 token, 0 leases. Being revoked: 1;"), "{gone}");
    let dead = async || (!stage.is_alive(token(&last)).await).then_some(());
    eventually("the revocation", dead).await.unwrap();

    let everything =
        [table, listed, all.to_string(), stats, numbers, page.json.to_string(), agent.output().join("\n")];
    let all_of = |answer| [token(answer).to_owned(), text(answer, "/auth/accessor").to_owned()];
    let secrets = [all_of(&parent), all_of(&child), all_of(&second)].concat();
    for secret in secrets.iter().chain([&stage.read("token"), &stage.credentials.0, &stage.credentials.1]) {
        assert!(
            !secret.is_empty() && everything.iter().all(|told| !told.contains(secret.as_str())),
            "{secret}"
        );
    }
    agent.stop().await.unwrap();

    // The proxy has its endpoints elsewhere; there may be no cache; and nobody may be there.
    let plain = Program::proxy(sidekey(), stage.folder.path()).server(&stage.server.address()).listener("");
    let (mut proxy, _) = plain.start_listening().await.unwrap();
    let line = proxy.says("Api Address 1: ").await.unwrap();
    let address = format!("-address={}", line.split("Api Address 1: ").nth(1).unwrap().trim());
    for arguments in [&["stats", &address][..], &["clear", "all", &address]] {
        let told = run(arguments, "").await;
        assert_eq!(told, (Some(0), "Nothing is remembered: there is no `cache` stanza.\n".to_owned()));
    }
    proxy.stop().await.unwrap();
    let nobody = run(&["list", "-address=http://127.0.0.1:1"], "").await;
    assert_eq!(nobody.0, Some(1));
    assert!(nobody.1.contains("no answer about the cache from http://127.0.0.1:1"), "{}", nobody.1);
}

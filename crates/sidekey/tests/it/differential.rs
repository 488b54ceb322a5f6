//! The same snippets to the real agent and to us, live: accepted or refused alike.
//!
//! The whole corpora are held against recorded verdicts in `hcl1` and `config`; this is every tenth of them
//! against the real binary, so that the recordings stay true.

use std::path::Path;

use base64::Engine as _;
use serde_json::Value;
use testkit::server_binary;
use tokio::process::Command;

use crate::{put, sidekey};

/// A configuration that is complete without the snippet.
const BASE: &str = "auto_auth {\n  method \"token_file\" { config = { token_file_path = \"/nonexistent/token\" } }\n  \
                    sink \"file\" { config = { path = \"/nonexistent/sink\" } }\n}\n";

async fn accepts(program: &Path, base: &Path, snippet: &Path) -> bool {
    let mut command = Command::new(program);
    command
        .arg("agent")
        .arg(format!("-config={}", base.display()))
        .arg(format!("-config={}", snippet.display()));
    let output = command.arg("-test-verify-only").output().await.unwrap();
    output.status.success()
}

#[tokio::test]
async fn every_tenth_snippet_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hcl1/tests/corpus/cases.jsonl");
    let text = std::fs::read_to_string(corpus).unwrap();
    let real = server_binary().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (base, snippet) = (folder.path().join("base.hcl"), folder.path().join("snippet.hcl"));
    put(&base, BASE);
    let (mut tried, mut alike) = (0, 0);
    for line in text.lines().step_by(10) {
        let case: Value = serde_json::from_str(line).unwrap();
        let bytes = match case["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => base64::prelude::BASE64_STANDARD.decode(case["b64"].as_str().unwrap()).unwrap(),
        };
        atomic_file::write(&snippet, &bytes, &atomic_file::Attributes::new(0o600)).unwrap();
        let theirs = accepts(&real, &base, &snippet).await;
        assert_eq!(
            Some(theirs),
            case["accepted"].as_bool(),
            "the recording is not true any more: {}",
            case["name"]
        );
        tried += 1;
        alike += usize::from(accepts(sidekey(), &base, &snippet).await == theirs);
    }
    // The rest are the differences that the corpus test of `hcl1` lists, each with its reason.
    assert!(tried > 90 && alike * 100 >= tried * 90, "{alike} of {tried} alike");
}

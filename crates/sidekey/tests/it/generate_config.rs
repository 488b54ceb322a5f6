//! `generate-config` beside the real one: the same files, words and exit codes.

use std::path::Path;

use serde_json::json;
use testkit::{Server, server_binary};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// What a command printed, and its exit code.
#[derive(Debug, PartialEq)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

struct Two<'a> {
    server: &'a Server,
    folder: &'a Path,
}

impl Two<'_> {
    async fn one(&self, program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = Command::new(program)
            .args(["agent", "generate-config"])
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder)
            .env("BAO_ADDR", self.server.address())
            .env("BAO_TOKEN", self.server.root_token())
            .envs(variables.iter().copied())
            .current_dir(self.folder)
            .output()
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What both say, and the file that both write.
    async fn both(
        &self,
        arguments: &[&str],
        file: &str,
        variables: &[(&str, &str)],
    ) -> (Said, Said, [String; 2]) {
        let path = self.folder.join(file);
        let mut files = [String::new(), String::new()];
        let mut said = Vec::new();
        for (program, file) in [server_binary().unwrap().as_path(), sidekey()].into_iter().zip(&mut files) {
            said.push(self.one(program, arguments, variables).await);
            *file = std::fs::read_to_string(&path).unwrap_or_default();
            remove(&path);
        }
        let ours = said.pop().unwrap();
        (said.pop().unwrap(), ours, files)
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of a test's own folder")]
fn remove(path: &Path) {
    drop(std::fs::remove_file(path));
}

async fn stage() -> Stage {
    let stage = Stage::new().await;
    let root = &stage.root;
    root.write("sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}})).await.unwrap();
    root.write("sys/mounts/team/kv", &json!({"type": "kv", "options": {"version": "2"}})).await.unwrap();
    for (path, data) in [
        ("secret/data/foo", json!({"data": {"user": "hidden", "password": "hidden", "x_9": 1}})),
        ("secret/data/apps/one", json!({"data": {"k": "hidden"}})),
        ("secret/data/apps/sub/two", json!({"data": {"n": "hidden", "K": "hidden"}})),
        ("team/kv/data/my-svc.x", json!({"data": {"é": "hidden"}})),
        ("secret/data/odd", json!({"data": {"b-c": "hidden", "9x": "hidden", "a\"b${x}": "hidden"}})),
        ("secret/data/a/db", json!({"data": {"k": "hidden"}})),
        ("secret/data/b/db", json!({"data": {"k": "hidden"}})),
        ("secret/data/gone/one", json!({"data": {"k": "hidden"}})),
        ("secret/data/gone/two", json!({"data": {"k": "hidden"}})),
        ("secret/data/twins", json!({"data": {"b-c": "hidden", "b.c": "hidden"}})),
        ("kv1/old", json!({"b": "hidden", "a": "hidden"})),
        ("kv1/dir/x", json!({"c": "hidden"})),
    ] {
        // The engine of version 2 needs a moment after its mount.
        testkit::eventually(path, || async { root.write(path, &data).await.ok() }).await.unwrap();
    }
    root.write("secret/delete/gone/two", &json!({"versions": [1]})).await.unwrap();
    stage
}

#[tokio::test]
async fn files_words_and_exit_codes_are_the_agents() {
    let stage = stage().await;
    let two = Two { server: &stage.server, folder: stage.folder.path() };
    put(&stage.path(".vault-token"), stage.server.root_token());
    let paths =
        ["secret/foo", "secret/apps/*", "kv1/*", "team/kv/my-svc.x"].map(|path| format!("-path={path}"));
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let with = |more: &[&'static str]| [more, &paths].concat();
    for (arguments, file) in [
        (vec!["-type=env-template"], "agent.hcl"),
        ([with(&["-type=env-template", "-exec=./app a  b"]), vec!["o.hcl"]].concat(), "o.hcl"),
        (vec!["-type", "env-template", "-path", "/secret/foo/", "-exec=", "o.hcl"], "o.hcl"),
        (
            vec!["-type=env-template", "-non-interactive", "-mfa=x", "-policy-override", "-unlock-key=x"],
            "agent.hcl",
        ),
        (
            vec!["-type=env-template", "-path=secret/data/foo", "-path=secret/data/apps/*", "--", "o.hcl"],
            "o.hcl",
        ),
    ] {
        let (theirs, ours, [want, got]) = two.both(&arguments, file, &[]).await;
        assert_eq!(got, want, "{arguments:?}");
        assert!(!want.is_empty() && !got.contains("hidden"));
        assert_eq!((ours.code, &ours.out), (theirs.code, &theirs.out), "{arguments:?}");
        assert!(ours.err.starts_with(&theirs.err), "{arguments:?}: {}", ours.err);
    }
    let (_, _, [want, got]) =
        two.both(&["-type=env-template"], "agent.hcl", &[("BAO_TOKEN_PATH", "/x/token")]).await;
    assert_eq!(got, want);
    assert!(got.contains("\"/x/token\""));
    // Mistakes: the same code, and where it is not Go's, the same words.
    for arguments in [
        &[][..],
        &["-type=x"],
        &["-type=env-template", "a", "b"],
        &["-type=env-template", "-path=secret/*/foo"],
        &["-type=env-template", "-path=secret/fo*"],
        &["-type=env-template", "-path=secret/none"],
        &["-type=env-template", "-path=nomount/x"],
        &["-type=env-template", "-path=secret"],
        &["-type=env-template", "o.hcl", "-path=secret/foo"],
        &["-type"],
        &["-type=env-template", "-path"],
    ] {
        let (theirs, ours, _) = two.both(arguments, "agent.hcl", &[]).await;
        assert_eq!(ours, theirs, "{arguments:?}");
    }
    for (arguments, code, word) in [
        (&["-bogus"][..], 1, "-bogus"),
        (&["-type=env-template", "-path=secret/none/*"], 2, "no value found at \"secret/metadata/none\""),
        (&["-type=env-template", "/nodir/x.hcl"], 3, "Could not create configuration file \"/nodir/x.hcl\""),
        (&["-type=env-template", "/tmp"], 3, "Could not create configuration file \"/tmp\""),
        (&["-type=env-template", "-path=secret/foo", "-address=http://127.0.0.1:1"], 2, "connection refused"),
        (&["-type=env-template", "-path=secret/foo", "-agent-address=http://127.0.0.1:1"], 2, "127.0.0.1:1"),
        (&["-type=env-template", "-path=secret/foo", "-namespace=none"], 2, "secret"),
    ] {
        let (theirs, ours, _) = two.both(arguments, "agent.hcl", &[]).await;
        assert_eq!((ours.code, theirs.code), (Some(code), Some(code)), "{arguments:?} {ours:?}");
        assert!(ours.err.contains(word), "{arguments:?} {ours:?}");
    }
    let (theirs, ours, _) =
        two.both(&["-type=env-template", "-path=secret/foo"], "agent.hcl", &[("BAO_TOKEN", "s.bad")]).await;
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn what_upstream_breaks_on_works() {
    let stage = stage().await;
    let two = Two { server: &stage.server, folder: stage.folder.path() };
    let generate = async |arguments: &[&str]| {
        two.one(sidekey(), &[&["-type=env-template"], arguments].concat(), &[]).await
    };
    // No token anywhere.
    let said = two.one(sidekey(), &["-type=env-template"], &[("BAO_TOKEN", "")]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("set VAULT_TOKEN"), "{}", said.err);
    // Upstream panics.
    let said = generate(&["-path=secret/gone/two"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("deleted"), "{}", said.err);
    // Which key is which cannot be told.
    let said = generate(&["-path=secret/twins"]).await;
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("\"b-c\"") && said.err.contains("\"b.c\"") && said.err.contains("TWINS_B_C"),
        "{}",
        said.err
    );
    // The file was there with another mode.
    let file = stage.path("app.hcl");
    atomic_file::write(&file, b"old", &atomic_file::Attributes::new(0o640)).unwrap();
    put(&stage.path(".vault-token"), stage.server.root_token());
    let paths = ["secret/odd", "secret/a/*", "secret/b/*", "secret/gone/*", "secret/odd"]
        .map(|path| format!("-path={path}"));
    let mut arguments: Vec<&str> = paths.iter().map(String::as_str).collect();
    arguments.extend(["-exec=sh env.sh", "app.hcl"]);
    let said = generate(&arguments).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("gone/two is left out"), "{}", said.err);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    // And our agent runs with it.
    put(&stage.path("env.sh"), "env | grep hidden | sort > got");
    let output = Command::new(sidekey())
        .args(["agent", "-config=app.hcl"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(stage.folder.path())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let want =
        "A_DB_K=hidden\nB_DB_K=hidden\nODD_9X=hidden\nODD_A_B_X=hidden\nODD_B_C=hidden\nONE_K=hidden\n";
    assert_eq!(stage.read("got"), want);
}

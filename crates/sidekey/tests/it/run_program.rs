//! `sidekey run` against the real server.

mod bank_vaults;

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use testkit::{Process, eventually};
use tokio::process::Command;

use crate::{Stage, put, sidekey};

/// What a command printed, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Stage {
    /// `sidekey run` with nothing of our environment but a path.
    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(sidekey());
        command
            .arg("run")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("VAULT_ADDR", self.server.address())
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = self.command(arguments, variables).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    async fn secrets(&self) {
        self.root.write("sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}})).await.unwrap();
        for (path, data) in [
            (
                "secret/data/db",
                json!({"data": {"user": "ann", "pass-word": "p@\"$x{{", "list": [1, "a"], "big": 12_345_678_901_u64}}),
            ),
            (
                "secret/data/db",
                json!({"data": {"user": "bob", "pass-word": "p@\"$x{{", "list": [1, "a"], "big": 12_345_678_901_u64}}),
            ),
            ("secret/data/tree/one", json!({"data": {"k": "1"}})),
            ("secret/data/tree/sub/two", json!({"data": {"k": "2", "b64": "aGVsbG8="}})),
            ("kv1/old", json!({"color": "grey"})),
        ] {
            eventually(path, || async { self.root.write(path, &data).await.ok() }).await.unwrap();
        }
    }
}

#[tokio::test]
async fn secrets_become_variables() {
    let stage = Stage::new().await;
    stage.secrets().await;
    let token = stage.server.root_token();
    let as_root = [("VAULT_TOKEN", token)];
    let said = stage
        .run(
            &["-secret=secret/db", "-secret", "kv1/old=OLD_", "-secret=secret/tree/*", "--", "env"],
            &as_root,
        )
        .await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    for line in [
        "USER=bob",
        "PASS_WORD=p@\"$x{{",
        "LIST=[1,\"a\"]",
        "BIG=12345678901",
        "OLD_COLOR=grey",
        "ONE_K=1",
        "SUB_TWO_K=2",
    ] {
        assert!(said.out.lines().any(|known| known == line), "{line}\n{}", said.out);
    }
    // Nothing of ours goes on, and there is nothing but the program's own output.
    assert!(!said.out.contains(token) && !said.out.contains("VAULT_TOKEN"), "{}", said.out);
    assert_eq!(said.err, "");

    // References, from the environment, a file and a flag; a role id and a secret id.
    let (role_id, secret_id) = &stage.credentials;
    put(
        &stage.path("vars"),
        "\u{feff}# c\r\nexport DSN='pg://${vault:secret/data/db#user}:x@h'\nPLAIN=\"as is\"\nDSN2=vault:kv1/old#color\n",
    );
    put(&stage.path("a.ctmpl"), "{{ with secret \"secret/db\" }}{{ .Data.data.user }}{{ end }}");
    // As a shell makes it for `<(…)`.
    let fifo = stage.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let writes = std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(fifo).unwrap();
        std::io::Write::write_all(&mut pipe, b"PIPED=vault:secret/data/db#user\n").unwrap();
    });
    let arguments = [
        "-env-file=vars",
        "-env-file=fifo",
        "-env=DSN2=vault:secret/db#user#1",
        "-template=a.ctmpl:a.conf",
        "sh",
        "-c",
        "env; cat a.conf; exit 7",
    ];
    let variables = [
        ("VAULT_ROLE_ID", role_id.as_str()),
        ("VAULT_SECRET_ID", secret_id.as_str()),
        ("WORD", "vault:secret/data/tree/sub/two#${.b64 | b64dec | upper}"),
        ("HOST", "vault:8200"),
    ];
    let said = stage.run(&arguments, &variables).await;
    assert_eq!(said.code, Some(7), "{}", said.err);
    writes.join().unwrap();
    for line in
        ["PIPED=bob", "DSN=pg://bob:x@h", "PLAIN=as is", "DSN2=ann", "WORD=HELLO", "HOST=vault:8200", "bob"]
    {
        assert!(said.out.lines().any(|known| known == line), "{line}\n{}", said.out);
    }
    assert!(!said.out.contains(secret_id) && !said.out.contains(role_id), "{}", said.out);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(stage.path("a.conf")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    // The file that logins of people leave; our token, when asked for.
    put(&stage.path(".vault-token"), token);
    let said =
        stage.run(&["-secret=secret/db", "-prefix=my_", "-keep-case", "-pass-token", "env"], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("my_user=bob\n") && said.out.contains(&format!("VAULT_TOKEN={token}\n")),
        "{}",
        said.out
    );
    // Its login ends with it, and so does nobody else's.
    assert!(stage.is_alive(token).await);

    // Names and paths, no values, and nothing runs.
    let said = stage
        .run(&["-secret=secret/db", "-env=A=hidden", "-dry-run", "touch", "ran", "hidden"], &as_root)
        .await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("variable: USER from secret/db#user\n")
            && said.out.contains("variable: A as given\n")
    );
    assert!(!said.out.contains("bob") && !said.out.contains("hidden") && !said.out.contains(token));
    assert!(!stage.path("ran").exists());
}

#[tokio::test]
async fn one_login_is_enough() {
    let stage = Stage::new().await;
    stage.secrets().await;
    let role = json!({"secret_id_num_uses": 1, "token_policies": ["app"], "token_ttl": 3600});
    stage.root.write("auth/approle/role/app", &role).await.unwrap();
    let (role_id, _) = &stage.credentials;
    let tokens = async || {
        let answer = stage.root.get("auth/token/accessors?list=true").await.unwrap();
        answer.json["data"]["keys"].as_array().unwrap().len()
    };
    // What runs, its exit code, and how many tokens there are more while it runs, and behind it.
    for (arguments, code, behind) in [
        (
            &["-secret=secret/db", "-pass-token", "sh", "-c", "echo $USER; echo $VAULT_TOKEN > token"][..],
            0,
            1,
        ),
        (&["-secret=secret/db", "true"], 0, 0),
        (&["-secret=secret/db", "sh", "-c", "exit 7"], 7, 0),
        (&["-secret=secret/db", "sh", "-c", "kill -9 $$"], 137, 0),
        (&["-secret=secret/db", "-dry-run", "true"], 0, 0),
        (&["-secret=secret/none", "true"], 1, 0),
        (&["-secret=secret/db", "-env=USER=x", "true"], 1, 0),
        (&["-env=X=vault:secret/db#${.user | nosuch}", "true"], 1, 0),
        (&["-secret=secret/db", "/none/program"], 1, 0),
        (&["-env=X=>>vault:secret/metadata/none#a#{\"max_versions\":5}", "true"], 66, 0),
    ] {
        let made = stage.root.write("auth/approle/role/app/secret-id", &json!({})).await.unwrap();
        let secret_id = made["data"]["secret_id"].as_str().unwrap().to_owned();
        let before = tokens().await;
        let variables = [("VAULT_ROLE_ID", role_id.as_str()), ("VAULT_SECRET_ID", &secret_id)];
        let said = stage.run(arguments, &variables).await;
        assert_eq!(said.code, Some(code), "{arguments:?} {}", said.err);
        assert_eq!(tokens().await - before, behind, "{arguments:?}");
    }
    // The program's token is the one.
    assert!(stage.is_alive(stage.read("token").trim()).await);
    // Whoever leaves something behind may want to keep what it was given.
    let made = stage.root.write("auth/approle/role/app/secret-id", &json!({})).await.unwrap();
    let secret_id = made["data"]["secret_id"].as_str().unwrap().to_owned();
    let before = tokens().await;
    let variables = [
        ("VAULT_ROLE_ID", role_id.as_str()),
        ("VAULT_SECRET_ID", &secret_id),
        ("VAULT_REVOKE_TOKEN", "false"),
    ];
    assert_eq!(stage.run(&["-secret=secret/db", "true"], &variables).await.code, Some(0));
    assert_eq!(tokens().await - before, 1);
}

#[tokio::test]
async fn what_vanishes_before_the_start_stops_it_and_later_does_not() {
    let stage = Stage::new().await;
    let as_root = ("VAULT_TOKEN", stage.server.root_token());
    stage.root.write("secret/data/two", &json!({"data": {"a": "1", "b": "1"}})).await.unwrap();
    let script = "echo $A $B >> log; while :; do sleep 0.02; done";
    let command = stage.command(&["-interval=1s", "-secret=secret/two", "sh", "-c", script], &[as_root]);
    let mut running = Process::start("run", self::Command::from(command.into_std())).unwrap();
    let holds = async |text: &str| {
        let held = eventually(text, || async { Some(()).filter(|()| stage.read("log") == text) }).await;
        held.unwrap_or_else(|why| panic!("{why}: {:?}", stage.read("log")));
    };
    holds("1 1\n").await;
    stage.root.write("secret/data/two", &json!({"data": {"a": "2"}})).await.unwrap();
    // One value is new, the other one stays as it was.
    holds("1 1\n2 1\n").await;
    stage.root.write("secret/data/two", &json!({"data": {"a": "2", "b": "3"}})).await.unwrap();
    holds("1 1\n2 1\n2 3\n").await;
    assert!(running.stop().await.unwrap().success());
    // Its output is the program's.
    assert!(running.output().iter().all(|line| !line.contains("==>")), "{:?}", running.output());

    // It is gone when everything was looked at and nothing is started yet.
    let variables = [as_root, ("VAULT_ENV_DELAY", "1s")];
    let mut starting = stage.command(&["-secret=secret/two", "touch", "ran"], &variables);
    let starting = starting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.root.write("secret/delete/two", &json!({"versions": [3]})).await.unwrap();
    let output = starting.wait_with_output().await.unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(66) && err.contains("secret/data/two"), "{:?} {err}", output.status);
    assert!(!stage.path("ran").exists());
}

#[tokio::test]
async fn a_token_helper_is_asked() {
    let stage = Stage::new().await;
    let helper = stage.path("helper");
    let script = format!(
        "#!/bin/sh\necho asked $1 >> {}\ntr -d '\\n' < {}\n",
        stage.path("log").display(),
        stage.path("kept").display()
    );
    atomic_file::write(&helper, script.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    put(&stage.path("kept"), &format!("{}\n", stage.server.root_token()));
    put(&stage.path(".vault-token"), "s.of-another-time");
    put(&stage.path(".bao"), &format!("token_helper = {helper:?}\n"));
    let said = stage.run(&["-secret=secret/app", "sh", "-c", "echo $COLOR"], &[]).await;
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "blue\n", ""));
    assert_eq!(stage.read("log"), "asked get\n");
    // The real one asks it, too, and writes the same.
    let mut files = Vec::new();
    for program in [sidekey(), &testkit::server_binary().unwrap()] {
        let mut command = Command::new(program);
        command.args(["agent", "generate-config", "-type=env-template", "-path=secret/app", "x.hcl"]);
        command.env_clear().env("HOME", stage.folder.path()).env("BAO_ADDR", stage.server.address());
        let output = command.current_dir(stage.folder.path()).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        files.push(stage.read("x.hcl"));
    }
    assert_eq!(files[0], files[1]);
    assert_eq!(stage.read("log").lines().count(), 3);
    // A token of the environment needs no helper, and a helper without one is told of.
    put(&stage.path("kept"), "\n");
    let said =
        stage.run(&["-secret=secret/app", "true"], &[("VAULT_TOKEN", stage.server.root_token())]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = stage.run(&["-secret=secret/app", "true"], &[]).await;
    assert_eq!((said.code, said.err.contains("helper has no token")), (Some(1), true), "{}", said.err);
}

#[tokio::test]
async fn one_clear_error_and_nothing_starts() {
    let stage = Stage::new().await;
    stage.secrets().await;
    stage.root.write("sys/mounts/pki", &json!({"type": "pki"})).await.unwrap();
    let token = stage.server.root_token();
    let as_root = [("VAULT_TOKEN", token)];
    for (arguments, why) in [
        (&["-secret=secret/none"][..], "could not read secret at \"secret/none\": secret not found"),
        (&["-secret=secret/none/*"], "no value found"),
        (
            &["-env=A=vault:secret/data/db#nope"],
            "A: secret/data/db has no key \"nope\"; it has big, list, pass-word, user",
        ),
        (&["-env=A=vault:secret/data/db#user#9"], "A: could not read secret"),
        (&["-env=A=vault:secret/data/db"], "names no key"),
        (
            &["-secret=secret/tree/one", "-secret=secret/tree/sub/two"],
            "secret/tree/one#k and secret/tree/sub/two#k would both be the variable K",
        ),
        (&["-secret=pki/issue/x"], "is of the kind \"pki\""),
        (&["-secret=nomount/x"], "preflight capability check returned 403"),
        (&["-template=none.ctmpl:x"], "there is no file none.ctmpl"),
        (&["-interval=soon", "-secret=secret/db"], "soon"),
        (&["-auth=ldap", "-secret=secret/db"], "\"ldap\""),
        (&["-env=A=vault:secret/data/db#${.user | nosuch}"], "a reference with a template is in A"),
        (&[], "no secret is asked for"),
    ] {
        let said = stage.run(&[arguments, &["touch", "ran"]].concat(), &as_root).await;
        assert_eq!(said.code, Some(1), "{arguments:?}");
        let all = said.out + &said.err;
        assert!(all.contains(why) && all.contains("nothing was started"), "{arguments:?}: {all}");
        assert!(!all.contains("bob") && !all.contains(token), "{all}");
    }
    for (variables, why) in [
        (&[][..], "nothing to log in with"),
        (&[("VAULT_TOKEN", "s.bad")], "the token in the environment"),
        (&[("VAULT_ROLE_ID", "x"), ("VAULT_SECRET_ID", "hidden")], "logging in with approle"),
        (&[("VAULT_TOKEN", "t"), ("VAULT_ADDR", "http://127.0.0.1:1")], "127.0.0.1:1"),
    ] {
        let said = stage.run(&["-secret=secret/db", "touch", "ran"], variables).await;
        assert_eq!(said.code, Some(1), "{variables:?}");
        let all = said.out + &said.err;
        assert!(all.contains(why) && !all.contains("hidden"), "{variables:?}: {all}");
        assert_eq!(all.matches("error: ").count(), 1, "{all}");
    }
    let said = stage.run(&["-bogus", "-secret=secret/db", "touch", "ran"], &as_root).await;
    assert_eq!(
        (said.code, said.err.contains("flag provided but not defined: -bogus")),
        (Some(1), true),
        "{}",
        said.err
    );
    // What stands beside a mistake may be a secret.
    put(&stage.path("nul"), "A=hidden\0x\n");
    put(&stage.path("plain"), "A=hidden\nVAULT_X=hidden\n");
    for (arguments, why) in [
        (&["-env-file=nul"][..], "nul: line 1: there is a NUL byte"),
        (&["-env-file=."], "is a directory"),
        (&["-template=.:x"], "--template \".:x\": . is a directory; name a file in it"),
        (&["-env-file=plain", "-on-change=SIGFOO"], "invalid signal \"SIGFOO\""),
        (&["-env-file=plain", "-stop-timeout=soon"], "soon"),
        (&["-env-file=plain", "-interval=soon"], "soon"),
        (&["-env-file=plain", "-env=B C=hidden"], "--env: write NAME=VALUE"),
    ] {
        let said = stage.run(&[arguments, &["-secret=secret/db", "touch", "ran"]].concat(), &as_root).await;
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(said.err.contains(why) && !said.err.contains("hidden"), "{arguments:?}: {}", said.err);
    }
    stage.root.write("sys/mounts/transit", &json!({"type": "transit"})).await.unwrap();
    eventually("a key", || async { stage.root.write("transit/keys/app", &json!({})).await.ok() })
        .await
        .unwrap();
    let variables = [as_root[0], ("VAULT_TRANSIT_KEY_ID", "app"), ("A", "vault:v1:AAAA")];
    let said = stage.run(&["touch", "ran"], &variables).await;
    assert_eq!((said.code, said.err.contains("transit/decrypt/app")), (Some(65), true), "{}", said.err);
    let said = stage.run(&["-secret=secret/db", "touch ran"], &as_root).await;
    assert_eq!((said.code, said.err.contains("white space")), (Some(1), true), "{}", said.err);
    assert!(!stage.path("ran").exists());
    // Unless what is missing may be missing.
    let arguments = ["-secret=secret/none", "-secret=secret/db", "env"];
    let variables =
        [as_root[0], ("VAULT_IGNORE_MISSING_SECRETS", "true"), ("GONE", "vault:secret/data/none#x")];
    let said = stage.run(&arguments, &variables).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("USER=bob") && !said.out.contains("GONE"), "{}", said.out);
    assert!(said.err.contains("secret/none") && said.err.contains("GONE is left out"), "{}", said.err);
}

#[tokio::test]
async fn a_change_restarts_signals_or_does_nothing() {
    let stage = Stage::new().await;
    let token = stage.server.root_token();
    let script = "echo $COLOR >> $1; trap 'echo changed >> $1' HUP; while :; do sleep 0.02; done";
    let start = |what: &str, file: &str| {
        let arguments = [what, "-interval=1s", "-secret=secret/app", "sh", "-c", script, "sh", file];
        let command = self::Command::from(stage.command(&arguments, &[("VAULT_TOKEN", token)]).into_std());
        Process::start(file, command).unwrap()
    };
    let mut all = [
        start("-on-change=restart", "restart"),
        start("-on-change=SIGHUP", "signal"),
        start("-once", "once"),
    ];
    let holds = async |file: &str, text: &str| {
        eventually(file, || async { Some(()).filter(|()| stage.read(file) == text) })
            .await
            .unwrap_or_else(|why| panic!("{why}: {file} {:?}", stage.read(file)));
    };
    for file in ["restart", "signal", "once"] {
        holds(file, "blue\n").await;
    }
    stage.root.write("secret/data/app", &json!({"data": {"color": "red"}})).await.unwrap();
    holds("restart", "blue\nred\n").await;
    holds("signal", "blue\nchanged\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.read("once"), "blue\n");
    for one in &mut all {
        assert!(one.stop().await.unwrap().success());
    }
}

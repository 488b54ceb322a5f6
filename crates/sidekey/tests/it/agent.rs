//! Logging in, sinks, templates, the end of the work.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use testkit::{Program, eventually};

use crate::{Stage, put, sidekey};

#[tokio::test]
async fn exit_after_auth_writes_every_sink_and_template_and_ends() {
    let stage = Stage::new().await;
    let template = |name: &str| {
        format!(
            "template {{ contents = \"{{{{ with secret \\\"secret/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\" destination = {:?} }}",
            stage.path(name)
        )
    };
    for by_flag in [false, true] {
        let mut program = stage.agent(&["one", "two", "three"]);
        for nth in 0..6 {
            program = program.config(&template(&format!("out{nth}")));
        }
        program =
            if by_flag { program.flag("-exit-after-auth") } else { program.config("exit_after_auth = true") };
        let mut agent = program.start().unwrap();
        let status = agent.ended().await.unwrap();
        assert!(status.success(), "{:?}", agent.output());
        for sink in ["one", "two", "three"] {
            assert!(stage.is_alive(&stage.read(sink)).await, "{sink}");
            let mode = std::fs::metadata(stage.path(sink)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o640);
        }
        for nth in 0..6 {
            assert_eq!(stage.read(&format!("out{nth}")), "blue");
        }
        assert!(agent.has_said("sinks finished, exiting"));
    }
}

#[tokio::test]
async fn approle_in_every_form() {
    let stage = Stage::new().await;
    let (role_id, secret_id) = &stage.credentials;
    let (role, secret) = (stage.path("r"), stage.path("s"));
    let run = async |keys: &str| {
        let program = Program::agent(sidekey(), stage.folder.path()).server(&stage.server.address()).config(&format!(
            "exit_after_auth = true\nauto_auth {{\n method \"approle\" {{ exit_on_err = true\n config = {{ role_id_file_path = {role:?}\n{keys} }} }}\n sink \"file\" {{ config = {{ path = {:?} }} }} }}",
            stage.path("token")
        ));
        let mut agent = program.start().unwrap();
        let status = agent.ended().await.unwrap();
        (status.code(), agent.output().join("\n"))
    };
    put(&role, &format!("{role_id}\n"));

    // A plain secret id is read, trimmed, used and removed, unless it is to stay.
    for (keep, stays) in [("remove_secret_id_file_after_reading = false", true), ("", false)] {
        put(&secret, &format!(" {secret_id}\n"));
        let (code, output) = run(&format!("secret_id_file_path = {secret:?}\n{keep}")).await;
        assert_eq!((code, secret.exists()), (Some(0), stays), "{output}");
        assert!(!output.contains(secret_id.as_str()), "the secret id is in the log");
    }

    // Wrapped: unwrapped when it was made where it should have been, left alone when not.
    let wrap = async || {
        let wrapped = stage
            .root
            .send("POST", "/v1/auth/approle/role/app/secret-id", &[("x-vault-wrap-ttl", "60s")], "")
            .await
            .unwrap();
        wrapped.json["wrap_info"]["token"].as_str().unwrap().to_owned()
    };
    let path =
        |path: &str| format!("secret_id_file_path = {secret:?}\nsecret_id_response_wrapping_path = {path:?}");
    put(&secret, &wrap().await);
    let (code, output) = run(&path("auth/approle/role/app/secret-id")).await;
    assert_eq!((code, secret.exists()), (Some(0), false), "{output}");
    put(&secret, &wrap().await);
    let (code, output) = run(&path("auth/approle/role/other/secret-id")).await;
    assert_eq!((code, secret.exists()), (Some(1), true), "{output}");
    assert!(output.contains("SECURITY: unable to validate wrapping token creation path"), "{output}");

    // A role without a secret.
    stage.root.write("auth/approle/role/app", &json!({"bind_secret_id": false, "token_policies": ["app"], "token_bound_cidrs": ["127.0.0.1/32"]})).await.unwrap();
    let (code, output) = run("").await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test]
async fn token_file_keeps_a_found_token_alive() {
    let stage = Stage::new().await;
    let made =
        stage.root.write("auth/token/create", &json!({"ttl": "4s", "policies": ["app"]})).await.unwrap();
    let token = made["auth"]["client_token"].as_str().unwrap();
    let file = stage.path("found");
    put(&file, &format!("{token}\n"));
    let program = Program::agent(sidekey(), stage.folder.path()).server(&stage.server.address()).config(&format!(
        "auto_auth {{ method \"token_file\" {{ config = {{ token_file_path = {file:?} }} }}\n sink \"file\" {{ config = {{ path = {:?} }} }} }}",
        stage.path("token")
    ));
    let mut agent = program.start().unwrap();
    agent.says("token written").await.unwrap();
    assert_eq!(stage.read("token"), token);
    // The third renewal of a four-second token comes when it would be dead without them.
    let renewals = || agent.output().iter().filter(|line| line.contains("renewed auth token")).count();
    eventually("three renewals", || async { Some(()).filter(|()| renewals() >= 3) }).await.unwrap();
    assert!(stage.is_alive(token).await, "it was not renewed");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_revoked_behind_our_back_is_replaced_at_once() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let first = stage.read("token");
    stage.root.write("auth/token/revoke", &json!({"token": first})).await.unwrap();
    // Whoever asks next is refused once at most, and his refusal is what wakes us.
    let _ = listener.get("secret/data/app").await.unwrap();
    eventually("a new token", || async { Some(()).filter(|()| stage.read("token") != first) }).await.unwrap();
    eventually("a read with it", || async {
        listener.get("secret/data/app").await.ok().filter(|answer| answer.status.is_success())
    })
    .await
    .unwrap();
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn one_sink_that_fails_delays_nobody() {
    let stage = Stage::with_ttl(3, 6).await;
    let blocked = stage.path("blocked");
    atomic_file::create_folders(&blocked).unwrap();
    let mut agent = stage.agent(&["blocked", "good"]).start().unwrap();
    agent.says("error returned by sink function, retrying").await.unwrap();
    let first = eventually("the good sink", || async { Some(stage.read("good")).filter(|t| !t.is_empty()) })
        .await
        .unwrap();
    eventually("its next token", || async { Some(()).filter(|()| stage.read("good") != first) })
        .await
        .unwrap();
    std::fs::remove_dir(&blocked).unwrap();
    eventually("the other sink", || async { Some(()).filter(|()| !stage.read("blocked").is_empty()) })
        .await
        .unwrap();
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn whatever_a_template_asks_for_is_there() {
    let stage = Stage::new().await;
    let write = async |path: &str, body| stage.root.write(path, &body).await.unwrap();
    write("sys/mounts/pki", json!({"type": "pki"})).await;
    write("pki/root/generate/internal", json!({"common_name": "root", "ttl": "100h"})).await;
    write("pki/roles/web", json!({"allow_any_name": true, "max_ttl": "50h"})).await;
    write("secret/data/app", json!({"data": {"color": "red"}})).await;
    write("secret/data/my%20app/two", json!({"data": {"a": 1}})).await;
    put(
        &stage.path("values"),
        "{{ with secret \"secret/app?version=1\" }}{{ .Data.data.color }}{{ end }} \
        {{ with secret \"secret/my%20app/two\" }}{{ .Data.metadata.version }}{{ end }} \
        {{ range secrets \"secret/\" }}{{ . }},{{ end }} {{ secrets \"secret/none\" | toJSON }} \
        {{ with secret \"sys/capabilities-self\" \"path=secret/x\" }}{{ index .Data \"secret/x\" }}{{ end }} \
        {{ env \"STAGE\" }} {{ plugin \"echo\" \" a \" \"\" \"b\" }} {{ scratch.Set \"k\" \"v\" }}{{ scratch.Get \"k\" }}",
    );
    put(&stage.path("pair"), "{{ with pkiCert \"pki/issue/web\" \"common_name=web\" \"ttl=10h\" }}{{ .Cert }}{{ .CA }}{{ .Key }}{{ .Key | writeToFile \"KEY\" \"\" \"\" \"0400\" }}{{ end }}"
        .replace("KEY", &stage.path("deep/key").display().to_string()).as_str());
    let template = |name: &str| {
        format!(
            "template {{ source = {:?} destination = {:?} perms = \"0600\" }}",
            stage.path(name),
            stage.path(&format!("{name}.out"))
        )
    };
    let program = stage.agent(&["token"]).env("STAGE", "test").config("exit_after_auth = true");
    let program = program.config(&template("values")).config(&template("pair"));
    let run = async || {
        let mut agent = program.start().unwrap();
        assert!(agent.ended().await.unwrap().success(), "{:?}", agent.output());
    };
    run().await;
    let values = stage.read("values.out");
    assert!(values.starts_with("blue 1 app,my app/, null [") && values.ends_with("] test a b v"), "{values}");
    let pair = stage.read("pair.out");
    assert!(
        pair.ends_with(&stage.read("deep/key")) && pair.matches("BEGIN CERTIFICATE").count() == 2,
        "{pair}"
    );
    assert_eq!(std::fs::metadata(stage.path("deep/key")).unwrap().permissions().mode() & 0o777, 0o400);
    // Started again: the file is where the certificate is kept.
    run().await;
    assert_eq!(stage.read("pair.out"), pair);
}

#[tokio::test]
async fn a_failing_template_leaves_the_others_and_their_commands_alone() {
    let stage = Stage::new().await;
    let good = format!(
        "template {{ contents = \"{{{{ with secret \\\"secret/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\" destination = {:?} command = \"echo x >> {}\" }}",
        stage.path("good"),
        stage.path("runs").display()
    );
    let bad = format!(
        "template {{ contents = \"{{{{ with secret \\\"secret/none\\\" }}}}{{{{ end }}}}\" destination = {:?} }}",
        stage.path("bad")
    );
    let mut agent = stage.agent(&["token"]).config(&good).config(&bad).start().unwrap();
    agent
        .says("(view) vault.read(secret/none): no secret exists at secret/data/none (retry attempt 3")
        .await
        .unwrap();
    assert_eq!((stage.read("good"), stage.read("runs").as_str()), ("blue".into(), "x\n"));
    stage.root.write("secret/data/none", &json!({"data": {"a": 1}})).await.unwrap();
    eventually("the other template", || async { Some(()).filter(|()| stage.path("bad").exists()) })
        .await
        .unwrap();
    assert_eq!(stage.read("runs"), "x\n", "an unchanged file's command ran again");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn no_canary_gets_into_the_log() {
    let stage = Stage::new().await;
    stage.root.write("secret/data/app", &json!({"data": {"color": "CANARY-value"}})).await.unwrap();
    let template = format!(
        "template {{ contents = \"{{{{ with secret \\\"secret/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ .Data.data.color.x }}}}{{{{ end }}}}\" destination = {:?} }}",
        stage.path("out")
    );
    let (mut agent, listener) =
        stage.front().config(&template).flag("-log-level=trace").start_listening().await.unwrap();
    agent.says("template server error").await.unwrap();
    let token = stage.read("token");
    listener.get("secret/data/app").await.unwrap();
    let login = json!({"role_id": stage.credentials.0, "secret_id": stage.credentials.1});
    let made = listener.post("auth/approle/login", &login).await.unwrap();
    listener
        .post("auth/approle/login", &json!({"role_id": "CANARY-role", "secret_id": "CANARY-secret"}))
        .await
        .unwrap();
    listener.with_token(Some("CANARY-token")).get("secret/data/app?x=CANARY-query").await.unwrap();
    let clear = json!({"type": "token", "value": "CANARY-clear"}).to_string();
    listener
        .send("POST", "/agent/v1/cache-clear", &[("content-type", "application/json")], &clear)
        .await
        .unwrap();
    agent.stop().await.unwrap();
    let output = agent.output().join("\n");
    for secret in [
        "CANARY",
        &token,
        &stage.credentials.0,
        &stage.credentials.1,
        made.json["auth"]["client_token"].as_str().unwrap(),
    ] {
        assert!(!output.contains(secret), "{secret} is in the log:\n{output}");
    }
}

#[tokio::test]
async fn namespaces_of_our_own_requests_go_in_the_header() {
    let scripted =
        crate::scripted::Scripted::start(|_, _| crate::scripted::Do::Answer(400, "{\"errors\":[\"no\"]}"))
            .await;
    let folder = tempfile::tempdir().unwrap();
    let program = Program::agent(sidekey(), folder.path())
        .config(&format!("vault {{ address = {:?}\n namespace = \"file\" }}", scripted.address))
        .approle(&("r".into(), "s".into()), &["token"])
        .unwrap()
        .env("BAO_NAMESPACE", "/from/env");
    let mut agent = program.start().unwrap();
    agent.says("error authenticating").await.unwrap();
    assert!(scripted.asked("login")[0].head.contains("x-vault-namespace: from/env/"));
    agent.stop().await.unwrap();
}

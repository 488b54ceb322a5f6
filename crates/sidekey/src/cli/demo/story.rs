//! The five acts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Api, KitError, PATIENCE, Process, Program, Server, server_binary};
use tokio::time::{Instant, sleep};

use super::DemoArgs;
use super::stage::{Folder, Reader, claim, file_holds, say};

/// How long act (a) watches the sink: two maximum TTLs and a half.
const WATCH: Duration = Duration::from_secs(25);

/// What it all runs on.
struct Stage {
    folder: Folder,
    server: Server,
    ours: PathBuf,
}

pub(super) async fn tell(arguments: &DemoArgs) -> Result<(), KitError> {
    let started = Instant::now();
    let binary = match &arguments.server {
        Some(path) => path.clone(),
        None => server_binary()?,
    };
    let folder = Folder::new()?;
    let ours = std::env::current_exe()?;
    say(&format!("A real server: {} with one-node raft storage, on this machine alone.", binary.display()));
    let server = Server::raft(&binary, &folder.sub("server")?).await?;
    let mut stage = Stage { folder, server, ours };

    let short = stage.short_lived_token().await?;
    stage.templates().await?;
    let (mut agent, listener, credentials) = stage.listener().await?;
    cache_clear(&listener, &credentials).await?;
    // Act (a) has been going on beside the others; the outage would be no fault of its token.
    short.finish().await?;
    stage.outage(&listener).await?;

    say(&format!("\nAll of it was true, in {:.0} seconds.", started.elapsed().as_secs_f64()));
    if arguments.keep {
        keep(&stage, &agent, &listener, &credentials).await?;
    }
    agent.stop().await?;
    Ok(())
}

/// Act (a), which runs beside the others until its time is over.
struct ShortLived {
    agent: Process,
    reader: Reader,
    sink: PathBuf,
    first: String,
    ends_at: Instant,
}

impl ShortLived {
    async fn finish(mut self) -> Result<(), KitError> {
        say("\n(a) again, at the end of its 25 seconds");
        tokio::time::sleep_until(self.ends_at).await;
        let (asked, failed) = self.reader.finish().await;
        claim(
            &format!("a reader asked {asked} times with the token in the file, refused: {failed}"),
            failed == 0 && asked > 50,
        )?;
        let renewed = self.agent.output().iter().filter(|line| line.contains("renewed auth token")).count();
        claim(&format!("the token was renewed {renewed} times"), renewed >= 4)?;
        let logins =
            self.agent.output().iter().filter(|line| line.contains("authentication successful")).count();
        let last = std::fs::read_to_string(&self.sink)?;
        claim(
            &format!("at the maximum TTL a new one appeared in the file: {logins} logins in all"),
            (3..=5).contains(&logins) && last != self.first,
        )?;
        self.agent.stop().await?;
        Ok(())
    }
}

impl Stage {
    fn agent(&self, name: &str) -> Result<(Program, PathBuf), KitError> {
        let folder = self.folder.sub(name)?;
        let program =
            Program::agent(&self.ours, &folder).server(&self.server.address()).config("log_level = \"info\"");
        Ok((program, folder))
    }

    async fn short_lived_token(&self) -> Result<ShortLived, KitError> {
        say("\n(a) AppRole, token TTL 3 s, maximum TTL 10 s, one file sink");
        let credentials = self.server.approle("short", Server::EVERYTHING, 3, 10).await?;
        let (program, folder) = self.agent("short")?;
        let sink = folder.join("token");
        let agent = program.approle(&credentials, &["token"])?.start()?;
        let first = file_holds(&sink, PATIENCE, |token| !token.is_empty()).await?;
        let mode = std::fs::metadata(&sink)?.permissions().mode() & 0o777;
        claim(&format!("the sink file holds a token, mode {mode:04o}"), mode == 0o640)?;
        let server = self.server.api(None)?;
        let reader = Reader::of_sink(sink.clone(), server, Duration::from_millis(100));
        say("        a reader polls the file from now on, for 25 seconds");
        Ok(ShortLived { agent, reader, sink, first, ends_at: Instant::now() + WATCH })
    }

    async fn templates(&self) -> Result<(), KitError> {
        say("\n(b) a template with a KV secret and a leased one, mode 0640, and a command");
        let root = self.server.root_api()?;
        root.write("secret/data/app", &json!({"data": {"user": "app", "color": "blue"}})).await?;
        root.write("sys/mounts/pki", &json!({"type": "pki"})).await?;
        root.write("pki/root/generate/internal", &json!({"common_name": "demo", "key_type": "ec"})).await?;
        let role = json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h", "generate_lease": true, "no_store": false});
        root.write("pki/roles/app", &role).await?;
        let credentials = self.server.approle("render", Server::EVERYTHING, 3600, 7200).await?;
        let (program, folder) = self.agent("render")?;
        let (output, runs) = (folder.join("app.conf"), folder.join("runs"));
        let contents = r#"{{ with secret "secret/app" }}color = {{ .Data.data.color }}{{ end }}
{{ with secret "pki/issue/app" "common_name=app.test" }}lease = {{ .LeaseID }}{{ end }}
"#;
        let stanza = format!(
            "template {{\n  contents = <<EOT\n{contents}EOT\n  destination = {output:?}\n  perms = \"0640\"\n  \
             command = \"echo run >> {}\"\n}}\ntemplate_config {{ static_secret_render_interval = \"1s\" }}\n",
            runs.display()
        );
        let mut agent = program.approle(&credentials, &["token"])?.config(&stanza).start()?;
        let rendered = |color: &'static str| {
            move |text: &str| {
                text.contains(&format!("color = {color}")) && text.contains("lease = pki/issue/app/")
            }
        };
        let before = file_holds(&output, PATIENCE, rendered("blue")).await?;
        let mode = std::fs::metadata(&output)?.permissions().mode() & 0o777;
        claim(
            &format!("rendered, mode {mode:04o}: {}", before.trim_end().replace('\n', ", ")),
            mode == 0o640,
        )?;
        let count = |text: &str| text.lines().count();
        file_holds(&runs, PATIENCE, |text| count(text) == 1).await?;
        root.write("secret/data/app", &json!({"data": {"user": "app", "color": "green"}})).await?;
        let after = file_holds(&output, PATIENCE, rendered("green")).await?;
        claim(
            "the KV secret changed, and so did the file; the leased one in it is still the same",
            after.lines().nth(1) == before.lines().nth(1),
        )?;
        file_holds(&runs, PATIENCE, |text| count(text) == 2).await?;
        // Two more readings of the unchanged secret.
        sleep(Duration::from_millis(2500)).await;
        let ran = count(&std::fs::read_to_string(&runs)?);
        claim(&format!("the command ran once per change: {ran} times"), ran == 2)?;
        agent.stop().await?;
        Ok(())
    }

    async fn listener(&mut self) -> Result<(Process, Api, (String, String)), KitError> {
        say("\n(c) a listener with use_auto_auth_token, and clients without any token");
        let credentials = self.server.approle("front", Server::EVERYTHING, 3600, 7200).await?;
        let root = self.server.root_api()?;
        let (program, folder) = self.agent("front")?;
        let rendered = folder.join("rendered");
        let template = format!(
            "template {{\n  contents = \"{{{{ with secret \\\"secret/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\"\n  \
             destination = {rendered:?}\n  perms = \"0600\"\n}}\ntemplate_config {{ static_secret_render_interval = \"2s\" }}\n"
        );
        let program = program
            .approle(&credentials, &["token"])?
            .config("cache {}\napi_proxy { use_auto_auth_token = true }")
            .config(&template)
            .listener("");
        let (agent, listener) = program.start_listening().await?;
        file_holds(&rendered, PATIENCE, |text| text == "green").await?;

        let read = listener.get("secret/data/app").await?;
        claim(
            &format!("a KV read works: {} {}", read.status.as_u16(), read.json["data"]["data"]),
            read.status.is_success(),
        )?;
        let role = "auth/approle/role/short";
        let ids: Vec<String> = [
            listener.get(&format!("{role}/role-id")).await?,
            listener.post(&format!("{role}/secret-id"), &json!({})).await?,
            listener.post(&format!("{role}/secret-id"), &json!({})).await?,
        ]
        .iter()
        .map(|answer| answer.cache().to_owned())
        .collect();
        claim(
            &format!("asking for a role id and for secret ids is not cached: {ids:?}"),
            ids == ["MISS", "MISS", "MISS"],
        )?;

        let before = logins(&root, "front").await?;
        let mut tokens = Vec::new();
        let login = |body: String, headers: Vec<(&'static str, &'static str)>| {
            let listener = listener.clone();
            async move { listener.send("POST", "/v1/auth/approle/login", &headers, &body).await }
        };
        let (role_id, secret_id) = &credentials;
        let plain = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
        for _ in 0..3 {
            let answer = login(plain.clone(), vec![]).await?;
            tokens.push((answer.cache().to_owned(), text(&answer.json["auth"]["client_token"])));
        }
        let origins: Vec<&str> = tokens.iter().map(|(origin, _)| origin.as_str()).collect();
        claim(
            &format!("three identical logins give one and the same token: {origins:?}"),
            origins == ["MISS", "HIT", "HIT"] && tokens.iter().all(|(_, token)| *token == tokens[0].1),
        )?;
        let other = format!("{{ \"secret_id\" : \"{secret_id}\",\n   \"role_id\":\"{role_id}\" }}\n");
        let headers = vec![
            ("user-agent", "other/1.0"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let answer = login(other, headers).await?;
        claim(
            "so does one with other key order, white space, User-Agent and a traceparent",
            answer.cache() == "HIT" && text(&answer.json["auth"]["client_token"]) == tokens[0].1,
        )?;
        let after = logins(&root, "front").await?;
        claim(&format!("the server counted {} login", after - before), after - before == 1)?;
        Ok((agent, listener, credentials))
    }

    async fn outage(&mut self, listener: &Api) -> Result<(), KitError> {
        say("\n(e) the server is killed, started and unsealed again, while a reader asks the listener");
        let rendered = self.folder.path().join("front/rendered");
        let root = self.server.root_api()?;
        let reader = Reader::of_listener(listener.clone(), "secret/data/app", Duration::from_millis(50));
        sleep(Duration::from_millis(300)).await;
        self.server.kill().await;
        say("        killed");
        sleep(Duration::from_secs(3)).await;
        claim("the rendered file stays", std::fs::read_to_string(&rendered)? == "green")?;
        self.server.start_again().await?;
        say("        started, sealed");
        self.server.unseal().await?;
        let unsealed = Instant::now();
        say("        unsealed");
        let answer = listener.get("secret/data/app").await?;
        claim(
            &format!(
                "a read works {:.1} s later, without a restart of ours",
                unsealed.elapsed().as_secs_f64()
            ),
            answer.status.is_success(),
        )?;
        let (asked, failed) = reader.finish().await;
        claim(
            &format!("reads through the listener meanwhile: {asked}, lost: {failed}"),
            failed == 0 && asked > 5,
        )?;
        root.write("secret/data/app", &json!({"data": {"color": "red"}})).await?;
        file_holds(&rendered, PATIENCE, |text| text == "red").await?;
        claim("the template goes on: the secret changed, and so did the file", true)
    }
}

async fn cache_clear(listener: &Api, (role_id, secret_id): &(String, String)) -> Result<(), KitError> {
    say("\n(d) cache-clear by request path");
    let body = json!({"role_id": role_id, "secret_id": secret_id});
    let before = listener.post("auth/approle/login", &body).await?;
    let clear = json!({"type": "request_path", "value": "/v1/auth/approle/login"}).to_string();
    let cleared = listener
        .send("POST", "/agent/v1/cache-clear", &[("content-type", "application/json")], &clear)
        .await?;
    let after = listener.post("auth/approle/login", &body).await?;
    let new = before.json["auth"]["client_token"] != after.json["auth"]["client_token"];
    claim(
        "after it the same login gives a new token",
        before.cache() == "HIT" && cleared.status.is_success() && after.cache() == "MISS" && new,
    )
}

/// How many tokens the server gave out for a role: its accessors tell.
async fn logins(root: &Api, role: &str) -> Result<usize, KitError> {
    let accessors = root.send("LIST", "/v1/auth/token/accessors", &[], "").await?;
    let mut count = 0;
    for accessor in accessors.json["data"]["keys"].as_array().into_iter().flatten() {
        let found = root.post("auth/token/lookup-accessor", &json!({"accessor": accessor})).await?;
        count += usize::from(found.json["data"]["meta"]["role_name"] == role);
    }
    Ok(count)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn keep(
    stage: &Stage,
    agent: &Process,
    listener: &Api,
    credentials: &(String, String),
) -> Result<(), KitError> {
    let address = agent
        .output()
        .iter()
        .find_map(|line| line.split("Api Address 1: ").nth(1).map(str::to_owned))
        .unwrap_or_default();
    let front: &Path = &stage.folder.path().join("front");
    listener.get("secret/data/app").await?;
    say(&format!(
        "\nIt stays up until you press Ctrl-C. Try:\n\n  \
         curl -s {address}/v1/secret/data/app\n  \
         curl -s {address}/v1/auth/approle/login -d '{{\"role_id\":\"{}\",\"secret_id\":\"{}\"}}' -i\n  \
         BAO_ADDR={address} {} kv get secret/app\n  \
         cat {}/token\n  \
         cat {}/config.hcl",
        credentials.0,
        credentials.1,
        stage.server.binary().display(),
        front.display(),
        front.display(),
    ));
    tokio::signal::ctrl_c().await?;
    Ok(())
}

//! A new configuration while the program runs: what is the same goes on, and a bad one changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Api, Process, Program, eventually, free_pair};
use tokio::task::JoinSet;

use crate::{Stage, put, sidekey};

mod live;
mod many;
mod moves;
mod troubles;

/// An agent whose configuration is written anew again and again, and somebody who asks it to read it.
struct Scene {
    stage: Stage,
    agent: Process,
    control: Api,
}

/// A secret with a lease: one a request.
const LEASED: &str =
    r#"{{ with secret \"pki/issue/app\" \"common_name=app.example\" }}{{ .Data.serial_number }}{{ end }}"#;

impl Scene {
    async fn start(text: impl FnOnce(&Stage) -> String) -> Self {
        Self::on(Stage::new().await, sidekey(), &[], text).await
    }

    /// With another program that becomes ours, and what it finds in its environment.
    async fn on(
        stage: Stage,
        program: &std::path::Path,
        environment: &[(&str, &str)],
        text: impl FnOnce(&Stage) -> String,
    ) -> Self {
        for (path, body) in [
            ("sys/mounts/pki", json!({"type": "pki"})),
            ("pki/root/generate/internal", json!({"common_name": "root", "key_type": "ec", "key_bits": 256})),
            (
                "pki/roles/app",
                json!({"allow_any_name": true, "generate_lease": true, "key_type": "ec", "key_bits": 256, "ttl": "12h"}),
            ),
        ] {
            stage.root.write(path, &body).await.unwrap();
        }
        let text = text(&stage);
        let program = Program::agent(program, stage.folder.path()).config(&whole(&stage, &text));
        let program = environment.iter().fold(program, |program, (name, value)| program.env(name, value));
        let mut agent = program.start().unwrap();
        agent.says("token written").await.unwrap();
        let control = Api::new(&format!("unix://{}", stage.path("control").display()), None).unwrap();
        eventually("it to be ready", || async {
            let status = control.send("GET", "/agent/v1/status", &[], "").await.ok()?;
            Some(()).filter(|()| status.json["ready"] == true)
        })
        .await
        .unwrap_or_else(|why| panic!("{why}\n{}", agent.output().join("\n")));
        Self { stage, agent, control }
    }

    /// Puts a configuration in the place of the one before; gives status and answer.
    async fn reload(&self, text: &str) -> (u16, Value) {
        put(&self.stage.path("config.hcl"), &whole(&self.stage, text));
        self.ask().await
    }

    async fn ask(&self) -> (u16, Value) {
        let answer = self.control.send("POST", "/agent/v1/reload", &[], "").await;
        let answer = answer.unwrap_or_else(|why| panic!("{why}\n{}", self.agent.output().join("\n")));
        (answer.status.as_u16(), answer.json)
    }

    /// The same, which must succeed; gives the changes, `what name how` each.
    async fn changes(&self, text: &str) -> Vec<String> {
        let (status, answer) = self.reload(text).await;
        assert_eq!(status, 200, "{answer}\n{}", self.agent.output().join("\n"));
        let word = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
        let short = |change: &Value| {
            let name = word(change, "name");
            let name = name.rsplit('/').next().unwrap_or_default();
            format!("{} {name} {}", word(change, "what"), word(change, "change"))
        };
        answer["changes"].as_array().unwrap().iter().map(short).collect()
    }

    /// Tokens and leases that the server knows: root's and the agent's, and those of templates.
    async fn held(&self) -> (usize, usize) {
        let count = async |path: &str| {
            let answer = self.stage.root.send("LIST", path, &[], "").await.unwrap();
            answer.json["data"]["keys"].as_array().map_or(0, Vec::len)
        };
        (count("/v1/auth/token/accessors").await, count("/v1/sys/leases/lookup/pki/issue/app").await)
    }

    /// Waits for a line that has not been there before this was asked.
    async fn says_soon(&self, words: &str, before: usize) {
        let count = || self.agent.output().iter().filter(|line| line.contains(words)).count();
        let said = async || (count() > before).then_some(());
        eventually(words, said)
            .await
            .unwrap_or_else(|why| panic!("{why}\n{}", self.agent.output().join("\n")));
    }

    async fn file(&self, name: &str, is_right: impl Fn(&str) -> bool) -> String {
        let right = || async { Some(self.stage.read(name)).filter(|text| is_right(text)) };
        let found = eventually("the file", right).await;
        found.unwrap_or_else(|why| panic!("{name}: {why}\n{}", self.agent.output().join("\n")))
    }
}

/// With what all of them have: the server, a login, and a listener to ask for reloads. What stands behind `#vault ` and
/// `#api_proxy ` comes into these.
fn whole(stage: &Stage, text: &str) -> String {
    let (role, secret) = (stage.path("role-id"), stage.path("secret-id"));
    if !role.exists() {
        put(&role, &stage.credentials.0);
        put(&secret, &stage.credentials.1);
    }
    // What stands in place of it is a whole file, or none.
    if text.contains("NO SERVER") {
        return text.to_owned();
    }
    let several = text.contains("auto_auth \"");
    let login = match several || text.contains("auto_auth {") {
        true => String::new(),
        false => login(stage, "token"),
    };
    let inside = |stanza: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(stanza));
        lines.collect::<Vec<_>>().join("\n")
    };
    format!(
        "vault {{\n address = {:?}\n{}\n}}\n{login}\nlistener \"unix\" {{\n address = {:?}\n tls_disable = true\n agent_api {{ enable_reload = true }}\n}}\napi_proxy {{\n use_auto_auth_token = true\n{}\n{}\n}}\n{text}\n",
        stage.server.address(),
        inside("#vault "),
        stage.path("control"),
        if several { "auto_auth = \"a\"" } else { "" },
        inside("#api_proxy "),
    )
}

fn login(stage: &Stage, sink: &str) -> String {
    format!(
        "auto_auth {{\n method \"approle\" {{ config = {{ role_id_file_path = {:?} secret_id_file_path = {:?} remove_secret_id_file_after_reading = false }} }}\n sink \"file\" {{ config = {{ path = {:?} }} }}\n}}\n",
        stage.path("role-id"),
        stage.path("secret-id"),
        stage.path(sink),
    )
}

fn template(stage: &Stage, name: &str, contents: &str) -> String {
    format!("template {{\n contents = \"{contents}\"\n destination = {:?}\n}}\n", stage.path(name))
}

fn listener(port: u16, keys: &str) -> String {
    listener_at("127.0.0.1", port, &format!(" tls_disable = true\n{keys}"))
}

fn listener_at(host: &str, port: u16, keys: &str) -> String {
    format!("listener \"tcp\" {{\n address = \"{host}:{port}\"\n{keys}\n}}\n")
}

fn at(port: u16) -> Api {
    Api::new(&format!("http://127.0.0.1:{port}"), None).unwrap()
}

#[tokio::test]
async fn what_is_the_same_goes_on_and_what_is_new_is_added() {
    let (one, two) = (free_pair().unwrap(), free_pair().unwrap());
    let cached = "cache {}\n";
    let base = |stage: &Stage| template(stage, "a", LEASED) + &listener(one, "") + cached;
    let scene = Scene::start(base).await;
    let stage = &scene.stage;
    let first = base(stage);
    let serial = scene.file("a", |text| text.contains(':')).await;
    let create = json!({"policies": ["default"], "ttl": "1h"});
    assert_eq!(at(one).post("auth/token/create", &create).await.unwrap().cache(), "MISS");
    let held = scene.held().await;
    assert_eq!(held.1, 1);

    let none: [&str; 0] = [];
    assert_eq!(scene.changes(&first).await, none);
    // A listener, and its rules.
    let more = first.clone() + &listener(two, "");
    assert_eq!(scene.changes(&more).await, [format!("listener 127.0.0.1:{two} added")]);
    assert_eq!(at(two).get("secret/data/app").await.unwrap().status.as_u16(), 200);
    let ruled = first.clone() + &listener(two, " require_request_header = true");
    assert_eq!(scene.changes(&ruled).await, [format!("listener 127.0.0.1:{two} changed")]);
    assert_eq!(at(two).get("nothing").await.unwrap().status.as_u16(), 412);
    let limited = first.clone() + &listener(two, " max_request_headers = 20");
    assert_eq!(scene.changes(&limited).await, [format!("listener 127.0.0.1:{two} changed")]);
    assert_eq!(scene.changes(&first).await, [format!("listener 127.0.0.1:{two} removed")]);
    assert!(at(two).get("secret/data/app").await.is_err());

    // Templates: one more of the same secret, other words around it, another file, gone.
    let both = first.clone() + &template(stage, "b", LEASED);
    assert_eq!(scene.changes(&both).await, ["template b added"]);
    assert_eq!(scene.file("b", |text| !text.is_empty()).await, serial);
    let words = template(stage, "a", &format!("now {LEASED}")) + &listener(one, "") + cached;
    assert_eq!(scene.changes(&words).await, ["template a changed", "template b removed"]);
    assert_eq!(scene.file("a", |text| text.starts_with("now")).await, format!("now {serial}"));
    let moved = template(stage, "c", LEASED) + &listener(one, "") + cached;
    assert_eq!(scene.changes(&moved).await, ["template c added", "template a removed"]);
    assert_eq!(scene.file("c", |text| !text.is_empty()).await, serial);
    assert_eq!(scene.changes(&first).await, ["template a added", "template c removed"]);
    assert_eq!(scene.file("a", |text| !text.starts_with("now")).await, serial);

    // The sink moves, and the token is the same.
    let token = stage.read("token");
    let sink = login(stage, "elsewhere") + &first;
    assert_eq!(scene.changes(&sink).await, ["sink token removed", "sink elsewhere added"]);
    assert_eq!(scene.file("elsewhere", |text| !text.is_empty()).await, token);
    assert_eq!(scene.changes(&first).await, ["sink elsewhere removed", "sink token added"]);

    // Nothing of all that has cost a login or a lease, and the cache knows what it knew.
    assert_eq!(scene.held().await, held);
    assert_eq!(at(one).post("auth/token/create", &create).await.unwrap().cache(), "HIT");
    let status = scene.control.send("GET", "/agent/v1/status", &[], "").await.unwrap().json;
    assert_eq!((&status["identities"][0]["logins"], &status["ready"]), (&json!(1), &json!(true)), "{status}");
    // There was work, so the old cache's leases are its own: a new one begins anew.
    let bare = template(stage, "a", LEASED) + &listener(one, "");
    let gone = scene.changes(&bare).await;
    assert!(gone.contains(&"cache  removed".to_owned()), "{gone:?}");
    assert_ne!(at(one).post("auth/token/create", &create).await.unwrap().cache(), "HIT");
    assert_eq!(scene.held().await, (held.0 + 1, held.1));
    // Another way to log in is another token, and what hangs on it.
    let other = login(stage, "token")
        .replace("method \"approle\" {", "method \"approle\" {\n min_backoff = \"2s\"\n")
        + &bare;
    let changed = scene.changes(&other).await;
    assert!(changed.contains(&"auto_auth  changed".to_owned()), "{changed:?}");
    scene.file("token", |text| !text.is_empty() && text != token).await;
    let answers = || async {
        Some(at(one).get("secret/data/app").await.ok()?.status.as_u16()).filter(|status| *status == 200)
    };
    eventually("the new token to be used", answers).await.unwrap();
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told_once() {
    let port = free_pair().unwrap();
    let base = |stage: &Stage| template(stage, "a", LEASED) + &listener(port, "");
    let mut scene = Scene::start(base).await;
    let first = base(&scene.stage);
    scene.file("a", |text| !text.is_empty()).await;
    let held = scene.held().await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let nowhere = login(&scene.stage, "no/such/folder/token");
    let absent = format!(
        "template {{\n source = {:?}\n destination = {:?}\n}}\n",
        scene.stage.path("none"),
        scene.stage.path("b")
    );
    let extra = template(&scene.stage, "new", "new") + &listener(free_pair().unwrap(), "");
    let bad: [(String, &str); 8] = [
        ("NO SERVER = = {".into(), "At 1:11"),
        ("# NO SERVER\n".into(), ""),
        (first.clone() + "listner \"tcp\" {\n address = 7\n}\nlog_level = \"loud\"", "loud"),
        (first.clone() + &extra + &listener(taken_port, ""), "address already in use"),
        (nowhere + &first + &extra, "write check"),
        (first.clone() + &extra + &absent, "failed to read template"),
        (first.clone() + &extra + &template(&scene.stage, "b", "{{ if }}"), "missing value for if"),
        (first.clone() + &extra + "pid_file = \"/no/such/folder/pid\"", "pid file"),
    ];
    for (text, why) in bad {
        let (status, answer) = scene.reload(&text).await;
        let told = answer["errors"].to_string();
        assert!(status == 400 && told.contains(why), "{why}: {status} {answer}");
        assert_eq!(at(port).get("secret/data/app").await.unwrap().status.as_u16(), 200, "{why}");
        assert!(!scene.stage.path("new").exists(), "{why}: half of it was applied");
    }
    atomic_file::remove(&scene.stage.path("config.hcl")).unwrap();
    let (status, answer) = scene.ask().await;
    assert!(status == 400 && answer["errors"].to_string().contains("config.hcl"), "{answer}");
    let none: [&str; 0] = [];
    assert_eq!(scene.changes(&first).await, none);
    // By signal, one line says it.
    put(&scene.stage.path("config.hcl"), &whole(&scene.stage, &(first.clone() + &listener(taken_port, ""))));
    let lines = |agent: &Process| {
        agent.output().iter().filter(|line| line.contains("old configuration stays in force")).count()
    };
    let before = lines(&scene.agent);
    scene.agent.signal(Signal::HUP);
    eventually("the line", || async { Some(()).filter(|()| lines(&scene.agent) == before + 1) })
        .await
        .unwrap();
    assert_eq!(scene.held().await, held);
    // What counts at the next start only is named.
    put(
        &scene.stage.path("config.hcl"),
        &whole(&scene.stage, &(first.clone() + "exit_after_auth = true\nlog_format = \"json\"")),
    );
    scene.agent.signal(Signal::HUP);
    let line = scene.agent.says("count at the next start only").await.unwrap();
    assert!(line.contains("exit_after_auth, log_format"), "{line}");
    // Many at once are few.
    for _ in 0..500 {
        scene.agent.signal(Signal::HUP);
    }
    let asked = SystemTime::now();
    assert_eq!(scene.agent.stop().await.unwrap().code(), Some(0));
    assert!(asked.elapsed().unwrap() < Duration::from_secs(5));
}

#[tokio::test]
async fn who_may_not_ask_is_not_heard() {
    let port = free_pair().unwrap();
    let base = |_: &Stage| listener(port, "");
    let scene = Scene::start(base).await;
    let ask = async |api: &Api, method: &str, headers: &[(&str, &str)]| {
        api.send(method, "/agent/v1/reload", headers, "").await.unwrap().status.as_u16()
    };
    assert_eq!(ask(&at(port), "POST", &[]).await, 404);
    assert_eq!(ask(&scene.control, "GET", &[]).await, 405);
    assert_eq!(ask(&scene.control, "POST", &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(ask(&scene.control, "POST", &[]).await, 200);

    // The command says it in words.
    let command = async |address: String| {
        let run =
            tokio::process::Command::new(sidekey()).args(["reload", &format!("-address={address}")]).output();
        let output = run.await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let control = format!("unix://{}", scene.stage.path("control").display());
    let nothing = command(control.clone()).await;
    assert_eq!(nothing, (Some(0), "nothing has changed\n".to_owned()));
    put(&scene.stage.path("config.hcl"), &whole(&scene.stage, ""));
    let removed = command(control.clone()).await;
    assert_eq!(removed, (Some(0), format!("removed listener 127.0.0.1:{port}\n")));
    put(&scene.stage.path("config.hcl"), "broken = = {");
    let (code, text) = command(control).await;
    assert!(
        code == Some(1)
            && text.contains("config.hcl")
            && text.contains("the old configuration stays in force"),
        "{text}"
    );
    let (code, text) = command(format!("http://127.0.0.1:{port}")).await;
    assert!(code == Some(1) && text.contains("enable_reload"), "{text}");
}

#[tokio::test]
async fn the_child_is_left_alone_until_what_it_is_given_changes() {
    let child = |stage: &Stage, custom: &str, keys: &str| {
        let line = format!("echo $$ $OWN $COLOR >> {:?}; exec sleep 600", stage.path("children"));
        format!(
            "exec {{\n command = [\"/bin/sh\", \"-c\", {line:?}]\n change_delay = \"100ms\"\n env {{ custom = [{custom:?}] }}\n{keys}\n}}\nenv_template \"COLOR\" {{\n contents = \"{{{{ with secret \\\"secret/data/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\"\n}}\n"
        )
    };
    let scene = Scene::start(|stage| child(stage, "OWN=1", "")).await;
    let lines = async |count: usize| {
        let text = scene.file("children", |text| text.lines().count() == count).await;
        text.lines().last().unwrap_or_default().split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let first = lines(1).await;
    assert_eq!(first[1..], ["1", "blue"]);
    let one = child(&scene.stage, "OWN=1", "");
    let port = free_pair().unwrap();
    assert_eq!(
        scene.changes(&(one.clone() + &listener(port, ""))).await,
        [format!("listener 127.0.0.1:{port} added")]
    );
    let runs = |id: &str| std::path::Path::new(&format!("/proc/{id}")).exists();
    assert!(runs(&first[0]));
    // What cannot be started is no reason to stop what runs; nor are signals that mean nothing to us.
    for program in ["/nonexistent/sh", "/etc/passwd", "nonexistent"] {
        let (status, answer) = scene.reload(&one.replace("/bin/sh", program)).await;
        let told = answer["errors"].to_string();
        assert!(status == 400 && told.contains("error starting the child process: "), "{status} {told}");
    }
    assert!(runs(&first[0]) && scene.changes(&one).await.len() == 1);
    for signal in [Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO, Signal::XCPU, Signal::POWER] {
        scene.agent.signal(signal);
    }
    // Its own settings.
    assert!(scene.changes(&child(&scene.stage, "OWN=2", "")).await.contains(&"exec  changed".to_owned()));
    let second = lines(2).await;
    assert_eq!(second[1..], ["2", "blue"]);
    assert!(!runs(&first[0]), "the old one was to end before");
    // A variable's template.
    let two = child(&scene.stage, "OWN=2", "");
    assert_eq!(
        scene.changes(&two.replace("{{ .Data.data.color }}", "light {{ .Data.data.color }}")).await,
        ["template COLOR changed"]
    );
    assert_eq!(lines(3).await[1..], ["2", "light", "blue"]);
    // It goes, and comes.
    let third = lines(3).await;
    scene.changes(&listener(port, "")).await;
    eventually("it to end", || async { Some(()).filter(|()| !runs(&third[0])) }).await.unwrap();
    assert!(scene.changes(&one).await.contains(&"exec  added".to_owned()));
    assert_eq!(lines(4).await[1..], ["1", "blue"]);
    let status = scene.control.send("GET", "/agent/v1/status", &[], "").await.unwrap().json;
    assert_eq!(status["child"]["starts"], 1, "{status}");
}

#[tokio::test]
async fn one_identity_of_several_comes_and_goes_alone() {
    let named = |stage: &Stage, name: &str, keys: &str| {
        let sink = if name == "a" { "token".to_owned() } else { format!("token-{name}") };
        login(stage, &sink).replace("auto_auth {", &format!("auto_auth \"{name}\" {{\n{keys}"))
            + &template(stage, name, LEASED)
                .replace("template {", &format!("template {{\n auto_auth = \"{name}\""))
    };
    let port = free_pair().unwrap();
    let front = |name: &str| listener(port, &format!(" auto_auth = \"{name}\""));
    let two = |stage: &Stage| named(stage, "a", "") + &named(stage, "b", "") + &front("b");
    let scene = Scene::start(two).await;
    let stage = &scene.stage;
    scene.file("b", |text| text.contains(':')).await;
    let before = scene.held().await;
    let none: [&str; 0] = [];
    // Their order is nothing.
    let turned = front("b") + &named(stage, "b", "") + &named(stage, "a", "");
    assert_eq!(scene.changes(&turned).await, none);
    // Another one to come does not disturb.
    let three = named(stage, "c", "") + &two(stage);
    let changes = scene.changes(&three).await;
    assert!(
        changes.contains(&"auto_auth c added".to_owned())
            && changes.iter().all(|change| change.ends_with("added")),
        "{changes:?}"
    );
    scene.file("c", |text| text.contains(':')).await;
    assert_eq!(scene.held().await, (before.0 + 1, before.1 + 1));
    // One is another now: it alone logs in, and its listener goes by the new token on the connection it has.
    let client = at(port);
    assert_eq!(client.get("secret/data/app").await.unwrap().status.as_u16(), 200);
    let (first, second) = (stage.read("token"), stage.read("token-b"));
    let other = named(stage, "a", "") + &named(stage, "b", " revoke_previous_token = true") + &front("b");
    let changes = scene.changes(&other).await;
    assert!(
        changes.contains(&"auto_auth b changed".to_owned())
            && changes.contains(&"auto_auth c removed".to_owned()),
        "{changes:?}"
    );
    let token = scene.file("token-b", |text| !text.is_empty() && text != second).await;
    assert_eq!(stage.read("token"), first);
    let own = async || {
        let answer = client.get("auth/token/lookup-self").await.ok()?;
        let policies = answer.json["data"]["policies"].is_array();
        Some(()).filter(|()| answer.status.as_u16() == 200 && policies)
    };
    eventually("the new token to be used", own).await.unwrap();
    assert!(stage.is_alive(&token).await && stage.is_alive(&first).await);
    assert_eq!(client.get("secret/data/app").await.unwrap().status.as_u16(), 200);
}

#[tokio::test]
async fn an_identity_that_goes_for_good_leaves_nothing_in_the_cache() {
    let ports = [free_pair().unwrap(), free_pair().unwrap()];
    let named = |stage: &Stage, name: &str, port: u16| {
        let sink = if name == "a" { "token".to_owned() } else { format!("token-{name}") };
        login(stage, &sink).replace("auto_auth {", &format!("auto_auth \"{name}\" {{"))
            + &listener(port, &format!(" auto_auth = \"{name}\""))
    };
    let one = |stage: &Stage| named(stage, "a", ports[0]) + "cache {}\n";
    let two = |stage: &Stage| named(stage, "b", ports[1]) + &one(stage);
    let scene = Scene::start(two).await;
    scene.file("token-b", |text| !text.is_empty()).await;
    let create = json!({"policies": ["default"], "ttl": "1h"});
    let asked = async |port: u16| {
        at(port).post("auth/token/create", &create).await.map(|answer| answer.cache().to_owned())
    };
    // How many there are: tokens of our own, and tokens below them.
    let held = async || {
        let answer = scene.control.send("GET", "/agent/v1/cache", &[], "").await.unwrap().json;
        let entries = answer["entries"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let count = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
        (count("own"), count("token"))
    };
    for port in ports {
        // The token is in its file before the cache knows it.
        let remembered = async || asked(port).await.ok().filter(|cache| cache == "HIT");
        eventually("it to be remembered", remembered).await.unwrap();
    }
    assert_eq!(held().await, (2, 2));
    scene.changes(&two(&scene.stage).replace(" auto_auth = \"b\"", " auto_auth = \"a\"")).await;
    assert_eq!(held().await, (1, 1), "no listener is its own any more");
    scene.changes(&two(&scene.stage)).await;
    eventually("it to come back", async || asked(ports[1]).await.ok().filter(|cache| cache == "HIT"))
        .await
        .unwrap();
    assert_eq!(held().await, (2, 2));
    let changes = scene.changes(&one(&scene.stage)).await;
    assert!(changes.contains(&"auto_auth b removed".to_owned()), "{changes:?}");
    assert_eq!(held().await, (1, 1));
    assert_eq!(asked(ports[0]).await.unwrap(), "HIT");
    scene.changes(&two(&scene.stage)).await;
    eventually("it to come back", async || asked(ports[1]).await.ok().filter(|cache| cache == "HIT"))
        .await
        .unwrap();
    assert_eq!(held().await, (2, 2));
}

/// Clients that never stop asking; how often they did, and what was lost.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn on(port: u16) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            clients.spawn(async move {
                let mut lost = Vec::new();
                // One that keeps its connection, and one that has a new one each time.
                let kept = at(port);
                while !stop.load(Relaxed) {
                    for api in [&kept, &at(port)] {
                        asked.fetch_add(1, Relaxed);
                        match api.get("secret/data/app").await {
                            Ok(answer) if answer.status.as_u16() == 200 => {}
                            Ok(answer) => lost.push(format!("{} {}", answer.status, answer.json)),
                            Err(why) => lost.push(why.to_string()),
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                lost
            });
        }
        Self { stop, asked, clients }
    }

    async fn end(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Relaxed);
        let mut lost = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            lost.extend(client.unwrap());
        }
        (self.asked.load(Relaxed), lost)
    }
}

#[tokio::test]
async fn another_cache_in_the_same_folder_begins_with_what_the_old_one_held() {
    let mut scene = Scene::start(|_| String::new()).await;
    let (store, key) = (scene.stage.path("store"), scene.stage.path("key"));
    put(&key, "0123456789abcdef0123456789abcdef");
    let cache = |more: &str| {
        format!("cache {{\n {more}\n persist \"file\" {{\n path = {store:?}\n key_file = {key:?}\n }}\n}}\n")
    };
    let child = async || {
        let body = r#"{"ttl":"1h"}"#;
        let answer = scene.control.send("POST", "/v1/auth/token/create", &[], body).await.unwrap();
        let token = answer.json["auth"]["client_token"].as_str().unwrap_or_default().to_owned();
        assert!(!token.is_empty(), "{}", answer.json);
        (token, answer.cache().to_owned())
    };
    assert_eq!(scene.changes(&cache("")).await, ["cache  added"]);
    let (first, miss) = child().await;
    assert_eq!(miss, "MISS");
    let hit = (first.clone(), "HIT".to_owned());
    assert_eq!(
        scene.changes(&cache("static_secrets { paths = [\"secret/data/app\"] }")).await,
        ["cache  changed"]
    );
    assert_eq!(child().await, hit, "{}", scene.agent.output().join("\n"));

    // A key that cannot be read leaves the old one as it is; so does another one, of which the file knows nothing.
    let bad = cache("").replace("key\"", "none\"");
    assert_eq!(scene.reload(&bad).await.0, 400);
    assert_eq!(child().await, hit);

    // What was revoked meanwhile does not come back.
    let body = json!({"token": first}).to_string();
    let revoked = scene.control.send("POST", "/v1/auth/token/revoke", &[], &body);
    assert_eq!(revoked.await.unwrap().status.as_u16(), 204);
    assert_eq!(scene.changes(&cache("")).await, ["cache  changed"]);
    let (second, miss) = child().await;
    assert!(miss == "MISS" && second != first, "{miss}");
    assert_eq!(scene.changes("").await, ["cache  removed"]);
    assert_eq!(scene.changes(&cache("")).await, ["cache  added"]);
    assert_eq!(child().await, (second, "HIT".to_owned()));
    assert!(!scene.agent.has_said("in memory alone"), "{:?}", scene.agent.output());
    assert!(scene.agent.stop().await.unwrap().success());
}

//! A reload while something else goes on: a child that ends, a server that is away, the end of it all.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use testkit::{eventually, free_pair};
use tokio::time::sleep;

use super::{LEASED, Load, Scene, at, listener, template, whole};
use crate::{Stage, put};

/// A child that dies again and again is started again, whatever is reloaded meanwhile, and there is one of it.
#[tokio::test]
async fn while_the_child_is_started_again() {
    let port = free_pair().unwrap();
    let child = |stage: &Stage, custom: &str| {
        let line = format!("echo $$ $OWN >> {:?}; exec sleep 600", stage.path("children"));
        format!(
            "template {{\n contents = \"x\"\n destination = {:?}\n}}\nexec {{\n command = [\"/bin/sh\", \"-c\", {line:?}]\n restart_on_exit = \"always\"\n env {{ custom = [\"OWN={custom}\"] }}\n}}\n",
            stage.path("file"),
        )
    };
    let scene = Scene::start(|stage| child(stage, "0")).await;
    let stage = &scene.stage;
    let started = || {
        let text = stage.read("children");
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(id, own)| (id.to_owned(), own.to_owned())).collect::<Vec<_>>()
    };
    let runs = |id: &str| {
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.contains("sleep")
    };
    let alive = || started().into_iter().filter(|(id, _)| runs(id)).collect::<Vec<_>>();
    let one = async |own: &str| {
        let is_it = async || {
            let alive = alive();
            (alive.len() == 1 && alive[0].1 == own).then(|| alive[0].0.clone())
        };
        eventually("one child", is_it)
            .await
            .unwrap_or_else(|why| panic!("{why}: {:?} {:?}", started(), alive()))
    };
    let mut own = "0".to_owned();
    for round in 0..4_usize {
        let id = one(&own).await;
        let process = rustix::process::Pid::from_raw(id.parse().unwrap()).unwrap();
        rustix::process::kill_process(process, Signal::KILL).unwrap();
        scene.says_soon("will be started again", round).await;
        // While it waits to be started again: what does not concern it, and its own stanza.
        scene
            .changes(&(child(stage, &own) + &listener(port, &format!(" max_connections = {}", 10 + round))))
            .await;
        if round % 2 == 1 {
            own = round.to_string();
            let changes = scene.changes(&child(stage, &own)).await;
            assert!(changes.contains(&"exec  changed".to_owned()), "{changes:?}");
        }
    }
    one(&own).await;
}

/// What needs no server is in force at once; what needs it is tried until it is back. Nothing is lost by it.
#[tokio::test]
async fn while_the_server_is_away() {
    let ports = [free_pair().unwrap(), free_pair().unwrap()];
    let base = |stage: &Stage| template(stage, "a", LEASED) + &listener(ports[0], "") + "cache {}\n";
    let scene = Scene::start(base).await;
    let stage = &scene.stage;
    let first = base(stage);
    let serial = scene.file("a", |text| text.contains(':')).await;
    let held = scene.held().await;
    stage.server.signal(Signal::STOP);
    let more = first.clone()
        + &template(stage, "b", "{{ with secret \\\"secret/data/app\\\" }}{{ .Data.data.color }}{{ end }}");
    let asked = SystemTime::now();
    scene.changes(&(more.clone() + &listener(ports[1], ""))).await;
    scene.changes(&more.replace("{{ with secret \\\"pki", "now {{ with secret \\\"pki")).await;
    assert_eq!(scene.reload(&(more.clone() + "pid_file = \"/no/such/folder/pid\"")).await.0, 400);
    assert!(asked.elapsed().unwrap() < Duration::from_secs(5), "nobody waits for the server");
    assert_eq!(scene.file("a", |text| text.starts_with("now")).await, format!("now {serial}"));
    // Held back until it is there again.
    let held_back = tokio::spawn(async move { at(ports[0]).get("secret/data/app").await });
    sleep(Duration::from_secs(2)).await;
    assert!(!held_back.is_finished());
    scene.changes(&more).await;
    assert!(!stage.path("b").exists());
    stage.server.signal(Signal::CONT);
    assert_eq!(held_back.await.unwrap().unwrap().status.as_u16(), 200);
    assert_eq!(scene.file("b", |text| !text.is_empty()).await, "blue");
    assert_eq!(scene.file("a", |text| !text.starts_with("now")).await, serial);
    assert_eq!(scene.held().await, held, "a login or a lease more");
}

/// The end comes first: whatever is being reloaded, it takes no longer, and what was asked before is answered.
#[tokio::test]
async fn while_it_ends() {
    for round in 0..4_u64 {
        let ports = [free_pair().unwrap(), free_pair().unwrap()];
        let base = |stage: &Stage| template(stage, "a", LEASED) + &listener(ports[0], "");
        let mut scene = Scene::start(base).await;
        let load = Load::on(ports[0]);
        sleep(Duration::from_millis(200)).await;
        let next = base(&scene.stage) + &listener(ports[1], "") + &template(&scene.stage, "b", LEASED);
        put(&scene.stage.path("config.hcl"), &whole(&scene.stage, &next));
        let control = scene.control.clone();
        let asked = tokio::spawn(async move { control.send("POST", "/agent/v1/reload", &[], "").await });
        scene.agent.signal(Signal::HUP);
        sleep(Duration::from_millis(round * 3)).await;
        let began = SystemTime::now();
        scene.agent.signal(Signal::TERM);
        scene.agent.signal(Signal::HUP);
        let ended = scene.agent.ended().await.unwrap();
        assert_eq!(ended.code(), Some(0), "{}", scene.agent.output().join("\n"));
        assert!(began.elapsed().unwrap() < Duration::from_secs(5));
        // Answered, or not connected any more; never left waiting.
        let _ = asked.await.unwrap();
        let (_, lost) = load.end().await;
        // Requests after the end cannot connect; those before it were answered with what was asked for.
        let torn = lost.iter().filter(|why| why.starts_with(char::is_numeric)).collect::<Vec<_>>();
        assert!(torn.is_empty(), "{torn:?}");
        assert!(!scene.agent.has_said("panic"), "{:?}", scene.agent.output());
    }
}

//! Any number of reloads, good ones and bad ones, thrown by chance, under load.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::json;
use testkit::{Process, free_pair};

use super::{LEASED, Load, Scene, listener, login, template};
use crate::Stage;

/// KiB of memory that a process has.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Numbers that look like chance and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Any configuration, and whether it is a good one.
fn thrown(stage: &Stage, dice: &mut Dice, (one, two): (u16, u16)) -> (String, bool) {
    let mut text = login(stage, ["token", "other"][dice.below(2) as usize]);
    // The listener that is used, with rules and bounds that do not concern its clients.
    text += &listener(
        one,
        [
            "",
            " allowed_hosts = [\"a.example\"]",
            " max_request_headers = 50",
            " idle_timeout = \"30s\"",
            " agent_api { enable_quit = true }",
        ][dice.below(5) as usize],
    );
    match dice.below(3) {
        0 => {}
        1 => text += &listener(two, ""),
        _ => text += &listener(two, " require_request_header = true\n max_connections = 5"),
    }
    let words = dice.below(3);
    text += &template(stage, ["a", "b"][dice.below(2) as usize], &format!("{words} {LEASED}"));
    if dice.below(2) == 0 {
        text += &template(stage, "c", LEASED);
    }
    if dice.below(2) == 0 {
        text +=
            &template(stage, "d", "{{ with secret \\\"secret/data/app\\\" }}{{ .Data.data.color }}{{ end }}");
    }
    let _ = writeln!(text, "log_level = \"{}\"", ["info", "warn", "debug"][dice.below(3) as usize]);
    if dice.below(4) == 0 {
        text += "cache {}\n";
    }
    if dice.below(3) == 0 {
        let _ = writeln!(text, "pid_file = {:?}", stage.path("pid"));
    }
    if dice.below(3) == 0 {
        let _ = writeln!(text, "access_log {{ path = {:?} }}", stage.path("access"));
    }
    if dice.below(3) == 0 {
        text += "telemetry { prometheus_retention_time = \"1m\" }\n";
    }
    if dice.below(4) == 0 {
        text += "template_config { static_secret_render_interval = \"1m\" }\n";
    }
    let good = dice.below(6) > 0;
    if !good {
        text += [
            "template {",
            "log_level = \"loud\"\n",
            "pid_file = \"/no/such/folder/pid\"\n",
            "template { contents = \"{{ if }}\"\n destination = \"/x\" }\n",
        ][dice.below(4) as usize];
    }
    (text, good)
}

/// `SIDEKEY_RELOADS` says how many; else as many as fit into the time.
#[tokio::test]
async fn any_number_of_reloads_under_load_loses_nothing() {
    let wanted: Option<u64> = std::env::var("SIDEKEY_RELOADS").ok().and_then(|count| count.parse().ok());
    let seed = std::env::var("SIDEKEY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    println!("SIDEKEY_SEED={seed}");
    let mut dice = Dice(seed);
    let ports = (free_pair().unwrap(), free_pair().unwrap());
    let base = |stage: &Stage| login(stage, "token") + &listener(ports.0, "") + &template(stage, "a", LEASED);
    let mut scene = Scene::start(base).await;
    let first = base(&scene.stage);
    scene.file("a", |text| !text.is_empty()).await;
    let held = scene.held().await;
    let (load, began) = (Load::on(ports.0), SystemTime::now());
    let (mut reloads, mut refused) = (0, 0);
    let mut memory = Vec::new();
    while wanted.map_or_else(|| began.elapsed().unwrap() < Duration::from_secs(15), |wanted| reloads < wanted)
    {
        let (text, good) = thrown(&scene.stage, &mut dice, ports);
        let (status, answer) = scene.reload(&text).await;
        assert_eq!(
            status,
            if good { 200 } else { 400 },
            "{text}\n{answer}\n{}",
            scene.agent.output().join("\n")
        );
        reloads += 1;
        if reloads % 100 == 0 {
            // Always with the same configuration.
            scene.changes(&first).await;
            memory.push(resident(&scene.agent));
        }
        refused += u64::from(!good);
        tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
    }
    let took = began.elapsed().unwrap();
    // There and back is nothing.
    scene.changes(&first).await;
    let none: [&str; 0] = [];
    assert_eq!(scene.changes(&first).await, none);
    let (asked, lost) = load.end().await;
    let told =
        format!("{reloads} reloads ({refused} refused) in {took:?}, {asked} requests, {} lost", lost.len());
    println!("{told}; KiB resident after each hundred: {memory:?}");
    assert!(lost.is_empty(), "{told}: {lost:?}");
    if let (Some(early), Some(late), true) = (memory.get(1), memory.last(), memory.len() >= 10) {
        assert!(*late < early + 4096, "it grows with each reload: {memory:?}");
    }
    assert_eq!(scene.held().await, held, "{told}: a login or a lease more");
    let status = scene.control.send("GET", "/agent/v1/status", &[], "").await.unwrap().json;
    let shape = (
        &status["identities"][0]["logins"],
        status["listeners"].as_array().map(Vec::len),
        status["templates"].as_array().map(Vec::len),
    );
    assert_eq!(shape, (&json!(1), Some(2), Some(1)), "{status}");
    assert_eq!(scene.agent.stop().await.unwrap().code(), Some(0));
}

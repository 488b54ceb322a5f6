//! What a service manager sets and hears.

use rustix::process::Signal;
use testkit::{Program, eventually};

use crate::{Stage, put, sidekey};

/// All that the hard limit allows is ours, and what we start gets what we were given.
#[tokio::test]
async fn the_limit_of_open_files_is_raised_for_us_alone() {
    let stage = Stage::new().await;
    let script = stage.path("sidekey");
    let text = format!("#!/bin/sh\nulimit -S -n 300\nulimit -H -n 700\nexec {:?} \"$@\"\n", sidekey());
    atomic_file::write(&script, text.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    let (out, limit) = (stage.path("out"), stage.path("limit"));
    let template = format!(
        "template {{\n contents = \"x\"\n destination = {out:?}\n command = \"echo $(ulimit -S -n) $(ulimit -H -n) > {}\"\n}}",
        limit.display()
    );
    let mut agent = Program::agent(&script, stage.folder.path())
        .server(&stage.server.address())
        .approle(&stage.credentials, &["token"])
        .unwrap()
        .config(&template)
        .flag("-log-level=debug")
        .start()
        .unwrap();
    let line = agent.says("raised the limit of open files").await.unwrap();
    assert!(line.contains("from=300") && line.contains("to=700"), "{line}");
    let written = async || Some(stage.read("limit")).filter(|text| text.ends_with('\n'));
    assert_eq!(eventually("the command", written).await.unwrap(), "300 700\n");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid().unwrap())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["700", "700"]);
    agent.stop().await.unwrap();
}

/// systemd (`Type=notify-reload`) hears of the beginning and of the end of a reload, of a bad one too, and of none before
/// we were ready.
#[tokio::test]
async fn systemd_hears_of_a_reload() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let stage = Stage::new().await;
    let systemd = std::os::unix::net::UnixDatagram::bind(stage.path("notify")).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let heard = || {
        let mut message = [0; 400];
        let length = systemd.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    let notified = |program: Program| program.env("NOTIFY_SOCKET", stage.path("notify").to_str().unwrap());
    let next = async |words: &str| {
        let told = async || heard().filter(|message| !message.starts_with("EXTEND_TIMEOUT_USEC"));
        let message = eventually(words, told).await.unwrap();
        assert!(message.starts_with(words), "{words}: {message}");
        message
    };
    let monotonic = || {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        uptime.split(' ').next().unwrap().parse::<f64>().unwrap()
    };

    // Not ready: its server does not answer.
    let nobody = format!("http://{}", silent.local_addr().unwrap());
    let program = Program::agent(sidekey(), stage.folder.path()).server(&nobody);
    let mut starting = notified(program.approle(&stage.credentials, &["token"]).unwrap()).start().unwrap();
    let asked = async || heard().filter(|message| message.starts_with("EXTEND_TIMEOUT_USEC"));
    eventually("it to start", asked).await.unwrap();
    starting.signal(Signal::HUP);
    starting.says("configuration reloaded").await.unwrap();
    starting.stop().await.unwrap();
    next("STOPPING=1").await;

    let mut agent = notified(stage.agent(&["token"])).start().unwrap();
    next("READY=1").await;
    let config = std::fs::read_to_string(stage.path("config.hcl")).unwrap();
    for (text, said) in [(config.as_str(), "configuration reloaded"), ("broken = = {", "stays in force")] {
        put(&stage.path("config.hcl"), text);
        let before = monotonic();
        agent.signal(Signal::HUP);
        let told = next("RELOADING=1\nMONOTONIC_USEC=").await;
        let at: f64 = told.rsplit('=').next().unwrap().parse().unwrap();
        let at = at / 1e6;
        assert!((before - 1.0..before + 20.0).contains(&at), "{at} {before}");
        assert!(next("READY=1").await.contains("STATUS=ready"));
        agent.says(said).await.unwrap();
    }
    agent.stop().await.unwrap();
    next("STOPPING=1").await;
}

/// Lines go to both places; what somebody puts aside is made again on SIGHUP, and a full one puts itself aside.
#[tokio::test]
async fn the_log_has_a_file_of_its_own() {
    let stage = Stage::new().await;
    atomic_file::create_folders(&stage.path("logs")).unwrap();
    let log = |name: &str| std::fs::read_to_string(stage.path("logs").join(name)).unwrap_or_default();
    let program = |more: &str| {
        Program::agent(sidekey(), stage.folder.path())
            .server(&stage.server.address())
            .approle(&stage.credentials, &["token"])
            .unwrap()
            .config(&format!("log_file = \"{}/\"\n{more}", stage.path("logs").display()))
    };
    let mut agent = program("").start().unwrap();
    agent.says("token written").await.unwrap();
    assert!(log("agent.log").contains("token written"), "{}", log("agent.log"));
    let mode = std::fs::metadata(stage.path("logs/agent.log")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o640);
    rustix::fs::rename(stage.path("logs/agent.log"), stage.path("logs/old")).unwrap();
    agent.signal(Signal::HUP);
    let reloaded = async || Some(()).filter(|()| log("agent.log").contains("configuration reloaded"));
    eventually("the new file", reloaded).await.unwrap();
    // What is wrong with a new configuration, too, and nowhere else.
    put(&stage.path("config.hcl"), "broken = = {");
    agent.signal(Signal::HUP);
    let refused =
        async || Some(()).filter(|()| log("agent.log").contains("the old configuration stays in force"));
    eventually("the refusal", refused).await.unwrap();
    let told = log("agent.log");
    assert!(told.contains("config.hcl:1:") && told.contains("  | 1 | broken = = {"), "{told}");
    agent.stop().await.unwrap();
    let count = agent.output().iter().filter(|line| line.contains("broken = = {")).count();
    assert_eq!(count, 1, "{}", agent.output().join("\n"));

    let mut agent = program("log_rotate_bytes = 1\nlog_rotate_max_files = 2\n").start().unwrap();
    agent.says("token written").await.unwrap();
    agent.stop().await.unwrap();
    let names = std::fs::read_dir(stage.path("logs")).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().starts_with("agent-")).count();
    assert_eq!((aside, log("agent.log").lines().count()), (2, 1));

    let mut agent = program("").flag("-log-file=/no/such/folder/a.log").start().unwrap();
    agent.says("failed to setup logging: ").await.unwrap();
    assert!(!agent.ended().await.unwrap().success());
}

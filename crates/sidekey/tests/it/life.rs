//! Start, signals, end.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use testkit::{Program, eventually};

use crate::{Stage, put, sidekey};

#[tokio::test]
async fn term_and_int_end_it_cleanly_and_leave_nothing() {
    let stage = Stage::new().await;
    let pid = stage.path("pid");
    for signal in [Signal::TERM, Signal::INT] {
        let program = stage.front().config(&format!("pid_file = {pid:?}"));
        let (mut agent, _) = program.start_listening().await.unwrap();
        agent.says("token written").await.unwrap();
        assert_eq!(std::fs::read_to_string(&pid).unwrap(), agent.pid().unwrap().to_string());
        assert_eq!(std::fs::metadata(&pid).unwrap().permissions().mode() & 0o777, 0o600);
        let asked = SystemTime::now();
        agent.signal(signal);
        assert_eq!(agent.ended().await.unwrap().code(), Some(0));
        assert!(asked.elapsed().unwrap() < Duration::from_secs(5));
        assert!(!pid.exists());
        assert!(agent.has_said("==> Sidekey Agent shutdown triggered"));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    // A server that never answers: a request is under way for ever.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let (mut proxy, listener) = Program::proxy(sidekey(), folder.path())
        .server(&address)
        .listener("")
        .start_listening()
        .await
        .unwrap();
    let hanging = tokio::spawn(async move { listener.get("secret/data/app").await });
    let (_stream, _) = silent.accept().await.unwrap();
    let asked = SystemTime::now();
    proxy.signal(Signal::TERM);
    proxy.says("shutdown triggered").await.unwrap();
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().await.unwrap().code(), Some(0));
    assert!(asked.elapsed().unwrap() < Duration::from_secs(3));
    hanging.abort();
}

#[tokio::test]
async fn hang_up_reloads_the_level_and_survives_a_broken_file() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().config("log_level = \"warn\"").start_listening().await.unwrap();
    let config = stage.path("config.hcl");
    let text = std::fs::read_to_string(&config).unwrap();
    eventually("the token", || async { Some(()).filter(|()| !stage.read("token").is_empty()) })
        .await
        .unwrap();
    listener.get("secret/data/app").await.unwrap();
    assert!(!agent.has_said("received request"));
    put(&config, "broken = = {");
    agent.signal(Signal::HUP);
    agent.says("the old configuration stays in force").await.unwrap();
    put(&config, &text.replace("log_level = \"warn\"", "log_level = \"debug\""));
    agent.signal(Signal::HUP);
    agent.says("configuration reloaded").await.unwrap();
    listener.get("secret/data/app").await.unwrap();
    agent.says("received request").await.unwrap();
    for _ in 0..200 {
        agent.signal(Signal::HUP);
        agent.signal(Signal::USR1);
        agent.signal(Signal::USR2);
    }
    assert_eq!(listener.get("secret/data/app").await.unwrap().status.as_u16(), 200);
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn json_lines_are_json() {
    let stage = Stage::new().await;
    let mut agent = stage.agent(&["token"]).flag("-log-format=json").start().unwrap();
    let line = agent.says("token written").await.unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (line["@level"].as_str(), line["@module"].as_str(), line["@message"].as_str()),
        (Some("info"), Some("agent.sink.file"), Some("token written"))
    );
    agent.stop().await.unwrap();
}

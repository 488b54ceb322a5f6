//! Signals, and configurations that cannot be used.

use std::time::Duration;

use rustix::process::Signal;
use testkit::eventually;
use tokio::time::Instant;

use crate::{Stage, put};

#[tokio::test]
async fn f14_neither_signals_nor_bad_files_move_it() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let config = stage.path("config.hcl");
    let good = std::fs::read_to_string(&config).unwrap();
    let token = stage.read("token");
    let errors =
        || agent.output().iter().filter(|line| line.contains("the old configuration stays in force")).count();
    let serves = async || listener.get("secret/data/app").await.unwrap().status.as_u16();
    for (what, text, why) in [
        ("a syntax error", Some(format!("{good}\nlistener = = {{")), "| listener = = {"),
        ("an empty file", Some(String::new()), "no auto_auth, cache, or listener block found"),
        ("an unknown value", Some(format!("{good}\nlog_level = \"loud\"")), "unknown log level: loud"),
        ("a missing file", None, "no such file or directory"),
    ] {
        match &text {
            Some(text) => put(&config, text),
            None => atomic_file::remove(&config).unwrap(),
        }
        let before = errors();
        agent.signal(Signal::HUP);
        eventually(what, || async { (errors() > before).then_some(()) }).await.unwrap();
        assert_eq!((serves().await, stage.read("token") == token), (200, true), "{what}");
        assert_eq!(errors(), before + 1, "{what}: one line\n{}", agent.output().join("\n"));
        assert!(agent.has_said(why), "{what}: {}", agent.output().join("\n"));
    }
    // An unknown stanza is a warning, at a start as well.
    put(&config, &format!("{good}\nlistner \"tcp\" {{\n}}"));
    agent.signal(Signal::HUP);
    agent.says("listner").await.unwrap();
    assert_eq!(serves().await, 200);
    put(&config, &good);
    let began = Instant::now();
    for _ in 0..500 {
        agent.signal(Signal::HUP);
        tokio::time::sleep(Duration::from_micros(1500)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    for signal in [Signal::USR1, Signal::USR2, Signal::PIPE, Signal::WINCH, Signal::CHILD] {
        for _ in 0..20 {
            agent.signal(signal);
        }
        assert_eq!((serves().await, stage.read("token") == token), (200, true), "{signal:?}");
    }
    let asked = Instant::now();
    assert_eq!(agent.stop().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    println!("F14: ended {:.2?} after SIGTERM", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(5));
}

//! What a changed file leads to. Mostly in real time: a paused clock would run ahead of real processes.

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn command(line: &str) -> Option<config::Command> {
    Some(config::Command { arguments: vec![line.to_owned()], ..config::Command::default() })
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

#[tokio::test]
async fn one_command_of_several_templates_runs_once_for_all_of_them() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    let (first, second) = (stage.path("first"), stage.path("second"));
    let line = format!("cat {} {} >> {}", first.display(), second.display(), stage.path("runs").display());
    for name in ["first", "second"] {
        stage.template(name, VALUE).command = command(&line);
    }
    let running = stage.start();
    timeout(PATIENCE, stage.ready.wait()).await.unwrap();
    assert_eq!(stage.read("runs"), "oneone", "both files were there when it ran, once");
    running.abort();
}

#[tokio::test]
async fn a_command_that_fails_is_tried_again_and_shown() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    let runs = stage.path("runs");
    let line = format!("echo x >> {0}; test $(wc -l < {0}) -ge 2", runs.display());
    stage.template("out", VALUE).command = command(&line);
    let settings = stage.settings();
    let templates = std::mem::take(&mut stage.templates);
    let server = Arc::clone(&stage.server);
    let runner = Runner::new(templates, settings, server, Caller::default(), stage.ready.token()).unwrap();
    let standing = Arc::clone(&runner.standings()[0]);
    let running = tokio::spawn(runner.run(stage.tokens.subscribe()));
    stage.token(1);
    until("a failure", || standing.failing() == Some("command")).await;
    until("its end", || standing.failing().is_none()).await;
    assert_eq!(stage.read("runs"), "x\nx\n");
    assert!(!running.is_finished());
    running.abort();
}

#[tokio::test]
async fn a_command_that_fails_for_good_is_told_at_the_end() {
    for (exit, once) in [(true, false), (false, true)] {
        let mut stage = stage();
        (stage.attempts, stage.once, stage.shared.exit_on_retry_failure) = (0, once, exit);
        stage.server.kv("kv/a", "one");
        stage.template("out", VALUE).command = command("exit 3");
        stage.template("other", VALUE).command = command("true && true");
        let ended = timeout(PATIENCE, stage.start()).await.unwrap().unwrap();
        let error = ended.unwrap_err();
        assert_eq!(error.class(), FailureClass::Command);
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert_eq!((stage.read("out"), stage.read("other")), ("one".into(), "one".into()));
    }
}

#[tokio::test]
async fn a_change_asks_the_supervised_process_for_what_the_template_says() {
    use config::Consequence;
    for (changes, want) in [
        (vec![Consequence::Restart], Some(ChildAction::Restart)),
        (vec![Consequence::Signal, Consequence::Signal], Some(ChildAction::Signal)),
        (vec![Consequence::Signal, Consequence::Restart, Consequence::Signal], Some(ChildAction::Restart)),
        (vec![Consequence::Nothing, Consequence::Command], None),
    ] {
        let mut stage = stage();
        stage.server.kv("kv/a", "one");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        stage.child = Some(Arc::new(move |action| told.lock().unwrap().push(action)));
        let marker = stage.path("marker");
        for (nth, on_change) in changes.iter().enumerate() {
            let template = stage.template(&format!("out{nth}"), VALUE);
            template.on_change = *on_change;
            if *on_change != Consequence::Command {
                template.command = command(&format!("touch {}", marker.display()));
            }
        }
        let running = stage.start();
        timeout(PATIENCE, stage.ready.wait()).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), Vec::from_iter(want));
        assert!(!marker.exists(), "a command ran that nobody asked for");
        running.abort();
    }
}

#[tokio::test]
async fn no_command_runs_for_a_file_that_was_right_already() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    put(&stage.path("out"), "one");
    let marker = stage.path("marker");
    stage.template("out", VALUE).command = command(&format!("touch {}", marker.display()));
    let running = stage.start();
    timeout(PATIENCE, stage.ready.wait()).await.unwrap();
    assert!(!marker.exists());
    running.abort();
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the clock of the test stands still meanwhile")]
async fn a_command_that_hangs_does_not_stop_those_of_later_changes() {
    let mut stage = stage();
    let (marker, behind) = (stage.path("marker"), stage.path("early"));
    let slow = |line: &str| {
        let timeout = Duration::from_secs(1000);
        Some(config::Command { arguments: vec![line.to_owned()], timeout, ..config::Command::default() })
    };
    stage.server.kv("kv/a", "one");
    stage.template("hangs", VALUE).command = slow("sleep 600");
    stage.template("behind", VALUE).command = slow(&format!("touch {}", behind.display()));
    let other = r#"{{with secret "kv/b"}}{{.Data.value}}{{end}}"#;
    stage.template("other", other).command = slow(&format!("touch {}", marker.display()));
    let running = stage.start();
    sleep(Duration::from_secs(1)).await;
    stage.server.kv("kv/b", "two");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.read("other"), "two");
    assert!(!marker.exists(), "it did not wait at all");
    sleep(Duration::from_secs(4)).await;
    // The clock stands still while another thread works.
    let there = tokio::task::spawn_blocking(move || {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            marker.exists()
        })
    });
    assert!(there.await.unwrap(), "it waited for one that hangs");
    assert!(!behind.exists(), "what was wanted behind it ran before its end");
    running.abort();
}

//! When things happen, under a paused clock.

use super::*;

#[tokio::test(start_paused = true)]
async fn changes_are_gathered_once_all_was_rendered() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.shared.wait = Some(config::Wait { min: Duration::from_secs(10), max: Duration::from_secs(25) });
    stage.template("out", VALUE).static_secret_render_interval = Some(Duration::from_secs(1));
    let _running = stage.start();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.read("out"), "one", "the first time is not delayed");
    // A change every four seconds: never quiet for ten.
    for nth in 0..5 {
        stage.server.kv("kv/a", &format!("v{nth}"));
        sleep(Duration::from_secs(4)).await;
        assert_eq!(stage.read("out"), "one");
    }
    stage.server.kv("kv/a", "last");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(stage.read("out"), "one");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.read("out"), "last", "the longest wait is over");
    stage.server.kv("kv/a", "quiet");
    sleep(Duration::from_secs(9)).await;
    assert_eq!(stage.read("out"), "last");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(stage.read("out"), "quiet");
}

#[tokio::test(start_paused = true)]
async fn only_the_template_whose_secret_changed_is_written_again() {
    let mut stage = stage();
    for name in ["a", "b"] {
        stage.server.kv(&format!("kv/{name}"), "one");
        let text = format!(r#"{{{{with secret "kv/{name}"}}}}{{{{.Data.value}}}}{{{{end}}}}"#);
        let template = stage.template(name, &text);
        template.static_secret_render_interval = Some(Duration::from_secs(1));
    }
    let settings = stage.settings();
    let server = Arc::clone(&stage.server);
    let templates = std::mem::take(&mut stage.templates);
    let runner = Runner::new(templates, settings, server, Caller::default(), stage.ready.token()).unwrap();
    let standings = runner.standings();
    let _running = tokio::spawn(runner.run(stage.tokens.subscribe()));
    stage.token(1);
    sleep(Duration::from_secs(30)).await;
    stage.server.kv("kv/a", "two");
    sleep(Duration::from_secs(30)).await;
    let renders: Vec<u64> =
        standings.iter().map(|one| one.renders.load(std::sync::atomic::Ordering::Relaxed)).collect();
    assert_eq!((renders, stage.read("a")), (vec![2, 1], "two".into()));
}

fn version(stage: &Stage, number: u64, value: &str) {
    let one = json!({"created_time": number.to_string(), "deletion_time": "", "destroyed": false});
    let metadata = json!({"version": number, "created_time": number.to_string(), "deletion_time": "", "destroyed": false});
    stage.server.answer(
        "secret/data/a",
        200,
        json!({"data": {"data": {"value": value}, "metadata": metadata}}),
    );
    stage.server.answer(
        "secret/metadata/a",
        200,
        json!({"data": {"current_version": number, "versions": {number.to_string(): one}}}),
    );
}

fn versioned(stage: &mut Stage, interval: Option<Duration>) {
    let mount = json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}});
    stage.server.answer("sys/internal/ui/mounts/secret/a", 200, mount);
    version(stage, 1, "one");
    let text = r#"{{with secret "secret/a"}}{{.Data.data.value}}{{end}}"#;
    stage.template("out", text).static_secret_render_interval = interval;
}

#[tokio::test(start_paused = true)]
async fn of_a_secret_that_is_read_often_only_the_version_is_asked_for() {
    let mut stage = stage();
    versioned(&mut stage, Some(Duration::from_secs(1)));
    let _running = stage.start();
    sleep(Duration::from_secs(60)).await;
    let probes = stage.server.count("secret/metadata/a");
    assert_eq!(stage.server.count("secret/data/a"), 1);
    assert!((55..=60).contains(&probes), "{probes}");
    for number in 2..5 {
        version(&stage, number, &format!("v{number}"));
        sleep(Duration::from_millis(1100)).await;
        assert_eq!(stage.read("out"), format!("v{number}"));
        assert_eq!(stage.server.count("secret/data/a"), number as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_right_to_the_versions_the_secret_is_read_and_the_versions_are_left_alone() {
    let mut stage = stage();
    versioned(&mut stage, Some(Duration::from_secs(1)));
    stage.server.answer("secret/metadata/a", 403, json!({"errors": ["permission denied"]}));
    let _running = stage.start();
    sleep(Duration::from_secs(60)).await;
    let reads = stage.server.count("secret/data/a");
    assert!((55..=62).contains(&reads), "{reads}");
    assert_eq!(stage.server.count("secret/metadata/a"), 1);
    // Another token may be let in.
    stage.token(2);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.server.count("secret/metadata/a"), 2);
}

#[tokio::test(start_paused = true)]
async fn versions_are_not_asked_for_where_reads_are_rare() {
    let mut stage = stage();
    versioned(&mut stage, None);
    let _running = stage.start();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.server.count("secret/metadata/a"), 0);
    assert!((12..=15).contains(&stage.server.count("secret/data/a")));
}

#[tokio::test(start_paused = true)]
async fn the_shortest_interval_of_the_templates_that_share_a_secret_counts() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    stage.template("slow", VALUE);
    stage.template("brisk", VALUE).static_secret_render_interval = Some(Duration::from_secs(10));
    let _running = stage.start();
    sleep(Duration::from_secs(100)).await;
    let reads = stage.server.count("kv/a");
    assert!((10..=13).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn who_is_denied_asks_ever_more_rarely_and_at_once_with_a_new_token() {
    let mut stage = stage();
    stage.server.answer("kv/a", 403, json!({"errors": ["permission denied"]}));
    stage.template("out", VALUE);
    let _running = stage.start();
    sleep(Duration::from_secs(3600)).await;
    let asked = stage.server.count("kv/a");
    assert!((18..32).contains(&asked), "{asked} in an hour");
    stage.server.kv("kv/a", "one");
    stage.token(2);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((stage.read("out"), stage.server.count("kv/a")), ("one".into(), asked + 1));
}

#[tokio::test(start_paused = true)]
async fn a_file_is_written_soon_after_what_was_in_its_way_is_gone_and_nobody_is_asked_for_it() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    put(&stage.path("folder"), "in the way");
    stage.template("folder/out", VALUE);
    let _running = stage.start();
    sleep(Duration::from_secs(200)).await;
    assert_eq!(stage.server.count("kv/a"), 1);
    atomic_file::remove(&stage.path("folder")).unwrap();
    sleep(Duration::from_millis(2100)).await;
    assert_eq!((stage.read("folder/out"), stage.server.count("kv/a")), ("one".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_local_file_that_comes_late_is_seen_soon() {
    let mut stage = stage();
    let source = stage.path("source");
    stage.template("out", &format!("[{{{{file {source:?}}}}}]"));
    let _running = stage.start();
    sleep(Duration::from_secs(600)).await;
    put(&source, "here");
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(stage.read("out"), "[here]");
}

#[tokio::test(start_paused = true)]
async fn what_ends_the_program_is_told_by_its_kind() {
    let denied = (403, json!({"errors": ["permission denied"]}));
    let busy = (503, json!({"errors": ["sealed"]}));
    let good = (200, json!({"data": {"value": "x"}}));
    let absent = (404, json!({"errors": []}));
    let bad = (400, json!({"errors": ["invalid ciphertext: no prefix"]}));
    let failing = r#"{{with secret "kv/a"}}{{.Data.value.none}}{{end}}"#;
    for ((status, body), text, folder, class) in [
        (denied, VALUE, ".", FailureClass::Denied),
        (absent, VALUE, ".", FailureClass::Absent),
        (busy, VALUE, ".", FailureClass::Unreachable),
        (good.clone(), failing, ".", FailureClass::Template),
        (good, VALUE, "/proc/none", FailureClass::Local),
        (bad.clone(), VALUE, ".", FailureClass::Template),
        (bad, r#"{{with secret "kv/a" "ciphertext=x"}}{{.Data.value}}{{end}}"#, ".", FailureClass::Template),
    ] {
        let mut stage = stage();
        stage.server.answer("kv/a", status, body);
        (stage.attempts, stage.shared.exit_on_retry_failure) = (2, true);
        let destination = stage.folder.path().join(folder).join("out");
        stage.template("out", text).destination = destination;
        let error = stage.start().await.unwrap().unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_templates_of_which_three_fail_make_no_storm() {
    let mut stage = stage();
    for nth in 0..50 {
        let text = format!(r#"{{{{with secret "kv/s{nth}"}}}}{{{{.Data.value}}}}{{{{end}}}}"#);
        stage.template(&format!("out{nth}"), &text);
        stage.server.kv(&format!("kv/s{nth}"), "one");
    }
    stage.server.answer("kv/s7", 403, json!({"errors": ["permission denied"]}));
    stage.templates[8].destination = "/proc/none/out".into();
    stage.templates[9].error_on_missing_key = true;
    stage.server.answer("kv/s9", 200, json!({"data": {"other": "x"}}));
    stage.shared.static_secret_render_interval = Duration::from_secs(600);
    let _running = stage.start();
    sleep(Duration::from_secs(300)).await;
    for nth in (0..50).filter(|nth| ![7, 8, 9].contains(nth)) {
        let asked = stage.server.count(&format!("kv/s{nth}"));
        assert_eq!((stage.read(&format!("out{nth}")), asked), ("one".into(), 1), "{nth}");
    }
    assert_eq!(stage.server.count("kv/s8"), 1, "an unwritable file is no reason to ask");
    let (denied, failing) = (stage.server.count("kv/s7"), stage.server.count("kv/s9"));
    assert!(denied <= 12 && failing <= 10, "{denied} {failing}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_a_moment_for_those_on_their_way() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    // This one never comes.
    stage.server.answer("kv/b", 0, Value::Null);
    stage.template("a", VALUE);
    stage.template("b", r#"{{with secret "kv/b"}}{{.Data.value}}{{end}}"#);
    let _running = stage.start();
    // Mounts and secrets are answered after 5 ms each.
    sleep(Duration::from_millis(20)).await;
    assert_eq!((stage.server.count("kv/a"), stage.read("a")), (1, "absent".into()));
    sleep(Duration::from_millis(40)).await;
    assert_eq!(stage.read("a"), "one");
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_apart_by_what_the_server_says() {
    for (status, class) in [
        (400, FailureClass::Template),
        (403, FailureClass::Denied),
        (404, FailureClass::Absent),
        (405, FailureClass::Template),
        (412, FailureClass::Unreachable),
        (503, FailureClass::Unreachable),
    ] {
        let mut stage = stage();
        stage.server.answer("kv/a", status, json!({"errors": ["no"]}));
        stage.shared.exit_on_retry_failure = true;
        stage.attempts = 0;
        stage.template("out", VALUE);
        let ended = stage.start().await.unwrap();
        assert_eq!(ended.map_err(|error| error.class()), Err(class), "{status}");
    }
}

//! Templates that compute for long: they delay the others by a moment, and nobody for good.

use super::*;

#[tokio::test]
async fn a_slow_template_delays_nobody_and_ends_with_the_runner() {
    let mut stage = stage();
    let marker = stage.path("marker");
    let script = format!("sleep 3; echo x > {}", marker.display());
    stage.server.kv("kv/a", "one");
    stage.template("slow", &format!(r#"{{{{ plugin "sh" "-c" {script:?} }}}}"#));
    stage.template("quick", VALUE);
    let running = stage.start();
    for _ in 0..100 {
        sleep(Duration::from_millis(10)).await;
        if stage.read("quick") == "one" {
            break;
        }
    }
    assert_eq!((stage.read("quick"), stage.read("slow")), ("one".into(), "absent".into()));
    running.abort();
    let _ = running.await;
    sleep(Duration::from_millis(200)).await;
    assert!(!marker.exists());
}

#[tokio::test]
async fn templates_that_compute_for_seconds_delay_the_others_by_a_moment_each() {
    let mut stage = stage();
    stage.server.kv("kv/a", "one");
    let long = [
        "{{ range 9000000 }}{{ end }}",
        r#"{{ sprig_regexFindAll "x.*y|x" (sprig_repeat 100000 "x") -1 | len }}"#,
    ];
    for nth in 0..12 {
        stage.template(&format!("long{nth}"), &format!("{}done", long[nth % 2]));
    }
    stage.template("quick", VALUE);
    let running = stage.start();
    for _ in 0..500 {
        sleep(Duration::from_millis(10)).await;
        if stage.read("quick") == "one" {
            break;
        }
    }
    assert_eq!(stage.read("quick"), "one");
    for nth in 0..12 {
        assert_eq!(stage.read(&format!("long{nth}")), "absent", "it ended before the quick one was written");
    }
    running.abort();
}

#[tokio::test]
async fn slow_templates_that_wait_for_their_turn_do_not_spin() {
    let mut stage = stage();
    // It fails at once and is due again while the others have taken its place.
    stage.template("failing", r#"{{ plugin "false" }}"#);
    for nth in 0..3 {
        stage.template(&format!("slow{nth}"), r#"{{ plugin "sleep" "5" }}"#);
    }
    let running = stage.start();
    let before = seconds_of_work();
    sleep(Duration::from_millis(2500)).await;
    let used = seconds_of_work() - before;
    running.abort();
    assert!(used < 0.7, "{used} seconds of work in 2.5");
}

/// Seconds this thread has worked.
fn seconds_of_work() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let behind = stat.rsplit_once(')').unwrap().1;
    let ticks = |nth: usize| behind.split_whitespace().nth(nth).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

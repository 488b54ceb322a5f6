//! Other templates while it runs.

use super::*;

const LEASED: &str = "{{ with secret \"db/creds/app\" }}{{ .Data.value }}{{ end }}";

/// A runner at work, and where it is sent other templates.
struct AtWork {
    stage: Stage,
    updates: mpsc::Sender<Update>,
    prepared: Arc<Prepared>,
}

async fn at_work(mut stage: Stage) -> AtWork {
    let lease = json!({"lease_id": "db/creds/app/1", "lease_duration": 3600, "renewable": true, "data": {"value": "one"}});
    stage.server.answer("db/creds/app", 200, lease);
    stage.server.kv("kv/new", "new");
    let prepared =
        Arc::new(Prepared::new(std::mem::take(&mut stage.templates), config::Profile::Vault, None));
    let (settings, server) = (stage.settings(), Arc::clone(&stage.server));
    let mut runner = Runner::of(&prepared, settings, server, Caller::default(), stage.ready.token()).unwrap();
    let updates = runner.updates();
    let tokens = stage.tokens.subscribe();
    stage.token(1);
    tokio::spawn(runner.run(tokens));
    sleep(Duration::from_secs(1)).await;
    AtWork { stage, updates, prepared }
}

impl AtWork {
    async fn change(&mut self) {
        let templates = std::mem::take(&mut self.stage.templates);
        self.prepared = Arc::new(Prepared::new(templates, config::Profile::Vault, Some(&self.prepared)));
        let settings = self.stage.settings();
        let ready = self.stage.ready.token();
        let update = Update { prepared: Arc::clone(&self.prepared), settings, server: None, ready };
        self.updates.send(update).await.ok().unwrap();
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_handed_over_though_it_is_asked_for_later() {
    let mut stage = stage();
    stage.template("a", LEASED);
    let mut work = at_work(stage).await;
    assert_eq!(work.stage.read("a"), "one");
    // The new text asks for it only when something else is there that nobody knows yet.
    let text = format!("{{{{ with secret \"kv/new\" }}}}{{{{ .Data.value }}}} {LEASED}{{{{ end }}}}");
    work.stage.template("b", &text);
    work.change().await;
    assert_eq!(work.stage.read("b"), "new one");
    assert_eq!(work.stage.server.count("db/creds/app"), 1, "the lease was had twice");
    // Who is not asked for is let go of, and had anew when it is wanted again.
    work.stage.template("c", "nothing");
    work.change().await;
    sleep(Duration::from_secs(60)).await;
    work.stage.template("b", &text);
    work.change().await;
    assert_eq!(work.stage.server.count("db/creds/app"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_is_not_rendered_again_and_places_are_used_again() {
    let mut stage = stage();
    stage.template("a", LEASED);
    let mut work = at_work(stage).await;
    let renders = |work: &AtWork| {
        work.prepared.standings().next().unwrap().renders.load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(renders(&work), 1);
    for round in 0..20 {
        work.stage.template("a", LEASED);
        work.stage.template("b", &format!("{round} {LEASED}"));
        work.change().await;
        assert_eq!(work.stage.read("b"), format!("{round} one"));
    }
    assert_eq!((renders(&work), work.stage.server.count("db/creds/app")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_held_for_half_a_minute_while_somebody_may_yet() {
    let mut stage = stage();
    stage.server.answer("kv/b", 0, Value::Null);
    stage.template("a", LEASED);
    let mut work = at_work(stage).await;
    // It is never rendered, so nobody knows what else it will ask for.
    let waits = "{{ with secret \"kv/b\" }}{{ .Data.value }}{{ end }}";
    for (pause, leases) in [(20, 1), (40, 2)] {
        work.stage.template("b", waits);
        work.change().await;
        sleep(Duration::from_secs(pause)).await;
        work.stage.template("a", LEASED);
        work.stage.template("b", waits);
        work.change().await;
        assert_eq!(work.stage.server.count("db/creds/app"), leases, "{pause}");
    }
}

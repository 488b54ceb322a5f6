//! Accounts of a real database in a file: a consumer logs in with what stands there, again and again, and must never be
//! refused; and no account is made in vain.
//!
//! `SIDEKEY_CONSUMING_SECONDS=180` lets the consumer go on for longer than the 75 s without it.

use std::time::Duration;

use testkit::{Program, eventually};
use tokio::time::{Instant, sleep};

use crate::postgres::Postgres;
use crate::{Stage, put};

/// How long an account lives, and how long at most.
const TTL: u64 = 10;
const MAX_TTL: u64 = 60;

/// The least that an account serves: its maximum, less a second that the server rounds away and two before its end, in
/// which another renewal would gain nothing.
const SERVES: u64 = MAX_TTL - 3;

fn consuming() -> Duration {
    let told = std::env::var("SIDEKEY_CONSUMING_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(told.unwrap_or(MAX_TTL + 15))
}

struct Scene {
    stage: Stage,
    database: Postgres,
    uses: u64,
}

impl Scene {
    /// With tokens that live this many seconds at most, and a role `app` of the database.
    async fn new(token_ttl: u64) -> Self {
        let (stage, database) = tokio::join!(Stage::with_ttl(token_ttl, token_ttl), Postgres::start());
        database.mount(&stage.root, "database", &[("app", TTL, MAX_TTL)]).await;
        Self { stage, database, uses: 0 }
    }

    fn agent(&self) -> Program {
        self.stage.agent(&["token"]).config(&format!(
            "template {{\n contents = \"{{{{ with secret \\\"database/creds/app\\\" }}}}{{{{ .Data.username }}}} {{{{ .Data.password }}}}{{{{ end }}}}\"\n destination = {:?}\n}}",
            self.stage.path("account")
        ))
    }

    async fn has_account(&self) {
        let is_there = || async { Some(()).filter(|()| self.stage.path("account").exists()) };
        eventually("the account", is_there).await.unwrap();
    }

    /// Uses what stands in the file until then.
    async fn consume(&mut self, until: Instant, agent: &testkit::Process) {
        let began = Instant::now();
        while Instant::now() < until {
            let account = self.stage.read("account");
            let (user, password) = account.split_once(' ').unwrap();
            let answer = self.database.query_as(user, password, "SELECT 1").await;
            let log = || agent.output().join("\n");
            assert!(answer.as_deref() == Ok("1"), "after {:?}: {answer:?}\n{}", began.elapsed(), log());
            self.uses += 1;
            sleep(Duration::from_millis(300)).await;
        }
    }

    fn logins(agent: &testkit::Process) -> usize {
        agent.output().iter().filter(|line| line.contains("authentication successful")).count()
    }
}

#[tokio::test]
async fn accounts_of_a_database_are_replaced_before_they_die_and_none_is_made_in_vain() {
    let mut scene = Scene::new(7200).await;
    let mut agent = scene.agent().config("cache {}").start().unwrap();
    scene.has_account().await;
    let time = consuming();
    scene.consume(Instant::now() + time, &agent).await;
    let made = scene.database.made().await;
    let least = time.as_secs().div_ceil(MAX_TTL);
    println!(
        "{time:?}: {} uses, none refused; {made} accounts made, where {least} that lived for all of {MAX_TTL} s would do",
        scene.uses
    );
    assert!(made >= least && made <= time.as_secs() / SERVES + 1, "{made} accounts in {time:?}");
    assert!(scene.uses > 50, "{}", scene.uses);
    agent.stop().await.unwrap();
}

/// A new token that comes while the old one lives takes the leases over: they are renewed with it, beyond the lease's
/// own TTL, and none is made anew.
#[tokio::test]
async fn leases_are_kept_over_a_new_token() {
    let mut scene = Scene::new(3600).await;
    let program = scene.agent();
    let config = "auto_auth {\n  method";
    let mut agent = program.start().unwrap();
    scene.has_account().await;
    agent.stop().await.unwrap();
    // The same once more, now with a login for each new secret id.
    let text = std::fs::read_to_string(scene.stage.path("config.hcl")).unwrap();
    assert!(text.contains(config));
    let text = text.replace(config, "auto_auth {\n  enable_reauth_on_new_credentials = true\n  method");
    let before = scene.database.made().await;
    put(&scene.stage.path("again.hcl"), &text);
    atomic_file::remove(&scene.stage.path("account")).unwrap();
    let mut command = tokio::process::Command::new(crate::sidekey());
    command.arg("agent").arg(format!("-config={}", scene.stage.path("again.hcl").display()));
    let mut agent = testkit::Process::start("agent", command).unwrap();
    scene.has_account().await;
    let first = scene.stage.read("token");
    let account = scene.stage.read("account");
    for nth in 2..=3 {
        let made =
            scene.stage.root.write("auth/approle/role/app/secret-id", &serde_json::json!({})).await.unwrap();
        put(&scene.stage.path("secret-id"), made["data"]["secret_id"].as_str().unwrap());
        let logged_in = || async { (Scene::logins(&agent) >= nth).then_some(()) };
        eventually("another login", logged_in)
            .await
            .unwrap_or_else(|_| panic!("{}", agent.output().join("\n")));
        // Longer than the account would live if nobody renewed it.
        scene.consume(Instant::now() + Duration::from_secs(TTL + 3), &agent).await;
    }
    assert_ne!(scene.stage.read("token"), first);
    assert_eq!(scene.stage.read("account"), account, "{}", agent.output().join("\n"));
    assert_eq!(scene.database.made().await, before + 1);
    agent.stop().await.unwrap();
}

/// The old token's end is the end of its leases, so they are replaced before it.
#[tokio::test]
async fn leases_are_replaced_before_the_old_token_dies() {
    let mut scene = Scene::new(12).await;
    let mut agent = scene.agent().start().unwrap();
    scene.has_account().await;
    scene.consume(Instant::now() + Duration::from_secs(40), &agent).await;
    let (logins, made) = (Scene::logins(&agent) as u64, scene.database.made().await);
    println!("{} uses, none refused; {logins} logins, {made} accounts", scene.uses);
    assert!(logins >= 4 && made <= logins, "{logins} logins, {made} accounts\n{}", agent.output().join("\n"));
    agent.stop().await.unwrap();
}

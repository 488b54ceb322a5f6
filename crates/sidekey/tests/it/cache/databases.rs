//! Accounts of a real database: kept alive, replaced in time, shared with templates, forgotten when they are revoked.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Answer, Api, Program, eventually};
use tokio::time::{Instant, sleep};

use super::text;
use crate::postgres::Postgres;
use crate::{Stage, sidekey};

/// How long accounts are used: longer than one of 10 s lives at most (25 s).
const CONSUMING: Duration = Duration::from_secs(28);

struct Scene {
    stage: Stage,
    database: Postgres,
    listener: Api,
}

/// A database account as it was handed out.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Account {
    user: String,
    password: String,
    lease: String,
}

fn account(answer: &Answer) -> Account {
    let own = |pointer| text(answer, pointer).to_owned();
    Account { user: own("/data/username"), password: own("/data/password"), lease: own("/lease_id") }
}

impl Scene {
    async fn get(&self, path: &str) -> (Answer, Account) {
        let answer = self.listener.get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        let account = account(&answer);
        (answer, account)
    }

    async fn works(&self, account: &Account) -> bool {
        self.database.takes(&account.user, &account.password).await
    }

    /// Leases of 10 s that may live for 25: renewed, served only while they live, replaced once.
    async fn rhythm(&self) {
        let began = Instant::now();
        let (mut users, mut misses, mut uses) = (Vec::new(), 0, 0);
        while began.elapsed() < CONSUMING {
            let (answer, account) = self.get("db/creds/short").await;
            misses += usize::from(answer.cache() == "MISS");
            let at = began.elapsed();
            assert!(self.works(&account).await, "{} at {at:?}: {} is dead", answer.cache(), account.user);
            if users.last() != Some(&account.user) {
                println!("an account of 10 s, at most 25 s, at {at:.1?}: {}", answer.cache());
                users.push(account.user);
            }
            uses += 1;
            sleep(Duration::from_millis(400)).await;
        }
        assert_eq!((users.len(), misses), (2, 2), "{users:?} in {CONSUMING:?}");
        assert!(uses > 30, "{uses}");
        assert!(self.stage.leases("db/creds/short").await <= 2);
    }

    /// Revoked behind our back: found at the next renewal, replaced once.
    async fn revoked_elsewhere(&self) {
        let (_, first) = self.get("db/creds/nine").await;
        self.stage.root.write("sys/leases/revoke", &json!({"lease_id": first.lease})).await.unwrap();
        let revoked = Instant::now();
        let (mut misses, mut noticed) = (0, None);
        while revoked.elapsed() < Duration::from_secs(9) {
            let (answer, account) = self.get("db/creds/nine").await;
            misses += usize::from(answer.cache() == "MISS");
            if account != first {
                noticed.get_or_insert_with(|| revoked.elapsed());
                assert!(self.works(&account).await);
            }
            sleep(Duration::from_millis(200)).await;
        }
        let noticed = noticed.unwrap();
        println!("a lease of 6 s, revoked elsewhere: noticed after {noticed:.1?}");
        assert!(noticed < Duration::from_millis(5400), "{noticed:?}: at 90 % of its time");
        assert_eq!(misses, 1, "one lease for the one that went");
        assert_eq!(self.stage.leases("db/creds/nine").await, 1);
    }

    /// A template and clients ask for the same secret: it is one lease, and one account.
    async fn shared(&self) {
        let rendered = async || {
            let text = self.stage.read("shared");
            (!text.is_empty()).then_some(text)
        };
        let rendered = eventually("the template", rendered).await.unwrap();
        let own = async || (!self.stage.read("own").is_empty()).then(|| self.stage.read("own"));
        assert_eq!(eventually("the other template", own).await.unwrap(), self.stage.read("token"));
        let (answer, account) = self.get("db/creds/shared").await;
        assert_eq!(answer.cache(), "HIT", "the template has asked before");
        assert_eq!(rendered, format!("{} {} {}", account.user, account.password, account.lease));
        for _ in 0..3 {
            sleep(Duration::from_secs(3)).await;
            let (answer, again) = self.get("db/creds/shared").await;
            assert_eq!((answer.cache(), &again), ("HIT", &account));
        }
        assert_eq!(self.stage.leases("db/creds/shared").await, 1);
        assert_eq!(self.stage.read("shared"), rendered, "it was rendered again for nothing");
        assert!(self.works(&account).await);
    }

    /// F25: logins of 4 s that may live for 9. Each renewal near the end grants less; what is handed out lives.
    async fn tokens(&self) {
        let everything = testkit::Server::EVERYTHING;
        let credentials = self.stage.server.approle("fleeting", everything, 4, 9).await.unwrap();
        let began = Instant::now();
        let mut tokens = Vec::new();
        while began.elapsed() < Duration::from_secs(20) {
            let answer = super::log_in(&self.listener, &credentials, 0).await;
            let (at, own) = (began.elapsed(), super::token(&answer).to_owned());
            assert!(self.stage.is_alive(&own).await, "{} at {at:?}", answer.cache());
            if !tokens.contains(&own) {
                println!("a login of 4 s, at most 9 s: another token at {at:.1?}");
                tokens.push(own);
            }
            sleep(Duration::from_millis(300)).await;
        }
        assert!((3..=4).contains(&tokens.len()), "{}", tokens.len());
    }

    /// Every way to revoke leases, seen before its answer leaves.
    async fn forms(&self) {
        let (lease, later) =
            (|id: &str| json!({"lease_id": id}), |id: &str| json!({"lease_id": id, "sync": false}));
        let none = |_: &str| Value::Null;
        type Form<'a> = (&'a str, &'a str, &'a dyn Fn(&str) -> Value, &'a str);
        let forms: [Form<'_>; 11] = [
            ("", "sys/leases/revoke", &lease, ""),
            ("", "sys/leases/revoke", &later, ""),
            ("", "sys/leases/revoke/ID", &none, ""),
            ("", "sys/leases/revoke-prefix/forms/creds/app", &none, ""),
            ("", "sys/leases/revoke-prefix/forms/creds/", &none, ""),
            ("", "sys/leases/revoke-prefix/forms", &later, ""),
            ("", "sys/leases/revoke-force/forms/creds/app", &none, ""),
            ("ns1/", "sys/leases/revoke", &lease, "ns1"),
            ("ns1/", "ns1/sys/leases/revoke", &lease, ""),
            ("ns1/", "ns1/sys/leases/revoke-prefix/forms/creds", &none, ""),
            ("ns1/", "sys/leases/revoke-force/forms/", &none, "ns1/"),
        ];
        let (_, other) = self.get("others/creds/app").await;
        for (namespace, path, body, header) in forms {
            let creds = format!("{namespace}forms/creds/app");
            let (miss, first) = self.get(&creds).await;
            let (hit, again) = self.get(&creds).await;
            assert_eq!((miss.cache(), hit.cache()), ("MISS", "HIT"), "before {path}");
            assert_eq!(first, again);
            let mut headers = vec![("content-type", "application/json")];
            headers.extend((!header.is_empty()).then_some(("x-vault-namespace", header)));
            let target = format!("/v1/{}", path.replace("ID", &first.lease));
            let body = Some(body(&first.lease)).filter(|body| !body.is_null()).map(|body| body.to_string());
            let revoked =
                self.listener.send("PUT", &target, &headers, &body.unwrap_or_default()).await.unwrap();
            assert!(revoked.status.is_success(), "{path}: {} {}", revoked.status, revoked.json);
            let (next, second) = self.get(&creds).await;
            assert_eq!(next.cache(), "MISS", "after {path}, answered {}", revoked.status);
            assert_ne!(first, second, "{path}");
            let away =
                self.listener.write(&format!("{namespace}sys/leases/revoke"), &lease(&second.lease)).await;
            away.unwrap();
        }
        let (still, same) = self.get("others/creds/app").await;
        assert_eq!((still.cache(), same), ("HIT", other), "another mount has nothing to do with it");

        // One entry, wherever the namespace stands.
        let (_, first) = self.get("ns1/forms/creds/app").await;
        for name in ["ns1", "ns1/", "/ns1/"] {
            let headers = [("x-vault-namespace", name)];
            let again = self.listener.send("GET", "/v1/forms/creds/app", &headers, "").await.unwrap();
            assert_eq!((again.cache(), account(&again)), ("HIT", first.clone()), "{name}");
        }
        let (own, elsewhere) = self.get("forms/creds/app").await;
        assert_eq!(own.cache(), "MISS", "that is the root namespace");
        assert_ne!(elsewhere, first);

        // With its mount everything goes.
        let gone = self.listener.send("DELETE", "/v1/sys/mounts/forms", &[], "").await.unwrap();
        assert!(gone.status.is_success(), "{}", gone.json);
        let refused = self.listener.get("forms/creds/app").await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.cache()), (404, ""), "{}", refused.json);
        assert!(!self.get("ns1/forms/creds/app").await.1.lease.is_empty());
    }

    /// An agent whose own token is replaced every few seconds: its clients are never given what died with the old one.
    async fn rotation(&self) {
        let stage = &self.stage;
        let folder = tempfile::tempdir().unwrap();
        let credentials = stage.server.approle("brief", testkit::Server::EVERYTHING, 4, 9).await.unwrap();
        let program = Program::agent(sidekey(), folder.path())
            .server(&stage.server.address())
            .approle(&credentials, &["token"])
            .unwrap()
            .config("cache {}\napi_proxy { use_auto_auth_token = true }")
            .listener("");
        let (mut agent, listener) = program.start_listening().await.unwrap();
        let began = Instant::now();
        let mut users = Vec::new();
        while began.elapsed() < Duration::from_secs(21) {
            let answer = listener.get("db/creds/quick").await.unwrap();
            let at = began.elapsed();
            assert_eq!(answer.status, 200, "at {at:?}: {}", answer.json);
            let account = account(&answer);
            assert!(self.works(&account).await, "{} at {at:?}: {} is dead", answer.cache(), account.user);
            if !users.contains(&account.user) {
                println!("own token of 4 s, at most 9 s: another account at {at:.1?}");
                users.push(account.user);
            }
            sleep(Duration::from_millis(300)).await;
        }
        assert!((3..=5).contains(&users.len()), "{users:?}: one for each token of our own");
        // What hung below the old tokens has gone, and nobody renews it any more.
        let only_one = async || {
            let told = listener.send("GET", "/agent/v1/cache", &[], "").await.unwrap().json;
            let kinds: Vec<&Value> =
                told["entries"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
            let count = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
            (count("own") <= 2 && count("lease") <= 2).then_some(())
        };
        eventually("the old tokens to be forgotten", only_one).await.unwrap();
        agent.stop().await.unwrap();
    }
}

/// F25 among others: revoked elsewhere, by prefix, and near the maximum TTL.
#[tokio::test]
async fn f25_accounts_live_as_long_as_they_are_handed_out() {
    let (stage, database) = tokio::join!(Stage::new(), Postgres::start());
    let root = &stage.root;
    root.write("sys/namespaces/ns1", &json!({})).await.unwrap();
    let roles =
        [("short", 10, 25), ("nine", 6, 3600), ("shared", 10, 3600), ("quick", 3, 3600), ("app", 3600, 7200)];
    for path in ["db", "forms", "others", "ns1/forms"] {
        database.mount(root, path, &roles).await;
    }
    let template = format!(
        "template {{\n contents = \"{{{{ with secret \\\"db/creds/shared\\\" }}}}{{{{ .Data.username }}}} {{{{ .Data.password }}}} {{{{ .LeaseID }}}}{{{{ end }}}}\"\n destination = {:?}\n}}",
        stage.path("shared")
    );
    // In upstream the token's own template said `<no value>` as soon as there was a cache.
    let own = format!(
        "template {{\n contents = \"{{{{ with secret \\\"auth/token/lookup-self\\\" }}}}{{{{ .Data.id }}}}{{{{ end }}}}\"\n destination = {:?}\n}}",
        stage.path("own")
    );
    let template = format!("{template}\n{own}");
    let (mut agent, listener) = stage.front().config(&template).start_listening().await.unwrap();
    eventually("our own login", async || (!stage.read("token").is_empty()).then_some(())).await.unwrap();
    let scene = Scene { stage, database, listener };
    tokio::join!(
        scene.rhythm(),
        scene.revoked_elsewhere(),
        scene.shared(),
        scene.tokens(),
        scene.forms(),
        scene.rotation()
    );
    agent.stop().await.unwrap();
}

/// F10 for our own token: revoked at the server, and with it all leases that hang on it. The first request that is refused
/// finds out; nothing of the old token is handed out from then on.
#[tokio::test]
async fn f10_our_own_token_is_revoked_with_the_leases_that_hang_on_it() {
    let (stage, database) = tokio::join!(Stage::new(), Postgres::start());
    database.mount(&stage.root, "db", &[("app", 3600, 7200), ("other", 3600, 7200)]).await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    eventually("our own login", async || (!stage.read("token").is_empty()).then_some(())).await.unwrap();
    let scene = Scene { stage, database, listener };
    let (old, first) = (scene.stage.read("token"), scene.get("db/creds/app").await.1);
    let (answer, again) = scene.get("db/creds/app").await;
    assert_eq!((answer.cache(), &again), ("HIT", &first));
    scene.stage.root.write("auth/token/revoke", &json!({"token": old})).await.unwrap();
    eventually("the server to take the account along", async || (!scene.works(&first).await).then_some(()))
        .await
        .unwrap();
    let revoked = Instant::now();
    // Any other request: it waits for the new token and is answered.
    let (answer, _) = scene.get("db/creds/other").await;
    assert_eq!(answer.cache(), "MISS");
    let noticed = revoked.elapsed();
    let (answer, second) = scene.get("db/creds/app").await;
    println!(
        "F10: our own token was replaced after {noticed:.1?}, its lease after {:.1?}",
        revoked.elapsed()
    );
    assert_eq!(answer.cache(), "MISS");
    assert_ne!(second.lease, first.lease);
    assert!(scene.works(&second).await);
    assert!(revoked.elapsed() <= Duration::from_secs(5), "{:?}", revoked.elapsed());
    assert_ne!(scene.stage.read("token"), old);
    // Once each, and nothing of the old ones is kept.
    assert_eq!(scene.get("db/creds/app").await.0.cache(), "HIT");
    eventually("what hung on the old token to be forgotten", async || {
        let told = scene.listener.send("GET", "/agent/v1/cache", &[], "").await.unwrap();
        (told.json["numbers"]["entries"] == 2).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(scene.database.made().await, 3);
    agent.stop().await.unwrap();
}

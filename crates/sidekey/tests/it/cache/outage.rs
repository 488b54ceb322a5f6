//! Servers that are killed, sealed or empty, and agents that sleep: what lives is handed out, what is dead never.

use std::time::Duration;

use serde_json::json;
use testkit::{Api, Process, Program, Server, eventually, server_binary};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{log_in, token};
use crate::sidekey;

/// How long a login's token lives, and how long a request may wait for the server.
const TTL: u64 = 10;
const PATIENCE: u64 = 8;

type Credentials = (String, String);

/// An agent whose own token lives long; `brief` are those of clients whose tokens do not.
struct Scene {
    agent: Process,
    listener: Api,
    brief: Credentials,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(server: &Server, address: &str, ttl: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = server.approle("app", Server::EVERYTHING, 3600, 7200).await.unwrap();
        let brief = server.approle("brief", Server::EVERYTHING, ttl, 3600).await.unwrap();
        let (agent, listener) = Program::agent(sidekey(), folder.path())
            .server(address)
            .approle(&own, &["token"])
            .unwrap()
            .config("cache {}\napi_proxy { use_auto_auth_token = true }")
            .listener("")
            .env("BAO_CLIENT_TIMEOUT", &PATIENCE.to_string())
            .start_listening()
            .await
            .unwrap();
        let sink = folder.path().join("token");
        eventually("our own login", async || sink.exists().then_some(())).await.unwrap();
        Self { agent, listener, brief, _folder: folder }
    }

    /// The token of a remembered login, if it is remembered.
    async fn hit(&self, number: u32) -> Option<String> {
        let answer = log_in(&self.listener, &self.brief, number).await;
        (answer.cache() == "HIT").then(|| token(&answer).to_owned())
    }

    async fn first(&self, number: u32) -> String {
        let answer = log_in(&self.listener, &self.brief, number).await;
        assert_eq!((answer.status.as_u16(), answer.cache()), (200, "MISS"), "{}", answer.json);
        token(&answer).to_owned()
    }
}

async fn is_alive(server: &Server, token: &str) -> bool {
    let api = server.api(Some(token)).unwrap();
    api.get("auth/token/lookup-self").await.is_ok_and(|answer| answer.status.is_success())
}

/// F01, F03 and what comes after: nothing that is remembered is lost by an outage, and nothing outlives its own end.
#[tokio::test]
async fn f01_f03_what_lives_is_handed_out_while_the_server_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::raft(&server_binary().unwrap(), folder.path()).await.unwrap();
    let mut scene = Scene::new(&server, &server.address(), TTL).await;
    let first = scene.first(1).await;

    // Killed, and back before the token's time is up: the same token, from memory all the time, and renewed then.
    server.kill().await;
    let killed = Instant::now();
    let mut hits = 0;
    while killed.elapsed() < Duration::from_secs(3) {
        assert_eq!(scene.hit(1).await.as_ref(), Some(&first), "after {:?} of outage", killed.elapsed());
        hits += 1;
        sleep(Duration::from_millis(100)).await;
    }
    server.start_again().await.unwrap();
    server.unseal().await.unwrap();
    println!("F01: {hits} of {hits} from memory; back after {:.1?}", killed.elapsed());
    sleep((killed + Duration::from_secs(TTL + 1)).saturating_duration_since(Instant::now())).await;
    assert_eq!(scene.hit(1).await.as_ref(), Some(&first), "it was renewed when the server was back");
    assert!(is_alive(&server, &first).await);

    // Sealed: from memory as before; what is not there gets the server's own word.
    server.seal().await.unwrap();
    let asked = Instant::now();
    let (hit, refused) = tokio::join!(scene.hit(1), log_in(&scene.listener, &scene.brief, 2));
    println!("F03: a miss is answered {} after {:.1?}", refused.status, asked.elapsed());
    assert_eq!(hit.as_ref(), Some(&first));
    assert_eq!(refused.status, 503, "{}", refused.json);
    assert!(
        refused.json["errors"][0].as_str().is_some_and(|said| said.contains("sealed")),
        "{}",
        refused.json
    );
    assert!(asked.elapsed() <= Duration::from_secs(6), "{:?}", asked.elapsed());
    server.unseal().await.unwrap();

    // Killed for good: until its end, and never after; then an error, within the client timeout.
    let last = scene.first(3).await;
    server.kill().await;
    let killed = Instant::now();
    let mut served = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let answer = log_in(&scene.listener, &scene.brief, 3).await;
        if answer.cache() != "HIT" {
            println!(
                "down: from memory for {served:.1?} of {TTL} s, then {} after {:.1?}",
                answer.status,
                asked.elapsed()
            );
            assert!(answer.status.as_u16() >= 500, "{} {}", answer.status, answer.json);
            assert!(asked.elapsed() <= Duration::from_secs(PATIENCE + 2), "{:?}", asked.elapsed());
            break;
        }
        assert_eq!(token(&answer), last);
        served = killed.elapsed();
        assert!(served <= Duration::from_secs(TTL), "{served:?} after it was given");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(served >= Duration::from_secs(TTL - 4), "{served:?}: given up too early");
    assert_eq!(scene.agent.stop().await.unwrap().code(), Some(0));
}

/// A way to one server that can be led to another.
async fn switch(first: &str) -> (String, watch::Sender<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, to) = watch::channel(first.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut to = to.clone();
            tokio::spawn(async move {
                let address = to.borrow_and_update().trim_start_matches("http://").to_owned();
                if let Ok(mut server) = TcpStream::connect(address).await {
                    // Whoever is led elsewhere loses the connections it has.
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = to.changed() => {}
                    }
                }
            });
        }
    });
    (address, sender)
}

/// F10: a server that has lost everything. F24: an agent that was stopped for longer than a token lives.
#[tokio::test]
async fn f10_f24_what_died_meanwhile_is_not_handed_out() {
    let binary = server_binary().unwrap();
    let (old, new) = tokio::join!(Server::dev(&binary), Server::dev(&binary));
    let (old, new) = (old.unwrap(), new.unwrap());
    let (address, to) = switch(&old.address()).await;
    let (mut scene, mut sleeper) =
        (Scene::new(&old, &address, TTL).await, Scene::new(&new, &new.address(), 5).await);
    // The other server knows the same role and secret id, and none of the tokens.
    let body = json!({"role_id": scene.brief.0});
    let root = new.root_api().unwrap();
    root.write("auth/approle/role/brief/role-id", &body).await.unwrap();
    let secret = json!({"secret_id": scene.brief.1});
    root.write("auth/approle/role/brief/custom-secret-id", &secret).await.unwrap();
    sleeper.brief = scene.brief.clone();

    let lost = async {
        let first = scene.first(1).await;
        to.send(new.address()).unwrap();
        let lost = Instant::now();
        let mut other = None;
        while other.is_none() && lost.elapsed() < Duration::from_secs(TTL) {
            let answer = log_in(&scene.listener, &scene.brief, 1).await;
            assert_eq!(answer.status, 200, "{}", answer.json);
            other = Some(token(&answer).to_owned()).filter(|token| *token != first);
            // What a client does with it.
            let own = scene.listener.with_token(Some(token(&answer)));
            let used = own.get("auth/token/lookup-self").await.unwrap();
            assert_eq!(used.status, if other.is_none() { 403 } else { 200 });
            sleep(Duration::from_millis(100)).await;
        }
        println!("F10: a login that the server has lost was replaced after {:.1?}", lost.elapsed());
        assert!(is_alive(&new, &other.unwrap()).await);
        assert!(
            lost.elapsed() <= Duration::from_secs(TTL) * 3 / 4 + Duration::from_secs(1),
            "{:?}",
            lost.elapsed()
        );
    };
    let slept = async {
        let first = sleeper.first(7).await;
        assert_eq!(sleeper.hit(7).await.as_ref(), Some(&first));
        sleeper.agent.signal(rustix::process::Signal::STOP);
        sleep(Duration::from_secs(7)).await;
        sleeper.agent.signal(rustix::process::Signal::CONT);
        let answer = log_in(&sleeper.listener, &sleeper.brief, 7).await;
        assert_eq!((answer.status.as_u16(), answer.cache()), (200, "MISS"), "{}", answer.json);
        assert_ne!(token(&answer), first);
        assert!(is_alive(&new, token(&answer)).await);
    };
    tokio::join!(lost, slept);
    scene.agent.stop().await.unwrap();
    sleeper.agent.stop().await.unwrap();
}

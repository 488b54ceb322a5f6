//! A cluster whose active node dies.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use testkit::{Api, Cluster, Program, eventually, server_binary};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::load::{Load, Seen, gap, refused};
use crate::sidekey;

/// What an election may take on a busy machine: one or two seconds of silence, one or two of voting, and the new active
/// node has to open what it keeps.
const ELECTION: Duration = Duration::from_secs(15);

/// Kills the active node under load, and tells what became of the requests.
async fn lose_the_active(cluster: &mut Cluster, listener: &Api, name: &str) -> (Vec<Seen>, Instant, usize) {
    let active = cluster.active().await.unwrap();
    let load = Load::start(listener, Some(name));
    sleep(Duration::from_secs(2)).await;
    cluster.node(active).unwrap().kill().await;
    let killed = Instant::now();
    let next = cluster.active().await.unwrap();
    assert_ne!(next, active);
    let elected = killed.elapsed();
    sleep(Duration::from_secs(3)).await;
    let all = load.stop().await;
    println!(
        "F19 {name}: {} requests, {} of them writes; refused: {:?}; a new active node after {elected:.1?}, gap {:.1?}",
        all.len(),
        all.iter().filter(|seen| seen.wrote.is_some()).count(),
        refused(&all).iter().map(|seen| (&seen.status, &seen.body)).collect::<Vec<_>>(),
        gap(&all, killed)
    );
    (all, killed, next)
}

/// Every request was answered, no read was lost, and no write was carried out twice. But for one that was under way when
/// the node died: a standby that was handing it on says then that there is no active node, or names another, and not
/// whether the dead one had done it.
async fn nothing_lost(all: &[Seen], killed: Instant, root: &Api) {
    for seen in refused(all) {
        let status = seen.status.as_ref().unwrap_or_else(|why| panic!("no answer: {why}, {seen:?}"));
        // A write that was under way when the node died may or may not have been carried out; it is not repeated.
        assert!(seen.wrote.is_some() && *status >= 500, "a read was lost: {seen:?}");
        assert!(seen.began <= killed + Duration::from_millis(1500), "{seen:?}");
    }
    assert!(gap(all, killed) <= ELECTION, "{:?}", gap(all, killed));
    let last = all.last().unwrap();
    assert!(last.is_fine(), "{last:?}");
    for seen in all.iter().filter(|seen| seen.wrote.is_some()) {
        let name = seen.wrote.as_deref().unwrap();
        let kept = root.get(&format!("secret/metadata/{name}")).await.unwrap();
        let times = kept.json["data"]["current_version"].as_u64().unwrap_or(0);
        let under_way = seen.began <= killed && killed <= seen.ended;
        let wanted = match (seen.is_fine(), under_way) {
            (true, true) => 1..=2,
            (true, false) => 1..=1,
            (false, _) => 0..=1,
        };
        assert!(wanted.contains(&times), "{name} was written {times} times: {seen:?}");
    }
}

/// What a server says to somebody who follows no redirect and wants no forwarding.
async fn status_line(server: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).await.unwrap();
    let request = format!(
        "POST /v1/secret/data/direct HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {token}\r\n\
         X-Vault-No-Request-Forwarding: true\r\nContent-Length: 11\r\n\r\n{{\"data\":{{}}}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// With all addresses, and with that of a standby alone.
#[tokio::test]
async fn f19_the_active_node_dies_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(&server_binary().unwrap(), folder.path(), 3).await.unwrap();
    let active = cluster.active().await.unwrap();
    let root_token = cluster.nodes()[0].root_token().to_owned();
    let root = cluster.nodes()[active].root_api().unwrap();
    root.write("secret/data/app", &json!({"data": {"color": "blue"}})).await.unwrap();

    let mut addresses: Vec<String> = cluster.nodes().iter().map(testkit::Server::address).collect();
    addresses.swap(0, active);
    let all_of_them = Program::proxy(sidekey(), folder.path())
        .config(&format!("vault {{ addresses = {addresses:?} }}"))
        .listener("");
    let (mut proxy, listener) = all_of_them.start_listening().await.unwrap();
    let listener = listener.with_token(Some(&root_token));
    let (all, killed, next) = lose_the_active(&mut cluster, &listener, "list").await;
    nothing_lost(&all, killed, &cluster.nodes()[next].root_api().unwrap()).await;

    // The first address is asked again once it can be, standby or not.
    let in_use = async || {
        listener.get("secret/data/app").await.ok()?;
        let status = listener.send("GET", "/proxy/v1/status", &[], "").await.ok()?;
        status.json["upstream"]["address"].as_str().map(str::to_owned)
    };
    assert_ne!(in_use().await.unwrap(), addresses[0]);
    cluster.node(active).unwrap().start_again().await.unwrap();
    cluster.nodes()[active].unseal().await.unwrap();
    let back = Instant::now();
    let returned = async || (in_use().await? == addresses[0]).then(|| back.elapsed());
    let returned = eventually("the first address to be used again", returned).await.unwrap();
    println!("F19 list: the first address is in use again {returned:.1?} after its unseal");
    proxy.stop().await.unwrap();

    // Its address alone: it stands by now.
    assert_ne!(cluster.active().await.unwrap(), active);
    let standby = cluster.nodes()[active].address();
    let one = Program::proxy(sidekey(), folder.path()).server(&standby).listener("");
    let (mut proxy, listener) = one.start_listening().await.unwrap();
    let listener = listener.with_token(Some(&root_token));
    let unforwarded = [("x-vault-no-request-forwarding", "true")];
    let asked_itself = status_line(&standby, &root_token).await;
    let body = "{\"data\":{\"n\":1}}";
    let followed = listener.send("POST", "/v1/secret/data/direct", &unforwarded, body).await.unwrap();
    assert!(asked_itself.contains("307"), "asked not to forward it names the active node: {asked_itself}");
    assert_eq!(followed.status.as_u16(), 200, "the redirect was followed");
    let now_active = cluster.active().await.unwrap();
    let kept = cluster.nodes()[now_active].root_api().unwrap().get("secret/data/direct").await.unwrap();
    assert_eq!(
        (&kept.json["data"]["data"]["n"], &kept.json["data"]["metadata"]["version"]),
        (&json!(1), &json!(1))
    );
    let (all, killed, next) = lose_the_active(&mut cluster, &listener, "standby").await;
    nothing_lost(&all, killed, &cluster.nodes()[next].root_api().unwrap()).await;
    proxy.stop().await.unwrap();
}

/// A node that is stopped and says nothing: its connections stay, and nobody answers on them. A read goes elsewhere
/// after a third of the time it has; a write does not, because it may have been carried out.
#[tokio::test]
async fn f19_the_active_node_hangs_under_load() {
    const TIMEOUT: Duration = Duration::from_secs(12);
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&server_binary().unwrap(), folder.path(), 3).await.unwrap();
    let active = cluster.active().await.unwrap();
    let root_token = cluster.nodes()[0].root_token().to_owned();
    let root = cluster.nodes()[active].root_api().unwrap();
    root.write("secret/data/app", &json!({"data": {"color": "blue"}})).await.unwrap();
    let mut addresses: Vec<String> = cluster.nodes().iter().map(testkit::Server::address).collect();
    addresses.swap(0, active);
    let program = Program::proxy(sidekey(), folder.path())
        .config(&format!("vault {{ addresses = {addresses:?} }}"))
        .env("VAULT_CLIENT_TIMEOUT", &format!("{}s", TIMEOUT.as_secs()))
        .listener("");
    let (mut proxy, listener) = program.start_listening().await.unwrap();
    let listener = listener.with_token(Some(&root_token));
    let load = Load::start(&listener, Some("hung"));
    sleep(Duration::from_secs(2)).await;
    cluster.nodes()[active].signal(Signal::STOP);
    let stopped = Instant::now();
    let others = cluster.nodes().iter().enumerate().filter(|(number, _)| *number != active);
    let others: Vec<Api> = others.map(|(_, node)| node.api(None).unwrap()).collect();
    let elected = eventually("another active node", async || {
        for node in &others {
            if node.get("sys/health").await.is_ok_and(|health| health.status.as_u16() == 200) {
                return Some(stopped.elapsed());
            }
        }
        None
    });
    let elected = elected.await.unwrap();
    sleep(TIMEOUT).await;
    cluster.nodes()[active].signal(Signal::CONT);
    sleep(Duration::from_secs(3)).await;
    let all = load.stop().await;
    let (refused, gap) = (refused(&all), gap(&all, stopped));
    println!(
        "F19 hangs: {} requests; refused: {:?}; a new active node after {elected:.1?}, gap {gap:.1?}",
        all.len(),
        refused.iter().map(|seen| (&seen.status, seen.ended - stopped)).collect::<Vec<_>>()
    );
    for seen in &refused {
        let status = seen.status.as_ref().unwrap_or_else(|why| panic!("no answer: {why}, {seen:?}"));
        assert!(seen.wrote.is_some() && *status >= 500, "a read was lost: {seen:?}");
        assert!(seen.began <= stopped + elected.max(TIMEOUT / 3) + Duration::from_secs(1), "{seen:?}");
    }
    assert!(gap <= elected + TIMEOUT / 3 + Duration::from_secs(2), "{gap:?}");
    assert!(all.last().unwrap().is_fine(), "{:?}", all.last());
    // It stands by again, or is active; what it had been given is written once at most.
    let active = cluster.active().await.unwrap();
    let root = cluster.nodes()[active].root_api().unwrap();
    for seen in all.iter().filter(|seen| seen.wrote.is_some()) {
        let name = seen.wrote.as_deref().unwrap();
        let kept = root.get(&format!("secret/metadata/{name}")).await.unwrap();
        let times = kept.json["data"]["current_version"].as_u64().unwrap_or(0);
        let wanted = if seen.is_fine() { 1..=1 } else { 0..=1 };
        assert!(wanted.contains(&times), "{name} was written {times} times: {seen:?}");
    }
    proxy.stop().await.unwrap();
}

//! S10 to S13, S18 and S19: how much and how many.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::ListenerLimits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::sockets::{any_port, eventually, hear_all, hear_some, start, tcp};
use super::{Client, Front, get};
use crate::breach::Breach;
use crate::doors::Who;

#[tokio::test(start_paused = true)]
async fn s10_heads() {
    let head =
        |filler: usize| format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n", "a".repeat(filler));
    let most = 64 * 1024 - head(0).len();
    let fields = |count: usize| {
        format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(count - 1))
    };
    for (request, status, breach) in [
        (head(most), 200, Breach::HeaderSize),
        (head(most + 1), 431, Breach::HeaderSize),
        (head(1 << 20), 431, Breach::HeaderSize),
        (fields(100), 200, Breach::HeaderCount),
        (fields(101), 431, Breach::HeaderCount),
    ] {
        let front = Front::new();
        let answer = front.ask(format!("{request}{}", get("/v1/second"))).await;
        let fine = status == 200;
        assert_eq!(answer.statuses()[0], status, "{}", answer.text);
        assert_eq!((answer.closed, front.seen().len()), (!fine, if fine { 2 } else { 0 }));
        assert_eq!(front.counters().breaches(breach), u64::from(!fine));
    }
}

#[tokio::test(start_paused = true)]
async fn s10_more_fields_where_the_listener_says_so() {
    let front = Front::with(|listener| listener.limits.headers = 200);
    let answer =
        front.ask(format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(199))).await;
    assert_eq!(answer.statuses(), [200]);
}

#[tokio::test(start_paused = true)]
async fn s11_targets() {
    for (length, status) in [(16 * 1024, 200), (16 * 1024 + 1, 414), (60_000, 414), (200_000, 414)] {
        let front = Front::new();
        let answer = front.ask(get(&format!("/v1/{}", "a".repeat(length - 4)))).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![status], status != 200));
        assert_eq!(front.counters().breaches(Breach::TargetSize), u64::from(status != 200));
    }
}

#[tokio::test(start_paused = true)]
async fn s12_bodies() {
    let small = |listener: &mut config::Listener| listener.limits.body = 2000;
    let post = "POST /v1/a HTTP/1.1\r\nHost: localhost\r\n";
    for (rest, status) in [
        (format!("Content-Length: 2000\r\n\r\n{}", "x".repeat(2000)), 200),
        // Before any of it is read.
        ("Content-Length: 2001\r\n\r\n".to_owned(), 413),
        ("Content-Length: 10000000000\r\n\r\n".to_owned(), 413),
        ("Content-Length: 2001\r\nExpect: 100-continue\r\n\r\n".to_owned(), 413),
        (format!("Transfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)), 200),
        (format!("Transfer-Encoding: chunked\r\n\r\n7d1\r\n{}\r\n0\r\n\r\n", "x".repeat(2001)), 413),
        (
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{}",
                format!("64\r\n{}\r\n", "x".repeat(100)).repeat(21)
            ),
            413,
        ),
    ] {
        let front = Front::with(small);
        let answer = front.ask(format!("{post}{rest}")).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![status], status != 200), "{}", answer.text);
        assert_eq!(front.seen().len(), usize::from(status == 200));
        assert_eq!(front.counters().breaches(Breach::BodySize), u64::from(status != 200));
        assert_eq!(front.counters().buffered.load(Relaxed), 0);
    }
    assert_eq!(ListenerLimits::default().body, 32 << 20);
}

#[tokio::test(start_paused = true)]
async fn s13_all_bodies_together() {
    let front = Front::with(|listener| listener.limits.buffered_bodies = 3000);
    let half =
        format!("POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(1999));
    let (mut first, mut second) = (front.connect(), front.connect());
    first.send(&half).await;
    assert_eq!(first.hear().await.text, "");
    assert_eq!(front.counters().buffered.load(Relaxed), 1999);
    second.send(&half).await;
    let answer = second.hear_for(Duration::from_secs(5)).await;
    assert_eq!((answer.statuses(), answer.closed), (vec![503], true), "{}", answer.text);
    assert!(answer.head().contains("retry-after: 1"));
    assert_eq!(front.counters().breaches(Breach::BufferedBodies), 1);
    first.send("x").await;
    assert_eq!(first.hear().await.statuses(), [200]);
    assert_eq!((front.counters().buffered.load(Relaxed), front.seen().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn s18_the_longest_idle_makes_room() {
    let front = Front::with(|listener| {
        listener.limits.connections = 3;
        listener.limits.header_timeout = Duration::from_secs(100);
    });
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..3 {
        front.doors.room().await;
        clients.push(front.connect());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    front.takes(Duration::from_secs(5));
    // The oldest is at work, the next one idle.
    clients[0].send(get("/v1/a")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    timeout(Duration::from_secs(1), front.doors.room()).await.unwrap();
    assert!(clients[1].hear().await.closed);
    let mut third = front.connect();
    assert_eq!(clients[0].hear_for(Duration::from_secs(8)).await.statuses(), [200]);
    assert!(!clients[2].hear().await.closed);
    assert_eq!(front.counters().breaches(Breach::Connections), 1);
    // All at work: nobody is sent away, and the next one waits.
    for client in [0, 2] {
        clients[client].send(get("/v1/a")).await;
    }
    third.send(get("/v1/a")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(timeout(Duration::from_secs(3), front.doors.room()).await.is_err());
    timeout(Duration::from_secs(3), front.doors.room()).await.unwrap();
}

/// Nobody is sent away for a newcomer who does not come.
#[tokio::test]
async fn s18_room_is_made_when_somebody_is_there_for_it() {
    let (address, counters, stop) = start(|listener| {
        any_port(listener);
        listener.limits.connections = 2;
    })
    .await;
    let connect = async || TcpStream::connect(tcp(&address)).await.unwrap();
    let (mut first, mut second) = (connect().await, connect().await);
    eventually(|| counters.connections.load(Relaxed) == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((counters.connections.load(Relaxed), counters.breaches(Breach::Connections)), (2, 0));
    // Both are still heard; then the first is the one that has been idle for longest.
    for client in [&mut first, &mut second] {
        client.write_all(get("/v1/a").as_bytes()).await.unwrap();
        assert!(hear_some(client).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut third = connect().await;
    third.write_all(get("/v1/a").as_bytes()).await.unwrap();
    assert!(hear_some(&mut third).await.starts_with("HTTP/1.1 200"));
    assert_eq!(hear_all(&mut first).await, "");
    assert_eq!((counters.connections.load(Relaxed), counters.breaches(Breach::Connections)), (2, 1));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn s18_a_client_makes_room_for_itself() {
    let front = Front::with(|listener| listener.limits.connections_per_client = 2);
    let (me, other) = (Who::at("10.0.0.1".parse().unwrap()), Who::at("10.0.0.2".parse().unwrap()));
    let mut bystander = front.connect_as(other, 4096).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut first = front.connect_as(me, 4096).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut second = front.connect_as(me, 4096).unwrap();
    let mut third = front.connect_as(me, 4096).unwrap();
    assert!(first.hear().await.closed && !second.hear().await.closed && !bystander.hear().await.closed);
    front.takes(Duration::from_secs(5));
    second.send(get("/v1/a")).await;
    third.send(get("/v1/a")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(front.connect_as(me, 4096).is_none());
    assert!(front.connect_as(other, 4096).is_some());
    assert_eq!(front.counters().breaches(Breach::ConnectionsPerClient), 2);
}

/// Whoever is asked to leave needs a moment for it, in which nobody else comes in on his account.
#[tokio::test(start_paused = true)]
async fn s18_a_burst_gets_no_more_room() {
    let front = Front::with(|listener| listener.limits.connections_per_client = 3);
    // None of the connections runs in between.
    let burst: Vec<_> = (0..50).filter_map(|_| front.connect_as(Who::User(1), 4096)).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((burst.len(), front.counters().connections.load(Relaxed)), (50, 3));
}

#[tokio::test(start_paused = true)]
async fn s18_descriptors_are_kept_for_others() {
    // 64 are kept, so there are four for clients and for the server on their behalf.
    let front = Front::short_of(68, |_| {});
    front.takes(Duration::from_secs(2));
    let mut clients: Vec<Client> = (0..3).map(|_| front.connect()).collect();
    timeout(Duration::from_secs(1), front.doors.room()).await.unwrap();
    clients[0].send(get("/v1/a")).await;
    assert_eq!(clients[0].hear().await.text, "");
    // Four are in use. An idle connection goes, a busy one does not.
    clients[1].send(get("/v1/a")).await;
    assert!(clients[2].hear().await.closed);
    let mut fourth = clients.remove(2);
    drop(std::mem::replace(&mut fourth, front.connect()));
    fourth.send(get("/v1/a")).await;
    assert_eq!(fourth.hear().await.statuses(), [503]);
    assert_eq!(clients[0].hear_for(Duration::from_secs(3)).await.statuses(), [200]);
}

#[tokio::test(start_paused = true)]
async fn s19_requests_together_and_of_one_client() {
    let front = Front::with(|listener| {
        listener.limits.requests = 3;
        listener.limits.requests_per_client = 2;
    });
    front.takes(Duration::from_secs(5));
    let mut clients: Vec<Client> = Vec::new();
    for (user, status) in [(1, 0), (1, 0), (1, 503), (2, 0), (2, 503), (3, 503)] {
        let mut client = front.connect_as(Who::User(user), 4096).unwrap();
        client.send(get("/v1/a")).await;
        let answer = client.hear().await;
        let want = if status == 0 { vec![] } else { vec![status] };
        assert_eq!((answer.statuses(), answer.closed), (want, false), "{user}: {}", answer.text);
        assert!(status == 0 || answer.head().contains("retry-after: 1"));
        clients.push(client);
    }
    assert_eq!(front.counters().in_flight.load(Relaxed), 3);
    assert_eq!(front.counters().breaches(Breach::RequestsPerClient), 1);
    assert_eq!(front.counters().breaches(Breach::Requests), 2);
    for client in [0, 1, 3] {
        assert_eq!(clients[client].hear_for(Duration::from_secs(6)).await.statuses(), [200]);
    }
    // Refused once, served later, on the same connection.
    assert_eq!(front.counters().in_flight.load(Relaxed), 0);
    clients[2].send(get("/v1/a")).await;
    assert_eq!(clients[2].hear_for(Duration::from_secs(6)).await.statuses(), [200]);
    // A client that leaves takes its request along.
    clients[2].send(get("/v1/a")).await;
    assert_eq!(clients[2].hear().await.text, "");
    drop(clients);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(front.counters().in_flight.load(Relaxed), 0);
    assert_eq!(front.counters().connections.load(Relaxed), 0);
}

#[test]
fn s18_clients_by_address() {
    let who = |text: &str| Who::at(text.parse().unwrap());
    assert_eq!(who("::ffff:10.0.0.1"), who("10.0.0.1"));
    assert_eq!(who("2001:db8:1:2::1"), who("2001:db8:1:2:ffff::"));
    assert_ne!(who("2001:db8:1:2::1"), who("2001:db8:1:3::1"));
    assert_ne!(who("10.0.0.1"), who("10.0.0.2"));
}

/// N9: most connections wait, and what waits is small.
#[tokio::test]
async fn a_waiting_connection_is_small() {
    let front = Front::new();
    let entered = front.doors.enter(Who::Unknown).unwrap();
    let stream = vault::Stream::other(tokio::io::duplex(1).1);
    let stop = tokio_util::sync::CancellationToken::new();
    let serving =
        crate::http1::serve_http1(crate::route::Sites::of(front.site.clone()), stream, &entered.link, &stop);
    let size = std::mem::size_of_val(&serving) + std::mem::size_of::<crate::link::Link>();
    assert!(size < 2 * 1024, "{size}");
}

//! S15 to S17: slow clients. Time is paused, so nothing here takes any.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use super::{Client, Front, Protocol, get};
use crate::breach::Breach;
use crate::doors::Who;

const SECOND: Duration = Duration::from_secs(1);

/// After how many seconds the connection is closed.
async fn closed_after(client: &mut Client) -> u64 {
    let began = Instant::now();
    let answer = client.hear_for(1000 * SECOND).await;
    assert!(answer.closed, "{}", answer.text);
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn s15_the_first_head_has_ten_seconds_from_accept() {
    let front = Front::new();
    assert_eq!(closed_after(&mut front.connect()).await, 10);
    let mut client = front.connect();
    client.send("GET /v1/a HTT").await;
    assert_eq!(closed_after(&mut client).await, 10);
    // A byte now and then does not help.
    let mut client = front.connect();
    let began = Instant::now();
    for byte in get("/v1/a").bytes().take(30) {
        client.send([byte]).await;
        sleep(SECOND).await;
    }
    assert!(closed_after(&mut client).await == 0 && began.elapsed() == 30 * SECOND);
    assert_eq!(front.counters().breaches(Breach::HeaderTime), 3);
    assert_eq!(front.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn s15_a_later_head_has_ten_seconds_from_its_first_byte() {
    let front = Front::with(|listener| listener.limits.header_timeout = 3 * SECOND);
    let mut client = front.connect();
    client.send(get("/v1/a")).await;
    client.hear().await;
    sleep(30 * SECOND).await;
    client.send("GET ").await;
    assert_eq!(closed_after(&mut client).await, 3);
    assert_eq!(front.counters().breaches(Breach::HeaderTime), 1);
}

#[tokio::test(start_paused = true)]
async fn s15_holds_for_http2() {
    let front = Front::new();
    let mut client = Client(front.wire(Who::User(1), 1 << 16, Protocol::Http2).unwrap());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(closed_after(&mut client).await, 10);
}

/// Whoever sends without a pause, and asks for nothing, gets a turn like anybody else, and as long to ask.
#[tokio::test(start_paused = true)]
async fn s15_who_never_stops_sending_on_http2_takes_turns() {
    const ALL: usize = 2 << 20;
    let front = Front::new();
    let mut client = Client(front.wire(Who::User(1), 2 * ALL, Protocol::Http2).unwrap());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // Frames of a kind that nobody knows, and then one that is answered.
    let mut ignored = vec![0, 3, 0xe8, 0xbb, 0, 0, 0, 0, 0];
    ignored.resize(9 + 1000, b'x');
    client.send(ignored.repeat(ALL / ignored.len())).await;
    client.send(b"\0\0\x08\x06\0\0\0\0\0tellsend").await;
    let (mut turns, mut heard) = (0, Vec::new());
    while !heard.windows(8).any(|window| window == b"tellsend") {
        tokio::select! {
            biased;
            read = client.0.read_buf(&mut heard) => assert_ne!(read.unwrap(), 0, "it was closed"),
            () = tokio::task::yield_now() => turns += 1,
        }
    }
    assert!(turns >= ALL / (64 << 10), "{turns}");
    // What is sent does not keep the connection open.
    let began = Instant::now();
    while began.elapsed() < 11 * SECOND {
        if client.0.write_all(&ignored).await.is_err() {
            break;
        }
        sleep(SECOND / 10).await;
    }
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(front.counters().breaches(Breach::HeaderTime), 1);
}

#[tokio::test(start_paused = true)]
async fn s16_a_body_may_pause_for_ten_seconds() {
    for framing in ["Content-Length: 5\r\n\r\nhe", "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"] {
        let front = Front::new();
        let mut client = front.connect();
        let began = Instant::now();
        client.send(format!("POST /v1/a HTTP/1.1\r\nHost: localhost\r\n{framing}")).await;
        let answer = client.hear_for(100 * SECOND).await;
        assert_eq!((answer.statuses(), answer.closed), (vec![408], true), "{}", answer.text);
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!((front.seen().len(), front.counters().breaches(Breach::BodyPause)), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn s16_a_body_has_thirty_seconds_and_more_if_it_is_long() {
    let front = Front::new();
    let mut client = front.connect();
    client.send("POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n").await;
    for _ in 0..29 {
        client.send("x").await;
        sleep(SECOND).await;
    }
    assert_eq!(client.hear().await.text, "");
    let answer = client.hear_for(100 * SECOND).await;
    assert_eq!((answer.statuses(), front.counters().breaches(Breach::BodyTime)), (vec![408], 1));

    // 64 KiB a second are always enough.
    let mut client = front.connect();
    client
        .send(format!("POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 60 << 16))
        .await;
    for _ in 0..60 {
        client.send(vec![b'x'; 1 << 16]).await;
        sleep(SECOND).await;
    }
    assert_eq!(client.hear().await.statuses(), [200]);
}

#[tokio::test(start_paused = true)]
async fn s17_an_idle_connection_lives_for_a_minute() {
    let front = Front::new();
    let mut client = front.connect();
    for _ in 0..3 {
        client.send(get("/v1/a")).await;
        assert_eq!(client.hear_for(50 * SECOND).await.statuses(), [200]);
    }
    // It counts from the answer, not from the request.
    front.takes(20 * SECOND);
    client.send(get("/v1/a")).await;
    assert_eq!(closed_after(&mut client).await, 80);
    assert_eq!(front.counters().breaches(Breach::Idle), 1);
    assert_eq!((front.counters().breaches(Breach::HeaderTime), front.seen().len()), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn s17_a_long_request_is_not_idle() {
    let front = Front::new();
    front.takes(500 * SECOND);
    let mut client = front.connect();
    client.send(get("/v1/sys/monitor")).await;
    assert_eq!(client.hear_for(550 * SECOND).await.statuses(), [200]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let front = Front::new();
    front.answers(200, &[], &"x".repeat(1 << 20));
    let mut client = front.connect_as(Who::User(1), 4096).unwrap();
    client.send(get("/v1/a")).await;
    // Slowly is well.
    let mut some = [0; 1000];
    for _ in 0..10 {
        sleep(50 * SECOND).await;
        client.0.read_exact(&mut some).await.unwrap();
    }
    assert_eq!(front.counters().breaches(Breach::WriteTime), 0);
    sleep(70 * SECOND).await;
    assert_eq!(front.counters().breaches(Breach::WriteTime), 1);
    assert!(client.hear().await.closed);
    use std::sync::atomic::Ordering::Relaxed;
    assert_eq!(front.counters().connections.load(Relaxed), 0);
    assert_eq!(front.counters().in_flight.load(Relaxed), 0);
}

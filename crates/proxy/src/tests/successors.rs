//! Other settings for a listener that is at work.

use std::sync::Arc;

use config::{Endpoint, Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use super::Front;
use super::sockets::hear_all;
use crate::listener::Bound;

const GET: &[u8] = b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Asks once; the head of the answer.
async fn ask(client: &mut UnixStream) -> String {
    client.write_all(GET).await.unwrap();
    let mut heard = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), client.read(&mut heard)).await.unwrap().unwrap();
    String::from_utf8_lossy(&heard[..length]).to_lowercase()
}

#[tokio::test]
async fn rules_change_on_connections_and_bounds_by_another_on_the_same_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (context, base) = Front::parts();
    let base =
        Listener { endpoint: Endpoint::Unix { path: path.clone(), access: Default::default() }, ..base };
    let connect = || async { UnixStream::connect(&path).await.unwrap() };
    let run = |bound: Bound| {
        let (listening, work) = bound.start(Arc::clone(&context), CancellationToken::new());
        tokio::spawn(work);
        listening
    };
    let mut first = run(Bound::bind(&base).await.unwrap());
    let mut kept = connect().await;
    assert!(ask(&mut kept).await.starts_with("http/1.1 200"));

    // In place.
    let strict = Listener { require_request_header: true, ..base.clone() };
    assert!(first.fits(&strict));
    first.serve(&strict, Arc::clone(&context));
    assert!(ask(&mut kept).await.starts_with("http/1.1 412"), "the connection goes by the old rules");

    // By another: one more answer by its rules, and a close behind it.
    let mut bounded = base.clone();
    bounded.limits.headers = 20;
    assert!(!first.fits(&bounded));
    let second = run(first.succeeded(&bounded).unwrap());
    first.retire_for(&bounded, Arc::clone(&context));
    let mut new = connect().await;
    assert!(ask(&mut new).await.starts_with("http/1.1 200"));
    let last = ask(&mut kept).await;
    assert!(last.starts_with("http/1.1 200") && last.contains("connection: close"), "{last}");
    assert_eq!(hear_all(&mut kept).await, "");
    assert!(!ask(&mut new).await.contains("connection: close"));

    // Who may connect is another question: nobody who is in stays.
    let mut mine = bounded.clone();
    mine.access.peers.uids = vec![config::Identity::Id(rustix::process::geteuid().as_raw())];
    assert!(!second.fits(&mine));
    let third = run(second.succeeded(&mine).unwrap());
    second.retire_for(&mine, Arc::clone(&context));
    let at_once = timeout(Duration::from_secs(2), hear_all(&mut new)).await;
    assert_eq!(at_once.unwrap(), "");
    assert!(ask(&mut connect().await).await.starts_with("http/1.1 200"));

    // The last one takes the socket along.
    third.retire();
    drop(third);
    for _ in 0..100 {
        if !path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the socket is still there");
}

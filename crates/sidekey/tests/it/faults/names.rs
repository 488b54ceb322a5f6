//! A name that leads elsewhere, and one that leads nowhere for a while.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use testkit::Program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::{put, sidekey};

/// Answers questions about any name with one address, or that there is no such name.
struct Names {
    address: Arc<Mutex<Option<Ipv4Addr>>>,
    /// How often it was asked, and how often it knew nothing.
    asked: Arc<Mutex<(usize, usize)>>,
}

impl Names {
    /// `None`: the port of names is not ours to take.
    async fn start(at: Ipv4Addr, address: Ipv4Addr) -> Option<Self> {
        let socket = UdpSocket::bind((at, 53)).await.ok()?;
        let names = Self { address: Arc::new(Mutex::new(Some(address))), asked: Arc::default() };
        let (address, asked) = (Arc::clone(&names.address), Arc::clone(&names.asked));
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let known = *address.lock().unwrap();
                {
                    let mut asked = asked.lock().unwrap();
                    *asked = (asked.0 + 1, asked.1 + usize::from(known.is_none()));
                }
                let _ = socket.send_to(&answer(&question[..length], known), from).await;
            }
        });
        Some(names)
    }

    fn lead_to(&self, address: Option<Ipv4Addr>) {
        *self.address.lock().unwrap() = address;
    }
}

/// RFC 1035: the question again, and one record of type A.
fn answer(question: &[u8], known: Option<Ipv4Addr>) -> Vec<u8> {
    // The name ends with an empty label; type and class follow.
    let mut end = 12;
    while question[end] != 0 {
        end += usize::from(question[end]) + 1;
    }
    let end = end + 5;
    let is_a = question[end - 4..end - 2] == [0, 1];
    let record = known.filter(|_| is_a);
    let code = if known.is_none() { 3 } else { 0 };
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0]);
    answer.extend(&question[12..end]);
    if let Some(address) = record {
        // Nothing is to be remembered.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

/// A server on this address that keeps connections; dropped, it and they are gone.
async fn serve(address: Ipv4Addr, port: u16, color: &'static str) -> (JoinSet<()>, u16) {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(talk(stream, color));
        }
    });
    (tasks, port)
}

async fn talk(mut stream: TcpStream, color: &str) {
    let body = format!("{{\"data\":{{\"data\":{{\"color\":{color:?}}}}}}}");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|length| length > 0) {
        if request.windows(4).any(|window| window == b"\r\n\r\n") {
            request.clear();
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// In a file system of its own, where another server is asked for names.
#[tokio::test]
async fn f21_names_are_looked_up_again() {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let asked_at = Ipv4Addr::new(127, 64 + high % 128, low, 53);
    let (one, two) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let Some(names) = Names::start(asked_at, one).await else {
        println!("F21 needs root: a server of names takes port 53");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let resolver = folder.path().join("resolv.conf");
    put(&resolver, &format!("nameserver {asked_at}\noptions timeout:1 attempts:1\n"));
    let script = folder.path().join("sidekey");
    let text = format!(
        "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {resolver:?} /etc/resolv.conf && exec {:?} \"$@\"' sh \"$@\"\n",
        sidekey()
    );
    atomic_file::write(&script, text.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();

    let (first, port) = serve(one, 0, "one").await;
    let (mut proxy, listener) = Program::proxy(&script, folder.path())
        .server(&format!("http://vault.sidekey.test:{port}"))
        .listener("")
        .start_listening()
        .await
        .unwrap();
    let color = async || {
        let answer = listener.get("secret/data/app").await.unwrap();
        answer.json["data"]["data"]["color"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    };
    assert_eq!(color().await, "one");
    assert_eq!(color().await, "one");
    let asked = names.asked.lock().unwrap().0;
    assert!((1..=2).contains(&asked), "{asked}: a kept connection needs no name");

    // Another address, and the old one is gone with its connections.
    let (second, _) = serve(two, port, "two").await;
    names.lead_to(Some(two));
    drop(first);
    let began = Instant::now();
    assert_eq!(color().await, "two");
    let moved = began.elapsed();

    // No such name for a while: reads and writes wait, and nothing of them is lost.
    names.lead_to(None);
    drop(second);
    let (_third, _) = serve(one, port, "one").await;
    let began = Instant::now();
    let comes_back = async {
        sleep(Duration::from_secs(3)).await;
        names.lead_to(Some(one));
    };
    let write = async { listener.post("secret/data/new", &json!({"data": {}})).await.unwrap() };
    let (read, written, ()) = tokio::join!(color(), write, comes_back);
    assert_eq!((read.as_str(), written.status.as_u16()), ("one", 200));
    let (asked, unknown) = *names.asked.lock().unwrap();
    println!(
        "F21: the new address was used {moved:.1?} after the change; without a name the requests took {:.1?}, with {unknown} of {asked} questions in vain",
        began.elapsed()
    );
    assert!(moved < Duration::from_secs(2), "{moved:?}");
    assert!(unknown >= 2, "it was asked again: {unknown}");
    assert!(began.elapsed() < Duration::from_secs(3 + 3), "{:?}", began.elapsed());
    proxy.stop().await.unwrap();
}

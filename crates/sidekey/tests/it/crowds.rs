//! Connections by the thousand, idle and slow ones, beside requests. Counted, not timed: times are in `bench/`.

use testkit::{Program, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::scripted::{Do, Scripted};
use crate::sidekey;

/// How many files this process may open.
fn limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

async fn status(place: &str) -> u16 {
    let mut stream = TcpStream::connect(place).await.unwrap();
    let request = "GET /v1/secret/data/app HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: s.a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn s18_thousands_beside_them_take_nothing_from_requests() {
    let folder = tempfile::tempdir().unwrap();
    let server = Scripted::start(|_, _| Do::Answer(200, r#"{"data":{"data":{"color":"blue"}}}"#)).await;
    let program = Program::proxy(sidekey(), folder.path())
        .config(&format!("vault {{\n address = {:?}\n}}", server.address))
        .listener("max_connections = 20000\n max_connections_per_client = 20000\n request_header_timeout = \"10m\"\n idle_timeout = \"10m\"");
    let mut process = program.start().unwrap();
    let line = process.says("Api Address 1: ").await.unwrap();
    let place = line.split("http://").nth(1).unwrap().trim().to_owned();
    assert_eq!(status(&place).await, 200);
    let id = process.pid().unwrap();
    let before = descriptors(id);
    for (count, half_a_head) in [(2_000, false), (10_000, true)] {
        let count = limit().saturating_sub(500).min(count);
        let mut crowd = Vec::with_capacity(count);
        for n in 0..count {
            let mut stream = TcpStream::connect(&place).await.unwrap();
            if half_a_head && n % 2 == 0 {
                stream.write_all(b"GET /v1/a HTTP/1.1\r\nHost: loc").await.unwrap();
            }
            crowd.push(stream);
        }
        eventually("all are in", || async { (descriptors(id) + 5 >= before + count).then_some(()) })
            .await
            .unwrap();
        for _ in 0..50 {
            assert_eq!(status(&place).await, 200);
        }
        assert!(descriptors(id) + 5 >= before + count, "some were sent away");
        drop(crowd);
        eventually("descriptors are back", || async { (descriptors(id) <= before + 5).then_some(()) })
            .await
            .unwrap();
    }
    process.stop().await.unwrap();
}

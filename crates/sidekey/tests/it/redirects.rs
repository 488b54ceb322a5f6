//! S31: where a redirect may lead, with what, and where not.

use testkit::{Process, Program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::detours::Secure;
use crate::scripted::{Do, Scripted};
use crate::{put, sidekey};

const KV: &str = r#"{"data":{"data":{"color":"blue"}}}"#;

/// A server that sends everybody elsewhere.
async fn standby(status: &str, location: &str) -> Scripted {
    let answer = format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let answer: &'static [u8] = Box::leak(answer.into_boxed_str()).as_bytes();
    Scripted::start(move |_, _| Do::Bytes(answer)).await
}

async fn proxy(folder: &std::path::Path, server: &str, keys: &str) -> (Process, String) {
    let vault = format!("vault {{\n address = {server:?}\n retry {{ num_retries = -1 }}\n{keys}\n}}");
    let program = Program::proxy(sidekey(), folder).config(&vault).listener("");
    let mut process = program.start().unwrap();
    let line = process.says("Api Address 1: ").await.unwrap();
    let place = line.split("http://").nth(1).unwrap().trim().to_owned();
    (process, place)
}

/// The same machine under another name is another host.
fn by_name(address: &str) -> String {
    address.replace("127.0.0.1", "localhost")
}

#[tokio::test]
async fn s31_a_host_that_was_not_named_hears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (keys, by_another_name, followed) in [
        ("", true, true),
        ("follow_redirects_any_host = true", true, true),
        ("follow_redirects_any_host = false", true, false),
        ("follow_redirects_any_host = false", false, true),
        ("redirect_hosts = [\"vault.example.com\"]", true, false),
        ("redirect_hosts = [\"LocalHost\"]", true, true),
        ("redirect_hosts = [\"localhost:1\"]", true, false),
        ("redirect_hosts = [\"*.localhost\"]", true, false),
        ("addresses = [\"http://localhost:1\"]\nredirect_hosts = []", true, true),
    ] {
        let active = Scripted::start(|_, _| Do::Answer(200, KV)).await;
        let there = if by_another_name { by_name(&active.address) } else { active.address.clone() };
        let standby = standby("307", &format!("{there}/v1/secret/data/app")).await;
        let (mut program, place) = proxy(folder.path(), &standby.address, keys).await;
        for method in ["GET", "POST"] {
            let answer = raw(&place, method).await;
            let heard = active.asked(method);
            if followed {
                assert!(answer.starts_with("HTTP/1.1 200"), "{keys}: {answer}");
                assert!(heard[0].head.contains("x-vault-token: s.client"), "{keys}: {heard:?}");
                assert!(
                    heard[0].head.contains("content-length: 11") == (method == "POST"),
                    "{keys}: {heard:?}"
                );
            } else {
                assert!(answer.starts_with("HTTP/1.1 307") && answer.contains(&there), "{keys}: {answer}");
                assert!(heard.is_empty(), "{keys}: {heard:?}");
            }
        }
        program.stop().await.unwrap();
    }
}

/// Nothing is said to a server without TLS that was meant for one with it; nor is a second redirect followed, and the
/// client is given it.
#[tokio::test]
async fn s31_one_redirect_and_never_out_of_tls() {
    let folder = tempfile::tempdir().unwrap();
    // A loop of one: the second redirect is handed on.
    let second = standby("307", "http://127.0.0.1:1/v1/second").await;
    let first = standby("308", &format!("{}/v1/first", second.address)).await;
    let (mut program, place) = proxy(folder.path(), &first.address, "").await;
    let answer = raw(&place, "GET").await;
    assert!(
        answer.starts_with("HTTP/1.1 307") && answer.contains("http://127.0.0.1:1/v1/second"),
        "{answer}"
    );
    assert_eq!((first.asked("GET").len(), second.asked("GET").len()), (1, 1));
    program.stop().await.unwrap();

    let plain = Scripted::start(|_, _| Do::Answer(200, KV)).await;
    let secure = Secure::start(&format!(
        "HTTP/1.1 307 X\r\nLocation: {}/v1/secret/data/app\r\nContent-Length: 0\r\n\r\n",
        plain.address
    ))
    .await;
    put(&folder.path().join("ca.pem"), &secure.certificate);
    let keys = format!("ca_cert = {:?}", folder.path().join("ca.pem"));
    let (mut program, place) = proxy(folder.path(), &secure.local, &keys).await;
    let answer = raw(&place, "GET").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("protocol downgrade"), "{answer}");
    assert!(plain.asked("").is_empty(), "it was asked in the open");
    program.stop().await.unwrap();
}

/// An answer as it comes, to a client that goes nowhere.
async fn raw(place: &str, method: &str) -> String {
    let mut stream = TcpStream::connect(place).await.unwrap();
    let (length, body) =
        if method == "POST" { ("Content-Length: 11\r\n", "{\"data\":{}}") } else { ("", "") };
    let request = format!(
        "{method} /v1/secret/data/app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Token: s.client\r\n{length}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A server whose `api_addr` is our listener, and a `vault` stanza that names it.
#[tokio::test]
async fn s31_our_own_listener_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    // A place that is free now.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let there = format!("http://{host}:{}/v1/secret/data/app", free.port());
        let standby = standby("307", &there).await;
        let vault = format!("vault {{\n address = {:?}\n retry {{ num_retries = -1 }}\n}}", standby.address);
        let listener =
            format!("cache {{}}\nlistener \"tcp\" {{\n address = \"{free}\"\n tls_disable = true\n}}");
        let mut program =
            Program::proxy(sidekey(), folder.path()).config(&vault).config(&listener).start().unwrap();
        program.says("Api Address 1: ").await.unwrap();
        let answer = raw(&free.to_string(), "GET").await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(answer.contains("a listener of this program"), "{answer}");
        assert_eq!(standby.asked("GET").len(), 1);
        program.stop().await.unwrap();
    }
    let vault = format!("vault {{\n address = \"http://{free}\"\n}}");
    let listener = format!(
        "cache {{}}\nlistener \"tcp\" {{\n address = \"0.0.0.0:{}\"\n tls_disable = true\n}}",
        free.port()
    );
    let mut program =
        Program::proxy(sidekey(), folder.path()).config(&vault).config(&listener).start().unwrap();
    program.says("the server's address is a listener of this program").await.unwrap();
    let answer = raw(&free.to_string(), "GET").await;
    assert!(answer.contains("a listener of this program"), "{answer}");
    program.stop().await.unwrap();
}

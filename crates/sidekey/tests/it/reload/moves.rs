//! Listeners that move or get other certificates, while they are asked.

use std::time::Duration;

use testkit::{Api, eventually, free_pair};
use tokio::net::TcpStream;

use super::{Load, Scene, listener, listener_at, template};
use crate::{Stage, put};

/// Addresses with one port that overlap: the new one takes the place of the old one, and nobody is refused.
#[tokio::test]
async fn a_listener_moves_to_an_address_that_overlaps() {
    let port = free_pair().unwrap();
    let scene = Scene::start(|_: &Stage| listener(port, "")).await;
    let load = Load::on(port);
    let connects = async |host: &str| TcpStream::connect((host, port)).await.is_ok();
    for round in 0..100 {
        let (host, rules) = match round % 4 {
            0 | 2 => ("0.0.0.0", ""),
            1 => ("127.0.0.1", ""),
            _ => ("127.0.0.1", " max_request_headers = 40\n"),
        };
        let text = listener_at(host, port, &format!("{rules} tls_disable = true"));
        let changes = scene.changes(&text).await;
        assert!(changes.contains(&format!("listener {host}:{port} added")), "{changes:?}");
        let there = async || (connects("127.0.0.2").await == (host == "0.0.0.0")).then_some(());
        eventually("it to be reached by everybody, or not", there).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Both at a time cannot be, now as at a start; nor what somebody else has. All stays as it was.
    let wide = listener_at("0.0.0.0", port, " tls_disable = true");
    let taken = std::net::TcpListener::bind(("127.0.0.3", 0)).unwrap().local_addr().unwrap().port();
    let foreign = std::net::TcpListener::bind(("127.0.0.3", taken)).unwrap();
    for text in [
        wide.clone() + &listener(port, ""),
        wide.clone() + &listener_at("127.0.0.2", port, " tls_disable = true"),
        wide.clone() + &listener_at("127.0.0.3", taken, " tls_disable = true"),
        wide.clone() + "pid_file = \"/no/such/folder/pid\"",
    ] {
        for _ in 0..5 {
            assert_eq!(scene.reload(&text).await.0, 400, "{text}");
            assert!(!connects("127.0.0.2").await, "{text}");
        }
    }
    drop(foreign);
    let (asked, lost) = load.end().await;
    println!("{asked} requests over 100 moves, {} lost", lost.len());
    assert!(lost.is_empty(), "{lost:?}");
}

/// Clients with TLS that never stop asking: some on connections that they keep, some on new ones.
#[tokio::test]
async fn a_certificate_changes_under_load() {
    let port = free_pair().unwrap();
    let pair = |stage: &Stage, name: &str| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        put(&stage.path(&format!("{name}.pem")), &made.cert.pem());
        put(&stage.path(&format!("{name}.key")), &made.signing_key.serialize_pem());
        made.cert.pem()
    };
    let text = |stage: &Stage, name: &str| {
        let (cert, key) = (stage.path(&format!("{name}.pem")), stage.path(&format!("{name}.key")));
        listener_at("127.0.0.1", port, &format!(" tls_cert_file = {cert:?}\n tls_key_file = {key:?}"))
    };
    let mut all = String::new();
    let scene = Scene::start(|stage| {
        all += &pair(stage, "a");
        all += &pair(stage, "b");
        text(stage, "a")
    })
    .await;
    let stage = &scene.stage;
    let believes = |roots: &str| vault::ClientSettings {
        tls: vault::TlsSettings {
            roots: vault::Roots::Bytes(roots.as_bytes().to_vec()),
            ..Default::default()
        },
        retry: vault::RetryPolicy::Never,
        ..vault::ClientSettings::new(format!("https://127.0.0.1:{port}").parse().unwrap())
    };
    let ask = async |client: &vault::Client| {
        let request = vault::Request::new(http::Method::GET, "secret/data/app");
        match vault::Upstream::send(client, request).await {
            Ok(answer) if answer.status.as_u16() == 200 => Ok(()),
            Ok(answer) => Err(answer.status.to_string()),
            Err(why) => Err(why.to_string()),
        }
    };
    // What comes in the place of a file later is believed as well.
    let coming: Vec<(String, String)> = (0..6)
        .map(|_| {
            let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        })
        .collect();
    for (cert, _) in &coming {
        all += cert;
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (settings, stop) = (believes(&all), std::sync::Arc::clone(&stop));
            tokio::spawn(async move {
                let kept = vault::Client::new(&settings).unwrap();
                let (mut asked, mut lost) = (0, Vec::new());
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let new = vault::Client::new(&settings).unwrap();
                    for client in [&kept, &new] {
                        asked += 1;
                        let request = vault::Request::new(http::Method::GET, "secret/data/app");
                        match vault::Upstream::send(client, request).await {
                            Ok(answer) if answer.status.as_u16() == 200 => {}
                            Ok(answer) => lost.push(format!("{number}: {}", answer.status)),
                            Err(why) => lost.push(format!("{number}: {why}")),
                        }
                    }
                }
                (asked, lost)
            })
        })
        .collect();
    for (round, (cert, key)) in coming.iter().enumerate() {
        // Other files, and others in the same files.
        let name = ["a", "b"][round % 2];
        put(&stage.path(&format!("{name}.pem")), cert);
        put(&stage.path(&format!("{name}.key")), key);
        scene.changes(&text(stage, name)).await;
        let new = vault::Client::new(&believes(cert)).unwrap();
        assert_eq!(ask(&new).await, Ok(()), "round {round}: a new handshake gets the new certificate");
        tokio::time::sleep(Duration::from_millis(300)).await;
        // The same file with another content, while the other pair is in force.
        pair(stage, ["b", "a"][round % 2]);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut told = (0, Vec::new());
    for client in clients {
        let (asked, lost) = client.await.unwrap();
        told.0 += asked;
        told.1.extend(lost);
    }
    println!("{} requests over TLS, {} lost", told.0, told.1.len());
    assert!(told.1.is_empty(), "{:?}", told.1);
}

/// Does what systemd does, and becomes our program.
const SYSTEMD: &str = r#"#!/usr/bin/env python3
import fcntl, os, socket, sys
one = socket.socket(); one.bind(("127.0.0.1", int(os.environ["PORT"]))); one.listen()
os.dup2(fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 20), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="api")
os.execv(PROGRAM, [PROGRAM] + sys.argv[1:])
"#;

/// A socket of systemd that no listener wants waits for one that does, and so do those who connect meanwhile.
#[tokio::test]
async fn a_socket_of_systemd_goes_and_comes_back() {
    let stage = Stage::new().await;
    let (port, wrapper) = (free_pair().unwrap(), stage.path("systemd"));
    let script = SYSTEMD.replace("PROGRAM", &format!("{:?}", crate::sidekey().to_str().unwrap()));
    atomic_file::write(&wrapper, script.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    let passed = "listener \"tcp\" {\n address = \"systemd:api\"\n tls_disable = true\n}\n";
    let scene = Scene::on(stage, &wrapper, &[("PORT", &port.to_string())], |_| passed.to_owned()).await;
    let client = || Api::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
    assert_eq!(client().get("secret/data/app").await.unwrap().status.as_u16(), 200);
    let other = template(&scene.stage, "a", "a");
    for round in 0..3 {
        let here = passed.replace("tls", &format!("max_request_headers = {}\n tls", 50 + round));
        let changes = scene.changes(&other).await;
        assert!(changes.contains(&"listener systemd:api removed".to_owned()), "{changes:?}");
        let waiting = tokio::spawn(async move {
            let client = Api::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
            client.get("secret/data/app").await.map(|answer| answer.status.as_u16())
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!waiting.is_finished(), "nobody is refused, nobody answered");
        // A bad one does not take it.
        assert_eq!(scene.reload(&(here.clone() + "pid_file = \"/no/such/folder/pid\"")).await.0, 400);
        assert!(!waiting.is_finished());
        let changes = scene.changes(&here).await;
        assert!(changes.contains(&"listener systemd:api added".to_owned()), "{changes:?}");
        assert_eq!(waiting.await.unwrap().unwrap(), 200);
        assert_eq!(client().get("secret/data/app").await.unwrap().status.as_u16(), 200);
    }
    // Both names of it are one place at a time.
    assert_eq!(scene.reload(&(passed.to_owned() + &passed.replace(":api", ":0"))).await.0, 400);
}

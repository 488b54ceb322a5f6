//! Reads that are under way while something is written.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use vault::{Namespace, Request};

use crate::cache::tests::{door, get, put};

#[tokio::test(start_paused = true)]
async fn a_read_does_not_join_one_that_started_before_a_write() {
    let door = door(3600);
    let early = door.ask(get("secret/data/app"));
    let later = async {
        sleep(Duration::from_millis(10)).await;
        door.ask(put("secret/data/app", &json!({}))).await;
        door.ask(get("secret/data/app")).await
    };
    tokio::join!(early, later);
    assert_eq!(door.server.count("secret/data/app"), 3);
}

/// A write that may decide who may read makes all reads under way old, others those of their mount.
#[tokio::test(start_paused = true)]
async fn a_read_does_not_join_one_from_before_a_change_of_who_may_read() {
    for (written, joins) in [
        ("sys/policies/acl/app", false),
        ("sys/policy/app", false),
        ("identity/entity/id/1", false),
        ("auth/approle/role/app", false),
        ("auth/token/revoke", false),
        ("auth/token/revoke-accessor", false),
        ("sys/leases/revoke-prefix/auth", false),
        ("sys/remount", false),
        ("auth/approle/login", true),
        ("auth/token/renew-self", true),
        ("secret/data/other", false),
        ("secret/metadata/app", false),
        ("transit/encrypt/app", true),
    ] {
        let door = door(3600);
        let early = door.ask(get("secret/data/app"));
        let write = async {
            sleep(Duration::from_millis(10)).await;
            door.ask(put(written, &json!({"token": "x", "accessor": "x", "from": "x", "to": "y"}))).await;
        };
        // Begins while the write is under way, and after the first read was answered; is under way at the answer.
        let middle = async {
            sleep(Duration::from_millis(105)).await;
            door.ask(get("secret/data/app")).await
        };
        let late = async {
            sleep(Duration::from_millis(115)).await;
            door.ask(get("secret/data/app")).await
        };
        tokio::join!(early, write, middle, late);
        assert_eq!(door.server.count("secret/data/app"), if joins { 2 } else { 3 }, "{written}");
    }
}

/// What else a write in an engine changes only the engine knows; the namespace may stand in the path or in the header.
#[tokio::test(start_paused = true)]
async fn a_read_does_not_join_one_from_before_a_write_elsewhere_in_its_mount() {
    let ns1 = Namespace::new("ns1");
    let in_ns1 = |request: Request| request.namespace(ns1.as_ref());
    let write = |path| put(path, &json!({}));
    for (read, written, joins) in [
        (get("pki/ca/pem"), write("pki/root/rotate"), false),
        (get("team/a/pki/ca/pem"), write("team/a/pki/root/rotate"), false),
        (in_ns1(get("pki/ca/pem")), write("ns1/pki/root/rotate"), false),
        (get("ns1/pki/ca/pem"), in_ns1(write("pki/root/rotate")), false),
        (get("sys/leases/lookup/pki/issue/app"), write("pki/issue/app"), false),
        (get("auth/token/lookup-self"), write("auth/token/renew-self"), false),
        (get("identity/entity/id"), write("auth/approle/login"), false),
        // A secret that is called like a login.
        (get("kv/metadata/auth/approle/login"), write("kv/data/auth/approle/login"), false),
        (get("pki/ca/pem"), in_ns1(write("pki/root/rotate")), true),
        (get("pki/ca/pem"), write("pki2/root/rotate"), true),
    ] {
        let door = door(3600);
        let path = read.path().trim_start_matches("/v1/").to_owned();
        let early = door.ask(read.clone());
        let later = async {
            sleep(Duration::from_millis(10)).await;
            let began = Instant::now();
            let write = door.ask(written.clone());
            // Begun after the first read was answered, under way when the write is.
            let middle = async {
                sleep(Duration::from_millis(95)).await;
                door.ask(read.clone()).await
            };
            let late = async {
                sleep(Duration::from_millis(101)).await;
                door.ask(read.clone()).await
            };
            tokio::join!(write, middle, late);
            assert!(began.elapsed() < Duration::from_secs(1));
        };
        tokio::join!(early, later);
        assert_eq!(door.server.count(&path), if joins { 2 } else { 3 }, "{path} {}", written.path());
    }
}

/// Logins change no secrets engine: whoever logs in keeps nobody from sharing a read, in a namespace neither.
#[tokio::test(start_paused = true)]
async fn a_thousand_who_log_in_and_read_share_the_read() {
    let ns1 = Namespace::new("ns1");
    for (front, namespace) in [("", None), ("ns1/", None), ("", ns1)] {
        let door = door(3600);
        let login = format!("{front}auth/approle/login");
        let answer = r#"{"auth":{"client_token":"s.x","lease_duration":60,"renewable":true,"orphan":true}}"#;
        door.server.says.lock().unwrap().insert(login.clone(), (200, "application/json", answer.into()));
        let secret = format!("{front}secret/data/app");
        let clients = (0..1000).map(|number| {
            let (door, login, secret, namespace) = (&door, &login, &secret, namespace.as_ref());
            async move {
                sleep(Duration::from_micros(number * 20)).await;
                door.ask(put(login, &json!({"role_id": number})).namespace(namespace)).await;
                door.ask(get(secret).namespace(namespace)).await;
            }
        });
        futures_util::future::join_all(clients).await;
        assert_eq!(door.server.count(&login), 1000);
        assert_eq!(door.server.count(&secret), 1, "{front}");
    }
}

/// What was given up may have been done all the same.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_given_up_overtakes_as_well() {
    let door = door(3600);
    let write = async {
        // Its client leaves: known as nothing that is remembered, it is asked for in the client's own task.
        door.ask(put("sys/policies/acl/app", &json!({}))).await;
        let leaves =
            timeout(Duration::from_millis(50), door.ask(put("sys/policies/acl/app", &json!({})))).await;
        assert!(leaves.is_err());
        door.ask(get("secret/data/app")).await;
    };
    let early = async {
        sleep(Duration::from_millis(110)).await;
        door.ask(get("secret/data/app")).await
    };
    tokio::join!(write, early);
    assert_eq!(door.server.count("secret/data/app"), 2);
}

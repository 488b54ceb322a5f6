//! The local API: what is cached, what is refused, what does not leave.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use testkit::{Api, Program, eventually};

use crate::{Stage, put, sidekey};

#[tokio::test]
async fn logins_leases_and_children_are_cached_and_secrets_are_not() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let login = json!({"role_id": stage.credentials.0, "secret_id": stage.credentials.1});
    let child = json!({"ttl": "1h", "policies": ["app"]});
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push((
            listener.post("auth/approle/login", &login).await.unwrap(),
            listener.post("auth/token/create", &child).await.unwrap(),
            listener.get("secret/data/app").await.unwrap(),
        ));
    }
    let origins: Vec<_> = answers.iter().map(|(a, b, c)| (a.cache(), b.cache(), c.cache())).collect();
    assert_eq!(origins, [("MISS", "MISS", "MISS"), ("HIT", "HIT", "MISS"), ("HIT", "HIT", "MISS")]);
    for (first, hit) in [(&answers[0].0, &answers[2].0), (&answers[0].1, &answers[2].1)] {
        assert_eq!(first.json["auth"]["client_token"], hit.json["auth"]["client_token"]);
        // Byte for byte, but for the seconds that are left.
        let left = hit.header("x-cache-lease-remaining");
        assert_eq!(hit.json["auth"]["lease_duration"].to_string(), left);
        assert_eq!(first.body.len(), hit.body.len());
    }
    assert_eq!(answers[2].0.header("age"), "0");
    assert!(answers[2].0.header("date").ends_with(" GMT"));

    // Who wants another gets another, or nothing but what is here.
    let wish = async |wish: &str, path: &str| {
        let headers = [("cache-control", wish), ("content-type", "application/json")];
        listener.send("POST", path, &headers, &child.to_string()).await.unwrap()
    };
    let other = wish("no-store", "/v1/auth/token/create").await;
    assert_eq!((other.cache(), other.header("age")), ("MISS", ""));
    assert_ne!(other.json["auth"]["client_token"], answers[0].1.json["auth"]["client_token"]);
    assert_eq!(wish("only-if-cached", "/v1/auth/token/create").await.cache(), "HIT");
    let absent = wish("only-if-cached", "/v1/auth/token/create-orphan").await;
    assert_eq!((absent.status.as_u16(), absent.cache()), (504, ""));

    // A child of a stranger's token is not ours to keep.
    let root = listener.with_token(Some(stage.server.root_token()));
    for _ in 0..2 {
        assert_eq!(root.post("auth/token/create", &child).await.unwrap().cache(), "MISS");
    }
    // Renewals go through, each time.
    let token = answers[0].0.json["auth"]["client_token"].as_str().unwrap();
    let own = listener.with_token(Some(token));
    for _ in 0..2 {
        let renewed = own.post("auth/token/renew-self", &json!({})).await.unwrap();
        assert_eq!((renewed.status.as_u16(), renewed.cache()), (200, "MISS"));
    }
    // A revocation that passes by is obeyed at once.
    root.write("auth/token/revoke", &json!({"token": token})).await.unwrap();
    let again = listener.post("auth/approle/login", &login).await.unwrap();
    assert_eq!(again.cache(), "MISS");
    assert_ne!(again.body, answers[0].0.body);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn equal_requests_under_way_become_one() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let login = json!({"role_id": stage.credentials.0, "secret_id": stage.credentials.1});
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (listener, login) = (listener.clone(), login.clone());
        asking.spawn(async move {
            let answer = listener.post("auth/approle/login", &login).await.unwrap();
            // The seconds left may differ.
            answer.json["auth"]["client_token"].clone()
        });
    }
    let tokens = asking.join_all().await;
    assert!(tokens[0].is_string() && tokens.iter().all(|token| *token == tokens[0]), "more than one login");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn the_token_does_not_leave() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let token = stage.read("token");
    let lookup = stage.server.api(Some(&token)).unwrap().get("auth/token/lookup-self").await.unwrap();
    let accessor = lookup.json["data"]["accessor"].as_str().unwrap().to_owned();
    let bodies = ["", "{}", r#"{"token":""}"#, "{\"token\":null}", "not json"];
    let paths =
        ["lookup-self", "lookup", "renew-self", "renew", "lookup-self/", "%6cookup-self", "lookup-self?x=1"];
    let mut asked = 0;
    for path in paths {
        for method in ["GET", "POST", "PUT", "HEAD"] {
            for body in if method == "GET" || method == "HEAD" { &bodies[..1] } else { &bodies } {
                for headers in [&[][..], &[("x-vault-wrap-ttl", "60s")]] {
                    let target = format!("/v1/auth/token/{path}");
                    let answer = listener.send(method, &target, headers, body).await.unwrap();
                    let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
                    assert!(
                        !text.contains(&token) && !text.contains(&accessor),
                        "{method} {path} {body:?}: {text}"
                    );
                    // What is wrapped can be unwrapped anywhere.
                    if let Some(wrapped) = answer.json["wrap_info"]["token"].as_str() {
                        let inside = stage
                            .server
                            .api(Some(wrapped))
                            .unwrap()
                            .post("sys/wrapping/unwrap", &json!({}))
                            .await
                            .unwrap();
                        let inside = String::from_utf8_lossy(&inside.body).into_owned();
                        assert!(
                            !inside.contains(&token) && !inside.contains(&accessor),
                            "{method} {path}: {inside}"
                        );
                    }
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 80, "{asked}");
    assert!(agent.has_said("received request"));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn force_drops_the_clients_token_and_true_respects_it() {
    let stage = Stage::new().await;
    for (mode, status) in [("true", 403), ("\"force\"", 200)] {
        let program = stage
            .agent(&["token"])
            .config(&format!("api_proxy {{ use_auto_auth_token = {mode} }}"))
            .listener("");
        let (mut agent, listener) = program.start_listening().await.unwrap();
        agent.says("token written").await.unwrap();
        let bogus = listener.with_token(Some("s.bogus"));
        assert_eq!(bogus.get("secret/data/app").await.unwrap().status.as_u16(), status, "{mode}");
        let bearer = listener
            .send("GET", "/v1/secret/data/app", &[("authorization", "Bearer s.bogus")], "")
            .await
            .unwrap();
        assert_eq!(bearer.status.as_u16(), status, "{mode}, bearer");
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_request_header_is_asked_for_where_it_is_wanted() {
    let stage = Stage::new().await;
    for (keys, with, without) in [
        ("", 200, 200),
        ("require_request_header = false", 200, 200),
        ("require_request_header = true", 200, 412),
    ] {
        let program =
            stage.agent(&["token"]).config("api_proxy { use_auto_auth_token = true }").listener(keys);
        let (mut agent, listener) = program.start_listening().await.unwrap();
        agent.says("token written").await.unwrap();
        for (method, target, body) in
            [("GET", "/v1/secret/data/app", ""), ("PUT", "/agent/v1/cache-clear", "{\"type\":\"all\"}")]
        {
            let ask = async |headers: &[(&str, &str)]| {
                listener.send(method, target, headers, body).await.unwrap().status.as_u16()
            };
            assert_eq!(ask(&[("x-vault-request", "true")]).await, with, "{keys} {target}");
            assert_eq!(ask(&[]).await, without, "{keys} {target}");
            assert_eq!(ask(&[("x-vault-request", "bogus")]).await, without, "{keys} {target}");
        }
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn cache_clear_answers_as_upstream_does() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.front().start_listening().await.unwrap();
    for (body, status, text) in [
        (r#"{"type":"all"}"#, 200, ""),
        (r#"{"type":"lease","value":"none"}"#, 200, ""),
        ("", 400, "failed to parse JSON input: empty JSON provided"),
        ("{", 400, "failed to parse JSON input: unexpected EOF"),
        ("{}", 400, "failed to parse clear input: no type provided"),
        (r#"{"type":"x"}"#, 400, "failed to clear cache: invalid type provided"),
        (r#"{"type":"token_accessor"}"#, 500, "failed to clear cache: token accessor not provided"),
    ] {
        let json = [("content-type", "application/json")];
        let answer = listener.send("PUT", "/agent/v1/cache-clear", &json, body).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert_eq!(answer.json["errors"][0].as_str().unwrap_or_default(), text, "{body}");
    }
    // Ours: counts, a dry run, and what was named revoked as well.
    let child = json!({"ttl": "1h", "policies": ["app"]});
    let made = listener.post("auth/token/create", &child).await.unwrap();
    let clear = async |body: &str| {
        let kind = [("content-type", "application/json")];
        listener.send("PUT", "/agent/v1/cache-clear", &kind, body).await.unwrap().json
    };
    let dry = clear(r#"{"type":"mount","value":"auth/token","verbose":true,"dry_run":true}"#).await;
    assert_eq!(dry, json!({"answers": 1, "tokens": 1, "leases": 0, "revoking": 0, "dry_run": true}));
    assert_eq!(listener.post("auth/token/create", &child).await.unwrap().cache(), "HIT");
    let cleared = clear(r#"{"type":"all","verbose":true,"revoke":true}"#).await;
    assert_eq!(cleared, json!({"answers": 1, "tokens": 1, "leases": 0, "revoking": 1, "dry_run": false}));
    let token = made.json["auth"]["client_token"].as_str().unwrap();
    let gone = async {
        let theirs = listener.with_token(Some(token));
        while theirs.get("auth/token/lookup-self").await.unwrap().status.is_success() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.unwrap();
    // `curl -d` sends a form. What a page sends says where it comes from.
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (headers, status) in
        [(&[][..], 200), (&[form], 200), (&[form, ("origin", "https://evil.example")], 403)]
    {
        let answer =
            listener.send("POST", "/agent/v1/cache-clear", headers, r#"{"type":"all"}"#).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
    }
    // The other product's endpoint is nothing special here.
    assert_eq!(listener.send("PUT", "/proxy/v1/cache-clear", &[], "{}").await.unwrap().status.as_u16(), 404);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn quit_works_where_it_is_enabled() {
    let stage = Stage::new().await;
    let (mut agent, listener) = stage.agent(&["token"]).listener("").start_listening().await.unwrap();
    assert_eq!(listener.send("POST", "/agent/v1/quit", &[], "").await.unwrap().status.as_u16(), 404);
    agent.stop().await.unwrap();
    for (program, path) in [
        (Program::agent(sidekey(), stage.folder.path()), "/agent/v1/quit"),
        (Program::proxy(sidekey(), stage.folder.path()), "/proxy/v1/quit"),
    ] {
        let api = if path.contains("agent") { "agent_api" } else { "proxy_api" };
        let program =
            program.server(&stage.server.address()).listener(&format!("{api} {{ enable_quit = true }}"));
        let (mut running, listener) = program.start_listening().await.unwrap();
        assert_eq!(listener.send("GET", path, &[], "").await.unwrap().status.as_u16(), 405);
        assert_eq!(listener.send("POST", path, &[], "").await.unwrap().status.as_u16(), 200);
        assert_eq!(running.ended().await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn unix_and_tls_listeners() {
    let stage = Stage::new().await;
    let socket = stage.path("agent.sock");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (stage.path("cert.pem"), stage.path("key.pem"));
    put(&cert, &made.cert.pem());
    put(&key, &made.signing_key.serialize_pem());
    let program =
        stage.agent(&["token"]).config("api_proxy { use_auto_auth_token = true }").config(&format!(
            "listener \"unix\" {{ address = {socket:?}\n socket_mode = \"0600\"\n tls_disable = true }}\n\
         listener \"tcp\" {{ address = \"127.0.0.1:0\"\n tls_cert_file = {cert:?}\n tls_key_file = {key:?} }}"
        ));
    let mut agent = program.start().unwrap();
    agent.says("token written").await.unwrap();
    let local = Api::new(&format!("unix://{}", socket.display()), None).unwrap();
    assert_eq!(local.get("secret/data/app").await.unwrap().json["data"]["data"]["color"], "blue");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let address = agent.says("Api Address 2: ").await.unwrap().split(": ").nth(1).unwrap().trim().to_owned();
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let settings = vault::ClientSettings {
        tls: vault::TlsSettings { roots: vault::Roots::File(cert.clone()), ..Default::default() },
        ..vault::ClientSettings::new(address.parse().unwrap())
    };
    let ask = async |settings: &vault::ClientSettings| {
        let client = vault::Client::new(settings).unwrap().with_retry(vault::RetryPolicy::Never);
        vault::Upstream::send(&client, vault::Request::new(http::Method::GET, "secret/data/app")).await
    };
    assert_eq!(ask(&settings).await.unwrap().status.as_u16(), 200);

    // SIGHUP brings new certificates into service; a bad pair leaves the old.
    put(&key, "garbage");
    agent.signal(rustix::process::Signal::HUP);
    agent.says("could not be reloaded, the old one stays").await.unwrap();
    assert_eq!(ask(&settings).await.unwrap().status.as_u16(), 200);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    put(&cert, &other.cert.pem());
    put(&key, &other.signing_key.serialize_pem());
    let old = vault::ClientSettings {
        tls: vault::TlsSettings {
            roots: vault::Roots::Bytes(made.cert.pem().into_bytes()),
            ..Default::default()
        },
        ..settings.clone()
    };
    agent.signal(rustix::process::Signal::HUP);
    eventually("the new certificate", || async { ask(&settings).await.ok() }).await.unwrap();
    assert!(ask(&old).await.is_err(), "the old certificate is still served");
    agent.stop().await.unwrap();
    assert!(!socket.exists(), "the socket was left behind");
}

#[tokio::test]
async fn client_certificates_and_server_names() {
    let stage = Stage::new().await;
    let made = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (cert, key) = (stage.path(&format!("{name}.pem")), stage.path(&format!("{name}.key")));
        put(&cert, &made.cert.pem());
        put(&key, &made.signing_key.serialize_pem());
        (cert, key)
    };
    let (server_cert, server_key) = made("vault.internal");
    let (client_cert, client_key) = made("client.internal");
    let program = stage.agent(&["token"]).config("api_proxy { use_auto_auth_token = true }").config(&format!(
        "listener \"tcp\" {{ address = \"127.0.0.1:0\"\n tls_cert_file = {server_cert:?}\n tls_key_file = {server_key:?}\n \
         tls_client_ca_file = {client_cert:?}\n tls_require_and_verify_client_cert = true }}"
    ));
    let (mut agent, _) = program.start_listening().await.unwrap();
    agent.says("token written").await.unwrap();
    let line = agent.says("Api Address 1: ").await.unwrap();
    let address: vault::Address = line.split(": ").nth(1).unwrap().trim().parse().unwrap();
    let folder = stage.path("cas");
    atomic_file::create_folders(&folder).unwrap();
    put(&folder.join("ca.pem"), &std::fs::read_to_string(&server_cert).unwrap());
    let identity = Some((vault::Pem::File(client_cert), vault::Pem::File(client_key)));
    let right = vault::TlsSettings {
        roots: vault::Roots::Folder(folder),
        identity,
        server_name: Some("vault.internal".into()),
        verify: vault::Verify::Yes,
    };
    let ask = async |tls: vault::TlsSettings| {
        let settings = vault::ClientSettings { tls, ..vault::ClientSettings::new(address.clone()) };
        let client = vault::Client::new(&settings).unwrap().with_retry(vault::RetryPolicy::Never);
        let answer =
            vault::Upstream::send(&client, vault::Request::new(http::Method::GET, "secret/data/app")).await;
        answer.ok().map(|answer| answer.status.as_u16())
    };
    assert_eq!(ask(right.clone()).await, Some(200));
    assert_eq!(
        ask(vault::TlsSettings { identity: None, ..right.clone() }).await,
        None,
        "no client certificate"
    );
    assert_eq!(ask(vault::TlsSettings { server_name: None, ..right.clone() }).await, None, "the wrong name");
    assert_eq!(
        ask(vault::TlsSettings { roots: vault::Roots::System, ..right.clone() }).await,
        None,
        "an unknown CA"
    );
    let skip = vault::TlsSettings { roots: vault::Roots::System, verify: vault::Verify::Skip, ..right };
    assert_eq!(ask(skip).await, Some(200));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn ambiguous_requests_reach_nobody() {
    let stage = Stage::new().await;
    let (mut agent, _) = stage.front().start_listening().await.unwrap();
    let line = agent.says("Api Address 1: ").await.unwrap();
    let address = line.split("http://").nth(1).unwrap().trim().to_owned();
    let raw = |bytes: String| {
        let address = address.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
    };
    let smuggled = "GET /v1/sys/SMUGGLED HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for head in [
        "POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: a\r\nX-Vault-Token: b\r\n\r\n",
    ] {
        let answer = raw(format!("{head}{smuggled}")).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        assert!(
            !answer.contains("HTTP/1.1 404") && answer.matches("HTTP/1.1").count() == 1,
            "{head:?}: {answer}"
        );
    }
    let answer =
        raw("GET /v1/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".into()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let answer =
        raw("GET /v1/../sys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(!agent.has_said("SMUGGLED"));
    agent.stop().await.unwrap();
}

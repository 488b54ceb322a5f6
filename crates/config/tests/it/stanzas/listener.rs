//! `listener`.

use std::time::Duration;

use config::{
    AllowRule, AllowedPath, AllowedPeers, Endpoint, Identity, Listener, ListenerAccess, ListenerLimits,
    Pattern, RateLimit, Role, SocketAccess,
};

use crate::{AUTH, agent};

#[test]
fn listeners() {
    let listeners = agent()
        .fine(
            r#"
listener "tcp" {
  address = "0.0.0.0:8100"
  tls_cert_file = "/cert"
  tls_key_file = "/key"
  tls_min_version = "tls13"
  tls_client_ca_file = "/ca"
  tls_require_and_verify_client_cert = 1
  require_request_header = "true"
  agent_api { enable_quit = true, enable_reload = true }
  allowed_hosts = ["vault.local"]
  max_request_header_size = 8192
  max_request_headers = 50
  max_request_target = 2048
  max_request_body = 1048576
  max_buffered_bodies = 2097152
  request_header_timeout = "5s"
  request_body_pause = 3
  request_body_timeout = "1m"
  idle_timeout = "5m"
  write_timeout = "30s"
  max_connections = 100
  max_connections_per_client = 10
  max_requests = 64
  max_requests_per_client = 16
  max_streams = 8
}
listener unix {
  address = "/run/s"
  tls_disable = "true"
  role = "metrics_only"
  socket_mode = 0660
  socket_group = "app"
  proxy_api { enable_quit = true }
}
"#,
        )
        .settings
        .listeners;
    let [tcp, unix] = listeners.as_slice() else { panic!("{listeners:?}") };
    assert_eq!(tcp.endpoint, Endpoint::Tcp("0.0.0.0:8100".parse().unwrap()));
    let tls = tcp.tls.as_ref().unwrap();
    assert!(tls.only_tls13 && !tls.only_tls12 && tls.require_client_cert);
    assert!(tcp.require_request_header && tcp.enable_quit && tcp.enable_reload);
    assert_eq!(tcp.allowed_hosts, ["vault.local"]);
    let seconds = Duration::from_secs;
    let limits = ListenerLimits {
        header_size: 8192,
        headers: 50,
        target: 2048,
        body: 1 << 20,
        buffered_bodies: 2 << 20,
        header_timeout: seconds(5),
        body_pause: seconds(3),
        body_timeout: seconds(60),
        idle_timeout: seconds(300),
        write_timeout: seconds(30),
        connections: 100,
        connections_per_client: 10,
        requests: 64,
        requests_per_client: 16,
        streams: 8,
    };
    assert_eq!((&tcp.limits, &unix.limits), (&limits, &ListenerLimits::default()));
    assert_eq!(
        unix.endpoint,
        Endpoint::Unix {
            path: "/run/s".into(),
            access: SocketAccess {
                mode: Some(0o660),
                owner: None,
                group: Some(Identity::Name("app".into()))
            },
        }
    );
    assert_eq!((unix.role, unix.enable_quit, &unix.tls), (Role::MetricsOnly, false, &None));
}

#[test]
fn who_may_use_a_listener() {
    let listeners = agent()
        .fine(
            r#"
listener "unix" {
  address = "/run/s"
  tls_disable = true
  allowed_uids = ["app", 1000]
  allowed_gids = [2000]
  allowed_executables = ["/usr/bin/app"]
  allow {
    methods = ["get", "LIST"]
    paths = ["secret/data/app/*", "/+/creds/app"]
  }
  allow {
    paths = ["sys/health"]
    namespaces = ["/team/shop/"]
  }
  rate_limit = 100
  lenient_control_content_type = true
}
listener "tcp" {
  address = "systemd:api"
  tls_cert_file = "/c"
  tls_key_file = "/k"
  tls_client_ca_file = "/ca"
  tls_require_and_verify_client_cert = true
  tls_allowed_client_names = ["app.example", "spiffe://a/*"]
  tls_auto_reload_interval = "1m"
  rate_limit = 5
  rate_burst = 20
}
listener "unix" {
  address = "systemd:1"
  tls_cert_file = "/c"
  tls_key_file = "/k"
  tls_auto_reload = false
}
listener "tcp" {
  tls_cert_file = "/c"
  tls_key_file = "/k"
}
"#,
        )
        .settings
        .listeners;
    let [unix, tcp, passed, plain] = listeners.as_slice() else { panic!("{listeners:?}") };
    let path = |path| AllowedPath::parse(path).unwrap();
    let rules = [
        AllowRule {
            methods: vec!["GET".into(), "LIST".into()],
            paths: vec![path("secret/data/app/*"), path("+/creds/app")],
            namespaces: Vec::new(),
        },
        AllowRule {
            methods: Vec::new(),
            paths: vec![path("sys/health")],
            namespaces: vec!["team/shop".into()],
        },
    ];
    let peers = AllowedPeers {
        uids: vec![Identity::Name("app".into()), Identity::Id(1000)],
        gids: vec![Identity::Id(2000)],
        executables: vec!["/usr/bin/app".into()],
    };
    assert_eq!((&unix.access.peers, unix.access.rules.as_slice()), (&peers, &rules[..]));
    assert_eq!(unix.access.rate, Some(RateLimit { per_second: 100, burst: 100 }));
    assert!(unix.access.lenient_control_content_type);
    assert_eq!(tcp.endpoint, Endpoint::Systemd { socket: "api".into(), is_unix: false });
    assert_eq!(passed.endpoint, Endpoint::Systemd { socket: "1".into(), is_unix: true });
    assert_eq!(tcp.access.rate, Some(RateLimit { per_second: 5, burst: 20 }));
    let tls = |listener: &Listener| listener.tls.clone().unwrap();
    assert_eq!(tls(tcp).allowed_client_names, ["app.example", "spiffe://a/*"].map(Pattern::new));
    let reload = [tcp, passed, plain].map(|listener| tls(listener).reload.map(|pause| pause.as_secs()));
    assert_eq!(reload, [Some(60), None, Some(30)]);
    assert_eq!(plain.access, ListenerAccess::default());
}

#[test]
fn blocks_may_stand_in_lists() {
    let text = "listener = [{\n type = \"tcp\"\n tls_disable = true }, {\n type = \"unix\"\n address = \"/s\"\n tls_disable = true }]\n";
    assert_eq!(agent().fine(text).settings.listeners.len(), 2);
}

#[test]
fn limits_of_a_listener_have_their_own() {
    for (line, why) in [
        ("max_connections = 0", "max_connections must be from 1 to 1000000, not 0"),
        ("max_requests = -1", "max_requests must be from 1 to 1000000, not -1"),
        ("max_request_headers = 5000", "max_request_headers must be from 10 to 1000, not 5000"),
        ("max_request_header_size = 100", "max_request_header_size must be from 1024 to 1048576, not 100"),
        ("max_request_body = 1", "max_request_body must be from 1024 to 17179869184, not 1"),
        ("idle_timeout = 0", "idle_timeout must be more than 0 and at most 24h"),
        ("write_timeout = \"25h\"", "write_timeout must be more than 0 and at most 24h"),
    ] {
        let text = format!("{AUTH}\nlistener \"tcp\" {{\n  tls_disable = true\n  {line}\n}}\n");
        let start = "error loading configuration from a.hcl: error parsing 'listener': listeners.0";
        agent().refused(&text, &format!("{start} {why}"));
    }
}

/// A machine of three addresses.
fn addresses(template: &str) -> Result<String, String> {
    match template {
        "{{ one }}:8200" => Ok("192.0.2.2:8200".to_owned()),
        "{{ six }}:8200" => Ok("2001:db8::2:8200".to_owned()),
        "[{{ six }}]:8200" => Ok("[2001:db8::2]:8200".to_owned()),
        "{{ all }}:8200" => Ok("192.0.2.2 2001:db8::2:8200".to_owned()),
        "{{ none }}:8200" => Ok(":8200".to_owned()),
        "{{ six }}" => Ok("2001:db8::2".to_owned()),
        "/run/{{ one }}.sock" => Ok("/run/192.0.2.2.sock".to_owned()),
        _ => Err("function \"nosuch\" not defined".to_owned()),
    }
}

#[test]
fn a_template_makes_one_of_the_addresses_of_the_machine() {
    let text = |kind: &str, address: &str| {
        format!("{AUTH}listener \"{kind}\" {{\n tls_disable = true\n address = \"{address}\"\n}}\n")
    };
    let endpoint = |kind: &str, address: &str| {
        let loaded = agent().machine(addresses).fine(&text(kind, address));
        loaded.settings.listeners.into_iter().next().unwrap().endpoint
    };
    assert_eq!(endpoint("tcp", "{{ one }}:8200"), Endpoint::Tcp("192.0.2.2:8200".parse().unwrap()));
    let six = Endpoint::Tcp("[2001:db8::2]:8200".parse().unwrap());
    assert_eq!(endpoint("tcp", "{{ six }}:8200"), six);
    assert_eq!(endpoint("tcp", "[{{ six }}]:8200"), six);
    assert!(
        matches!(endpoint("unix", "/run/{{ one }}.sock"), Endpoint::Unix { path, .. } if path.ends_with("192.0.2.2.sock"))
    );

    let frame = "error loading configuration from a.hcl: error parsing 'listener': listeners.0: ";
    for (address, line) in [
        (
            "{{ all }}:8200",
            format!("{frame}multiple addresses found (\"192.0.2.2 2001:db8::2:8200\"), please configure one"),
        ),
        (
            "{{ nosuch }}:1",
            format!(
                "{frame}unable to parse address template \"{{{{ nosuch }}}}:1\": function \"nosuch\" not defined"
            ),
        ),
        (
            "{{ none }}:8200",
            "Error starting listener: listen tcp: address :8200: no addresses found, please configure one"
                .to_owned(),
        ),
        (
            "{{ six }}",
            "Error starting listener: listen tcp: address 2001:db8::2: too many colons in address".to_owned(),
        ),
    ] {
        agent().machine(addresses).refused(&text("tcp", address), &line);
    }
}

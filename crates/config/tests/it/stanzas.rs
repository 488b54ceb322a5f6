//! What the keys become.

use std::time::Duration;

use config::{
    AllowRule, AllowedPath, AllowedPeers, AppRole, Cert, Command, Contents, CredentialFile, Encryption,
    Endpoint, FileSink, Identity, Listener, ListenerAccess, ListenerLimits, MethodKind, Pattern, Profile,
    RateLimit, Removal, Role, SendAs, Sink, SinkKind, SocketAccess, TokenFile, UseAutoAuthToken,
};
use vault::{HostPattern, RedirectHosts};

use crate::{AUTH, LISTENER, agent, proxy};

#[test]
fn approle_with_every_key() {
    let auto_auth = agent()
        .fine(
            r#"
auto_auth {
  enable_reauth_on_new_credentials = true
  method "AppRole" {
    mount_path = "auth/apps/"
    namespace = "/team/"
    min_backoff = "2s"
    max_backoff = 60
    exit_on_err = "true"
    config = {
      role_id_file_path = "/role"
      secret_id_file_path = "/secret"
      remove_secret_id_file_after_reading = "false"
      secret_id_response_wrapping_path = "auth/approle/role/app/secret-id"
    }
  }
  sink "file" {
    config = { path = "/sink" mode = 0600 uid = 1000 gid = -1 }
  }
  sink {
    type = "file"
    config { path = "/other" mode = "0644" owner = "app" group = "7" }
  }
}
"#,
        )
        .settings
        .auto_auths
        .remove(0);
    assert!(auto_auth.reauth_on_new_credentials);
    let method = auto_auth.method;
    assert_eq!(method.mount.as_str(), "auth/apps");
    assert_eq!(method.namespace.unwrap().as_str(), "team/");
    assert_eq!((method.min_backoff, method.max_backoff), (Duration::from_secs(2), Duration::from_secs(60)));
    assert!(method.exit_on_err);
    assert_eq!(
        method.kind,
        MethodKind::AppRole(AppRole {
            role_id_file: "/role".into(),
            secret_id_file: Some("/secret".into()),
            remove_secret_id_file: false,
            wrapping_path: Some("auth/approle/role/app/secret-id".into()),
        })
    );
    let sinks: Vec<_> = auto_auth.sinks.iter().map(file).collect();
    let [first, second] = sinks.as_slice() else { panic!("{sinks:?}") };
    assert_eq!((first.mode, &first.owner, &first.group), (0o600, &Some(Identity::Id(1000)), &None));
    assert_eq!(
        (second.mode, &second.owner, &second.group),
        (0o644, &Some(Identity::Name("app".into())), &Some(Identity::Id(7)))
    );
}

#[test]
fn methods_that_lack_something() {
    for (method, line) in [
        ("method \"approle\" {}", "Error creating approle auth method: missing 'role_id_file_path' value"),
        (
            "method \"approle\" { config = { role_id_file_path = \"\" } }",
            "Error creating approle auth method: 'role_id_file_path' value is empty",
        ),
        (
            "method \"token_file\" { config = { token_file_path = 5 } }",
            "Error creating token_file auth method: could not convert 'token_file_path' config value to string",
        ),
        (
            "method \"azure\" { config = { role = \"r\" } }",
            "Error creating azure auth method: missing 'resource' value",
        ),
        (
            "method \"azure\" { config = { role = \"r\"\n resource = \"x\"\n object_id = \"a\"\n client_id = \"b\" } }",
            "Error creating azure auth method: only one of 'object_id' or 'client_id' may be provided",
        ),
        (
            "method \"azure\" { config = { role = \"r\"\n resource = \"x\"\n authenticate_from_environment = \"maybe\" } }",
            "Error creating azure auth method: could not convert 'authenticate_from_environment' config value to \
             bool: cannot parse '' as bool: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "method \"gcp\" { config = { type = \"gke\"\n role = \"r\" } }",
            "Error creating gcp auth method: 'type' value is invalid",
        ),
        (
            "method \"gcp\" { config = { type = \"iam\"\n role = \"r\"\n credentials = 5 } }",
            "Error creating gcp auth method: could not convert 'credentials' value into string",
        ),
        (
            "method \"gcp\" { config = { type = \"iam\"\n role = \"r\"\n jwt_exp = 721 } }",
            "Error creating gcp auth method: 'jwt_exp' must be between 1 and 720 minutes",
        ),
        (
            "method \"oci\" { config = { type = \"apikey\" } }",
            "Error creating oci auth method: missing 'role' value",
        ),
        (
            "method \"oci\" { config = { type = \"x\"\n role = \"r\" } }",
            "Error creating oci auth method: 'type' value is invalid",
        ),
        (
            "method \"oci\" { config = { type = \"apikey\"\n role = \"r\"\n credential_poll_interval = 0 } }",
            "Error creating oci auth method: 'credential_poll_interval' must be longer than nothing",
        ),
        (
            "method \"oci\" { config = { type = \"apikey\"\n role = \"..\" } }",
            "Error creating oci auth method: 'role' value \"..\" cannot stand in a path",
        ),
        (
            "method \"gcp\" { config = { type = \"gce\"\n role = \"r\"\n service_account = \".\" } }",
            "Error creating gcp auth method: 'service_account' value \".\" cannot stand in a path",
        ),
        ("method \"nosuch\" {}", "Error creating nosuch auth method: unknown auth method \"nosuch\""),
        ("method \"kubernetes\" {}", "Error creating kubernetes auth method: missing 'role' value"),
        (
            "method \"jwt\" { config { path = \"/x\" } }",
            "Error creating jwt auth method: missing 'role' value",
        ),
        (
            "method \"jwt\" { config { role = \"r\" path = \"\" } }",
            "Error creating jwt auth method: 'path' value is empty",
        ),
        (
            "method \"jwt\" { config { path = \"/x\" role = 5 } }",
            "Error creating jwt auth method: could not convert 'role' config value to string",
        ),
        (
            "method \"jwt\" { config { path = \"/x\" role = \"r\" jwt_read_period = \"zz\" } }",
            "Error creating jwt auth method: error parsing 'jwt_read_period' value: time: invalid duration \"zz\"",
        ),
        (
            "method \"jwt\" { config { path = \"/x\" role = \"r\" remove_jwt_after_reading = \"maybe\" } }",
            "Error creating jwt auth method: error parsing 'remove_jwt_after_reading' value: cannot parse '' as \
             bool: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "method \"kubernetes\" { config { role = \"r\" token_path = 5 } }",
            "Error creating kubernetes auth method: could not convert 'token_path' config value to string",
        ),
        (
            "method \"cert\" { config { name = 5 } }",
            "Error creating cert auth method: could not convert 'name' config value to string",
        ),
        (
            "method \"cert\" { config { reload = \"true\" } }",
            "Error creating cert auth method: could not convert 'reload' config value to bool",
        ),
        (
            "method \"cert\" { config { client_cert = 5 } }",
            "Error creating cert auth method: could not convert 'cert_file' config value to string",
        ),
        (
            "method \"ldap\" { config { username = \".\" password_file_path = \"/p\" } }",
            "Error creating ldap auth method: 'username' value \".\" cannot stand in a path",
        ),
        (
            "method \"ldap\" { config { username = \"u\" } }",
            "Error creating ldap auth method: missing 'password_file_path' value",
        ),
        (
            "method \"userpass\" { config { password_file_path = \"/p\" } }",
            "Error creating userpass auth method: missing 'username' value",
        ),
        (
            "method \"ldap\" { config { username = \"u\" password_file_path = \"/p\" password_read_period = 0 } }",
            "Error creating ldap auth method: error parsing 'password_read_period' value into a positive value",
        ),
        (
            "method \"radius\" { config { username = \"u\" password_file_path = \"/p\" password_env_var = \"P\" } }",
            "Error creating radius auth method: 'password_file_path' and 'password_env_var' are both given",
        ),
        (
            "method \"spiffe\" { config { path = \"/p\" role = \"r\" send_as = \"jtw\" } }",
            "Error creating spiffe auth method: unknown 'send_as' value \"jtw\"",
        ),
        (
            "method \"token_file\" {\n min_backoff = \"10m\"\n config { token_file_path = \"/t\" } }",
            "auth handler: min_backoff cannot be greater than max_backoff",
        ),
    ] {
        let text = format!("auto_auth {{\n {method}\n sink \"file\" {{ config {{ path = \"/s\" }} }}\n}}\n");
        assert_eq!(agent().lines(&text), [line], "{text}");
    }
}

#[test]
fn methods_with_files() {
    let method = |method: &str| {
        let text = format!("auto_auth {{\n {method}\n sink \"file\" {{ config {{ path = \"/s\" }} }}\n}}\n");
        agent().fine(&text).settings.auto_auths.remove(0).method
    };
    let file = |path: &str, removal, period: u64| CredentialFile {
        path: path.into(),
        removal,
        read_period: Duration::from_millis(period),
    };
    let jwt = |keys: &str| match method(&format!(
        "method \"jwt\" {{ config {{ path = \"/j\" role = \"r\" {keys} }} }}"
    ))
    .kind
    {
        MethodKind::Jwt(jwt) => jwt.file,
        other => panic!("{other:?}"),
    };
    assert_eq!(jwt(""), file("/j", Removal::Link, 500));
    assert_eq!(jwt("remove_jwt_after_reading = \"false\""), file("/j", Removal::Never, 60_000));
    assert_eq!(jwt("remove_jwt_follows_symlinks = 1 jwt_read_period = 7"), file("/j", Removal::Target, 7000));
    let defaults = method("method \"kubernetes\" { config { role = \"r\" } }");
    assert_eq!(defaults.mount.as_str(), "auth/kubernetes");
    let MethodKind::Kubernetes(kubernetes) = defaults.kind else { panic!("{defaults:?}") };
    assert_eq!(kubernetes.token_path.to_str(), Some("/var/run/secrets/kubernetes.io/serviceaccount/token"));
    for name in ["ldap", "okta", "radius", "userpass"] {
        let found = method(&format!(
            "method {name:?} {{ config {{ username = \"u\" password_file_path = \"/p\" }} }}"
        ));
        assert_eq!((found.kind.name(), found.mount.as_str()), (name, format!("auth/{name}").as_str()));
        let by_name =
            method(&format!("method {name:?} {{ config {{ username = \"u\" password_env_var = \"P\" }} }}"));
        assert!(format!("{:?}", by_name.kind).contains("Variable(\"P\")"), "{by_name:?}");
        // A login beside the program's own takes nothing away.
        assert!(format!("{:?}", found.kind.sparing()).contains("Never"), "{name}");
    }
    assert_eq!(
        method("method \"cert\" {}").kind,
        MethodKind::Cert(Cert { name: None, ca_cert: None, identity: None, reload: None })
    );
    let MethodKind::Spiffe(spiffe) =
        method("method \"spiffe\" { config { path = \"/s\" role = \"r\" send_as = \"bearer\" } }").kind
    else {
        panic!()
    };
    assert_eq!(spiffe.send_as, SendAs::Bearer);
}

#[test]
fn json_without_lists_and_with_labels() {
    let auto_auth = agent()
        .fine(
            r#"{"auto_auth": {
                "method": [{"token_file": {"config": {"token_file_path": "/t"}}}],
                "sinks": [{"sink": {"type": "file", "config": {"path": "/a", "mode": 384}}}],
                "sink": {"file": {"config": {"path": "/b"}}}
            }}"#,
        )
        .settings
        .auto_auths
        .remove(0);
    assert_eq!(auto_auth.method.kind, MethodKind::TokenFile(TokenFile { path: "/t".into() }));
    let sinks: Vec<_> =
        auto_auth.sinks.iter().map(file).map(|s| (s.path.to_str().unwrap(), s.mode)).collect();
    assert_eq!(sinks, [("/b", 0o640), ("/a", 0o600)]);
}

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
  agent_api { enable_quit = true }
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
    assert!(tcp.require_request_header && tcp.enable_quit);
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
fn rules_that_would_say_less_than_they_seem_to_are_refused() {
    let unix = "address = \"/s\"\n tls_disable = true\n ";
    let tls = "tls_cert_file = \"/c\"\n tls_key_file = \"/k\"\n tls_client_ca_file = \"/ca\"\n ";
    for (kind, first, keys, message) in [
        ("tcp", "tls_disable = true\n ", "allowed_uids = [1]", "`allowed_uids` needs a unix listener"),
        (
            "tcp",
            "tls_disable = true\n ",
            "allowed_executables = [\"/a\"]",
            "`allowed_executables` needs a unix listener",
        ),
        ("unix", unix, "allowed_uids = []", "'allowed_uids' names nobody"),
        ("unix", unix, "allowed_gids = [\"\"]", "'allowed_gids' names nobody"),
        ("unix", unix, "allowed_executables = []", "'allowed_executables' names none"),
        (
            "unix",
            unix,
            "allowed_executables = [\"app\"]",
            "\"app\" in `allowed_executables` is no absolute path",
        ),
        ("unix", unix, "allow { }", "`allow` names nothing"),
        ("unix", unix, "allow {\n methods = []\n paths = [\"a\"]\n }", "`allow` names nothing"),
        ("unix", unix, "allow {\n methods = [\"GET\"]\n paths = []\n }", "`allow` names nothing"),
        ("unix", unix, "allow {\n methods = [\"GET\"]\n namespaces = []\n }", "`allow` names nothing"),
        (
            "unix",
            unix,
            "allow {\n methods = [\"GET\"]\n namespaces = [\"team/*\"]\n }",
            "\"team/*\" in `allow` names no namespace",
        ),
        // It would allow every method.
        (
            "unix",
            unix,
            "allow {\n method = [\"GET\"]\n paths = [\"a\"]\n }",
            "'allow' has invalid keys: method",
        ),
        ("unix", unix, "allow { methods = [\"FETCH\"] }", "unknown method \"FETCH\" in `allow`"),
        (
            "unix",
            unix,
            "allow { paths = [\"/v1/secret\"] }",
            "no request can have the path \"/v1/secret\" of `allow`: paths are written without /v1/, as in policies",
        ),
        ("unix", unix, "rate_limit = 0", "rate_limit must be from 1 to 1000000, not 0"),
        ("unix", unix, "rate_burst = 5", "`rate_burst` needs `rate_limit`"),
        (
            "unix",
            "tls_disable = true\n ",
            "address = \"systemd:\"",
            "\"systemd:\" names no socket of systemd",
        ),
        (
            "tcp",
            "tls_disable = true\n ",
            "address = \"systemd:a b\"",
            "\"systemd:a b\" names no socket of systemd",
        ),
        (
            "unix",
            "tls_disable = true\n ",
            "address = \"systemd:a\"\n socket_mode = \"0600\"",
            "`socket_mode` cannot go with a socket of systemd",
        ),
        (
            "tcp",
            tls,
            "tls_allowed_client_names = [\"a\"]",
            "`tls_allowed_client_names` needs `tls_require_and_verify_client_cert = true`",
        ),
        (
            "tcp",
            tls,
            "tls_require_and_verify_client_cert = true\n tls_allowed_client_names = []",
            "`tls_allowed_client_names` names nobody",
        ),
        (
            "tcp",
            "tls_disable = true\n ",
            "tls_allowed_client_names = [\"a\"]",
            "`tls_allowed_client_names` has no effect with `tls_disable = true`",
        ),
    ] {
        let failure = agent().text(format!("listener \"{kind}\" {{\n {first}{keys}\n}}\n")).unwrap_err();
        let messages: Vec<_> = failure.diagnostics().map(|d| d.message.as_str()).collect();
        assert!(messages.len() == 1 && messages[0].ends_with(message), "{keys}: {messages:?}");
    }
}

#[test]
fn tls_that_would_be_weaker_than_it_reads_is_refused() {
    for (keys, message) in [
        ("", "TLS needs `tls_cert_file` and `tls_key_file`"),
        (
            "tls_require_and_verify_client_cert = true\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"",
            "`tls_require_and_verify_client_cert` needs `tls_client_ca_file`",
        ),
        (
            "tls_cipher_suites = \"TLS_AES_128_GCM_SHA256\"\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"",
            "\"tls_cipher_suites\" is not built yet in this version of Sidekey",
        ),
        (
            "tls_max_version = \"tls11\"\n tls_min_version = \"tls10\"\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"",
            "TLS before 1.2 is not spoken",
        ),
    ] {
        let failure = agent().text(format!("listener \"tcp\" {{\n {keys}\n}}\n")).unwrap_err();
        let messages: Vec<_> = failure.diagnostics().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, [message], "{keys}");
    }
    let old = "listener \"tcp\" {\n tls_min_version = \"tls10\"\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\" }\n";
    assert_eq!(agent().fine(old).warnings.len(), 1);
}

#[test]
fn templates() {
    let settings = agent()
        .fine(&format!(
            "{AUTH}{}",
            r#"
template_config {
  exit_on_retry_failure = true
  static_secret_render_interval = "1m"
  lease_renewal_threshold = 0.5
  max_connections_per_host = 10
}
template {
  contents = "a\xffb"
  destination = "/a"
  perms = "0600"
  user = "app"
  gid = 7
  command = "kill -HUP 1"
  command_timeout = 5
  function_denylist = "a,b"
  left_delimiter = "<<"
  error_on_missing_key = true
  error_fatal = false
}
template {
  source = "/b.ctmpl"
  destination = "/b"
  perms = 0640
  exec { command = ["true", "a b"] timeout = "1m" }
}
"#
        ))
        .settings;
    assert!(settings.template_config.exit_on_retry_failure);
    assert_eq!(settings.template_config.static_secret_render_interval, Duration::from_secs(60));
    assert!((settings.template_config.lease_renewal_threshold - 0.5).abs() < f64::EPSILON);
    let [a, b] = settings.templates.as_slice() else { panic!() };
    assert_eq!(a.contents, Contents::Inline(b"a\xffb".to_vec()));
    assert_eq!(
        (a.perms, &a.owner, &a.group),
        (Some(0o600), &Some(Identity::Name("app".into())), &Some(Identity::Id(7)))
    );
    let seconds = Duration::from_secs;
    assert_eq!(a.command, Some(Command { arguments: vec!["kill -HUP 1".into()], timeout: seconds(5) }));
    assert_eq!(a.function_denylist, ["a", "b"]);
    assert_eq!((a.left_delimiter.as_str(), a.right_delimiter.as_str()), ("<<", "}}"));
    assert!(a.error_on_missing_key && !a.error_fatal && b.error_fatal);
    assert_eq!(b.contents, Contents::File("/b.ctmpl".into()));
    assert_eq!(b.perms, Some(0o640));
    assert_eq!(
        b.command,
        Some(Command { arguments: vec!["true".into(), "a b".into()], timeout: seconds(60) })
    );
}

#[test]
fn the_profile_of_templates_is_named_or_guessed() {
    let profile = |text: &str| {
        agent().fine(&format!("{AUTH}template_config {{ {text} }}\n")).settings.template_config.profile
    };
    assert_eq!(profile("profile = \"openbao\""), Profile::OpenBao);
    assert_eq!(profile("profile = \"vault\""), Profile::Vault);
    assert_eq!(profile(""), Profile::Vault);
    assert_eq!(agent().fine(AUTH).settings.template_config.profile, Profile::Vault);
    let bao = agent().environment(&[("BAO_ADDR", "http://127.0.0.1:8200")]);
    assert_eq!(bao.fine(AUTH).settings.template_config.profile, Profile::OpenBao);
    agent().refused(
        &format!("{AUTH}template_config {{ profile = \"consul\" }}\n"),
        "error loading configuration from a.hcl: error parsing 'template_config': unknown `profile` \"consul\"",
    );
}

#[test]
fn a_decimal_mode_is_remarked_upon() {
    let text = format!("{AUTH}template {{\n contents = \"a\"\n destination = \"/d\"\n perms = 640 }}\n");
    let loaded = agent().fine(&text);
    assert_eq!(loaded.settings.templates[0].perms, Some(0o1200));
    assert_eq!(loaded.warnings[0].hint.as_deref(), Some("octal numbers start with a zero: 0640"));
}

#[test]
fn only_templates_may_hold_bytes() {
    agent().refused(
        &format!("{AUTH}pid_file = \"a\\xff\"\n"),
        "error loading configuration from a.hcl: `pid_file` holds bytes that are not UTF-8",
    );
}

#[test]
fn the_proxy_reads_no_templates() {
    let loaded = proxy().fine(&format!("{AUTH}template {{ foo = 1 }}\nexec {{ command = \"x\" }}\n"));
    assert!(loaded.settings.templates.is_empty());
    assert_eq!(loaded.warnings.len(), 2);
}

#[test]
fn blocks_may_stand_in_lists() {
    let text = "listener = [{\n type = \"tcp\"\n tls_disable = true }, {\n type = \"unix\"\n address = \"/s\"\n tls_disable = true }]\n";
    assert_eq!(agent().fine(text).settings.listeners.len(), 2);
}

#[test]
fn the_proxys_rules() {
    let text =
        format!("{AUTH}{LISTENER}api_proxy {{\n use_auto_auth_token = \"Force\"\n strict_paths = true }}\n");
    let api_proxy = agent().fine(&text).settings.api_proxy;
    assert_eq!(api_proxy.use_auto_auth_token, UseAutoAuthToken::Force);
    assert!(api_proxy.strict_paths);
    agent().refused(
        &format!("{AUTH}{LISTENER}api_proxy {{ use_auto_auth_token = \"maybe\" }}\n"),
        "error loading configuration from a.hcl: error parsing 'api_proxy':value of 'use_auto_auth_token' can \
         be either true/false/force, \"maybe\" is an invalid option",
    );
}

fn file(sink: &Sink) -> &FileSink {
    let SinkKind::File(file) = &sink.kind else { panic!("{sink:?}") };
    file
}

/// `auto_auth` with one sink of these lines.
fn with_sink(kind: &str, keys: &str) -> String {
    format!(
        "auto_auth {{\n method \"token_file\" {{ config {{ token_file_path = \"/t\" }} }}\n sink \"{kind}\" {{\n {keys}\n }} }}\n"
    )
}

fn the_sink(kind: &str, keys: &str) -> Sink {
    let auto_auth = agent().fine(&with_sink(kind, keys)).settings.auto_auths.remove(0);
    auto_auth.sinks.into_iter().next().unwrap()
}

#[test]
fn wrapping_and_encryption_have_upstreams_checks() {
    let sink = |keys: &str| with_sink("file", &format!("{keys}\n config {{ path = \"/s\" }}"));
    let frame =
        "error loading configuration from a.hcl: error parsing 'auto_auth': error parsing 'sink' stanzas: ";
    for (keys, cause) in [
        ("dh_type = \"rsa\"", "sink.file invalid value for 'dh_type'"),
        ("dh_path = \"/a\"", "sink.file 'dh_type' and 'dh_path' must be specified together"),
        ("dh_type = \"curve25519\"", "sink.file 'dh_type' and 'dh_path' must be specified together"),
        ("aad = \"a\"", "sink.file specifying AAD data without 'dh_type' does not make sense"),
        ("derive_key = true", "sink.file specifying 'derive_key' data without 'dh_type' does not make sense"),
        ("dh_repin = true", "sink.file specifying 'dh_repin' data without 'dh_type' does not make sense"),
        ("wrap_ttl = \"zz\"", "sink.file time: invalid duration \"zz\""),
    ] {
        assert_eq!(agent().lines(&sink(keys)), [format!("{frame}{cause}")], "{keys}");
    }
    let keys = "wrap_ttl = \"5m\"\n dh_type = \"curve25519\"\n dh_path = \"/k\"\n aad = \"a\"\n aad_env_var = \"NOSUCH\"\n derive_key = true\n dh_repin = true\n config { path = \"/s\" }";
    let sink = the_sink("file", keys);
    assert_eq!(sink.wrap_ttl, Some(Duration::from_secs(300)));
    let wanted =
        Encryption { public_key_file: "/k".into(), repin: true, derive_key: true, aad: "a".to_owned() };
    assert_eq!(sink.encryption, Some(wanted));
}

#[test]
fn sockets_say_whom_they_serve() {
    let sink = the_sink("socket", "config { path = \"/s\" uid = 7 allowed_uids = [\"app\", 8] }");
    let SinkKind::Socket(socket) = sink.kind else { panic!("{sink:?}") };
    assert_eq!(socket.access.mode, Some(0o660));
    assert_eq!(socket.access.owner, Some(Identity::Id(7)));
    assert_eq!(socket.allowed_uids, [Identity::Name("app".into()), Identity::Id(8)]);
    let sink =
        the_sink("systemd_credential", "config { path = \"/s\" credentials = [\"a@*.service/token\"] }");
    let SinkKind::SystemdCredential(systemd) = sink.kind else { panic!("{sink:?}") };
    assert_eq!(systemd.access.mode, Some(0o600));
    assert!(systemd.credentials[0].matches("a@1.service", "token"));
    assert!(!systemd.credentials[0].matches("a@1.service", "other"));
    for (kind, keys, line) in [
        ("socket", "config {}", "error creating socket sink: 'path' not specified for socket sink"),
        (
            "socket",
            "config { path = \"/s\" allowed_gids = [] }",
            "error creating socket sink: 'allowed_gids' names nobody",
        ),
        (
            "systemd_credential",
            "config { path = \"/s\" }",
            "error creating systemd_credential sink: 'credentials' not specified for systemd_credential sink",
        ),
        (
            "systemd_credential",
            "config { path = \"/s\" credentials = [\"token\"] }",
            "error creating systemd_credential sink: 'credentials' \"token\" is no unit and credential",
        ),
        (
            "file",
            "wrap_ttl = 60\n config { path = \"/s\" restore = true }",
            "error creating file sink: 'restore' cannot go with 'wrap_ttl'",
        ),
        ("sokcet", "config {}", "Unknown sink type \"sokcet\""),
    ] {
        assert_eq!(agent().lines(&with_sink(kind, keys)), [line], "{keys}");
    }
}

#[test]
fn a_wrapping_method_has_one_sink_and_no_other_user_of_the_token() {
    let method = "method \"approle\" { wrap_ttl = \"5m\" config { role_id_file_path = \"/r\" } }";
    let sink = "sink \"file\" { config { path = \"/s\" } }";
    let text = format!("auto_auth {{\n {method}\n {sink}\n}}\n");
    let method = agent().fine(&text).settings.auto_auths.remove(0).method;
    assert_eq!(method.wrap_ttl, Some(Duration::from_secs(300)));
    let template = "template { contents = \"a\" destination = \"/d\" }\n";
    let lines = agent().lines(&format!("{text}{template}"));
    assert!(lines[0].contains("templates need a token, and auto_auth uses wrapping"), "{lines:?}");
    let token_file = with_sink("file", "config { path = \"/s\" }")
        .replace("\"token_file\" {", "\"token_file\" { wrap_ttl = 1");
    let lines = agent().lines(&token_file);
    assert!(
        lines[0].starts_with("Error creating token_file auth method: 'wrap_ttl' wraps what a login gives"),
        "{lines:?}"
    );
}

const LOGIN: &str = "method \"approle\" { config = { role_id_file_path = \"/role\" } }\n sink \"file\" { config = { path = \"/s\" } }";

#[test]
fn the_token_between_two_runs() {
    let with = |keys: &str| format!("auto_auth {{\n {LOGIN}\n revoke_previous_token = true\n {keys}\n}}\n");
    let read = |keys: &str| agent().fine(&with(keys)).settings.auto_auths.remove(0);
    let auto_auth = read("token_store { path = \"/t\" key_file = \"/k\" }");
    assert!(auto_auth.revoke_previous_token);
    let key = config::KeySource::File("/k".into());
    assert_eq!(auto_auth.token_store, Some(config::TokenStore { path: "/t".into(), key }));
    let key = read("token_store { path = \"/t\" credential = \"store\" }").token_store.unwrap().key;
    assert_eq!(key, config::KeySource::Credential("store".into()));
    assert_eq!(read("").token_store, None);
}

#[test]
fn what_cannot_be_a_token_store() {
    for (keys, problem) in [
        ("token_store { key_file = \"/k\" }", "'path' is missing"),
        ("token_store { path = \"/t\" }", "a 'key_file' or a 'credential' is needed"),
        ("token_store { path = \"/t\" key_file = \"/k\" credential = \"c\" }", "exclude each other"),
        ("token_store { path = \"/t\" credential = \"/c\" }", "not a path"),
    ] {
        let lines = agent().lines(&format!("auto_auth {{\n {LOGIN}\n {keys}\n}}\n"));
        assert!(lines.len() == 1 && lines[0].contains(problem), "{lines:?}");
    }
    let borrowed = "method \"token_file\" { config = { token_file_path = \"/t\" } }\n sink \"file\" { config = { path = \"/s\" } }";
    for keys in ["revoke_previous_token = true", "token_store { path = \"/t\" key_file = \"/k\" }"] {
        let lines = agent().lines(&format!("auto_auth {{\n {borrowed}\n {keys}\n}}\n"));
        assert!(lines.len() == 1 && lines[0].contains("does not go with the method"), "{lines:?}");
    }
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

#[test]
fn numbers_go_where_the_stanza_says() {
    let of = |text: &str| agent().fine(&format!("{AUTH}{text}")).settings.telemetry;
    let without = of("");
    assert_eq!((without.prefix.as_str(), without.prometheus), ("vault", false));
    let telemetry = of(
        "telemetry {\n dogstatsd_addr = \"d:8125\"\n dogstatsd_tags = [\"env:prod\"]\n statsd_address = \"127.0.0.1:8125\"\n metrics_prefix = \"ours\"\n prefix_filter = [\"+ours.agent\", \"-ours\"]\n filter_default = false\n}\n",
    );
    assert!(telemetry.prometheus && !telemetry.filter_default);
    assert_eq!(telemetry.prefix, "ours");
    assert_eq!(telemetry.statsd.as_deref(), Some("127.0.0.1:8125"));
    assert_eq!(telemetry.dogstatsd, Some(("d:8125".to_owned(), vec!["env:prod".to_owned()])));
    assert_eq!(telemetry.filters, [("ours.agent".to_owned(), true), ("ours".to_owned(), false)]);
    assert!(!of("telemetry { prometheus_retention_time = 0 }").prometheus);
    let warned = agent().fine(&format!("{AUTH}telemetry {{ circonus_api_token = \"t\" }}\n")).warnings;
    assert!(warned[0].message.contains("metrics are not sent to circonus"), "{warned:?}");
    for (text, problem) in [
        ("telemetry { statsd_address = \"nowhere\" }", "statsd_address is no address"),
        ("telemetry { prefix_filter = [\"x\"] }", "filter rule must begin with either '+' or '-'"),
        ("access_log { }", "an access log needs a `path`"),
    ] {
        let lines = agent().lines(&format!("{AUTH}{text}\n"));
        assert!(lines[0].contains(problem), "{lines:?}");
    }
    let log =
        |path: &str| agent().fine(&format!("{AUTH}access_log {{ path = \"{path}\" }}\n")).settings.access_log;
    assert_eq!(log("stderr"), Some(config::AccessLog::StandardError));
    assert_eq!(log("/l"), Some(config::AccessLog::File("/l".into())));
}

#[test]
fn redirects_lead_to_any_host_or_to_those_that_are_named() {
    let hosts = |keys: &str| {
        agent()
            .fine(&format!("vault {{ address = \"https://a:8200\"\n{keys} }}\n{AUTH}"))
            .settings
            .vault
            .redirect_hosts
    };
    let known = |texts: &[&str]| {
        RedirectHosts::Known(texts.iter().map(|text| HostPattern::parse(text).unwrap()).collect())
    };
    for (keys, wanted) in [
        ("", RedirectHosts::Any),
        ("follow_redirects_any_host = true", RedirectHosts::Any),
        ("follow_redirects_any_host = false", known(&[])),
        ("redirect_hosts = [\"b\", \"*.c:8200\"]", known(&["b", "*.c:8200"])),
        ("redirect_hosts = []", known(&[])),
        ("redirect_hosts = [\"b\"]\nfollow_redirects_any_host = true", RedirectHosts::Any),
    ] {
        assert_eq!(hosts(keys), wanted, "{keys}");
    }
    for (keys, line) in [
        (
            "redirect_hosts = [\"https://b\"]",
            "error loading configuration from a.hcl: error parsing 'vault':invalid host \"https://b\" in `redirect_hosts`: a host is wanted, without scheme and path",
        ),
        (
            "redirect_hosts = [\"\"]",
            "error loading configuration from a.hcl: error parsing 'vault':invalid host \"\" in `redirect_hosts`: the address has no host",
        ),
    ] {
        agent().refused(&format!("vault {{ {keys} }}\n{AUTH}"), line);
    }
}

#[test]
fn where_the_cache_is_kept() {
    use config::{KeySource, Persist, PersistKey};
    let listener = "listener \"tcp\" { tls_disable = true }\n";
    let read = |persist: &str| {
        let text = format!("{listener}cache {{\n {persist}\n}}\n");
        agent().fine(&text).settings.cache.unwrap().persist.unwrap()
    };
    let plain = |key| Persist { path: "/c".into(), key, keep_after_import: true, exit_on_err: false };
    let file = |path: &str| KeySource::File(path.into());
    assert_eq!(
        read("persist \"file\" { path = \"/c\" key_file = \"/k\" }"),
        plain(PersistKey::Key(file("/k")))
    );
    let credential = PersistKey::Key(KeySource::Credential("k".into()));
    assert_eq!(read("persist \"systemd\" { path = \"/c\" credential = \"k\" }"), plain(credential));
    let keyring = PersistKey::Key(KeySource::Keyring("k".into()));
    assert_eq!(read("persist \"keyring\" { path = \"/c\" key_name = \"k\" }"), plain(keyring));
    let passphrase = PersistKey::Passphrase("/p".into());
    assert_eq!(read("persist \"passphrase\" { path = \"/c\" passphrase_file = \"/p\" }"), plain(passphrase));
    // As upstream: a file is taken in once.
    let token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let kubernetes =
        |token_file: &str, secret| PersistKey::Kubernetes { token_file: token_file.into(), secret };
    let once = Persist { keep_after_import: false, ..plain(kubernetes(token_file, None)) };
    for persist in [
        "persist \"Kubernetes\" { path = \"/c\" }",
        "persist = { type = \"kubernetes\" path = \"/c\" }",
        "persist { type = \"kubernetes\" path = \"/c\" }",
    ] {
        assert_eq!(read(persist), once);
    }
    assert_eq!(
        read(
            "persist \"kubernetes\" { path = \"/c\" service_account_token_file = \"/t\" key_file = \"/k\" keep_after_import = true exit_on_err = true }"
        ),
        Persist { exit_on_err: true, ..plain(kubernetes("/t", Some(file("/k")))) }
    );
}

#[test]
fn where_the_cache_cannot_be_kept() {
    for (persist, problem) in [
        ("persist { path = \"/c\" }", "error parsing persist: persist type must be specified"),
        (
            "persist \"nosuch\" { path = \"/c\" }",
            "Error creating persistent cache: persistent key protection type \"nosuch\" not supported",
        ),
        ("persist \"kubernetes\" {}", "Error creating persistent cache: must specify persistent cache path"),
        ("persist \"file\" { path = \"/c\" }", "Error creating persistent cache: 'key_file' is missing"),
        ("persist \"keyring\" { path = \"/c\" }", "'key_name' is missing"),
        ("persist \"passphrase\" { path = \"/c\" }", "'passphrase_file' is missing"),
        ("persist \"systemd\" { path = \"/c\" }", "'credential' is missing"),
        ("persist \"systemd\" { path = \"/c\" credential = \"/k\" }", "not a path"),
    ] {
        let lines =
            agent().lines(&format!("listener \"tcp\" {{ tls_disable = true }}\ncache {{\n {persist}\n}}\n"));
        assert!(lines.len() == 1 && lines[0].contains(problem), "{persist}: {lines:?}");
    }
}

//! `sink`.

use std::time::Duration;

use config::{Encryption, Identity, Sink, SinkKind};

use crate::agent;

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

//! Flag over environment over file over default.

use std::path::PathBuf;
use std::time::Duration;

use config::{Flags, Format, Level, LogFile, Vault};
use vault::{Pem, RateLimit, RetryPolicy, Roots, Verify};

use crate::{AUTH, Load, agent, proxy};

const FILE: &str = r#"
vault {
  address = "http://file:1"
  ca_cert = "/file/ca"
  client_cert = "/file/cert"
  client_key = "/file/key"
  tls_server_name = "file"
  tls_skip_verify = true
  namespace = "file"
  retry { num_retries = 3 }
}
log_level = "error"
log_format = "json"
exit_after_auth = true
"#;

const EVERYTHING: &[(&str, &str)] = &[
    ("VAULT_ADDR", "http://env:1"),
    ("VAULT_CACERT", "/env/ca"),
    ("VAULT_CLIENT_CERT", "/env/cert"),
    ("VAULT_CLIENT_KEY", "/env/key"),
    ("VAULT_TLS_SERVER_NAME", "env"),
    ("VAULT_SKIP_VERIFY", "false"),
    ("VAULT_NAMESPACE", "env"),
    ("VAULT_MAX_RETRIES", "7"),
    ("VAULT_LOG_LEVEL", "debug"),
    ("VAULT_LOG_FORMAT", "standard"),
];

fn vault(load: Load) -> Vault {
    load.fine(&format!("{AUTH}{FILE}")).settings.vault
}

fn identity(cert: &str, key: &str) -> Option<(Pem, Pem)> {
    Some((Pem::File(cert.into()), Pem::File(key.into())))
}

#[test]
fn the_file_beats_the_defaults() {
    let settings = agent().fine(&format!("{AUTH}{FILE}")).settings;
    assert_eq!(settings.vault.address.to_string(), "http://file:1");
    assert_eq!(settings.vault.tls.roots, Roots::File("/file/ca".into()));
    assert_eq!(settings.vault.tls.identity, identity("/file/cert", "/file/key"));
    assert_eq!(settings.vault.tls.server_name.as_deref(), Some("file"));
    assert_eq!(settings.vault.tls.verify, Verify::Skip);
    assert_eq!(settings.vault.namespace.unwrap().as_str(), "file/");
    assert_eq!(settings.vault.retry, RetryPolicy::AtMost(3));
    assert_eq!(settings.log.level, Some(Level::Error));
    assert_eq!(settings.log.format, Format::Json);
    assert!(settings.exit_after_auth);
}

#[test]
fn the_environment_beats_the_file() {
    let settings = agent().environment(EVERYTHING).fine(&format!("{AUTH}{FILE}")).settings;
    assert_eq!(settings.vault.address.to_string(), "http://env:1");
    assert_eq!(settings.vault.tls.roots, Roots::File("/env/ca".into()));
    assert_eq!(settings.vault.tls.identity, identity("/env/cert", "/env/key"));
    assert_eq!(settings.vault.tls.server_name.as_deref(), Some("env"));
    // Upstream takes the text "false" for true here.
    assert_eq!(settings.vault.tls.verify, Verify::Yes);
    assert_eq!(settings.vault.namespace.unwrap().as_str(), "env/");
    assert_eq!(settings.vault.retry, RetryPolicy::AtMost(7));
    assert_eq!(settings.log.level, Some(Level::Debug));
    assert_eq!(settings.log.format, Format::Standard);
}

#[test]
fn flags_beat_the_environment() {
    let text = |text: &str| Some(text.to_owned());
    let flags = Flags {
        address: text("http://flag:1"),
        ca_cert: text("/flag/ca"),
        client_cert: text("/flag/cert"),
        client_key: text("/flag/key"),
        tls_server_name: text("flag"),
        tls_skip_verify: Some(true),
        namespace: text("flag"),
        exit_after_auth: Some(false),
        log_level: text("trace"),
        log_format: text("json"),
        ..Flags::default()
    };
    let settings = agent().environment(EVERYTHING).flags(flags).fine(&format!("{AUTH}{FILE}")).settings;
    assert_eq!(settings.vault.address.to_string(), "http://flag:1");
    assert_eq!(settings.vault.tls.roots, Roots::File("/flag/ca".into()));
    assert_eq!(settings.vault.tls.identity, identity("/flag/cert", "/flag/key"));
    assert_eq!(settings.vault.tls.server_name.as_deref(), Some("flag"));
    assert_eq!(settings.vault.tls.verify, Verify::Skip);
    assert_eq!(settings.vault.namespace.unwrap().as_str(), "flag/");
    assert_eq!(settings.log.level, Some(Level::Trace));
    assert_eq!(settings.log.format, Format::Json);
    assert!(!settings.exit_after_auth);
}

#[test]
fn nothing_said_means_upstreams_defaults() {
    let settings = agent().fine(AUTH).settings;
    assert_eq!(settings.vault.address.to_string(), "https://127.0.0.1:8200");
    assert_eq!(settings.vault.tls, vault::TlsSettings::default());
    assert_eq!(settings.vault.retry, RetryPolicy::Patient);
    assert_eq!(settings.vault.timeout, Duration::from_secs(60));
    assert_eq!(settings.log.level, None);
    assert!(!settings.exit_after_auth);
}

#[test]
fn set_but_empty_still_beats_the_file() {
    let empty =
        [("BAO_ADDR", ""), ("BAO_SKIP_VERIFY", ""), ("BAO_NAMESPACE", ""), ("VAULT_ADDR", "http://v:1")];
    let vault = vault(agent().environment(&empty));
    assert_eq!(vault.address.to_string(), "https://127.0.0.1:8200");
    assert_eq!(vault.tls.verify, Verify::Yes);
    assert_eq!(vault.namespace, None);
}

#[test]
fn skip_verify_is_a_boolean() {
    for (text, want) in
        [("true", Verify::Skip), ("1", Verify::Skip), ("false", Verify::Yes), ("0", Verify::Yes)]
    {
        let load = agent().environment(&[("VAULT_SKIP_VERIFY", text)]);
        assert_eq!(load.fine(AUTH).settings.vault.tls.verify, want, "{text}");
    }
    agent().environment(&[("VAULT_SKIP_VERIFY", "maybe")]).refused(
        AUTH,
        "Error fetching client: failed to read environment: could not parse VAULT_SKIP_VERIFY",
    );
}

#[test]
fn the_agents_own_address_is_not_the_servers() {
    let load = agent().environment(&[("VAULT_AGENT_ADDR", "http://127.0.0.1:8100")]);
    assert_eq!(load.fine(AUTH).settings.vault.address.to_string(), "https://127.0.0.1:8200");
}

#[test]
fn certificates_come_as_bytes_too() {
    let load = agent().environment(&[
        ("BAO_CACERT_BYTES", "ca"),
        ("BAO_CLIENT_CERT_BYTES", "cert"),
        ("BAO_CLIENT_KEY_BYTES", "key"),
        ("BAO_CAPATH", "/folder"),
    ]);
    let tls = load.fine(AUTH).settings.vault.tls;
    assert_eq!(tls.roots, Roots::Bytes(b"ca".to_vec()));
    assert_eq!(tls.identity, Some((Pem::Bytes(b"cert".to_vec()), Pem::Bytes(b"key".to_vec()))));
}

#[test]
fn a_certificate_needs_its_key() {
    let load = agent().environment(&[("BAO_CLIENT_CERT", "/cert")]);
    load.refused(AUTH, "both client cert and client key must be provided");
}

#[test]
fn retries_and_timeouts_of_the_environment() {
    let load = agent().environment(&[("VAULT_MAX_RETRIES", "0"), ("VAULT_CLIENT_TIMEOUT", "5")]);
    let vault = vault(load);
    assert_eq!(vault.retry, RetryPolicy::Never);
    assert_eq!(vault.timeout, Duration::from_secs(5));
    agent().environment(&[("BAO_CLIENT_TIMEOUT", "x")]).refused(
        AUTH,
        "Error fetching client: failed to read environment: could not parse \"BAO_CLIENT_TIMEOUT\"",
    );
}

#[test]
fn variables_we_cannot_honour_are_refused() {
    let line = "\"BAO_SRV_LOOKUP\" is not built yet in this version of Sidekey";
    agent().environment(&[("BAO_SRV_LOOKUP", "true")]).refused(AUTH, line);
    let harmless =
        [("VAULT_MFA", "a"), ("VAULT_FORMAT", "json"), ("VAULT_WRAP_TTL", "5m"), ("VAULT_SRV_LOOKUP", "0")];
    agent().environment(&harmless).fine(AUTH);
}

#[test]
fn a_log_file_is_a_flags_else_the_last_files() {
    let file = |loaded: config::Loaded| loaded.settings.log.file;
    let text = format!("{AUTH}log_file = \"/f/\"\nlog_rotate_bytes = \"0x10\"\nlog_rotate_max_files = -1\n");
    let day = Duration::from_secs(86_400);
    let of_file = LogFile { path: "/f/agent.log".into(), bytes: 16, age: day, keep: -1 };
    assert_eq!(file(agent().fine(&text)), Some(of_file.clone()));
    let flags = || Flags {
        log_file: Some("/l".into()),
        log_rotate_bytes: Some(0),
        log_rotate_duration: Some("90".into()),
        ..Flags::default()
    };
    let of_flags = LogFile { path: "/l".into(), bytes: 0, age: Duration::from_secs(90), keep: -1 };
    assert_eq!(file(agent().flags(flags()).fine(&text)), Some(of_flags));
    let empty = Flags { log_file: Some(String::new()), ..Flags::default() };
    assert_eq!(file(agent().flags(empty).fine(&text)), None, "whoever speaks first is heard");
    assert_eq!(file(agent().fine(AUTH)), None);
    let bad = |text: &str, why: &str| agent().refused(&format!("{AUTH}{text}\n"), why);
    bad("log_rotate_duration = \"foo\"", "time: invalid duration \"foo\"");
    let never = format!("{AUTH}log_rotate_duration = \"-1h\"\nlog_file = \"/l\"\n");
    assert_eq!(file(agent().fine(&never)).map(|file| file.age), Some(Duration::MAX));
    bad("log_file = \"/x*.log\"", "file name contains globbing character");
    bad("log_file = \"/a?/x.log\"", "directory contains glob character");
}

#[test]
fn lists_of_the_environment_replace_the_files() {
    let text = format!("{AUTH}disable_keep_alives = [\"auto-auth\"]\n");
    let parts = agent()
        .environment(&[("BAO_AGENT_DISABLE_KEEP_ALIVES", "Templating, caching")])
        .fine(&text)
        .settings
        .no_keep_alive;
    assert!(parts.templating && parts.proxying && !parts.auto_auth);
    // The other program's variable is not ours.
    let parts = proxy()
        .environment(&[("BAO_AGENT_DISABLE_KEEP_ALIVES", "caching")])
        .fine(&text)
        .settings
        .no_keep_alive;
    assert!(parts.auto_auth && !parts.proxying);
}

#[test]
fn a_bad_address_is_told_with_its_origin() {
    let failure = agent().environment(&[("VAULT_ADDR", "ftp://x")]).text(AUTH).unwrap_err();
    assert_eq!(failure.diagnostics().next().unwrap().hint.as_deref(), Some("set by VAULT_ADDR"));
    let failure = agent().text(format!("{AUTH}vault {{ address = \"ftp://x\" }}\n")).unwrap_err();
    assert!(failure.diagnostics().next().unwrap().span.is_some());
}

#[test]
fn an_empty_path_is_none() {
    let text = format!("{AUTH}vault {{\n ca_cert = \"\"\n ca_path = \"/folder\"\n client_cert = \"\" }}\n");
    let tls = agent().fine(&text).settings.vault.tls;
    assert_eq!(tls.roots, Roots::Folder(PathBuf::from("/folder")));
    assert_eq!(tls.identity, None);
}

#[test]
fn how_often_the_server_is_asked() {
    let limit = |value| vault(agent().environment(&[("VAULT_RATE_LIMIT", value)])).rate_limit;
    assert_eq!(limit(""), None);
    assert_eq!(limit("5"), RateLimit::new(5.0, 5));
    assert_eq!(limit("2.5:7"), RateLimit::new(2.5, 7));
    assert_eq!(limit("0.5"), RateLimit::new(0.5, 1));
    for value in ["many", "5:many", "5:", "0", "-1", "NaN", ":", "5:1:2"] {
        let line = "Error fetching client: failed to read environment: BAO_RATE_LIMIT was provided but \
                    incorrectly formatted";
        agent().environment(&[("BAO_RATE_LIMIT", value)]).refused(AUTH, line);
    }
}

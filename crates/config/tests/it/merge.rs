//! Several files.

use config::{Loaded, Parts, UseAutoAuthToken};

use crate::{AUTH, LISTENER, agent};

fn both(first: &str, second: &str) -> Loaded {
    agent().loader().load_texts([("a.hcl", first), ("b.hcl", second)]).unwrap_or_else(|f| panic!("{f}"))
}

#[test]
fn a_stanza_replaces_the_whole_stanza() {
    let first = format!("{AUTH}vault {{\n address = \"http://a\"\n namespace = \"a\" }}\n");
    let settings = both(&first, "vault { address = \"http://b\" }\n").settings;
    assert_eq!(settings.vault.address.to_string(), "http://b:80");
    assert_eq!(settings.vault.namespace, None);
}

#[test]
fn listeners_and_templates_add_up_in_order() {
    let template = |name: &str| format!("template {{\n contents = \"x\"\n destination = \"/{name}\" }}\n");
    let listener =
        |port: u16| format!("listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true }}\n");
    let settings = both(
        &format!("{AUTH}{}{}", template("a"), listener(1)),
        &format!("{}{}{}", template("b"), listener(2), template("c")),
    )
    .settings;
    let destinations: Vec<_> = settings.templates.iter().map(|t| t.destination.to_str().unwrap()).collect();
    assert_eq!(destinations, ["/a", "/b", "/c"]);
    assert_eq!(settings.listeners.len(), 2);
}

#[test]
fn scalars_the_last_that_says_something() {
    let first = format!("{AUTH}pid_file = \"/a\"\nlog_level = \"warn\"\nexit_after_auth = true\n");
    let settings = both(&first, "pid_file = \"\"\nexit_after_auth = false\n").settings;
    assert_eq!(settings.pid_file.as_deref(), Some("/a".as_ref()));
    assert_eq!(settings.log.level, Some(config::Level::Warn));
    assert!(settings.exit_after_auth);
}

#[test]
fn lists_of_parts_are_united() {
    let first = format!("{AUTH}disable_idle_connections = [\"auto-auth\"]\n");
    let settings = both(&first, "disable_idle_connections = [\"proxying\"]\n").settings;
    assert_eq!(settings.no_idle, Parts { auto_auth: true, proxying: true, templating: false });
}

#[test]
fn the_caches_old_key_moves_to_the_proxy() {
    let text = format!("{AUTH}{LISTENER}cache {{ use_auto_auth_token = \"force\" }}\n");
    assert_eq!(agent().fine(&text).settings.api_proxy.use_auto_auth_token, UseAutoAuthToken::Force);
    // Upstream copies the force alone into a stanza that is there already.
    let text = format!("{AUTH}{LISTENER}cache {{ use_auto_auth_token = true }}\napi_proxy {{}}\n");
    assert_eq!(agent().fine(&text).settings.api_proxy.use_auto_auth_token, UseAutoAuthToken::WhenMissing);
    let text = format!(
        "{AUTH}{LISTENER}cache {{ use_auto_auth_token = true }}\napi_proxy {{ use_auto_auth_token = true }}\n"
    );
    agent().refused(
        &text,
        "error validating configuration: use_auto_auth_token defined in both api_proxy and cache config. \
         Please remove this configuration from the cache block",
    );
}

#[test]
fn every_files_problems_are_told() {
    let failure = agent()
        .loader()
        .load_texts([("a.hcl", "}\n"), ("b.hcl", "vault {}\nvault {}\n"), ("c.json", "{]")])
        .unwrap_err();
    let lines = failure.upstream_lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("error loading configuration from a.hcl: At 1:1: "));
    assert_eq!(
        lines[1],
        "error loading configuration from b.hcl: error parsing 'vault':one and only one \"vault\" block is required"
    );
    assert!(lines[2].starts_with("error loading configuration from c.json: At 1:2: "));
}

//! What the user sees.

use hcl1::Color;

use crate::{AUTH, LISTENER, agent};

#[test]
fn an_unknown_key_is_drawn_with_the_nearest_one() {
    let loaded = agent().fine(
        r#"auto_auth {
  method "approle" {
    config = {
      role_id_file_path = "/a"
      secret_id_file = "/b"
    }
  }
  sink "file" { config = { path = "/s" } }
}
"#,
    );
    let drawn: Vec<_> = loaded.warnings.iter().map(|warning| warning.render(Color::Plain)).collect();
    assert_eq!(
        drawn,
        ["\
warning: unknown key `secret_id_file` in auto_auth.method.config
 --> a.hcl:5:7
  |
5 |       secret_id_file = \"/b\"
  |       ^^^^^^^^^^^^^^
  |
  = hint: did you mean `secret_id_file_path`?"]
    );
}

#[test]
fn a_key_that_stands_too_high_is_told_where_it_belongs() {
    let text = |auto_auth: &str, method: &str, file: &str| {
        format!(
            "auto_auth {{\n {auto_auth}\n method \"approle\" {{\n {method}\n config = {{ role_id_file_path = \"/a\" }} }}\n \
             sink \"file\" {{ config = {{ path = \"/s\" }} }}\n}}\n{file}\n"
        )
    };
    let hints = |text: String| {
        let warnings = agent().fine(&text).warnings;
        warnings.into_iter().map(|warning| warning.hint.unwrap_or_default()).collect::<Vec<_>>()
    };
    for key in [
        "exit_on_err = true",
        "Max_Backoff = \"1s\"",
        "min_backoff = 1",
        "mount_path = \"m\"",
        "type = \"approle\"",
    ] {
        let hint = match key {
            // Both have it.
            "type = \"approle\"" => "it belongs into `sink { … }` or `method { … }`",
            _ => "it belongs into `method { … }`",
        };
        assert_eq!(hints(text(key, "", "")), [hint], "{key}");
    }
    let file = "secret_id_file_path = \"/b\"";
    assert_eq!(hints(text(file, "", "")), ["it belongs into `method { config { … } }`"]);
    assert_eq!(hints(text("", file, "")), ["it belongs into `config { … }`"]);
    assert_eq!(hints(text("", "", file)), ["it belongs into `auto_auth { method { config { … } } }`"]);
    // A slip is a slip, and what nobody knows has no hint; a stanza that the file has not is not proposed.
    assert_eq!(
        hints(text("methods = 1", "max_backof = 1", "num_retries = 1")),
        ["did you mean `max_backoff`?", "did you mean `method`?", ""]
    );
    // In strict mode too.
    let failure = agent().strict().text(text("exit_on_err = true", "", "")).unwrap_err();
    assert_eq!(
        failure.render(Color::Plain),
        "\
error: unknown key `exit_on_err` in auto_auth
 --> a.hcl:2:2
  |
2 |  exit_on_err = true
  |  ^^^^^^^^^^^
  |
  = hint: it belongs into `method { … }`"
    );
}

#[test]
fn a_name_that_leads_elsewhere_is_drawn_where_it_stands() {
    let text = "auto_auth {\n method \"userpass\" {\n  mount_path = \"auth/../sys\"\n  config { username = \"..\" \
                password_file_path = \"/p\" }\n }\n sink \"file\" { config = { path = \"/s\" } }\n}\n";
    assert_eq!(
        agent().text(text.to_owned()).unwrap_err().render(Color::Plain),
        "\
error: 'mount_path' leads elsewhere by \".\" or \"..\"
 --> a.hcl:3:16
  |
3 |   mount_path = \"auth/../sys\"
  |                ^^^^^^^^^^^^^
  |
  = hint: write the path itself, \"auth/approle\"

error: 'username' value \"..\" cannot stand in a path
 --> a.hcl:4:23
  |
4 |   config { username = \"..\" password_file_path = \"/p\" }
  |                       ^^^^
  |
  = hint: it is part of the URL of the login"
    );
}

#[test]
fn strict_makes_unknown_keys_errors() {
    let text = format!("{AUTH}log_levle = \"info\"\n");
    assert_eq!(agent().fine(&text).warnings.len(), 1);
    agent()
        .strict()
        .refused(&text, "error loading configuration from a.hcl: At 6:1: unknown key `log_levle`");
}

#[test]
fn listeners_of_one_address_are_told() {
    let listener =
        |address: &str| format!("listener \"tcp\" {{ address = {address:?} tls_disable = true }}\n");
    let told = |addresses: &[&str]| {
        let text: String = addresses.iter().map(|address| listener(address)).collect();
        agent().fine(&text).warnings.len()
    };
    assert_eq!(told(&["127.0.0.1:8100", "127.0.0.1:8101", "[::1]:8100"]), 0);
    assert_eq!(told(&["127.0.0.1:0", "127.0.0.1:0"]), 0);
    assert_eq!(told(&["127.0.0.1:8100", "127.0.0.1:08100"]), 1);
}

#[test]
fn one_slip_is_one_error() {
    for inside in
        ["allow { method = [\"GET\"] }", "allowed_hosts = [\"http://proxy.example.com\"]", "allow {}"]
    {
        let text =
            format!("listener \"tcp\" {{\n address = \"127.0.0.1:1\"\n tls_disable = true\n {inside}\n}}\n");
        let failure = agent().text(text).unwrap_err();
        assert_eq!(failure.render(Color::Plain).matches("error: ").count(), 1, "{inside}");
    }
    let unclear = "listener \"tcp\" {\n address = \"127.0.0.1:1\"\n tls_disable = \"maybe\"\n}\n";
    let failure = agent().text(unclear).unwrap_err();
    assert_eq!(failure.render(Color::Plain).matches("error: ").count(), 1);
}

#[test]
fn an_error_is_drawn_in_its_line() {
    let failure = agent().text(format!("{LISTENER}listener \"http\" {{}}\n")).unwrap_err();
    assert_eq!(
        failure.render(Color::Plain),
        "\
error: unsupported listener type \"http\"
 --> a.hcl:2:1
  |
2 | listener \"http\" {}
  | ^^^^^^^^^^^^^^^
  |
  = hint: the types are \"tcp\" and \"unix\""
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let lines = agent().environment(&[("VAULT_MAX_RETRIES", "many")]).lines(
        r#"
pid_file = true
log_level = "loud"
vault { retry { num_retries = "x" } }
auto_auth {
  method "aprole" {}
  sink "file" { config { mode = "u=rw" } }
}
cache {}
template { foo = 1 contents = "a" destination = "/d" }
api_proxy {}
"#,
    );
    assert_eq!(
        lines,
        [
            "error loading configuration from a.hcl: At 2:12: `pid_file` must be a string, not a bool",
            "error loading configuration from a.hcl: strconv.ParseInt: parsing \"x\": invalid syntax",
            "error creating file sink: 'path' not specified for file sink",
            "error creating file sink: 'mode' strconv.ParseUint: parsing \"u=rw\": invalid syntax",
            "Error creating aprole auth method: unknown auth method \"aprole\"",
            "error loading configuration from a.hcl: error parsing 'template': decoding failed due to the \
             following error(s):\n\n'config.TemplateConfig' has invalid keys: foo",
            "unknown log level: loud",
            "Error fetching client: failed to read environment: strconv.ParseInt: parsing \"many\": invalid \
             syntax",
            "error validating configuration: configuring the api_proxy requires at least 1 listener to be \
             defined",
        ]
    );
}

#[test]
fn a_repeated_key_is_remarked_upon() {
    let loaded = agent().fine(&format!("{AUTH}pid_file = \"/a\"\npid_file = \"/b\"\n"));
    assert_eq!(loaded.settings.pid_file.as_deref(), Some("/b".as_ref()));
    let messages: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(messages, ["`pid_file` is given more than once"]);
}

#[test]
fn what_is_not_built_is_told_with_one_wording() {
    let failure = agent()
        .text(format!(
            "{AUTH}listener \"tcp\" {{\n tls_cert_file = \"c\"\n tls_key_file = \"k\"\n \
             tls_acme_email = \"a@b.c\" }}\n"
        ))
        .unwrap_err();
    let diagnostic = failure.diagnostics().next().unwrap();
    assert_eq!(diagnostic.message, "\"tls_acme_email\" is not built yet in this version of Sidekey");
    assert_eq!(diagnostic.hint.as_deref(), Some("remove it to go on without it"));
    assert_eq!(failure.problems.len(), 1);
}

#[test]
fn no_value_of_the_environment_is_shown() {
    let loading = agent().environment(&[
        ("VAULT_TOKEN", "hvs.very-secret"),
        ("VAULT_CLIENT_KEY_BYTES", "very-secret-key"),
        ("VAULT_HTTP_PROXY", "socks5://user:very-secret@proxy"),
        ("VAULT_MAX_RETRIES", "-1"),
        ("VAULT_ADDR", "ftp://user:very-secret@host"),
        ("AAD", "very-secret"),
    ]);
    let text = "auto_auth {\n method \"approle\" {}\n sink \"file\" { aad_env_var = \"AAD\" }\n}\n";
    let failure = loading.text(text).unwrap_err();
    assert!(failure.problems.len() > 4, "{failure}");
    for shown in [
        failure.to_string(),
        failure.render(Color::Plain),
        format!("{failure:?} {loading_debug:?}", loading_debug = loading.environment),
    ] {
        assert!(!shown.contains("very-secret"), "{shown}");
    }
}

#[test]
fn sinks_and_templates_that_write_one_file_are_named() {
    let sink = |path: &str| format!(" sink \"file\" {{ config = {{ path = \"{path}\" }} }}\n");
    let text = format!(
        "auto_auth {{\n method \"token_file\" {{ config {{ token_file_path = \"/t\" }} }}\n{}{}{}{}}}\n\
         template {{\n contents = \"x\"\n destination = \"/c\"\n}}\n",
        sink("/a"),
        sink("/b"),
        sink("/a"),
        sink("/c"),
    );
    let drawn: Vec<_> =
        agent().fine(&text).warnings.iter().map(|warning| warning.render(Color::Plain)).collect();
    let hint = ": it holds what was written last\n |\n = hint: each replaces what the others wrote; give each a file of its own";
    assert_eq!(
        drawn,
        [
            format!("warning: 2 sinks write to /a{hint}"),
            format!(
                "warning: a template and a sink write to /c{}",
                hint.replacen(" last", " last: number 1 (contents)", 1)
            ),
        ]
    );
}

#[test]
fn templates_that_write_one_file_are_named() {
    let template = |path: &str| format!("template {{\n  contents = \"x\"\n  destination = \"{path}\"\n}}\n");
    let text = [AUTH.to_owned(), template("/a"), template("/b"), template("/a")].concat();
    let loaded = agent().fine(&text);
    let shared: Vec<_> = loaded.settings.templates.iter().map(|template| template.shares_file).collect();
    assert_eq!(shared, [true, false, true]);
    let drawn: Vec<_> = loaded.warnings.iter().map(|warning| warning.render(Color::Plain)).collect();
    assert_eq!(
        drawn,
        [
            "warning: 2 templates have the destination /a: it holds what was written last: number 1 (contents) and number 3 (contents)\n |\n = hint: each replaces what the others wrote; give each a \
          file of its own"
        ]
    );
}

#[test]
fn templates_that_act_on_a_child_need_one() {
    let template = |word: &str| {
        format!("template {{\n contents = \"x\"\n destination = \"/{word}\"\n on_change = {word:?}\n}}\n")
    };
    let text = AUTH.to_owned() + &["restart", "signal", "command", "none"].map(template).concat();
    let told: Vec<_> = agent().fine(&text).warnings.into_iter().map(|warning| warning.message).collect();
    let want = |word: &str| {
        format!("on_change = {word:?} of the template for /{word} has no effect: there is no exec")
    };
    assert_eq!(told, [want("restart"), want("signal")]);
    assert!(agent().fine(&(text + "exec {\n command = [\"app\"]\n}\n")).warnings.is_empty());
}

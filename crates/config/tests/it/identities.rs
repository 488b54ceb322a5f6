//! Several `auto_auth` stanzas, and who chooses which.

use config::{Settings, UseAutoAuthToken};

use crate::agent;

/// An `auto_auth` with a label (or none) and more in it.
fn auto_auth(label: &str, more: &str) -> String {
    format!(
        "auto_auth {label} {{\n method \"token_file\" {{ config {{ token_file_path = \"/t\" }} }}\n {more} }}\n"
    )
}

fn sink(path: &str) -> String {
    format!("sink \"file\" {{ config {{ path = \"{path}\" }} }}")
}

fn listener(more: &str) -> String {
    format!("listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n {more} }}\n")
}

fn template(name: &str, more: &str) -> String {
    format!("template {{\n contents = \"x\"\n destination = \"/{name}\"\n {more} }}\n")
}

const USE: &str = "api_proxy { use_auto_auth_token = true }\n";

fn fine(parts: &[String]) -> Settings {
    agent().fine(&parts.concat()).settings
}

fn names(settings: &Settings) -> Vec<Option<&str>> {
    settings.auto_auths.iter().map(|auto_auth| auto_auth.name.as_deref()).collect()
}

/// What listeners and templates chose.
fn chosen(settings: &Settings) -> (Vec<Option<usize>>, Vec<Option<usize>>) {
    (
        settings.listeners.iter().map(|listener| listener.auto_auth).collect(),
        settings.templates.iter().map(|template| template.auto_auth).collect(),
    )
}

#[test]
fn each_chooses_and_the_one_without_a_name_is_for_the_others() {
    let settings = fine(&[
        auto_auth("\"billing\"", ""),
        auto_auth("", &sink("/s")),
        auto_auth("\"shop\"", &sink("/shop")),
        USE.to_owned(),
        listener("auto_auth = \"billing\""),
        listener(""),
        template("a", "auto_auth = \"shop\""),
        template("b", ""),
    ]);
    assert_eq!(names(&settings), [Some("billing"), None, Some("shop")]);
    assert_eq!(chosen(&settings), (vec![Some(0), Some(1)], vec![Some(2), Some(1)]));
}

#[test]
fn one_stanza_is_everybodys_whatever_its_label() {
    for label in ["", "\"billing\"", "\"\""] {
        let settings = fine(&[auto_auth(label, ""), USE.to_owned(), listener(""), template("a", "")]);
        assert_eq!(chosen(&settings), (vec![Some(0)], vec![Some(0)]), "{label}");
    }
}

#[test]
fn the_proxys_choice_is_for_listeners_that_make_none() {
    let settings = fine(&[
        auto_auth("\"a\"", &sink("/a")),
        auto_auth("\"b\"", &sink("/b")),
        "api_proxy {\n use_auto_auth_token = \"force\"\n auto_auth = \"b\" }\n".to_owned(),
        listener(""),
        listener("auto_auth = \"a\""),
    ]);
    assert_eq!(settings.api_proxy.use_auto_auth_token, UseAutoAuthToken::Force);
    assert_eq!(chosen(&settings).0, [Some(1), Some(0)]);
}

#[test]
fn a_listener_that_uses_no_token_need_not_choose() {
    let two = [auto_auth("\"a\"", &sink("/a")), auto_auth("\"b\"", &sink("/b")), listener("")];
    assert_eq!(chosen(&fine(&two)).0, [None]);
}

#[test]
fn json_writes_names_as_a_level() {
    let settings = agent()
        .fine(
            r#"{"auto_auth": {
                "a": {"method": {"token_file": {"config": {"token_file_path": "/t"}}}, "sink": {"file": {"config": {"path": "/a"}}}},
                "b": {"method": {"token_file": {"config": {"token_file_path": "/t"}}}, "sink": {"file": {"config": {"path": "/b"}}}}
            }}"#,
        )
        .settings;
    assert_eq!(names(&settings), [Some("a"), Some("b")]);
}

#[test]
fn in_several_files_one_name_is_one_stanza() {
    let (first, second) = (
        [auto_auth("\"a\"", &sink("/a")), auto_auth("", &sink("/s"))].concat(),
        [auto_auth("\"b\"", &sink("/b")), auto_auth("", &sink("/other"))].concat(),
    );
    let loaded = agent().loader().load_texts([("a.hcl", first), ("b.hcl", second)]).unwrap();
    assert_eq!(names(&loaded.settings), [Some("a"), None, Some("b")]);
    let config::SinkKind::File(file) = &loaded.settings.auto_auths[1].sinks[0].kind else { panic!() };
    assert_eq!(file.path.to_str(), Some("/other"));
}

#[test]
fn namespaces_are_each_ones_own() {
    let with = |label: &str, namespace: &str| {
        let keys = if namespace.is_empty() { String::new() } else { format!("namespace = \"{namespace}\"") };
        format!(
            "auto_auth {label} {{\n method \"token_file\" {{\n {keys}\n config {{ token_file_path = \"/t\" }} }}\n {} }}\n",
            sink(&format!("/s{}", label.trim_matches('"')))
        )
    };
    let text =
        [with("", "one"), with("\"a\"", "two"), with("\"b\"", ""), "vault { namespace = \"all\" }\n".into()];
    let namespaces = |environment: &[(&str, &str)]| -> Vec<String> {
        let settings = agent().environment(environment).fine(&text.concat()).settings;
        settings.auto_auths.iter().map(|own| own.namespace.as_ref().unwrap().as_str().to_owned()).collect()
    };
    assert_eq!(namespaces(&[]), ["one/", "two/", "all/"]);
    // The environment stands above the method's namespace upstream; a name means what it says.
    assert_eq!(namespaces(&[("VAULT_NAMESPACE", "env")]), ["env/", "two/", "env/"]);
}

#[test]
fn what_does_not_fit_is_told_at_its_place() {
    let (a, b) = (auto_auth("\"apps\"", &sink("/a")), auto_auth("\"jobs\"", &sink("/b")));
    let nobody = "there are several auto_auth blocks, and this template names none of them";
    for (parts, told, hint) in [
        (
            vec![a.clone(), a.clone()],
            "two \"auto_auth\" blocks have the name \"apps\"",
            "the first one is in line 1",
        ),
        (
            vec![auto_auth("", &sink("/a")), auto_auth("", "")],
            "at most one \"auto_auth\" block is allowed",
            "the first one is in line 1",
        ),
        (
            vec![a.clone(), b.clone(), template("t", "auto_auth = \"app\"")],
            "no auto_auth is named \"app\"",
            "did you mean \"apps\"?",
        ),
        (vec![a.clone(), b.clone(), template("t", "")], nobody, "the names are apps, jobs"),
        (
            vec![a.clone(), b.clone(), USE.to_owned(), listener("")],
            "there are several auto_auth blocks, and this listener names none of them",
            "the names are apps, jobs",
        ),
        (
            vec![a.clone(), listener("auto_auth = \"apps\"")],
            "our token is used by no listener, so \"apps\" has no effect",
            "use_auto_auth_token = true",
        ),
        (
            vec![a.clone(), auto_auth("\"jobs\"", &sink("/a"))],
            "auto_auth \"jobs\" writes to /a, and so does auto_auth \"apps\"",
            "give each a file of its own",
        ),
        (
            vec![a.clone(), auto_auth("\"jobs\"", "")],
            "auto_auth requires at least one sink or at least one template",
            "",
        ),
        (vec![auto_auth("\"a\" \"b\"", &sink("/a"))], "an auto_auth has one name", "auto_auth \"name\""),
        (
            vec![auto_auth("\"a\\nb\"", &sink("/a"))],
            "this cannot be the name of an auto_auth",
            "control characters",
        ),
    ] {
        let failure = agent().text(parts.concat()).expect_err(told);
        let text = failure.render(hcl1::Color::Plain);
        assert!(text.contains(told) && text.contains(hint), "{told}\n---\n{text}");
        assert_eq!(failure.problems.len(), 1, "{text}");
    }
}

//! Fixtures, and every example of a function with a context.

use super::*;
use crate::runner::tests::template;

/// What the examples in the functions' tables stand on.
const EXAMPLES: &str = r#"{
    "secrets": {"secret/app": {"data": {"data": {"password": "hunter2"}}}},
    "lists": {"secret/": ["db/", "app"]},
    "certificates": {"pki/issue/web": {"Key": "-----BEGIN PRIVATE KEY-----\n"}},
    "files": {"/etc/app/motd": "welcome\n"},
    "env": {"STAGE": "test"},
    "plugins": {"host-role web": "frontend"},
    "sockaddr": {"GetInterfaceIP \"eth0\"": "10.0.0.5", "GetAllInterfaces | include \"name\" \"^no such$\" | join \"address\" \" \"": ""},
    "now": "2026-02-03T04:05:06Z"
}"#;

fn render(text: &str, profile: Profile, fixtures: &str) -> Rendered {
    let settings = template("/out".into(), text);
    render_with(text.as_bytes(), &settings, profile, &Fixtures::parse(fixtures.as_bytes()).unwrap())
}

fn text(text: &str, fixtures: &str) -> String {
    match render(text, Profile::OpenBao, fixtures).outcome {
        Ok(text) => String::from_utf8(text).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_function_has_an_example_that_renders_as_told() {
    let mut failures = Vec::new();
    for profile in [Profile::OpenBao, Profile::Vault] {
        let catalogue = crate::catalogue(profile);
        let functions = crate::functions::table(profile_of(profile));
        for crate::Listed { name, signature, example, output, .. } in &catalogue {
            if !example.contains(name) || !signature.starts_with(name) {
                failures.push(format!("{name}: its example or signature is another's"));
            }
            match render(example, profile, EXAMPLES).outcome {
                Ok(text) if text == output.as_bytes() => {}
                other => failures.push(format!("{name}: {example} is {other:?}")),
            }
        }
        let told: Vec<&str> = catalogue.iter().map(|listed| listed.name).collect();
        let hidden =
            |name: &&str| !told.contains(name) && crate::functions::hint(name, profile_of(profile)).is_none();
        failures.extend(functions.names().filter(hidden).map(|name| format!("{name}: no help")));
        failures
            .extend(told.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("{pair:?} twice")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn fixtures_stand_for_everything() {
    let rendered = render(
        r#"{{ with secret "secret/data/app" }}{{ .Data.data.password }}{{ end }}{{ "x" | writeToFile "/a" "" "" "600" }}"#,
        Profile::Vault,
        EXAMPLES,
    );
    assert_eq!(rendered.outcome.unwrap(), b"hunter2");
    assert_eq!((rendered.writes[0].path.to_str().unwrap(), rendered.writes[0].append), ("/a", false));
    assert_eq!(rendered.needed, ["vault.read(secret/data/app)"]);
    let versions = r#"{"secrets": {"kv/a?version=2": {"data": {"v": 2}}, "kv/a": {"data": {"v": 3}}}}"#;
    let read =
        |path: &str| text(&format!("{{{{ with secret {path:?} }}}}{{{{ .Data.v }}}}{{{{ end }}}}"), versions);
    assert_eq!(
        (read("kv/a?version=2"), read("kv/a"), read("/kv/a/?version=9")),
        ("2".into(), "3".into(), "3".into())
    );
    // One secret names another.
    let chain = r#"{"secrets": {"kv/a": {"data": {"next": "kv/b"}}, "kv/b": {"data": {"v": "end"}}}}"#;
    let nested = r#"{{ with secret "kv/a" }}{{ with secret .Data.next }}{{ .Data.v }}{{ end }}{{ end }}"#;
    assert_eq!(text(nested, chain), "end");
}

#[test]
fn what_fixtures_lack_is_named() {
    let lacks = |template: &str| text(template, EXAMPLES);
    assert_eq!(
        lacks(r#"{{ secret "secret/none" }}"#),
        r#"the fixtures have no secret "secret/none"; they have "secret/app""#
    );
    assert_eq!(
        text(r#"{{ file "/x" }}"#, "{}"),
        r#"the fixtures have no file "/x"; they have no file at all"#
    );
    assert!(lacks(r#"{{ plugin "rm" "-rf" }}"#).ends_with(r#"the fixtures have no plugin "rm -rf""#));
    // Nor is this machine asked for its addresses.
    assert!(
        lacks(r#"{{ sockaddr "GetPrivateIP" }}"#)
            .ends_with(r#"the fixtures have no sockaddr "GetPrivateIP""#)
    );
    assert_eq!(text(r#"{{ sockaddr "GetInterfaceIP" "\"eth0\"" }}"#, EXAMPLES), "10.0.0.5");
    assert!(matches!(Fixtures::parse(b"{\"secret\": {}}"), Err(crate::FixturesError::Json(_))));
    assert!(matches!(Fixtures::parse(b"{\"now\": \"noon\"}"), Err(crate::FixturesError::Now(_))));
}

#[test]
fn errors_have_their_place() {
    let Err(RenderError::Parse(error)) = render("a\n{{ key \"x\" }}", Profile::OpenBao, "{}").outcome else {
        panic!()
    };
    assert_eq!((error.line, error.span.clone()), (2, 5..8));
    assert_eq!(
        error.message,
        "function \"key\" not defined (Consul functions are not available in the agent)"
    );
    let other = render("{{ sprig_env \"x\" }}", Profile::Vault, "{}").outcome.unwrap_err().to_string();
    assert!(other.ends_with("(it is there with template_config.profile = \"openbao\")"), "{other}");
    let Err(RenderError::Exec(error)) = render(
        "{{ with secret \"secret/app\" }}{{ executeTemplate .Data.data.password }}{{ end }}",
        Profile::Vault,
        EXAMPLES,
    )
    .outcome
    else {
        panic!()
    };
    assert_eq!(error.line, 1);
    // What is made up is no secret, and who tries a template out wants to see it.
    assert!(error.message.ends_with("no template \"hunter2\" associated with template \"\""), "{error}");
}

#[test]
fn a_misspelt_field_of_a_secret_is_told() {
    for (fixtures, want) in [
        (
            r#"{"secrets": {"kv/a": {"dta": {"v": 1}}}}"#,
            r#"the secret "kv/a" has no field "dta"; there are: request_id, lease_id"#,
        ),
        (
            r#"{"secrets": {"kv/a": {"auth": {"token": "x"}}}}"#,
            r#"`auth` of the secret "kv/a" has no field "token"; there are: client_token"#,
        ),
        (
            r#"{"secrets": {"kv/a": {"wrap_info": {"Token": "x"}}}}"#,
            r#"has no field "Token"; there are: token"#,
        ),
        (r#"{"secrets": {"kv/a": {"lease_duration": "x"}}}"#, r#"the secret "kv/a": invalid type"#),
    ] {
        let error = Fixtures::parse(fixtures.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let whole =
        r#"{"secrets": {"kv/a": {"data": {"n": 1.50}, "lease_id": "", "warnings": null, "auth": null}}}"#;
    assert_eq!(text(r#"{{ with secret "kv/a" }}{{ .Data.n }}{{ end }}"#, whole), "1.50");
}

#[test]
fn the_time_of_fixtures_is_every_functions() {
    let now = r#"{"now": "2001-02-03T04:05:06Z"}"#;
    for (template, want) in [
        (r#"{{ timestamp }}"#, "2001-02-03T04:05:06Z"),
        (r#"{{ sprig_now.UTC.Format "2006-01-02T15:04:05" }}"#, "2001-02-03T04:05:06"),
        (r#"{{ sprig_ago (sprig_now.Add -90000000000) }}"#, "1m30s"),
        (r#"{{ sprig_dateInZone "2006" "no time" "UTC" }}"#, "2001"),
        (r#"{{ sprig_htmlDateInZone nil "UTC" }}"#, "2001-02-03"),
    ] {
        assert_eq!(text(template, now), want, "{template}");
    }
}

#[test]
fn what_is_printed_is_handed_on_once_when_nothing_is_missing() {
    let secret = r#"{"secrets": {"kv/a": {"data": {"v": "x"}}}}"#;
    for end in ["", "{{ sprig_fail .Data.v }}"] {
        let template = format!(
            r#"{{{{ spew_dump 1 }}}}{{{{ with secret "kv/a" }}}}{{{{ spew_printf "%v" .Data.v }}}}{end}{{{{ end }}}}"#
        );
        let rendered = render(&template, Profile::OpenBao, secret);
        assert_eq!(rendered.printed, b"(int) 1\nx", "{template}");
        assert_eq!(rendered.outcome.is_ok(), end.is_empty());
    }
}

//! Templates with given secrets, no server.

use serde_json::json;
use std::time::Duration;

use super::*;

fn settings() -> config::Template {
    config::Template {
        contents: config::Contents::Inline(Vec::new()),
        destination: "/nonexistent".into(),
        perms: None,
        owner: None,
        group: None,
        create_dest_dirs: true,
        backup: false,
        command: Some(config::Command { arguments: vec!["true".into()], timeout: Duration::from_secs(30) }),
        left_delimiter: "{{".into(),
        right_delimiter: "}}".into(),
        error_on_missing_key: false,
        error_fatal: true,
        sandbox_path: None,
        function_denylist: Vec::new(),
    }
}

fn evaluate(text: &str, settings: &config::Template) -> Evaluated {
    let secret = |answer: serde_json::Value| {
        Known::Secret(vault::Secret::parse(answer.to_string().as_bytes()).unwrap().map(Arc::new))
    };
    let read = |path: &str| Dependency::Read { path: path.into(), query: String::new() };
    let known = HashMap::from([
        (
            read("secret/app"),
            secret(
                json!({"data": {"data": {"b": "two", "a": "one", "n": 3600}, "metadata": {"version": 1}}}),
            ),
        ),
        (
            read("db/creds/x"),
            secret(
                json!({"lease_id": "db/creds/x/1", "lease_duration": 60, "renewable": true, "data": {"password": "p<w&"}}),
            ),
        ),
    ]);
    let environment = HashMap::from([
        ("HOME".to_owned(), "/home/app".to_owned()),
        ("VAULT_ADDR".to_owned(), "http://v".to_owned()),
    ]);
    Parsed::new(text.as_bytes(), settings).unwrap().evaluate(&Arc::new(known), &Arc::new(environment))
}

fn text(template: &str) -> String {
    match evaluate(template, &settings()).text {
        Ok(text) => String::from_utf8(text).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_function_of_the_first_set() {
    for (template, want) in [
        (r#"{{with secret "secret/app"}}{{.Data.data.a}} {{.Data.metadata.version}}{{end}}"#, "one 1"),
        (
            r#"{{with secret "secret/app"}}{{range $k, $v := .Data.data}}{{$k}}={{$v}};{{end}}{{end}}"#,
            "a=one;b=two;n=3600;",
        ),
        (
            r#"{{with secret "secret/app"}}{{.Data.data | toJSON}}{{end}}"#,
            r#"{"a":"one","b":"two","n":3600}"#,
        ),
        (
            r#"{{with secret "db/creds/x"}}{{.LeaseID}} {{.LeaseDuration}} {{.Renewable}} {{.Data.password | toJSON}}{{end}}"#,
            "db/creds/x/1 60 true \"p\\u003cw\\u0026\"",
        ),
        (r#"{{with secret "db/creds/x"}}{{.Auth}}{{.WrapInfo}}{{end}}"#, "<nil><nil>"),
        (r#"{{env "HOME"}}|{{env "NONE"}}|{{env "BAO_ADDR"}}"#, "/home/app||http://v"),
        (r#"{{"a b" | base64Encode}} {{base64Decode "YSBi"}}"#, "YSBi a b"),
        (
            r#"{{range split "," " a,b,,c "}}[{{.}}]{{end}}{{split "" "xy"}}{{split "," ""}}"#,
            "[a][b][][c][x y][]",
        ),
        (r#"{{"a,b" | split "," | join "-"}}"#, "a-b"),
        (r#"{{toUpper "aß"}}{{toLower "ÀB"}}[{{trimSpace " x\n"}}]"#, "Aßàb[x]"),
        (r#"{{len (timestamp)}} {{timestamp "2006" | len}} {{timestamp "no time"}}"#, "20 4 no time"),
        (r#"{{secret}}|{{with secret "secret/app"}}{{.Data.data.none}}{{end}}"#, "<no value>|<no value>"),
    ] {
        assert_eq!(text(template), want, "{template}");
    }
}

#[test]
fn errors_are_gos() {
    for (template, want) in [
        (
            r#"{{base64Decode "!"}}"#,
            r#"error calling base64Decode: base64Decode: illegal base64 data at input byte 0"#,
        ),
        (r#"{{secret "a" "x"}}"#, r#"error calling secret: not k=v pair "x""#),
        (r#"{{join "," "a"}}"#, "can't handle \"a\" for arg of type []string"),
        (r#"{{timestamp "a" "b"}}"#, "timestamp: wrong number of arguments, expected 0 or 1, but got 2"),
    ] {
        assert!(text(template).contains(want), "{template}: {}", text(template));
    }
    let unknown = Parsed::new(b"{{ key \"x\" }}", &settings()).err().unwrap();
    assert_eq!(unknown.to_string(), "template: :1: function \"key\" not defined");
}

#[test]
fn what_is_missing_is_told_all_at_once() {
    let found = evaluate(
        r#"{{with secret "x"}}{{.Data}}{{end}}{{with secret "y"}}{{end}}{{file "/z"}}"#,
        &settings(),
    );
    assert_eq!(found.missing.len(), 3);
    assert_eq!(found.needed.len(), 3);
}

#[test]
fn missing_keys_fail_where_it_is_asked_for() {
    let strict = config::Template { error_on_missing_key: true, ..settings() };
    let error =
        evaluate(r#"{{with secret "secret/app"}}{{.Data.data.none}}{{end}}"#, &strict).text.unwrap_err();
    assert!(error.to_string().contains("map has no entry for key \"none\""), "{error}");
}

#[test]
fn denied_functions_parse_and_fail() {
    let strict = config::Template { function_denylist: vec!["env".into()], ..settings() };
    let error = evaluate(r#"{{env "HOME"}}"#, &strict).text.unwrap_err();
    assert!(error.to_string().contains("error calling env: function is disabled"), "{error}");
}

#[test]
fn files_stay_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let strict = config::Template { sandbox_path: Some(folder.path().into()), ..settings() };
    let error = evaluate(r#"{{file "/etc/passwd"}}"#, &strict).text.unwrap_err();
    assert!(error.to_string().contains("'/etc/passwd' is outside of sandbox"), "{error}");
}

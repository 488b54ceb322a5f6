//! Templates with given secrets, no server.

use serde_json::json;

use super::*;
use crate::world::Programs;

fn settings() -> config::Template {
    crate::runner::tests::template("/nonexistent".into(), "")
}

fn world(profile: Profile) -> World {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    World {
        profile,
        environment: pairs(&[("HOME", "/home/app"), ("VAULT_FOO", "vf"), ("EMPTY", ""), ("TZ", "UTC")]),
        overrides: pairs(&[("BAO_ADDR", "http://v")]),
        now: None,
        addresses: None,
        programs: Programs::Real(Arc::default()),
        prints: crate::world::Prints::HandsOn,
        has_files: true,
    }
}

fn parsed(text: &str, settings: &config::Template, profile: Profile) -> Result<Parsed, ParseError> {
    Parsed::new(text.as_bytes(), settings, profile, &Arc::new(functions::table(profile)))
}

fn known() -> Knowledge {
    let secret = |answer: serde_json::Value| {
        Known::Secret(vault::Secret::parse(answer.to_string().as_bytes()).unwrap().map(Arc::new))
    };
    let read = |path: &str| Dependency::Read { path: path.into(), query: String::new() };
    HashMap::from([
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
        (
            read("kv/app"),
            secret(
                json!({"request_id": "r1", "lease_duration": 2_764_800, "data": {"n": 5, "nul": null, "password": "p1"}}),
            ),
        ),
        (
            read("wrap"),
            secret(
                json!({"wrap_info": {"token": "s.w", "ttl": 300, "creation_time": "2026-11-22T03:13:45.080596Z"}}),
            ),
        ),
        (
            read("auth"),
            secret(
                json!({"data": {}, "auth": {"client_token": "s.x", "policies": ["root"], "lease_duration": 3600, "renewable": true}}),
            ),
        ),
        (
            Dependency::List { path: "secret".into() },
            Known::List(Some(Arc::new(vec!["a".into(), "b/".into()]))),
        ),
        (Dependency::List { path: "none".into() }, Known::List(None)),
        (
            Dependency::Certificate {
                path: "pki/issue/web".into(),
                data: [("common_name".to_owned(), "a".to_owned())].into(),
                destination: Some("/nonexistent".into()),
            },
            Known::Certificate(Arc::new(Certificate {
                cert: "CERT\n".into(),
                key: "KEY\n".into(),
                ca: "CA\n".into(),
                chain: vec!["CA\n".into()],
                valid: None,
            })),
        ),
    ])
}

fn evaluate_as(text: &str, settings: &config::Template, profile: Profile) -> Evaluated {
    parsed(text, settings, profile).unwrap().evaluate(&Arc::new(known()), &Arc::new(world(profile)))
}

fn evaluate(text: &str, settings: &config::Template) -> Evaluated {
    evaluate_as(text, settings, Profile::OpenBao)
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

fn refused(template: &str, settings: &config::Template) -> String {
    evaluate(template, settings).text.unwrap_err().to_string()
}

#[test]
fn denied_functions_parse_and_fail() {
    let deny = |names: &[&str]| config::Template {
        function_denylist: names.iter().map(|name| (*name).to_owned()).collect(),
        ..settings()
    };
    let env = deny(&["env"]);
    assert!(refused(r#"{{env "HOME"}}"#, &env).ends_with("error calling env: function is disabled"));
    assert_eq!(evaluate(r#"{{mustEnv "HOME"}}"#, &env).text.unwrap(), b"/home/app");
    let all = deny(&["sprig_*", "*Env", "nothing"]);
    for call in [r#"sprig_env "HOME""#, r#"mustEnv "HOME""#] {
        assert!(refused(&format!("{{{{ {call} }}}}"), &all).ends_with("function is disabled"), "{call}");
    }
    // As upstream, whose stand-in takes texts.
    assert!(refused("{{ timestamp 1 }}", &deny(&["timestamp"])).ends_with("expected string; found 1"));
    assert_eq!(evaluate("{{ print 1 }}", &deny(&["*"])).text.unwrap(), b"1", "Go's own stay");
}

#[test]
fn files_stay_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let strict = config::Template { sandbox_path: Some(folder.path().into()), ..settings() };
    let error = refused(r#"{{file "/etc/passwd"}}"#, &strict);
    assert!(error.contains("error calling file: '/etc/passwd' is outside of sandbox"), "{error}");
    let error = refused(r#"{{file "/nonexistent/x"}}"#, &strict);
    assert!(error.ends_with("lstat /nonexistent/x: no such file or directory"), "{error}");
    let error = refused(r#"{{"x" | writeToFile "/etc/x/y" "" "" "600"}}"#, &strict);
    assert!(error.ends_with("error calling writeToFile: '/etc/x/y' is outside of sandbox"), "{error}");
    let inside = folder.path().join("x");
    atomic_file::write(&inside, b"", &atomic_file::Attributes::new(0o600)).unwrap();
    let found = evaluate(&format!("{{{{ file {inside:?} }}}}"), &strict);
    // Relative and absolute are not compared.
    let error = refused(r#"{{file "./src/../src"}}"#, &strict);
    assert!(
        error.ends_with(&format!(
            "error calling file: Rel: can't make src relative to {}",
            folder.path().display()
        )),
        "{error}"
    );
    let relative = config::Template { sandbox_path: Some("src".into()), ..settings() };
    let error = refused(&format!("{{{{ file {inside:?} }}}}"), &relative);
    assert!(error.ends_with(&format!("Rel: can't make {} relative to src", inside.display())), "{error}");
    assert!(evaluate(r#"{{ file "src/lib.rs" }}"#, &relative).text.is_ok());
    let sandbox = Some(folder.path().to_owned());
    assert_eq!(found.missing.into_iter().collect::<Vec<_>>(), [Dependency::File { path: inside, sandbox }]);
}

#[test]
fn secrets_have_gos_types() {
    for (template, want) in [
        (
            r#"{{with secret "kv/app"}}{{.}}|{{toJSON .}}{{end}}"#,
            concat!(
                "{r1  2764800 false map[n:5 nul:<nil> password:p1] [] <nil> <nil>}|",
                r#"{"RequestID":"r1","LeaseID":"","LeaseDuration":2764800,"Renewable":false,"Data":{"n":5,"nul":null,"password":"p1"},"Warnings":null,"Auth":null,"WrapInfo":null}"#
            ),
        ),
        (
            r#"{{with secret "auth"}}{{.Auth.Policies}} {{.Auth.Metadata}} {{.Auth.LeaseDuration}} {{.Auth.Renewable}} {{printf "%T %T" .Auth.Metadata .Auth.Policies}} {{.Data}}{{toJSON .Data}}{{end}}"#,
            "[root] map[] 3600 true map[string]string []string map[]null",
        ),
        (
            r#"{{secrets ""}}{{secrets "" | toJSON}}{{secrets "none" | toJSON}}{{secrets "/secret/"}}"#,
            "[]nullnull[a b/]",
        ),
        (r#"{{range secrets "secret"}}<{{.}}>{{end}}{{printf "%T" (secrets "secret")}}"#, "<a><b/>[]string"),
        (r#"{{pkiCert}}"#, "<no value>"),
        (r#"{{with secret "wrap"}}{{.WrapInfo}}{{end}}"#, "{s.w 300 2026-11-22 03:13:45.080596 +0000 UTC }"),
        (
            r#"{{with secret "wrap"}}{{with .WrapInfo.CreationTime}}{{.Year}} {{.Format "15:04"}}{{end}}{{end}}"#,
            "2026 03:13",
        ),
    ] {
        assert_eq!(text(template), want, "{template}");
    }
}

#[test]
fn certificates_look_like_a_secret_too() {
    let call = r#"{{ with pkiCert "pki/issue/web" "common_name=a" }}"#;
    let print = |body: &str, profile| {
        let text = evaluate_as(&format!("{call}{body}{{{{ end }}}}"), &settings(), profile).text;
        text.map_or_else(|error| error.message, |text| String::from_utf8(text).unwrap())
    };
    for (body, want) in [
        ("{{ .Cert }}{{ .Data.Key }}{{ .Data.Data.CA }}", "CERT\nKEY\nCA\n"),
        (r#"{{ printf "%T" . }}{{ .CAChain }}"#, "dependency.PemEncoded[CA\n]"),
        ("{{ . }}", "{CERT\n KEY\n CA\n}"),
        ("{{ .Nope }}", "can't evaluate field Nope in type dependency.PemEncoded"),
    ] {
        assert_eq!(print(body, Profile::OpenBao), want, "{body}");
    }
    assert_eq!(print("{{ . }}", Profile::Vault), "{CERT\n KEY\n CA\n [CA\n]}");
}

/// Recorded from the agent of OpenBao 2.7.
#[test]
fn what_the_agent_makes_of_its_own_functions() {
    for (template, want) in [
        (r#"{{ secret "/" }}"#, r#"error calling secret: vault.read: invalid format: """#),
        (r#"{{ secret "a%zz" }}"#, r#"error calling secret: parse "a%zz": invalid URL escape "%zz""#),
        (r#"{{ secrets " " }}"#, r#"error calling secrets: vault.list: invalid format: """#),
        (r#"{{ pkiCert "a" "b" }}"#, r#"error calling pkiCert: not k=v pair "b""#),
        (r#"{{ pkiCert "/" }}"#, r#"error calling pkiCert: vault.read: invalid format: """#),
        (r#"{{ mustEnv "X" }}"#, "error calling mustEnv: required environment variable X is empty"),
        (
            r#"{{ mustEnv "BAO_FOO" }}"#,
            "error calling mustEnv: required environment variable BAO_FOO is empty",
        ),
        (r#"{{ mustEnv "HOME" }}{{ mustEnv "BAO_ADDR" }}"#, "/home/apphttp://v"),
        (
            r#"{{ envOrDefault "X" "d" }}{{ envOrDefault "EMPTY" "d" }}|{{ envOrDefault "BAO_FOO" "d" }}"#,
            "d|vf",
        ),
        (r#"{{ envOrDefault "X" }}"#, "wrong number of args for envOrDefault: want 2 got 1"),
        (
            r#"{{ env "HOME" }}|{{ env "NONE" }}|{{ env "BAO_ADDR" }}|{{ env "BAO_FOO" }}"#,
            "/home/app||http://v|vf",
        ),
        (r#"{{ sprig_env "HOME" }}|{{ sprig_env "BAO_ADDR" }}|{{ sprig_env "BAO_FOO" }}"#, "/home/app||"),
        (r#"{{ sprig_expandenv "$NOPE-${TZ}-$TZ-$$-${}-${TZ-$TZx ${TZ} $1 $* $" }}"#, "-UTC-UTC---   $"),
        (
            r#"{{ sprig_expandenv "a$TZ.b" }}{{ sprig_expandenv "${" }}{{ sprig_expandenv "${TZ" }}"#,
            "aUTC.bTZ",
        ),
        (r#"{{ sprig_expandenv "x$-y$_z" }}"#, "xy"),
        (r#"{{ sprig_getHostByName "127.0.0.1" }}"#, "127.0.0.1"),
        (r#"{{ sprig_getHostByName "" }}"#, "error calling sprig_getHostByName: invalid argument to Intn"),
        (r#"{{ plugin "" }}{{ plugin "" "a" }}"#, ""),
        (r#"{{ file "" }}"#, ""),
        (r#"{{ writeToFile "/p/x" "" "" "8" "c" }}"#, r#"strconv.ParseUint: parsing "8": invalid syntax"#),
        (r#"{{ writeToFile "/p/x" "" "" "" "c" }}"#, r#"strconv.ParseUint: parsing "": invalid syntax"#),
        (r#"{{ writeToFile "/p/x" "" "" "-1" "c" }}"#, r#"strconv.ParseUint: parsing "-1": invalid syntax"#),
        (
            r#"{{ writeToFile "/p/x" "" "" "77777777777777" "c" }}"#,
            r#"strconv.ParseUint: parsing "77777777777777": value out of range"#,
        ),
        (r#"{{ writeToFile "/p/x" "nouser" "" "600" "c" }}"#, "user: unknown user nouser"),
        (r#"{{ writeToFile "/p/x" "" "nogroupx" "600" "c" }}"#, "group: unknown group nogroupx"),
        (r#"{{ writeToFile "/p/x" "" "" "600" }}"#, "runtime error: index out of range [-1]"),
        (r#"{{ executeTemplate "x" }}"#, r#"template: no template "x" associated with template """#),
        (
            r#"{{ executeTemplate "x" 1 2 }}"#,
            "executeTemplate: wrong number of arguments, expected 1 or 2, but got 3",
        ),
        (
            r#"{{ define "a" }}[{{ . }}]{{ end }}{{ executeTemplate "a" 1 }}{{ executeTemplate "a" }}"#,
            "[1][<no value>]",
        ),
        (
            r#"{{ define "a" }}{{ .x.y }}{{ end }}{{ executeTemplate "a" 1 }}"#,
            r#"error calling executeTemplate: template: :1:21: executing "a" at <.x.y>: can't evaluate field x in type int"#,
        ),
        (
            r#"{{ scratch.Key "a" }}{{ scratch.Set "a" 1 }}{{ scratch.Key "a" }}{{ scratch.Get "a" }}"#,
            "falsetrue1",
        ),
        (r#"{{ scratch.SetX "a" 1 }}{{ scratch.SetX "a" 2 }}{{ scratch.Get "a" }}"#, "1"),
        (r#"{{ scratch.Get "none" }}{{ scratch.Get "none" | printf "%v" }}"#, "<no value><nil>"),
        (r#"{{ (scratch.Get "none").x }}"#, "<no value>"),
        (
            r#"{{ scratch.Set "a" 1 }}{{ scratch.MapSet "a" "k" 1 }}"#,
            r#"error calling MapSet: "a" is not a map"#,
        ),
        (
            r#"{{ scratch.MapSet "m" "b" 1 }}{{ scratch.MapSet "m" "a" 2 }}{{ scratch.MapSetX "m" "a" 3 }}{{ scratch.MapValues "m" }}{{ scratch.Get "m" }}"#,
            "[2 1]map[a:2 b:1]",
        ),
        (
            r#"{{ scratch.MapValues "none" }}{{ scratch.MapValues "none" | toJSON }}{{ scratch.MapValues "none" | len }}"#,
            "[]null0",
        ),
        (r#"{{ scratch.Set "a" }}"#, "wrong number of args for Set: want 2 got 1"),
        (r#"{{ scratch.Set 1 2 }}"#, "expected string; found 1"),
        (r#"{{ scratch.Nope }}"#, "can't evaluate field Nope in type *template.Scratch"),
        (r#"{{ scratch.Set "a" nil }}{{ scratch.Key "a" }}{{ scratch.Get "a" }}"#, "true<no value>"),
        (
            r#"{{ printf "%T" scratch }}{{ if scratch }}y{{ end }}{{ eq scratch scratch }}"#,
            "*template.Scratchytrue",
        ),
        (
            r#"{{ define "t" }}{{ scratch.Get "a" }}{{ end }}{{ scratch.Set "a" 5 }}{{ template "t" }}{{ executeTemplate "t" }}"#,
            "55",
        ),
        (r#"{{ 3 | scratch.Set "p" }}{{ scratch.Get "p" }}"#, "3"),
    ] {
        let found = text(template);
        assert!(found == want || found.ends_with(want), "{template}: {found}");
    }
}

#[test]
fn consuls_functions_are_vaults_and_fail() {
    let unknown = parsed("{{ key \"x\" }}", &settings(), Profile::OpenBao).err().unwrap();
    let want = "template: :1: function \"key\" not defined (Consul functions are not available in the agent)";
    assert_eq!(unknown.to_string(), want);
    let failed = evaluate_as("{{ range nomadServices }}{{ end }}", &settings(), Profile::Vault);
    assert!(failed.missing.is_empty());
    let error = failed.text.unwrap_err().to_string();
    assert!(error.ends_with("error calling nomadServices: Nomad functions are not available in the agent"));
    // What the other agent's templates may call is hinted at.
    let other = parsed("{{ sprig_env \"x\" }}", &settings(), Profile::Vault).err().unwrap().to_string();
    assert!(other.contains("profile = \"openbao\""), "{other}");
    assert_eq!(
        evaluate_as(r#"{{ env "BAO_FOO" }}|{{ env "VAULT_FOO" }}"#, &settings(), Profile::Vault)
            .text
            .unwrap(),
        b"|vf"
    );
}

#[test]
fn writes_are_noted_and_nothing_is_written() {
    let found = evaluate(
        r#"{{ "a" | writeToFile "/p/x" "" "" "0644" "append,newline" }}{{ "" | writeToFile "/p/y" "" "" "600" }}{{ "" | writeToFile "/p/z" "0" "" "600" "allow_empty" }}{{ writeToFile "/p/w" "" "" "600" "append" "b" "c" }}"#,
        &settings(),
    );
    assert_eq!(found.text.unwrap(), b"");
    let [x, y, z, w] = found.writes.as_slice() else { panic!() };
    assert!(y.keep_filled && y.content.is_empty() && !z.keep_filled && !x.keep_filled);
    assert_eq!((x.content.as_slice(), x.append, x.create), (&b"a\n"[..], true, false));
    assert_eq!((z.path.to_str(), z.content.is_empty(), z.attributes.owner), (Some("/p/z"), true, Some(0)));
    assert!(z.attributes.group.is_some() && z.create);
    assert_eq!((w.content.as_slice(), w.append), (&b"c"[..], false), "three texts: no flags");
}

/// Memory of this process in KiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_holds_itself_is_freed_with_the_evaluation() {
    for template in [
        r#"{{ $m := sprig_dict "a" (sprig_repeat 1000000 "x") }}{{ $_ := sprig_set $m "m" $m }}"#,
        r#"{{ $m := sprig_dict "a" (sprig_repeat 1000000 "x") }}{{ $_ := sprig_set $m "l" (sprig_list (sprig_dict "m" $m)) }}"#,
        r#"{{ scratch.Set "a" (sprig_repeat 1000000 "x") }}{{ scratch.Set "b" scratch }}"#,
        r#"{{ scratch.MapSet "m" "a" (sprig_repeat 1000000 "x") }}{{ scratch.MapSet "m" "m" (scratch.Get "m") }}"#,
        r#"{{ $m := sprig_dict "a" (sprig_repeat 1000000 "x") }}{{ $_ := sprig_set $m "m" $m }}{{ sprig_fail "x" }}"#,
    ] {
        let parsed = parsed(template, &settings(), Profile::OpenBao).unwrap();
        let (known, world) = (Arc::new(known()), Arc::new(world(Profile::OpenBao)));
        let before = memory();
        for _ in 0..200 {
            parsed.evaluate(&known, &world);
        }
        let grown = memory().saturating_sub(before);
        assert!(grown < 50_000, "{template}: {grown} KiB more");
    }
}

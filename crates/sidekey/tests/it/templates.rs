//! Every template of `tests/templates` and `examples/templates` to the real agent and to ours, live: the same
//! bytes, or the same words.

mod stage;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use rustix::process::Signal;
use serde_json::Value;
use testkit::server_binary;

use crate::sidekey;
use stage::{ALONE, Case, Stage, Verdict, Verdicts, cases, corpus, written};

/// Cases that differ, on purpose. One that does not differ any more fails the test, too.
const KNOWN: &[(&str, &str)] = &[
    ("alone/first-pass", "an error while a secret is on its way is not one"),
    ("write-errors/folder-is-a-file", "writeToFile writes when the template is complete, so it fails later"),
];

#[tokio::test]
async fn the_corpus_renders_the_same() {
    let stage = Stage::new(&[]).await;
    let (alone, rest): (Vec<Case>, Vec<Case>) = cases().into_iter().partition(|case| case.group() == ALONE);
    let (fetching, plain): (Vec<Case>, Vec<Case>) = rest.into_iter().partition(|case| stage.fetches(case));
    let real = server_binary().unwrap();
    let mut all = Vec::new();
    for (binary, name) in [(real.as_path(), "theirs"), (sidekey(), "ours")] {
        // Apart, because a failing template must not be evaluated twice by the agent of OpenBao before it was
        // evaluated without failing: that ends it.
        let worker = |part: &str| stage.worker(binary, &format!("{name}-{part}"));
        let (one, two) =
            tokio::join!(worker("fetching").together(&fetching), worker("plain").together(&plain));
        let mut verdicts: Verdicts = one.into_iter().chain(two).collect();
        for pair in alone.chunks(2) {
            let run = async |case: &Case| worker(&case.name.replace('/', "-")).alone(case).await;
            let (one, two) = tokio::join!(run(&pair[0]), async {
                match pair.get(1) {
                    Some(case) => Some(run(case).await),
                    None => None,
                }
            });
            let pairs = pair.iter().zip([Some(one), two]);
            verdicts.extend(pairs.filter_map(|(case, verdict)| Some((case.name.clone(), verdict?))));
        }
        all.push(verdicts);
    }
    let [theirs, ours]: [Verdicts; 2] = all.try_into().unwrap();
    assert!(theirs.len() > 750, "only {} cases were found", theirs.len());
    assert_alike(&theirs, &ours);
}

/// Tells every difference but the known ones.
fn assert_alike(theirs: &Verdicts, ours: &Verdicts) {
    let mut differences = Vec::new();
    let names: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    for name in &names {
        let of = |verdicts: &Verdicts| verdicts.get(*name).cloned().unwrap_or(Verdict::Nothing);
        let (theirs, ours) = (of(theirs), of(ours));
        let same = alike(&theirs, &ours);
        match KNOWN.iter().find(|(known, _)| known == name) {
            None if !same => differences.push(format!("{name}\n  theirs {theirs:?}\n  ours   {ours:?}")),
            Some((_, reason)) if same => {
                differences.push(format!("{name} does not differ any more ({reason})"));
            }
            _ => {}
        }
    }
    let count = differences.len();
    assert!(differences.is_empty(), "{count} of {} differ:\n{}", names.len(), differences.join("\n"));
}

fn alike(theirs: &Verdict, ours: &Verdict) -> bool {
    match (theirs, ours) {
        (Verdict::Nothing, _) => false,
        (Verdict::Error(theirs), Verdict::Error(ours)) => {
            let with_hint = || {
                let hint = ours.strip_prefix(theirs.as_str());
                theirs.ends_with("not defined") && hint.is_some_and(|hint| hint.starts_with(" ("))
            };
            // Their log cuts white space at the end of a message.
            let ours = ours.trim_end();
            let theirs = theirs.trim_end();
            theirs == ours
                || theirs == formatted_again(ours)
                || with_hint()
                || is_masked(theirs, ours)
                || is_masked(theirs, &formatted_again(ours))
        }
        _ => theirs == ours,
    }
}

/// Whether ours is theirs with some of it masked. Of what a template made of a secret, theirs masks nothing.
fn is_masked(theirs: &str, ours: &str) -> bool {
    let parts: Vec<&str> = ours.split("[redacted]").collect();
    let [first, between @ .., last] = parts.as_slice() else { return false };
    let Some(mut rest) = theirs.strip_prefix(first) else { return false };
    for part in between {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// The agent of OpenBao gives a finished error to Go's `Printf` once more, without arguments; so every percent
/// sign in it becomes a complaint.
fn formatted_again(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        while rest.next_if(|char| "+-# 0".contains(*char)).is_some() {}
        let mut index_is_bad = index(&mut rest);
        number(&mut rest, "%!(BADWIDTH)", &mut out);
        if rest.next_if_eq(&'.').is_some() {
            index_is_bad |= index(&mut rest);
            number(&mut rest, "%!(BADPREC)", &mut out);
        }
        index_is_bad |= index(&mut rest);
        match rest.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => {
                out.push_str(&format!("%!{verb}({})", if index_is_bad { "BADINDEX" } else { "MISSING" }))
            }
        }
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips `[n]`; says whether there was one, which is always too large.
fn index(rest: &mut Chars<'_>) -> bool {
    let mut ahead = rest.clone();
    let is_index = ahead.next() == Some('[') && ahead.any(|char| char == ']');
    if is_index {
        *rest = ahead;
    }
    is_index
}

/// Skips a width or a precision; `*` wants an argument, and there is none.
fn number(rest: &mut Chars<'_>, complaint: &str, out: &mut String) {
    if rest.next_if_eq(&'*').is_some() {
        out.push_str(complaint);
        return;
    }
    while rest.next_if(char::is_ascii_digit).is_some() {}
}

#[test]
fn percent_signs_suffer_as_in_go() {
    for (text, want) in [
        ("plain", "plain"),
        ("100%", "100%!(NOVERB)"),
        ("\"100%\"", "\"100%!\"(MISSING)"),
        ("%!s(int=1)", "%!!(MISSING)s(int=1)"),
        ("%5.2f %% %-3s", "%!f(MISSING) % %!s(MISSING)"),
    ] {
        assert_eq!(formatted_again(text), want);
    }
}

// === Examples ===

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/templates")
}

/// The stanzas of the README there, with our folder for theirs, and without their commands.
fn stanzas(folder: &Path) -> String {
    let readme = std::fs::read_to_string(examples().join("README.md")).unwrap();
    let text = readme.split("```hcl\n").nth(1).unwrap().split("```").next().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("  command "));
    let text = lines.collect::<Vec<_>>().join("\n");
    let (templates, folder) = (examples().canonicalize().unwrap(), folder.join("out"));
    text.replace("/etc/sidekey/templates", templates.to_str().unwrap())
        .replace("/run/sidekey", folder.to_str().unwrap())
}

/// Renders all examples once; the certificates found in `with` are there already.
async fn render_examples(stage: &Stage, binary: &Path, name: &str, with: Option<&Path>) -> PathBuf {
    let worker = stage.worker(binary, name);
    let folder = worker.folder.clone();
    atomic_file::create_folders(&folder.join("out")).unwrap();
    for file in ["out/tls-bundle.pem", "out/tls-store.pem"] {
        if let Some(with) = with {
            let bytes = std::fs::read(with.join(file)).unwrap();
            atomic_file::write(&folder.join(file), &bytes, &atomic_file::Attributes::new(0o600)).unwrap();
        }
    }
    let worker = worker.template_config("").config(&stanzas(&folder)).config("exit_after_auth = true");
    let mut process = worker.start();
    let status = process.ended().await.unwrap();
    assert!(status.success(), "{name}: {}", process.output().join("\n"));
    folder
}

fn rendered(folder: &Path) -> Verdicts {
    let mut found = Verdicts::new();
    for part in ["out", "tls"] {
        written(folder, &folder.join(part), &mut found);
    }
    found
}

#[tokio::test]
async fn the_examples_render_the_same() {
    let more = std::fs::read_to_string(corpus().join("examples.json")).unwrap();
    let more: Vec<Value> = serde_json::from_str(&more).unwrap();
    let stage = Stage::new(&more).await;
    let real = server_binary().unwrap();
    let ca = stage.server.root_api().unwrap().get("pki/cert/ca").await.unwrap();
    let ca = pem(ca.json["data"]["certificate"].as_str().unwrap());
    for (first, second, name) in [(real.as_path(), sidekey(), "theirs"), (sidekey(), real.as_path(), "ours")]
    {
        // The second finds the certificates of the first, which are good, and takes them.
        let first = render_examples(&stage, first, &format!("{name}-first"), None).await;
        let second = render_examples(&stage, second, &format!("{name}-second"), Some(&first)).await;
        let (first_found, second_found) = (rendered(&first), rendered(&second));
        assert_eq!(first_found.len(), 16 + 3, "{:?}", first_found.keys());
        assert_alike(&first_found, &second_found);
        for file in ["out/tls-bundle.pem", "out/tls-store.pem"] {
            let bundle = pem(&std::fs::read_to_string(first.join(file)).unwrap());
            let [(key_label, key), (cert_label, cert), (ca_label, ca_found)] = &bundle[..] else {
                panic!("{file}: {} blocks", bundle.len());
            };
            let labels = [key_label.as_str(), cert_label, ca_label];
            assert_eq!(labels, ["EC PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"], "{file}");
            // A private key ends with the public point, which stands in its certificate.
            let point = &key[key.len() - 65..];
            assert!(cert.windows(point.len()).any(|window| window == point), "{file}: another key's");
            assert_eq!((ca_found, ca_found != cert), (&ca[0].1, true), "{file}");
        }
        let store = pem(&std::fs::read_to_string(first.join("out/tls-store.pem")).unwrap());
        for (file, block) in ["tls/key.pem", "tls/cert.pem", "tls/ca.pem"].iter().zip(&store) {
            assert_eq!(
                &pem(&std::fs::read_to_string(first.join(file)).unwrap())[..],
                std::slice::from_ref(block)
            );
        }
    }
}

/// Label and content of each block.
fn pem(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut blocks = Vec::new();
    for part in text.split("-----BEGIN ").skip(1) {
        let (label, rest) = part.split_once("-----").unwrap();
        let body: String = rest.split("-----END").next().unwrap().split_whitespace().collect();
        blocks.push((label.to_owned(), base64::prelude::BASE64_STANDARD.decode(body).unwrap()));
    }
    blocks
}

// === Bombs ===

/// Each ends with an error of its own, and whoever stands beside it is rendered.
const BOMBS: &[(&str, &str)] = &[
    ("recursion", r#"{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}"#),
    ("range", r#"{{ range loop 100000000 }}{{ end }}"#),
    ("repeat", r#"{{ sprig_repeat 2000000000 "x" }}"#),
    ("doubling", r#"{{ $x := "x" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}"#),
    ("slashes", r#"{{ explodeMap (sprig_dict (sprig_repeat 100000 "a/") 1) }}"#),
    ("expression", r#"{{ regexMatch "((((a{100}){100}){100}){100})" "a" }}"#),
];

#[tokio::test]
async fn bombs_leave_their_neighbours_alone() {
    let stage = Stage::new(&[]).await;
    let mut worker = stage.worker(sidekey(), "bombs").template_config("");
    let folder = worker.folder.clone();
    let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let parens = format!("{{{{ {deep} }}}}");
    let bombs = BOMBS.iter().copied().chain([("parentheses", parens.as_str())]);
    let all: Vec<(&str, &str)> = bombs
        .chain([("good", r#"{{ with secret "secret/app/db" }}{{ .Data.data.password }}{{ end }}"#)])
        .collect();
    for (name, text) in &all {
        let source = folder.join(format!("{name}.ctmpl"));
        crate::put(&source, text);
        worker = worker.config(&format!(
            "template {{\n  source = {source:?}\n  destination = {:?}\n}}",
            folder.join(format!("{name}.out"))
        ));
    }
    let mut process = worker.start();
    let told = |lines: &[String], name: &str| {
        let source = format!("{name}.ctmpl");
        lines.iter().any(|line| line.contains(&source) && line.contains("\"error\""))
    };
    let ended = || async {
        let lines = process.output();
        let bombs = all.iter().filter(|(name, _)| *name != "good").all(|(name, _)| told(&lines, name));
        (bombs && folder.join("good.out").exists()).then_some(())
    };
    // Ten million steps take their time on a busy machine: twice the usual patience.
    if testkit::eventually("bombs", ended).await.is_err() {
        let late = testkit::eventually("every bomb has its error, and the neighbour its file", ended).await;
        late.unwrap_or_else(|error| panic!("{error}:\n{}", process.output().join("\n")));
    }
    assert!(!told(&process.output(), "good"));
    assert!(all.iter().all(|(name, _)| *name == "good" || !folder.join(format!("{name}.out")).exists()));
    assert!(process.stop().await.unwrap().success(), "a bomb ended the program");
}

// === The command line ===

/// A server with a secret, and a folder with what a login by AppRole needs.
async fn login() -> (testkit::Server, testkit::Api, tempfile::TempDir) {
    let server = testkit::Server::dev(&server_binary().unwrap()).await.unwrap();
    let root = server.root_api().unwrap();
    let post = async |path: &str, body: Value| {
        let answer = root
            .send("POST", &format!("/v1/{path}"), &[("content-type", "application/json")], &body.to_string())
            .await
            .unwrap();
        assert!(answer.status.is_success(), "{path}");
        serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()
    };
    testkit::eventually("taking secrets", || async {
        let body = r#"{"data": {"password": "hunter2"}}"#;
        let headers = [("content-type", "application/json")];
        let answer = root.send("POST", "/v1/secret/data/app", &headers, body).await.unwrap();
        answer.status.is_success().then_some(())
    })
    .await
    .unwrap();
    post(
        "sys/policies/acl/app",
        serde_json::json!({"policy": "path \"secret/*\" { capabilities = [\"read\"] }"}),
    )
    .await;
    post("sys/auth/approle", serde_json::json!({"type": "approle"})).await;
    post("auth/approle/role/app", serde_json::json!({"token_policies": "app"})).await;
    let role = root.send("GET", "/v1/auth/approle/role/app/role-id", &[], "").await.unwrap();
    let role: Value = serde_json::from_slice(&role.body).unwrap();
    let secret = post("auth/approle/role/app/secret-id", serde_json::json!({})).await;

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    crate::put(&path("role-id"), &text(&role["data"]["role_id"]));
    crate::put(&path("secret-id"), &text(&secret["data"]["secret_id"]));
    (server, root, folder)
}

/// A configuration with that login.
fn configuration(server: &testkit::Server, folder: &Path, templates: &str) -> PathBuf {
    let (path, here) = (folder.join("agent.hcl"), folder.display());
    crate::put(
        &path,
        &format!(
            r#"vault {{ address = "{}" }}
auto_auth {{ method "approle" {{ config = {{ role_id_file_path = "{here}/role-id" secret_id_file_path = "{here}/secret-id" }} }} }}
{templates}"#,
            server.address()
        ),
    );
    path
}

/// No login's token is left: the accessors are the root token's alone.
async fn assert_revoked(root: &testkit::Api) {
    let list = root.send("LIST", "/v1/auth/token/accessors", &[], "").await.unwrap();
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["data"]["keys"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn templates_are_rendered_once_and_nothing_is_left_behind() {
    let (server, root, folder) = login().await;
    let path = |name: &str| folder.path().join(name);
    let here = folder.path().display();
    configuration(
        &server,
        folder.path(),
        &format!(
            r#"template {{
  contents = "{{{{ with secret \"secret/app\" }}}}{{{{ .Data.data.password }}}}\n{{{{ end }}}}"
  destination = "{here}/a.conf"
  command = "touch {here}/ran"
}}
template {{
  contents = "one\n{{{{ b64enc 1 }}}}\n"
  destination = "{here}/b.conf"
}}
"#
        ),
    );
    let config = format!("-config={here}/agent.hcl");
    let run = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(sidekey());
        let output = command.args(["template", "render", &config]).args(more).output().await.unwrap();
        let all = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(all).unwrap())
    };
    let (code, output) = run(&["-template=a.conf"]).await;
    assert_eq!((code, output.as_str()), (Some(0), "hunter2\n"));
    let (code, output) = run(&["-template=a.conf", "-diff"]).await;
    assert!(code == Some(2) && output.contains("+hunter2"), "{output}");
    crate::put(&path("a.conf"), "hunter2\n");
    assert_eq!(run(&["-template=a.conf", "-diff"]).await, (Some(0), String::new()));
    let (code, output) = run(&[]).await;
    assert!(code == Some(1) && output.contains("hunter2") && output.contains("sprig_b64enc"), "{output}");
    assert!(output.contains("b.conf:2:4"), "{output}");
    let (code, output) = run(&["-template=c.conf"]).await;
    assert!(
        code == Some(1) && output.contains("a.conf") && output.contains("no template is called"),
        "{output}"
    );
    assert!(path("secret-id").exists() && !path("ran").exists() && !path("b.conf").exists());

    assert_revoked(&root).await;

    let none = format!("-token-file={here}/none");
    let (code, output) = run(&["-template=a.conf", &none]).await;
    assert!(code == Some(1) && output.contains("none: No such file or directory"), "{output}");
    crate::put(&path("token"), "not-a-token");
    let (code, output) = run(&["-template=a.conf", &format!("-token-file={here}/token")]).await;
    assert!(code == Some(1) && output.contains("permission denied"), "{output}");
}

#[tokio::test]
async fn a_difference_is_of_a_file_that_can_be_read_and_output_holds_the_text_alone() {
    let (server, _, folder) = login().await;
    let out = folder.path().join("out");
    let render = async |contents: &str, more: &[&str]| {
        let stanza = format!("template {{\n  contents = {contents:?}\n  destination = {out:?}\n}}\n");
        let config = configuration(&server, folder.path(), &stanza);
        let mut command = tokio::process::Command::new(sidekey());
        command.args(["template", "render", &format!("-config={}", config.display())]).args(more);
        let output = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let empty = "{{ if false }}{{ end }}";
    // No file is something else than an empty one.
    let (code, difference, _) = render(empty, &["-diff"]).await;
    assert_eq!((code, difference), (Some(2), format!("--- /dev/null\n+++ {}\n", out.display())));
    crate::put(&out, "");
    assert_eq!(render(empty, &["-diff"]).await, (Some(0), String::new(), String::new()));
    // What cannot be compared is an error, and nothing to wait for.
    rustix::fs::unlink(&out).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &out, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (code, difference, error) = render(empty, &["-diff"]).await;
    assert!(code == Some(1) && difference.is_empty() && error.contains("out"), "{difference}{error}");

    let printing = "{{ spew_dump 1 }}{{ with secret \"secret/app\" }}{{ .Data.data.password }}{{ end }}";
    let (code, text, aside) = render(printing, &[]).await;
    assert_eq!((code, text.as_str(), aside.as_str()), (Some(0), "hunter2", "(int) 1\n"));
}

/// Whether a process is there, and does not only wait to be asked for its status.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// A template whose program never ends, and where its process says its number.
fn endless(folder: &Path) -> (String, PathBuf) {
    let pid = folder.join("pid");
    let line = format!("sleep 60 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let text =
        format!(r#"{{{{ with secret "secret/app" }}}}{{{{ plugin "sh" "-c" {line:?} }}}}{{{{ end }}}}"#);
    let stanza =
        format!("template {{\n  contents = {text:?}\n  destination = {:?}\n}}\n", folder.join("out"));
    (stanza, pid)
}

#[tokio::test]
async fn rendering_once_that_is_ended_leaves_no_token_and_no_program() {
    let (server, root, folder) = login().await;
    let (stanza, pid) = endless(folder.path());
    let config = configuration(&server, folder.path(), &stanza);
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = tokio::process::Command::new(sidekey());
        command.args(["template", "render", &format!("-config={}", config.display())]);
        let mut process = testkit::Process::start("render", command).unwrap();
        let program =
            testkit::eventually("the program runs", || async { std::fs::read_to_string(&pid).ok() });
        let program = program.await.unwrap();
        assert!(is_alive(&program));
        process.signal(signal);
        let status = process.ended().await.unwrap();
        assert!(
            status.code() == Some(1) && process.has_said("interrupted"),
            "{}",
            process.output().join("\n")
        );
        let gone =
            testkit::eventually("the program is gone", || async { (!is_alive(&program)).then_some(()) });
        gone.await.unwrap();
        assert_revoked(&root).await;
        rustix::fs::unlink(&pid).unwrap();
    }
}

#[tokio::test]
async fn a_program_under_way_ends_with_the_agent() {
    let (server, _, folder) = login().await;
    let (stanza, pid) = endless(folder.path());
    let config = configuration(&server, folder.path(), &stanza);
    let mut command = tokio::process::Command::new(sidekey());
    command.args(["agent", &format!("-config={}", config.display())]);
    let mut process = testkit::Process::start("agent", command).unwrap();
    let program = testkit::eventually("the program runs", || async { std::fs::read_to_string(&pid).ok() });
    let program = program.await.unwrap();
    assert!(process.stop().await.unwrap().success());
    let gone = testkit::eventually("the program is gone", || async { (!is_alive(&program)).then_some(()) });
    gone.await.unwrap();
}

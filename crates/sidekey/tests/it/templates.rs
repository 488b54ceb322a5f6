//! Every template of `tests/templates` and `examples/templates` to the real agent and to ours, live: the same
//! bytes, or the same words.

mod once;
mod stage;

use std::path::{Path, PathBuf};

use base64::Engine as _;
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

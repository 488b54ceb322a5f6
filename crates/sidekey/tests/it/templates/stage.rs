//! The server and the files that all cases share, and a program that works on some of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use testkit::{Process, Program, Server, server_binary};
use tokio::time::{Instant, sleep};

use crate::{put, sidekey};

/// The token of `setup.json`.
const TOKEN: &str = "corpus";

/// Cases of this group get a process each.
pub(super) const ALONE: &str = "alone";

/// `tests/templates`, where the cases are.
pub(super) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates")
}

/// A template and the lines of its stanza besides source and destination.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// `<group>/<name>`.
    pub(super) name: String,
    source: PathBuf,
    options: String,
}

impl Case {
    pub(super) fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// All cases, by name.
pub(super) fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    for group in std::fs::read_dir(corpus()).unwrap() {
        let group = group.unwrap().path();
        if !group.is_dir() {
            continue;
        }
        for source in std::fs::read_dir(&group).unwrap() {
            let source = source.unwrap().path();
            if source.extension().is_none_or(|end| end != "ctmpl") {
                continue;
            }
            let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
            let options = std::fs::read_to_string(source.with_extension("options")).unwrap_or_default();
            found.push(Case { name: format!("{}/{}", name(&group), name(&source)), source, options });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// What a program made of a case.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Verdict {
    Output(Vec<u8>),
    Error(String),
    Nothing,
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output(bytes) => write!(f, "= \"{}\"", bytes.escape_ascii()),
            Self::Error(text) => write!(f, "! {text:?}"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// Verdicts by the name of the case.
pub(super) type Verdicts = BTreeMap<String, Verdict>;

/// The server, set up as `setup.json` says.
pub(super) struct Stage {
    pub(super) server: Server,
    setup: Value,
    folder: tempfile::TempDir,
}

impl Stage {
    /// With further requests than those of `setup.json`.
    pub(super) async fn new(more: &[Value]) -> Self {
        let setup: Value =
            serde_json::from_str(&std::fs::read_to_string(corpus().join("setup.json")).unwrap()).unwrap();
        let server = Server::dev(&server_binary().unwrap()).await.unwrap();
        let stage = Self { server, setup, folder: tempfile::tempdir().unwrap() };
        for request in stage.setup["requests"].as_array().unwrap().iter().chain(more) {
            stage.write(request[0].as_str().unwrap(), &request[1]).await;
        }
        stage
    }

    async fn write(&self, path: &str, body: &Value) {
        // A body that is text goes as it is: its numbers must stay as they were written.
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let target = format!("/v1/{}", path.replace(' ', "%20"));
        let root = self.server.root_api().unwrap();
        let headers = [("content-type", "application/json")];
        testkit::eventually(path, || async {
            let answer = root.send("POST", &target, &headers, &body).await.unwrap();
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            // A version 2 mount is busy for a moment after it was made.
            let is_busy = answer.status.as_u16() == 400 && text.contains("Upgrading");
            assert!(is_busy || answer.status.is_success(), "{path}: {} {text}", answer.status);
            Some(()).filter(|()| !is_busy)
        })
        .await
        .unwrap();
    }

    /// Whether cases of this group wait for secrets or files.
    pub(super) fn fetches(&self, case: &Case) -> bool {
        self.setup["fetching_groups"].as_array().unwrap().iter().any(|group| group == case.group())
    }

    /// A folder with the files of `setup.json`, and a program that will work in it.
    pub(super) fn worker(&self, binary: &Path, name: &str) -> Worker {
        let folder = self.folder.path().join(name);
        let entries = |key: &str| self.setup[key].as_object().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for (name, content) in entries("files") {
            let path = folder.join(name);
            atomic_file::create_folders(path.parent().unwrap()).unwrap();
            put(&path, &text(content));
        }
        for (name, content) in entries("bytes") {
            let bytes = base64::prelude::BASE64_STANDARD.decode(text(content)).unwrap();
            atomic_file::write(&folder.join(name), &bytes, &atomic_file::Attributes::new(0o600)).unwrap();
        }
        for (name, target) in entries("links") {
            std::os::unix::fs::symlink(text(target), folder.join(name)).unwrap();
        }
        let token = folder.join("token");
        put(&token, TOKEN);
        let mut program = Program::agent(binary, &folder)
            .config(&format!(
                "vault {{\n  address = \"{}\"\n  retry {{ num_retries = -1 }}\n}}",
                self.server.address()
            ))
            .config(&format!(
                "auto_auth {{\n  method \"token_file\" {{ config = {{ token_file_path = {token:?} }} }}\n}}"
            ))
            .flag("-log-format=json")
            .flag("-log-level=warn");
        for (name, value) in entries("environment") {
            program = program.env(name, &text(value));
        }
        // The files are what OpenBao's agent makes; ours would take its variables for Vault's.
        let profile = if binary == sidekey() { "profile = \"openbao\"" } else { "" };
        Worker { program, folder, profile }
    }
}

/// A program in the making and the folder it works in.
pub(super) struct Worker {
    program: Program,
    pub(super) folder: PathBuf,
    profile: &'static str,
}

impl Worker {
    /// The one `template_config` stanza.
    pub(super) fn template_config(self, keys: &str) -> Self {
        let stanza = format!("template_config {{\n  {}\n  {keys}\n}}", self.profile);
        self.config(&stanza)
    }

    pub(super) fn config(mut self, text: &str) -> Self {
        self.program = self.program.config(text);
        self
    }

    pub(super) fn start(&self) -> Process {
        self.program.start().unwrap()
    }

    fn output(&self, case: &Case) -> PathBuf {
        self.folder.join("out").join(&case.name)
    }

    fn with(self, cases: &[Case], error_fatal: bool) -> Self {
        cases.iter().fold(self, |worker, case| {
            let stanza = format!(
                "template {{\n  source = {:?}\n  destination = {:?}\n  error_fatal = {error_fatal}\n{}}}",
                case.source,
                worker.output(case),
                case.options
            );
            worker.config(&stanza)
        })
    }

    /// All cases by one process, until it has said something about each and nothing changes any more.
    pub(super) async fn together(self, cases: &[Case]) -> Verdicts {
        let worker = self.template_config("").with(cases, false);
        let process = worker.start();
        let (mut found, mut since) = (Verdicts::new(), Instant::now());
        loop {
            sleep(Duration::from_millis(100)).await;
            let now = worker.verdicts(cases, &process);
            if now != found {
                (found, since) = (now, Instant::now());
            }
            let patience = if found.len() == cases.len() { 1 } else { 6 };
            if since.elapsed() > Duration::from_secs(patience) {
                break;
            }
        }
        drop(process);
        for case in cases {
            found.entry(case.name.clone()).or_insert(Verdict::Nothing);
        }
        written(&worker.folder, &worker.folder.join("written"), &mut found);
        found
    }

    fn verdicts(&self, cases: &[Case], process: &Process) -> Verdicts {
        let lines = process.output();
        let mut said = said(&lines);
        let mut verdict = |case: &Case| match std::fs::read(self.output(case)) {
            Ok(bytes) => Some(Verdict::Output(bytes)),
            Err(_) => said.remove(case.source.to_str().unwrap()).map(Verdict::Error),
        };
        cases.iter().filter_map(|case| Some((case.name.clone(), verdict(case)?))).collect()
    }

    /// One case by a process that ends when a secret cannot be had.
    pub(super) async fn alone(self, case: &Case) -> Verdict {
        let worker =
            self.template_config("exit_on_retry_failure = true").with(std::slice::from_ref(case), true);
        let process = worker.start();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            sleep(Duration::from_millis(20)).await;
            if let Ok(bytes) = std::fs::read(worker.output(case)) {
                return Verdict::Output(bytes);
            }
            let lines = process.output();
            let lost = messages(&lines).find_map(|line| {
                let text = line["@message"].as_str()?.strip_prefix("(view) ")?;
                Some(text.strip_suffix(" (exceeded maximum retries)")?.to_owned())
            });
            let refused = || said(&lines).remove(case.source.to_str().unwrap());
            // A local file that is not there is fatal to their runner at once, in words without a source.
            let absent = || {
                messages(&lines).find_map(|line| {
                    let text = line["error"].as_str().filter(|text| text.starts_with("file("))?;
                    Some(text.to_owned())
                })
            };
            if let Some(text) = lost.or_else(refused).or_else(absent) {
                return Verdict::Error(text);
            }
            if Instant::now() > deadline {
                return Verdict::Nothing;
            }
        }
    }
}

/// What `writeToFile` wrote, with modes.
pub(super) fn written(root: &Path, folder: &Path, found: &mut Verdicts) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            written(root, &path, found);
            continue;
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        let name = path.strip_prefix(root).unwrap().display();
        let bytes = std::fs::read(&path).unwrap();
        found.insert(format!("{name} {mode:o}"), Verdict::Output(bytes));
    }
}

fn messages(lines: &[String]) -> impl Iterator<Item = Value> {
    lines.iter().filter_map(|line| serde_json::from_str(line).ok())
}

/// The last error said of each source, without the source.
///
/// The agent of OpenBao says `(runner) SOURCE: TEXT`, and `SOURCE: TEXT` as the error when it is fatal. Ours
/// says the second for both, and names the source in a field when a template cannot be parsed.
fn said(lines: &[String]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for line in messages(lines) {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let is_left_out = text("@message") == "the template cannot be used and is left out";
        if let Some(source) = line["template"].as_str().filter(|_| is_left_out) {
            found.insert(source.to_owned(), format!("parse: {}", text("error")));
            continue;
        }
        let message = text("@message").strip_prefix("(runner) ");
        for text in message.into_iter().chain([text("error")]) {
            if let Some((source, text)) = text.split_once(".ctmpl: ") {
                found.insert(format!("{source}.ctmpl"), text.to_owned());
            }
        }
    }
    found
}

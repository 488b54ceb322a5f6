//! The same configurations to the real binary and to us: accepted or refused alike, and told in the same words.
//!
//! The verdicts in `tests/corpus` were recorded by `tests/corpus/generate.py`. The real binary was only asked to
//! verify; what it would find out when it starts, we say at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::{Load, agent, proxy};

/// What upstream accepts and we refuse, by the words of our refusal. Every problem we tell must be one of these.
const REFUSED_BY_US: &[(&str, &[&str])] = &[
    ("not built yet", &[" is not built yet in this version of Sidekey"]),
    (
        "upstream finds it out when it starts",
        &[
            "Error creating ",
            "error creating file sink: ",
            "Error starting listener: ",
            "Unknown sink type",
            "auth handler: min_backoff cannot be greater than max_backoff",
            "template: must specify exactly one of 'source' or 'contents'",
            "template: cannot specify both 'source' and 'contents'",
            "template: missing destination",
            "both client cert and client key must be provided",
            "not supported, please specify one of [tls10,tls11,tls12,tls13]",
            "'tls_max_version' must be greater than or equal to 'tls_min_version'",
            "are mutually exclusive",
        ],
    ),
    ("TLS without a certificate: upstream asks a public ACME server for one", &["TLS needs `tls_cert_file`"]),
    ("TLS would be weaker than it reads", &["needs `tls_client_ca_file`", "TLS before 1.2 is not spoken"]),
    ("nobody can connect to a socket without a path", &["a unix listener needs an `address`"]),
    ("Vault's keys, which bao passes over", &["Unknown cache setting for", "Unknown api_proxy setting for"]),
    (
        "a fraction of a mode or a user number, which upstream cuts off",
        &["`perms` must be a whole number", "`uid` must be a whole number"],
    ),
    ("Vault's key, which bao passes over", &["strconv.ParseFloat: parsing \"x\""]),
];

/// What upstream refuses and we accept, by name.
const ACCEPTED_BY_US: &[(&str, &[&str])] = &[];

/// Both refuse, in other words: Go's names of types, and what we say about things that are not built.
const OTHER_WORDS: &[&str] = &[
    "*ast.",
    "unconvertible type",
    "expected a map or struct",
    "source data must be an array",
    "error converting config",
    "could not parse duration from input",
];

pub(crate) struct Case {
    pub(crate) name: String,
    group: String,
    proxy: bool,
    pub(crate) files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    accepted: bool,
    bao: String,
}

pub(crate) fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/cases.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let cases: Vec<Case> = text.lines().map(|line| case(&serde_json::from_str(line).unwrap())).collect();
    assert!(cases.len() > 1100, "the corpus shrank to {}", cases.len());
    cases
}

fn case(value: &Value) -> Case {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let pairs = |key: &str| {
        let pairs = value[key].as_object().into_iter().flatten();
        pairs.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
    };
    Case {
        name: format!("{}/{}", text("group"), text("name")),
        group: text("group"),
        proxy: value["mode"] == "proxy",
        files: pairs("files"),
        // What the recording shell had set; `sink/aad_env_var = "HOME"` looks at it.
        environment: [vec![("HOME".to_owned(), "/root".to_owned())], pairs("environment")].concat(),
        accepted: value["accepted"].as_bool().unwrap(),
        bao: text("bao"),
    }
}

impl Case {
    fn load(&self) -> Result<config::Loaded, config::Failure> {
        let pairs: Vec<_> = self.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let load: Load = if self.proxy { proxy() } else { agent() };
        load.environment(&pairs).loader().load_texts(self.files.clone())
    }
}

fn reason(line: &str) -> Option<&'static str> {
    let is_one = |words: &&str| line.contains(*words);
    REFUSED_BY_US.iter().find(|(_, words)| words.iter().any(is_one)).map(|(reason, _)| *reason)
}

#[test]
fn accepted_or_refused_as_the_real_binary_does() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases() {
        let listed = ACCEPTED_BY_US.iter().find(|(_, names)| names.contains(&case.name.as_str()));
        let name = &case.name;
        match (case.load(), case.accepted) {
            (Ok(_), true) | (Err(_), false) => {
                if let Some((reason, _)) = listed {
                    wrong.push(format!("{name}: no difference any more ({reason})"));
                }
                *counts.entry("alike").or_default() += 1;
            }
            (Ok(_), false) => match listed {
                Some((reason, _)) => *counts.entry(reason).or_default() += 1,
                None => wrong.push(format!("{name}: we accept; bao: {}", case.bao)),
            },
            (Err(failure), true) => {
                for line in failure.upstream_lines() {
                    match reason(&line) {
                        Some(reason) => *counts.entry(reason).or_default() += 1,
                        None => wrong.push(format!("{name}: we refuse: {line}")),
                    }
                }
            }
        }
    }
    println!("{counts:#?}");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn refused_in_the_same_words() {
    let (mut wrong, mut same) = (Vec::new(), 0);
    for case in cases() {
        // Nothing of these two is built; we say that instead.
        if case.accepted || ["exec", "telemetry"].contains(&case.group.as_str()) {
            continue;
        }
        let Err(failure) = case.load() else { continue };
        let lines = failure.upstream_lines();
        if OTHER_WORDS.iter().any(|words| case.bao.contains(words)) {
            continue;
        }
        let Some(first) = case.bao.split("\nerror ").next() else { continue };
        if lines.iter().any(|line| line == first) {
            same += 1;
        } else {
            wrong.push(format!("{}\n  bao: {first}\n  we:  {lines:?}", case.name));
        }
    }
    println!("{same} in the same words");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

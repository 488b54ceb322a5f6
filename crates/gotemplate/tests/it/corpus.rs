//! What the agent of OpenBao 2.7 rendered, or said, for each snippet of `tests/corpus/agent.txt`.
//!
//! A case is two lines: the snippet, then `= ` and the output or `! ` and the error. A newline is written `⏎`,
//! any other byte that cannot stand in a line `«hh»`. `ERR:` before a snippet turns missing keys into errors.

use gotemplate::{ExecOptions, MissingKey, Options, Template, Value};

use crate::functions::{Context, funcs};

const CORPUS: &str = include_str!("../corpus/agent.txt");

#[test]
fn renders_as_the_agent_does() {
    let mut lines = CORPUS.lines().filter(|line| !line.starts_with("# "));
    let (mut count, mut failures) = (0, Vec::new());
    while let (Some(snippet), Some(expected)) = (lines.next(), lines.next()) {
        count += 1;
        let found = verdict(snippet);
        if found != expected {
            failures.push(format!("{snippet}\n  want {expected}\n  have {found}"));
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 150, "only {count} cases were read");
}

fn verdict(snippet: &str) -> String {
    let (missing_key, text) = match snippet.strip_prefix("ERR:") {
        Some(text) => (MissingKey::Error, text),
        None => (MissingKey::Zero, snippet),
    };
    let text = text.replace('⏎', "\n");
    let funcs = funcs();
    let template = match Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)) {
        Ok(template) => template,
        Err(error) => return escape("! parse: ", error.to_string().as_bytes()),
    };
    let options = ExecOptions { missing_key, ..ExecOptions::default() };
    let mut out = Vec::new();
    match template.execute(&funcs, &mut Context::default(), Value::Nil, &options, &mut out) {
        Ok(()) => escape("= ", &out),
        Err(error) => escape("! execute: ", error.to_string().as_bytes()),
    }
}

fn escape(kind: &str, bytes: &[u8]) -> String {
    let mut out = String::from(kind);
    for chunk in bytes.utf8_chunks() {
        for rune in chunk.valid().chars() {
            match rune {
                '\n' => out.push('⏎'),
                '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("«{:02x}»", u32::from(rune))),
                _ => out.push(rune),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("«{byte:02x}»"));
        }
    }
    out
}

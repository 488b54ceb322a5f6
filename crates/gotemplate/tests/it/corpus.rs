//! What the agent of OpenBao 2.7 rendered, or said, for each snippet of `tests/corpus/*.txt`.
//!
//! The files are recorded by `crates/functions/tests/corpus/record.py` and read as the ones there. A case is two
//! lines: the snippet, then `= ` and the output or `! ` and the error. A newline is written `⏎`, a tab `⇥`, any
//! other byte that cannot stand in a line `«hh»`. A line that starts with `# ` is a remark. `ERR:` before a
//! snippet turns missing keys into errors, `DELIMS << >>:` sets the delimiters.

use gotemplate::{ExecOptions, MissingKey, Options, Template, Value};

use crate::functions::{Context, funcs};

const CORPORA: [(&str, &str); 4] = [
    ("agent.txt", include_str!("../corpus/agent.txt")),
    ("builtins.txt", include_str!("../corpus/builtins.txt")),
    ("language.txt", include_str!("../corpus/language.txt")),
    ("values.txt", include_str!("../corpus/values.txt")),
];

#[test]
fn renders_as_the_agent_does() {
    let (mut count, mut failures) = (0, Vec::new());
    for (file, text) in CORPORA {
        let mut lines = text.lines().filter(|line| !is_remark(line));
        while let (Some(snippet), Some(expected)) = (lines.next(), lines.next()) {
            count += 1;
            let found = verdict(snippet);
            if found != expected {
                failures.push(format!("{file}: {snippet}\n  want {expected}\n  have {found}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 1000, "only {count} cases were read");
}

fn is_remark(line: &str) -> bool {
    line.starts_with("# ")
}

/// The snippet without its prefix, and what the prefix asks for.
fn options(snippet: &str) -> (&str, MissingKey, Options) {
    if let Some(text) = snippet.strip_prefix("ERR:") {
        return (text, MissingKey::Error, Options::default());
    }
    let mut options = Options::default();
    if let Some(rest) = snippet.strip_prefix("DELIMS ")
        && let Some((left, rest)) = rest.split_once(' ')
        && let Some((right, text)) = rest.split_once(':')
    {
        (options.left, options.right) = (left.into(), right.into());
        return (text, MissingKey::Zero, options);
    }
    (snippet, MissingKey::Zero, options)
}

fn verdict(snippet: &str) -> String {
    let (text, missing_key, options) = options(snippet);
    let text = text.replace('⏎', "\n").replace('⇥', "\t");
    let funcs = funcs();
    let template = match Template::parse(text.as_bytes(), &options, |name| funcs.contains(name)) {
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
                '\t' => out.push('⇥'),
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

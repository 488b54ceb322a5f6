//! What the agent of OpenBao 2.7 rendered, or said, for each snippet of `tests/corpus/*.txt`.
//!
//! A case is two lines: the snippet, then `= ` and the output or `! ` and the error. A newline is written `⏎`,
//! a tab `⇥`, any other byte that cannot stand in a line `«hh»`. A line that starts with `# ` is a remark. The
//! files were recorded by `tests/corpus/record.py`.

use std::path::Path;
use std::process::Command;

use functions::{Profile, entries};
use gotemplate::{ExecOptions, Funcs, MissingKey, Options, Template, Value};

#[test]
fn renders_as_the_agent_does() {
    // The corpora were recorded in UTC, and a process has one local zone.
    if std::env::var_os("TZ").is_none_or(|zone| zone != "UTC") {
        let name = "corpus::renders_as_the_agent_does";
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again.args([name, "--exact", "--nocapture"]).env("TZ", "UTC").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "differs in UTC:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("1 passed"), "the test was renamed:\n{said}");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut funcs: Funcs<()> = Funcs::builtins();
    funcs.extend(entries(Profile::OpenBao).map(|entry| entry.func));
    let (mut count, mut failures) = (0, Vec::new());
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines().filter(|line| !line.starts_with("# "));
        while let (Some(snippet), Some(expected)) = (lines.next(), lines.next()) {
            count += 1;
            let found = verdict(&funcs, snippet);
            if found != expected {
                let file = path.file_name().unwrap_or_default().display();
                failures.push(format!("{file}: {snippet}\n  want {expected}\n  have {found}"));
            }
        }
    }
    assert!(count > 9_000, "only {count} cases were read");
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
}

fn verdict(funcs: &Funcs<()>, snippet: &str) -> String {
    let text = snippet.replace('⏎', "\n").replace('⇥', "\t");
    let template = match Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)) {
        Ok(template) => template,
        Err(error) => return escape("! parse: ", error.to_string().as_bytes()),
    };
    let options = ExecOptions { missing_key: MissingKey::Zero, ..ExecOptions::default() };
    let mut out = Vec::new();
    match template.execute(funcs, &mut (), Value::Nil, &options, &mut out) {
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

//! Lines of `NAME=VALUE`, as Docker and shells know them.

/// Reads them: empty lines and those with `#` in front do not count, `export` may stand before the name, and quotes
/// around the value are taken away. In double quotes, `\n`, `\"` and `\\` are read.
///
/// # Errors
/// The first line that is none, by its number; never by its content.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let wrong = |why: &str| format!("line {}: {why}; write NAME=VALUE", nth + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong("this is no name of a variable"));
        }
        let value = unquoted(value.trim()).ok_or_else(|| wrong("the closing quote is missing"))?;
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.strip_suffix('\'').map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                char @ ('"' | '\\') => out.push(char),
                char => out.extend(['\\', char]),
            },
            char => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_many_kinds() {
        let text =
            "# c\n\nA=1\nexport B = two words \nC='a \"b\" $x'\nD=\"a\\n\\\"b\\\" \\x\"\nE=\nF=a=b#c\n";
        let want = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a \"b\" $x"),
            ("D", "a\n\"b\" \\x"),
            ("E", ""),
            ("F", "a=b#c"),
        ];
        let got = parse(text).unwrap();
        assert_eq!(got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_alone() {
        for text in ["A=1\nhidden", "A=1\n=hidden", "A=1\nB C=hidden", "A=1\nB='hidden", "A=1\nB=\"hidden"] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("line 2: ") && !error.contains("hidden"), "{error}");
        }
    }
}

//! Lines of `NAME=VALUE`, as compose files and shells know them.

/// Reads them. Empty lines do not count, nor does what stands behind a `#` at the beginning of a line or behind white
/// space. `export` may stand before the name. Quotes around a value are taken away; in double quotes `\n`, `\r`, `\t`,
/// `\"`, `\$` and `\\` are read, in single ones `\'`. Nothing is put in for `$NAME`.
///
/// # Errors
/// The first line that is none, by its number; never by its content.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    // Some editors write a mark of three bytes before all else.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pairs = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
        let line = exported.unwrap_or(line).trim_start();
        let wrong = |why: &str| format!("line {}: {why}; write NAME=VALUE", nth + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        let name = name.trim_end();
        let is_no_name = |char: char| char.is_whitespace() || char.is_control() || "\"'`".contains(char);
        if name.is_empty() || name.contains(is_no_name) {
            return Err(wrong("this is no name of a variable"));
        }
        if value.contains('\0') {
            return Err(wrong("there is a NUL byte, which no environment can hold"));
        }
        pairs.push((name.to_owned(), unquoted(value).map_err(wrong)?));
    }
    Ok(pairs)
}

/// What a value means, with what stands behind it.
fn unquoted(value: &str) -> Result<String, &'static str> {
    let (quote, rest) = match value.trim_start() {
        text if text.starts_with(['"', '\'']) => text.split_at(1),
        _ => return Ok(without_comment(value).trim().to_owned()),
    };
    const OPEN: &str = "the closing quote is missing";
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match (chars.next().ok_or(OPEN)?, quote) {
            ('"', "\"") | ('\'', "'") => break,
            ('\\', "\"") => match chars.next().ok_or(OPEN)? {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                char @ ('"' | '\\' | '$') => out.push(char),
                char => out.extend(['\\', char]),
            },
            ('\\', _) if chars.as_str().starts_with('\'') && chars.as_str().trim_end() != "'" => {
                out.extend(chars.next());
            }
            (char, _) => out.push(char),
        }
    }
    if without_comment(chars.as_str()).trim().is_empty() {
        Ok(out)
    } else {
        Err("something stands behind the closing quote")
    }
}

/// Up to a `#` that has white space before it.
fn without_comment(text: &str) -> &str {
    let is_comment =
        |(at, _): &(usize, &str)| text.get(..*at).is_some_and(|before| before.ends_with([' ', '\t']));
    text.match_indices('#').find(is_comment).and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_many_kinds() {
        let text = "\u{feff}# c\r\n\nA=1\r\nexport B = two words \nC='a \"b\" $x'\nD=\"a\\n\\\"b\\\" \\x\\t\"\nE=\n\
            F=a=b#c\nexport\tG=1 # one\nH=\"x # y\" # z\nI= # none\nJ=#all\nK='it\\'s'\nL='C:\\'\nexported=1\n";
        let want = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a \"b\" $x"),
            ("D", "a\n\"b\" \\x\t"),
            ("E", ""),
            ("F", "a=b#c"),
            ("G", "1"),
            ("H", "x # y"),
            ("I", ""),
            ("J", "#all"),
            ("K", "it's"),
            ("L", "C:\\"),
            ("exported", "1"),
        ];
        let got = parse(text).unwrap();
        assert_eq!(got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_alone() {
        for line in [
            "hidden",
            "=hidden",
            "B C=hidden",
            "B='hidden",
            "B=\"hidden",
            "B=\"hidden\\",
            "B='a'hidden",
            "B=\"a\" hidden",
            "\"B\"=hidden",
            "B=\0hidden",
            "B\0=hidden",
        ] {
            let error = parse(&format!("A=1\n{line}")).unwrap_err();
            assert!(error.starts_with("line 2: ") && !error.contains("hidden"), "{error}");
        }
    }
}

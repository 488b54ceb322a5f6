//! From a string token to the bytes it means.

/// A quoted string's content. `quoted` includes both quotes. `None` when an escape has no meaning or a `${`
/// is left open; the lexer has reported most of these already.
///
/// Inside `${ … }` nothing is unescaped: interpolation is gone, its text stays as it was written.
pub(crate) fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("${") {
            let end = interpolation_end(rest)?;
            bytes.extend_from_slice(unix_lines(&rest[..end]).as_bytes());
            rest = &rest[end..];
        } else if c == '\\' {
            rest = unescape(&rest[1..], &mut bytes)?;
        } else if c == '\n' || c == '"' {
            return None;
        } else {
            let length = c.len_utf8();
            bytes.extend_from_slice(&rest.as_bytes()[..length]);
            rest = &rest[length..];
        }
    }
    Some(bytes)
}

/// Upstream reads every file with its line ends made `\n` first.
fn unix_lines(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { text.into() }
}

fn interpolation_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// One escape, the backslash already gone. Octal and `\x` give a byte, `\u` and `\U` a character.
pub(crate) fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = text.chars().next()?;
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        '0'..='7' => {
            let digits = text.get(..3)?;
            bytes.push(u8::try_from(u32::from_str_radix(digits, 8).ok()?).ok()?);
            return text.get(3..);
        }
        'x' => {
            bytes.push(u8::from_str_radix(text.get(1..3)?, 16).ok()?);
            return text.get(3..);
        }
        'u' | 'U' => {
            let end = if kind == 'u' { 5 } else { 9 };
            let code = u32::from_str_radix(text.get(1..end)?, 16).ok()?;
            // A lone surrogate is a replacement character to Go; beyond the last plane is an error.
            let c = if code > 0x10_ffff { return None } else { char::from_u32(code).unwrap_or('\u{fffd}') };
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return text.get(end..);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(&text[1..])
}

/// A heredoc's content, from the whole token `<<MARK … MARK\n`.
///
/// With `<<` the blanks before an indented closing mark stay in the text. With `<<-` the closing mark's own
/// indentation is taken from every line if every line has it; otherwise from none but the mark's.
pub(crate) fn heredoc(token: &str) -> Vec<u8> {
    let token = unix_lines(token);
    let Some(first_line) = token.find('\n') else { return Vec::new() };
    let anchor = &token[2..first_line];
    let (unindent, mark) = match anchor.strip_prefix('-') {
        Some(mark) => (true, mark),
        None => (false, anchor),
    };
    let body_end = token.len().saturating_sub(mark.len() + 1).max(first_line + 1);
    // One without its closing mark is reported by the lexer; there is nothing to cut then.
    let body = token.get(first_line + 1..body_end).unwrap_or_default();
    if !unindent {
        return body.as_bytes().to_vec();
    }
    let (lines, indentation) = match body.rfind('\n') {
        Some(last) => (&body[..last], &body[last + 1..]),
        None => return Vec::new(),
    };
    if !lines.split('\n').all(|line| line.starts_with(indentation)) {
        return body.trim_end_matches([' ', '\t']).as_bytes().to_vec();
    }
    let mut text = Vec::with_capacity(body.len());
    for line in lines.split('\n') {
        text.extend_from_slice(&line.as_bytes()[indentation.len()..]);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_what_go_means_by_them() {
        let cases: &[(&str, &[u8])] = &[
            (r#""\x41\101\u00e9\U0001F600""#, "AA\u{e9}\u{1f600}".as_bytes()),
            (r#""\xff\a\v""#, &[0xff, 7, 11]),
            (r#""a${b\n"c"}d""#, br#"a${b\n"c"}d"#),
            (r#""$${x}%{y}""#, b"$${x}%{y}"),
        ];
        for (quoted, want) in cases {
            assert_eq!(unquote(quoted).as_deref(), Some(*want), "{quoted}");
        }
        for bad in [r#""\q""#, r#""${""#, r#""\777""#, "\"a\nb\""] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }

    #[test]
    fn indented_heredocs_lose_the_marks_indentation_or_nothing() {
        assert_eq!(heredoc("<<EOT\na\n  EOT\n"), b"a\n  ");
        assert_eq!(heredoc("<<-EOT\n    a\n      b\n    EOT\n"), b"a\n  b\n");
        assert_eq!(heredoc("<<-EOT\n    a\nb\n  EOT\n"), b"    a\nb\n");
        assert_eq!(heredoc("<<-EOT\n  EOT\n"), b"");
        assert_eq!(heredoc("<<E\na\u{feff}"), b"", "not terminated, and cut inside a character");
    }
}

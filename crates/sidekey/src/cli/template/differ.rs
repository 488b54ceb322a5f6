//! How two texts differ, line by line.

use std::fmt::Write as _;

use hcl1::Color;
use similar::{ChangeTag, TextDiff};

/// Lines of context around a change, as `diff -u` shows.
const CONTEXT: usize = 3;

/// A unified diff of `old` and `new`; none where they are equal. Bytes that are no UTF-8 are shown as U+FFFD.
pub(super) fn unified(
    old: &[u8],
    new: &[u8],
    old_name: &str,
    new_name: &str,
    color: Color,
) -> Option<String> {
    if old == new {
        return None;
    }
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let diff = TextDiff::from_lines(&*old, &*new);
    let (red, green, plain) = match color {
        Color::Ansi => ("\u{1b}[31m", "\u{1b}[32m", "\u{1b}[0m"),
        Color::Plain => ("", "", ""),
    };
    let mut out = format!("--- {old_name}\n+++ {new_name}\n");
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        let _ = writeln!(out, "{}", hunk.header());
        for change in hunk.iter_changes() {
            let (sign, start, end) = match change.tag() {
                ChangeTag::Delete => ('-', red, plain),
                ChangeTag::Insert => ('+', green, plain),
                ChangeTag::Equal => (' ', "", ""),
            };
            let line = change.value();
            let _ = write!(out, "{start}{sign}{}{end}", line.strip_suffix('\n').unwrap_or(line));
            out.push('\n');
            if change.missing_newline() {
                out.push_str("\\ No newline at end of file\n");
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        assert_eq!(unified(b"a\n", b"a\n", "x", "y", Color::Plain), None);
        assert_eq!(
            unified(b"a\nb\n", b"a\nc", "x", "y", Color::Plain).unwrap(),
            "--- x\n+++ y\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n"
        );
    }
}

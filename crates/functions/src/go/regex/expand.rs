//! Replacement templates: `$1`, `${1}`, `$name`, `${name}`, `$$`.

use std::sync::LazyLock;

use gotemplate::FuncError;
use regex::bytes::Regex;

use crate::arguments::bounded;

/// What a name may consist of: letters, decimal digits and `_`, of any script.
static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A[\pL\p{Nd}_]+").ok());

/// Appends `template` to `out` with the groups put in. What names no group becomes nothing; a `$` that begins no
/// name stays.
pub(super) fn expand<'t>(
    out: &mut Vec<u8>,
    template: &[u8],
    names: &[String],
    group: impl Fn(usize) -> Option<&'t [u8]>,
) -> Result<(), FuncError> {
    let mut put = |part: &[u8]| {
        bounded(out.len() + part.len())?;
        out.extend_from_slice(part);
        Ok::<(), FuncError>(())
    };
    let mut rest = template;
    while let Some(dollar) = rest.iter().position(|&byte| byte == b'$') {
        let (before, after) = rest.split_at(dollar);
        put(before)?;
        rest = after.get(1..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(b"$") {
            put(b"$")?;
            rest = behind;
            continue;
        }
        let Some((name, behind)) = reference(rest) else {
            put(b"$")?;
            continue;
        };
        rest = behind;
        let found = match number(name) {
            Some(number) => group(number),
            None => names
                .iter()
                .enumerate()
                .filter(|(_, own)| own.as_bytes() == name)
                .find_map(|(number, _)| group(number)),
        };
        put(found.unwrap_or_default())?;
    }
    put(rest)
}

/// The name behind a `$`, and what follows it.
fn reference(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (braced, body) = match text.strip_prefix(b"{") {
        Some(body) => (true, body),
        None => (false, text),
    };
    let length = NAME.as_ref()?.find(body)?.end();
    let (name, rest) = body.split_at_checked(length)?;
    let rest = if braced { rest.strip_prefix(b"}")? } else { rest };
    Some((name, rest))
}

/// A group's number; none for anything else, such as a number with a zero in front.
fn number(name: &[u8]) -> Option<usize> {
    let zero_in_front = name.len() > 1 && name.first() == Some(&b'0');
    if zero_in_front || name.len() > 9 || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

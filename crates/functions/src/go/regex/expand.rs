//! Replacement templates: `$1`, `${1}`, `$name`, `${name}`, `$$`.

use std::sync::LazyLock;

use gotemplate::FuncError;
use memchr::memchr;
use regex::bytes::Regex;

use crate::arguments::{append, bounded_elements};
use crate::patience::Patience;

/// What a name may consist of: letters, decimal digits and `_`, of any script.
static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A[\pL\p{Nd}_]+").ok());

/// A template, read once for all matches.
pub(super) struct Template<'p>(Vec<Piece<'p>>);

enum Piece<'p> {
    Text(&'p [u8]),
    /// One, or all of one name, of which the first counts that took part in the match.
    Groups(Vec<usize>),
}

impl<'p> Template<'p> {
    /// A `$` that begins no name stays.
    ///
    /// # Errors
    /// When it has too many pieces.
    pub(super) fn parse(template: &'p [u8], names: &[String]) -> Result<Self, FuncError> {
        let (mut pieces, mut rest) = (Vec::new(), template);
        while let Some(dollar) = memchr(b'$', rest) {
            bounded_elements(pieces.len())?;
            let (before, after) = rest.split_at(dollar);
            let (sign, behind) = after.split_at(1);
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            if let Some(behind) = behind.strip_prefix(b"$") {
                pieces.push(Piece::Text(sign));
                rest = behind;
            } else if let Some((name, behind)) = reference(behind) {
                let groups: Vec<usize> = match number(name) {
                    Some(number) => (number < names.len()).then_some(number).into_iter().collect(),
                    None => {
                        let named = names.iter().enumerate().filter(|(_, own)| own.as_bytes() == name);
                        named.map(|(number, _)| number).collect()
                    }
                };
                if !groups.is_empty() {
                    pieces.push(Piece::Groups(groups));
                }
                rest = behind;
            } else {
                pieces.push(Piece::Text(sign));
                rest = behind;
            }
        }
        pieces.push(Piece::Text(rest));
        Ok(Self(pieces))
    }

    /// Appends the template to `out` with the groups put in. What names no group becomes nothing.
    ///
    /// # Errors
    /// When the result would be too long, or patience ends.
    pub(super) fn expand<'t>(
        &self,
        out: &mut Vec<u8>,
        group: impl Fn(usize) -> Option<&'t [u8]>,
        patience: &mut Patience,
    ) -> Result<(), FuncError> {
        for piece in &self.0 {
            patience.spend()?;
            let part = match piece {
                Piece::Text(text) => Some(*text),
                Piece::Groups(numbers) => numbers.iter().find_map(|&number| group(number)),
            };
            append(out, part.unwrap_or_default())?;
        }
        Ok(())
    }
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

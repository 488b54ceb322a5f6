//! PEM as Go reads and writes it.

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// What stands between BEGIN and END.
pub(super) struct Block {
    /// `RSA PRIVATE KEY`
    pub(super) kind: String,
    /// Its bytes.
    pub(super) der: Vec<u8>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// The first block that is whole; text around it does not matter.
pub(super) fn decode(mut data: &[u8]) -> Option<Block> {
    loop {
        // An end, and the last begin before it: one without an end of its own is passed over.
        let end = find(data, END)?;
        let (before, behind) = data.split_at_checked(end)?;
        let behind = behind.get(END.len()..)?;
        if let Some(begin) = before.windows(BEGIN.len()).rposition(|part| part == BEGIN)
            && before.get(..begin).is_some_and(|text| text.is_empty() || text.ends_with(b"\n"))
            && let Some(block) = before.get(begin + BEGIN.len()..).and_then(|body| block(body, behind))
        {
            return Some(block);
        }
        data = behind;
    }
}

/// The block whose first line begins in `body`; `behind` is what follows its END.
fn block(body: &[u8], behind: &[u8]) -> Option<Block> {
    let (first, mut body) = line(body);
    let kind = first.strip_suffix(DASHES)?;
    let rest_of_end = behind.strip_prefix(kind)?.strip_prefix(DASHES)?;
    if !line(rest_of_end).0.is_empty() {
        return None;
    }
    // Headers need an empty line behind them, but only before the END.
    while let Some(text) = body {
        let (header, rest) = line(text);
        if !header.contains(&b':') {
            break;
        }
        body = Some(rest?);
    }
    let data: Vec<u8> =
        body.unwrap_or_default().iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t')).collect();
    let der = crate::go::base64::decode(&data).ok()?;
    Some(Block { kind: String::from_utf8_lossy(kind).into_owned(), der })
}

/// The first line without blanks at its end, and what follows unless it is the last.
fn line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (mut line, rest) = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end + 1..)),
        None => (text, None),
    };
    if rest.is_some() {
        line = line.strip_suffix(b"\r").unwrap_or(line);
    }
    while let [shorter @ .., b' ' | b'\t'] = line {
        line = shorter;
    }
    (line, rest)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

/// A block of 64 characters a line.
pub(super) fn encode(kind: &str, der: &[u8]) -> Vec<u8> {
    let mut out = format!("-----BEGIN {kind}-----\n").into_bytes();
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend(format!("-----END {kind}-----\n").bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for length in [0, 1, 47, 48, 49, 100] {
            let der: Vec<u8> = (0..length).collect();
            let block = decode(&encode("A KEY", &der)).unwrap();
            assert_eq!((block.kind.as_str(), block.der), ("A KEY", der));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let pieces =
            ["-----BEGIN X-----", "-----END X-----", "\n", "-----END ", "a:b", "AAAA", "\r\n", " ", "-----"];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let _ = decode(
                        format!("-----BEGIN X-----\n{first}{second}{third}\n-----END X-----").as_bytes(),
                    );
                    let _ = decode(format!("{first}{second}{third}{second}").as_bytes());
                }
            }
        }
    }
}

//! `encoding/pem`.

use std::collections::BTreeMap;

use super::base64::STANDARD;

/// What stands between BEGIN and END. It has no `Debug`, as it may be a key.
pub struct Block {
    /// `RSA PRIVATE KEY`
    pub kind: String,
    /// The lines `Name: value` in front, of old encrypted keys.
    pub headers: BTreeMap<String, String>,
    /// Its bytes.
    pub der: Vec<u8>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// The blocks that are whole, in their order; text around them does not matter.
pub fn blocks(mut data: &[u8]) -> impl Iterator<Item = Block> {
    std::iter::from_fn(move || {
        loop {
            // An end, and the last begin before it: one without an end of its own is passed over.
            let (before, behind) = data.split_at_checked(find(data, END)?)?;
            let behind = behind.get(END.len()..)?;
            data = behind;
            if let Some(begin) = before.windows(BEGIN.len()).rposition(|part| part == BEGIN)
                && before.get(..begin).is_some_and(|text| text.is_empty() || text.ends_with(b"\n"))
                && let Some(body) = before.get(begin + BEGIN.len()..)
                && let Some(block) = block(body, behind)
            {
                data = line(behind).1.unwrap_or_default();
                return Some(block);
            }
        }
    })
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
    let mut headers = BTreeMap::new();
    while let Some(text) = body {
        let (header, rest) = line(text);
        let header = String::from_utf8_lossy(header);
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.trim().to_owned(), value.trim().to_owned());
        body = Some(rest?);
    }
    let data = body.unwrap_or_default().iter().copied();
    let data: Vec<u8> = data.filter(|byte| !matches!(byte, b' ' | b'\t')).collect();
    let der = STANDARD.decode(&data).ok()?;
    Some(Block { kind: String::from_utf8_lossy(kind).into_owned(), headers, der })
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

/// A block without headers, of 64 characters a line.
pub fn encode(kind: &str, der: &[u8]) -> Vec<u8> {
    encode_with(kind, &BTreeMap::new(), der)
}

impl Block {
    /// Written anew.
    pub fn encode(&self) -> Vec<u8> {
        encode_with(&self.kind, &self.headers, &self.der)
    }
}

fn encode_with(kind: &str, headers: &BTreeMap<String, String>, der: &[u8]) -> Vec<u8> {
    let mut out = format!("-----BEGIN {kind}-----\n");
    // The one that says how it is encrypted must be the first.
    let (first, others): (Vec<_>, Vec<_>) = headers.iter().partition(|(name, _)| *name == "Proc-Type");
    for (name, value) in first.into_iter().chain(others) {
        out.push_str(&format!("{name}: {value}\n"));
    }
    if !headers.is_empty() {
        out.push('\n');
    }
    let mut out = out.into_bytes();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
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
            let block = blocks(&encode("A KEY", &der)).next().unwrap();
            assert_eq!((block.kind.as_str(), block.der), ("A KEY", der));
        }
    }

    #[test]
    fn headers_are_kept() {
        let text = "-----BEGIN X-----\nB:  2\nProc-Type: 4,ENCRYPTED \nA: 1\n\nAAAA\n-----END X-----\n";
        let block = blocks(text.as_bytes()).next().unwrap();
        assert_eq!(block.der, [0; 3]);
        let again = "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nA: 1\nB: 2\n\nAAAA\n-----END X-----\n";
        assert_eq!(String::from_utf8(block.encode()).unwrap(), again);
        // Nothing but headers.
        assert!(blocks(b"-----BEGIN X-----\nA: 1\n-----END X-----").next().is_none());
    }

    #[test]
    fn one_block_after_the_other() {
        let text = "one\n-----BEGIN A-----\nAAAA\n-----END A-----\n-----BEGIN B-----\n-----END B-----junk\n\
            -----BEGIN C-----\n-----BEGIN D-----\n-----END D-----   \nx-----BEGIN E-----\n-----END E-----\n\
            -----BEGIN F-----\n*\n-----END F-----\n-----BEGIN G-----\n-----END G-----";
        let kinds: Vec<String> = blocks(text.as_bytes()).map(|block| block.kind).collect();
        assert_eq!(kinds, ["A", "D", "G"]);
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let pieces =
            ["-----BEGIN X-----", "-----END X-----", "\n", "-----END ", "a:b", "AAAA", "\r\n", " ", "-----"];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let inside = format!("-----BEGIN X-----\n{first}{second}{third}\n-----END X-----");
                    blocks(inside.as_bytes()).for_each(drop);
                    blocks(format!("{first}{second}{third}{second}").as_bytes()).for_each(drop);
                }
            }
        }
    }
}

//! References to secrets in the value of a variable, as bank-vaults writes them: `vault:PATH#KEY`,
//! `vault:PATH#KEY#VERSION`, `vault:PATH#${TEMPLATE}`, and `${vault:PATH#KEY}` inside a longer text.

/// A piece of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Secret(Reference),
}

/// A secret, and what is wanted of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reference {
    pub(super) path: String,
    pub(super) want: Want,
    pub(super) version: Option<u64>,
}

/// What is wanted of a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// The value of a key.
    Key(String),
    /// What a template makes of all its keys: `.key | b64dec`, as it stands between `${` and `}`.
    Template(String),
}

const PREFIX: &str = "vault:";
const WRITES: &str = "a reference with >> writes to the server, which `run` does not do; use a --template with a `secret` that writes";

/// Reads a value; `None` for one without a reference.
///
/// # Errors
/// What is wrong with a reference.
pub(super) fn parse(value: &str) -> Result<Option<Vec<Piece>>, String> {
    if value.starts_with(">>vault:") || value.contains("${>>vault:") {
        return Err(WRITES.to_owned());
    }
    if let Some(rest) = value.strip_prefix(PREFIX) {
        // `vault:8200` is a host and its port.
        if !rest.contains('#') && !rest.contains('/') {
            return Ok(None);
        }
        return Ok(Some(vec![Piece::Secret(reference(rest)?)]));
    }
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once("${vault:") {
        let end = closing(behind)
            .ok_or_else(|| format!("the reference ${{vault:{behind} has no end: a }} is missing"))?;
        let (inside, after) = behind.split_at(end);
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Secret(reference(inside)?));
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    if pieces.is_empty() {
        return Ok(None);
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(Some(pieces))
}

/// Where the `}` is that closes what was open before.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `PATH#KEY`, with perhaps a version.
fn reference(text: &str) -> Result<Reference, String> {
    let wrong = |why: &str| format!("the reference vault:{text} {why}; write vault:secret/data/app#password");
    let (path, rest) = text.split_once('#').ok_or_else(|| wrong("names no key"))?;
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Err(wrong("names no path"));
    }
    let (want, version) = match rest.strip_prefix("${") {
        Some(inner) => {
            let end = closing(inner).ok_or_else(|| wrong("has a template without its }"))?;
            let (template, after) = inner.split_at(end);
            (Want::Template(template.trim().to_owned()), after.strip_prefix('}').unwrap_or(after))
        }
        None => match rest.split_once('#') {
            None => (Want::Key(rest.to_owned()), ""),
            Some((key, _)) => (Want::Key(key.to_owned()), rest.get(key.len()..).unwrap_or_default()),
        },
    };
    if matches!(&want, Want::Key(text) | Want::Template(text) if text.is_empty()) {
        return Err(wrong("names no key"));
    }
    let version = match version.strip_prefix('#') {
        None if version.is_empty() => None,
        Some("") => None,
        Some(number) => Some(number.parse().map_err(|_| wrong("has a version that is no number"))?),
        None => return Err(wrong("goes on behind its template")),
    };
    Ok(Reference { path: path.to_owned(), want, version })
}

/// A template of bank-vaults as one of ours: it knows Go's functions and sprig's, the latter by their short names.
pub(super) fn with_sprig_names(template: &str) -> String {
    const GOS: &[&str] = &[
        "and", "break", "call", "continue", "else", "end", "eq", "false", "ge", "gt", "html", "if", "index",
        "js", "le", "len", "lt", "ne", "nil", "not", "or", "print", "printf", "println", "range", "slice",
        "true", "urlquery", "with",
    ];
    let mut out = String::new();
    let mut quote = None;
    let mut word = String::new();
    let mut before = ' ';
    let flush = |word: &mut String, before: char, out: &mut String| {
        let is_name = word.chars().next().is_some_and(char::is_alphabetic);
        if is_name && !matches!(before, '.' | '$') && !GOS.contains(&word.as_str()) {
            out.push_str("sprig_");
        }
        out.push_str(word);
        word.clear();
    };
    let mut escaped = false;
    for char in template.chars() {
        if quote.is_none() && (char.is_alphanumeric() || char == '_') {
            word.push(char);
            continue;
        }
        if !word.is_empty() {
            flush(&mut word, before, &mut out);
        }
        out.push(char);
        before = char;
        match quote {
            None if matches!(char, '"' | '`' | '\'') => quote = Some(char),
            Some(open) if char == open && !escaped => quote = None,
            _ => {}
        }
        escaped = char == '\\' && !escaped && quote.is_some_and(|open| open != '`');
    }
    flush(&mut word, before, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str, key: &str, version: Option<u64>) -> Piece {
        Piece::Secret(Reference { path: path.into(), want: Want::Key(key.into()), version })
    }

    #[test]
    fn as_bank_vaults_writes_them() {
        let template = |text: &str, version| {
            Piece::Secret(Reference {
                path: "secret/data/a".into(),
                want: Want::Template(text.into()),
                version,
            })
        };
        let text = |text: &str| Piece::Text(text.into());
        for (value, want) in [
            ("plain", None),
            ("vault:8200", None),
            ("http://vault:8200/#x", None),
            ("vault:secret/data/a#b", Some(vec![key("secret/data/a", "b", None)])),
            ("vault:/secret/data/a/#b#3", Some(vec![key("secret/data/a", "b", Some(3))])),
            ("vault:secret/data/a#b#", Some(vec![key("secret/data/a", "b", None)])),
            ("vault:secret/data/a#${.b | b64dec}", Some(vec![template(".b | b64dec", None)])),
            (
                "vault:secret/data/a#${ printf \"{%s}\" .b }#2",
                Some(vec![template("printf \"{%s}\" .b", Some(2))]),
            ),
            (
                "pg://${vault:secret/data/a#u}:${vault:secret/data/a#${.p | urlquery}}@host",
                Some(vec![
                    text("pg://"),
                    key("secret/data/a", "u", None),
                    text(":"),
                    template(".p | urlquery", None),
                    text("@host"),
                ]),
            ),
        ] {
            assert_eq!(parse(value), Ok(want), "{value}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (value, why) in [
            ("vault:secret/data/a", "names no key"),
            ("vault:secret/data/a#", "names no key"),
            ("vault:#b", "names no path"),
            ("vault:secret/data/a#b#new", "no number"),
            ("vault:secret/data/a#${.b", "without its }"),
            ("vault:secret/data/a#${.b}x", "goes on"),
            ("x${vault:secret/data/a#b", "has no end"),
            (">>vault:pki/issue/x#certificate", ">>"),
            ("x${>>vault:pki/issue/x#certificate}", ">>"),
        ] {
            assert!(parse(value).unwrap_err().contains(why), "{value}");
        }
    }

    #[test]
    fn sprig_has_its_long_names_here() {
        for (given, want) in [
            (".b | b64dec", ".b | sprig_b64dec"),
            ("printf \"%s b64dec \\\" x\" (upper .b)", "printf \"%s b64dec \\\" x\" (sprig_upper .b)"),
            ("index . \"a\" | default `x y`", "index . \"a\" | sprig_default `x y`"),
            ("$x.b9 | trunc 5", "$x.b9 | sprig_trunc 5"),
        ] {
            assert_eq!(with_sprig_names(given), want);
        }
    }
}

//! References to secrets in the value of a variable, as bank-vaults writes them: `vault:PATH#KEY`,
//! `vault:PATH#KEY#VERSION`, `vault:PATH#${TEMPLATE}`, `>>vault:PATH#KEY#{JSON}`, which writes, `vault:v1:…`, which
//! `transit` deciphers, and `${vault:PATH#KEY}` inside a longer text.

use serde_json::Value;

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
    pub(super) ask: Ask,
}

/// How a secret is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    /// Perhaps a version of it.
    Read(Option<u64>),
    /// By writing these, `NAME=VALUE` each; the answer is the secret.
    Write(Vec<String>),
}

/// Where `transit` has the key of ciphertexts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transit<'a> {
    /// Its mount; `transit` unless somebody says otherwise.
    pub(super) mount: Option<&'a str>,
    pub(super) key: Option<&'a str>,
}

/// What is wanted of a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// The value of a key.
    Key(String),
    /// What a template makes of all its keys: `.key | b64dec`, as it stands between `${` and `}`.
    Template(String),
    /// The plain text of a ciphertext.
    Plaintext,
}

const PREFIX: &str = "vault:";

/// Reads a value; `None` for one without a reference.
///
/// # Errors
/// What is wrong with a reference.
pub(super) fn parse(value: &str, transit: Transit<'_>) -> Result<Option<Vec<Piece>>, String> {
    if let Some(rest) = value.strip_prefix(">>vault:") {
        return Ok(Some(vec![Piece::Secret(reference(rest, true, transit)?)]));
    }
    if let Some(rest) = value.strip_prefix(PREFIX) {
        // `vault:8200` is a host and its port, `vault://host` the address of something.
        let is_other = !rest.contains('/') || rest.starts_with("//");
        if !rest.contains('#') && is_other && !is_ciphertext(rest) {
            return Ok(None);
        }
        return Ok(Some(vec![Piece::Secret(reference(rest, false, transit)?)]));
    }
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, behind, writes)) = next(rest) {
        let end = closing(behind)
            .ok_or_else(|| format!("the reference ${{vault:{} has no end: a }} is missing", shown(behind)))?;
        let (inside, after) = behind.split_at(end);
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Secret(reference(inside, writes, transit)?));
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    if pieces.is_empty() {
        return Ok(None);
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(Some(pieces))
}

/// What stands before and behind the next `${vault:` or `${>>vault:`, and whether it is the latter.
fn next(text: &str) -> Option<(&str, &str, bool)> {
    let reads = text.split_once("${vault:").map(|(before, behind)| (before, behind, false));
    let writes = text.split_once("${>>vault:").map(|(before, behind)| (before, behind, true));
    reads.into_iter().chain(writes).min_by_key(|(before, ..)| before.len())
}

/// A ciphertext of `transit`, behind `vault:`: `v1:…`.
fn is_ciphertext(text: &str) -> bool {
    let version = text.strip_prefix('v').and_then(|rest| rest.split_once(':'));
    version
        .is_some_and(|(version, _)| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A reference for people: without what it writes, which is nobody's business.
fn shown(reference: &str) -> &str {
    match reference.match_indices('#').nth(1) {
        Some((at, _)) => reference.get(..at).unwrap_or_default(),
        None => reference,
    }
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

/// `PATH#KEY`, with perhaps a version, or with what is to be written.
fn reference(text: &str, writes: bool, transit: Transit<'_>) -> Result<Reference, String> {
    if is_ciphertext(text) && !writes {
        return ciphertext(text, transit);
    }
    let arrows = if writes { ">>" } else { "" };
    let wrong = |why: &str| {
        format!(
            "the reference {arrows}vault:{} {why}; write {arrows}vault:secret/data/app#password",
            shown(text)
        )
    };
    let (path, rest) = text.split_once('#').ok_or_else(|| wrong("names no key"))?;
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Err(wrong("names no path"));
    }
    let (want, more) = match rest.strip_prefix("${") {
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
    let more = match more.strip_prefix('#') {
        None if more.is_empty() => "",
        Some(more) => more,
        None => return Err(wrong("goes on behind its template")),
    };
    let ask = match more {
        _ if writes => Ask::Write(fields(more).map_err(|why| wrong(&why))?),
        "" => Ask::Read(None),
        number => Ask::Read(Some(number.parse().map_err(|_| wrong("has a version that is no number"))?)),
    };
    Ok(Reference { path: path.to_owned(), want, ask })
}

fn ciphertext(text: &str, transit: Transit<'_>) -> Result<Reference, String> {
    let key = transit.key.ok_or("it is a ciphertext of transit: say in VAULT_TRANSIT_KEY_ID which key opens it, and in VAULT_TRANSIT_PATH where transit is mounted")?;
    let mount = transit.mount.unwrap_or("transit").trim_matches('/');
    Ok(Reference {
        path: format!("{mount}/decrypt/{key}"),
        want: Want::Plaintext,
        ask: Ask::Write(vec![format!("ciphertext={PREFIX}{text}")]),
    })
}

/// The fields of a JSON object, as a template writes them: `NAME=VALUE`. Never a value in an error.
fn fields(json: &str) -> Result<Vec<String>, String> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let Ok(Value::Object(fields)) = serde_json::from_str(json) else {
        return Err("has something behind its key that is no JSON object".to_owned());
    };
    let mut pairs = Vec::new();
    for (name, value) in &fields {
        let value = match value {
            Value::Array(all) => {
                let all: Option<Vec<String>> =
                    all.iter().map(|one| plain(one).filter(|one| !one.contains(','))).collect();
                all.map(|all| all.join(","))
            }
            one => plain(one),
        };
        let value = value.ok_or_else(|| {
            format!("writes {name:?} with a value that is no text, number, boolean or list of these")
        })?;
        // The template would cut them off.
        if name.is_empty() || name.contains('=') || name.trim() != name || value.trim() != value {
            return Err(format!("writes {name:?} with white space at an end, or a name with ="));
        }
        pairs.push(format!("{name}={value}"));
    }
    Ok(pairs)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
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
        Piece::Secret(Reference { path: path.into(), want: Want::Key(key.into()), ask: Ask::Read(version) })
    }

    #[test]
    fn as_bank_vaults_writes_them() {
        let template = |text: &str, version| {
            Piece::Secret(Reference {
                path: "secret/data/a".into(),
                want: Want::Template(text.into()),
                ask: Ask::Read(version),
            })
        };
        let text = |text: &str| Piece::Text(text.into());
        for (value, want) in [
            ("plain", None),
            ("vault:8200", None),
            ("vault://vault:8200", None),
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
            assert_eq!(parse(value, Transit::default()), Ok(want), "{value}");
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
            (">>vault:pki/issue/x", "names no key"),
            (">>vault:pki/issue/x#k#hidden", "no JSON object"),
            (">>vault:pki/issue/x#k#[\"hidden\"]", "no JSON object"),
            (">>vault:pki/issue/x#k#{\"a\":{\"b\":\"hidden\"}}", "writes \"a\""),
            (">>vault:pki/issue/x#k#{\"a\":[\"hidden\",\"x,y\"]}", "writes \"a\""),
            (">>vault:pki/issue/x#k#{\"a\":null}", "writes \"a\""),
            (">>vault:pki/issue/x#k#{\"a\":\" hidden\"}", "white space"),
            (">>vault:pki/issue/x#k#{\"a=b\":\"hidden\"}", "\"a=b\""),
            ("x${>>vault:pki/issue/x#k#{\"a\":\"hidden\"}", "has no end"),
            ("vault:v1:x", "VAULT_TRANSIT_KEY_ID"),
        ] {
            let error = parse(value, Transit::default()).unwrap_err();
            assert!(error.contains(why) && !error.contains("hidden"), "{value}: {error}");
        }
    }

    #[test]
    fn some_write() {
        let write = |want: Want, pairs: &[&str]| {
            let ask = Ask::Write(pairs.iter().map(|pair| (*pair).to_owned()).collect());
            Piece::Secret(Reference { path: "pki/issue/x".into(), want, ask })
        };
        let key = Want::Key("certificate".into());
        let sprig = Want::Template(".ca_chain | first".into());
        let json = r##"{"common_name":"a.b","ttl":5,"x":true,"alt":["c","#}"]}"##;
        let pairs = &["common_name=a.b", "ttl=5", "x=true", "alt=c,#}"];
        for (value, want) in [
            (">>vault:pki/issue/x#certificate".to_owned(), vec![write(key.clone(), &[])]),
            (">>vault:pki/issue/x#certificate#{}".to_owned(), vec![write(key.clone(), &[])]),
            (format!(">>vault:pki/issue/x#certificate#{json}"), vec![write(key.clone(), pairs)]),
            (">>vault:pki/issue/x#${.ca_chain | first}#{\"a\":1}".to_owned(), vec![write(sprig, &["a=1"])]),
            (
                "x ${>>vault:pki/issue/x#certificate#{\"a\":1}}${vault:secret/data/a#b}".to_owned(),
                vec![Piece::Text("x ".into()), write(key, &["a=1"]), self::key("secret/data/a", "b", None)],
            ),
        ] {
            assert_eq!(parse(&value, Transit::default()), Ok(Some(want)), "{value}");
        }
    }

    #[test]
    fn ciphertexts_are_deciphered() {
        let transit = Transit { mount: None, key: Some("app") };
        let plain = |mount: &str, text: &str| {
            let ask = Ask::Write(vec![format!("ciphertext={text}")]);
            Piece::Secret(Reference { path: format!("{mount}/decrypt/app"), want: Want::Plaintext, ask })
        };
        assert_eq!(parse("vault:v12:ab/c+=", transit), Ok(Some(vec![plain("transit", "vault:v12:ab/c+=")])));
        let elsewhere = Transit { mount: Some("/team/t/"), ..transit };
        let want = vec![Piece::Text("x:".into()), plain("team/t", "vault:v1:ab")];
        assert_eq!(parse("x:${vault:v1:ab}", elsewhere), Ok(Some(want)));
        assert_eq!(parse("vault:v:1", transit), Ok(None));
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

//! Paths with slashes, by their text alone. The names with `os` are the same on Unix.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::bytes;
use crate::{Entry, entry};

const TEXT: &[Param] = &[Param::Str];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_base", TEXT, base),
        "sprig_base path",
        "The last element of a path.",
        r#"{{ sprig_base "/a/b.txt" }}"#,
        "b.txt",
    ),
    entry(
        Func::pure("sprig_dir", TEXT, dir),
        "sprig_dir path",
        "All but the last element of a path.",
        r#"{{ sprig_dir "/a/b.txt" }}"#,
        "/a",
    ),
    entry(
        Func::pure("sprig_clean", TEXT, |arguments| Ok(Value::from(clean(bytes(arguments, 0))))),
        "sprig_clean path",
        "The shortest path of the same meaning, without . and .. where possible.",
        r#"{{ sprig_clean "/a/../b//c" }}"#,
        "/b/c",
    ),
    entry(
        Func::pure("sprig_ext", TEXT, ext),
        "sprig_ext path",
        "The extension of the last element, with its point.",
        r#"{{ sprig_ext "/a/b.txt" }}"#,
        ".txt",
    ),
    entry(
        Func::pure("sprig_isAbs", TEXT, is_abs),
        "sprig_isAbs path",
        "Whether the path begins with a slash.",
        r#"{{ sprig_isAbs "/a" }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_osBase", TEXT, base),
        "sprig_osBase path",
        "The same as sprig_base.",
        r#"{{ sprig_osBase "/a/b.txt" }}"#,
        "b.txt",
    ),
    entry(
        Func::pure("sprig_osDir", TEXT, dir),
        "sprig_osDir path",
        "The same as sprig_dir.",
        r#"{{ sprig_osDir "/a/b.txt" }}"#,
        "/a",
    ),
    entry(
        Func::pure("sprig_osClean", TEXT, |arguments| Ok(Value::from(clean(bytes(arguments, 0))))),
        "sprig_osClean path",
        "The same as sprig_clean.",
        r#"{{ sprig_osClean "/a/../b" }}"#,
        "/b",
    ),
    entry(
        Func::pure("sprig_osExt", TEXT, ext),
        "sprig_osExt path",
        "The same as sprig_ext.",
        r#"{{ sprig_osExt "/a/b.txt" }}"#,
        ".txt",
    ),
    entry(
        Func::pure("sprig_osIsAbs", TEXT, is_abs),
        "sprig_osIsAbs path",
        "The same as sprig_isAbs.",
        r#"{{ sprig_osIsAbs "a" }}"#,
        "false",
    ),
];

fn base(arguments: &[Value]) -> Result<Value, FuncError> {
    let path = bytes(arguments, 0);
    if path.is_empty() {
        return Ok(Value::from("."));
    }
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let last = path.get(..end).unwrap_or_default().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    Ok(Value::from(if last.is_empty() { b"/" } else { last }))
}

fn dir(arguments: &[Value]) -> Result<Value, FuncError> {
    let path = bytes(arguments, 0);
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    Ok(Value::from(clean(path.get(..end).unwrap_or_default())))
}

/// `path.Clean`.
fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut elements: Vec<&[u8]> = Vec::new();
    for element in path.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." => match elements.last() {
                Some(last) if *last != b".." => {
                    elements.pop();
                }
                _ if rooted => {}
                _ => elements.push(element),
            },
            _ => elements.push(element),
        }
    }
    let joined = elements.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

fn ext(arguments: &[Value]) -> Result<Value, FuncError> {
    let last = bytes(arguments, 0).rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let point = last.iter().rposition(|byte| *byte == b'.');
    Ok(Value::from(point.and_then(|point| last.get(point..)).unwrap_or_default()))
}

fn is_abs(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(bytes(arguments, 0).starts_with(b"/")))
}

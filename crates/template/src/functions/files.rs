//! Files: `file` reads one, `writeToFile` writes one.

use std::path::PathBuf;

use ::functions::{Entry, Profile, entry};
use atomic_file::Attributes;
use gotemplate::{Func, FuncError, Param, Value, strconv};

use super::text;
use crate::dependency::Dependency;
use crate::evaluate::{Evaluation, Known};
use crate::writes::FileWrite;

pub(super) const ENTRIES: &[Entry<Evaluation>] = &[
    entry(
        Func::with("file", &[Param::Str], file),
        "file path",
        "The content of a local file, followed as it changes; sandbox_path limits it.",
        r#"{{ file "/etc/app/motd" | trimSpace }}"#,
        "welcome",
    ),
    entry(
        Func::with("writeToFile", &[Param::Str, Param::Str, Param::Str, Param::Str], write_to_file)
            .variadic(Param::Str),
        "writeToFile path user group perms [flags] content",
        "Writes one more file when the template is complete. Flags, comma-separated: append, newline (adds \
         one), allow_empty; without the last, empty content does not replace any.",
        r#"{{ "x" | writeToFile "/run/app/extra" "" "" "0600" "newline" }}written"#,
        "written",
    ),
];

fn file(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let path = text(arguments, 0);
    if path.is_empty() {
        return Ok(Value::from(""));
    }
    let path = PathBuf::from(path);
    evaluation.check_sandbox(&path)?;
    let sandbox = evaluation.sandbox.clone();
    Ok(match evaluation.need(Dependency::File { path, sandbox }) {
        Some(Known::File(bytes)) => Value::bytes(bytes.as_slice()),
        _ => Value::from(""),
    })
}

fn write_to_file(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let rest = arguments.get(4..).unwrap_or_default();
    let Some(content) = rest.last() else { return Err("runtime error: index out of range [-1]".into()) };
    let flags = if rest.len() == 2 { text(rest, 0) } else { String::new() };
    let mode = mode(&text(arguments, 3))?;
    let (user, group) = (text(arguments, 1), text(arguments, 2));
    let attributes = Attributes { owner: user_of(&user)?, group: group_of(&group)?, ..Attributes::new(mode) };
    let mut content = content.as_str().unwrap_or_default().to_vec();
    let keep_filled = content.is_empty() && !flags.contains("allow_empty");
    if flags.contains("newline") {
        content.push(b'\n');
    }
    let append = flags.contains("append");
    let path = PathBuf::from(text(arguments, 0));
    if path.file_name().is_none() {
        let why = if path.as_os_str().is_empty() { "no such file or directory" } else { "is a directory" };
        return Err(FuncError::new(format!("open {}: {why}", path.display())));
    }
    evaluation.check_sandbox_for(&path)?;
    evaluation.write(FileWrite {
        path,
        sandbox: evaluation.sandbox.clone(),
        content,
        append,
        keep_filled: keep_filled && !append,
        create: !append || evaluation.world.profile == Profile::Vault,
        attributes: with_both(attributes),
    })?;
    Ok(Value::from(""))
}

/// Go's `strconv.ParseUint` to the base 8, of which the permission bits count.
fn mode(text: &str) -> Result<u32, FuncError> {
    let mode = strconv::uint(text.as_bytes(), 8, 32)
        .map_err(|fault| FuncError::new(fault.told("ParseUint", text.as_bytes())))?;
    Ok(u32::try_from(mode).unwrap_or_default() & 0o777)
}

fn user_of(name: &str) -> Result<Option<u32>, FuncError> {
    id(name, atomic_file::user_id).ok_or_else(|| FuncError::new(format!("user: unknown user {name}")))
}

fn group_of(name: &str) -> Result<Option<u32>, FuncError> {
    id(name, atomic_file::group_id).ok_or_else(|| FuncError::new(format!("group: unknown group {name}")))
}

/// A name's number, or the number it is; -1 leaves the owner alone, as for `chown`.
fn id<E>(name: &str, look_up: impl Fn(&str) -> Result<u32, E>) -> Option<Option<u32>> {
    match name {
        "" | "-1" => Some(None),
        name => look_up(name).ok().or_else(|| name.parse().ok()).map(Some),
    }
}

/// Where one of both is given, the other is the program's own.
fn with_both(attributes: Attributes) -> Attributes {
    if attributes.owner.is_none() && attributes.group.is_none() {
        return attributes;
    }
    Attributes {
        owner: attributes.owner.or_else(|| Some(rustix::process::getuid().as_raw())),
        group: attributes.group.or_else(|| Some(rustix::process::getgid().as_raw())),
        ..attributes
    }
}

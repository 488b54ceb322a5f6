//! `env_template "NAME" { … }`: a variable of the child's environment. A template like all others, but that it has no
//! file.

use std::path::PathBuf;

use super::auto_auth::Choosing;
use super::template::{Contents, Template, read_denylist};
use crate::decode::{Block, Fields, Wording};
use crate::problem::Problem;

pub(crate) const PREFIX: &str = "error parsing 'env_template': ";
const KEYS_PREFIX: &str = "error parsing 'env_template': decoding failed due to the following error(s):\n\n";

/// What concerns files alone, and is refused.
const OF_FILES: &[&str] = &[
    "backup",
    "command",
    "command_timeout",
    "create_dest_dirs",
    "destination",
    "exec",
    "gid",
    "group",
    "perms",
    "sandbox_path",
    "uid",
    "user",
    "wait",
];

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> Choosing<Template> {
    let fields = file.inside("env_template", block, KEYS_PREFIX).worded(Wording::Template);
    let Choosing { name: auto_auth, place, .. } = Choosing::read(&fields, ());
    let refuse = |problem: Problem| fields.report.refuse(problem);
    let name = match block.labels.as_slice() {
        [label] => label.text.trim_matches('"').to_owned(),
        labels => {
            let message =
                format!("expected one and only one environment variable name, got {}", labels.len());
            fields.with_prefix(PREFIX).refuse_with(fields.span, message, "write env_template \"NAME\" { … }");
            String::new()
        }
    };
    if block.labels.len() == 1 {
        check_name(&fields, &name, &refuse);
    }
    let default = Template::default();
    let template = Template {
        destination: PathBuf::from(&name),
        left_delimiter: fields.filled("left_delimiter").unwrap_or(default.left_delimiter.clone()),
        right_delimiter: fields.filled("right_delimiter").unwrap_or(default.right_delimiter.clone()),
        error_on_missing_key: fields.strict_bool("error_on_missing_key").unwrap_or(false),
        error_fatal: fields.strict_bool("error_fatal").unwrap_or(true),
        function_denylist: read_denylist(&fields),
        variable: Some(name.clone()),
        ..default
    };
    let source = fields.file("source").map(Contents::File);
    // An empty text is a text here, as with upstream: the variable is empty.
    let contents = fields.bytes("contents").filter(|contents| source.is_none() || !contents.is_empty());
    let contents = contents.map(Contents::Inline);
    let whole = |span, message: String| Problem::whole(message, Some(&fields.report.place(span)));
    for key in OF_FILES.iter().filter(|key| fields.has(key)) {
        let problem = whole(fields.key_span(key), format!("env_template[{name}]: '{key}' is not allowed"));
        refuse(problem.hint("a variable is no file; use a `template` for one"));
    }
    let contents = match (contents, source) {
        _ if block.object.is_none() => None,
        (Some(contents), None) | (None, Some(contents)) => Some(contents),
        (Some(_), Some(_)) => {
            let message =
                format!("env_template[{name}]: 'contents' and 'source' cannot be specified together");
            refuse(whole(fields.span_of("source"), message));
            None
        }
        (None, None) => {
            let message = format!("env_template[{name}]: either 'contents' or 'source' must be specified");
            refuse(whole(fields.span, message));
            None
        }
    };
    if block.object.is_some() {
        fields.finish();
    }
    let what = Template { contents: contents.unwrap_or(template.contents.clone()), ..template };
    Choosing { what, name: auto_auth, place }
}

fn check_name(fields: &Fields<'_>, name: &str, refuse: &impl Fn(Problem)) {
    let hint = "letters, digits and _, and no digit in the first place";
    let place = fields.report.place(fields.span);
    if name.is_empty() {
        let message = "env_template: an environment variable name is required";
        return refuse(Problem::whole(message, Some(&place)).hint(hint));
    }
    if name.contains(|char: char| char == '=' || char.is_whitespace() || char.is_control()) {
        let message = format!("env_template: {name:?} is no name of an environment variable");
        return refuse(Problem::whole(message, Some(&place)).hint(hint));
    }
    let is_usual = |(nth, char): (usize, char)| {
        char == '_' || char.is_ascii_alphabetic() || (nth > 0 && char.is_ascii_digit())
    };
    if !name.chars().enumerate().all(is_usual) {
        fields.warn(fields.span, format!("shells cannot read a variable called {name:?}"), hint);
    }
}

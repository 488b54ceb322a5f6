//! The functions of the agents' templates, on top of Go's own. Those that need a secret or a file record it in
//! the [`Evaluation`] and give what is known of it.

mod encodings;
mod sources;
mod texts;

use gotemplate::Funcs;

use crate::evaluate::Evaluation;

/// All of them.
pub(crate) fn table() -> Funcs<Evaluation> {
    let mut funcs = Funcs::builtins();
    funcs.extend(sources::functions());
    funcs.extend(encodings::functions());
    funcs.extend(texts::functions());
    funcs
}

/// A string argument's text; Go's functions take bytes, and so does everything that need not look inside.
fn text(value: Option<&gotemplate::Value>) -> String {
    value
        .and_then(gotemplate::Value::as_str)
        .map(|b| String::from_utf8_lossy(b).into_owned())
        .unwrap_or_default()
}

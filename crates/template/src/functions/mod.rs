//! The functions that need more than their arguments: a secret, a file, the environment. They record what they
//! need in the [`Evaluation`] and give what is known of it. The others are in the crate `functions`.

mod sources;

use ::functions::Profile;
use gotemplate::Funcs;

use crate::evaluate::Evaluation;

/// All that a template of this profile may call.
pub(crate) fn table(profile: Profile) -> Funcs<Evaluation> {
    let mut funcs = Funcs::builtins();
    funcs.extend(::functions::entries(profile).filter_map(|entry| entry.func.lift()));
    funcs.extend(sources::functions());
    funcs
}

/// A string argument's text; Go's functions take bytes, and so does everything that need not look inside.
fn text(value: Option<&gotemplate::Value>) -> String {
    value
        .and_then(gotemplate::Value::as_str)
        .map(|b| String::from_utf8_lossy(b).into_owned())
        .unwrap_or_default()
}

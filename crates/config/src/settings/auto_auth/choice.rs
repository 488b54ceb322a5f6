//! Who uses which `auto_auth`: listeners, templates and `api_proxy` name one by `auto_auth = "…"`.

use super::RawAutoAuth;
use crate::decode::Fields;
use crate::nearest::nearest;
use crate::problem::{Place, Placed, Problem};

/// A stanza that may name an `auto_auth`, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Choosing<T> {
    pub(crate) what: T,
    /// The name, if one was given.
    pub(crate) name: Option<Placed<String>>,
    pub(crate) place: Place,
}

impl<T> Choosing<T> {
    /// `what` with the name that its stanza gives.
    pub(crate) fn read(fields: &Fields<'_>, what: T) -> Self {
        Self { what, name: read_choice(fields), place: fields.report.place(fields.span) }
    }
}

/// The stanza's key `auto_auth`.
pub(crate) fn read_choice(fields: &Fields<'_>) -> Option<Placed<String>> {
    fields.placed("auto_auth").filter(|name| !name.value.is_empty())
}

/// The place in `all` of the one that is chosen: by name; or, without one, the one without a name, or the only one
/// there is. `None` when there is none at all.
///
/// `place` is that of the stanza that chooses, and `who` what it is called.
pub(crate) fn choose(
    all: &[RawAutoAuth],
    name: Option<&Placed<String>>,
    (who, place): (&str, &Place),
) -> Result<Option<usize>, Box<Problem>> {
    let named = |wanted: Option<&str>| all.iter().position(|auto_auth| auto_auth.name.as_deref() == wanted);
    let names: Vec<&str> = all.iter().filter_map(|auto_auth| auto_auth.name.as_deref()).collect();
    let Some(wanted) = name else {
        return match (named(None), all.len()) {
            (Some(unnamed), _) => Ok(Some(unnamed)),
            (None, 0) => Ok(None),
            (None, 1) => Ok(Some(0)),
            (None, _) => {
                let message =
                    format!("there are several auto_auth blocks, and this {who} names none of them");
                let hint = format!("add auto_auth = \"…\"; the names are {}", names.join(", "));
                Err(Box::new(Problem::whole(message, Some(place)).hint(hint)))
            }
        };
    };
    named(Some(&wanted.value)).map(Some).ok_or_else(|| {
        let hint = match (nearest(&wanted.value, &names), names.is_empty()) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, true) => format!("write auto_auth {:?} {{ … }}", wanted.value),
            (None, false) => format!("the names are {}", names.join(", ")),
        };
        let message = format!("no auto_auth is named {:?}", wanted.value);
        Box::new(Problem::whole(message, Some(&wanted.place)).hint(hint))
    })
}

//! Where `env_template`s render to: the variables of a child's environment.
//!
//! They are templates like all others, evaluated, failing and refreshed alone; only that a text becomes a value here, in
//! memory, instead of a file. Whoever starts the child watches for the whole: there is none before every variable has
//! a value, and a new one only when a value is really another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atomic_file::Written;
use config::Template;
use tokio::sync::watch;
use tracing::info;
use zeroize::Zeroizing;

use crate::output;

/// The longest `NAME=value` that a Linux program can be started with, its closing NUL included: 32 pages
/// (`MAX_ARG_STRLEN`).
const LONGEST: usize = 128 * 1024;

/// Every variable and its value, by name.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Values(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Values {
    /// Name and value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

/// Names alone: values are secrets.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The variables of one child, whichever runners render them.
#[derive(Debug)]
pub struct Variables {
    state: Mutex<State>,
    complete: watch::Sender<Option<Arc<Values>>>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that have a value.
    rendered: Values,
    /// Those that are to have one.
    wanted: BTreeSet<String>,
}

fn names(templates: &[Template]) -> BTreeSet<String> {
    templates.iter().filter_map(|template| template.variable.clone()).collect()
}

/// None at all, so complete.
impl Default for Variables {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Variables {
    /// Those that these templates render; the names are each used once.
    pub fn of(templates: &[Template]) -> Self {
        let wanted = names(templates);
        let complete = wanted.is_empty().then(Arc::default);
        let state = Mutex::new(State { rendered: Values::default(), wanted });
        Self { state, complete: watch::Sender::new(complete) }
    }

    /// From now on these are to be rendered. Until all of them are, the last whole counts.
    pub fn want(&self, templates: &[Template]) {
        let mut state = self.state();
        state.wanted = names(templates);
        let State { rendered, wanted } = &mut *state;
        rendered.0.retain(|name, _| wanted.contains(name));
        self.tell(&state);
    }

    /// What is under the lock is whole at any time.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told under the lock, so that of two the later is told last.
    fn tell(&self, state: &State) {
        if state.rendered.0.len() < state.wanted.len() {
            return;
        }
        self.complete.send_if_modified(|complete| {
            let is_new = complete.as_deref() != Some(&state.rendered);
            if is_new {
                *complete = Some(Arc::new(state.rendered.clone()));
            }
            is_new
        });
    }

    /// All values; `None` until there is one for every variable.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Values>>> {
        self.complete.subscribe()
    }

    /// Takes a text that is meant for a variable; `None` for one that is meant for a file.
    pub(crate) fn take(&self, template: &Template, text: &[u8]) -> Option<Result<Written, String>> {
        let name = template.variable.as_deref()?;
        let source = output::source(template);
        Some(match unfit(name, text) {
            Some(why) => Err(format!("error rendering \"{source}\" => \"{name}\": {why}")),
            None => {
                let written = self.set(name, text);
                if written == Written::Changed {
                    info!(target: "", "(runner) rendered \"{source}\" => \"{name}\"");
                }
                Ok(written)
            }
        })
    }

    fn set(&self, name: &str, value: &[u8]) -> Written {
        let mut state = self.state();
        let known = state.rendered.0.get(name);
        if known.is_some_and(|known| known.as_slice() == value) || !state.wanted.contains(name) {
            return Written::Unchanged;
        }
        state.rendered.0.insert(name.to_owned(), Zeroizing::new(value.to_vec()));
        self.tell(&state);
        Written::Changed
    }
}

/// Why no program can be given this value, without the value. A newline is no hindrance.
fn unfit(name: &str, value: &[u8]) -> Option<String> {
    if value.contains(&0) {
        return Some("the value has a NUL byte, which no environment variable can hold; use base64Encode, or a template with a file".to_owned());
    }
    let length = name.len() + value.len() + "=\0".len();
    (length > LONGEST).then(|| {
        format!("the value is {} bytes long, and the system gives programs no variable of more than {LONGEST}; use a template with a file", value.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(variable: &str) -> Template {
        Template { variable: Some(variable.to_owned()), ..Template::default() }
    }

    #[test]
    fn it_is_whole_when_each_has_a_value_and_new_when_one_is_another() {
        let (one, two) = (template("ONE"), template("TWO"));
        let variables = Variables::of(&[two.clone(), Template::default(), one.clone()]);
        let mut watch = variables.watch();
        assert_eq!(variables.take(&two, b"2"), Some(Ok(Written::Changed)));
        assert_eq!(*watch.borrow_and_update(), None);
        assert_eq!(variables.take(&one, b"line\nline\n\xff"), Some(Ok(Written::Changed)));
        assert!(watch.has_changed().unwrap());
        let whole = watch.borrow_and_update().clone().unwrap();
        let expected: [(&str, &[u8]); 2] = [("ONE", b"line\nline\n\xff"), ("TWO", b"2")];
        assert_eq!(whole.iter().collect::<Vec<_>>(), expected);
        assert_eq!(variables.take(&two, b"2"), Some(Ok(Written::Unchanged)));
        assert!(!watch.has_changed().unwrap(), "the same value was news");
        assert_eq!(variables.take(&Template::default(), b"x"), None);
    }

    #[test]
    fn others_may_be_wanted_and_the_last_whole_counts_until_they_are_there() {
        let (one, two) = (template("ONE"), template("TWO"));
        let variables = Variables::of(std::slice::from_ref(&one));
        variables.take(&one, b"1");
        let mut watch = variables.watch();
        watch.mark_unchanged();
        variables.want(&[one.clone(), two.clone()]);
        assert!(!watch.has_changed().unwrap(), "there is no second value yet");
        variables.take(&two, b"2");
        assert_eq!(watch.borrow_and_update().as_ref().unwrap().iter().count(), 2);
        variables.want(&[one.clone(), two.clone()]);
        assert!(!watch.has_changed().unwrap(), "nothing is new");
        variables.want(std::slice::from_ref(&one));
        assert_eq!(watch.borrow_and_update().as_ref().unwrap().iter().count(), 1);
        variables.take(&two, b"late");
        assert!(!watch.has_changed().unwrap());
    }

    #[test]
    fn what_no_program_can_be_given_leaves_the_old_value() {
        let one = template("ONE");
        let variables = Variables::of(std::slice::from_ref(&one));
        assert_eq!(variables.take(&one, b"good"), Some(Ok(Written::Changed)));
        let mut watch = variables.watch();
        watch.mark_unchanged();
        let longest = LONGEST - "ONE=\0".len();
        for (value, why) in [(b"hid\0den".to_vec(), "NUL byte"), (vec![b'x'; longest + 1], "bytes long")] {
            let told = variables.take(&one, &value).unwrap().unwrap_err();
            assert!(
                told.starts_with("error rendering \"(dynamic)\" => \"ONE\": the value ")
                    && told.contains(why)
            );
            assert!(!told.contains("hid"), "{told}");
        }
        assert!(!watch.has_changed().unwrap());
        assert_eq!(variables.take(&one, &vec![b'x'; longest]), Some(Ok(Written::Changed)));
    }

    #[test]
    fn without_any_it_is_whole_from_the_start() {
        assert!(Variables::default().watch().borrow().is_some());
    }

    #[test]
    fn no_value_is_shown() {
        let variables = Variables::of(&[template("ONE")]);
        variables.set("ONE", b"hidden");
        assert!(!format!("{variables:?}").contains("hidden"));
    }
}

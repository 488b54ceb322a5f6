//! The environment, captured once at start. Nothing else in the program reads it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// Environment variables at one moment.
///
/// Every setting is read as `BAO_X` and, when that is not present at all, as `VAULT_X`; an empty `BAO_X` is
/// present. Tokens are dropped at the door: upstream attaches the environment's token to its own client, we
/// never use one that the configuration does not name.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// A variable that is set, under the name it was found by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Variable<'a> {
    pub(crate) name: String,
    pub(crate) value: &'a str,
}

const DROPPED: &[&str] = &["BAO_TOKEN", "VAULT_TOKEN"];

impl Environment {
    /// From pairs of name and value. What is not UTF-8 is read with U+FFFD in its place.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let variables = pairs
            .into_iter()
            .map(|(name, value)| (text(name.into()), text(value.into())))
            .filter(|(name, _)| !DROPPED.contains(&name.as_str()))
            .collect();
        Self { variables }
    }

    /// From the process.
    pub fn capture() -> Self {
        Self::new(std::env::vars_os())
    }

    /// Everything but tokens, for what templates may ask for.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `BAO_<name>`, else `VAULT_<name>`; possibly empty.
    pub(crate) fn variable(&self, name: &str) -> Option<Variable<'_>> {
        ["BAO_", "VAULT_"].iter().find_map(|prefix| {
            let name = format!("{prefix}{name}");
            let value = self.variables.get(&name)?;
            Some(Variable { name, value })
        })
    }

    /// [`Self::variable`], unless it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<Variable<'_>> {
        self.variable(name).filter(|variable| !variable.value.is_empty())
    }

    /// A variable by its whole name.
    pub(crate) fn exact(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// Names alone: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bao_is_asked_first_even_when_empty() {
        let environment = Environment::new([("VAULT_ADDR", "v"), ("BAO_ADDR", ""), ("VAULT_CACERT", "c")]);
        assert_eq!(environment.variable("ADDR").unwrap().value, "");
        assert_eq!(environment.filled("ADDR"), None);
        assert_eq!(environment.variable("CACERT").unwrap().name, "VAULT_CACERT");
        assert_eq!(environment.variable("CAPATH"), None);
    }

    #[test]
    fn holds_no_token_and_shows_no_value() {
        let environment = Environment::new([("VAULT_TOKEN", "s.secret"), ("AAD", "hidden")]);
        assert_eq!(environment.variable("TOKEN"), None);
        assert_eq!(format!("{environment:?}"), "{\"AAD\"}");
    }
}

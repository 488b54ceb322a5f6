//! The environment, captured once at start. Nothing else in the program reads it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::settings::Profile;

/// Environment variables at one moment.
///
/// Every setting is read as `BAO_X` and, when that is not present at all, as `VAULT_X`; an empty `BAO_X` is
/// present. Tokens are dropped at the door: upstream attaches the environment's token to its own client, we
/// never use one that the configuration does not name.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// What the program was called as, without its folder; empty when nobody said.
    program: String,
    /// Whether any variable of OpenBao and of Vault is set, tokens too.
    kin: (bool, bool),
    /// What makes an address of a template of go-sockaddr.
    addresses: Option<MakesAddress>,
}

/// Makes an address of a template such as `{{ GetPrivateIP }}:8200`, or says why not.
type MakesAddress = fn(&str) -> Result<String, String>;

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
        let mut variables: BTreeMap<String, String> =
            pairs.into_iter().map(|(name, value)| (text(name.into()), text(value.into()))).collect();
        let any = |prefix: &str| variables.keys().any(|name| name.starts_with(prefix));
        let kin = (any("BAO_"), any("VAULT_"));
        variables.retain(|name, _| !DROPPED.contains(&name.as_str()));
        Self { variables, program: String::new(), kin, addresses: None }
    }

    /// From the process.
    pub fn capture() -> Self {
        let program = std::env::args_os().next().unwrap_or_default();
        Self::new(std::env::vars_os()).called(Path::new(&program))
    }

    /// The same for a program that was called by this path.
    #[must_use]
    pub fn called(mut self, program: &Path) -> Self {
        self.program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self
    }

    /// The same on a machine whose addresses `make` knows: what makes an address of a template of go-sockaddr. Without
    /// it there is none.
    #[must_use]
    pub fn with_addresses(mut self, make: fn(&str) -> Result<String, String>) -> Self {
        self.addresses = Some(make);
        self
    }

    /// What `template` makes of the addresses of this machine: one, with what stands around it.
    pub(crate) fn address(&self, template: &str) -> Result<String, String> {
        let make = self.addresses.ok_or("the addresses of this machine are not known here")?;
        let made =
            make(template).map_err(|why| format!("unable to parse address template {template:?}: {why}"))?;
        // `Split` of upstream: every blank counts.
        match made.split(' ').count() {
            1 => Ok(made.trim().to_owned()),
            _ => Err(format!("multiple addresses found ({made:?}), please configure one")),
        }
    }

    /// Whose agent this is taken for when nobody says: OpenBao's when the program is called `bao` or only
    /// variables of OpenBao are set, else Vault's.
    pub fn profile(&self) -> Profile {
        if self.program == "bao" || self.kin == (true, false) { Profile::OpenBao } else { Profile::Vault }
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

    /// A variable by its whole name; tokens of the server are never there.
    pub fn exact(&self, name: &str) -> Option<&str> {
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
    fn the_profile_is_openbaos_by_name_or_by_variables_alone() {
        let of = |names: &[&str], program: &str| {
            Environment::new(names.iter().map(|name| (*name, "x"))).called(Path::new(program)).profile()
        };
        for (names, program, want) in [
            (&[][..], "/usr/bin/sidekey", Profile::Vault),
            (&[], "bao", Profile::OpenBao),
            (&["VAULT_ADDR"], "/usr/bin/bao", Profile::OpenBao),
            (&["BAO_ADDR", "HOME"], "sidekey", Profile::OpenBao),
            (&["BAO_TOKEN"], "vault", Profile::OpenBao),
            (&["BAO_ADDR", "VAULT_TOKEN"], "sidekey", Profile::Vault),
            (&["VAULT_ADDR"], "vault", Profile::Vault),
        ] {
            assert_eq!(of(names, program), want, "{names:?} {program}");
        }
    }

    #[test]
    fn holds_no_token_and_shows_no_value() {
        let environment = Environment::new([("VAULT_TOKEN", "s.secret"), ("AAD", "hidden")]);
        assert_eq!(environment.variable("TOKEN"), None);
        assert_eq!(format!("{environment:?}"), "{\"AAD\"}");
    }
}

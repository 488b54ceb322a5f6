//! What flags, files and the environment ask for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::{Environment, GoDuration};

use super::super::argv::go_bool;
use super::super::own_token::{self, variable};
use super::reference::{Piece, Reference, Transit, Want, parse};
use super::{RunProgramArgs, env_file};

/// What is asked for, read and not yet looked at.
#[derive(Default)]
pub(super) struct Asked {
    /// Whose every key becomes a variable.
    pub(super) secrets: Vec<Whole>,
    /// Variables whose values have references.
    pub(super) references: Vec<(String, Vec<Piece>)>,
    /// The others.
    pub(super) plain: Vec<(String, String)>,
    /// Source and destination.
    pub(super) templates: Vec<(String, String)>,
    pub(super) pass_token: bool,
    /// Our token is to live on when the program has ended.
    pub(super) keep_token: bool,
    /// Variables of ours that the program does not get.
    pub(super) hidden: Vec<String>,
    /// How long to wait before the program is started.
    pub(super) delay: Option<Duration>,
}

/// A secret whose every key becomes a variable.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Whole {
    /// With `/*` at its end, all below.
    pub(super) path: String,
    pub(super) version: Option<u64>,
    pub(super) prefix: String,
    pub(super) keep_case: bool,
}

impl Whole {
    /// `PATH`, `PATH#VERSION`, each perhaps with `=PREFIX` behind it.
    fn read(text: &str, prefix: &str, keep_case: bool) -> Self {
        let (path, prefix) = text.split_once('=').unwrap_or((text, prefix));
        let versioned = path.rsplit_once('#').and_then(|(path, version)| Some((path, version.parse().ok()?)));
        let (path, version) = versioned.map_or((path, None), |(path, version)| (path, Some(version)));
        Self { path: path.to_owned(), version, prefix: prefix.to_owned(), keep_case }
    }
}

/// What logins are made of, which is not the program's business.
const HIDDEN: &[&str] =
    &["VAULT_TOKEN", "BAO_TOKEN", "VAULT_ROLE_ID", "BAO_ROLE_ID", "VAULT_SECRET_ID", "BAO_SECRET_ID"];

const TOKENS: &[&str] = &["VAULT_TOKEN", "BAO_TOKEN"];

fn is_token(name: &str) -> bool {
    TOKENS.contains(&name)
}

/// What stands between commas.
fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|one| !one.is_empty())
}

/// Variables of bank-vaults that mean nothing here, and why.
const UNHEARD: &[(&str, &str)] = &[
    ("ENV_LOG_SERVER", "the log is on standard error"),
    ("REVOKE_TOKEN", "the token is kept for as long as the program runs, and revoked then"),
];

/// Those of them that are set, each with a line for people.
pub(super) fn unheard(environment: &Environment) -> impl Iterator<Item = String> {
    let set = UNHEARD.iter().filter(|(name, _)| {
        let value = variable(environment, name);
        if *name == "REVOKE_TOKEN" { says_yes(value) } else { value.is_some() }
    });
    set.map(|(name, why)| format!("VAULT_{name} is not followed: {why}"))
}

/// A file of variables is small; a larger one is something else.
const MAX_ENV_FILE: usize = 1024 * 1024;

impl Asked {
    /// Reads flags, files and the environment.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(super) fn read(arguments: &RunProgramArgs, environment: &Environment) -> Result<Self, String> {
        let get = |name: &str| variable(environment, name);
        let mut asked = Self { pass_token: arguments.pass_token, ..Self::default() };
        for secret in &arguments.secret {
            asked.secrets.push(Whole::read(secret, &arguments.prefix, arguments.keep_case));
        }
        // bank-vaults takes keys as they are.
        for secret in listed(get("ENV_FROM_PATH")) {
            asked.secrets.push(Whole::read(secret, &arguments.prefix, true));
        }
        let passed: Vec<&str> = listed(get("ENV_PASSTHROUGH")).collect();
        asked.pass_token |= passed.iter().any(|name| is_token(name));
        asked.keep_token = get("REVOKE_TOKEN").is_some_and(|value| go_bool(value) == Ok(false));
        let hidden = HIDDEN.iter().filter(|name| !passed.contains(name));
        asked.hidden = hidden.map(|name| (*name).to_owned()).collect();
        if let Some(delay) = get("ENV_DELAY") {
            let delay = GoDuration::parse_lax(delay).map_err(|why| format!("VAULT_ENV_DELAY: {why}"))?;
            asked.delay = delay.positive();
        }
        let transit = Transit { mount: get("TRANSIT_PATH"), key: get("TRANSIT_KEY_ID") };
        for text in &arguments.template {
            let both = text
                .split_once(':')
                .filter(|(source, destination)| !source.is_empty() && !destination.is_empty());
            let (source, destination) =
                both.ok_or_else(|| format!("--template {text:?}: write SOURCE:DESTINATION"))?;
            let path = Path::new(source);
            if path.is_dir() {
                return Err(format!("--template {text:?}: {source} is a directory; name a file in it"));
            }
            if !path.is_file() {
                return Err(format!("--template {text:?}: there is no file {source}"));
            }
            asked.templates.push((source.to_owned(), destination.to_owned()));
        }
        // Later ones win: the environment, files, flags.
        let mut values = BTreeMap::new();
        if !arguments.pristine {
            let ours = |name: &str| name.starts_with("VAULT_") || name.starts_with("BAO_");
            for (name, value) in environment.pairs().filter(|(name, _)| !ours(name)) {
                // Those without a reference are inherited as they are, bytes that are no text too.
                let is_reference =
                    parse(value, transit).map_err(|why| format!("{name} in the environment: {why}"))?;
                if is_reference.is_some() {
                    values.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        for path in &arguments.env_file {
            // `<(…)` of a shell is a FIFO.
            let text =
                atomic_file::read_stream(Path::new(path), MAX_ENV_FILE).map_err(|error| error.to_string())?;
            let text = String::from_utf8(text).map_err(|_| format!("{path} is no text in UTF-8"))?;
            for (name, value) in env_file::parse(&text).map_err(|why| format!("{path}: {why}"))? {
                values.insert(name, value);
            }
        }
        for text in &arguments.env {
            let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
            let pair = text.split_once('=').filter(|(name, _)| is_name(name));
            let (name, value) = pair.ok_or("--env: write NAME=VALUE")?;
            values.insert(name.to_owned(), value.to_owned());
        }
        asked.pass_token |=
            TOKENS.iter().any(|name| std::env::var_os(name).is_some_and(|value| value == own_token::LOGIN));
        for (name, value) in values {
            if name.contains('\0') || value.contains('\0') {
                return Err(format!("{name:?} has a NUL byte, which no environment can hold"));
            }
            match parse(&value, transit).map_err(|why| format!("{name}: {why}"))? {
                Some(pieces) => asked.references.push((name, pieces)),
                None => asked.plain.push((name, value)),
            }
        }
        Ok(asked)
    }

    /// A template that stands in a reference has no file that an error could name.
    pub(super) fn where_templates_are(&self) -> String {
        let is_template =
            |piece: &Piece| matches!(piece, Piece::Secret(Reference { want: Want::Template(_), .. }));
        let with = self.references.iter().filter(|(_, pieces)| pieces.iter().any(is_template));
        let names: Vec<&str> = with.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("\n(a reference with a template is in {})", names.join(", "))
        }
    }
}

/// As bank-vaults reads it.
pub(super) fn says_yes(value: Option<&str>) -> bool {
    value.is_some_and(|value| go_bool(value).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_secrets_in_every_spelling() {
        let whole = |path: &str, version, prefix: &str| Whole {
            path: path.into(),
            version,
            prefix: prefix.into(),
            keep_case: false,
        };
        for (text, want) in [
            ("secret/a", whole("secret/a", None, "P_")),
            ("secret/a#2", whole("secret/a", Some(2), "P_")),
            ("secret/a#2=X_", whole("secret/a", Some(2), "X_")),
            ("secret/a#b=", whole("secret/a#b", None, "")),
        ] {
            assert_eq!(Whole::read(text, "P_", false), want);
        }
    }

    #[test]
    fn what_is_not_followed_is_said() {
        let told = |pairs: &[(&str, &str)]| unheard(&Environment::new(pairs.iter().copied())).count();
        assert_eq!(told(&[("VAULT_REVOKE_TOKEN", "true"), ("VAULT_ENV_LOG_SERVER", "h:1")]), 2);
        assert_eq!(told(&[("VAULT_REVOKE_TOKEN", "false"), ("VAULT_ENV_LOG_SERVER", "")]), 0);
    }

    #[test]
    fn yes_is_gos() {
        assert!(says_yes(Some("true")) && says_yes(Some("1")));
        assert!(!says_yes(Some("no")) && !says_yes(None));
    }
}

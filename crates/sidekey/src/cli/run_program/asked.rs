//! What flags, files and the environment ask for.

use std::path::Path;

use config::Environment;

use super::super::argv::go_bool;
use super::super::own_token::{self, variable};
use super::reference::{self, Piece, Reference, Want};
use super::{RunProgramArgs, env_file};

/// What is asked for, read and not yet looked at.
pub(super) struct Asked {
    /// Paths, each with the prefix of its variables.
    pub(super) secrets: Vec<(String, String)>,
    /// Variables whose values have references.
    pub(super) references: Vec<(String, Vec<Piece>)>,
    /// The others.
    pub(super) plain: Vec<(String, String)>,
    /// Source and destination.
    pub(super) templates: Vec<(String, String)>,
    pub(super) pass_token: bool,
}

/// A file of variables is small; a larger one is something else.
const MAX_ENV_FILE: usize = 1024 * 1024;

impl Asked {
    /// Reads flags, files and the environment.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(super) fn read(arguments: &RunProgramArgs, environment: &Environment) -> Result<Self, String> {
        let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut asked = Self {
            secrets: Vec::new(),
            references: Vec::new(),
            plain: Vec::new(),
            templates: Vec::new(),
            pass_token: arguments.pass_token,
        };
        let from_path = variable(environment, "FROM_PATH").into_iter().flat_map(|paths| paths.split(','));
        let from_path = from_path.map(str::trim).filter(|path| !path.is_empty());
        for secret in arguments.secret.iter().map(String::as_str).chain(from_path) {
            let (path, prefix) = secret.split_once('=').unwrap_or((secret, &arguments.prefix));
            asked.secrets.push((path.to_owned(), prefix.to_owned()));
        }
        for text in &arguments.template {
            let both = text
                .split_once(':')
                .filter(|(source, destination)| !source.is_empty() && !destination.is_empty());
            let (source, destination) =
                both.ok_or_else(|| format!("--template {text:?}: write SOURCE:DESTINATION"))?;
            if !Path::new(source).is_file() {
                return Err(format!("--template {text:?}: there is no file {source}"));
            }
            asked.templates.push((source.to_owned(), destination.to_owned()));
        }
        // Later ones win: the environment, files, flags.
        let mut values: Vec<(String, String)> = Vec::new();
        let mut set = |name: String, value: String| {
            values.retain(|(known, _)| *known != name);
            values.push((name, value));
        };
        if !arguments.pristine {
            let ours = |name: &str| name.starts_with("VAULT_") || name.starts_with("BAO_");
            for (name, value) in environment.pairs().filter(|(name, _)| !ours(name)) {
                // Those without a reference are inherited as they are, bytes that are no text too.
                let is_reference =
                    reference::parse(value).map_err(|why| format!("{name} in the environment: {why}"))?;
                if is_reference.is_some() {
                    set(name.to_owned(), value.to_owned());
                }
            }
        }
        for path in &arguments.env_file {
            let text = atomic_file::read_regular(Path::new(path), MAX_ENV_FILE)
                .map_err(|error| error.to_string())?;
            let text = String::from_utf8(text).map_err(|_| format!("{path} is no text in UTF-8"))?;
            for (name, value) in env_file::parse(&text).map_err(|why| format!("{path}: {why}"))? {
                set(name, value);
            }
        }
        for text in &arguments.env {
            let (name, value) =
                pair(text).filter(|(name, _)| !name.is_empty()).ok_or("--env: write NAME=VALUE")?;
            set(name, value);
        }
        asked.pass_token |= ["BAO_TOKEN", "VAULT_TOKEN"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| value == own_token::LOGIN));
        for (name, value) in values {
            match reference::parse(&value).map_err(|why| format!("{name}: {why}"))? {
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
    fn yes_is_gos() {
        assert!(says_yes(Some("true")) && says_yes(Some("1")));
        assert!(!says_yes(Some("no")) && !says_yes(None));
    }
}

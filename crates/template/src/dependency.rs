//! What a template depends on, by its identity: the same secret in two templates is one dependency.

use std::fmt;
use std::path::PathBuf;

/// Something whose content a template needs.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Dependency {
    /// `secret "path"`: a read. The query is part of it.
    Read {
        /// Without slashes at the ends.
        path: String,
        /// `version=3`, or empty.
        query: String,
    },
    /// `secret "path" "k=v" …`: a write whose answer is the content.
    Write {
        /// Without slashes at the ends.
        path: String,
        /// In the order given.
        data: Vec<(String, String)>,
    },
    /// `file "path"`.
    File {
        /// As the template has it.
        path: PathBuf,
    },
}

impl Dependency {
    /// From the arguments of `secret`. `None` without arguments; the error is the function's text.
    pub(crate) fn secret(arguments: &[String]) -> Result<Option<Self>, String> {
        let Some((target, pairs)) = arguments.split_first() else { return Ok(None) };
        let target = target.trim();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_matches('/').to_owned();
        if path.is_empty() {
            let kind = if pairs.is_empty() { "read" } else { "write" };
            return Err(format!("vault.{kind}: invalid format: {target:?}"));
        }
        if pairs.is_empty() {
            return Ok(Some(Self::Read { path, query: query.to_owned() }));
        }
        let mut data = Vec::new();
        for pair in pairs.iter().filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("not k=v pair {pair:?}"))?;
            data.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Some(Self::Write { path, data }))
    }
}

/// As upstream's log lines and errors name it. Never the data of a write: it may be secret.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, query } if query.is_empty() => write!(f, "vault.read({path})"),
            Self::Read { path, query } => write!(f, "vault.read({path}?{query})"),
            Self::Write { path, .. } => write!(f, "vault.write({path})"),
            Self::File { path } => write!(f, "file({})", path.display()),
        }
    }
}

/// The same: the data stays out of it.
impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(arguments: &[&str]) -> Result<Option<Dependency>, String> {
        Dependency::secret(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn spellings_are_one_and_queries_are_not() {
        assert_eq!(secret(&[" /secret/app/ "]), secret(&["secret/app"]));
        assert_ne!(secret(&["secret/app?version=1"]), secret(&["secret/app?version=2"]));
        assert!(matches!(secret(&["a", ""]), Ok(Some(Dependency::Write { .. }))));
        assert_eq!(secret(&[]), Ok(None));
    }

    #[test]
    fn mistakes_have_upstreams_words() {
        assert_eq!(secret(&["/"]).unwrap_err(), "vault.read: invalid format: \"/\"");
        assert_eq!(secret(&["a", "x"]).unwrap_err(), "not k=v pair \"x\"");
    }
}

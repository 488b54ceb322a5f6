//! What a template depends on, by its identity: the same secret in two templates is one dependency.

pub(crate) mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::words::quoted;

/// Something whose content a template needs.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Dependency {
    /// `secret "path"`: a read. The query is part of it.
    Read {
        /// Decoded, without slashes at the ends.
        path: String,
        /// `version=3`, or empty.
        query: String,
    },
    /// `secret "path" "k=v" …`: a write whose answer is the content.
    Write {
        /// Without slashes at the ends.
        path: String,
        /// What is written.
        data: BTreeMap<String, String>,
    },
    /// `secrets "path"`: the names below a path.
    List {
        /// Without slashes at the ends.
        path: String,
    },
    /// `pkiCert "path" "k=v" …`: a certificate, kept in the template's own file.
    Certificate {
        /// Decoded, without slashes at the ends.
        path: String,
        /// What is asked for.
        data: BTreeMap<String, String>,
        /// The file; none where nothing is written.
        destination: Option<PathBuf>,
    },
    /// `file "path"`.
    File {
        /// As the template has it.
        path: PathBuf,
        /// The folder it must not leave.
        sandbox: Option<PathBuf>,
    },
}

impl Dependency {
    /// From the arguments of `secret`. `None` without arguments; the error is the function's text.
    pub(crate) fn secret(arguments: &[String]) -> Result<Option<Self>, String> {
        let Some((path, pairs)) = arguments.split_first() else { return Ok(None) };
        let data = fields(pairs)?;
        if !pairs.is_empty() {
            return Ok(Some(Self::Write { path: trimmed(path, "vault.write")?.to_owned(), data }));
        }
        let (path, query) = parsed(path)?;
        Ok(Some(Self::Read { path, query }))
    }

    /// From the argument of `secrets`.
    pub(crate) fn list(path: &str) -> Result<Self, String> {
        Ok(Self::List { path: trimmed(path, "vault.list")?.to_owned() })
    }

    /// From the arguments of `pkiCert` in a template with this destination. `None` without arguments.
    pub(crate) fn certificate(
        arguments: &[String],
        destination: Option<PathBuf>,
    ) -> Result<Option<Self>, String> {
        let Some((path, pairs)) = arguments.split_first() else { return Ok(None) };
        let data = fields(pairs)?;
        let (path, _) = parsed(path)?;
        Ok(Some(Self::Certificate { path, data, destination }))
    }

    /// Whether asking again changes nothing at the server.
    pub(crate) fn is_safe(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::List { .. } | Self::File { .. })
    }

    /// What the server's errors stand behind, in upstream's words: twice for what is one secret.
    pub(crate) fn prefix(&self) -> String {
        match self {
            Self::Read { .. } | Self::Write { .. } => format!("{self}: {self}"),
            _ => self.to_string(),
        }
    }
}

/// A path read as a URL: the path itself, and the query.
fn parsed(text: &str) -> Result<(String, String), String> {
    let url = url::parse(trimmed(text, "vault.read")?)?;
    let path = trimmed(&url.path, "vault.read")?.to_owned();
    Ok((path, url.query))
}

fn trimmed<'a>(path: &'a str, kind: &str) -> Result<&'a str, String> {
    let path = path.trim().trim_matches('/');
    if path.is_empty() { Err(format!("{kind}: invalid format: \"\"")) } else { Ok(path) }
}

fn fields(pairs: &[String]) -> Result<BTreeMap<String, String>, String> {
    let pairs = pairs.iter().filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("not k=v pair {}", quoted(pair)))?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// As upstream's log lines and errors name it. Never the data of a write: it may be secret.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, query } => {
                let version = query.split('&').find_map(|pair| pair.strip_prefix("version="));
                match version {
                    Some(version) => write!(f, "vault.read({path}.v{version})"),
                    None => write!(f, "vault.read({path})"),
                }
            }
            Self::Write { path, data } => write!(f, "vault.write({path} -> {})", short_hash(data)),
            Self::List { path } => write!(f, "vault.list({path})"),
            Self::Certificate { path, destination, .. } => {
                let destination = destination.as_ref().map(|path| path.display().to_string());
                write!(f, "vault.pki({path}->{})", destination.unwrap_or_default())
            }
            Self::File { path, .. } => write!(f, "file({})", path.display()),
        }
    }
}

/// Upstream's: it tells two writes apart in a log.
fn short_hash(data: &BTreeMap<String, String>) -> String {
    let text: String = data.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    functions::go::hex::encode(hash.as_ref().get(..4).unwrap_or_default())
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

    fn shown(arguments: &[&str]) -> String {
        secret(arguments).unwrap().unwrap().to_string()
    }

    #[test]
    fn spellings_are_one_and_queries_are_not() {
        assert_eq!(secret(&[" /secret/app/ "]), secret(&["secret/app"]));
        assert_eq!(secret(&["/secret/app/?version=1"]), secret(&["secret/%61pp?version=1"]));
        assert_ne!(secret(&["secret/app?version=1"]), secret(&["secret/app?version=2"]));
        assert_ne!(secret(&["secret/app?x=1"]), secret(&["secret/app?x=2"]));
        assert_eq!(secret(&["a", "b=1", "", " c = 2 "]), secret(&["a", "c=2", "b=1"]));
        assert!(matches!(secret(&["a", ""]), Ok(Some(Dependency::Write { .. }))));
        assert_eq!(secret(&[]), Ok(None));
    }

    #[test]
    fn names_are_upstreams() {
        assert_eq!(shown(&["secret/app"]), "vault.read(secret/app)");
        assert_eq!(shown(&["secret/app?version=3"]), "vault.read(secret/app.v3)");
        assert_eq!(shown(&["secret/app?x=3"]), "vault.read(secret/app)");
        assert_eq!(shown(&["nomount/x", "a=b"]), "vault.write(nomount/x -> 2b660a4a)");
        assert_eq!(shown(&["secret/w", "a=b", "a = c ", ""]), "vault.write(secret/w -> 6d75a1cc)");
        assert_eq!(shown(&["kv/w", ""]), "vault.write(kv/w -> da39a3ee)");
        assert_eq!(Dependency::list("kv/%20").unwrap().to_string(), "vault.list(kv/%20)");
        let arguments = ["pki/issue/web?x=1".to_owned()];
        let certificate = Dependency::certificate(&arguments, Some("/out".into())).unwrap().unwrap();
        assert_eq!(certificate.to_string(), "vault.pki(pki/issue/web->/out)");
    }

    #[test]
    fn mistakes_have_upstreams_words() {
        assert_eq!(secret(&["/"]).unwrap_err(), "vault.read: invalid format: \"\"");
        assert_eq!(secret(&[" / ", "k=v"]).unwrap_err(), "vault.write: invalid format: \"\"");
        assert_eq!(secret(&["a", "x"]).unwrap_err(), "not k=v pair \"x\"");
        assert_eq!(secret(&["a", "  "]).unwrap_err(), "not k=v pair \"  \"");
        assert_eq!(Dependency::list(" ").unwrap_err(), "vault.list: invalid format: \"\"");
    }
}

//! `sidekey cache clear`.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use http::StatusCode;
use serde_json::json;
use vault::SecretString;

use super::Problem;
use crate::cli::own_api::{OwnApi, refusal};

/// Flags of `cache clear`.
#[derive(Args, Debug)]
#[command(
    after_help = "A token or an accessor is read from standard input, or from a file: a command line is seen by everybody \
                  on the machine.\nWithout -revoke, what is forgotten lives on at the server until its TTL is over."
)]
pub(super) struct ClearArgs {
    #[command(flatten)]
    pub(super) api: OwnApi,
    /// What VALUE is
    #[arg(value_enum, value_name = "TYPE")]
    kind: Kind,
    /// A lease id; the path of a mount; the beginning of a path, with /v1/
    #[arg(value_name = "VALUE", conflicts_with = "value_file")]
    value: Option<String>,
    /// The file that holds the value; standard input without it, or for `-`
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// Namespace of the requests, for mount and request-path
    #[arg(long, visible_alias = "ns", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only what was given out longer ago: seconds, or a duration such as 5m
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// Revoke it at the server as well
    #[arg(long)]
    revoke: bool,
    /// Forget nothing, only count
    #[arg(long)]
    dry_run: bool,
}

/// What cache-clear knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// Everything
    All,
    /// One lease, by its id
    #[value(alias = "lease_id")]
    Lease,
    /// Everything of a mount
    Mount,
    /// Every answer whose path begins so, with what hangs below it
    #[value(alias = "request_path")]
    RequestPath,
    /// A token with its leases and child tokens
    Token,
    /// The same, by its accessor
    #[value(alias = "token_accessor")]
    TokenAccessor,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Lease => "lease",
            Self::Mount => "mount",
            Self::RequestPath => "request_path",
            Self::Token => "token",
            Self::TokenAccessor => "token_accessor",
        }
    }

    /// Whether whoever has it can do something with it.
    fn is_secret(self) -> bool {
        matches!(self, Self::Token | Self::TokenAccessor)
    }
}

pub(super) fn clear(arguments: &ClearArgs) -> Result<String, Problem> {
    let value = value(arguments).map_err(Problem::Asked)?;
    let own = arguments.api.open().map_err(Problem::Unanswered)?;
    let (before, prefix) = own.get("cache?limit=0").map_err(Problem::Unanswered)?;
    if before["remembers"] != true {
        return Ok("Nothing is remembered: there is no `cache` stanza.\n".to_owned());
    }
    let body = json!({
        "type": arguments.kind.word(),
        "value": value.expose(),
        "namespace": arguments.namespace.as_deref().unwrap_or_default(),
        "older_than": arguments.older_than,
        "revoke": arguments.revoke,
        "dry_run": arguments.dry_run,
        "verbose": true,
    });
    let (status, told) = own.post(prefix, "cache-clear", &body).map_err(Problem::Unanswered)?;
    if status.is_client_error() {
        // It has understood, and has no use for what was asked.
        return Err(Problem::Asked(refusal(status, told.as_ref())));
    }
    if status != StatusCode::OK {
        return Err(Problem::Unanswered(refusal(status, told.as_ref())));
    }
    let told = told.unwrap_or_default();
    let number = |key: &str| told[key].as_u64().unwrap_or_default();
    let done = if arguments.dry_run { "Would forget" } else { "Forgotten" };
    let (answers, tokens, leases) = (number("answers"), number("tokens"), number("leases"));
    let counted = |number, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let mut text = format!(
        "{done}: {}, {}, {}.",
        counted(answers, "answer"),
        counted(tokens, "token"),
        counted(leases, "lease")
    );
    if arguments.revoke {
        let revoked = if arguments.dry_run { "Would revoke" } else { "Being revoked" };
        let _ = write!(text, " {revoked}: {}; what hangs below goes with it.", number("revoking"));
    }
    Ok(format!("{text}\n"))
}

/// What to name; empty for everything.
fn value(arguments: &ClearArgs) -> Result<SecretString, String> {
    let kind = arguments.kind;
    let given = arguments.value.is_some() || arguments.value_file.is_some();
    match &arguments.value {
        _ if arguments.namespace.is_some() && !matches!(kind, Kind::Mount | Kind::RequestPath) => {
            Err("-namespace belongs to mount and request-path: the others are found in every namespace"
                .to_owned())
        }
        _ if kind == Kind::All && given => Err("all has no value".to_owned()),
        _ if kind == Kind::All => Ok(SecretString::from("")),
        Some(value) if kind.is_secret() && value != "-" => {
            Err("a token or an accessor does not belong on the command line, where others see it; \
             pipe it in, or name a file with -value-file"
                .to_owned())
        }
        Some(value) if value.is_empty() => Err(format!("VALUE is empty: {} needs one", kind.word())),
        Some(value) if value != "-" => Ok(SecretString::from(value.as_str())),
        None if !kind.is_secret() && !given => Err(format!("VALUE is missing: {} needs one", kind.word())),
        _ => read(arguments.value_file.as_ref()),
    }
}

fn read(file: Option<&PathBuf>) -> Result<SecretString, String> {
    let (bytes, name) = match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let bytes = atomic_file::read_small(path).map_err(|error| error.to_string())?;
            (bytes, path.display().to_string())
        }
        None if std::io::stdin().is_terminal() => {
            return Err("the value is missing: pipe it in, or name a file with -value-file".to_owned());
        }
        None => {
            const MOST: usize = atomic_file::MAX_SMALL_FILE;
            let mut bytes = Vec::new();
            let input = std::io::stdin().lock().take(MOST as u64 + 1).read_to_end(&mut bytes);
            input.map_err(|error| format!("standard input: {error}"))?;
            if bytes.len() > MOST {
                return Err(format!("standard input is larger than {MOST} bytes"));
            }
            (bytes, "standard input".to_owned())
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{name} is no text"))?.trim();
    if text.is_empty() {
        return Err(format!("{name} is empty: the value is missing"));
    }
    Ok(SecretString::from(text))
}

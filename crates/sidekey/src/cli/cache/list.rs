//! `sidekey cache list` and `sidekey cache stats`.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use clap::Args;
use serde_json::Value;

use super::Problem;
use crate::cli::own_api::{OwnApi, OwnClient, shown, table_of};

/// Flags of `cache list`.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) api: OwnApi,
    /// Only answers whose path begins so
    #[arg(long, value_name = "PREFIX")]
    path: Option<String>,
    /// How many entries at most
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    limit: NonZeroUsize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `cache stats`.
#[derive(Args, Debug)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    pub(super) api: OwnApi,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Entries of one answer; the agent gives no more at a time.
const PAGE: usize = 1000;

pub(super) fn list(arguments: &ListArgs) -> Result<String, Problem> {
    let own = arguments.api.open().map_err(Problem::Unanswered)?;
    let limit = arguments.limit.get();
    let path = match arguments.path.as_deref().unwrap_or_default() {
        path if path.is_empty() || path.starts_with('/') => path.to_owned(),
        path => format!("/v1/{path}"),
    };
    let (mut entries, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from.filter(|_| entries.len() < limit) {
        let most = PAGE.min(limit - entries.len());
        let told = page(&own, &format!("cache?limit={most}&after={place}&path={}", encoded(&path)))?;
        // Places only grow; whoever says otherwise is not listened to for ever.
        from = told["next"].as_u64().filter(|next| *next > place);
        entries.extend(told["entries"].as_array().cloned().unwrap_or_default());
    }
    if arguments.json {
        return Ok(format!("{}\n", Value::Array(entries)));
    }
    if entries.is_empty() {
        return Ok("Nothing is remembered.\n".to_owned());
    }
    let title = [
        "KIND",
        "ENTRY",
        "BELOW",
        "NAMESPACE",
        "PATH",
        "AGE",
        "TTL LEFT",
        "RENEWAL IN",
        "CHILDREN",
        "BYTES",
        "VERSION",
        "READERS",
        "STATE",
    ];
    let time =
        |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
    let mut text = table_of(
        &title,
        entries.iter().map(|one| {
            vec![
                shown(&one["kind"]),
                shown(&one["handle"]),
                shown(&one["below"]),
                shown(&one["namespace"]),
                shown(&one["path"]),
                time(&one["age_seconds"]),
                time(&one["ttl_left_seconds"]),
                time(&one["next_renewal_seconds"]),
                shown(&one["children"]),
                shown(&one["bytes"]),
                shown(&one["version"]),
                shown(&one["readers"]),
                shown(&one["state"]),
            ]
        }),
    );
    if from.is_some() {
        let _ = writeln!(text, "\nThere is more; -limit shows more than {}.", arguments.limit);
    }
    Ok(text)
}

pub(super) fn stats(arguments: &StatsArgs) -> Result<String, Problem> {
    let own = arguments.api.open().map_err(Problem::Unanswered)?;
    let told = page(&own, "cache?limit=0")?;
    let numbers = &told["numbers"];
    if arguments.json {
        return Ok(format!("{numbers}\n"));
    }
    if told["remembers"] != true {
        return Ok("Nothing is remembered: there is no `cache` stanza.\n".to_owned());
    }
    let rows = [
        ("answers remembered", "entries"),
        ("bytes they take, about", "bytes"),
        ("leases kept alive", "leases"),
        ("tokens kept alive", "tokens"),
        ("seconds to the next end, unless renewed", "next_expiry_seconds"),
        ("answered from memory", "hits"),
        ("not remembered when asked for", "misses"),
        ("renewals", "renewals"),
        ("renewals that failed", "renewal_failures"),
        ("let go for want of room", "dropped"),
        ("KV secrets kept", "secrets"),
        ("their bytes", "secret_bytes"),
        ("KV reads answered from memory", "secret_hits"),
        ("the same, after asking whether it is still right", "secret_revalidations"),
        ("the same, past their time, because the server failed", "secret_stale"),
    ];
    let rows = rows.iter().map(|(what, key)| vec![(*what).to_owned(), shown(&numbers[*key])]);
    Ok(table_of(&["CACHE", ""], rows))
}

fn page(own: &OwnClient, endpoint: &str) -> Result<Value, Problem> {
    own.get(endpoint).map(|(told, _)| told).map_err(Problem::Unanswered)
}

/// Everything but letters, digits and what separates a path, so that a query holds it.
fn encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_fits_into_a_query() {
        assert_eq!(super::encoded("/v1/a-b/c d&ü"), "/v1/a-b/c%20d%26%C3%BC");
    }
}

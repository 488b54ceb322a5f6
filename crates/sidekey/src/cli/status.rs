//! `sidekey status`: how a running agent or proxy stands.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::Exit;
use super::own_api::{OwnApi, shown, table_of};

/// Flags of `status`.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    api: OwnApi,
    /// Print the JSON as it came
    #[arg(long)]
    json: bool,
}

pub(super) fn status(arguments: &StatusArgs) -> Exit {
    match arguments.api.open().and_then(|own| own.get("status")) {
        Ok((status, _)) => {
            if arguments.json {
                outln!("{status}");
            } else {
                out!("{}", table(&status));
            }
            if status["ready"] == true { Exit::Success } else { Exit::Failure }
        }
        Err(why) => {
            errln!("Error: no status from {}: {why}", arguments.api.address());
            errln!("{}", OwnApi::HINT);
            Exit::Failure
        }
    }
}

/// For people.
fn table(status: &Value) -> String {
    let text = shown;
    let mut out = String::new();
    let (mode, version) = (text(&status["mode"]), text(&status["version"]));
    let up = text(&status["uptime_seconds"]);
    let _ = writeln!(out, "Sidekey {mode} {version}, up {up} s: {}\n", text(&status["summary"]));
    let upstream = &status["upstream"];
    let reachable = match upstream["reachable"].as_bool() {
        Some(true) => format!("reachable, last status {}", text(&upstream["last_status"])),
        Some(false) => format!("NOT reachable: {}", text(&upstream["error"])),
        None => "not asked yet".to_owned(),
    };
    let _ = writeln!(out, "Server {}: {reachable}\n", text(&upstream["address"]));
    let mut rows = |title: &[&str], key: &str, row: &dyn Fn(&Value) -> Vec<String>| {
        let Some(items) = status[key].as_array().filter(|items| !items.is_empty()) else { return };
        out.push_str(&table_of(title, items.iter().map(row)));
        out.push('\n');
    };
    rows(
        &["IDENTITY", "METHOD", "LOGGED IN", "TOKEN ENDS IN", "LOGINS", "RENEWALS", "FAILURES", "LAST ERROR"],
        "identities",
        &|one| {
            let yes = if one["logged_in"] == true { "yes" } else { "NO" };
            let left = match one["token_expires_in_seconds"].as_u64() {
                Some(left) => format!("{left} s"),
                None => "-".to_owned(),
            };
            vec![
                text(&one["name"]),
                text(&one["method"]),
                yes.to_owned(),
                left,
                text(&one["logins"]),
                text(&one["renewals"]),
                text(&one["failures"]),
                text(&one["last_error"]),
            ]
        },
    );
    rows(&["TEMPLATE", "LAST RENDERED", "STATE"], "templates", &|one| {
        let state = match one["failing"].as_str() {
            Some(why) => format!("FAILING: {why}"),
            None if one["rendered"] == true => "ok".to_owned(),
            None => "waiting".to_owned(),
        };
        vec![text(&one["destination"]), text(&one["last_rendered"]), state]
    });
    rows(&["LISTENER", "ROLE", "CONNECTIONS", "REQUESTS"], "listeners", &|one| {
        vec![text(&one["address"]), text(&one["role"]), text(&one["connections"]), text(&one["requests"])]
    });
    if let Some(child) = status["child"].as_object() {
        let number = |key: &str| child.get(key).map_or_else(|| "-".to_owned(), text);
        let (id, starts, end) = (number("process_id"), number("starts"), number("last_end"));
        let _ = writeln!(out, "Child: process {id}, started {starts} times, last end: {end}\n");
    }
    if let Some(cache) = status["cache"].as_object() {
        let number = |key: &str| cache.get(key).map_or_else(|| "-".to_owned(), text);
        let _ = writeln!(
            out,
            "Cache: {} answers, {} leases, {} hits, {} misses",
            number("entries"),
            number("leases"),
            number("hits"),
            number("misses")
        );
    }
    out
}

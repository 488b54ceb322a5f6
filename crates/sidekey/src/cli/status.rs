//! `sidekey status`: how a running agent or proxy stands.

use std::fmt::Write as _;

use clap::Args;
use http::{Method, StatusCode};
use serde_json::Value;
use vault::{Request, Upstream as _};

use super::Exit;
use super::whose::{PATIENCE, Whose};
use crate::daemon;

/// No status is as long.
const LONGEST: usize = 4 * 1024 * 1024;

/// Flags of `status`.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    whose: Whose,
    /// Print the JSON as it came
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line speaks here")]
pub(super) fn status(arguments: &StatusArgs) -> Exit {
    let address = arguments.whose.address();
    match ask(&arguments.whose) {
        Ok(status) => {
            if arguments.json {
                println!("{status}");
            } else {
                print!("{}", table(&status));
            }
            if status["ready"] == true { Exit::Success } else { Exit::Failure }
        }
        Err(why) => {
            eprintln!("Error: no status from {address}: {why}");
            eprintln!("hint: -address names a listener of `sidekey agent` or `sidekey proxy`");
            Exit::Failure
        }
    }
}

fn ask(whose: &Whose) -> Result<Value, String> {
    let client = whose.client()?;
    let runtime = daemon::runtime().map_err(|error| error.to_string())?;
    let told = runtime.block_on(async {
        let mut last = String::new();
        for path in ["/agent/v1/status", "/proxy/v1/status"] {
            let request = Request { target: path.to_owned(), ..Request::new(Method::GET, "") };
            let response = client.send(request).await.map_err(|error| error.to_string())?;
            let status = response.status;
            let body = response.body.collect(LONGEST, PATIENCE).await;
            let body = body.map_err(|error| error.to_string())?;
            match serde_json::from_slice::<Value>(&body) {
                Ok(told) if status == StatusCode::OK && told["program"] == "sidekey" => return Ok(told),
                Ok(told) => last = format!("{status} {}", told["errors"][0].as_str().unwrap_or_default()),
                Err(_) => last = format!("{status}, and no JSON"),
            }
        }
        Err(last)
    });
    runtime.shutdown_background();
    told
}

/// For people.
fn table(status: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        other => other.to_string(),
    };
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
        let mut rows = vec![title.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()];
        rows.extend(items.iter().map(row));
        let width =
            |nth: usize| rows.iter().filter_map(|row| row.get(nth)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..title.len()).map(|nth| width(nth).unwrap_or(0)).collect();
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        }
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

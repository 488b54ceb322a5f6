//! `sidekey reload`: has a running agent or proxy read its configuration again.

use clap::Args;
use http::StatusCode;
use serde_json::Value;

use super::Exit;
use super::own_api::{OwnApi, PREFIXES, refusal, shown};

/// Flags of `reload`.
#[derive(Args, Debug)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    api: OwnApi,
}

pub(super) fn reload(arguments: &ReloadArgs) -> Exit {
    let address = arguments.api.address();
    match ask(&arguments.api) {
        Ok(Ok(changes)) => {
            for change in &changes {
                outln!("{} {} {}", shown(&change["change"]), shown(&change["what"]), name(change));
            }
            if changes.is_empty() {
                outln!("nothing has changed");
            }
            Exit::Success
        }
        Ok(Err(problems)) => {
            for line in problems.iter().flat_map(|problem| problem.as_str().unwrap_or_default().lines()) {
                errln!("{}", shown(&line.into()));
            }
            errln!("Error: the old configuration stays in force at {address}");
            Exit::Failure
        }
        Err(why) => {
            errln!("Error: no reload at {address}: {why}");
            errln!(
                "hint: -address names a listener with `agent_api {{ enable_reload = true }}`, or `proxy_api`; `kill -HUP` needs none"
            );
            Exit::Failure
        }
    }
}

/// Some things are there once and have none.
fn name(change: &Value) -> String {
    if change["name"] == "" { String::new() } else { shown(&change["name"]) }
}

/// What has changed, or what is wrong; or why nobody knows.
fn ask(api: &OwnApi) -> Result<Result<Vec<Value>, Vec<Value>>, String> {
    let own = api.open()?;
    let mut last = String::new();
    for prefix in PREFIXES {
        let (status, told) = own.ask(prefix, "reload")?;
        let list = |key: &str| told.as_ref().and_then(|told| told[key].as_array().cloned());
        match (status, list("changes"), list("errors")) {
            (StatusCode::OK, Some(changes), _) => return Ok(Ok(changes)),
            (StatusCode::BAD_REQUEST, _, Some(errors)) => return Ok(Err(errors)),
            _ => last = refusal(status, told.as_ref()),
        }
    }
    Err(last)
}

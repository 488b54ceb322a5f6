//! `sidekey reload`: has a running agent or proxy read its configuration again.

use clap::Args;
use http::{Method, StatusCode};
use serde_json::Value;
use vault::{Request, Upstream as _};

use super::Exit;
use super::whose::{PATIENCE, Whose};
use crate::daemon;

/// No answer is as long.
const LONGEST: usize = 1024 * 1024;

/// Flags of `reload`.
#[derive(Args, Debug)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    whose: Whose,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line speaks here")]
pub(super) fn reload(arguments: &ReloadArgs) -> Exit {
    let address = arguments.whose.address();
    match ask(&arguments.whose) {
        Ok(Ok(changes)) => {
            let all = changes["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
            for change in all {
                let text = |key: &str| plain(change[key].as_str().unwrap_or_default());
                println!("{} {} {}", text("change"), text("what"), text("name"));
            }
            if all.is_empty() {
                println!("nothing has changed");
            }
            Exit::Success
        }
        Ok(Err(problems)) => {
            for problem in problems["errors"].as_array().map(Vec::as_slice).unwrap_or_default() {
                eprintln!("{}", plain(problem.as_str().unwrap_or_default()));
            }
            eprintln!("Error: the old configuration stays in force at {address}");
            Exit::Failure
        }
        Err(why) => {
            eprintln!("Error: no reload at {address}: {why}");
            eprintln!(
                "hint: -address names a listener with `agent_api {{ enable_reload = true }}`, or `proxy_api`; `kill -HUP` needs none"
            );
            Exit::Failure
        }
    }
}

/// What has changed, or what is wrong; or why nobody knows.
fn ask(whose: &Whose) -> Result<Result<Value, Value>, String> {
    let client = whose.client()?;
    let runtime = daemon::runtime().map_err(|error| error.to_string())?;
    let told = runtime.block_on(async {
        let mut last = String::new();
        for path in ["/agent/v1/reload", "/proxy/v1/reload"] {
            let request = Request { target: path.to_owned(), ..Request::new(Method::POST, "") };
            let response = client.send(request).await.map_err(|error| error.to_string())?;
            let status = response.status;
            let body = response.body.collect(LONGEST, PATIENCE).await.map_err(|error| error.to_string())?;
            match serde_json::from_slice::<Value>(&body) {
                Ok(told) if status == StatusCode::OK && told["changes"].is_array() => return Ok(Ok(told)),
                Ok(told) if status == StatusCode::BAD_REQUEST && told["errors"].is_array() => {
                    return Ok(Err(told));
                }
                Ok(told) => last = format!("{status} {}", told["errors"][0].as_str().unwrap_or_default()),
                Err(_) => last = status.to_string(),
            }
        }
        Err(last)
    });
    runtime.shutdown_background();
    told
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

//! `sidekey cache`: what a running agent or proxy remembers.

mod clear;
mod list;

use clap::{Args, Subcommand};

use super::Exit;
use super::own_api::OwnApi;

/// The subcommands of `cache`.
#[derive(Args, Debug)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Forget answers; -revoke revokes them at the server as well
    Clear(clear::ClearArgs),
    /// Tell what is remembered: kind, path, age, time left; no value, token or lease id
    List(list::ListArgs),
    /// Tell how much is remembered, and how often it was of use
    Stats(list::StatsArgs),
}

pub(super) fn cache(arguments: &CacheArgs) -> Exit {
    let (api, done) = match &arguments.command {
        CacheCommand::Clear(arguments) => (&arguments.api, clear::clear(arguments)),
        CacheCommand::List(arguments) => (&arguments.api, list::list(arguments)),
        CacheCommand::Stats(arguments) => (&arguments.api, list::stats(arguments)),
    };
    match done {
        Ok(text) => {
            out!("{text}");
            Exit::Success
        }
        Err(Problem::Asked(why)) => {
            errln!("Error: {why}");
            Exit::Failure
        }
        Err(Problem::Unanswered(why)) => {
            errln!("Error: no answer about the cache from {}: {why}", api.address());
            errln!("{}", OwnApi::HINT);
            Exit::Failure
        }
    }
}

/// Why it could not be done.
enum Problem {
    /// What was asked for makes no sense.
    Asked(String),
    /// Nobody who knows answered.
    Unanswered(String),
}

//! The command line: one subcommand a file. Everything a person reads is told here, through `print.rs`; the rooms log.

mod argv;
mod cache;
mod check;
mod demo;
mod exit;
mod generate_config;
mod kv;
mod own_api;
mod own_token;
mod reload;
mod run;
mod run_program;
mod server;
mod sink;
mod status;
mod template;
mod template_text;
mod token_helper;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use vault::Product;

use crate::print;
pub(crate) use exit::Exit;

/// Logs in to Vault or OpenBao, keeps the token and every lease alive, and hands secrets to the application
/// beside it. Takes the place of `vault agent`, `vault proxy`, `bao agent` and `bao proxy`, with the same
/// configuration files and flags.
#[derive(Debug, Parser)]
#[command(
    name = "sidekey",
    version,
    disable_version_flag = true,
    after_help = "Flags may be written with one dash or two: -config=FILE is --config=FILE.\n\
                  Start here: `sidekey demo`, then `sidekey check FILE` with a file you have."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Log in, write the token to sinks, render templates, answer a local API
    Agent(run::RunArgs),
    /// The same without templates: log in and answer a local API
    Proxy(run::RunArgs),
    /// Give a program secrets in its environment, without any configuration file
    Run(run_program::RunProgramArgs),
    /// List and clear what a running agent or proxy remembers, without what it says
    Cache(cache::CacheArgs),
    /// Check configuration files whole, and tell of every problem at once; opens and contacts nothing else
    Check(check::CheckArgs),
    /// Try templates out: render them once, test them without a server, list their functions
    Template(template::TemplateArgs),
    /// Write a configuration that gives a program every key of the secrets named
    GenerateConfig(generate_config::GenerateArgs),
    /// Make keys for encrypted sinks, and read what is in such a sink
    Sink(sink::SinkArgs),
    /// Have a running agent or proxy read its configuration again, and tell what has changed
    Reload(reload::ReloadArgs),
    /// Ask a running agent or proxy how it stands: a table, and 0 when it is ready, else 1
    Status(status::StatusArgs),
    /// Tell the version
    Version,
    /// See it work: against a real server on this machine, in under a minute
    Demo(demo::DemoArgs),
}

/// Runs the command line. Never panics on any of it.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    let command = Cli::command().args_override_self(true);
    let arguments = argv::normalize(arguments, &command);
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return print::outcome(argv::complain(&error)).into(),
    };
    let exit = match cli.command {
        // What they print is only told besides.
        Command::Agent(arguments) => return run::run(Product::Agent, arguments).into(),
        Command::Proxy(arguments) => return run::run(Product::Proxy, arguments).into(),
        Command::Run(arguments) => run_program::run_program(arguments),
        Command::Cache(arguments) => cache::cache(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Template(arguments) => template::template(arguments),
        Command::GenerateConfig(arguments) => generate_config::generate_config(&arguments),
        Command::Sink(arguments) => sink::sink(&arguments),
        Command::Reload(arguments) => reload::reload(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Version => version::version(),
        Command::Demo(arguments) => demo::demo(&arguments),
    };
    print::outcome(exit).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

//! `sidekey check FILE…`: the whole configuration, every problem at once.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use config::{AutoAuth, Environment, Failure, Flags, Loader, UnknownKeys};
use hcl1::{Color, Diagnostic};
use vault::Product;

use super::Exit;

/// Flags of `check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// Files and folders, as for -config
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Check it for the proxy instead of the agent
    #[arg(long)]
    proxy: bool,
    /// Unknown keys are errors
    #[arg(long)]
    strict: bool,
}

pub(super) fn check(arguments: &CheckArgs) -> Exit {
    let loader = Loader {
        product: if arguments.proxy { Product::Proxy } else { Product::Agent },
        flags: &Flags::default(),
        // The files are checked for what they say, not for the shell they are checked from.
        environment: &Environment::default().with_addresses(::template::address),
        unknown_keys: if arguments.strict { UnknownKeys::Refuse } else { UnknownKeys::Warn },
    };
    match loader.load(&arguments.files) {
        Ok(loaded) => {
            print_warnings(&loaded.warnings);
            let settings = &loaded.settings;
            outln!(
                "ok: {} with {}, {} and {}{}",
                settings.product.word(),
                logins(&settings.auto_auths),
                counted(settings.listeners.len(), "listener"),
                counted(settings.templates.len(), "template"),
                match loaded.warnings.len() {
                    0 => String::new(),
                    count => format!("; {}", counted(count, "warning")),
                }
            );
            Exit::Success
        }
        Err(failure) => {
            print_failure(&failure, "the agent would not start");
            Exit::Failure
        }
    }
}

/// `method approle and 1 sink`, each with its name where it has one.
fn logins(all: &[AutoAuth]) -> String {
    let one = |auto_auth: &AutoAuth| {
        let name = auto_auth.name.as_ref().map(|name| format!("auto_auth {name:?}: ")).unwrap_or_default();
        let sinks = counted(auto_auth.sinks.len(), "sink");
        format!("{name}method {} and {sinks}", auto_auth.method.kind.name())
    };
    match all {
        [] => "no auto_auth".to_owned(),
        all => all.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Colours on a terminal, unless `NO_COLOR` says otherwise.
pub(super) fn color() -> Color {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { Color::Plain } else { Color::Ansi }
}

pub(super) fn print_warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        outln!("{}\n", warning.render(color()));
    }
}

/// On standard output, where upstream prints them.
pub(super) fn print_failure(failure: &Failure, consequence: &str) {
    print_warnings(&failure.warnings);
    outln!("{}\n", drawn(failure, color()));
    outln!("{}; {consequence}", counted(failure.problems.len(), "error"));
}

/// Every problem in upstream's words, because tools match on them, with its place.
pub(super) fn drawn(failure: &Failure, color: Color) -> String {
    let problems = failure.problems.iter();
    let drawn = problems.map(|problem| {
        Diagnostic { message: problem.upstream_text(), ..problem.diagnostic.clone() }.render(color)
    });
    drawn.collect::<Vec<_>>().join("\n\n")
}

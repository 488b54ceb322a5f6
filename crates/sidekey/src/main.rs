//! Sidekey: stands beside an application and holds its keys to Vault or OpenBao.

#[macro_use]
mod print;

mod cli;
mod daemon;

fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // Before anything is made: a guard is there as long as we are, and should take as little room as can be.
    if daemon::is_guard(&arguments) {
        return daemon::stand_guard();
    }
    daemon::tell_only_where_a_panic_was();
    cli::main(arguments)
}

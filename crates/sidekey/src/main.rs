//! Sidekey: stands beside an application and holds its keys to Vault or OpenBao.

mod cli;
mod daemon;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os().collect())
}

//! `sidekey sink`: the reader's side of an encrypted sink.

mod decrypt;
mod keygen;

use clap::{Args, Subcommand};

use super::Exit;

/// The subcommands of `sink`.
#[derive(Args, Debug)]
pub(super) struct SinkArgs {
    #[command(subcommand)]
    command: SinkCommand,
}

#[derive(Debug, Subcommand)]
enum SinkCommand {
    /// Print what is in the file of an encrypted sink (`dh_type`): the token, or its wrapping
    Decrypt(decrypt::DecryptArgs),
    /// Make a pair of keys: one to keep for `decrypt`, one for a sink's `dh_path`
    Keygen(keygen::KeygenArgs),
}

pub(super) fn sink(arguments: &SinkArgs) -> Exit {
    let done = match &arguments.command {
        SinkCommand::Decrypt(arguments) => decrypt::decrypt(arguments),
        SinkCommand::Keygen(arguments) => keygen::keygen(arguments),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(problem) => {
            errln!("error: {problem}");
            Exit::Failure
        }
    }
}

//! `sidekey demo`: the program's main job, shown against a real server on this machine.
//!
//! Every line that claims something was just seen to be true; the first that is not ends the demo with exit
//! code 1. The server, the agents and their files are gone at the end.

mod stage;
mod story;

use std::path::PathBuf;

use clap::Args;
use testkit::KitError;

use super::Exit;

/// Flags of `demo`.
#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Stay up at the end and print what to try
    #[arg(long)]
    keep: bool,
    /// Server binary to use; else $SIDEKEY_BAO, .openbao, or bao or vault on the path
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

pub(super) fn demo(arguments: &DemoArgs) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = match runtime {
        Ok(runtime) => runtime.block_on(story::tell(arguments)),
        Err(error) => Err(KitError::Io(error)),
    };
    match told {
        Ok(()) => Exit::Success,
        Err(error) => {
            stage::say(&format!("\nnot true: {error}"));
            Exit::Failure
        }
    }
}

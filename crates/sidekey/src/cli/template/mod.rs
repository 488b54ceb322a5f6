//! `sidekey template`: templates tried out, without an agent and without writing anything.

mod differ;
mod functions;
mod render;
mod show;
mod test;

use clap::{Args, Subcommand};
use config::Profile;

use template::Written;

use super::Exit;
use crate::print;

/// The subcommands of `template`.
#[derive(Args, Debug)]
pub(super) struct TemplateArgs {
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
enum TemplateCommand {
    /// Render a configuration's templates once against the real server; print them, or how the files differ
    Render(render::RenderArgs),
    /// Render a template file with secrets from a JSON file, without a server
    Test(test::TestArgs),
    /// List what templates can call, with signature, profile and an example
    Functions(functions::FunctionsArgs),
}

pub(super) fn template(arguments: TemplateArgs) -> Exit {
    match arguments.command {
        TemplateCommand::Render(arguments) => render::render(arguments),
        TemplateCommand::Test(arguments) => test::test(&arguments),
        TemplateCommand::Functions(arguments) => functions::functions(&arguments),
    }
}

/// Whose functions: `openbao` or `vault`.
fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "openbao" => Ok(Profile::OpenBao),
        "vault" => Ok(Profile::Vault),
        other => Err(format!("there is no profile {other:?}; use openbao or vault")),
    }
}

/// The files that `writeToFile` would write, behind the template's own text.
fn print_writes(writes: &[Written]) {
    for write in writes {
        let how = if write.append { " (appended)" } else { "" };
        outln!("\n==> {}{how}", write.path.display());
        print::bytes(&write.content);
    }
}

//! `sidekey template`: templates tried out, without an agent and without writing anything.

mod differ;
mod functions;
mod render;
mod show;
mod test;

use std::io::Write as _;

use clap::{Args, Subcommand};
use config::Profile;

use template::Written;

use super::Exit;

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

/// To standard output, whatever bytes it is. A reader that has gone away is no error.
fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// What a template printed beside its text, to standard error: standard output may be the file that is made.
fn print_aside(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// The files that `writeToFile` would write, behind the template's own text.
fn print_writes(writes: &[Written]) {
    for write in writes {
        let how = if write.append { " (appended)" } else { "" };
        print_bytes(format!("\n==> {}{how}\n", write.path.display()).as_bytes());
        print_bytes(&write.content);
    }
}

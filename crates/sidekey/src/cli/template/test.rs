//! `sidekey template test`: a template and made-up secrets, no server.

use std::path::{Path, PathBuf};

use clap::Args;
use config::{Contents, Environment, Profile, Template};
use template::{Fixtures, MAX_FILE};

use super::super::Exit;
use super::super::check::color;
use super::differ::unified;
use super::{profile, show};
use crate::print;

/// Flags of `template test`.
#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// The template
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// JSON with the secrets, files and variables it may ask for
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// What it should render to; any difference is shown, and the exit code is 1
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Whose functions: openbao or vault; as for the agent when not given
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    profile: Option<Profile>,
    /// A missing key is an error instead of `<no value>`
    #[arg(long)]
    error_on_missing_key: bool,
    /// Instead of {{
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    left_delimiter: Option<String>,
    /// Instead of }}
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    right_delimiter: Option<String>,
    /// A function that may not be called, by name or with `*`; may be repeated
    #[arg(long, value_name = "NAME")]
    deny: Vec<String>,
}

pub(super) fn test(arguments: &TestArgs) -> Exit {
    match tried(arguments) {
        Ok(exit) => exit,
        Err(problem) => {
            errln!("error: {problem}");
            Exit::Failure
        }
    }
}

fn tried(arguments: &TestArgs) -> Result<Exit, String> {
    let text = read(&arguments.file)?;
    let fixtures = match &arguments.data {
        Some(path) => {
            Fixtures::parse(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Fixtures::default(),
    };
    let expected = arguments.expect.as_deref().map(read).transpose()?;
    let defaults = Template::default();
    let settings = Template {
        contents: Contents::File(arguments.file.clone()),
        error_on_missing_key: arguments.error_on_missing_key,
        left_delimiter: arguments.left_delimiter.clone().unwrap_or(defaults.left_delimiter.clone()),
        right_delimiter: arguments.right_delimiter.clone().unwrap_or(defaults.right_delimiter.clone()),
        function_denylist: arguments.deny.clone(),
        ..defaults
    };
    let profile = arguments.profile.unwrap_or_else(|| Environment::capture().profile());
    let rendered = template::render_with(&text, &settings, profile, &fixtures);
    let name = arguments.file.display().to_string();
    print::err_bytes(&rendered.printed);
    let output = match &rendered.outcome {
        Ok(output) => output,
        Err(error) => {
            show::show(&name, &rendered, error);
            return Ok(Exit::Failure);
        }
    };
    let Some(expected) = expected else {
        print::bytes(output);
        super::print_writes(&rendered.writes);
        return Ok(Exit::Success);
    };
    let wanted = arguments.expect.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    Ok(match unified(&expected, output, &wanted, &name, color()) {
        None => Exit::Success,
        Some(difference) => {
            print::bytes(difference.as_bytes());
            Exit::Failure
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    atomic_file::read_regular(path, MAX_FILE).map_err(|error| error.to_string())
}

//! `sidekey template render`: a configuration's templates against the real server, once.

use std::path::{Path, PathBuf};

use atomic_file::FileError;
use clap::Args;
use config::{Contents, Environment, Flags, Loader, Template, UnknownKeys};
use telemetry::Style;
use template::{MAX_FILE, Rendered};
use tracing::level_filters::LevelFilter;
use vault::{Product, Token};

use super::super::Exit;
use super::super::check::{color, print_failure, print_warnings};
use super::differ::unified;
use super::{print_writes, show};
use crate::daemon;
use crate::print;

/// Flags of `template render`.
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is written and no command runs. What a template asks the server for is really asked: \
                        leases it makes end with the login's token, which is revoked at the end.\n\
                        Exit code: 0, 1 when something failed, 2 when -diff found a difference."
)]
pub(super) struct RenderArgs {
    /// Configuration file, or folder of .hcl and .json files; may be repeated
    #[arg(long, value_name = "PATH", required = true, allow_hyphen_values = true)]
    config: Vec<PathBuf>,
    /// Only the templates with this destination or source, or file name of one; may be repeated
    #[arg(long, value_name = "NAME")]
    template: Vec<String>,
    /// Show how the files on disk differ, instead of the texts
    #[arg(long)]
    diff: bool,
    /// Use the token in this file instead of logging in
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn render(arguments: RenderArgs) -> Exit {
    let environment = Environment::capture().with_addresses(::template::address);
    let loader = Loader {
        product: Product::Agent,
        flags: &Flags::default(),
        environment: &environment,
        unknown_keys: UnknownKeys::Warn,
    };
    let loaded = match loader.load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(failure) => {
            print_failure(&failure, "nothing was rendered");
            return Exit::Failure;
        }
    };
    print_warnings(&loaded.warnings);
    telemetry::init(Product::Agent.word(), Style::Standard, LevelFilter::ERROR, None);
    match rendered(&arguments, &loaded.settings, &environment) {
        Ok(all) => tell(&arguments, &all),
        Err(problem) => {
            errln!("error: {problem}");
            Exit::Failure
        }
    }
}

fn rendered(
    arguments: &RenderArgs,
    settings: &config::Settings,
    environment: &Environment,
) -> Result<Vec<Rendered>, String> {
    let templates = wanted(&settings.templates, &arguments.template)?;
    let token = match &arguments.token_file {
        None => None,
        Some(path) => {
            let text = atomic_file::read_small(path).map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            Some(Token::new(text).map_err(|why| format!("{}: {why}", path.display()))?)
        }
    };
    let runtime = daemon::runtime().map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome = runtime.block_on(daemon::render_once(settings, environment, &templates, token));
    runtime.shutdown_background();
    let once = outcome.map_err(|error| error.to_string())?;
    if let Some(error) = once.not_revoked {
        errln!("warning: the login's token could not be revoked and lives on until its end: {error}");
    }
    once.rendered.map_err(|error| error.to_string())
}

/// The templates that `names` mean; all of them for none.
fn wanted(templates: &[Template], names: &[String]) -> Result<Vec<Template>, String> {
    if templates.is_empty() {
        return Err("the configuration has no template".to_owned());
    }
    let means = |template: &Template, name: &str| {
        let source = match &template.contents {
            Contents::File(path) => Some(path),
            Contents::Inline(_) => None,
        };
        std::iter::once(&template.destination)
            .chain(source)
            .any(|path| path.as_os_str() == name || path.file_name().is_some_and(|last| last == name))
    };
    if let Some(unknown) = names.iter().find(|name| !templates.iter().any(|template| means(template, name))) {
        let known: Vec<String> =
            templates.iter().map(|template| template.destination.display().to_string()).collect();
        return Err(format!("no template is called {unknown:?}; there are: {}", known.join(", ")));
    }
    let chosen = |template: &&Template| names.is_empty() || names.iter().any(|name| means(template, name));
    Ok(templates.iter().filter(chosen).cloned().collect())
}

fn tell(arguments: &RenderArgs, all: &[Rendered]) -> Exit {
    let (mut failed, mut differs) = (false, false);
    for rendered in all {
        print::err_bytes(&rendered.printed);
        let text = match &rendered.outcome {
            Ok(text) => text,
            Err(error) => {
                let file = rendered.source.as_ref().unwrap_or(&rendered.destination);
                show::show(&file.display().to_string(), rendered, error);
                failed = true;
                continue;
            }
        };
        if arguments.diff {
            let whole = rendered.writes.iter().filter(|write| !write.append);
            let whole = whole.map(|write| (&write.path, &write.content));
            for (path, text) in std::iter::once((&rendered.destination, text)).chain(whole) {
                match tell_difference(path, text) {
                    Ok(difference) => differs |= difference,
                    Err(error) => {
                        errln!("error: {error}");
                        failed = true;
                    }
                }
            }
        } else {
            if all.len() > 1 {
                outln!("==> {}", rendered.destination.display());
            }
            print::bytes(text);
            print_writes(&rendered.writes);
            if all.len() > 1 {
                out!("\n");
            }
        }
    }
    match (failed, differs) {
        (true, _) => Exit::Failure,
        (false, true) => Exit::Differs,
        (false, false) => Exit::Success,
    }
}

/// Prints how the file on disk differs; says whether it does. One that is not there does, whatever the text.
///
/// # Errors
/// It cannot be read, or is no file.
fn tell_difference(path: &Path, text: &[u8]) -> Result<bool, FileError> {
    let name = path.display().to_string();
    let difference = match atomic_file::read_regular(path, MAX_FILE) {
        Ok(old) => unified(&old, text, &name, &name, color()),
        Err(error) if error.is_missing() => {
            let difference = unified(b"", text, "/dev/null", &name, color());
            Some(difference.unwrap_or_else(|| format!("--- /dev/null\n+++ {name}\n")))
        }
        Err(error) => return Err(error),
    };
    print::bytes(difference.as_deref().unwrap_or_default().as_bytes());
    Ok(difference.is_some())
}

//! `sidekey generate-config`, and `agent generate-config` as the agents have it: a configuration that gives a program
//! every key of the secrets named.

mod names;
mod text;

use std::path::Path;

use atomic_file::{Attributes, Mode};
use clap::Args;
use config::{Environment, Loader, Settings, UnknownKeys};
use telemetry::Style;
use tracing::level_filters::LevelFilter;
use vault::{Product, Token};

use self::names::name_all;
use self::text::{Configuration, string};
use super::Exit;
use super::check::print_failure;
use super::kv::{Found, Kv};
use super::own_token;
use super::server::{ServerArgs, UnusedArgs};
use crate::daemon;

/// Flags of `generate-config`.
#[derive(Args, Debug)]
#[command(
    after_help = "The token of VAULT_TOKEN or ~/.vault-token is asked with. No value is written, only names and paths.\n\
                        Example: sidekey generate-config -type=env-template -path='secret/app/*' -exec='./server -v' app.hcl\n\
                        Exit code: 0, 1 for bad flags, 2 when the server cannot be asked, 3 when the file cannot be written."
)]
pub(super) struct GenerateArgs {
    /// Type of the configuration: env-template
    #[arg(long = "type", value_name = "TYPE", allow_hyphen_values = true)]
    kind: Option<String>,
    /// Path of a key-value secret; with /* at its end every secret below; may be repeated
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    path: Vec<String>,
    /// Program and arguments, with one space between two
    #[arg(long, value_name = "COMMAND", default_value = "env", allow_hyphen_values = true)]
    exec: String,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    unused: UnusedArgs,
    /// File to write; default agent.hcl
    #[arg(value_name = "FILE", trailing_var_arg = true)]
    files: Vec<String>,
}

pub(super) fn generate_config(arguments: &GenerateArgs) -> Exit {
    let late: Vec<&str> =
        arguments.files.iter().map(String::as_str).filter(|file| file.starts_with('-')).collect();
    if !late.is_empty() {
        errln!(
            "Command flags must be provided before positional arguments. The following arguments will not be parsed as flags: [{}]",
            late.join(",")
        );
    }
    let only = "currently only -type=\"env-template\" is supported.";
    let problem = match (arguments.kind.as_deref(), arguments.files.as_slice()) {
        (_, files) if files.len() > 1 => {
            Some(format!("Too many arguments (expected at most 1, got {})", files.len()))
        }
        (None | Some(""), _) => Some(format!("Please specify a -type flag; {only}")),
        (Some("env-template"), _) => None,
        (Some(other), _) => Some(format!("{other:?} is not a supported configuration type; {only}")),
    };
    if let Some(problem) = problem {
        errln!("{problem}");
        return Exit::Failure;
    }
    let environment = Environment::capture();
    let token_file = own_token::file(&environment).display().to_string();
    // Upstream asks there, if it is told where an agent is.
    let agent =
        arguments.unused.agent_address.as_deref().or_else(|| own_token::variable(&environment, "AGENT_ADDR"));
    let mut server = arguments.server.clone();
    server.address = agent.map(str::to_owned).or(server.address);
    let Some(settings) = settings(&server, &environment, &token_file) else {
        return Exit::NotAsked;
    };
    let asked =
        own_token::find(&environment).and_then(|token| look(&settings, &environment, token, &arguments.path));
    let found = match asked {
        Ok(found) => found,
        Err(error) => {
            errln!("Error: could not generate templates: {error}");
            return Exit::NotAsked;
        }
    };
    let variables = match name_all(&found) {
        Ok(variables) => variables,
        Err(error) => {
            errln!("Error: could not generate templates: {error}");
            return Exit::NotAsked;
        }
    };
    let command = if arguments.exec.is_empty() { "env" } else { &arguments.exec };
    let configuration = Configuration {
        token_file: &token_file,
        vault: &vault_keys(&server, &settings),
        variables: &variables,
        command: &command.split(' ').collect::<Vec<_>>(),
    };
    let path = arguments.files.first().map_or("agent.hcl", String::as_str);
    // Mode and replacing as upstream has them.
    let attributes = Attributes { mode: Mode::KeepOr(0o644), ..Attributes::new(0o644) };
    if let Err(error) = atomic_file::write(Path::new(path), configuration.text().as_bytes(), &attributes) {
        errln!("Could not create configuration file {path:?}: {error}");
        return Exit::NotWritten;
    }
    outln!("Successfully generated {path:?} configuration file!");
    errln!(
        "Warning: the generated file uses 'token_file' authentication method, which is not suitable for production environments."
    );
    if variables.is_empty() {
        errln!("Warning: it has no variable, and no agent will start with it; name secrets with -path.");
    }
    if !Path::new(&token_file).exists() {
        errln!("Warning: there is no {token_file} yet; `bao login` or `vault login` makes it.");
    }
    Exit::Success
}

/// Where the server is, by the rules of all configurations.
fn settings(server: &ServerArgs, environment: &Environment, token_file: &str) -> Option<Settings> {
    let loader = Loader {
        product: Product::Agent,
        flags: &server.flags(),
        environment,
        unknown_keys: UnknownKeys::Warn,
    };
    let text = Configuration { token_file, vault: &[], variables: &[], command: &["env"] }.text();
    // An agent must have something to do.
    let text = format!("{text}\nenv_template \"X\" {{ contents = \"\" }}\n");
    match loader.load_texts([("the flags and the environment", text)]) {
        Ok(loaded) => Some(loaded.settings),
        Err(failure) => {
            print_failure(&failure, "nothing was written");
            None
        }
    }
}

fn look(
    settings: &Settings,
    environment: &Environment,
    token: Token,
    paths: &[String],
) -> Result<Vec<Found>, String> {
    telemetry::init(Product::Agent.word(), Style::Standard, LevelFilter::ERROR, None);
    let runtime = daemon::runtime().map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome =
        runtime.block_on(daemon::with_session(settings, environment, Some(token), async |session| {
            let kv = Kv::new(session);
            let mut all = Vec::new();
            for path in paths {
                let passed_over =
                    |path: &str| errln!("Warning: {path} is left out: its latest version is deleted.");
                all.extend(kv.expand(path, passed_over).await.map_err(|error| error.to_string())?);
            }
            Ok(all)
        }));
    runtime.shutdown_background();
    outcome.map_err(|error| error.to_string())?.0
}

/// What the flags say of the server is said again, or the agent would ask elsewhere.
fn vault_keys(server: &ServerArgs, settings: &Settings) -> Vec<(&'static str, String)> {
    let mut keys = vec![("address", string(&settings.vault.address.to_string()))];
    let given = [
        ("ca_cert", server.ca_cert.as_deref()),
        ("ca_path", server.ca_path.as_deref()),
        ("client_cert", server.client_cert.as_deref()),
        ("client_key", server.client_key.as_deref()),
        ("namespace", server.namespace()),
        ("tls_server_name", server.tls_server_name.as_deref()),
    ];
    keys.extend(given.into_iter().filter_map(|(key, value)| Some((key, string(value?)))));
    if server.tls_skip_verify == Some(true) {
        keys.push(("tls_skip_verify", "true".to_owned()));
    }
    keys
}

//! `sidekey run -- PROGRAM`: a program with secrets in its environment, and no configuration file. The flags and the
//! environment become a configuration of the agent, and an agent is what runs then.

mod configuration;
mod env_file;
mod login;
mod look;
mod memory_file;
mod plan;
mod reference;

use std::path::Path;

use clap::Args;
use config::{Environment, Loaded, Loader, UnknownKeys};
use telemetry::Style;
use tracing::level_filters::LevelFilter;
use vault::Product;

use self::configuration::{OnChange, Parts};
use self::login::{Login, LoginArgs};
use self::look::{Wishes, look};
use self::plan::{Plan, Planned};
use self::reference::{Piece, Reference, Want};
use super::Exit;
use super::check::{print_failure, print_warnings};
use super::own_token::{self, variable};
use super::server::ServerArgs;
use crate::daemon::{self, Daemon, Reload, RunError};

/// Flags of `run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Logs in with VAULT_TOKEN, VAULT_ROLE_ID and VAULT_SECRET_ID, an account of Kubernetes (VAULT_ROLE), or ~/.vault-token.\n\
                  Variables that hold a reference are filled in: DB_PASSWORD=vault:secret/data/app#password\n\
                  The program does not get our token, role id and secret id. Its exit code is ours.\n\
                  Example: sidekey run -secret=secret/app -- ./server -port=8080"
)]
pub(super) struct RunProgramArgs {
    /// Key-value secret whose every key becomes a variable, with PREFIX before its name; PATH/* means all below; may be repeated
    #[arg(long, value_name = "PATH[=PREFIX]")]
    secret: Vec<String>,
    /// Put before the name of each variable of --secret
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Take keys as they are, instead of in capitals
    #[arg(long)]
    keep_case: bool,
    /// A variable; VALUE may hold references: vault:PATH#KEY; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// File with lines of NAME=VALUE, where VALUE may hold references; may be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Template file, and the file it becomes, with mode 0600; may be repeated
    #[arg(long, value_name = "SOURCE:DESTINATION")]
    template: Vec<String>,
    /// What becomes of the program when a secret changes: restart, none, or a signal like SIGHUP
    #[arg(long, value_name = "WHAT", default_value = "restart", value_parser = configuration::on_change)]
    on_change: OnChange,
    /// The same as --on-change=none
    #[arg(long, conflicts_with = "on_change")]
    once: bool,
    /// How often secrets without a lease are read again
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    interval: String,
    /// How long the program may take to end before it is killed; default 30s
    #[arg(long, value_name = "DURATION")]
    stop_timeout: Option<String>,
    /// Leave out what is missing, with a warning; also VAULT_IGNORE_MISSING_SECRETS=true
    #[arg(long)]
    ignore_missing: bool,
    /// Give the program our token as VAULT_TOKEN
    #[arg(long)]
    pass_token: bool,
    /// Give the program nothing of our environment
    #[arg(long)]
    pristine: bool,
    /// Tell the names of the variables and where they come from, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// Of our own log, on standard error: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: String,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// What logins are made of, which is not the program's business.
const HIDDEN: &[&str] =
    &["VAULT_TOKEN", "BAO_TOKEN", "VAULT_ROLE_ID", "BAO_ROLE_ID", "VAULT_SECRET_ID", "BAO_SECRET_ID"];

#[expect(clippy::print_stderr, reason = "the command line speaks here")]
pub(super) fn run_program(arguments: RunProgramArgs) -> Exit {
    match carried_out(&arguments) {
        Ok(exit) => exit,
        Err(problem) => {
            eprintln!("error: {problem}\nnothing was started");
            Exit::Failure
        }
    }
}

/// What is asked for, read and not yet looked at.
struct Asked {
    secrets: Vec<(String, String)>,
    references: Vec<(String, Vec<Piece>)>,
    plain: Vec<(String, String)>,
    templates: Vec<(String, String)>,
    pass_token: bool,
}

fn carried_out(arguments: &RunProgramArgs) -> Result<Exit, String> {
    let environment = Environment::capture();
    let asked = asked(arguments, &environment)?;
    if let [line] = arguments.command.as_slice()
        && line.contains(char::is_whitespace)
    {
        return Err(
            "the program's name has white space in it; for a line of the shell write: -- sh -c 'LINE'"
                .to_owned(),
        );
    }
    let Login { stanza, told, .. } = &login::choose(&arguments.login, &environment)?;
    let wishes = Wishes {
        secrets: &asked.secrets,
        references: &asked.references,
        keep_case: arguments.keep_case,
        ignore_missing: arguments.ignore_missing
            || says_yes(variable(&environment, "IGNORE_MISSING_SECRETS")),
    };
    let nothing = if arguments.once { &OnChange::Nothing } else { &arguments.on_change };
    let load = |plan: &Plan, left_out: &[String]| {
        let hidden =
            HIDDEN.iter().map(|name| (*name).to_owned()).chain(left_out.iter().cloned()).collect::<Vec<_>>();
        let parts = Parts {
            login: stanza,
            plan,
            templates: &asked.templates,
            command: &arguments.command,
            on_change: nothing,
            interval: &arguments.interval,
            stop_timeout: arguments.stop_timeout.as_deref(),
            plain: &asked.plain,
            hidden: &hidden,
            pristine: arguments.pristine,
        };
        let mut flags = arguments.server.flags();
        flags.log_level = Some(arguments.log_level.clone());
        let loader = Loader {
            product: Product::Agent,
            flags: &flags,
            environment: &environment,
            unknown_keys: UnknownKeys::Refuse,
        };
        loader.load_texts([("the command line", parts.text())])
    };
    // For the look: where the server is, and how to log in.
    let mut before = Plan::default();
    before.add("X".to_owned(), String::new(), String::new())?;
    let Loaded { settings, warnings } = match load(&before, &[]) {
        Ok(loaded) => loaded,
        Err(failure) => {
            print_failure(&failure, "nothing was started");
            return Ok(Exit::Failure);
        }
    };
    print_warnings(&warnings);
    daemon::forbid_core_dumps();
    // What goes wrong before the start is told once, and below.
    let level = telemetry::init(Product::Agent.word(), Style::Standard, LevelFilter::OFF, None);
    daemon::raise_open_files();
    let runtime = daemon::runtime().map_err(|error| format!("cannot start the runtime: {error}"))?;
    let looked = runtime.block_on(daemon::with_session(&settings, &environment, None, async |session| {
        look(session, &wishes).await
    }));
    let (looked, not_revoked) =
        looked.map_err(|error| format!("{error}\n(logging in with {told} at {})", settings.vault.address))?;
    if let Some(error) = not_revoked {
        warn(&format!(
            "the token of the first look could not be revoked and lives on until its end: {error}"
        ));
    }
    let (mut plan, left_out) = looked?;
    if asked.pass_token {
        let contents = "{{ with secret \"auth/token/lookup-self\" }}{{ .Data.id }}{{ end }}".to_owned();
        plan.add("VAULT_TOKEN".to_owned(), "our own token".to_owned(), contents)?;
    }
    if let Some((name, _)) = asked.plain.iter().find(|(name, _)| plan.0.contains_key(name)) {
        return Err(format!("{name} is given as a plain value and as a secret; remove one of them"));
    }
    if plan.0.is_empty() && asked.templates.is_empty() {
        return Err("no secret is asked for: give --secret, --env or --template, or variables like DB_PASSWORD=vault:secret/data/app#password".to_owned());
    }
    if arguments.dry_run {
        tell(&plan, &asked, told, &settings.vault.address.to_string(), &arguments.command);
        return Ok(Exit::Success);
    }
    let Loaded { settings, .. } = match load(&plan, &left_out) {
        Ok(loaded) => loaded,
        Err(failure) => {
            print_failure(&failure, "nothing was started");
            return Ok(Exit::Failure);
        }
    };
    level.set(super::run::filter(&settings));
    let outcome = runtime.block_on(async {
        // There is no file to read again, but for the sources of templates.
        let same = settings.clone();
        let reload = Reload { load: Box::new(move || Ok(same.clone())), apply_log: Box::new(|_| ()) };
        let daemon = Daemon::build(settings, &environment).await?;
        Ok::<_, daemon::StartError>(daemon.run(reload).await)
    });
    runtime.shutdown_background();
    match outcome {
        Err(error @ daemon::StartError::Template(_)) => {
            Err(format!("{error}{}", where_templates_are(&asked)))
        }
        Err(error) => Err(error.to_string()),
        Ok(Ok(())) => Ok(Exit::Success),
        Ok(Err(error)) => {
            let code = Exit::from(&error).code();
            // A program that ends with a code has said why itself.
            if !matches!(error, RunError::Child(_)) {
                warn(&error.to_string());
            }
            Ok(Exit::Mirrored(code))
        }
    }
}

/// A template that stands in a reference has no file that an error could name.
fn where_templates_are(asked: &Asked) -> String {
    let is_template =
        |piece: &Piece| matches!(piece, Piece::Secret(Reference { want: Want::Template(_), .. }));
    let with = asked.references.iter().filter(|(_, pieces)| pieces.iter().any(is_template));
    let names: Vec<&str> = with.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("\n(a reference with a template is in {})", names.join(", "))
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks here")]
fn warn(what: &str) {
    eprintln!("sidekey run: {what}");
}

/// As bank-vaults reads it.
fn says_yes(value: Option<&str>) -> bool {
    value.is_some_and(|value| super::argv::go_bool(value).unwrap_or(false))
}

/// Reads what the flags, files and the environment ask for.
fn asked(arguments: &RunProgramArgs, environment: &Environment) -> Result<Asked, String> {
    let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut asked = Asked {
        secrets: Vec::new(),
        references: Vec::new(),
        plain: Vec::new(),
        templates: Vec::new(),
        pass_token: arguments.pass_token,
    };
    let from_path = variable(environment, "FROM_PATH").into_iter().flat_map(|paths| paths.split(','));
    let from_path = from_path.map(str::trim).filter(|path| !path.is_empty());
    for secret in arguments.secret.iter().map(String::as_str).chain(from_path) {
        let (path, prefix) = secret.split_once('=').unwrap_or((secret, &arguments.prefix));
        asked.secrets.push((path.to_owned(), prefix.to_owned()));
    }
    for text in &arguments.template {
        let both = text
            .split_once(':')
            .filter(|(source, destination)| !source.is_empty() && !destination.is_empty());
        let (source, destination) =
            both.ok_or_else(|| format!("--template {text:?}: write SOURCE:DESTINATION"))?;
        if !Path::new(source).is_file() {
            return Err(format!("--template {text:?}: there is no file {source}"));
        }
        asked.templates.push((source.to_owned(), destination.to_owned()));
    }
    // Later ones win: the environment, files, flags.
    let mut values: Vec<(String, String)> = Vec::new();
    let mut set = |name: String, value: String| {
        values.retain(|(known, _)| *known != name);
        values.push((name, value));
    };
    if !arguments.pristine {
        let ours = |name: &str| name.starts_with("VAULT_") || name.starts_with("BAO_");
        for (name, value) in environment.pairs().filter(|(name, _)| !ours(name)) {
            // Those without a reference are inherited as they are, bytes that are no text too.
            let is_reference =
                reference::parse(value).map_err(|why| format!("{name} in the environment: {why}"))?;
            if is_reference.is_some() {
                set(name.to_owned(), value.to_owned());
            }
        }
    }
    for path in &arguments.env_file {
        let text =
            atomic_file::read_regular(Path::new(path), MAX_ENV_FILE).map_err(|error| error.to_string())?;
        let text = String::from_utf8(text).map_err(|_| format!("{path} is no text in UTF-8"))?;
        for (name, value) in env_file::parse(&text).map_err(|why| format!("{path}: {why}"))? {
            set(name, value);
        }
    }
    for text in &arguments.env {
        let (name, value) =
            pair(text).filter(|(name, _)| !name.is_empty()).ok_or("--env: write NAME=VALUE")?;
        set(name, value);
    }
    asked.pass_token |= ["BAO_TOKEN", "VAULT_TOKEN"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| value == own_token::LOGIN));
    for (name, value) in values {
        match reference::parse(&value).map_err(|why| format!("{name}: {why}"))? {
            Some(pieces) => asked.references.push((name, pieces)),
            None => asked.plain.push((name, value)),
        }
    }
    Ok(asked)
}

/// A file of variables is small; a larger one is something else.
const MAX_ENV_FILE: usize = 1024 * 1024;

/// What would be done: names and paths, no values.
#[expect(clippy::print_stdout, reason = "the command line speaks here")]
fn tell(plan: &Plan, asked: &Asked, login: &str, address: &str, command: &[String]) {
    println!("server: {address}\nlogin: {login}");
    for (name, Planned { origin, .. }) in &plan.0 {
        println!("variable: {name} from {origin}");
    }
    for (name, _) in &asked.plain {
        println!("variable: {name} as given");
    }
    for (source, destination) in &asked.templates {
        println!("file: {destination} from {source}");
    }
    // Its arguments are its own business.
    println!("program: {}", command.first().map_or("", String::as_str));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_is_gos() {
        assert!(says_yes(Some("true")) && says_yes(Some("1")));
        assert!(!says_yes(Some("no")) && !says_yes(None));
    }
}

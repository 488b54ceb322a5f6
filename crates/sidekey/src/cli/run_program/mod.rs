//! `sidekey run -- PROGRAM`: a program with secrets in its environment, and no configuration file. The flags and the
//! environment become a configuration of the agent, and an agent is what runs then.

mod asked;
mod configuration;
mod env_file;
mod login;
mod look;
mod memory_file;
mod plan;
mod reference;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use config::{Environment, Failure, Format, Loaded, Loader, Problem, Settings, UnknownKeys};
use telemetry::Style;
use tracing::level_filters::LevelFilter;
use vault::{Product, Token};

use self::asked::{Asked, says_yes, unheard};
use self::configuration::{OnChange, Parts};
use self::login::{Login, LoginArgs};
use self::look::{Wishes, look};
use self::plan::{Plan, Planned};
use super::Exit;
use super::own_token::variable;
use super::server::ServerArgs;
use crate::daemon::{self, Daemon, OnceError, OpenSession, Reload, RunError, Session};

/// How long the end waits for a server that is to revoke our token.
const FAREWELL: Duration = Duration::from_secs(3);

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
    /// Of our own log, on standard error: trace, debug, info, warn or error; else VAULT_LOG_LEVEL, or warn
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

pub(super) fn run_program(arguments: RunProgramArgs) -> Exit {
    match carried_out(&arguments) {
        Ok(exit) => exit,
        Err(problem) => {
            errln!("error: {problem}\nnothing was started");
            Exit::Failure
        }
    }
}

fn carried_out(arguments: &RunProgramArgs) -> Result<Exit, String> {
    let environment = Environment::capture();
    let asked = Asked::read(arguments, &environment)?;
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
        ignore_missing: arguments.ignore_missing
            || says_yes(variable(&environment, "IGNORE_MISSING_SECRETS")),
    };
    let nothing = if arguments.once { &OnChange::Nothing } else { &arguments.on_change };
    let load = |plan: &Plan, left_out: &[String]| {
        let hidden: Vec<String> = asked.hidden.iter().chain(left_out).cloned().collect();
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
        let quiet = || variable(&environment, "LOG_LEVEL").is_none().then(|| "warn".to_owned());
        flags.log_level = arguments.log_level.clone().or_else(quiet);
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
        Err(failure) => return Err(refused(&failure)),
    };
    warnings.iter().for_each(|warning| warn(&warning.message));
    unheard(&environment).for_each(|line| warn(&line));
    daemon::forbid_core_dumps();
    // What goes wrong before the start is told once, and below.
    let style = match settings.log.format {
        Format::Standard if !says_yes(variable(&environment, "JSON_LOG")) => Style::Standard,
        Format::Standard | Format::Json => Style::Json,
    };
    let level = telemetry::init(Product::Agent.word(), style, LevelFilter::OFF, None);
    daemon::raise_open_files();
    let runtime = daemon::runtime().map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome = runtime.block_on(async {
        let address = settings.vault.address.to_string();
        let mut session =
            OpenSession::open(&settings, &environment, None).await.map_err(|why| match why {
                OnceError::Login { .. } => format!("{why}\n(logging in with {told} at {address})"),
                why => why.to_string(),
            })?;
        let looked = session.work(async |session| {
            let looked = look(session, &wishes).await;
            if let (Ok(_), Some(delay), false) = (&looked, asked.delay, arguments.dry_run) {
                tokio::time::sleep(delay).await;
            }
            looked
        });
        let looked = looked.await;
        let decided = looked.map_err(|why| why.to_string()).and_then(|looked| {
            let (plan, left_out) = looked?;
            decide(
                arguments,
                &asked,
                plan,
                |plan| load(plan, &left_out),
                |plan| {
                    tell(plan, &asked, told, &address, &arguments.command);
                },
            )
        });
        let built = match decided {
            Ok(Decided::Start(settings)) => {
                level.set(super::run::filter(&settings));
                // There is no file to read again, but for the sources of templates.
                let same = settings.clone();
                let reload =
                    Reload { load: Box::new(move || Ok((*same).clone())), apply_log: Box::new(|_| ()) };
                match Daemon::build(*settings, &environment, Some(&session)).await {
                    // The token is the daemon's now.
                    Ok(daemon) => {
                        let (own, tokens) = (session.own(), daemon.tokens());
                        let outcome = daemon.run(reload, Some(session)).await;
                        let has_failed = matches!(outcome, Err(RunError::Task(_) | RunError::NoChild(_)));
                        let is_ours = has_failed || !asked.pass_token && !asked.keep_token;
                        if let Some(own) = own.filter(|_| is_ours) {
                            // There may have been another login meanwhile.
                            let last = tokens.and_then(|tokens| tokens.borrow().token.clone());
                            give_back(own, last).await;
                        }
                        return Ok(ended(outcome));
                    }
                    Err(error @ daemon::StartError::Template(_)) => {
                        Err(format!("{error}{}", asked.where_templates_are()))
                    }
                    Err(error) => Err(error.to_string()),
                }
            }
            Ok(Decided::End(exit)) => Ok(exit),
            Err(problem) => Err(problem),
        };
        if let Some(error) = session.close().await {
            warn(&format!(
                "the token of the first look could not be revoked and lives on until its end: {error}"
            ));
        }
        built
    });
    runtime.shutdown_background();
    outcome
}

/// Revokes our token, with the leases made for the program. If that cannot be, it ends by its TTL; somebody waits.
async fn give_back(Session { upstream, caller, token }: Session, last: Option<Arc<Token>>) {
    let token = last.unwrap_or(token);
    let _ = tokio::time::timeout(FAREWELL, caller.revoke_self(&*upstream, &token)).await;
}

/// What is to be done after the look.
enum Decided {
    Start(Box<Settings>),
    End(Exit),
}

/// # Errors
/// What was found does not make an environment.
fn decide(
    arguments: &RunProgramArgs,
    asked: &Asked,
    mut plan: Plan,
    load: impl FnOnce(&Plan) -> Result<Loaded, Failure>,
    tell: impl FnOnce(&Plan),
) -> Result<Decided, String> {
    if asked.pass_token {
        let contents = "{{ with secret \"auth/token/lookup-self\" }}{{ .Data.id }}{{ end }}".to_owned();
        plan.add("VAULT_TOKEN".to_owned(), "our own token".to_owned(), contents)?;
    }
    if let Some((name, _)) = asked.plain.iter().find(|(name, _)| plan.0.contains_key(name)) {
        return Err(format!("{name} is given as a plain value and as a secret; remove one of them"));
    }
    if plan.0.is_empty() && asked.templates.is_empty() {
        if !asked.secrets.is_empty() || !asked.references.is_empty() {
            return Err("nothing of what was asked for is there, so nothing was started".to_owned());
        }
        return Err("no secret is asked for: give --secret, --env or --template, or variables like DB_PASSWORD=vault:secret/data/app#password".to_owned());
    }
    if arguments.dry_run {
        tell(&plan);
        return Ok(Decided::End(Exit::Success));
    }
    let loaded = load(&plan).map_err(|failure| refused(&failure))?;
    Ok(Decided::Start(Box::new(loaded.settings)))
}

/// Without the place in the configuration: nobody wrote it, and values of variables stand in it.
fn refused(failure: &Failure) -> String {
    let told = |problem: &Problem| match &problem.diagnostic.hint {
        Some(hint) => format!("{}\n({hint})", problem.diagnostic.message),
        None => problem.diagnostic.message.clone(),
    };
    failure.problems.iter().map(told).collect::<Vec<_>>().join("\n")
}

/// The code that we end with, and why unless the program has said it itself.
fn ended(outcome: Result<(), RunError>) -> Exit {
    match outcome {
        Ok(()) => Exit::Success,
        Err(error) => {
            if !matches!(error, RunError::Child(_)) {
                warn(&error.to_string());
            }
            Exit::Mirrored(Exit::from(&error).code())
        }
    }
}

fn warn(what: &str) {
    errln!("sidekey run: {what}");
}

/// What would be done: names and paths, no values.
fn tell(plan: &Plan, asked: &Asked, login: &str, address: &str, command: &[String]) {
    outln!("server: {address}\nlogin: {login}");
    for (name, Planned { origin, .. }) in &plan.0 {
        outln!("variable: {name} from {origin}");
    }
    for (name, _) in &asked.plain {
        outln!("variable: {name} as given");
    }
    for (source, destination) in &asked.templates {
        outln!("file: {destination} from {source}");
    }
    // Its arguments are its own business.
    outln!("program: {}", command.first().map_or("", String::as_str));
}

#[cfg(test)]
mod tests {
    use vault::api::Caller;
    use vault::{BoxFuture, Request, Response, SendError, Upstream};

    use super::*;

    /// Never answers.
    struct Silent;

    impl Upstream for Silent {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_take_the_token_back_delays_the_end_by_three_seconds() {
        let token = Arc::new(Token::new("s.1").unwrap());
        let session = Session { upstream: Arc::new(Silent), caller: Caller::default(), token };
        let began = tokio::time::Instant::now();
        give_back(session, None).await;
        let took = began.elapsed();
        assert!(took >= FAREWELL && took < FAREWELL + Duration::from_millis(5), "{took:?}");
    }
}

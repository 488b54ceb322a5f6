//! `sidekey agent` and `sidekey proxy`.

use std::path::PathBuf;

use atomic_file::{FileError, RotatingFile, Rotation};
use clap::Args;
use config::{Environment, Flags, Format, Level, Loader, LogFile, Settings, UnknownKeys};
use hcl1::Color;
use telemetry::Style;
use tracing::level_filters::LevelFilter;
use vault::Product;

use super::argv::go_bool;
use super::check::{drawn, print_failure, print_warnings};
use super::server::{ServerArgs, UnusedArgs};
use super::{Exit, version};
use crate::daemon::{self, Daemon, Reload};

/// Flags of `agent` and `proxy`; those without a help text are accepted for compatibility.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct RunArgs {
    /// Configuration file, or folder of .hcl and .json files; may be repeated
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    config: Vec<PathBuf>,
    /// End when the token is delivered and every template is rendered
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    exit_after_auth: Option<bool>,
    /// trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    log_level: Option<String>,
    /// standard or json
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    log_format: Option<String>,
    /// File for log lines, beside standard error
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    log_file: Option<String>,
    /// Put the log file aside when it is so long; 0: never
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    log_rotate_bytes: Option<i64>,
    /// Put the log file aside when it is so old
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    log_rotate_duration: Option<String>,
    /// Keep so many of those; 0: all, below 0: none
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    log_rotate_max_files: Option<i64>,
    #[command(flatten)]
    server: ServerArgs,
    /// Refuse unknown keys in the configuration
    #[arg(long)]
    strict: bool,
    /// Load and check the configuration, and end
    #[arg(long, hide = true)]
    test_verify_only: bool,
    /// Let the system write core dumps, which hold secrets
    #[arg(long)]
    allow_core_dumps: bool,
    #[command(flatten)]
    _unused: UnusedArgs,
    /// Go's flag reading stops at the first word that is no flag; what follows has no meaning.
    #[arg(hide = true, trailing_var_arg = true)]
    rest: Vec<String>,
}

impl RunArgs {
    fn flags(&self) -> Flags {
        let this = self.clone();
        Flags {
            exit_after_auth: this.exit_after_auth,
            log_level: this.log_level,
            log_format: this.log_format,
            log_file: this.log_file,
            log_rotate_bytes: this.log_rotate_bytes,
            log_rotate_duration: this.log_rotate_duration,
            log_rotate_max_files: this.log_rotate_max_files,
            ..this.server.flags()
        }
    }
}

pub(super) fn run(product: Product, arguments: RunArgs) -> Exit {
    let environment = Environment::capture().with_addresses(::template::address);
    let flags = arguments.flags();
    let unknown_keys = if arguments.strict { UnknownKeys::Refuse } else { UnknownKeys::Warn };
    let paths = arguments.config;
    let for_reload = environment.clone();
    let load =
        move |flags: &Flags| Loader { product, flags, environment: &for_reload, unknown_keys }.load(&paths);
    let loaded = match load(&flags) {
        Ok(loaded) => loaded,
        Err(failure) => {
            print_failure(&failure, "nothing was started");
            return Exit::Failure;
        }
    };
    print_warnings(&loaded.warnings);
    if arguments.test_verify_only {
        return Exit::Success;
    }
    let settings = loaded.settings;
    if !arguments.allow_core_dumps {
        daemon::forbid_core_dumps();
    }
    let style = match settings.log.format {
        Format::Standard => Style::Standard,
        Format::Json => Style::Json,
    };
    let log_file = match settings.log.file.as_ref().map(open_log_file).transpose() {
        Ok(file) => file,
        Err(error) => return failed_to_start(&format!("failed to setup logging: {error}"), Exit::Failure),
    };
    let also = log_file.clone().map(|file| Box::new(file) as telemetry::Also);
    let level = telemetry::init(product.word(), style, filter(&settings), also);
    daemon::raise_open_files();
    let runtime = match daemon::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed_to_start(&format!("Error starting the runtime: {error}"), Exit::Failure),
    };
    // SIGHUP reads the same files with the same flags and environment: what the command line said stays said.
    let reload = Reload {
        load: Box::new(move || match load(&flags) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    tracing::warn!(target: "reload", problem = warning.render(Color::Plain), "the new configuration has something strange");
                }
                Ok(loaded.settings)
            }
            Err(failure) => {
                tracing::error!(target: "reload", problems = drawn(&failure, Color::Plain), "the new configuration cannot be read, the old configuration stays in force");
                Err(failure.problems.iter().map(|problem| problem.upstream_text()).collect())
            }
        }),
        apply_log: Box::new(move |settings| {
            level.set(filter(settings));
            if let Some(Err(error)) = log_file.as_ref().map(RotatingFile::reopen) {
                tracing::error!(target: "", %error, "the log file could not be opened again, the old one stays in use");
            }
        }),
    };
    let outcome = runtime.block_on(async {
        let daemon = Daemon::build(settings, &environment, None).await?;
        print_banner(product, &daemon);
        Ok::<_, daemon::StartError>(daemon.run(reload, None).await)
    });
    // Whatever still sits in a blocking call is left to the end of the process.
    runtime.shutdown_background();
    match outcome {
        Err(error) => failed_to_start(&error.to_string(), Exit::from(&error)),
        Ok(Ok(())) => Exit::Success,
        Ok(Err(error)) => {
            let exit = Exit::from(&error);
            tracing::error!(target: "", error = %error, exitCode = exit.code(), "runtime error encountered");
            failed_to_start("Error encountered during run, refer to logs for more details.", exit)
        }
    }
}

fn open_log_file(settings: &LogFile) -> Result<RotatingFile, FileError> {
    let LogFile { path, bytes, age, keep } = settings;
    RotatingFile::open(path, Rotation { bytes: *bytes, age: *age, keep: *keep })
}

pub(super) fn filter(settings: &Settings) -> LevelFilter {
    match settings.log.level.unwrap_or_default() {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

/// On standard output, as upstream prints it.
fn failed_to_start(message: &str, exit: Exit) -> Exit {
    outln!("{message}");
    exit
}

/// What runs where, with keys right-aligned as the agents' users know it.
fn print_banner(product: Product, daemon: &Daemon) {
    let title = match product {
        Product::Agent => "Agent",
        Product::Proxy => "Proxy",
    };
    outln!("==> Sidekey {title} started! Log data will stream in below:\n");
    outln!("==> Sidekey {title} configuration:\n");
    for (nth, address) in daemon.addresses().iter().enumerate() {
        outln!("{:>24}: {address}", format!("Api Address {}", nth + 1));
    }
    outln!("{:>24}: {}", "Log Level", daemon.log_level());
    outln!("{:>24}: Sidekey v{}\n", "Version", version::VERSION);
}

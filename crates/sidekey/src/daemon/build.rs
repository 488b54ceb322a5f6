//! Everything is made here, from the configuration, and run elsewhere; and how each room takes its settings.

use std::sync::Arc;

use auto_auth::sink::SinkError;
use cache::Cache;
use config::{Environment, Settings};
use futures_util::FutureExt as _;
use proxy::ListenError;
use template::RunnerError;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use vault::api::Caller;
use vault::{ClientSettings, Pem, Roots, Subsystem, TlsError, TokenState, Verify, user_agent};

use super::persist;
use super::session::OpenSession;
use super::tasks::{TaskError, Tasks};
use super::units::{Ask, Fixed, Units};
use super::{child, notify, report};

/// Why the program did not start. The texts are upstream's where tools match on them.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    /// TLS towards the server.
    #[error("Error fetching client: {0}")]
    Tls(#[from] TlsError),
    /// A sink.
    #[error("{0}")]
    Sink(#[from] SinkError),
    /// A listener.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// A template.
    #[error("{0}")]
    Template(#[from] RunnerError),
    /// The access log.
    #[error("Error opening the access log: {0}")]
    AccessLog(#[source] atomic_file::FileError),
    /// Where the child's output should go.
    #[error("could not create exec server: could not open {}", without_open(.0))]
    ChildOutput(#[source] atomic_file::FileError),
    /// The program of `exec`.
    #[error("error starting the child process: {0}")]
    Program(String),
    /// The cache on disk.
    #[error("Error creating persistent cache: {0}")]
    Persist(#[from] persist::PersistError),
    /// A bug of ours.
    #[error("{0}")]
    Bug(#[from] TaskError),
    /// The pid file.
    #[error("Error storing PID: could not open pid file: {}", without_open(.0))]
    PidFile(#[source] atomic_file::FileError),
}

/// What an error says of a file that could not be opened, behind words that say this already.
fn without_open(error: &atomic_file::FileError) -> String {
    let text = error.to_string();
    text.strip_prefix("cannot open ").map(str::to_owned).unwrap_or(text)
}

/// Everything, made and not yet running.
pub(crate) struct Daemon {
    pub(super) units: Units,
    pub(super) fixed: Fixed,
    pub(super) tasks: Tasks,
    /// Who asks for a reload by the API.
    pub(super) asks: mpsc::Receiver<Ask>,
    /// Where systemd wants to be told.
    pub(super) notify: Option<Arc<notify::Systemd>>,
}

/// Reloads that may be asked for while one is under way.
const ASKS: usize = 16;

impl Daemon {
    /// Makes every unit. The first `auto_auth` goes on with the login of `before`.
    ///
    /// # Errors
    /// [`StartError`]; nothing was started then.
    pub(crate) async fn build(
        settings: Settings,
        environment: &Environment,
        before: Option<&OpenSession>,
    ) -> Result<Self, StartError> {
        let mut tasks = Tasks::new();
        let (sender, asks) = mpsc::channel(ASKS);
        let settings = Arc::new(settings);
        let fixed = Fixed::new(&settings, environment, sender, CancellationToken::new());
        let mut units = Units::none(&settings, before.and_then(|before| before.login.clone()));
        let next = match units.prepare(&settings, &fixed, &tasks).await {
            Ok(next) => next,
            Err(problems) => {
                let unknown = || TaskError::Failed("nothing could be made".to_owned()).into();
                return Err(problems.into_iter().next().unwrap_or_else(unknown));
            }
        };
        child::bury_orphans(&settings, &mut tasks);
        units.commit(next, &fixed, &mut tasks).await;
        tasks.start("numbers", report::push(Arc::clone(&fixed.board)).map(Ok));
        let notify = notify::socket(environment).map(|socket| Arc::new(notify::Systemd::new(socket)));
        if let Some(systemd) = notify.clone() {
            let watchdog = notify::watchdog(environment);
            tasks.start("systemd", notify::keep_telling(systemd, watchdog, Arc::clone(&fixed.board)).map(Ok));
        }
        Ok(Self { units, fixed, tasks, asks, notify })
    }

    /// Where clients connect: `http://127.0.0.1:8200`, with the real ports.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.units.addresses()
    }

    /// The tokens of the first `auto_auth`; the last one stays there behind the end.
    pub(crate) fn tokens(&self) -> Option<watch::Receiver<TokenState>> {
        self.units.tokens()
    }

    /// The level as it was configured; empty when nobody said.
    pub(crate) fn log_level(&self) -> &'static str {
        self.units.settings.log.level.map_or("", config::Level::word)
    }
}

/// As the cache takes them, which knows no configuration.
pub(super) fn static_secrets(kept: &config::StaticSecrets) -> cache::StaticSecrets {
    cache::StaticSecrets {
        paths: kept.paths.clone(),
        ttl: kept.ttl,
        stale_if_error: kept.stale_if_error,
        negative_ttl: kept.negative_ttl,
        revalidate: match kept.revalidate {
            config::Revalidate::None => cache::Revalidate::None,
            config::Revalidate::Metadata => cache::Revalidate::Metadata,
            config::Revalidate::Full => cache::Revalidate::Full,
        },
        capability_ttl: kept.capability_ttl,
        capability_stale_if_error: kept.capability_stale_if_error,
        optimistic: kept.optimistic,
        max_entries: kept.max_entries,
        max_bytes: kept.max_bytes,
        max_entry_bytes: kept.max_entry_bytes,
        kv_version: match kept.kv_version {
            config::KvVersion::Auto => cache::KvVersion::Auto,
            config::KvVersion::One => cache::KvVersion::One,
            config::KvVersion::Two => cache::KvVersion::Two,
        },
        events: kept.events,
    }
}

/// Who we are, for the server.
pub(super) fn caller(settings: &Settings, subsystem: Subsystem) -> Caller {
    Caller {
        user_agent: user_agent(settings.product, subsystem),
        namespace: settings.vault.namespace.clone(),
        address: settings.vault.address.to_string(),
        timeout: settings.vault.timeout,
    }
}

pub(super) fn client_settings(settings: &Settings, keep_alive: bool) -> ClientSettings {
    ClientSettings {
        tls: settings.vault.tls.clone(),
        timeout: settings.vault.timeout,
        retry: settings.vault.retry,
        keep_alive,
        others: settings.vault.others.clone(),
        redirect_hosts: settings.vault.redirect_hosts.clone(),
        proxies: settings.vault.proxies.clone(),
        rate_limit: settings.vault.rate_limit.clone(),
        ..ClientSettings::new(settings.vault.address.clone())
    }
}

/// What a template's command learns of the server: where it is and whom to trust, never a token.
pub(super) fn for_commands(settings: &Settings) -> Vec<(String, String)> {
    let tls = &settings.vault.tls;
    let path = |path: &std::path::Path| path.display().to_string();
    let mut variables = vec![("ADDR", settings.vault.address.to_string())];
    if tls.verify == Verify::Skip {
        variables.push(("SKIP_VERIFY", "true".to_owned()));
    }
    match &tls.roots {
        Roots::File(file) => variables.push(("CACERT", path(file))),
        Roots::Folder(folder) => variables.push(("CAPATH", path(folder))),
        Roots::System | Roots::Bytes(_) => {}
    }
    if let Some((Pem::File(certificate), Pem::File(key))) = &tls.identity {
        variables.push(("CLIENT_CERT", path(certificate)));
        variables.push(("CLIENT_KEY", path(key)));
    }
    if let Some(name) = &tls.server_name {
        variables.push(("TLS_SERVER_NAME", name.clone()));
    }
    let both = |(name, value): (&str, String)| {
        [(format!("VAULT_{name}"), value.clone()), (format!("BAO_{name}"), value)]
    };
    variables.into_iter().flat_map(both).collect()
}

pub(super) fn cache_options(settings: &config::Cache) -> cache::Options {
    let bounds = settings.bounds.clone();
    cache::Options {
        leases: !settings.only_static,
        strict_keys: bounds.strict_keys,
        key_extra_headers: bounds.key_extra_headers.iter().filter_map(|name| name.parse().ok()).collect(),
        client_control: bounds.client_control,
        revoke_replaced: bounds.revoke_replaced,
        adjust_ttl: bounds.adjust_ttl,
        max_idle_renewals: bounds.max_idle_renewals,
        verify_interval: bounds.verify_interval,
        deny_paths: bounds.deny_paths,
        max_entries: bounds.max_entries,
        max_bytes: bounds.max_bytes,
        renewals_per_second: bounds.renewals_per_second,
        refresh_ahead: bounds.refresh_ahead,
    }
}

/// Leases and child tokens of our own token are remembered once the cache knows it.
pub(super) async fn keep_own_token(cache: Cache, whose: usize, mut tokens: watch::Receiver<TokenState>) {
    loop {
        let token = tokens.borrow_and_update().token.clone();
        if let Some(token) = token {
            cache.set_own_token(whose, token);
        }
        if tokens.changed().await.is_err() {
            return;
        }
    }
}

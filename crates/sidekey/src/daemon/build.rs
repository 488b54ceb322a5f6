//! Every room in order: made here, connected here, run elsewhere. Nothing is sent before [`Daemon::run`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auto_auth::sink::SinkError;
use auto_auth::{Reauth, Refused};
use cache::{Cache, Mode};
use config::{CacheBounds, Environment, Role, Settings, Template};
use futures_util::FutureExt as _;
use http::HeaderValue;
use proxy::{
    AccessLog, AccessTarget, Bound, CertificateReloader, Context, Handles, ListenError, Passed, Refusal,
    Tunnels, WaitingRoom,
};
use template::{Runner, RunnerError, RunnerSettings, Variables};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, warn};
use vault::api::Caller;
use vault::{
    Client, ClientSettings, Consistent, Pem, RetryPolicy, Roots, Subsystem, TlsError, TokenState, Upstream,
    Verify, WhenInconsistent, user_agent,
};

use super::child::{self, Child, Kept};
use super::identity::{Door, Identity};
use super::notify;
use super::persist;
use super::pid_file::PidFile;
use super::report::{self, Board, ListenerPart, Parts, TemplatePart};
use super::tasks::Tasks;

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
    #[error("could not create exec server: could not open {0}")]
    ChildOutput(#[source] atomic_file::FileError),
    /// The cache on disk.
    #[error("Error creating persistent cache: {0}")]
    Persist(#[from] persist::PersistError),
    /// The pid file.
    #[error("Error storing PID: could not open pid file: {0}")]
    PidFile(#[source] atomic_file::FileError),
}

/// Everything, made and not yet running.
pub(crate) struct Daemon {
    pub(super) settings: Settings,
    pub(super) tasks: Tasks,
    pub(super) clients: Vec<Client>,
    pub(super) certificates: Vec<CertificateReloader>,
    pub(super) quit: CancellationToken,
    /// Sinks and templates hold a token of it until they have done their work once.
    pub(super) ready: TaskTracker,
    pub(super) pid_file: Option<PidFile>,
    pub(super) board: Arc<Board>,
    pub(super) access: Option<AccessLog>,
    /// The child of `exec`, and which signals it is handed.
    pub(super) child: Option<Kept>,
    pub(super) forward: Vec<supervisor::Signal>,
    /// Where systemd wants to be told.
    pub(super) notify: Option<Arc<notify::Systemd>>,
    addresses: Vec<String>,
}

impl Daemon {
    /// Makes every room.
    ///
    /// # Errors
    /// [`StartError`]; nothing was started then.
    pub(crate) async fn build(settings: Settings, environment: &Environment) -> Result<Self, StartError> {
        let mut tasks = Tasks::new();
        let ready = TaskTracker::new();
        let quit = CancellationToken::new();
        let product = settings.product;
        let board = Board::new();
        let passed = Arc::<Passed>::default();
        let access = match &settings.access_log {
            None => None,
            Some(log) => Some(access_log(log).map_err(StartError::AccessLog)?),
        };
        let child = settings.exec.as_ref().map(Child::new).transpose()?;
        child::bury_orphans(&settings, &mut tasks);
        let (identities, ends): (Vec<_>, Vec<_>) = settings.auto_auths.iter().map(Identity::new).unzip();

        if settings.vault.tls.verify == Verify::Skip {
            warn!(target: "", "tls_skip_verify is on: whoever answers at the server's address is believed");
        }
        let addresses = std::iter::once(&settings.vault.address).chain(&settings.vault.others);
        for address in addresses.filter(|address| !address.is_tls() && !address.is_local()) {
            warn!(target: "", address = %address, "requests to the server are not encrypted");
        }
        if let Some(proxy) = settings.vault.proxies.way_to(&settings.vault.address) {
            info!(target: "", proxy = %proxy, "the server is reached through a proxy");
        }
        let client = |keep_alive| Client::new(&client_settings(&settings, keep_alive));
        let caller = |subsystem| Caller {
            user_agent: user_agent(product, subsystem),
            namespace: settings.vault.namespace.clone(),
            address: settings.vault.address.to_string(),
            timeout: settings.vault.timeout,
        };

        // The door to the server for clients and templates.
        let consistency = settings.api_proxy.consistency;
        let proxied = Client::new(&ClientSettings {
            retry_inconsistent: consistency.is_none_or(|action| action != WhenInconsistent::Fail),
            ..client_settings(&settings, !settings.no_keep_alive.proxying)
        })?;
        let mode = if settings.cache.is_some() { Mode::Remember } else { Mode::PassOn };
        let upstream: Arc<dyn Upstream> = match consistency {
            None => Arc::new(proxied.clone()),
            Some(action) => Arc::new(Consistent::new(Arc::new(proxied.clone()), action)),
        };
        let stanza = settings.cache.as_ref();
        let options = stanza.map(|cache| cache_options(&cache.bounds)).unwrap_or_default();
        let opened = match stanza.and_then(|cache| cache.persist.as_ref()) {
            None => None,
            Some(persist) => Some(persist::open(persist, environment, &settings.vault.address).await?),
        };
        let caller_of_cache = caller(Subsystem::ApiProxy);
        let (cache, keep_alive) =
            Cache::with_options(mode, options, opened, upstream, caller_of_cache, tasks.stop());
        // It writes to disk what is left, at the end.
        tasks.start_graceful("cache", keep_alive.map(Ok));
        if let Some(kept) = stanza.and_then(|cache| cache.static_secrets.as_ref()) {
            let caller = caller(Subsystem::ApiProxy);
            if kept.events && settings.auto_auths.is_empty() {
                warn!(
                    target: "", ttl = ?kept.ttl,
                    "without auto_auth there is no token to subscribe to changes of secrets with: one that is made elsewhere is seen within the ttl"
                );
            }
            let run = cache.keep_static_secrets(&static_secrets(kept), caller, tasks.stop());
            tasks.start("static secrets", run.map(Ok));
        }
        let mut upstreams = vec![("proxy", proxied.clone())];
        let mut clients = vec![proxied];

        // Listeners bind before sinks are checked: an address in use is the more common mistake.
        let mut bound = Vec::new();
        for listener in &settings.listeners {
            bound.push(Bound::bind(listener).await?);
        }
        let addresses = bound.iter().map(|listener| listener.address().to_owned()).collect();
        let listeners = settings.listeners.iter().zip(&bound).map(|(settings, bound)| ListenerPart {
            address: bound.address().to_owned(),
            metrics_only: settings.role == Role::MetricsOnly,
            counters: bound.counters(),
        });
        let listeners = listeners.collect();
        let certificates = bound.iter().filter_map(Bound::certificates).collect();
        // Listeners of one identity share what there is to share.
        let mut contexts = BTreeMap::new();
        for (settings_of, listener) in settings.listeners.iter().zip(bound) {
            let whose = settings_of.auto_auth;
            let context = contexts.entry(whose).or_insert_with(|| {
                let identity = whose.and_then(|whose| identities.get(whose));
                let name = whose.and_then(|whose| settings.auto_auths.get(whose)?.name.clone());
                Arc::new(Context {
                    passed: Arc::clone(&passed),
                    identity: name,
                    access: access.clone(),
                    ..context(&settings, identity, cache.clone(), quit.clone(), Arc::clone(&board))
                })
            });
            tasks.start_graceful("listener", listener.run(Arc::clone(context), tasks.stop()).map(Ok));
        }
        for whose in contexts.into_keys().flatten() {
            if let Some(identity) = identities.get(whose) {
                let kept = keep_own_token(cache.clone(), whose, identity.tokens.clone());
                tasks.start("cache token", kept.map(Ok));
            }
        }

        if identities.is_empty() {
            info!(target: "", "No auto_auth block found in config, the automatic authentication feature will not be started");
        } else {
            let own = client(!settings.no_keep_alive.auto_auth)?.with_retry(RetryPolicy::Never);
            upstreams.push(("auto_auth", own.clone()));
            clients.push(own.clone());
            let door = Door {
                upstream: Arc::new(own),
                client: client_settings(&settings, !settings.no_keep_alive.auto_auth),
                caller: caller(Subsystem::AutoAuth),
            };
            let environment = Arc::new(environment.clone());
            for ((identity, ends), settings) in identities.iter().zip(ends).zip(&settings.auto_auths) {
                identity.start(ends, settings, &door, &environment, &mut tasks, &ready)?;
            }
        }

        let mut standings = Vec::new();
        let variables = Arc::new(Variables::of(&settings.templates));
        // A child waits for templates alone, not for sinks.
        let rendered = TaskTracker::new();
        let given_up = CancellationToken::new();
        for (whose, identity) in identities.iter().enumerate() {
            let own = |template: &&Template| template.auto_auth == Some(whose);
            let templates: Vec<Template> = settings.templates.iter().filter(own).cloned().collect();
            if templates.is_empty() {
                continue;
            }
            let caller = Caller { namespace: identity.namespace.clone(), ..caller(Subsystem::Templating) };
            let auto_auth = settings.auto_auths.get(whose);
            let shared = RunnerSettings {
                old_tokens_are_revoked: auto_auth.is_some_and(|one| one.revoke_previous_token),
                child: child.as_ref().map(Child::changes),
                ..runner_settings(&settings, environment, &identity.reauth)
            };
            let runner = identity.span.in_scope(|| {
                Runner::new(templates, shared, Arc::new(cache.clone()), caller, rendered.token())
            })?;
            let runner = runner.with_variables(Arc::clone(&variables));
            let name = settings.auto_auths.get(whose).and_then(|one| one.name.clone()).unwrap_or_default();
            standings.extend(
                runner
                    .standings()
                    .into_iter()
                    .map(|standing| TemplatePart { identity: name.clone(), standing }),
            );
            let running = runner.run(identity.tokens.clone());
            let gives_up = given_up.clone();
            let running = running.inspect(move |_| gives_up.cancel());
            tasks.start_templates("templates", running.instrument(identity.span.clone()));
        }

        rendered.close();
        let (first_round, done) = (rendered.clone(), ready.token());
        tasks.start("first round", async move {
            first_round.wait().await;
            drop(done);
            Ok(())
        });
        let forward = child.as_ref().map(|child| child.forward.clone()).unwrap_or_default();
        let record = child.as_ref().map(Child::record);
        let child = child.map(|child| child.keep(variables.watch(), rendered, given_up, &mut tasks));

        board.complete(Parts {
            product,
            telemetry: settings.telemetry.clone(),
            identities: identities.iter().zip(&settings.auto_auths).map(|(one, of)| one.part(of)).collect(),
            listeners,
            templates: standings,
            child: record,
            upstreams,
            cache,
            passed,
            access: access.clone(),
            ready: ready.clone(),
        });
        tasks.start("numbers", report::push(Arc::clone(&board)).map(Ok));
        let notify = notify::socket(environment).map(|socket| Arc::new(notify::Systemd::new(socket)));
        if let Some(systemd) = notify.clone() {
            let watchdog = notify::watchdog(environment);
            tasks.start("systemd", notify::keep_telling(systemd, watchdog, Arc::clone(&board)).map(Ok));
        }

        let pid_file = match &settings.pid_file {
            None => None,
            Some(path) => Some(PidFile::write(path).map_err(StartError::PidFile)?),
        };
        Ok(Self {
            settings,
            tasks,
            clients,
            certificates,
            quit,
            ready,
            pid_file,
            board,
            access,
            child,
            forward,
            notify,
            addresses,
        })
    }

    /// Where clients connect: `http://127.0.0.1:8200`, with the real ports.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The level as it was configured; empty when nobody said.
    pub(crate) fn log_level(&self) -> &'static str {
        match self.settings.log.level {
            None => "",
            Some(config::Level::Trace) => "trace",
            Some(config::Level::Debug) => "debug",
            Some(config::Level::Info) => "info",
            Some(config::Level::Warn) => "warn",
            Some(config::Level::Error) => "error",
        }
    }
}

/// What the listeners of one identity work with; of none, where no token of ours is used.
fn context(
    settings: &Settings,
    identity: Option<&Identity>,
    cache: Cache,
    quit: CancellationToken,
    board: Arc<Board>,
) -> Context {
    let reauth = identity.map(|identity| identity.reauth.clone());
    Context {
        cache,
        tokens: identity.map_or_else(|| watch::channel(TokenState::default()).1, |own| own.tokens.clone()),
        use_auto_auth_token: settings.api_proxy.use_auto_auth_token,
        has_auto_auth: identity.is_some(),
        strict_paths: settings.api_proxy.strict_paths,
        product: settings.product,
        // Letters and digits of ours.
        user_agent: HeaderValue::from_str(&user_agent(settings.product, Subsystem::ApiProxy))
            .unwrap_or_else(|_| HeaderValue::from_static("sidekey")),
        waiting_room: WaitingRoom::default(),
        tunnels: Tunnels::default(),
        passed: Arc::default(),
        identity: None,
        access: None,
        report: board,
        handles: Handles {
            refused: Arc::new(move |Refusal { generation, looks_dead }| match &reauth {
                Some(reauth) => Box::pin(reauth.replacement_comes(Refused { generation, looks_dead })),
                // Nobody's token was refused.
                None => Box::pin(std::future::ready(false)),
            }),
            quit: Arc::new(move || quit.cancel()),
        },
    }
}

fn access_log(settings: &config::AccessLog) -> Result<AccessLog, atomic_file::FileError> {
    AccessLog::start(match settings {
        config::AccessLog::StandardError => AccessTarget::StandardError,
        config::AccessLog::File(path) => AccessTarget::File(path.clone()),
    })
}

/// As the cache takes them, which knows no configuration.
fn static_secrets(kept: &config::StaticSecrets) -> cache::StaticSecrets {
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

pub(super) fn client_settings(settings: &Settings, keep_alive: bool) -> ClientSettings {
    ClientSettings {
        tls: settings.vault.tls.clone(),
        timeout: settings.vault.timeout,
        retry: settings.vault.retry,
        keep_alive,
        others: settings.vault.others.clone(),
        redirect_hosts: settings.vault.redirect_hosts.clone(),
        proxies: settings.vault.proxies.clone(),
        ..ClientSettings::new(settings.vault.address.clone())
    }
}

/// Tries per secret and the pauses between them; upstream's numbers.
const TEMPLATE_RETRIES: (u32, Duration, Duration) = (12, Duration::from_millis(250), Duration::from_secs(60));

fn runner_settings(settings: &Settings, environment: &Environment, reauth: &Reauth) -> RunnerSettings {
    let (retries, first, longest) = TEMPLATE_RETRIES;
    let reauth = reauth.clone();
    RunnerSettings {
        shared: settings.template_config.clone(),
        attempts: match settings.vault.retry {
            RetryPolicy::Never => 0,
            RetryPolicy::AtMost(most) => most,
            RetryPolicy::Patient => retries,
        },
        backoff: (first, longest),
        once: settings.exit_after_auth,
        environment: environment.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        for_commands: for_commands(settings),
        refused: Arc::new(move |generation| reauth.ask(generation)),
        old_tokens_are_revoked: false,
        child: None,
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

fn cache_options(bounds: &CacheBounds) -> cache::Options {
    let bounds = bounds.clone();
    cache::Options {
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
async fn keep_own_token(cache: Cache, whose: usize, mut tokens: watch::Receiver<TokenState>) {
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

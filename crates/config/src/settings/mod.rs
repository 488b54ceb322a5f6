//! What the program is to do, checked and as plain data. One file a stanza: what it means, its defaults with
//! their source, and how it is read from the tree.

pub(crate) mod access_log;
pub(crate) mod api_proxy;
pub(crate) mod auto_auth;
pub(crate) mod cache;
pub(crate) mod child_environment;
pub(crate) mod env_template;
pub(crate) mod exec;
pub(crate) mod file_access;
pub(crate) mod listener;
pub(crate) mod log;
pub(crate) mod signal;
pub(crate) mod telemetry;
pub(crate) mod template;
pub(crate) mod vault;

use std::path::PathBuf;
use std::time::Duration;

pub use self::access_log::AccessLog;
pub use self::api_proxy::{ApiProxy, UseAutoAuthToken};
pub use self::auto_auth::*;
pub use self::cache::{Cache, CacheBounds, KvVersion, Persist, PersistKey, Revalidate, StaticSecrets};
pub use self::child_environment::ChildEnvironment;
pub use self::exec::{DEFAULT_CHANGE_DELAY, DEFAULT_STOP_TIMEOUT, Exec, OnChange, RestartOnExit};
pub use self::file_access::Identity;
pub use self::listener::{
    AllowRule, AllowedPath, AllowedPeers, DEFAULT_LISTEN, DEFAULT_TLS_RELOAD, Endpoint, Listener,
    ListenerAccess, ListenerLimits, ListenerTls, RateLimit, Role, SocketAccess, TlsChoice,
};
pub use self::log::{Format, Level, Log, LogFile};
pub use self::telemetry::Telemetry;
pub use self::template::{
    Command, Consequence, Contents, DEFAULT_COMMAND_TIMEOUT, DEFAULT_KILL_TIMEOUT,
    DEFAULT_LEASE_RENEWAL_THRESHOLD, DEFAULT_PERMS, DEFAULT_STATIC_INTERVAL, Profile, Template,
    TemplateConfig, Wait,
};
pub use self::vault::{DEFAULT_ADDRESS, DEFAULT_TIMEOUT, Vault};

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Agent or proxy: which stanzas count and what the log lines are called.
    pub product: ::vault::Product,
    /// The server.
    pub vault: Vault,
    /// How to log in and where to put the token: one without a name or none, and any number with names.
    pub auto_auths: Vec<AutoAuth>,
    /// Whether and how answers are remembered.
    pub cache: Option<Cache>,
    /// Which token requests travel with.
    pub api_proxy: ApiProxy,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Files to render, in order, and behind them the variables of the child.
    pub templates: Vec<Template>,
    /// The child that is given them.
    pub exec: Option<Exec>,
    /// What all templates share.
    pub template_config: TemplateConfig,
    /// End when the token was delivered and every template was rendered once.
    pub exit_after_auth: bool,
    /// How long all of that may take until the program gives up; none waits for ever.
    pub startup_timeout: Option<Duration>,
    /// File that holds our process id while we run.
    pub pid_file: Option<PathBuf>,
    /// Where log lines go and which.
    pub log: Log,
    /// Where a line for each request goes, if anywhere.
    pub access_log: Option<AccessLog>,
    /// What becomes of numbers.
    pub telemetry: Telemetry,
    /// Parts that use a new connection for each request (`disable_keep_alives`).
    pub no_keep_alive: Parts,
    /// Parts that keep no idle connections (`disable_idle_connections`).
    pub no_idle: Parts,
}

/// Parts of the program named by `disable_keep_alives` and `disable_idle_connections`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Parts {
    /// `auto-auth`.
    pub auto_auth: bool,
    /// `caching` and `proxying`.
    pub proxying: bool,
    /// `templating`.
    pub templating: bool,
}

impl Parts {
    /// Those named by either.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            auto_auth: self.auto_auth || other.auto_auth,
            proxying: self.proxying || other.proxying,
            templating: self.templating || other.templating,
        }
    }

    /// Adds a part by its name. `false` for a name that is none; the proxy has no `templating`.
    pub(crate) fn add(&mut self, name: &str, product: ::vault::Product) -> bool {
        match name {
            "" => {}
            "auto-auth" => self.auto_auth = true,
            "caching" | "proxying" => self.proxying = true,
            "templating" if product == ::vault::Product::Agent => self.templating = true,
            _ => return false,
        }
        true
    }
}

//! One file, decoded: what it says, stanza by stanza, with the places the later checks point at.
//!
//! Raw means: not yet merged with other files, not overlaid with flags and environment, not checked as a whole.
//! After an error a stanza is still there, so that nobody is told that it is missing.

use std::time::Duration;

use ::vault::Product;
use hcl1::Object;

use crate::decode::{Block, Fields, Labels};
use crate::environment::Environment;
use crate::go_duration::GoDuration;
use crate::problem::{Place, Placed, Report};
use crate::settings::access_log;
use crate::settings::api_proxy::{self, RawApiProxy, UseAutoAuthToken};
use crate::settings::auto_auth::{self, Choosing, RawAutoAuth};
use crate::settings::cache::{self, RawCache};
use crate::settings::log::RawLogFile;
use crate::settings::telemetry::{self, RawTelemetry};
use crate::settings::vault::{self, RawVault};
use crate::settings::{
    AccessLog, Exec, Listener, Parts, Template, TemplateConfig, env_template, exec, listener, template,
};

/// What one file says, and after merging what all of them say.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) vault: Option<RawVault>,
    /// Each with a name of its own, and one without perhaps.
    pub(crate) auto_auths: Vec<RawAutoAuth>,
    pub(crate) cache: Option<RawCache>,
    pub(crate) api_proxy: Option<RawApiProxy>,
    pub(crate) listeners: Vec<Choosing<Listener>>,
    pub(crate) templates: Vec<Choosing<Template>>,
    pub(crate) env_templates: Vec<Choosing<Template>>,
    pub(crate) exec: Option<Choosing<Exec>>,
    /// Where its `change_signal` stands, if it takes a template to use it.
    pub(crate) change_signal: Option<Place>,
    pub(crate) template_config: Option<TemplateConfig>,
    pub(crate) exit_after_auth: bool,
    pub(crate) startup_timeout: Option<Duration>,
    pub(crate) pid_file: Option<String>,
    pub(crate) log_level: Option<Placed<String>>,
    pub(crate) log_format: Option<Placed<String>>,
    pub(crate) log_file: RawLogFile,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) telemetry: Option<RawTelemetry>,
    pub(crate) no_keep_alive: Parts,
    pub(crate) no_idle: Parts,
}

/// Stanzas of the agent alone.
const TEMPLATING: &[&str] = &["template", "template_config", "env_template", "exec"];

/// Keys the servers share with the agent: accepted, without effect.
const SERVER_KEYS: &[&str] =
    &["cluster_name", "default_max_request_duration", "disable_mlock", "hsm", "kms", "seal", "user_lockout"];

pub(crate) fn read(report: &Report, object: &Object, product: Product, environment: &Environment) -> Raw {
    let file = Fields::of_file(report, object);
    let mut raw = Raw {
        exit_after_auth: file.strict_bool("exit_after_auth").unwrap_or(false),
        startup_timeout: file.duration("startup_timeout").and_then(GoDuration::positive),
        pid_file: file.filled("pid_file"),
        log_level: file.placed("log_level").filter(|text| !text.value.is_empty()),
        log_format: file.placed("log_format").filter(|text| !text.value.is_empty()),
        log_file: RawLogFile::read(&file),
        no_idle: read_parts(&file, "disable_idle_connections", product, environment),
        no_keep_alive: read_parts(&file, "disable_keep_alives", product, environment),
        ..Raw::default()
    };
    file.text("cluster_name");
    file.duration("default_max_request_duration");
    file.with_prefix("error parsing 'disable_mlock': ").lax_bool("disable_mlock");
    file.ignore(SERVER_KEYS);

    let one = |key: &'static str, prefix: &str, message: &str| -> Option<Block<'_>> {
        file.single(key, Labels::Ignored, prefix, message)
    };
    raw.vault = one("vault", vault::PREFIX, "one and only one \"vault\" block is required")
        .map(|block| vault::read(&file, &block));
    raw.auto_auths = auto_auth::read_all(&file, environment);
    raw.cache = one("cache", cache::PREFIX, "one and only one \"cache\" block is required")
        .map(|block| cache::read(&file, &block, product));
    raw.api_proxy = one("api_proxy", api_proxy::PREFIX, "one and only one \"api_proxy\" block is required")
        .map(|block| api_proxy::read(&file, &block));
    imply_api_proxy(&mut raw);
    raw.listeners = file
        .with_prefix("error parsing 'listener': listeners.0: ")
        .blocks("listener", Labels::Wanted(LISTENER_BLOCKS))
        .iter()
        .enumerate()
        .map(|(index, block)| listener::read(&file, block, index, product, environment))
        .collect();
    file.ignore(&["listener"]);
    match product {
        Product::Agent => read_templating(&file, &mut raw, environment),
        Product::Proxy => TEMPLATING.iter().for_each(|key| template::warn_unused_by_proxy(&file, key)),
    }
    raw.telemetry = one("telemetry", telemetry::PREFIX, "only one 'telemetry' block is permitted")
        .map(|block| telemetry::read(&file, &block));
    raw.access_log =
        one("access_log", access_log::PREFIX, "one and only one \"access_log\" block is required")
            .map(|block| access_log::read(&file, &block));
    file.finish();
    raw
}

/// Blocks inside a listener, which in JSON are not its label.
const LISTENER_BLOCKS: &[&str] = &[
    "agent_api",
    "custom_response_headers",
    "inflight_requests_logging",
    "profiling",
    "proxy_api",
    "telemetry",
];

fn read_templating(file: &Fields<'_>, raw: &mut Raw, environment: &Environment) {
    raw.templates = file
        .with_prefix(template::PREFIX)
        .blocks("template", Labels::Ignored)
        .iter()
        .map(|block| template::read(file, block))
        .collect();
    let at_most_one = "at most one \"template_config\" block is allowed";
    raw.template_config = file
        .single("template_config", Labels::Ignored, template::CONFIG_PREFIX, at_most_one)
        .map(|block| template::read_config(file, &block, environment.profile()));
    raw.env_templates = file
        .with_prefix(env_template::PREFIX)
        .blocks("env_template", Labels::Wanted(&[]))
        .iter()
        .map(|block| env_template::read(file, block))
        .collect();
    if let Some(block) =
        file.single("exec", Labels::Ignored, exec::PREFIX, "at most one \"exec\" block is allowed")
    {
        let (exec, change_signal) = exec::read(file, &block);
        (raw.exec, raw.change_signal) = (Some(exec), change_signal);
    }
    file.ignore(TEMPLATING);
}

/// The legacy key of `cache`, without an `api_proxy` in the same file, stands for one.
fn imply_api_proxy(raw: &mut Raw) {
    let Some(cache) = &raw.cache else { return };
    let Some(use_token) = &cache.use_token else { return };
    if raw.api_proxy.is_none() && use_token.value != UseAutoAuthToken::No {
        raw.api_proxy = Some(RawApiProxy {
            place: use_token.place.clone(),
            use_token: None,
            implied: use_token.value,
            auto_auth: None,
            strict_paths: false,
            prepends: false,
            consistency: api_proxy::RawConsistency::default(),
        });
    }
}

/// A list of parts. The environment's replaces the file's, errors of the file's included.
fn read_parts(file: &Fields<'_>, key: &'static str, product: Product, environment: &Environment) -> Parts {
    let mut parts = Parts::default();
    let name = format!("{}_{}", product.word(), key).to_uppercase();
    if let Some(variable) = environment.filled(&name) {
        file.ignore(&[key]);
        // Said once for all files by `compile`.
        for name in variable.value.split(',') {
            parts.add(&name.trim().to_lowercase(), product);
        }
        return parts;
    }
    for name in file.strings(key).unwrap_or_default() {
        if !parts.add(&name, product) {
            let known: &[&str] = match product {
                Product::Agent => &["auto-auth", "caching", "proxying", "templating"],
                Product::Proxy => &["auto-auth", "caching", "proxying"],
            };
            let hint = format!("the values are {}", known.join(", "));
            file.refuse_with(file.span_of(key), format!("unknown {key} value: {name}"), hint);
        }
    }
    parts
}

//! From what the files say to settings: flags over environment over files over defaults, then every check.

use std::path::PathBuf;
use std::time::Duration;

use vault::{Address, Namespace, Pem, Product, Proxies, RetryPolicy, Roots, TlsSettings, Verify};

use crate::check;
use crate::environment::{Environment, Variable};
use crate::flags::Flags;
use crate::go_duration::GoDuration;
use crate::go_scalar::{parse_bool, parse_integer};
use crate::problem::{NOT_BUILT_HINT, Place, Placed, Problem, not_built};
use crate::raw::Raw;
use crate::settings::auto_auth::{Choosing, choose};
use crate::settings::vault::RawVault;
use crate::settings::{
    ApiProxy, AutoAuth, Cache, DEFAULT_ADDRESS, DEFAULT_TIMEOUT, Format, Level, Listener, Log, Parts,
    Settings, Telemetry, Template, TemplateConfig, UseAutoAuthToken, Vault,
};

/// Settings, or `None` when something is wrong; then `problems` has grown.
pub(crate) fn compile(
    product: Product,
    raw: Raw,
    flags: &Flags,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Option<Settings> {
    let mut compiler = Compiler { flags, environment, problems };
    compiler.refuse_unbuilt(product);
    let log = compiler.log(&raw);
    let vault = compiler.vault(raw.vault.as_ref());
    compiler.problems.extend(check::check(product, &raw));
    let exit_after_auth = flags.exit_after_auth.unwrap_or(raw.exit_after_auth);
    compiler.problems.extend(check::outlives(&raw, exit_after_auth));
    let consistency = compiler.consistency(&raw);
    if !compiler.problems.is_empty() {
        return None;
    }
    let api_proxy = ApiProxy {
        use_auto_auth_token: check::use_token(&raw),
        strict_paths: raw.api_proxy.as_ref().is_some_and(|api_proxy| api_proxy.strict_paths),
        consistency,
    };
    let vault = vault?;
    let all = &raw.auto_auths;
    // What cannot be chosen was refused by the check.
    let chosen =
        |name: Option<&Placed<String>>, place: &Place| choose(all, name, ("stanza", place)).ok().flatten();
    let own = raw.api_proxy.as_ref().and_then(|api_proxy| api_proxy.auto_auth.as_ref());
    let listener = |Choosing { what, name, place }: &Choosing<Listener>| {
        let used = api_proxy.use_auto_auth_token != UseAutoAuthToken::No;
        let auto_auth = if used { chosen(name.as_ref().or(own), place) } else { None };
        Listener { auto_auth, ..what.clone() }
    };
    let template = |Choosing { what, name, place }: &Choosing<Template>| Template {
        auto_auth: chosen(name.as_ref(), place),
        ..what.clone()
    };
    let listeners = raw.listeners.iter().map(listener).collect();
    let variable = |Choosing { what, name, place }: &Choosing<Template>| Template {
        auto_auth: chosen(name.as_ref().or(raw.exec.as_ref().and_then(|exec| exec.name.as_ref())), place),
        ..what.clone()
    };
    let templates =
        raw.templates.iter().map(template).chain(raw.env_templates.iter().map(variable)).collect();
    let mut auto_auths = Vec::new();
    for raw in raw.auto_auths {
        let method = raw.method?;
        // The method's namespace stands above the stanza's, below the environment's and the flag's; so it is
        // upstream. Who gives names to several means each one's own.
        let overruled = compiler.choose(("-namespace", &flags.namespace), "NAMESPACE", None).is_some();
        let own = method.namespace.clone().filter(|_| raw.name.is_some() || !overruled);
        auto_auths.push(AutoAuth {
            name: raw.name,
            namespace: own.or_else(|| vault.namespace.clone()),
            method,
            sinks: raw.sinks,
            reauth_on_new_credentials: raw.reauth_on_new_credentials,
            revoke_previous_token: raw.revoke_previous_token,
            token_store: raw.token_store,
        });
    }
    Some(Settings {
        product,
        vault,
        auto_auths,
        cache: raw.cache.map(|cache| Cache {
            bounds: cache.bounds,
            persist: cache.persist,
            static_secrets: cache.static_secrets.map(|placed| placed.value),
        }),
        api_proxy,
        listeners,
        templates,
        exec: raw.exec.map(|exec| exec.what),
        template_config: raw.template_config.unwrap_or_else(|| TemplateConfig {
            profile: environment.profile(),
            ..TemplateConfig::default()
        }),
        exit_after_auth,
        startup_timeout: raw.startup_timeout,
        pid_file: raw.pid_file.map(PathBuf::from),
        log,
        access_log: raw.access_log,
        telemetry: Telemetry::of(raw.telemetry, product, environment.profile()),
        no_keep_alive: raw.no_keep_alive,
        no_idle: raw.no_idle,
    })
}

struct Compiler<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    problems: &'a mut Vec<Problem>,
}

/// A text somebody chose, and who did.
struct Chosen {
    value: String,
    origin: Origin,
}

enum Origin {
    Flag(&'static str),
    Variable(String),
    File(Place),
}

impl Compiler<'_> {
    fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Flags and variables of things that are not built yet.
    fn refuse_unbuilt(&mut self, product: Product) {
        let given = [
            ("-log-file", self.flags.log_file.as_ref().is_some_and(|path| !path.is_empty())),
            ("-log-rotate-bytes", self.flags.log_rotate_bytes.is_some()),
            ("-log-rotate-duration", self.flags.log_rotate_duration.is_some()),
            ("-log-rotate-max-files", self.flags.log_rotate_max_files.is_some()),
        ];
        for (flag, _) in given.iter().filter(|(_, given)| *given) {
            self.refuse(Problem::at_start(not_built(flag), None).hint(NOT_BUILT_HINT));
        }
        if let Some(variable) = self.environment.filled("RATE_LIMIT") {
            self.refuse(unbuilt_variable(&variable));
        }
        if let Some(variable) = self.environment.filled("SRV_LOOKUP") {
            match parse_bool(variable.value) {
                Ok(false) => {}
                Ok(true) => self.refuse(unbuilt_variable(&variable)),
                Err(_) => self.refuse(bad_variable(&variable, &format!("could not parse {}", variable.name))),
            }
        }
        for key in ["disable_idle_connections", "disable_keep_alives"] {
            let name = format!("{}_{key}", product.word()).to_uppercase();
            let Some(variable) = self.environment.filled(&name) else { continue };
            for name in variable.value.split(',') {
                if !Parts::default().add(&name.trim().to_lowercase(), product) {
                    let message = format!("unknown {key} value: {}", name.trim().to_lowercase());
                    self.refuse(Problem::at_start(message, None).hint(format!("set by {}", variable.name)));
                }
            }
        }
    }

    /// Flag, else environment, else file. Whoever speaks first is heard, even when he says nothing.
    fn choose(
        &self,
        flag: (&'static str, &Option<String>),
        variable: &str,
        file: Option<&Placed<String>>,
    ) -> Option<Chosen> {
        let chosen = if let (name, Some(value)) = flag {
            Chosen { value: value.clone(), origin: Origin::Flag(name) }
        } else if let Some(variable) = self.environment.variable(variable) {
            Chosen { value: variable.value.to_owned(), origin: Origin::Variable(variable.name) }
        } else {
            let file = file?;
            Chosen { value: file.value.clone(), origin: Origin::File(file.place.clone()) }
        };
        Some(chosen).filter(|chosen| !chosen.value.is_empty())
    }

    // === The log ===

    fn log(&mut self, raw: &Raw) -> Log {
        let level = self.choose(("-log-level", &self.flags.log_level), "LOG_LEVEL", raw.log_level.as_ref());
        let level = level.filter(|chosen| !chosen.value.trim().is_empty()).and_then(|chosen| {
            let level = Level::parse(&chosen.value);
            if level.is_none() {
                let message = format!("unknown log level: {}", chosen.value);
                let hint = "the levels are trace, debug, info, warn, error";
                self.refuse(chosen.refuse(message).hint(hint));
            }
            level
        });
        let format =
            self.choose(("-log-format", &self.flags.log_format), "LOG_FORMAT", raw.log_format.as_ref());
        let format = format.filter(|chosen| !chosen.value.trim().is_empty()).and_then(|chosen| {
            let format = Format::parse(&chosen.value);
            if format.is_none() {
                let message = format!("unknown log format: {}", chosen.value);
                self.refuse(chosen.refuse(message).hint("the formats are standard and json"));
            }
            format
        });
        Log { level, format: format.unwrap_or_default() }
    }

    // === The server ===

    fn vault(&mut self, raw: Option<&RawVault>) -> Option<Vault> {
        let flags = self.flags;
        let address =
            self.choose(("-address", &flags.address), "ADDR", raw.and_then(|raw| raw.address.as_ref()));
        let chosen_elsewhere = flags.address.is_some() || self.environment.filled("ADDR").is_some();
        let mut others = self.addresses(raw);
        let address = match address {
            // The list alone will do.
            None if !others.is_empty() => {
                let first = others.remove(0).to_string();
                raw.and_then(|raw| raw.addresses.as_ref())
                    .map(|listed| Chosen { value: first, origin: Origin::File(listed.place.clone()) })
            }
            address => address,
        };
        if let Some(address) = address.as_ref().and_then(|chosen| chosen.value.parse::<Address>().ok()) {
            others.retain(|other| *other != address);
        }
        let namespace = self.choose(
            ("-namespace", &flags.namespace),
            "NAMESPACE",
            raw.and_then(|raw| raw.namespace.as_ref()),
        );
        let tls = self.tls(raw);
        // Whoever names a server by flag or variable means that one.
        let others = if chosen_elsewhere { Vec::new() } else { others };
        let address = self.address(address);
        let servers: Vec<&Address> = address.iter().chain(&others).collect();
        let proxies = crate::proxies::read(self.environment, &servers).unwrap_or_else(|problem| {
            self.refuse(*problem);
            Proxies::default()
        });
        Some(Vault {
            tls,
            proxies,
            redirect_hosts: raw.map(|raw| raw.redirect_hosts.clone()).unwrap_or_default(),
            namespace: namespace.and_then(|chosen| Namespace::new(&chosen.value)),
            retry: self.retry(raw),
            timeout: self.timeout(),
            others,
            address: address?,
        })
    }

    /// `addresses` beside `address`, or in its place: the first one is asked first.
    fn addresses(&mut self, raw: Option<&RawVault>) -> Vec<Address> {
        let Some(listed) = raw.and_then(|raw| raw.addresses.as_ref()) else { return Vec::new() };
        let mut addresses = Vec::new();
        for text in &listed.value {
            match text.parse::<Address>() {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(why) => {
                    let message = format!("invalid address {:?} in `addresses`: {why}", without_user(text));
                    self.refuse(Problem::whole(message, Some(&listed.place)));
                }
            }
        }
        addresses
    }

    /// Of `api_proxy`, or of `cache` as its older place.
    fn consistency(&mut self, raw: &Raw) -> Option<vault::WhenInconsistent> {
        let new = raw.api_proxy.as_ref().map(|api_proxy| &api_proxy.consistency);
        let old = raw.cache.as_ref().map(|cache| &cache.consistency);
        let both = |key: &str| {
            format!(
                "{key} configured in both api_proxy and cache blocks. Please remove this configuration from the cache block"
            )
        };
        let always = (new.and_then(|new| new.always.as_ref()), old.and_then(|old| old.always.as_ref()));
        let action = (new.and_then(|new| new.action.as_ref()), old.and_then(|old| old.action.as_ref()));
        if let (Some(_), Some(old)) = always {
            self.refuse(Problem::at_start(both("enforce_consistency"), Some(&old.place)));
        }
        if let (Some(_), Some(old)) = action {
            self.refuse(Problem::at_start(both("when_inconsistent"), Some(&old.place)));
        }
        let always = always.0.or(always.1).is_some_and(|always| always.value);
        always.then(|| action.0.or(action.1).map(|action| action.value).unwrap_or_default())
    }

    fn address(&mut self, chosen: Option<Chosen>) -> Option<Address> {
        let text = chosen.as_ref().map_or(DEFAULT_ADDRESS, |chosen| chosen.value.as_str());
        match text.parse() {
            Ok(address) => Some(address),
            Err(why) => {
                let message = format!("invalid address {:?}: {why}", without_user(text));
                self.refuse(match &chosen {
                    Some(chosen) => chosen.refuse(message),
                    None => Problem::at_start(message, None),
                });
                None
            }
        }
    }

    fn tls(&mut self, raw: Option<&RawVault>) -> TlsSettings {
        let flags = self.flags;
        let ca_file =
            self.choose(("-ca-cert", &flags.ca_cert), "CACERT", raw.and_then(|raw| raw.ca_cert.as_ref()));
        let ca_folder =
            self.choose(("-ca-path", &flags.ca_path), "CAPATH", raw.and_then(|raw| raw.ca_path.as_ref()));
        let roots = match (ca_file, self.environment.filled("CACERT_BYTES"), ca_folder) {
            (Some(file), ..) => Roots::File(file.value.into()),
            (None, Some(bytes), _) => Roots::Bytes(bytes.value.as_bytes().to_vec()),
            (None, None, Some(folder)) => Roots::Folder(folder.value.into()),
            (None, None, None) => Roots::System,
        };
        let cert = self.choose(
            ("-client-cert", &flags.client_cert),
            "CLIENT_CERT",
            raw.and_then(|raw| raw.client_cert.as_ref()),
        );
        let key = self.choose(
            ("-client-key", &flags.client_key),
            "CLIENT_KEY",
            raw.and_then(|raw| raw.client_key.as_ref()),
        );
        let server_name = self.choose(
            ("-tls-server-name", &flags.tls_server_name),
            "TLS_SERVER_NAME",
            raw.and_then(|raw| raw.tls_server_name.as_ref()),
        );
        TlsSettings {
            roots,
            identity: self.identity(cert, key),
            server_name: server_name.map(|chosen| chosen.value),
            verify: self.verify(raw.and_then(|raw| raw.tls_skip_verify)),
        }
    }

    /// A client certificate and its key: both, or neither.
    fn identity(&mut self, cert: Option<Chosen>, key: Option<Chosen>) -> Option<(Pem, Pem)> {
        let bytes = |name| {
            let variable = self.environment.filled(name);
            variable.map(|variable| Pem::Bytes(variable.value.as_bytes().to_vec()))
        };
        let cert_pem = cert.as_ref().map(|chosen| Pem::File(chosen.value.clone().into()));
        let key_pem = key.as_ref().map(|chosen| Pem::File(chosen.value.clone().into()));
        let pair =
            (cert_pem.or_else(|| bytes("CLIENT_CERT_BYTES")), key_pem.or_else(|| bytes("CLIENT_KEY_BYTES")));
        match pair {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                let message = "both client cert and client key must be provided";
                self.refuse(match cert.or(key) {
                    Some(chosen) => chosen.refuse(message),
                    None => Problem::at_start(message, None),
                });
                None
            }
        }
    }

    /// Upstream takes any text in the variable, `false` included, for true.
    fn verify(&mut self, file: Option<bool>) -> Verify {
        let skip = if let Some(flag) = self.flags.tls_skip_verify {
            flag
        } else if let Some(variable) = self.environment.variable("SKIP_VERIFY") {
            match variable.value {
                "" => false,
                text => parse_bool(text).unwrap_or_else(|_| {
                    self.refuse(bad_variable(&variable, &format!("could not parse {}", variable.name)));
                    false
                }),
            }
        } else {
            file.unwrap_or(false)
        };
        if skip { Verify::Skip } else { Verify::Yes }
    }

    fn retry(&mut self, raw: Option<&RawVault>) -> RetryPolicy {
        if let Some(variable) = self.environment.filled("MAX_RETRIES") {
            match parse_integer(variable.value) {
                // Unlike the key, the variable means what it says: 0 is none.
                Ok(0) => return RetryPolicy::Never,
                Ok(retries) if retries > 0 => return RetryPolicy::from_config(retries),
                Ok(_) => {
                    let why = format!("{} must not be negative", variable.name);
                    self.refuse(bad_variable(&variable, &why));
                }
                Err(why) => self.refuse(bad_variable(&variable, &why)),
            }
        }
        RetryPolicy::from_config(raw.and_then(|raw| raw.num_retries).unwrap_or(0))
    }

    fn timeout(&mut self) -> Duration {
        let Some(variable) = self.environment.filled("CLIENT_TIMEOUT") else { return DEFAULT_TIMEOUT };
        match GoDuration::parse_lax(variable.value).ok().and_then(GoDuration::positive) {
            Some(timeout) => timeout,
            None => {
                self.refuse(
                    bad_variable(&variable, &format!("could not parse {:?}", variable.name))
                        .hint("a number of seconds, or text like \"90s\", \"5m\"; more than 0"),
                );
                DEFAULT_TIMEOUT
            }
        }
    }
}

impl Chosen {
    /// A problem with the value, at its place or naming who gave it.
    fn refuse(&self, message: impl Into<String>) -> Problem {
        match &self.origin {
            Origin::File(place) => Problem::at_start(message, Some(place)),
            Origin::Flag(name) => Problem::at_start(message, None).hint(format!("given by {name}")),
            Origin::Variable(name) => Problem::at_start(message, None).hint(format!("set by {name}")),
        }
    }
}

/// The address without the user and password somebody may have put before the host.
fn without_user(address: &str) -> String {
    match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &address[..scheme + 3], &address[at..]),
        _ => address.to_owned(),
    }
}

fn bad_variable(variable: &Variable<'_>, why: &str) -> Problem {
    let message = format!("Error fetching client: failed to read environment: {why}");
    Problem::at_start(message, None).hint(format!("set by {}", variable.name))
}

fn unbuilt_variable(variable: &Variable<'_>) -> Problem {
    Problem::at_start(not_built(&format!("{:?}", variable.name)), None).hint("unset it to go on without it")
}
